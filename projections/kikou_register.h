// What was said to 機構: how far the updates have been notified to it, and what it was asked. Made of the ledger's
// KIKOU_NOTIFIED and INQUIRY_… entries, in the record file's store, by the projector. An entry whose key is erased
// leaves nothing.
//
//   family   key (big-endian)                                 value
//   kikou    'n' ‖ position(8)                                KikouNotified
//            'i' ‖ length(4) ‖ reference ‖ position(8)        kind(1) ‖ admitted_at(8) ‖ InquiryAsked or InquiryAnswered
//
// Thread-safe for reading while a Projector writes.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "events/event.h"
#include "events/kikou.pb.h"
#include "ledger/key_store.h"
#include "ledger/replay.h"
#include "ledger/store.h"

namespace daicho {

class KikouRegister {
 public:
  struct Notified {
    Position position;
    v1::KikouNotified event;
  };
  struct Inquiry {
    Position asked_at;
    TimeMicros admitted_at;
    v1::InquiryAsked asked;
    std::optional<Position> answered_at;  // none: open, or refused here and never asked
    v1::InquiryAnswered answered;

    bool open() const { return !answered_at && asked.refusal() == v1::REFUSAL_REASON_UNSPECIFIED; }
  };

  explicit KikouRegister(const Store& record_file) : store_(record_file) {}  // borrowed

  // The newest. Errors: kCorrupt.
  Result<std::optional<Notified>> Last(Position at) const;
  // By its reference. Errors: kNotFound when none was known at `at`.
  Result<Inquiry> Find(const std::string& reference, Position at) const;
  // All, by reference.
  Result<std::vector<Inquiry>> Inquiries(Position at) const;

 private:
  Result<std::vector<Inquiry>> Under(const std::string& prefix, Position at) const;

  const Store& store_;
};

namespace kikou_register {

using Put = std::function<void(Family, std::string_view key, std::string_view value)>;
using Erased = std::function<void(const v1::KeyReference&)>;

// The projector's side: what an entry puts into the register. `erased` is told of a part that has no key any more.
// Errors: kTampered, kCorrupt.
Status PutEntry(const LedgerReplay::Checked& entry, const KeyStore& keys, const Put& put, const Erased& erased);

}  // namespace kikou_register

}  // namespace daicho
