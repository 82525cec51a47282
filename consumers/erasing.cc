#include "consumers/erasing.h"

#include <nlohmann/json.hpp>
#include <thread>

#include "events/topics.h"
#include "projections/retention.h"

namespace daicho {
namespace {

using nlohmann::ordered_json;
using std::chrono::milliseconds;

constexpr std::chrono::minutes kCarriedOutWait{60};

DraftEvent Draft(v1::EventKind kind, const google::protobuf::Message& message) {
  DraftEvent out;
  out.kind = kind;
  out.retention = v1::RETENTION_CLASS_ADMINISTRATION;
  out.payload = message.SerializeAsString();
  out.clear = true;
  return out;
}

void AddPlace(v1::ErasureCompleted& done, const char* place, v1::ErasureMeans means) {
  v1::ErasedPlace& out = *done.add_places();
  out.set_place(place);
  out.set_means(means);
}

const char* MeansName(v1::ErasureMeans means) {
  switch (means) {
    case v1::ERASURE_MEANS_KEYS_DESTROYED: return "keys_destroyed";
    case v1::ERASURE_MEANS_REBUILT: return "rebuilt";
    case v1::ERASURE_MEANS_HOLDS_NONE: return "holds_none";
    default: return "awaits";
  }
}

}  // namespace

Result<std::vector<std::string>> Erasing::Plan(Date today) const {
  const std::shared_ptr<const Projector> projector = options_.projector->get();
  const Registry registry = *projector->registry();
  const PolicyInForce* policy = registry.policy();
  if (policy == nullptr) return Invalid("rules: none are in force");
  const Position position = projector->position();
  ASSIGN_OR_RETURN(auto expired, FindExpired(projector->store(), policy->rules, today, kErasedPerRunMax));
  const std::size_t chunks = (expired.size() + options_.keys_per_order - 1) / options_.keys_per_order;
  const auto run = RandomArray<16>();
  std::vector<std::string> out;
  for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
    v1::ErasurePlan plan;
    plan.set_version(1);
    plan.set_ledger(std::string(View(options_.ledger)));
    plan.set_run(std::string(View(run)));
    plan.set_chunk(static_cast<std::uint32_t>(chunk));
    plan.set_chunk_count(static_cast<std::uint32_t>(chunks));
    plan.set_judged_on(FormatDate(today));
    plan.set_evaluated_at(position.value() - 1);
    plan.set_policy_position(policy->position.value());
    const std::size_t end = std::min(expired.size(), (chunk + 1) * options_.keys_per_order);
    for (std::size_t i = chunk * options_.keys_per_order; i < end; ++i) *plan.add_keys() = std::move(expired[i]);
    out.push_back(plan.SerializeAsString());
  }
  return out;
}

Result<std::string> Erasing::Run(const std::vector<v1::Erasure>& orders) {
  if (orders.empty()) return Invalid("orders: none");
  const std::lock_guard lock(mutex_);
  std::vector<DraftEvent> events;
  for (const v1::Erasure& order : orders) events.push_back(Draft(v1::EVENT_KIND_ERASURE, order));
  v1::ErasurePlan plan;
  if (!plan.ParseFromString(orders.front().plan())) return Invalid("orders.plan: cannot be decoded");
  ASSIGN_OR_RETURN(const Position last, options_.submit(events));
  return Complete(plan.run(), last);
}

Result<bool> Erasing::RunStanding(Date today) {
  const Registry registry = *options_.projector->get()->registry();
  const PolicyInForce* policy = registry.policy();
  if (policy == nullptr || !policy->rules.standing_erasure()) return false;
  ASSIGN_OR_RETURN(const auto plans, Plan(today));
  std::vector<v1::Erasure> orders;
  for (const std::string& plan : plans) {
    v1::Erasure& order = orders.emplace_back();
    order.set_plan(plan);
    order.set_standing_order(policy->rules.standing_order());
  }
  if (orders.empty()) return false;
  RETURN_IF_ERROR(Run(orders).status());
  return true;
}

Status Erasing::CarryOn() {
  const std::lock_guard lock(mutex_);
  const Registry registry = *options_.projector->get()->registry();
  for (const auto& [run, open] : registry.open_runs()) {
    RETURN_IF_ERROR(Complete(run, open.last).status());
  }
  return {};
}

Result<bool> Erasing::RenewIntake() {
  const auto deadline = std::chrono::steady_clock::now() + options_.inboxes_wait;
  for (bool rotated = false;;) {
    if (!rotated) {
      const Status status = options_.rotate_intake();
      if (!status.ok() && status.code() != Code::kConflict) return status;
      rotated = status.ok();
    }
    if (rotated) {
      ASSIGN_OR_RETURN(const bool destroyed, options_.old_intake_destroyed());
      if (destroyed) return true;
    }
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(milliseconds(20));
  }
}

Result<std::string> Erasing::Complete(const std::string& run, Position last) {
  // The sequencer does it, between two of its sessions.
  const auto deadline = std::chrono::steady_clock::now() + kCarriedOutWait;
  while (options_.keys->erased_through() <= last) {
    if (std::chrono::steady_clock::now() > deadline) {
      return Unavailable("the erasure is ordered, and not carried out yet; is a sequencer running?");
    }
    std::this_thread::sleep_for(milliseconds(20));
  }
  RETURN_IF_ERROR(options_.projector->Renew());
  ASSIGN_OR_RETURN(const bool inboxes, RenewIntake());

  v1::ErasureCompleted done;
  done.set_run(run);
  done.set_erased_through(last.value());
  done.set_epoch_begun(options_.keys->epoch());
  done.set_epoch_destroyed(done.epoch_begun() - 1);
  done.set_destroyed_at(options_.clock->Now().value());
  AddPlace(done, "ledger", v1::ERASURE_MEANS_KEYS_DESTROYED);
  AddPlace(done, "key store", v1::ERASURE_MEANS_KEYS_DESTROYED);
  AddPlace(done, "record file", v1::ERASURE_MEANS_REBUILT);
  AddPlace(done, "sequencer state", v1::ERASURE_MEANS_REBUILT);
  AddPlace(done, "trees and checkpoints", v1::ERASURE_MEANS_HOLDS_NONE);
  AddPlace(done, "inboxes", inboxes ? v1::ERASURE_MEANS_KEYS_DESTROYED : v1::ERASURE_MEANS_AWAITS);
  ASSIGN_OR_RETURN(const auto backups, options_.backups(last.Next()));
  for (const v1::ErasedPlace& backup : backups) *done.add_places() = backup;
  ASSIGN_OR_RETURN(const Position position, options_.submit({Draft(v1::EVENT_KIND_ERASURE_COMPLETED, done)}));

  ordered_json out = {{"run", ToHex(run)},
                      {"ordered_at", last.value()},
                      {"completed_at", position.value()},
                      {"epoch_destroyed", done.epoch_destroyed()},
                      {"epoch_begun", done.epoch_begun()},
                      {"places", ordered_json::array()}};
  for (const v1::ErasedPlace& place : done.places()) {
    ordered_json item = {{"place", place.place()}, {"means", MeansName(place.means())}};
    if (!place.until().empty()) item["until"] = place.until();
    out["places"].push_back(std::move(item));
  }
  return out.dump();
}

}  // namespace daicho
