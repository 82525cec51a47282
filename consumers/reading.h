// Reading: answers an operator who asks for a resident's record, or searches by the 4情報. Who asked, why, for
// what, as of which position and with which result is in the ledger before the answer leaves; a refusal too.
#pragma once

#include <functional>
#include <map>
#include <mutex>

#include "events/clock.h"
#include "events/event.h"
#include "events/search.pb.h"
#include "projections/projector.h"

namespace daicho {

struct ReadingOptions {
  LedgerId ledger{};
  std::function<std::shared_ptr<const Projector>()> projector;  // the one that serves
  const Clock* clock = nullptr;  // borrowed
  // Returns once the event is in the ledger.
  std::function<Status(const DraftEvent&)> submit;
};

// How long a signed request is good for, either side of the node's clock.
inline constexpr std::chrono::minutes kRequestLife{5};

struct ReadAnswer {
  // JSON, one line per version or person; of a search that has more to show, {"more":true,"after":"P:N:FAMILY"} last.
  std::string lines;
  std::string explanation;  // of a search, as JSON: says nothing of persons
};

class Reading {
 public:
  explicit Reading(ReadingOptions options) : options_(std::move(options)) {}

  // `request`: a v1::ReadRequest, signed by its operator over "daicho/read/1\n" ‖ request. A number or handle alone
  // asks for one record, everything else is a search. Errors: kInvalid (unreadable, or as of what does not
  // exist; not recorded), kDenied (recorded; also a condition too broad for the duty, or one that too many
  // match), kNotFound (recorded, but for a day before the ledger began), kUnavailable when the event could not be
  // recorded: nothing is shown then.
  // Thread-safe.
  Result<ReadAnswer> Read(const std::string& request, const std::string& signature);
  // 利用・提供状況: what was provided of one person, to whom and on which basis; one line per event that told of the
  // person, none is an answer too. Signed over "daicho/read-provisions/1\n" ‖ request; for who audits or discloses. The
  // event says of what was released "provisions". Errors and threads as above.
  Result<ReadAnswer> ReadProvisions(const std::string& request, const std::string& signature);

 private:
  enum class What { kRecord, kProvisions };
  struct Found;
  Result<ReadAnswer> Answer(What what, const std::string& bytes, const std::string& signature);
  Result<OperatorState> Admit(What what, const Registry& registry, const v1::ReadRequest& request,
                              const std::string& bytes, const std::string& signature, v1::RefusalReason& refusal);
  Result<Found> Evaluate(const RecordFile& file, const v1::ReadRequest& request, Position at, Date on) const;
  Result<Found> EvaluateProvisions(const Projector& projector, const v1::ReadRequest& request, Position at) const;
  Result<Found> Find(const Projector& projector, const v1::ReadRequest& request, std::uint32_t results_max,
                     Position at, Date on, v1::RefusalReason& refusal) const;

  ReadingOptions options_;
  std::mutex mutex_;
  std::map<std::string, TimeMicros> nonces_;  // of the last 2 × kRequestLife; guarded by mutex_
};

// One line of `record --json`.
std::string VersionJson(const Version& version);

}  // namespace daicho
