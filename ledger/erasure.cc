#include "ledger/erasure.h"

#include "ledger/sequencer.h"

namespace daicho {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kReadWait{10'000};

Result<v1::ErasurePlan> ParsePlan(const EntryView& entry, const v1::EventHeader& header) {
  ASSIGN_OR_RETURN(const std::string payload, OpenClearPart(entry.parts[0], header.commitments(0)));
  v1::Erasure erasure;
  v1::ErasurePlan plan;
  if (!erasure.ParseFromString(payload) || !plan.ParseFromString(erasure.plan())) {
    return Corrupt("an erasure cannot be decoded");
  }
  return plan;
}

Result<std::string> ReadEntry(Log& log, const std::string& topic, Position position) {
  ASSIGN_OR_RETURN(const Cursor cursor, FindEntry(log, topic, position));
  ASSIGN_OR_RETURN(auto reader, log.OpenReader());
  RETURN_IF_ERROR(reader->Assign(topic, cursor).status());
  ASSIGN_OR_RETURN(auto records, reader->Poll(1, kReadWait));
  if (records.empty()) return Unavailable("the ledger did not yield position " + std::to_string(position.value()));
  return std::move(records.front().value);
}

}  // namespace

Result<v1::ErasurePlan> PlanOf(const PreparedEntry& entry) { return ParsePlan(entry.entry, entry.header); }
Result<v1::ErasurePlan> PlanOf(const LedgerReplay::Checked& entry) { return ParsePlan(entry.entry, entry.header); }

Result<bool> CarryOutErasures(Log& log, const std::string& ledger_topic, const std::vector<Position>& positions,
                              KeyStore& keys) {
  std::vector<KeyStore::Advance> advances;
  Position last;
  for (const Position position : positions) {
    if (position < keys.erased_through()) continue;
    ASSIGN_OR_RETURN(const std::string record, ReadEntry(log, ledger_topic, position));
    PreparedEntry entry;
    PrepareEntry(record, entry);
    RETURN_IF_ERROR(entry.status);
    if (entry.leaf.position() != position.value() || entry.header.kind() != v1::EVENT_KIND_ERASURE) {
      return Tampered("position " + std::to_string(position.value()) + " is no longer the erasure that it was");
    }
    ASSIGN_OR_RETURN(const v1::ErasurePlan plan, PlanOf(entry));
    for (const v1::ErasedKeys& erased : plan.keys()) {
      advances.push_back({KeySlot(erased.slot()), erased.last_step() + 1});
    }
    last = position;
  }
  if (advances.empty()) return false;
  RETURN_IF_ERROR(keys.Erase(advances, last).With("carrying out the erasures up to position " +
                                                  std::to_string(last.value())));
  return true;
}

}  // namespace daicho
