// Disclosing (開示, 訂正, 利用停止): carries a resident's matter from request to letter. What an operator does is an event;
// a letter leaves only when the event that holds its digest is in the ledger.
//
//   order ─► check ─► evaluate ─► letter, signed ─► kept in the matter's folder ─► ledger ─► evidence beside it ─► handed out
//
// A folder is there until its letter was handed out (by who takes it away). After a crash anywhere the same order goes
// on where it was left: before the event with another letter, behind it with the same.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "consumers/home.h"
#include "events/clock.h"
#include "events/crypto_certificate.h"
#include "events/event.h"
#include "ledger/log.h"
#include "projections/matter_register.h"
#include "projections/projector.h"

namespace daicho {

// What an operator signs: see operator_act.h, over the digest of the event as ordered.
inline constexpr std::string_view kDiscloseTag = "daicho/disclose/1\n";

struct DisclosingOptions {
  LedgerPublic ledger;
  std::string dir;               // of the folders
  Log* log = nullptr;            // borrowed
  const Clock* clock = nullptr;  // borrowed
  std::function<std::shared_ptr<const Projector>()> projector;  // the one that serves
  // Under the key of the role. An error leaves it open whether the event is in the ledger; `settle` finds out, and
  // answers the position behind the last that it admitted, if any was left.
  std::function<Result<v1::Receipt>(const std::vector<DraftEvent>&)> submit;
  std::function<Result<std::optional<Position>>()> settle;
  std::function<Result<CertifiedKey>()> seal;  // of the 知事
  std::chrono::milliseconds checkpoint_wait{60'000};
};

// What is in a letter and not in the ledger.
struct LetterFacts {
  std::string number;                // 文書番号
  std::vector<std::string> addressee;
  std::string governor;
  std::string details;               // 調査の経緯, or the reason as told
  std::map<std::string, std::string> glyphs;
};

struct DisclosingOrder {
  v1::EventKind kind = v1::EVENT_KIND_UNSPECIFIED;
  // The kind's message without what follows from the record file and without signatures, see events/disclosure.proto.
  std::string event;
  v1::OperatorAct operator_act;
  v1::Consent confirmed_by;          // to `event`, where a decision needs it
  LetterFacts letter;
};

struct DisclosingOutcome {
  Position position;  // of the event
  std::string folder; // where the letter and its evidence are; empty: none
  std::string result; // of a disclosure that was decided: "disclosed" or "not_held"
};

class Disclosing {
 public:
  explicit Disclosing(DisclosingOptions options) : options_(std::move(options)) {}

  // Errors: kInvalid (with field and rule, in Japanese), kDenied (the operator may not), kNotFound (no such matter, or nobody
  // of that condition), kConflict (out of turn, or handed out already), kUnavailable: order it again.
  // Thread-safe; one order at a time.
  Result<DisclosingOutcome> Carry(const DisclosingOrder& order);
  // A line of JSON for each matter, by reference: see consumers/README.md. Thread-safe.
  Result<std::string> ListJson(Duty duty) const;

 private:
  struct Turn;  // of one order
  Result<DisclosingOutcome> Disclose(const Turn& turn, v1::Disclosure event);
  Result<DisclosingOutcome> DecideDisclosure(const Turn& turn, v1::Disclosure event);
  Result<DisclosingOutcome> AskCorrection(const Turn& turn, v1::CorrectionRequested event);
  Result<DisclosingOutcome> DecideCorrection(const Turn& turn, v1::CorrectionDecided event);
  Result<DisclosingOutcome> LinkCorrection(const Turn& turn, const Matter& matter, const v1::CorrectionDecided& order);
  Result<DisclosingOutcome> AskSuspension(const Turn& turn, v1::SuspensionRequested event);
  Result<DisclosingOutcome> DecideSuspension(const Turn& turn, v1::SuspensionDecided event);

  Status Settle();
  std::string FolderOf(Duty duty, const std::string& reference) const;
  // The letter as sealed PDF.
  Result<std::string> Sealed(const struct Letter& letter) const;
  Result<DisclosingOutcome> Submit(const Turn& turn, const google::protobuf::Message& event,
                                   const SubjectHandle* subject);
  Status WriteEvidence(const std::string& folder, const std::vector<Position>& positions) const;

  DisclosingOptions options_;
  std::mutex mutex_;
};

}  // namespace daicho
