#include "projections/live_projector.h"

#include <atomic>
#include <thread>

#include "ledger/generation.h"

namespace daicho {

using std::chrono::milliseconds;

struct LiveProjector::Running {
  // First, so that it ends after the store is closed: a Running expires before, when its last holder begins to
  // destroy it.
  std::shared_ptr<const bool> open = std::make_shared<const bool>(true);
  std::unique_ptr<Projector> projector;
  std::atomic<bool> ended{false};
  std::jthread thread;  // last: it ends before what it uses
};

Result<std::unique_ptr<LiveProjector>> LiveProjector::Start(ProjectorOptions options,
                                                            std::function<void(const Status&)> failed) {
  RETURN_IF_ERROR(DropOldGenerations(options.dir, *options.keys, Projector::Kind(options), options.at_rest));
  std::unique_ptr<LiveProjector> out(new LiveProjector(std::move(options), std::move(failed)));
  ASSIGN_OR_RETURN(out->running_, out->Begin());
  return out;
}

Result<std::shared_ptr<LiveProjector::Running>> LiveProjector::Begin() {
  auto running = std::make_shared<Running>();
  ASSIGN_OR_RETURN(running->projector, Projector::Open(options_));
  running->thread = std::jthread([this, it = running.get()](std::stop_token stop) {
    const Status status = it->projector->Run(stop);
    it->ended = true;
    if (!status.ok()) failed_(status);
  });
  return running;
}

std::shared_ptr<const Projector> LiveProjector::get() const {
  const std::lock_guard lock(mutex_);
  return {running_, running_->projector.get()};
}

bool LiveProjector::outdated() const { return get()->built_under() != options_.keys->erased_through(); }

Status LiveProjector::Renew() {
  const std::lock_guard renewing(renewing_);
  while (outdated()) RETURN_IF_ERROR(Replace());
  return DropOldGenerations(options_.dir, *options_.keys, Projector::Kind(options_), options_.at_rest);
}

Status LiveProjector::Use(std::shared_ptr<const Matching> matching) {
  const std::lock_guard renewing(renewing_);
  if (matching->id() == options_.matching->id()) return {};
  std::swap(options_.matching, matching);
  Status replaced = Replace();
  if (!replaced.ok()) {
    std::swap(options_.matching, matching);
    return replaced;
  }
  return DropOldGenerations(options_.dir, *options_.keys, Projector::Kind(options_), options_.at_rest);
}

Status LiveProjector::Replace() {
  const Position wanted = get()->position();
  ASSIGN_OR_RETURN(std::shared_ptr<Running> renewed, Begin());
  while (!renewed->projector->WaitFor(wanted, milliseconds(200))) {
    if (renewed->ended) return Unavailable("the new record file could not be built");
  }
  std::weak_ptr<const bool> old;
  {
    const std::lock_guard lock(mutex_);
    old = running_->open;
    running_ = std::move(renewed);
  }
  while (!old.expired()) std::this_thread::sleep_for(milliseconds(10));
  return {};
}

}  // namespace daicho
