#include "consumers/disclosing.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <thread>

#include "consumers/disclosure_letters.h"
#include "consumers/evidence.h"
#include "consumers/matter_request.h"
#include "consumers/operator_act.h"
#include "consumers/reading.h"
#include "events/codes.h"
#include "events/crypto_pades.h"
#include "ledger/files.h"
#include "projections/provision_register.h"

namespace daicho {
namespace {

using nlohmann::ordered_json;
using std::chrono::milliseconds;

constexpr milliseconds kVisibleWait{60'000};
constexpr int kWarningDays = 7;  // before a term ends

// A date that passed its checks.
Date DateOf(const std::string& text) { return ParseDate(text).value_or(Date{}); }

std::string_view DutyName(Duty duty) {
  switch (duty) {
    case Duty::kDisclosure: return "disclosure";
    case Duty::kCorrection: return "correction";
    default: return "suspension";
  }
}

template <typename Message>
Message Parsed(const MatterEvent& event) {
  Message out;
  CHECK(out.ParseFromString(event.payload));  // the register keeps nothing else
  return out;
}

bool HasScope(const v1::Disclosure& event, v1::DisclosureScope scope) {
  return std::ranges::count(event.scopes(), static_cast<int>(scope)) > 0;
}

// As it was ordered: what both operators signed.
v1::Disclosure AsOrdered(v1::Disclosure event) {
  if (event.result() == v1::DISCLOSURE_RESULT_DISCLOSED || event.result() == v1::DISCLOSURE_RESULT_NOT_HELD) {
    event.clear_result();
  }
  event.clear_evaluated_at();
  event.clear_released_fields();
  event.clear_result_count();
  event.clear_result_digest();
  event.clear_document_digest();
  event.clear_operator_act();
  return event;
}

template <typename Decision>
Decision AsOrdered(Decision event) {
  event.clear_document_digest();
  event.clear_operator_act();
  event.clear_confirmed_by();
  return event;
}
v1::CorrectionDecided AsOrdered(v1::CorrectionDecided event) {
  event.clear_report_digest();
  return AsOrdered<v1::CorrectionDecided>(std::move(event));
}

template <typename Message>
bool Same(const Message& a, const Message& b) {
  return a.SerializeAsString() == b.SerializeAsString();
}

// Every item of a record: a disclosure leaves none out.
const std::vector<std::string>& RecordFields() {
  static const std::vector<std::string> fields = {"resident_code", "name",  "kana", "kana_certified",
                                                  "former_name",   "alias", "latin_name", "birth",
                                                  "sex",           "address", "individual_number", "external_glyphs"};
  return fields;
}

std::string ProvisionJson(const ProvisionRegister::Given& given) {
  const v1::Provision& provision = given.event.provision;
  ordered_json out = {{"position", given.event.position.value()},
                      {"admitted_at", FormatTimestamp(given.event.admitted_at)},
                      {"kind", given.event.kind == v1::EVENT_KIND_TRANSFER ? "transfer" : "provision"},
                      {"agency", provision.agency()},
                      {"basis", provision.basis()},
                      {"duty", provision.duty()}};
  for (const std::string& field : given.result.released_fields()) out["fields"].push_back(field);
  if (given.result.despite_suspension()) out["despite_suspension"] = true;
  return out.dump();
}

// A reference that is known: the same asked again is answered as before.
template <typename Message>
Result<DisclosingOutcome> AskedBefore(const Matter& matter, const Message& event, const std::string& what) {
  auto earlier = Parsed<Message>(matter.events[0]);
  earlier.clear_operator_act();
  if (!Same(earlier, event)) return Conflict("reference: この番号は別の" + what + "に使われています");
  return DisclosingOutcome{matter.events[0].position, "", ""};
}

}  // namespace

// One order, and what is known when its turn comes.
struct Disclosing::Turn {
  const DisclosingOrder& order;
  std::shared_ptr<const Projector> projector;
  std::shared_ptr<const Registry> in_force;
  Position at;
  TimeMicros now;
  Date today;

  const Registry& registry() const { return *in_force; }
  MatterRegister matters() const { return MatterRegister(projector->store()); }
  // None when nothing of that reference is known.
  Result<std::optional<Matter>> MatterOf(Duty duty, const std::string& reference) const {
    RETURN_IF_ERROR(CheckReference(reference));
    auto found = matters().Find(duty, reference, at);
    if (found.status().code() == Code::kNotFound) return std::optional<Matter>();
    RETURN_IF_ERROR(found.status());
    return std::optional(*std::move(found));
  }

  // The one person of the condition, or none. Errors: kConflict for several.
  Result<std::optional<SubjectHandle>> SubjectOf(const v1::SearchCondition& condition) const {
    const RecordFile& file = projector->file();
    v1::SearchCondition rest = condition;
    rest.clear_resident_code();
    rest.clear_individual_number();
    if (condition.resident_code().empty() != condition.individual_number().empty() && rest.ByteSizeLong() == 0) {
      const auto slot = condition.resident_code().empty()
                            ? file.FindByIndividualNumber(condition.individual_number(), at)
                            : file.FindByResidentCode(condition.resident_code(), at);
      if (slot.status().code() == Code::kNotFound) return std::optional<SubjectHandle>();
      RETURN_IF_ERROR(slot.status());
      ASSIGN_OR_RETURN(const Version version, file.Read(*slot, at, std::nullopt));
      return std::optional(version.handle);
    }
    ASSIGN_OR_RETURN(const SearchPage page, projector->search().Find(condition, at, today, 2, {}));
    if (page.too_broad || page.hits.size() > 1) {
      return Conflict("condition: 複数の者が該当します。条件を加えて一人に特定してください");
    }
    return page.hits.empty() ? std::optional<SubjectHandle>() : std::optional(page.hits[0].handle);
  }

  // What holds of a person today.
  Result<Version> CurrentOf(const SubjectHandle& subject) const {
    ASSIGN_OR_RETURN(const KeySlot slot, projector->file().FindByHandle(subject));
    return projector->file().Read(slot, at, today);
  }

  LetterHead Head() const {
    LetterHead head;
    head.number = order.letter.number;
    head.date = today;
    head.addressee = order.letter.addressee;
    head.governor = order.letter.governor;
    head.glyphs = order.letter.glyphs;
    return head;
  }
  Status CheckLetter() const {
    if (order.letter.number.empty()) return Invalid("number: 文書番号が要ります");
    return order.letter.addressee.empty() ? Invalid("applicant: 宛名が要ります") : Status();
  }
  Status CheckConfirmed() const {
    return registry().CheckConfirmation(order.kind, Sha256Of({order.event}), order.confirmed_by,
                                      order.operator_act.operator_id());
  }
};

namespace {

// What a disclosure shows, as of the position at which it was evaluated.
struct Shown {
  DisclosedRecord facts;
  std::vector<Position> positions;  // of the entries that it rests on
  std::string lines;                // whose digest is in the event
  std::uint64_t count = 0;
};

Result<Shown> Evaluate(const Projector& projector, const Registry& registry, const v1::Disclosure& event,
                       const SubjectHandle& subject) {
  const Position at(event.evaluated_at());
  Shown out;
  out.facts.reference = event.reference();
  out.facts.received_on = DateOf(event.applicant().received_on());
  out.facts.capacity = event.applicant().capacity();
  out.facts.evaluated_at = at;
  out.facts.evidence = true;
  const RecordFile& file = projector.file();
  ASSIGN_OR_RETURN(const KeySlot slot, file.FindByHandle(subject));
  const auto show = [&](const Version& version) {
    out.lines += VersionJson(version) + "\n";
    out.positions.push_back(version.position);
    ++out.count;
  };
  if (HasScope(event, v1::DISCLOSURE_SCOPE_RECORD)) {
    ASSIGN_OR_RETURN(out.facts.current, file.Read(slot, at, DateOf(event.decided_on())));
    show(*out.facts.current);
  }
  if (event.history()) {
    ASSIGN_OR_RETURN(out.facts.history, file.History(slot, at));
    for (const Version& version : out.facts.history) show(version);
  }
  if (HasScope(event, v1::DISCLOSURE_SCOPE_USE)) {
    out.facts.use = true;
    ASSIGN_OR_RETURN(const auto given, ProvisionRegister(projector.store()).GivenOf(subject, at));
    for (const ProvisionRegister::Given& each : given) {
      const v1::Provision& provision = each.event.provision;
      const auto agency = registry.agencies().find(provision.agency());
      ProvisionLine line;
      line.position = each.event.position;
      line.at = each.event.admitted_at;
      line.transfer = each.event.kind == v1::EVENT_KIND_TRANSFER;
      line.recipient = agency == registry.agencies().end() ? provision.agency() : agency->second.name();
      line.basis = provision.basis();
      line.duty = provision.duty();
      line.fields = {each.result.released_fields().begin(), each.result.released_fields().end()};
      line.despite_suspension = each.result.despite_suspension();
      out.facts.provisions.push_back(std::move(line));
      out.lines += ProvisionJson(each) + "\n";
      out.positions.push_back(each.event.position);
      ++out.count;
    }
  }
  std::ranges::sort(out.positions);
  out.positions.erase(std::ranges::unique(out.positions).begin(), out.positions.end());
  return out;
}

// Whether the folder holds the letter that the event names.
bool Keeps(const std::string& file, const std::string& digest) {
  const auto bytes = ReadFile(file);
  return bytes.ok() && View(Sha256Of({*bytes})) == digest;
}

Status HandedOut() { return Conflict("reference: 決定済みで、文書は交付済みです"); }

}  // namespace

std::string Disclosing::FolderOf(Duty duty, const std::string& reference) const {
  return options_.dir + "/" + std::string(DutyName(duty)) + "/" + reference;
}

Result<std::string> Disclosing::Sealed(const Letter& letter) const {
  ASSIGN_OR_RETURN(const std::string pdf, LetterPdf(letter));
  ASSIGN_OR_RETURN(const CertifiedKey seal, options_.seal());
  return SignPdf(pdf, seal, options_.clock->Now());
}

// What an earlier call left on its way is in the ledger, or is not, before anything is judged.
Status Disclosing::Settle() {
  ASSIGN_OR_RETURN(const std::optional<Position> behind, options_.settle());
  if (behind && !options_.projector()->WaitFor(*behind, kVisibleWait)) return Unavailable("admitted, but not visible yet");
  return {};
}

Result<DisclosingOutcome> Disclosing::Submit(const Turn& turn, const google::protobuf::Message& event,
                                             const SubjectHandle* subject) {
  DraftEvent draft;
  draft.kind = turn.order.kind;
  draft.retention = v1::RETENTION_CLASS_DISCLOSURE;
  draft.payload = event.SerializeAsString();
  // A matter about nobody in the record file is sealed under nobody's key.
  if (subject != nullptr && turn.projector->file().FindByHandle(*subject).ok()) draft.subject = View(*subject);
  ASSIGN_OR_RETURN(const v1::Receipt receipt, options_.submit({draft}));
  if (receipt.outcome() == v1::OUTCOME_REJECTED) {
    return Internal("the event was rejected: " +
                    (receipt.violations_size() > 0 ? receipt.violations(0).message() : std::string()));
  }
  const Position position(receipt.last_position());
  if (!options_.projector()->WaitFor(Position(position.value() + 1), kVisibleWait)) {
    return Unavailable("admitted, but not visible yet");
  }
  return DisclosingOutcome{position, "", ""};
}

Status Disclosing::WriteEvidence(const std::string& folder, const std::vector<Position>& positions) const {
  const std::string dir = folder + "/evidence";
  RETURN_IF_ERROR(MakeDirectories(dir));
  // The newest entry is under a checkpoint a moment later.
  auto left = options_.checkpoint_wait;
  constexpr milliseconds kPause{200};
  for (auto it = positions.rbegin(); it != positions.rend(); ++it) {
    const std::string file = fmt::format("{}/{}.proof", dir, it->value());
    if (FileExists(file)) continue;
    auto proof = ProveEntry(options_.ledger, *options_.log, *it);
    while (proof.status().code() == Code::kNotFound && left.count() > 0) {
      std::this_thread::sleep_for(kPause);
      left -= kPause;
      proof = ProveEntry(options_.ledger, *options_.log, *it);
    }
    if (proof.status().code() == Code::kNotFound) return Unavailable("evidence: no checkpoint covers the disclosure yet");
    RETURN_IF_ERROR(proof.status());
    RETURN_IF_ERROR(WriteFileDurably(file, *proof));
  }
  return {};
}

Result<DisclosingOutcome> Disclosing::Carry(const DisclosingOrder& order) {
  const std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(Settle());
  Turn turn{order, options_.projector(), nullptr, {}, options_.clock->Now(), {}};
  turn.today = JapanDate(turn.now);
  const auto [next, registry] = turn.projector->registry_at_position();
  if (next.value() == 0) return Unavailable("the ledger is empty");
  turn.at = Position(next.value() - 1);
  turn.in_force = registry;
  if (auto refusal = CheckAct(*registry, order.operator_act, kDiscloseTag, Sha256Of({order.event}),
                              v1::PERMISSION_DISCLOSE, turn.now)) {
    return Denied(std::move(refusal->message));
  }
  const auto parse = [&](auto event, auto carry) -> Result<DisclosingOutcome> {
    if (!event.ParseFromString(order.event) || event.SerializeAsString() != order.event) {
      return Invalid("event: cannot be decoded");
    }
    return (this->*carry)(turn, std::move(event));
  };
  switch (order.kind) {
    case v1::EVENT_KIND_DISCLOSURE: return parse(v1::Disclosure(), &Disclosing::Disclose);
    case v1::EVENT_KIND_CORRECTION_REQUESTED: return parse(v1::CorrectionRequested(), &Disclosing::AskCorrection);
    case v1::EVENT_KIND_CORRECTION_DECIDED: return parse(v1::CorrectionDecided(), &Disclosing::DecideCorrection);
    case v1::EVENT_KIND_SUSPENSION_REQUESTED: return parse(v1::SuspensionRequested(), &Disclosing::AskSuspension);
    case v1::EVENT_KIND_SUSPENSION_DECIDED: return parse(v1::SuspensionDecided(), &Disclosing::DecideSuspension);
    default: return Invalid("kind: none of this duty");
  }
}

// --- 開示 ----------------------------------------------------------------------------------------------------

Result<DisclosingOutcome> Disclosing::Disclose(const Turn& turn, v1::Disclosure event) {
  if (!Same(event, AsOrdered(event))) return Invalid("event: holds what only the ledger's side may say");
  ASSIGN_OR_RETURN(const std::optional<Matter> matter, turn.MatterOf(Duty::kDisclosure, event.reference()));
  if (event.stage() == v1::DISCLOSURE_STAGE_RECEIVED) {
    if (matter) {
      if (!Same(AsOrdered(Parsed<v1::Disclosure>(matter->events[0])), event)) {
        return Conflict("reference: この番号は別の請求に使われています");
      }
      return DisclosingOutcome{matter->events[0].position, "", ""};
    }
    const bool record = HasScope(event, v1::DISCLOSURE_SCOPE_RECORD);
    if (event.scopes().empty() && !event.history()) return Invalid("scope: 何も請求されていません");
    RETURN_IF_ERROR(CheckApplicant(event.applicant(), record || event.history()));
    const Date received = DateOf(event.applicant().received_on());
    if (received > turn.today) return Invalid("received_on: まだ来ていない日です");
    if (event.due_on() != FormatDate(DisclosureDue(received))) return Invalid("due_on: 受理の日から起算して30日目ではありません");
    ASSIGN_OR_RETURN(const auto subject, turn.SubjectOf(event.condition()));
    *event.mutable_operator_act() = turn.order.operator_act;
    return Submit(turn, event, subject ? &*subject : nullptr);
  }
  if (!matter) return NotFound("reference: 受理されていません");
  const MatterEvent& last = matter->events.back();
  const auto earlier = Parsed<v1::Disclosure>(last);
  if (!Same(event.applicant(), earlier.applicant()) || event.due_on() != earlier.due_on() ||
      event.history() != earlier.history() || !std::ranges::equal(event.scopes(), earlier.scopes())) {
    return Conflict("reference: 受理した請求と内容が違います");
  }
  if (event.stage() == v1::DISCLOSURE_STAGE_DECIDED) return DecideDisclosure(turn, std::move(event));
  if (event.stage() != v1::DISCLOSURE_STAGE_EXTENDED) return Invalid("stage: unknown");

  const std::string folder = FolderOf(Duty::kDisclosure, event.reference());
  const std::string file = folder + "/extension.pdf";
  if (earlier.stage() != v1::DISCLOSURE_STAGE_RECEIVED) {
    if (!Same(AsOrdered(earlier), event)) return Conflict("reference: 延長又は決定をした後です");
    return Keeps(file, earlier.document_digest()) ? Result(DisclosingOutcome{last.position, folder, ""}) : HandedOut();
  }
  const auto extended_to = ParseDate(event.extended_to());
  if (!extended_to || event.extended_to() <= event.due_on()) return Invalid("extended_to: 元の期限より後の日です");
  if (event.extension_reason().empty()) return Invalid("extension_reason: 理由が要ります");
  // 法30条の33第2項: told within the first term.
  if (FormatDate(turn.today) > event.due_on()) return Conflict("due_on: 期限を過ぎてからは延長できません");
  RETURN_IF_ERROR(turn.CheckLetter());
  ASSIGN_OR_RETURN(const std::string pdf,
                   Sealed(ExtensionLetter(turn.Head(), {event.reference(), DateOf(event.applicant().received_on()),
                                                        DateOf(event.due_on()), *extended_to, event.extension_reason()})));
  RETURN_IF_ERROR(MakeDirectories(folder));
  RETURN_IF_ERROR(WriteFileDurably(file, pdf));
  event.set_document_digest(std::string(View(Sha256Of({pdf}))));
  *event.mutable_operator_act() = turn.order.operator_act;
  ASSIGN_OR_RETURN(DisclosingOutcome out, Submit(turn, event, &last.subject));
  out.folder = folder;
  return out;
}

Result<DisclosingOutcome> Disclosing::DecideDisclosure(const Turn& turn, v1::Disclosure event) {
  ASSIGN_OR_RETURN(const Matter matter, turn.matters().Find(Duty::kDisclosure, event.reference(), turn.at));
  const MatterEvent& last = matter.events.back();
  const auto earlier = Parsed<v1::Disclosure>(last);
  const std::string folder = FolderOf(Duty::kDisclosure, event.reference());
  const std::string file = folder + "/letter.pdf";
  std::vector<Position> stages;
  for (const MatterEvent& stage : matter.events) stages.push_back(stage.position);

  const auto finish = [&](const v1::Disclosure& decided, const SubjectHandle& subject,
                          Position position) -> Result<DisclosingOutcome> {
    DisclosingOutcome out{position, folder, ""};
    if (decided.result() == v1::DISCLOSURE_RESULT_NOT_HELD) out.result = "not_held";
    if (decided.result() == v1::DISCLOSURE_RESULT_DISCLOSED) {
      out.result = "disclosed";
      ASSIGN_OR_RETURN(Shown shown, Evaluate(*turn.projector, turn.registry(), decided, subject));
      for (const Position stage : stages) shown.positions.push_back(stage);
      std::ranges::sort(shown.positions);
      RETURN_IF_ERROR(WriteEvidence(folder, shown.positions));
    }
    return out;
  };
  if (earlier.stage() == v1::DISCLOSURE_STAGE_DECIDED) {
    v1::Disclosure ordered = AsOrdered(earlier);
    ordered.set_decided_on(event.decided_on());  // asked again on a later day
    if (!Same(ordered, event) || !Keeps(file, earlier.document_digest())) return HandedOut();
    return finish(earlier, last.subject, last.position);
  }
  if (event.decided_on() != FormatDate(turn.today)) return Invalid("decided_on: 今日ではありません");
  if (event.extended_to() != earlier.extended_to() || event.extension_reason() != earlier.extension_reason()) {
    return Conflict("reference: 延長の内容が違います");
  }
  *event.mutable_operator_act() = turn.order.operator_act;
  if (event.result() == v1::DISCLOSURE_RESULT_WITHDRAWN) return Submit(turn, event, &last.subject);
  RETURN_IF_ERROR(turn.CheckLetter());
  event.set_evaluated_at(turn.at.value());
  NotDisclosed told;
  told.reference = event.reference();
  told.received_on = DateOf(event.applicant().received_on());
  told.evaluated_at = turn.at;
  told.evaluated_time = turn.now;
  told.reason = turn.order.letter.details;
  Letter letter;
  SubjectHandle subject = last.subject;
  if (event.result() == v1::DISCLOSURE_RESULT_REFUSED) {
    if (told.reason.empty()) return Invalid("reason: 開示しない理由が要ります");
    letter = RefusalLetter(turn.Head(), told);
  } else {
    ASSIGN_OR_RETURN(const auto found, turn.SubjectOf(event.condition()));
    std::string lines;
    if (!found) {
      event.set_result(v1::DISCLOSURE_RESULT_NOT_HELD);
      letter = NotHeldLetter(turn.Head(), told);
    } else {
      subject = *found;
      event.set_result(v1::DISCLOSURE_RESULT_DISCLOSED);
      ASSIGN_OR_RETURN(Shown shown, Evaluate(*turn.projector, turn.registry(), event, subject));
      shown.facts.evaluated_time = turn.now;
      letter = DisclosureLetter(turn.Head(), shown.facts);
      event.set_result_count(shown.count);
      lines = std::move(shown.lines);
      if (shown.facts.current || !shown.facts.history.empty()) {
        for (const std::string& field : RecordFields()) event.add_released_fields(field);
      }
    }
    event.set_result_digest(std::string(View(Sha256Of({lines}))));
  }
  ASSIGN_OR_RETURN(const std::string pdf, Sealed(letter));
  RETURN_IF_ERROR(MakeDirectories(folder));
  RETURN_IF_ERROR(WriteFileDurably(file, pdf));
  event.set_document_digest(std::string(View(Sha256Of({pdf}))));
  ASSIGN_OR_RETURN(const DisclosingOutcome out, Submit(turn, event, &subject));
  stages.push_back(out.position);
  return finish(event, subject, out.position);
}

// --- 訂正 ----------------------------------------------------------------------------------------------------

Result<DisclosingOutcome> Disclosing::AskCorrection(const Turn& turn, v1::CorrectionRequested event) {
  ASSIGN_OR_RETURN(const std::optional<Matter> matter, turn.MatterOf(Duty::kCorrection, event.reference()));
  if (matter) return AskedBefore(*matter, event, "申出");
  RETURN_IF_ERROR(CheckApplicant(event.applicant(), true));
  if (DateOf(event.applicant().received_on()) > turn.today) return Invalid("received_on: まだ来ていない日です");
  if (event.items().empty()) return Invalid("items: 申出の内容がありません");
  for (const v1::CorrectionItem& item : event.items()) {
    if (std::ranges::count(RecordFields(), item.field()) == 0) return Invalid("items.field: 本人確認情報の項目ではありません");
    if (item.kind() != v1::CORRECTION_KIND_DELETE && item.claimed().empty()) return Invalid("items.claimed: 内容が要ります");
  }
  // 法30条の35: who has received a disclosure.
  ASSIGN_OR_RETURN(const std::vector<Matter> disclosures, turn.matters().All(Duty::kDisclosure, turn.at));
  for (const Matter& disclosure : disclosures) {
    const MatterEvent& decided = disclosure.events.back();
    if (decided.position.value() != event.disclosure_position()) continue;
    const auto shown = Parsed<v1::Disclosure>(decided);
    if (shown.result() != v1::DISCLOSURE_RESULT_DISCLOSED || shown.released_fields().empty()) break;
    *event.mutable_operator_act() = turn.order.operator_act;
    return Submit(turn, event, &decided.subject);
  }
  return Conflict("disclosure: 本人確認情報の開示を受けた記録がありません");
}

Result<DisclosingOutcome> Disclosing::DecideCorrection(const Turn& turn, v1::CorrectionDecided event) {
  if (!Same(event, AsOrdered(event))) return Invalid("event: holds what only the ledger's side may say");
  ASSIGN_OR_RETURN(const std::optional<Matter> matter, turn.MatterOf(Duty::kCorrection, event.reference()));
  if (!matter) return NotFound("reference: 申出を受けていません");
  if (event.requested_position() != matter->events[0].position.value()) {
    return Conflict("requested_position: この番号の申出ではありません");
  }
  if (event.notice_position() != 0) return LinkCorrection(turn, *matter, event);
  const std::string folder = FolderOf(Duty::kCorrection, event.reference());
  const std::string file = folder + "/letter.pdf";
  const MatterEvent& last = matter->events.back();
  if (last.kind == v1::EVENT_KIND_CORRECTION_DECIDED) {
    const auto decided = Parsed<v1::CorrectionDecided>(last);
    if (!Same(AsOrdered(decided), event) || !Keeps(file, decided.document_digest())) return HandedOut();
    return DisclosingOutcome{last.position, folder, ""};
  }
  const auto requested = Parsed<v1::CorrectionRequested>(last);
  if (event.finding() == v1::CORRECTION_FINDING_UNSPECIFIED) return Invalid("finding: 調査の結果が要ります");
  const auto investigated = ParseDate(event.investigated_on());
  if (!investigated || *investigated > turn.today) return Invalid("investigated_on: 調査を終えた日が要ります");
  if (event.replied_on() != FormatDate(turn.today)) return Invalid("replied_on: 今日ではありません");
  const bool register_error = event.finding() == v1::CORRECTION_FINDING_REGISTER_ERROR;
  const auto reported = ParseDate(event.report().reported_on());
  if (register_error != event.has_report()) return Invalid("report: 住民票の誤りのときに限り、通報が要ります");
  if (register_error && (FindMunicipality(event.report().municipality()) == nullptr || !reported ||
                         *reported > turn.today || event.report().reference().empty())) {
    return Invalid("report: 通報した市町村、日及び文書番号が要ります");
  }
  RETURN_IF_ERROR(turn.CheckLetter());
  RETURN_IF_ERROR(turn.CheckConfirmed());
  ASSIGN_OR_RETURN(const Version current, turn.CurrentOf(last.subject));

  CorrectionAnswer answer;
  answer.reference = event.reference();
  answer.received_on = DateOf(requested.applicant().received_on());
  answer.items = {requested.items().begin(), requested.items().end()};
  answer.finding = event.finding();
  answer.investigated_on = *investigated;
  answer.details = turn.order.letter.details;
  answer.municipality = register_error ? event.report().municipality() : current.issuer;
  if (reported) answer.reported_on = *reported;
  ASSIGN_OR_RETURN(const std::string pdf, Sealed(CorrectionLetter(turn.Head(), answer)));
  RETURN_IF_ERROR(MakeDirectories(folder));
  RETURN_IF_ERROR(WriteFileDurably(file, pdf));
  event.set_document_digest(std::string(View(Sha256Of({pdf}))));
  if (register_error) {
    LetterHead head = turn.Head();
    head.number = event.report().reference();
    head.date = *reported;
    const v1::UpdateNotice& notice = current.notice;
    ASSIGN_OR_RETURN(const std::string report,
                     Sealed(MunicipalityReportLetter(head, {event.reference(), event.report().municipality(),
                                                            notice.resident_code(), notice.record().name(),
                                                            notice.record().birth(), answer.items, answer.details})));
    RETURN_IF_ERROR(WriteFileDurably(folder + "/report.pdf", report));
    event.set_report_digest(std::string(View(Sha256Of({report}))));
  }
  *event.mutable_operator_act() = turn.order.operator_act;
  *event.mutable_confirmed_by() = turn.order.confirmed_by;
  ASSIGN_OR_RETURN(DisclosingOutcome out, Submit(turn, event, &last.subject));
  out.folder = folder;
  return out;
}

Result<DisclosingOutcome> Disclosing::LinkCorrection(const Turn& turn, const Matter& matter,
                                                     const v1::CorrectionDecided& order) {
  v1::CorrectionDecided bare;
  bare.set_reference(order.reference());
  bare.set_requested_position(order.requested_position());
  bare.set_notice_position(order.notice_position());
  if (!Same(bare, order)) return Invalid("event: 訂正の通知との結び付けは、番号と位置だけです");
  const MatterEvent& last = matter.events.back();
  if (last.kind != v1::EVENT_KIND_CORRECTION_DECIDED) return Conflict("reference: まだ決定していません");
  auto event = Parsed<v1::CorrectionDecided>(last);
  if (event.notice_position() == order.notice_position()) return DisclosingOutcome{last.position, "", ""};
  if (event.finding() == v1::CORRECTION_FINDING_NO_ERROR) return Conflict("reference: 誤りは認められていません");
  ASSIGN_OR_RETURN(const KeySlot slot, turn.projector->file().FindByHandle(last.subject));
  ASSIGN_OR_RETURN(const std::vector<Version> history, turn.projector->file().History(slot, turn.at));
  const bool later = order.notice_position() > matter.events[0].position.value();
  if (!later || std::ranges::count(history, Position(order.notice_position()), &Version::position) == 0) {
    return Conflict("notice_position: 申出の後に受けた、この者の通知ではありません");
  }
  event.set_notice_position(order.notice_position());
  *event.mutable_operator_act() = turn.order.operator_act;
  return Submit(turn, event, &last.subject);
}

// --- 利用停止 --------------------------------------------------------------------------------------------------

Result<DisclosingOutcome> Disclosing::AskSuspension(const Turn& turn, v1::SuspensionRequested event) {
  ASSIGN_OR_RETURN(const std::optional<Matter> matter, turn.MatterOf(Duty::kSuspension, event.reference()));
  if (matter) return AskedBefore(*matter, event, "請求");
  RETURN_IF_ERROR(CheckApplicant(event.applicant(), true));
  if (DateOf(event.applicant().received_on()) > turn.today) return Invalid("received_on: まだ来ていない日です");
  if (event.grounds().empty()) return Invalid("grounds: 請求の理由が要ります");
  if (std::ranges::count(event.bases(), "") > 0) return Invalid("bases: 空の根拠があります");
  ASSIGN_OR_RETURN(const auto subject, turn.SubjectOf(event.condition()));
  if (!subject) return NotFound("condition: 該当する者の記録がありません");
  *event.mutable_operator_act() = turn.order.operator_act;
  return Submit(turn, event, &*subject);
}

Result<DisclosingOutcome> Disclosing::DecideSuspension(const Turn& turn, v1::SuspensionDecided event) {
  if (!Same(event, AsOrdered(event))) return Invalid("event: holds what only the ledger's side may say");
  ASSIGN_OR_RETURN(const std::optional<Matter> matter, turn.MatterOf(Duty::kSuspension, event.reference()));
  if (!matter) return NotFound("reference: 請求を受けていません");
  if (event.requested_position() != matter->events[0].position.value()) {
    return Conflict("requested_position: この番号の請求ではありません");
  }
  const bool lifts = event.result() == v1::SUSPENSION_RESULT_LIFTED;
  const std::string folder = FolderOf(Duty::kSuspension, event.reference());
  const std::string file = folder + (lifts ? "/lifting.pdf" : "/letter.pdf");
  const MatterEvent& last = matter->events.back();
  v1::SuspensionDecided earlier;
  if (last.kind == v1::EVENT_KIND_SUSPENSION_DECIDED) {
    earlier = Parsed<v1::SuspensionDecided>(last);
    if (Same(AsOrdered(earlier), event)) {
      return Keeps(file, earlier.document_digest()) ? Result(DisclosingOutcome{last.position, folder, ""}) : HandedOut();
    }
  }
  if (lifts != (earlier.result() == v1::SUSPENSION_RESULT_SUSPENDED) ||
      (!lifts && earlier.result() != v1::SUSPENSION_RESULT_UNSPECIFIED)) {
    return Conflict(lifts ? "reference: 利用停止をしていません" : "reference: 決定した後です");
  }
  if (event.decided_on() != FormatDate(turn.today)) return Invalid("decided_on: 今日ではありません");
  const auto requested = Parsed<v1::SuspensionRequested>(matter->events[0]);
  *event.mutable_operator_act() = turn.order.operator_act;
  if (event.result() == v1::SUSPENSION_RESULT_WITHDRAWN) return Submit(turn, event, &last.subject);

  SuspensionAnswer answer;
  const bool stops = event.result() == v1::SUSPENSION_RESULT_SUSPENDED;
  if (stops || lifts) {
    const auto from = ParseDate(event.valid_from());
    answer.valid_until = ParseDate(event.valid_until());
    if (!from || *from < turn.today) return Invalid("valid_from: 今日以後の日です");
    if (!event.valid_until().empty() && (!answer.valid_until || *answer.valid_until < *from || lifts)) {
      return Invalid("valid_until: valid_from 以後の日です");
    }
    if (lifts && !std::ranges::equal(event.bases(), earlier.bases())) return Invalid("bases: 停止した範囲と違います");
    answer.valid_from = *from;
  } else if (event.result() != v1::SUSPENSION_RESULT_REFUSED) {
    return Invalid("result: unknown");
  } else if (turn.order.letter.details.empty()) {
    return Invalid("reason: 利用停止をしない理由が要ります");
  }
  RETURN_IF_ERROR(turn.CheckLetter());
  RETURN_IF_ERROR(turn.CheckConfirmed());
  answer.reference = event.reference();
  answer.received_on = DateOf(requested.applicant().received_on());
  answer.result = event.result();
  answer.bases = {event.bases().begin(), event.bases().end()};
  answer.reason = turn.order.letter.details;
  ASSIGN_OR_RETURN(const std::string pdf, Sealed(SuspensionLetter(turn.Head(), answer)));
  RETURN_IF_ERROR(MakeDirectories(folder));
  RETURN_IF_ERROR(WriteFileDurably(file, pdf));
  event.set_document_digest(std::string(View(Sha256Of({pdf}))));
  *event.mutable_confirmed_by() = turn.order.confirmed_by;
  ASSIGN_OR_RETURN(DisclosingOutcome out, Submit(turn, event, &last.subject));
  out.folder = folder;
  return out;
}

// --- What is open ----------------------------------------------------------------------------------------------

namespace {

ordered_json DisclosureLine(const Matter& matter, Date today) {
  const auto last = Parsed<v1::Disclosure>(matter.events.back());
  ordered_json out = {{"reference", matter.reference}, {"received_on", last.applicant().received_on()}, {"due_on", last.due_on()}};
  if (!last.extended_to().empty()) {
    out["extended_to"] = last.extended_to();
    out["extension_reason"] = last.extension_reason();
  }
  out["requested_position"] = matter.events.front().position.value();
  out["position"] = matter.events.back().position.value();
  if (last.stage() == v1::DISCLOSURE_STAGE_DECIDED) {
    static const std::map<int, const char*> results = {{v1::DISCLOSURE_RESULT_DISCLOSED, "disclosed"},
                                                       {v1::DISCLOSURE_RESULT_NOT_HELD, "not_held"},
                                                       {v1::DISCLOSURE_RESULT_REFUSED, "refused"},
                                                       {v1::DISCLOSURE_RESULT_WITHDRAWN, "withdrawn"}};
    out["stage"] = "decided";
    out["result"] = results.at(last.result());
    out["decided_on"] = last.decided_on();
    return out;
  }
  out["stage"] = last.stage() == v1::DISCLOSURE_STAGE_EXTENDED ? "extended" : "received";
  // Today and the last day both count.
  const Date end = DateOf(last.extended_to().empty() ? last.due_on() : last.extended_to());
  const std::int64_t left = DayNumber(end) - DayNumber(today) + 1;
  out["days_left"] = left;
  if (left <= 0) {
    out["warning"] = "overdue";
  } else if (left <= kWarningDays) {
    out["warning"] = "soon";
  }
  return out;
}

ordered_json CorrectionLine(const Matter& matter, const RecordFile& file, Position at) {
  const auto requested = Parsed<v1::CorrectionRequested>(matter.events.front());
  ordered_json out = {{"reference", matter.reference},
                      {"received_on", requested.applicant().received_on()},
                      {"disclosure_position", requested.disclosure_position()},
                      {"requested_position", matter.events.front().position.value()},
                      {"position", matter.events.back().position.value()}};
  if (matter.events.back().kind != v1::EVENT_KIND_CORRECTION_DECIDED) {
    out["stage"] = "requested";
    return out;
  }
  static const std::map<int, const char*> findings = {{v1::CORRECTION_FINDING_NO_ERROR, "no_error"},
                                                      {v1::CORRECTION_FINDING_COPY_ERROR, "copy_error"},
                                                      {v1::CORRECTION_FINDING_REGISTER_ERROR, "register_error"}};
  const auto decided = Parsed<v1::CorrectionDecided>(matter.events.back());
  out["finding"] = findings.at(decided.finding());
  out["replied_on"] = decided.replied_on();
  if (decided.has_report()) {
    out["report"] = {{"municipality", decided.report().municipality()}, {"reported_on", decided.report().reported_on()},
                     {"reference", decided.report().reference()}};
  }
  out["stage"] = decided.notice_position() != 0 ? "linked" : "decided";
  if (decided.notice_position() != 0) {
    out["notice_position"] = decided.notice_position();
  } else if (decided.finding() != v1::CORRECTION_FINDING_NO_ERROR) {
    // Notices that came since: one of them may be the correction.
    out["notices_since"] = ordered_json::array();
    if (const auto slot = file.FindByHandle(matter.events.front().subject); slot.ok()) {
      const auto history = file.History(*slot, at);
      for (const Version& version : history.ok() ? *history : std::vector<Version>()) {
        if (version.position > matter.events.front().position) out["notices_since"].push_back(version.position.value());
      }
    }
  }
  return out;
}

ordered_json SuspensionLine(const Matter& matter, Date today) {
  const auto requested = Parsed<v1::SuspensionRequested>(matter.events.front());
  ordered_json out = {{"reference", matter.reference},
                      {"received_on", requested.applicant().received_on()},
                      {"requested_position", matter.events.front().position.value()},
                      {"position", matter.events.back().position.value()}};
  if (matter.events.back().kind != v1::EVENT_KIND_SUSPENSION_DECIDED) {
    out["stage"] = "requested";
    return out;
  }
  static const std::map<int, const char*> results = {{v1::SUSPENSION_RESULT_SUSPENDED, "suspended"},
                                                     {v1::SUSPENSION_RESULT_REFUSED, "refused"},
                                                     {v1::SUSPENSION_RESULT_LIFTED, "lifted"},
                                                     {v1::SUSPENSION_RESULT_WITHDRAWN, "withdrawn"}};
  const auto decided = Parsed<v1::SuspensionDecided>(matter.events.back());
  out["stage"] = "decided";
  out["result"] = results.at(decided.result());
  out["decided_on"] = decided.decided_on();
  out["bases"] = ordered_json::array();
  for (const std::string& basis : decided.bases()) out["bases"].push_back(basis);
  if (!decided.valid_from().empty()) out["valid_from"] = decided.valid_from();
  if (!decided.valid_until().empty()) out["valid_until"] = decided.valid_until();
  const std::string day = FormatDate(today);
  // A lifting that has not begun leaves the suspension as it is.
  const bool stands = decided.result() == v1::SUSPENSION_RESULT_SUSPENDED && decided.valid_from() <= day &&
                      (decided.valid_until().empty() || day <= decided.valid_until());
  out["in_force"] = stands || (decided.result() == v1::SUSPENSION_RESULT_LIFTED && day < decided.valid_from());
  return out;
}

}  // namespace

Result<std::string> Disclosing::ListJson(Duty duty) const {
  const std::shared_ptr<const Projector> projector = options_.projector();
  const Position next = projector->position();
  if (next.value() == 0) return std::string();
  const Position at(next.value() - 1);
  const Date today = JapanDate(options_.clock->Now());
  ASSIGN_OR_RETURN(const std::vector<Matter> matters, MatterRegister(projector->store()).All(duty, at));
  std::string out;
  for (const Matter& matter : matters) {
    const ordered_json line = duty == Duty::kDisclosure   ? DisclosureLine(matter, today)
                              : duty == Duty::kCorrection ? CorrectionLine(matter, projector->file(), at)
                                                          : SuspensionLine(matter, today);
    out += line.dump() + "\n";
  }
  return out;
}

}  // namespace daicho
