// LiveProjector: the record file that is served. It follows the ledger on a thread of its own, and can be
// renewed: built anew beside the one that serves, which it replaces when it has caught up.
#pragma once

#include <functional>
#include <memory>
#include <mutex>

#include "projections/projector.h"

namespace daicho {

class LiveProjector {
 public:
  // `failed` is told, from the following thread, why it has stopped for good.
  static Result<std::unique_ptr<LiveProjector>> Start(ProjectorOptions options,
                                                      std::function<void(const Status&)> failed);

  // The one that serves. Whoever holds it keeps it open: not for long. Any thread.
  std::shared_ptr<const Projector> get() const;

  // Whether the key store has erased since the one that serves was begun. Any thread.
  bool outdated() const;

  // Builds a new one for the key store as it is now and puts it in place; then destroys what was built before
  // the key store last erased. Returns when nothing is left of that.
  Status Renew();

  // Goes over to another matching definition: builds a record file with it beside the one that serves, which answers
  // until then. Returns when the new one serves and the old one is gone.
  Status Use(std::shared_ptr<const Matching> matching);

 private:
  struct Running;
  LiveProjector(ProjectorOptions options, std::function<void(const Status&)> failed)
      : options_(std::move(options)), failed_(std::move(failed)) {}
  Result<std::shared_ptr<Running>> Begin();
  Status Replace();

  std::mutex renewing_;  // held by whoever replaces the one that serves; guards options_.matching
  ProjectorOptions options_;
  std::function<void(const Status&)> failed_;
  mutable std::mutex mutex_;
  std::shared_ptr<Running> running_;  // guarded by mutex_
};

}  // namespace daicho
