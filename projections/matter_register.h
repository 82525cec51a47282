// The matters of residents (開示, 訂正, 利用停止): what was asked and what came of it, by the office's number. Made of the
// ledger's DISCLOSURE, CORRECTION_… and SUSPENSION_… entries, in the record file's store, by the projector. An entry
// whose key is erased leaves nothing.
//
//   family    key (big-endian)                                      value
//   matters   duty(1) ‖ length(4) ‖ reference ‖ position(8)          kind(1) ‖ admitted_at(8) ‖ handle(16) ‖ payload
//
// Thread-safe for reading while a Projector writes.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "events/disclosure.pb.h"
#include "events/event.h"
#include "ledger/key_store.h"
#include "ledger/replay.h"
#include "ledger/store.h"

namespace daicho {

// On disk. Never renumber.
enum class Duty : char { kDisclosure = 1, kCorrection = 2, kSuspension = 3 };

struct MatterEvent {
  Position position;
  v1::EventKind kind = v1::EVENT_KIND_UNSPECIFIED;
  TimeMicros admitted_at;
  SubjectHandle subject{};  // of nobody in the record file, where the matter concerned nobody there
  std::string payload;      // the kind's message, which decodes
};

struct Matter {
  std::string reference;
  std::vector<MatterEvent> events;  // by position; at least one
};

class MatterRegister {
 public:
  explicit MatterRegister(const Store& record_file) : store_(record_file) {}  // borrowed

  // Errors: kNotFound when nothing of that reference was known at `at`.
  Result<Matter> Find(Duty duty, const std::string& reference, Position at) const;
  // All of a duty, by reference. Errors: kCorrupt.
  Result<std::vector<Matter>> All(Duty duty, Position at) const;

 private:
  const Store& store_;
};

namespace matter_register {

using Put = std::function<void(Family, std::string_view key, std::string_view value)>;
using Erased = std::function<void(const v1::KeyReference&)>;

// The projector's side: what an entry puts into the register. `erased` is told of a part that has no key any more.
// Errors: kTampered, kCorrupt.
Status PutEntry(const LedgerReplay::Checked& entry, const KeyStore& keys, const Put& put, const Erased& erased);

}  // namespace matter_register

}  // namespace daicho
