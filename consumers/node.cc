#include "consumers/node.h"

#include <google/protobuf/util/json_util.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "consumers/audit_diff.h"
#include "consumers/backup.h"
#include "consumers/disclosing.h"
#include "consumers/erasing.h"
#include "consumers/kikou_inquiring.h"
#include "consumers/kikou_notifying.h"
#include "consumers/node_socket.h"
#include "consumers/notice_json.h"
#include "consumers/policy/first_rules.h"
#include "consumers/policy_explanation.h"
#include "consumers/providing.h"
#include "consumers/provision_answer.h"
#include "consumers/provision_report.h"
#include "consumers/publishing.h"
#include "consumers/matching_files.h"
#include "consumers/reading.h"
#include "consumers/reconciling.h"
#include "consumers/registry_json.h"
#include "consumers/submitter.h"
#include "events/clock.h"
#include "events/topics.h"
#include "ledger/entry_stream.h"
#include "ledger/files.h"
#include "ledger/key_store.h"
#include "ledger/sequencer.h"
#include "projections/live_projector.h"

namespace daicho {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kVisibleWait{60'000};
constexpr std::chrono::seconds kCompareAgain{5};

node::Response Answered(const Status& status) {
  node::Response response;
  response.set_code(static_cast<std::int32_t>(status.code()));
  response.set_message(status.message());
  return response;
}

// Of a role that issues events, the registrar excepted: its registration.
v1::IssuerRegistered RoleIssuerOf(Home home, HomeKey role) {
  struct Known {
    const char* name;
    v1::IssuerRole may;
  };
  static const std::map<HomeKey, Known> roles = {
      {HomeKey::kRecords, {"本人確認情報検索", v1::ISSUER_ROLE_RECORDS}},
      {HomeKey::kProvider, {"提供・移転", v1::ISSUER_ROLE_PROVIDER}},
      {HomeKey::kDisclosure, {"開示・訂正・利用停止", v1::ISSUER_ROLE_DISCLOSURE}},
      {HomeKey::kRetention, {"保存期間の管理", v1::ISSUER_ROLE_RETENTION}},
      {HomeKey::kKikou, {"機構への通知・照会", v1::ISSUER_ROLE_KIKOU}},
      {HomeKey::kReconciler, {"整合性確認", v1::ISSUER_ROLE_RECONCILER}}};
  const Known& known = roles.at(role);
  const Key256 key = RoleKey(home, role).public_key();
  v1::IssuerRegistered out;
  out.set_issuer(RoleIssuer(home.prefecture, NameOf(role)));
  out.set_name(known.name);
  out.set_public_key(std::string(View(key)));
  out.set_key_id(NoteKeyId(IssuerOrigin(home.prefecture, out.issuer()), key));
  out.set_role(known.may);
  return out;
}

}  // namespace

struct Node::Impl {
  Node* self = nullptr;
  Home home;
  NodeOptions options;
  SystemClock clock;
  std::unique_ptr<KeyHolder> holder;
  std::unique_ptr<Log> log;
  LocalLog* local_log = nullptr;  // the same, if it is one
  std::unique_ptr<KeyStore> keys;
  std::unique_ptr<Sequencer> sequencer;
  std::unique_ptr<LiveProjector> projector;
  std::unique_ptr<Reading> reading;
  std::unique_ptr<Providing> providing;
  std::unique_ptr<Disclosing> disclosing;
  std::unique_ptr<Reconciling> reconciling;
  std::unique_ptr<KikouInquiring> inquiring;
  std::unique_ptr<KikouNotifying> notifying;
  std::unique_ptr<Publishing> publishing;
  std::unique_ptr<Erasing> erasing;
  std::unique_ptr<SocketServer> home_socket, log_socket;
  std::jthread sequencing, retaining, renewing, comparing;

  std::mutex mutex;
  std::condition_variable_any changed;
  Status failure;  // of the first role that failed; guarded by mutex
  std::string comparison_failure;  // of the last scheduled comparison; guarded by mutex
  std::mutex registrar_mutex;

  bool Has(const char* role) const { return options.roles.contains(role); }

  Status Start() {
    ASSIGN_OR_RETURN(holder, OpenHolder(home));
    ASSIGN_OR_RETURN(log, OpenLog(home.log, home.kafka_config));
    local_log = dynamic_cast<LocalLog*>(log.get());
    const auto mode = Has("sequencer") ? KeyStore::Mode::kWrite : KeyStore::Mode::kRead;
    ASSIGN_OR_RETURN(keys, KeyStore::Open(home.Path("keystore"), mode, holder.get()));
    if (Has("sequencer")) RETURN_IF_ERROR(StartSequencer());
    if (Has("projector")) RETURN_IF_ERROR(StartProjector());
    RETURN_IF_ERROR(ReplaceLostIntake());
    if (Has("records")) RETURN_IF_ERROR(StartReading());
    if (Has("kikou")) RETURN_IF_ERROR(StartKikou());  // before the provider, whose questions it asks
    if (Has("provider")) RETURN_IF_ERROR(StartProviding());
    if (Has("disclosure")) RETURN_IF_ERROR(StartDisclosing());
    if (Has("reconciler")) RETURN_IF_ERROR(StartReconciling());
    if (Has("notary")) RETURN_IF_ERROR(StartPublishing());
    if (Has("retention")) RETURN_IF_ERROR(StartRetention());
    if (!options.listen) return {};
    const auto handle = [this](const node::Request& request) { return self->Answer(request); };
    ASSIGN_OR_RETURN(home_socket, SocketServer::Listen(home.Socket(), handle));
    if (IsLocal(home.log)) {
      const auto logs_only = [this](const node::Request& request) { return AnswerLogRequest(*log, request, false); };
      ASSIGN_OR_RETURN(log_socket,
                       SocketServer::Listen(LocalDirectory(home.log) + "/node.sock", logs_only));
    }
    return {};
  }

  Status StartSequencer() {
    SequencerOptions o;
    o.prefecture = home.prefecture;
    o.ledger = home.ledger;
    o.registrar_public_key = home.root;
    o.ledger_keys = [this] { return HeldLedgerKeys(home); };
    o.state_dir = home.Path("sequencer");
    o.log = log.get();
    o.keys = keys.get();
    o.at_rest = holder.get();
    o.clock = &clock;
    ASSIGN_OR_RETURN(sequencer, Sequencer::Open(std::move(o)));
    sequencing = std::jthread([this](std::stop_token stop) { Finish("sequencer", sequencer->Run(stop)); });
    return {};
  }

  Status StartProjector() {
    ProjectorOptions o;
    o.prefecture = home.prefecture;
    o.ledger = home.ledger;
    o.registrar_public_key = home.root;
    o.dir = home.Path("record_file");
    o.log = log.get();
    o.keys = keys.get();
    o.at_rest = holder.get();
    ASSIGN_OR_RETURN(o.matching, CurrentMatching(home));
    ASSIGN_OR_RETURN(const CopyKey copy_key, ReadCopyKeyFile(home.Path(kCopyKeyFile)));
    o.copies = std::make_shared<CopyKeying>(copy_key);
    o.block_cache_bytes = options.cache_bytes / 2;
    o.version_cache_bytes = options.cache_bytes / 2;
    o.progress = options.progress;
    ASSIGN_OR_RETURN(projector, LiveProjector::Start(std::move(o), [this](const Status& status) {
                       Finish("projector", status);
                     }));
    if (!Has("retention")) renewing = std::jthread([this](std::stop_token stop) { Renew(stop); });
    return {};
  }

  Status StartReading() {
    if (projector == nullptr) return Invalid("roles: records needs projector");
    ReadingOptions o;
    o.ledger = home.ledger;
    o.projector = [this] { return projector->get(); };
    o.clock = &clock;
    o.submit = [this](const DraftEvent& event) { return SubmitReading(event); };
    reading = std::make_unique<Reading>(std::move(o));
    return {};
  }

  Status StartProviding() {
    if (projector == nullptr) return Invalid("roles: provider needs projector");
    ProvidingOptions o;
    o.prefecture = home.prefecture;
    o.ledger = home.ledger;
    o.dir = home.Path("provider");
    o.log = log.get();
    o.clock = &clock;
    o.projector = [this] { return projector->get(); };
    o.submit = [this](const std::vector<DraftEvent>& events) { return provider.Submit(events); };
    o.settle = [this] { return provider.Settle(); };
    o.elsewhere = [this](std::vector<v1::InquiryAsked> questions,
                         const KikouInquiring::Told& told) -> Result<std::vector<InquiryOutcome>> {
      if (inquiring == nullptr) return NotFound("this node does not inquire of 機構");
      return inquiring->AskFor(std::move(questions), told);
    };
    o.follow = options.listen;
    o.failed = [this](const Status& status) { Finish("provider", status); };
    ASSIGN_OR_RETURN(providing, Providing::Start(std::move(o)));
    return {};
  }

  Status StartDisclosing() {
    if (projector == nullptr) return Invalid("roles: disclosure needs projector");
    DisclosingOptions o;
    o.ledger.prefecture = home.prefecture;
    o.ledger.ledger = home.ledger;
    o.ledger.registrar = home.root;
    o.dir = home.Path("disclosures");
    o.log = log.get();
    o.clock = &clock;
    o.projector = [this] { return projector->get(); };
    o.submit = [this](const std::vector<DraftEvent>& events) { return disclosure.Submit(events); };
    o.settle = [this] { return disclosure.Settle(); };
    o.seal = [this] { return SealOf(home, clock.Now()); };
    disclosing = std::make_unique<Disclosing>(std::move(o));
    return {};
  }

  node::Response Disclose(const node::Disclose& request) {
    if (disclosing == nullptr) return Answered(Unsupported("this node does not disclose"));
    DisclosingOrder order;
    order.kind = static_cast<v1::EventKind>(request.kind());
    order.event = request.event();
    if (!order.operator_act.ParseFromString(request.operator_act())) return Answered(Invalid("operator: cannot be read"));
    if (!order.confirmed_by.ParseFromString(request.confirmed_by())) return Answered(Invalid("confirmed_by: cannot be read"));
    order.letter.number = request.number();
    order.letter.addressee = {request.addressee().begin(), request.addressee().end()};
    order.letter.governor = request.governor();
    order.letter.details = request.details();
    for (const node::Disclose::Glyph& glyph : request.glyphs()) order.letter.glyphs[glyph.character()] = glyph.png();
    const auto outcome = disclosing->Carry(order);
    if (!outcome.ok()) return Answered(outcome.status());
    nlohmann::ordered_json json = {{"position", outcome->position.value()}};
    if (!outcome->folder.empty()) json["folder"] = outcome->folder;
    if (!outcome->result.empty()) json["result"] = outcome->result;
    node::Response response;
    response.set_json(json.dump());
    return response;
  }

  Status StartKikou() {
    if (projector == nullptr) return Invalid("roles: kikou needs projector");
    KikouInquiringOptions i;
    i.ledger = home.ledger;
    i.clock = &clock;
    i.projector = [this] { return projector->get(); };
    i.peer = [this] { return ReadKikouPeer(home); };
    i.key = [this] { return SignerOf(HomeKey::kKikou); };
    i.prepare = [this] { return Register(HomeKey::kKikou); };
    i.submit = [this](const std::vector<DraftEvent>& events) { return kikou.Submit(events); };
    i.settle = [this] { return kikou.Settle(); };
    KikouNotifyingOptions o;
    o.prefecture = home.prefecture;
    o.ledger = home.ledger;
    o.log = log.get();
    o.keys = keys.get();
    o.clock = &clock;
    o.projector = i.projector;
    o.peer = i.peer;
    o.key = i.key;
    o.prepare = [this]() -> Status {
      RETURN_IF_ERROR(Register(HomeKey::kKikou));
      return inquiring->CloseInterrupted();
    };
    o.submit = i.submit;
    o.settle = i.settle;
    o.follow = options.listen;
    o.failed = [this](const Status& status) { Finish("kikou", status); };
    inquiring = std::make_unique<KikouInquiring>(std::move(i));
    ASSIGN_OR_RETURN(notifying, KikouNotifying::Start(std::move(o)));
    return {};
  }

  Status StartReconciling() {
    if (projector == nullptr) return Invalid("roles: reconciler needs projector");
    ReconcilingOptions o;
    o.prefecture = home.prefecture;
    o.ledger = home.ledger;
    o.dir = home.Path("reconcile");
    o.clock = &clock;
    o.projector = [this] { return projector->get(); };
    o.peer = [this] { return ReadKikouPeer(home); };
    o.kikou_key = [this] { return SignerOf(HomeKey::kKikou); };
    ASSIGN_OR_RETURN(o.copy_key, ReadCopyKeyFile(home.Path(kCopyKeyFile)));
    o.ledger_size = [this] { return LedgerSize(); };
    o.prepare = [this] { return Register(HomeKey::kReconciler); };
    o.submit = [this](const std::vector<DraftEvent>& events) { return reconciler.Submit(events); };
    o.settle = [this] { return reconciler.Settle(); };
    reconciling = std::make_unique<Reconciling>(std::move(o));
    if (options.listen) comparing = std::jthread([this](std::stop_token stop) { CompareOnSchedule(stop); });
    return {};
  }

  // What a crash cut off first; then, where a time was given, one comparison with 機構 after another.
  void CompareOnSchedule(std::stop_token stop) {
    std::unique_lock lock(mutex);
    const auto wait = [&](std::chrono::seconds time) {
      return changed.wait_for(lock, stop, time, [&] { return stop.stop_requested(); });
    };
    const auto unlocked = [&](const auto& what) {
      lock.unlock();
      const Status status = what();
      lock.lock();
      comparison_failure = status.ok() ? "" : status.message();
      return status.ok();
    };
    while (!unlocked([&] { return reconciling->FinishPending(); })) {
      if (wait(kCompareAgain)) return;
    }
    if (options.reconcile_every.count() == 0) return;
    while (!wait(options.reconcile_every)) {
      unlocked([&] { return reconciling->Run({}).status(); });
    }
  }

  node::Response Reconcile(const node::Reconcile& request) {
    if (reconciling == nullptr) return Answered(Unsupported("this node does not compare copies"));
    ReconcileOrder order;
    order.holder = request.holder();
    order.municipality = request.municipality();
    order.file = request.file();
    order.url = request.url();
    order.out = request.out();
    if (!order.operator_act.ParseFromString(request.operator_act()) || order.operator_act.operator_id().empty()) {
      return Answered(Invalid("operator: cannot be read"));
    }
    const auto outcome = reconciling->Run(order);
    if (!outcome.ok()) return Answered(outcome.status());
    node::Response response;
    response.set_json(ComparisonJson(*outcome));
    return response;
  }

  node::Response ResolveDifference(const node::ResolveDifference& request) {
    if (reconciling == nullptr) return Answered(Unsupported("this node does not compare copies"));
    v1::DifferenceResolved event;
    v1::OperatorAct act;
    if (!event.ParseFromString(request.event())) return Answered(Invalid("event: cannot be read"));
    if (!act.ParseFromString(request.operator_act())) return Answered(Invalid("operator: cannot be read"));
    const auto position = reconciling->Resolve(std::move(event), act);
    if (!position.ok()) return Answered(position.status());
    node::Response response;
    response.set_end(position->value());
    return response;
  }

  node::Response Comparisons(const std::function<Result<std::string>()>& lines) {
    if (reconciling == nullptr) return Answered(Unsupported("this node does not compare copies"));
    auto json = lines();
    if (!json.ok()) return Answered(json.status());
    node::Response response;
    response.set_json(*std::move(json));
    return response;
  }

  // A ledger from before there was such a role has it registered at the role's first use.
  Status Register(HomeKey role) {
    const auto known = [&](const Registry& registry) { return registry.issuers().contains(HolderOf(role)); };
    if (known(*projector->get()->registry())) return {};
    ASSIGN_OR_RETURN(const std::uint64_t size, LedgerSize());
    if (!projector->get()->WaitFor(Position(size), kVisibleWait)) return Unavailable("the record file is behind the ledger");
    if (known(*projector->get()->registry())) return {};
    return self->Administer(v1::EVENT_KIND_ISSUER_REGISTERED, RoleIssuerOf(role).SerializeAsString());
  }
  v1::IssuerRegistered RoleIssuerOf(HomeKey role) {
    const std::lock_guard lock(keys_mutex);
    return daicho::RoleIssuerOf(home, role);
  }

  node::Response NotifyKikou() {
    if (notifying == nullptr) return Answered(Unsupported("this node does not notify 機構"));
    if (const Status status = notifying->Notify(); !status.ok()) return Answered(status);
    node::Response response;
    response.set_json(notifying->StatusJson());
    return response;
  }

  node::Response Inquire(const node::Inquire& request) {
    if (inquiring == nullptr) return Answered(Unsupported("this node does not inquire of 機構"));
    v1::OperatorAct act;
    if (!act.ParseFromString(request.operator_act())) return Answered(Invalid("operator: cannot be read"));
    const auto outcome = inquiring->Ask(request.event(), act);
    if (!outcome.ok()) return Answered(outcome.status());
    node::Response response;
    response.set_json(InquiryJson(*outcome));
    return response;
  }

  static std::string InquiryJson(const InquiryOutcome& outcome) {
    using nlohmann::ordered_json;
    static const std::map<v1::AnswerOutcome, const char*> words = {{v1::ANSWER_OUTCOME_UNSPECIFIED, "unanswered"},
                                                                   {v1::ANSWER_OUTCOME_FOUND, "found"},
                                                                   {v1::ANSWER_OUTCOME_NONE, "none"},
                                                                   {v1::ANSWER_OUTCOME_MULTIPLE, "multiple"},
                                                                   {v1::ANSWER_OUTCOME_REFUSED, "refused"}};
    ordered_json out = {{"outcome", words.at(outcome.outcome)},
                        {"positions", {outcome.asked.value(), outcome.answered.value()}}};
    if (outcome.outcome == v1::ANSWER_OUTCOME_MULTIPLE) out["matches"] = outcome.match_count;
    if (!outcome.refusal.empty()) out["reason"] = outcome.refusal;
    if (outcome.outcome != v1::ANSWER_OUTCOME_FOUND) return out.dump();
    out["status"] = outcome.resident.removed() ? "removed" : "resident";
    v1::UpdateNotice shown;
    shown.set_resident_code(outcome.resident.resident_code());
    *shown.mutable_record() = outcome.resident.record();
    out["record"] = ordered_json::parse(ReleasedRecordJson(shown, outcome.fields));
    return out.dump();
  }

  Status StartPublishing() {
    PublishingOptions o;
    o.notary.prefecture = home.prefecture;
    o.notary.ledger = home.ledger;
    o.notary.registrar_public_key = home.root;
    o.notary.key_of = [this](const Key256& public_key) -> Result<SigningKey> {
      ASSIGN_OR_RETURN(const LedgerKeys held, HeldLedgerKeys(home));
      for (const SigningKey& key : held.receipts) {
        if (key.public_key() == public_key) return key;
      }
      return Denied("the node does not hold the ledger's key");
    };
    o.notary.dir = home.Path("notary");
    o.notary.log = log.get();
    o.notary.clock = &clock;
    o.listen = options.http;
    o.certificate_file = options.certificate_file;
    o.key_file = options.key_file;
    o.failed = [this](const Status& status) { Finish("notary", status); };
    ASSIGN_OR_RETURN(publishing, Publishing::Start(std::move(o)));
    return {};
  }

  Status StartRetention() {
    if (projector == nullptr || sequencer == nullptr) return Invalid("roles: retention needs sequencer and projector");
    ErasingOptions o;
    o.ledger = home.ledger;
    o.projector = projector.get();
    o.keys = keys.get();
    o.clock = &clock;
    o.submit = [this](const std::vector<DraftEvent>& events) { return SubmitRetention(events); };
    o.rotate_intake = [this] { return self->RotateKey(HomeKey::kIntake, "消去に伴う更新"); };
    o.old_intake_destroyed = [this]() -> Result<bool> {
      RETURN_IF_ERROR(TendKeys());
      return !FileExists(OldKeyPath(home, HomeKey::kIntake)) && !FileExists(NextKeyPath(home, HomeKey::kIntake));
    };
    o.backups = [this](Position erased_through) {
      return BackupsBehind(home, erased_through, JapanDate(clock.Now()));
    };
    erasing = std::make_unique<Erasing>(std::move(o));
    if (options.listen) retaining = std::jthread([this](std::stop_token stop) { Retain(stop); });
    return {};
  }

  // Another process may erase: what is served here is built anew then.
  void Renew(std::stop_token stop) {
    while (!stop.stop_requested()) {
      Status status = keys->Refresh();
      if (status.ok() && projector->outdated()) status = projector->Renew();
      if (!status.ok() && !status.retriable()) return Finish("projector", status);
      for (int i = 0; i < 10 && !stop.stop_requested(); ++i) std::this_thread::sleep_for(milliseconds(20));
    }
  }

  // Carries on what an earlier process had ordered, then once a day what the standing order asks for.
  void Retain(std::stop_token stop) {
    std::optional<Date> done;
    bool carried_on = false;
    while (!stop.stop_requested()) {
      if (projector->get()->position() >= sequencer->position()) {
        const Date today = JapanDate(clock.Now());
        Status status = carried_on ? Status() : erasing->CarryOn();
        carried_on |= status.ok();
        if (status.ok() && done != today) {
          status = erasing->RunStanding(today).status();
          if (status.ok()) done = today;
        }
        if (!status.ok() && !status.retriable()) return Finish("retention", status);
      }
      for (int i = 0; i < 50 && !stop.stop_requested(); ++i) std::this_thread::sleep_for(milliseconds(20));
    }
  }

  std::mutex retention_mutex;

  Result<Position> SubmitRetention(const std::vector<DraftEvent>& events) {
    const std::lock_guard lock(retention_mutex);
    ASSIGN_OR_RETURN(auto submitter, Submitter::Open(OutboxOf(HomeKey::kRetention)));
    ASSIGN_OR_RETURN(const v1::Receipt receipt, submitter->Submit(events));
    if (receipt.outcome() == v1::OUTCOME_REJECTED) {
      return Invalid(receipt.violations_size() > 0 ? receipt.violations(0).message() : "rejected");
    }
    return Position(receipt.last_position());
  }

  Result<std::uint64_t> LedgerSize() {
    if (sequencer != nullptr) return sequencer->position().value();
    ASSIGN_OR_RETURN(const Position end, LedgerEnd(*log, Topics{home.prefecture}.Ledger()));
    return end.value();
  }

  void Finish(const char* role, Status status) {
    if (status.ok()) return;
    const std::lock_guard lock(mutex);
    if (failure.ok()) failure = status.With(role);
    changed.notify_all();
  }

  node::Response Provide(const node::Provide& request) {
    if (providing == nullptr) return Answered(Unsupported("this node does not provide"));
    ProvisionAsked asked;
    asked.request = request.request();
    asked.signature = request.signature();
    asked.out = request.out();
    if (!asked.operator_act.ParseFromString(request.operator_act())) return Answered(Invalid("operator: cannot be read"));
    if (asked.operator_act.operator_id().empty()) return Answered(Denied("operator: 操作者が要ります"));
    if (!request.request_file().empty()) {
      auto bytes = ReadFile(request.request_file());
      if (!bytes.ok()) return Answered(bytes.status());
      asked.request = std::move(*bytes);
    }
    auto outcome = providing->Provide(asked);
    if (!outcome.ok()) return Answered(outcome.status());
    node::Response response;
    response.set_json(OutcomeJson(*outcome));
    if (!outcome->cms.empty()) response.add_blobs(std::move(outcome->cms));
    return response;
  }

  static std::string OutcomeJson(const ProvisionOutcome& outcome) {
    using nlohmann::ordered_json;
    const bool refused = outcome.refusal != v1::REFUSAL_REASON_UNSPECIFIED;
    ordered_json out = {{"outcome", refused ? "refused" : "answered"}};
    if (refused) {
      out["refusal"] = ReasonWord(outcome.refusal);
      out["message"] = outcome.message;
    }
    for (const FileError& error : outcome.errors) {
      out["errors"].push_back({{"line", error.line}, {"field", error.field}, {"rule", error.rule}, {"message", error.message}});
    }
    if (!refused) {
      out["found"] = outcome.found;
      out["none"] = outcome.none;
      out["multiple"] = outcome.multiple;
      out["refused"] = outcome.refused;
    }
    out["positions"] = {outcome.first.value(), outcome.last.value()};
    if (!outcome.file_digest.empty()) out["sha256"] = ToHex(outcome.file_digest);
    return out.dump();
  }

  std::mutex keys_mutex;  // guards the home's keys

  // What a rotation leaves to do: to take the key that is in force by now, to destroy the one before once nothing
  // is sealed to it. A crash delays that, no more.
  Status TendKeys() {
    const std::lock_guard lock(keys_mutex);
    if (projector != nullptr) {
      for (const HomeKey key : kHomeKeys) {
        if (!FileExists(NextKeyPath(home, key))) continue;
        const auto current = projector->get()->registry()->CurrentKey(UseOf(key), HolderOf(key));
        if (current.ok()) RETURN_IF_ERROR(TakeNextKey(home, key, current->key));
      }
    }
    const std::string old = OldKeyPath(home, HomeKey::kIntake);
    if (sequencer == nullptr || !FileExists(old) || FileExists(NextKeyPath(home, HomeKey::kIntake))) return {};
    ASSIGN_OR_RETURN(const LedgerKeys held, HeldLedgerKeys(home));
    auto drained = sequencer->IntakeDrained(held.intake.front().public_key);
    if (!drained.ok() || !*drained) return {};
    RETURN_IF_ERROR(DestroyOldKey(home, HomeKey::kIntake));
    return sequencer->ReloadKeys();
  }

  // As the ledger names the key.
  static v1::KeyUse UseOf(HomeKey key) {
    if (key == HomeKey::kIntake) return v1::KEY_USE_INTAKE;
    return key == HomeKey::kReceipts ? v1::KEY_USE_SEQUENCER : v1::KEY_USE_ISSUER;
  }
  std::string HolderOf(HomeKey key) const {
    return UseOf(key) == v1::KEY_USE_ISSUER ? RoleIssuer(home.prefecture, NameOf(key)) : "";
  }
  // Of the key that signs.
  SigningKey SignerOf(HomeKey key) {
    const std::lock_guard lock(keys_mutex);
    return key == HomeKey::kReceipts ? home.receipts : RoleKey(home, key);
  }

  // A home restored from before a rotation of the intake key lacks the one in force, by which nobody's submission can
  // be opened; the sequencer waits with all but the registrar's until there is another.
  Status ReplaceLostIntake() {
    if (sequencer == nullptr || projector == nullptr || sequencer->HoldsIntake()) return {};
    while (!projector->get()->WaitFor(sequencer->position(), milliseconds(200))) {
      const std::lock_guard lock(mutex);
      RETURN_IF_ERROR(failure);
    }
    // What was made for a later rotation before the backup may have been in force, and never comes back.
    ASSIGN_OR_RETURN(const Key256 next, PrepareNextKey(home, HomeKey::kIntake, ""));
    const Registry registry = *projector->get()->registry();
    for (const KeySpan& span : registry.Keys(v1::KEY_USE_INTAKE, "")) {
      if (span.key == View(next)) RETURN_IF_ERROR(DestroyNextKey(home, HomeKey::kIntake));
    }
    RETURN_IF_ERROR(DestroyOldKey(home, HomeKey::kIntake));
    return self->RotateKey(HomeKey::kIntake, "復元した鍵に代わる更新");
  }

  SubmitterOptions OutboxOf(HomeKey role) {
    const std::lock_guard lock(keys_mutex);
    SubmitterOptions o;
    o.issuer = HolderOf(role);
    o.dir = home.Path("outbox/" + o.issuer);
    o.prefecture = home.prefecture;
    o.key = RoleKey(home, role);
    o.next_key = [this, role] { return NextRoleKey(home, role); };
    o.on_next_key = [this, role]() -> Status {
      ASSIGN_OR_RETURN(const std::optional<SigningKey> next, NextRoleKey(home, role));
      const std::lock_guard taking(keys_mutex);
      return TakeNextKey(home, role, View(next->public_key()));
    };
    o.pin = LedgerPin{home.ledger, home.intake.public_key, home.receipts.public_key()};
    o.log = log.get();
    o.clock = &clock;
    // A restored home has no outbox: the ledger says what its roles have said.
    if (projector != nullptr) o.tree = projector->get()->IssuerTree(o.issuer);
    return o;
  }

  // A role that submits all the time.
  struct Outbox {
    Impl& impl;
    HomeKey role;
    std::mutex mutex = {};
    std::unique_ptr<Submitter> submitter = nullptr;  // guarded by mutex

    Status Open() {
      if (submitter != nullptr) return {};
      ASSIGN_OR_RETURN(submitter, Submitter::Open(impl.OutboxOf(role)));
      return {};
    }
    Result<v1::Receipt> Submit(const std::vector<DraftEvent>& events) {
      const std::lock_guard lock(mutex);
      RETURN_IF_ERROR(Open());
      return submitter->Submit(events);
    }
    // Position behind what a crash or a failure had left on its way.
    Result<std::optional<Position>> Settle() {
      const std::lock_guard lock(mutex);
      RETURN_IF_ERROR(Open());
      ASSIGN_OR_RETURN(const auto receipt, submitter->SettlePending());
      if (!receipt || receipt->outcome() == v1::OUTCOME_REJECTED) return std::optional<Position>();
      return std::optional(Position(receipt->last_position() + 1));
    }
  };
  Outbox records{*this, HomeKey::kRecords}, provider{*this, HomeKey::kProvider}, disclosure{*this, HomeKey::kDisclosure},
      kikou{*this, HomeKey::kKikou}, reconciler{*this, HomeKey::kReconciler};

  Status SubmitReading(const DraftEvent& event) {
    ASSIGN_OR_RETURN(const v1::Receipt receipt, records.Submit({event}));
    if (receipt.outcome() == v1::OUTCOME_REJECTED) {
      return Internal("the event of the reading was rejected: " +
                      (receipt.violations_size() > 0 ? receipt.violations(0).rule() : ""));
    }
    return {};
  }
};

Node::Node(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Node::~Node() {
  impl_->home_socket.reset();
  impl_->log_socket.reset();
  impl_->providing.reset();
  impl_->notifying.reset();
  for (std::jthread* role : {&impl_->comparing, &impl_->retaining, &impl_->renewing, &impl_->sequencing}) {
    role->request_stop();
    if (role->joinable()) role->join();
  }
  impl_->publishing.reset();
}

Result<std::unique_ptr<Node>> Node::Start(Home home, NodeOptions options) {
  auto impl = std::make_unique<Impl>();
  impl->home = std::move(home);
  impl->options = std::move(options);
  Impl& started = *impl;
  std::unique_ptr<Node> out(new Node(std::move(impl)));
  started.self = out.get();
  RETURN_IF_ERROR(started.Start());
  return out;
}

Log& Node::log() { return *impl_->log; }

Status Node::Wait(const std::function<bool()>& stop) {
  std::unique_lock lock(impl_->mutex);
  while (impl_->failure.ok()) {
    // It may ask this node, whose answers take the lock.
    lock.unlock();
    const bool stopped = stop();
    lock.lock();
    if (stopped) break;
    impl_->changed.wait_for(lock, milliseconds(200));
    lock.unlock();
    if (Status status = impl_->TendKeys(); !status.retriable()) impl_->Finish("keys", status);
    lock.lock();
  }
  return impl_->failure;
}

node::Response Node::Answer(const node::Request& request) {
  node::Response response;
  switch (request.what_case()) {
    case node::Request::kStatus: {
      auto json = StatusJson();
      if (!json.ok()) return Answered(json.status());
      response.set_json(std::move(*json));
      return response;
    }
    case node::Request::kAwaitVisible: {
      if (impl_->projector == nullptr) return Answered(Unsupported("this node has no projector"));
      const std::shared_ptr<const Projector> projector = impl_->projector->get();
      const milliseconds wait(request.await_visible().wait_ms());
      projector->WaitFor(Position(request.await_visible().position()), std::min(wait, kVisibleWait));
      response.set_end(projector->position().value());
      return response;
    }
    case node::Request::kReadRecord: {
      if (impl_->reading == nullptr) return Answered(Unsupported("this node does not answer readings"));
      auto answer = impl_->reading->Read(request.read_record().request(), request.read_record().signature());
      if (!answer.ok()) return Answered(answer.status());
      response.set_json(std::move(answer->lines));
      response.set_explanation(std::move(answer->explanation));
      return response;
    }
    case node::Request::kProvide:
      return impl_->Provide(request.provide());
    case node::Request::kDisclose:
      return impl_->Disclose(request.disclose());
    case node::Request::kNotifyKikou:
      return impl_->NotifyKikou();
    case node::Request::kInquire:
      return impl_->Inquire(request.inquire());
    case node::Request::kReconcile:
      return impl_->Reconcile(request.reconcile());
    case node::Request::kResolveDifference:
      return impl_->ResolveDifference(request.resolve_difference());
    case node::Request::kListDifferences:
      return impl_->Comparisons([&] {
        return impl_->reconciling->CasesJson(request.list_differences().holder(), request.list_differences().open());
      });
    case node::Request::kListComparisons:
      return impl_->Comparisons([&] { return impl_->reconciling->RunsJson(); });
    case node::Request::kWriteSketch:
      return impl_->Comparisons([&]() -> Result<std::string> {
        RETURN_IF_ERROR(impl_->reconciling->WriteSketch(request.write_sketch().file(), request.write_sketch().lengthened()));
        return std::string("{}");
      });
    case node::Request::kWriteCopyKey:
      return impl_->Comparisons([&]() -> Result<std::string> {
        const node::WriteCopyKey& asked = request.write_copy_key();
        RETURN_IF_ERROR(impl_->reconciling->WriteKeyOf(asked.municipality(), asked.file()));
        return std::string("{}");
      });
    case node::Request::kListMatters: {
      if (impl_->disclosing == nullptr) return Answered(Unsupported("this node does not disclose"));
      const std::uint32_t duty = request.list_matters();
      if (duty < 1 || duty > 3) return Answered(Invalid("list_matters: no such duty"));
      auto lines = impl_->disclosing->ListJson(static_cast<Duty>(duty));
      if (!lines.ok()) return Answered(lines.status());
      response.set_json(std::move(*lines));
      return response;
    }
    case node::Request::kReadProvisions: {
      if (impl_->reading == nullptr) return Answered(Unsupported("this node does not answer readings"));
      auto answer = impl_->reading->ReadProvisions(request.read_provisions().request(), request.read_provisions().signature());
      if (!answer.ok()) return Answered(answer.status());
      response.set_json(std::move(answer->lines));
      return response;
    }
    case node::Request::kListProvisions: {
      if (impl_->projector == nullptr) return Answered(Unsupported("this node has no projector"));
      auto page = ListProvisions(*impl_->projector->get(), request.list_provisions());
      if (!page.ok()) return Answered(page.status());
      response.set_json(std::move(page->lines));
      if (page->next) response.set_end(page->next->value());
      return response;
    }
    case node::Request::kCountProvisions: {
      if (impl_->projector == nullptr) return Answered(Unsupported("this node has no projector"));
      auto rows = CountProvisions(*impl_->projector->get(), request.count_provisions());
      if (!rows.ok()) return Answered(rows.status());
      response.set_json(CountsJson(*rows));
      return response;
    }
    case node::Request::kRecordFileState:
      if (impl_->projector == nullptr) return Answered(Unsupported("this node has no projector"));
      return AnswerRecordFileState(*impl_->projector->get());
    case node::Request::kMarkVersions:
      if (impl_->projector == nullptr) return Answered(Unsupported("this node has no projector"));
      return AnswerMarkVersions(*impl_->projector->get(), request.mark_versions());
    case node::Request::kUseMatching:
      return Answered(UseMatching(request.use_matching()));
    case node::Request::kAdminister:
      return Answered(Administer(static_cast<v1::EventKind>(request.administer().kind()),
                                 request.administer().payload()));
    case node::Request::kRotateKey:
      for (const HomeKey key : kHomeKeys) {
        if (request.rotate_key().key() != NameOf(key)) continue;
        return Answered(RotateKey(key, request.rotate_key().reason(), request.rotate_key().token()));
      }
      return Answered(Invalid("key: none of the home's"));
    case node::Request::kRegistry: {
      if (impl_->projector == nullptr) return Answered(Unsupported("this node has no projector"));
      response.set_json(RegistryJson(*impl_->projector->get()->registry()));
      return response;
    }
    case node::Request::kExplainPolicy: {
      if (impl_->projector == nullptr) return Answered(Unsupported("this node has no projector"));
      auto json = ExplainPolicy(*impl_->projector->get(), request.explain_policy(), JapanDate(impl_->clock.Now()));
      if (!json.ok()) return Answered(json.status());
      response.set_json(std::move(*json));
      return response;
    }
    case node::Request::kPlanErasure: {
      if (impl_->erasing == nullptr) return Answered(Unsupported("this node has no retention role"));
      const auto today = ParseDate(request.plan_erasure().today());
      if (!today) return Answered(Invalid("today: not a date"));
      auto plans = impl_->erasing->Plan(*today);
      if (!plans.ok()) return Answered(plans.status());
      for (std::string& plan : *plans) response.add_blobs(std::move(plan));
      return response;
    }
    case node::Request::kRunErasure: {
      if (impl_->erasing == nullptr) return Answered(Unsupported("this node has no retention role"));
      std::vector<v1::Erasure> orders;
      for (const std::string& bytes : request.run_erasure().orders()) {
        if (!orders.emplace_back().ParseFromString(bytes)) return Answered(Invalid("orders: cannot be decoded"));
      }
      auto json = impl_->erasing->Run(orders);
      if (!json.ok()) return Answered(json.status());
      response.set_json(std::move(*json));
      return response;
    }
    case node::Request::kMakeBackup: {
      BackupOptions options;
      options.dir = request.make_backup().dir();
      options.keep_days = request.make_backup().keep_days();
      auto key = ToArray<32>(request.make_backup().key());
      if (!key.ok()) return Answered(Invalid("key: 32 bytes"));
      options.key = *key;
      auto json = MakeBackup(impl_->home, *impl_->keys, impl_->local_log, impl_->clock, options);
      if (!json.ok()) return Answered(json.status());
      response.set_json(std::move(*json));
      return response;
    }
    default:
      return AnswerLogRequest(*impl_->log, request, true);
  }
}

Status Node::UseMatching(const std::string& id) {
  if (impl_->projector == nullptr) return Unsupported("this node has no projector");
  ASSIGN_OR_RETURN(auto matching, FindMatching(impl_->home, id));
  RETURN_IF_ERROR(impl_->projector->Use(std::move(matching)));
  return SetCurrentMatching(impl_->home, id);
}

Status Node::Administer(v1::EventKind kind, const std::string& payload) {
  const std::lock_guard lock(impl_->registrar_mutex);
  ASSIGN_OR_RETURN(auto registrar, Submitter::Open(impl_->OutboxOf(HomeKey::kRegistrar)));
  DraftEvent event;
  event.kind = kind;
  event.payload = payload;
  if (const KindInfo* info = FindKind(kind)) {
    event.retention = info->retention;
    event.clear = info->clear;
  }
  ASSIGN_OR_RETURN(const v1::Receipt receipt, registrar->Submit({event}));
  if (receipt.outcome() == v1::OUTCOME_REJECTED) {
    return Invalid(receipt.violations_size() > 0 ? receipt.violations(0).message() : "rejected");
  }
  if (impl_->projector != nullptr &&
      !impl_->projector->get()->WaitFor(Position(receipt.last_position() + 1), kVisibleWait)) {
    return Unavailable("admitted, but not visible yet");
  }
  return {};
}

Status Node::RotateKey(HomeKey key, const std::string& reason, const std::string& token) {
  if (impl_->projector == nullptr) return Unsupported("this node has no projector");
  RETURN_IF_ERROR(impl_->TendKeys());
  if (key == HomeKey::kIntake && FileExists(OldKeyPath(impl_->home, key))) {
    return Conflict("the intake key before this one is still waited for");
  }
  ASSIGN_OR_RETURN(const Key256 next, PrepareNextKey(impl_->home, key, token));
  const v1::KeyUse use = Impl::UseOf(key);
  const std::string holder = impl_->HolderOf(key);
  const Registry registry = *impl_->projector->get()->registry();
  ASSIGN_OR_RETURN(const KeySpan current, registry.CurrentKey(use, holder));
  v1::KeyChanged change;
  change.set_use(use);
  change.set_holder(holder);
  change.set_action(v1::KEY_ACTION_ROTATE);
  change.set_old_key_id(current.key_id);
  change.set_new_public_key(std::string(View(next)));
  change.set_new_key_id(registry.KeyIdOf(use, holder, change.new_public_key()));
  change.set_algorithm(key == HomeKey::kIntake ? "x25519" : "ed25519");
  if (key != HomeKey::kIntake) {
    ASSIGN_OR_RETURN(*change.mutable_old_key_signature(),
                     impl_->SignerOf(key).TrySign(std::string(kKeyChangeTag) + change.new_public_key()));
  }
  change.set_reason(reason);
  RETURN_IF_ERROR(Administer(v1::EVENT_KIND_KEY_CHANGED, change.SerializeAsString()));
  return impl_->TendKeys();
}

Result<std::string> Node::StatusJson() {
  using nlohmann::ordered_json;
  ordered_json out = {{"prefecture", std::to_string(impl_->home.prefecture)}, {"log", impl_->home.log}};
  ASSIGN_OR_RETURN(const std::uint64_t size, impl_->LedgerSize());
  out["size"] = size;
  ordered_json roles = ordered_json::object();
  if (impl_->sequencer != nullptr) {
    const auto counters = impl_->sequencer->counters();
    roles["sequencer"] = {{"position", size},
                          {"submissions", {{"admitted", counters.admitted},
                                           {"repeated", counters.repeated},
                                           {"rejected", counters.rejected}}},
                          {"events", counters.events}};
  }
  if (impl_->projector != nullptr) {
    const std::shared_ptr<const Projector> projector = impl_->projector->get();
    const std::uint64_t position = projector->position().value();
    ordered_json file = {{"position", position}};
    if (auto counts = projector->file().Counts(); counts.ok()) {
      ASSIGN_OR_RETURN(const Digest digest, projector->file().ContentDigest());
      file["residents"] = counts->residents;
      file["removed"] = counts->removed;
      file["versions"] = counts->versions;
      file["awaiting_removal"] = counts->awaiting_removal;
      file["digest"] = ToHex(View(digest));
    }
    out["record_file"] = std::move(file);
    out["issuers"] = projector->registry()->issuers().size();
    roles["projector"] = {{"position", position}, {"lag", size > position ? size - position : 0}};
  }
  out["checkpoint"] = nullptr;
  if (impl_->publishing != nullptr) {
    out["checkpoint"] = ordered_json::parse(impl_->publishing->StatusJson());
    roles["notary"] = {{"position", out["checkpoint"].is_null() ? ordered_json(0) : out["checkpoint"]["size"]}};
    if (const std::string url = impl_->publishing->url(); !url.empty()) out["http"] = url;
  }
  if (impl_->providing != nullptr) {
    ASSIGN_OR_RETURN(const std::string json, impl_->providing->StatusJson());
    roles["provider"] = ordered_json::parse(json);
  }
  if (impl_->notifying != nullptr) {
    roles["kikou"] = ordered_json::parse(impl_->notifying->StatusJson());
    roles["kikou"]["inquiries"] = ordered_json::parse(impl_->inquiring->StatusJson());
  }
  if (impl_->reconciling != nullptr) {
    ASSIGN_OR_RETURN(const std::string json, impl_->reconciling->StatusJson());
    roles["reconciler"] = ordered_json::parse(json);
    const std::lock_guard lock(impl_->mutex);
    if (!impl_->comparison_failure.empty()) roles["reconciler"]["error"] = impl_->comparison_failure;
  }
  out["keys"] = {{"epoch", impl_->keys->epoch()}, {"erased_through", impl_->keys->erased_through().value()}};
  out["roles"] = std::move(roles);
  return out.dump();
}

namespace {

// 事務コード of the operators that a ledger begins with.
constexpr char kFirstDuty[] = "5-1";

v1::PolicyRules FirstRules() {
  v1::PolicyRules rules;
  CHECK(google::protobuf::util::JsonStringToMessage(std::string(policy::k_first_rules), &rules).ok());
  rules.set_version(1);
  return rules;
}

v1::RoleDefined OperatorRole(const char* role, const char* name, const char* duty,
                             std::initializer_list<v1::Permission> permissions) {
  v1::RoleDefined out;
  out.set_role(role);
  out.set_name(name);
  out.add_duties(duty);
  for (const v1::Permission permission : permissions) out.add_permissions(permission);
  return out;
}

}  // namespace

Status Found(const Home& home, const std::vector<Founder>& operators) {
  ASSIGN_OR_RETURN(auto log, OpenLog(home.log, home.kafka_config));
  RETURN_IF_ERROR(CreateLedgerTopics(*log, home.prefecture));
  if (log->ReadLast(Topics{home.prefecture}.Ledger()).ok()) {
    return Conflict("the log holds a ledger of this prefecture already");
  }
  log.reset();
  NodeOptions options;
  options.roles = {"sequencer"};
  ASSIGN_OR_RETURN(auto node, Node::Start(home, options));
  v1::LedgerOpened opened;
  opened.set_prefecture(static_cast<std::uint32_t>(home.prefecture));
  opened.set_ledger(std::string(View(home.ledger)));
  opened.set_opened_at(SystemClock().Now().value());
  opened.set_registrar_public_key(std::string(View(home.registrar.public_key())));
  opened.set_sequencer_public_key(std::string(View(home.receipts.public_key())));
  opened.set_intake_public_key(std::string(View(home.intake.public_key)));
  opened.set_software("daicho 1");
  *opened.mutable_algorithms() = OwnAlgorithms();
  RETURN_IF_ERROR(node->Administer(v1::EVENT_KIND_LEDGER_OPENED, opened.SerializeAsString()));

  const auto administer = [&](v1::EventKind kind, const google::protobuf::Message& message) {
    return node->Administer(kind, message.SerializeAsString());
  };
  for (const HomeKey role : {HomeKey::kRecords, HomeKey::kProvider, HomeKey::kDisclosure, HomeKey::kRetention,
                             HomeKey::kKikou, HomeKey::kReconciler}) {
    RETURN_IF_ERROR(administer(v1::EVENT_KIND_ISSUER_REGISTERED, RoleIssuerOf(home, role)));
  }
  std::vector<std::string> roles;
  for (const v1::RoleDefined& role :
       {OperatorRole("representative-terminal", "代表端末", kFirstDuty,
                     {v1::PERMISSION_READ_RECORD, v1::PERMISSION_READ_HISTORY, v1::PERMISSION_SEARCH,
                      v1::PERMISSION_PROVIDE, v1::PERMISSION_PROVIDE_BATCH, v1::PERMISSION_DISCLOSE,
                      v1::PERMISSION_INQUIRE, v1::PERMISSION_RECONCILE}),
        OperatorRole("administrator", "管理者", "admin",
                     {v1::PERMISSION_CONSENT, v1::PERMISSION_ERASE, v1::PERMISSION_ADMINISTER, v1::PERMISSION_AUDIT})}) {
    RETURN_IF_ERROR(administer(v1::EVENT_KIND_ROLE_DEFINED, role));
    roles.push_back(role.role());
  }
  for (const Founder& founder : operators) {
    v1::OperatorRegistered registered;
    registered.set_operator_id(founder.operator_id);
    registered.set_public_key(std::string(View(founder.public_key)));
    registered.set_key_id(NoteKeyId(founder.operator_id, founder.public_key));
    for (const std::string& role : roles) registered.add_roles(role);
    RETURN_IF_ERROR(administer(v1::EVENT_KIND_OPERATOR_REGISTERED, registered));
  }
  v1::PolicySet policy;
  policy.set_rules(FirstRules().SerializeAsString());
  RETURN_IF_ERROR(administer(v1::EVENT_KIND_POLICY_SET, policy));
  const auto add_schema = [&](std::string_view message, std::string schema) {
    v1::SchemaRegistered registered;
    registered.set_name(std::string(message));
    registered.set_sha256(std::string(View(Sha256Of({schema}))));
    registered.set_file_descriptor_set(std::move(schema));
    return administer(v1::EVENT_KIND_SCHEMA_REGISTERED, registered);
  };
  // What everything else lies in.
  RETURN_IF_ERROR(add_schema(v1::Entry::descriptor()->full_name(), EncodeSchema(*v1::Entry::descriptor())));
  for (const KindInfo& kind : Kinds()) RETURN_IF_ERROR(add_schema(kind.message, EncodeSchema(kind)));
  return {};
}

}  // namespace daicho
