#include "consumers/providing.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <deque>
#include <future>
#include <list>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "consumers/cms_file.h"
#include "consumers/operator_act.h"
#include "consumers/provision_answer.h"
#include "consumers/strict_json.h"
#include "events/crypto_cms.h"
#include "events/topics.h"
#include "ledger/entry_stream.h"
#include "ledger/files.h"

namespace daicho {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kResultsPerEvent = kPartsPerEventMax - 1;
constexpr std::size_t kGroupEvents = 128;  // of one submission
constexpr std::size_t kWindowEvents = 2 * kGroupEvents;  // of one request, evaluated and not in the ledger yet
constexpr milliseconds kVisibleWait{60'000};
constexpr milliseconds kPollWait{100};
constexpr std::size_t kPollRecords = 1'000;
constexpr std::size_t kPublishRecords = 256;
constexpr milliseconds kPublishGather{100};  // so that many answers are one append
constexpr std::size_t kPageEvents = 1'000;

const std::vector<std::string> kFamilies = {"answers", "cursors"};
// answers: agency 0 reference 0 delivered digest(32) → CMS. cursors: topic → where to go on reading it.
enum : Family { kAnswers, kCursors };

std::string AnswerKey(const v1::Provision& provision) {
  return provision.agency() + '\0' + provision.reference() + '\0' + provision.delivered_digest();
}

bool IsOnTopic(const v1::Provision& provision) {
  return provision.method() == v1::DELIVERY_METHOD_LINE && !provision.delivered_digest().empty();
}

// Adds what the recipient is told with every answer message to the answers' own lines.
std::string MessageContent(const LedgerId& ledger, const v1::Provision& provision, std::string_view prefix,
                           const Salt& salt, const std::string& why, std::string_view lines) {
  std::string out = "{\"format\":\"daicho-answer/1\",\"ledger\":\"" + ToHex(View(ledger)) + "\"";
  const auto text = [&](const char* name, std::string_view value) {
    ((out += ",\"") += name) += "\":";
    AppendJsonString(out, value);
  };
  const auto number = [&](const char* name, std::uint64_t value) {
    (((out += ",\"") += name) += "\":") += std::to_string(value);
  };
  text("agency", provision.agency());
  text("basis", provision.basis());
  text("duty", provision.duty());
  text("reference", provision.reference());
  text("mode", ModeName(provision.mode()));
  number("chunk", provision.chunk());
  number("chunk_count", provision.chunk_count());
  number("count", provision.result_count());
  number("evaluated_at", provision.evaluated_at());
  if (provision.cause_position() != 0) number("cause", provision.cause_position());
  if (provision.refusal() != v1::REFUSAL_REASON_UNSPECIFIED) {
    text("refusal", ReasonWord(provision.refusal()));
    text("message", why);
  }
  text("provision", Base64Encode(prefix));
  text("salt", ToHex(View(salt)));
  return (out += "}\n") += lines;
}

// Counts, digest and parts of one event's answers.
class EventAnswers {
 public:
  void Add(ConditionAnswer answer) {
    switch (answer.result.outcome()) {
      case v1::ANSWER_OUTCOME_FOUND: ++found_; break;
      case v1::ANSWER_OUTCOME_NONE: ++none_; break;
      case v1::ANSWER_OUTCOME_MULTIPLE: ++multiple_; break;
      default: ++refused_;
    }
    lines_ += answer.line;
    parts_.push_back({answer.result.SerializeAsString(), std::move(answer.subject)});
  }
  void PutInto(v1::Provision& provision) const {
    provision.set_result_count(parts_.size());
    provision.set_found_count(found_);
    provision.set_none_count(none_);
    provision.set_multiple_count(multiple_);
    provision.set_refused_count(refused_);
    provision.set_result_digest(std::string(View(Sha256Of({lines_}))));
  }
  const std::string& lines() const { return lines_; }
  std::vector<DraftEvent::Part>& parts() { return parts_; }

 private:
  std::string lines_;
  std::vector<DraftEvent::Part> parts_;
  std::uint64_t found_ = 0, none_ = 0, multiple_ = 0, refused_ = 0;
};

void Tally(const v1::Provision& provision, ProvisionOutcome& out) {
  out.found += provision.found_count();
  out.none += provision.none_count();
  out.multiple += provision.multiple_count();
  out.refused += provision.refused_count();
}

}  // namespace

struct Providing::Impl {
  explicit Impl(ProvidingOptions o) : options(std::move(o)), topics{options.prefecture} {}

  // An event on its way, and its answer message.
  struct Item {
    DraftEvent draft;
    v1::Provision provision;
    std::string cms;  // empty: nothing is delivered
    std::promise<Result<Position>> admitted;
  };
  // A request that is being answered, or whose events are not visible yet.
  struct Active {
    std::string agency, reference;
    std::string basis, day;        // whose quota it takes from
    std::uint64_t conditions = 0;  // that it takes
    std::atomic<std::uint64_t> done{0};
    bool running = true;
    Position visible_from;  // of its last event, when it runs no longer

    void Take(const std::string& of_basis, const std::string& of_day, std::uint64_t count) {
      basis = of_basis;
      day = of_day;
      conditions = count;
    }
  };
  struct Publication {
    std::string agency;
    Position position;
    std::string cms;
  };

  ProvidingOptions options;
  Topics topics;
  std::unique_ptr<Store> store;

  mutable std::mutex mutex;
  std::condition_variable changed;
  // Nothing is left of which it is open whether it is in the ledger. Guarded by mutex, like all below.
  bool settled = false;
  bool stopping = false;
  std::deque<Item> queue;
  std::deque<Publication> publications;
  std::list<Active> active;
  std::string ignored;  // why the last message of an agency was passed over
  std::map<std::string, CmsRecipient> recipients;  // by certificate

  std::mutex publishing_mutex;          // held while what the topics have is changing, or must not
  std::unique_ptr<LogWriter> feed;      // guarded by publishing_mutex
  std::jthread submitting, publishing, following, asking;

  // --- into the ledger ---------------------------------------------------------------------------

  void Fail(const Status& status) {
    if (options.failed) options.failed(status.With("provider"));
  }

  bool Stopping() const {
    const std::lock_guard lock(mutex);
    return stopping;
  }
  void Pause(milliseconds wait) {
    std::unique_lock lock(mutex);
    changed.wait_for(lock, wait, [&] { return stopping; });
  }

  void SubmitLoop() {
    while (!Stopping()) {
      Status status = Settle();
      if (status.ok()) status = SubmitGroups();
      if (!status.ok() && !status.retriable()) return Fail(status);
      if (!status.ok()) Pause(milliseconds(200));
    }
    const std::lock_guard lock(mutex);
    Refuse(queue, Unavailable("the node is stopping"));
  }

  void Refuse(std::deque<Item>& items, const Status& why) {
    for (Item& item : items) item.admitted.set_value(why);
    items.clear();
  }

  // Finds out what became of what was on its way, and puts on the topics what they lack.
  Status Settle() {
    ASSIGN_OR_RETURN(const std::optional<Position> behind, options.settle());
    ASSIGN_OR_RETURN(const Position end, LedgerEnd(*options.log, topics.Ledger()));
    if (!options.projector()->WaitFor(std::max(end, behind.value_or(end)), kVisibleWait)) {
      return Unavailable("the record file is behind the ledger");
    }
    RETURN_IF_ERROR(PublishMissing());
    const std::lock_guard lock(mutex);
    settled = true;
    changed.notify_all();
    return {};
  }

  // Until one fails, or the end.
  Status SubmitGroups() {
    for (;;) {
      std::deque<Item> group;
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return stopping || !settled || !queue.empty(); });
        if (stopping || !settled) return {};
        for (; !queue.empty() && group.size() < kGroupEvents; queue.pop_front()) {
          group.push_back(std::move(queue.front()));
        }
      }
      if (Status status = SubmitGroup(group); !status.ok()) {
        const std::lock_guard lock(mutex);
        settled = false;
        Refuse(group, status);
        Refuse(queue, status);
        return status;
      }
    }
  }

  Status SubmitGroup(std::deque<Item>& group) {
    StoreBatch batch;
    bool any = false;
    std::vector<DraftEvent> drafts;
    for (Item& item : group) {
      if (!item.cms.empty()) batch.Put(kAnswers, AnswerKey(item.provision), item.cms);
      any |= !item.cms.empty();
      drafts.push_back(std::move(item.draft));
    }
    if (any) RETURN_IF_ERROR(store->Write(batch, true));
    ASSIGN_OR_RETURN(const v1::Receipt receipt, options.submit(drafts));
    if (receipt.outcome() == v1::OUTCOME_REJECTED) {
      return Internal("the event of a provision was rejected: " +
                      (receipt.violations_size() > 0 ? receipt.violations(0).rule() : ""));
    }
    Position position(receipt.first_position());
    const std::lock_guard lock(mutex);
    for (Item& item : group) {
      if (IsOnTopic(item.provision)) {
        publications.push_back({item.provision.agency(), position, std::move(item.cms)});
      }
      item.admitted.set_value(position);
      position = Position(position.value() + 1);
    }
    group.clear();
    changed.notify_all();
    return {};
  }

  // Requires: settled, at the beginning.
  Result<std::future<Result<Position>>> Enqueue(Item item) {
    std::future<Result<Position>> out = item.admitted.get_future();
    const std::lock_guard lock(mutex);
    if (!settled || stopping) return Unavailable("the ledger is out of reach; ask again");
    queue.push_back(std::move(item));
    changed.notify_all();
    return out;
  }

  // --- on the agencies' topics -------------------------------------------------------------------

  static TopicRecord RecordOf(const Topics& topics, const Publication& publication) {
    TopicRecord out;
    out.topic = topics.Provision(publication.agency);
    out.record.key = std::to_string(publication.position.value());
    out.record.value = publication.cms;
    out.record.headers = {{"content-type", "application/pkcs7-mime"}};
    return out;
  }

  Status Publish(const std::vector<Publication>& group) {
    if (feed == nullptr) {
      ASSIGN_OR_RETURN(feed, options.log->OpenWriter(topics.Prefix() + "provider"));
    }
    std::vector<TopicRecord> records;
    for (const Publication& publication : group) {
      records.push_back(RecordOf(topics, publication));
    }
    Status status = feed->Append(records);
    if (!status.ok()) feed.reset();
    return status;
  }

  void PublishLoop() {
    while (!Stopping()) {
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return stopping || (settled && !publications.empty()); });
        changed.wait_for(lock, kPublishGather, [&] { return stopping || publications.size() >= kPublishRecords; });
        if (stopping) return;
      }
      const std::lock_guard publishing_now(publishing_mutex);
      std::vector<Publication> group;
      {
        const std::lock_guard lock(mutex);
        for (; !publications.empty() && group.size() < kPublishRecords; publications.pop_front()) {
          group.push_back(std::move(publications.front()));
        }
      }
      const Status status = Publish(group);
      if (status.ok()) continue;
      if (!status.retriable()) return Fail(status);
      // Whether it is there, the topic tells.
      const std::lock_guard lock(mutex);
      settled = false;
      publications.clear();
      Refuse(queue, status);
      changed.notify_all();
    }
  }

  // Requires: the projector has all that was admitted.
  Status PublishMissing() {
    const std::lock_guard publishing_now(publishing_mutex);
    {
      const std::lock_guard lock(mutex);
      publications.clear();  // what of it is admitted is found in the register
    }
    const std::shared_ptr<const Projector> projector = options.projector();
    const Position end = projector->position();
    if (end == Position(0)) return {};
    const ProvisionRegister provided(projector->store());
    ASSIGN_OR_RETURN(const std::vector<std::string> agencies, provided.Agencies());
    for (const std::string& agency : agencies) {
      ASSIGN_OR_RETURN(Position next, PublishedUpTo(agency));
      ProvisionRegister::Filter filter;
      filter.agency = agency;
      filter.last = Position(end.value() - 1);
      while (next < end) {
        filter.first = next;
        ASSIGN_OR_RETURN(const auto events, provided.Events(filter, kPageEvents));
        if (events.empty()) break;
        next = Position(events.back().position.value() + 1);
        const std::lock_guard lock(mutex);
        for (const ProvisionRegister::Event& event : events) {
          if (!IsOnTopic(event.provision)) continue;
          ASSIGN_OR_RETURN(std::string cms, store->Get(kAnswers, AnswerKey(event.provision)));
          publications.push_back({agency, event.position, std::move(cms)});
        }
      }
    }
    const std::lock_guard lock(mutex);
    std::ranges::sort(publications, {}, &Publication::position);
    return {};
  }

  // Behind the last position that the agency's topic has.
  Result<Position> PublishedUpTo(const std::string& agency) {
    auto last = options.log->ReadLast(topics.Provision(agency));
    if (last.status().code() == Code::kNotFound) return Position(0);
    RETURN_IF_ERROR(last.status());
    std::uint64_t position = 0;
    if (!ParseDecimal(last->key, position)) {
      return Corrupt("topic " + topics.Provision(agency) + " has a record without a position");
    }
    return Position(position + 1);
  }

  static bool ParseDecimal(std::string_view text, std::uint64_t& out) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    return error == std::errc() && end == text.data() + text.size();
  }

  // --- one request -------------------------------------------------------------------------------

  Status AwaitSettled() {
    std::unique_lock lock(mutex);
    if (changed.wait_for(lock, kVisibleWait, [&] { return settled || stopping; }) && !stopping) return {};
    return Unavailable("the ledger is out of reach; ask again");
  }

  // Takes a request's name until it is done; whoever asks the same meanwhile is told to ask again.
  Result<Active*> Claim(const RequestHeader& header, const Projector& projector) {
    const Position visible = projector.position();
    const std::lock_guard lock(mutex);
    for (auto it = active.begin(); it != active.end();) {
      const bool over = !it->running && it->visible_from <= visible;
      if (!over && it->agency == header.agency && it->reference == header.reference) {
        if (it->running) return Unavailable("reference: この照会は処理中です");
        return Unavailable("reference: この照会の記録はまだ反映されていません");
      }
      it = over ? active.erase(it) : std::next(it);
    }
    Active& out = active.emplace_back();
    out.agency = header.agency;
    out.reference = header.reference;
    return &out;
  }

  struct Claimed {
    Impl& impl;
    Active& active;
    Position behind;  // its last event's position + 1
    ~Claimed() {
      const std::lock_guard lock(impl.mutex);
      active.running = false;
      active.visible_from = behind;
    }
  };

  // Decides within its quota, and takes of that what the request asks for: of two that are judged at once, the second
  // finds it taken.
  Result<ProvisionDecision> DecideWithinQuota(const Registry& registry, ProvisionRequest request,
                                              const ProvisionRegister& provided, Position at, Active& self) {
    const std::string day = FormatDate(request.on);
    const std::lock_guard lock(mutex);
    ASSIGN_OR_RETURN(request.asked_before, provided.AskedOn(request.agency, request.basis, request.on, at));
    for (const Active& each : active) {
      if (&each == &self || each.agency != request.agency || each.basis != request.basis || each.day != day) continue;
      // Its chunks are in the ledger in their order; an earlier refusal under its number is none of them.
      ASSIGN_OR_RETURN(const auto newest, provided.Newest(each.agency, each.reference, at));
      const bool chunk = newest && newest->provision.refusal() == v1::REFUSAL_REASON_UNSPECIFIED &&
                         newest->provision.cause_position() == 0;
      const std::uint64_t shown = chunk ? (newest->provision.chunk() + 1) * kResultsPerEvent : 0;
      request.asked_before += each.conditions - std::min(each.conditions, shown);
    }
    ProvisionDecision out = Decide(registry, request);
    if (out.permitted()) self.Take(request.basis, day, request.conditions);
    return out;
  }

  // Null: the agency has no certificate, so nothing can be delivered.
  std::optional<CmsRecipient> RecipientOf(const Registry& registry, const std::string& agency) {
    const auto key = registry.CurrentKey(v1::KEY_USE_AGENCY_ENCRYPTION, agency);
    if (!key.ok()) return std::nullopt;
    const std::lock_guard lock(mutex);
    auto found = recipients.find(key->key);
    if (found == recipients.end()) {
      auto made = CmsRecipient::From(key->key);
      if (!made.ok()) return std::nullopt;
      found = recipients.emplace(key->key, std::move(*made)).first;
    }
    return found->second;
  }

  // The event and what it delivers. `why`: of a refusal, for people.
  Item MakeItem(v1::Provision provision, EventAnswers answers, const std::optional<CmsRecipient>& recipient,
                const std::string& why) {
    Item out;
    answers.PutInto(provision);
    const Salt salt = RandomArray<16>();
    if (recipient && provision.method() == v1::DELIVERY_METHOD_LINE) {
      const std::string prefix = provision.SerializeAsString();
      out.cms = recipient->Encrypt(MessageContent(options.ledger, provision, prefix, salt, why, answers.lines()));
      provision.set_delivered_digest(std::string(View(Sha256Of({out.cms}))));
    }
    out.draft.kind = provision.recipient() == v1::RECIPIENT_CLASS_DEPARTMENT ? v1::EVENT_KIND_TRANSFER
                                                                             : v1::EVENT_KIND_PROVISION;
    out.draft.retention = v1::RETENTION_CLASS_OPERATION;
    out.draft.payload = provision.SerializeAsString();
    out.draft.salt = salt;
    out.draft.further = std::move(answers.parts());
    out.provision = std::move(provision);
    return out;
  }

  // Who handles it, if not the agency itself by its topic, and may they?
  static std::optional<ActRefusal> CheckOperator(const Registry& registry, const v1::OperatorAct& act,
                                                 const Digest& request, v1::ProvisionMode mode, TimeMicros now) {
    if (act.operator_id().empty()) return std::nullopt;
    const bool one = mode == v1::PROVISION_MODE_IMMEDIATE;
    return CheckAct(registry, act, kProvideTag, request, one ? v1::PERMISSION_PROVIDE : v1::PERMISSION_PROVIDE_BATCH, now);
  }

  struct Judged {
    v1::Provision provision;  // what all events of the request say alike
    ProvisionDecision decision;
    std::vector<FileError> errors;
    bool rightful = false;  // the agency asked it, by somebody who may handle it: what is answered may go on
  };

  // Whether it is answered. `first`: what the ledger has of that reference already.
  Result<Judged> Judge(const ProvisionAsked& asked, const ProvisionRequestReader& reader, const Digest& of_request,
                       const Registry& registry, Position at, const Projector& projector, Active& self,
                       const std::optional<ProvisionRegister::Event>& first) {
    const RequestHeader& header = reader.header();
    const std::string_view digest = View(of_request);
    const TimeMicros now = options.clock->Now();
    Judged out;
    v1::Provision& p = out.provision;
    p.set_agency(header.agency);
    p.set_basis(header.basis);
    p.set_duty(header.duty);
    p.set_mode(header.mode);
    p.set_method(header.method);
    p.set_reference(header.reference);
    p.set_requested_at(header.requested_at != 0 ? header.requested_at : now.value());
    p.set_request_digest(std::string(digest));
    p.set_request_signature(asked.signature);
    if (!asked.operator_act.operator_id().empty()) *p.mutable_operator_act() = asked.operator_act;
    p.set_evaluated_at(at.value());
    p.set_judged_on(FormatDate(JapanDate(now)));
    for (const std::string& field : header.fields) p.add_fields(field);
    p.set_ends_standing(header.ends);
    p.set_elsewhere(header.elsewhere);
    p.set_conditions(header.count);
    p.set_chunk_count(1);

    const auto refuse = [&](v1::RefusalReason reason, std::string message) {
      out.decision = ProvisionDecision();
      out.decision.refusal = reason;
      out.decision.message = std::move(message);
    };
    ProvisionRequest request;
    request.agency = header.agency;
    request.basis = header.basis;
    request.duty = header.duty;
    request.mode = header.mode;
    request.method = header.method;
    request.fields = header.fields;
    request.elsewhere = header.elsewhere;
    request.on = JapanDate(now);
    request.conditions = header.count;
    const auto agency = registry.agencies().find(header.agency);
    if (agency == registry.agencies().end()) {
      refuse(v1::REFUSAL_REASON_UNKNOWN_AGENCY, "agency: 登録されていない利用機関です");
      return out;
    }
    p.set_recipient(agency->second.recipient());
    const auto key = registry.CurrentKey(v1::KEY_USE_AGENCY_SIGNING, header.agency);
    if (key.ok()) p.set_request_key_id(key->key_id);
    const bool by_agency =
        key.ok() && IsSignedBy(key->key, std::string(kRequestTag).append(digest), asked.signature);
    const auto not_by = CheckOperator(registry, asked.operator_act, of_request, header.mode, now);
    out.rightful = by_agency && !not_by;
    if (!by_agency) {
      refuse(v1::REFUSAL_REASON_SIGNATURE, "signature: 利用機関の署名を検証できません");
    } else if (not_by) {
      refuse(not_by->reason, not_by->message);
    } else if (header.ends && !(first && first->provision.mode() == v1::PROVISION_MODE_STANDING)) {
      refuse(v1::REFUSAL_REASON_REFERENCE, "reference: この番号の継続の照会はありません");
    } else if (!header.ends && first && first->provision.request_digest() != digest) {
      refuse(v1::REFUSAL_REASON_REFERENCE, "reference: この番号は別の照会に使われています");
    } else if (out.errors = reader.Check(); !out.errors.empty()) {
      refuse(v1::REFUSAL_REASON_MALFORMED, "request: 様式に合わない行があります");
    } else {
      ASSIGN_OR_RETURN(out.decision, DecideWithinQuota(registry, std::move(request),
                                                       ProvisionRegister(projector.store()), at, self));
    }
    if (out.decision.policy) p.set_policy_position(out.decision.policy->value());
    if (out.decision.agreement) p.set_agreement_position(out.decision.agreement->value());
    p.set_refusal(out.decision.refusal);
    return out;
  }

  // Of a request whose reference has an event but no good right to it, too.
  Result<ProvisionOutcome> Refusal(Judged judged, const Registry& registry, Claimed& claimed) {
    ProvisionOutcome out;
    out.refusal = judged.decision.refusal;
    out.message = judged.decision.message;
    out.errors = std::move(judged.errors);
    // Nobody but the agency itself is answered: without its signature there is nothing to deliver.
    std::optional<CmsRecipient> recipient;
    if (out.refusal != v1::REFUSAL_REASON_SIGNATURE) recipient = RecipientOf(registry, judged.provision.agency());
    Item item = MakeItem(std::move(judged.provision), {}, recipient, out.message);
    out.cms = item.cms;
    ASSIGN_OR_RETURN(auto admitted, Enqueue(std::move(item)));
    ASSIGN_OR_RETURN(out.first, admitted.get());
    out.last = out.first;
    claimed.behind = Position(out.first.value() + 1);
    return out;
  }

  Result<ProvisionOutcome> Provide(const ProvisionAsked& asked) {
    ASSIGN_OR_RETURN(ProvisionRequestReader reader, ProvisionRequestReader::Open(asked.request));
    const RequestHeader& header = reader.header();
    if (header.method == v1::DELIVERY_METHOD_MEDIUM && asked.out.empty()) {
      return Invalid("out: 媒体による提供には答えを書くファイルが必要です");
    }
    const Digest digest = Sha256Of({asked.request});
    RETURN_IF_ERROR(AwaitSettled());
    const std::shared_ptr<const Projector> projector = options.projector();
    ASSIGN_OR_RETURN(Active * active_request, ClaimWhenVisible(header, *projector));
    Claimed claimed{*this, *active_request, Position(0)};
    const auto [end, in_force] = projector->registry_at_position();
    const Registry& registry = *in_force;
    if (end == Position(0)) return Unavailable("the ledger holds nothing yet");
    const Position at(end.value() - 1);
    const ProvisionRegister provided(projector->store());
    ASSIGN_OR_RETURN(auto first, provided.First(header.agency, header.reference, at));
    ASSIGN_OR_RETURN(Judged judged,
                     Judge(asked, reader, digest, registry, at, *projector, claimed.active, first));
    // The end of a standing request is an event under the reference of its beginning.
    if (header.ends && first) {
      ASSIGN_OR_RETURN(first, EndOf(provided, header, View(digest), at));
    }
    const bool same = first && first->provision.request_digest() == View(digest);
    if (same && judged.rightful) return GoOn(asked, std::move(reader), *first, registry, claimed);
    if (!judged.decision.permitted()) {
      if (asked.operator_act.operator_id().empty()) {
        // From the agency's topic, which is read again from a place before a crash.
        ASSIGN_OR_RETURN(const auto had, provided.EventsOf(header.agency, header.reference, at));
        for (const ProvisionRegister::Event& event : had) {
          if (event.provision.request_digest() == View(digest)) return RefusedBefore(event);
        }
      }
      return Refusal(std::move(judged), registry, claimed);
    }
    return Answer(asked, std::move(reader), std::move(judged), registry, {}, claimed);
  }

  // The event that these very bytes ended the standing request by.
  static Result<std::optional<ProvisionRegister::Event>> EndOf(const ProvisionRegister& provided,
                                                               const RequestHeader& header, std::string_view digest,
                                                               Position at) {
    ASSIGN_OR_RETURN(auto events, provided.EventsOf(header.agency, header.reference, at));
    for (ProvisionRegister::Event& event : events) {
      const v1::Provision& p = event.provision;
      const bool answered = p.refusal() == v1::REFUSAL_REASON_UNSPECIFIED;
      if (answered && p.request_digest() == digest) return std::optional(std::move(event));
    }
    return std::optional<ProvisionRegister::Event>();
  }

  static ProvisionOutcome RefusedBefore(const ProvisionRegister::Event& event) {
    ProvisionOutcome out;
    out.refusal = event.provision.refusal();
    out.message = "この照会は既に拒否されています";
    out.first = out.last = event.position;
    return out;
  }

  Result<Active*> ClaimWhenVisible(const RequestHeader& header, const Projector& projector) {
    Position awaited;
    {
      const std::lock_guard lock(mutex);
      for (const Active& each : active) {
        if (!each.running && each.agency == header.agency && each.reference == header.reference) {
          awaited = std::max(awaited, each.visible_from);
        }
      }
    }
    if (!projector.WaitFor(awaited, kVisibleWait)) return Unavailable("the record file is behind the ledger");
    return Claim(header, projector);
  }

  // The request is in the ledger, as a whole or in part: the rest is answered as it would have been then.
  Result<ProvisionOutcome> GoOn(const ProvisionAsked& asked, ProvisionRequestReader reader,
                                const ProvisionRegister::Event& first, const Registry& registry, Claimed& claimed) {
    const std::shared_ptr<const Projector> projector = options.projector();
    const ProvisionRegister provided(projector->store());
    const Position end = projector->position();
    ASSIGN_OR_RETURN(auto events, provided.EventsOf(reader.header().agency, reader.header().reference,
                                                    Position(end.value() - 1)));
    std::erase_if(events, [&](const ProvisionRegister::Event& event) {
      return event.provision.request_digest() != first.provision.request_digest() ||
             event.provision.cause_position() != 0 || event.provision.refusal() != v1::REFUSAL_REASON_UNSPECIFIED;
    });
    Judged judged;
    judged.provision = first.provision;
    const std::uint32_t chunks = judged.provision.chunk_count();
    // Who handles what is left may be another, under another certificate.
    if (!asked.operator_act.operator_id().empty()) *judged.provision.mutable_operator_act() = asked.operator_act;
    judged.provision.clear_delivered_digest();
    const Position evaluated_at(judged.provision.evaluated_at());
    ASSIGN_OR_RETURN(const Registry then, projector->RegistryAt(evaluated_at));
    // Its quota is used already.
    judged.decision = Decide(then, RequestOf(judged.provision, ParseDate(judged.provision.judged_on()).value()));
    if (!judged.decision.permitted()) return Internal("the request was answered against its policy");
    {
      const std::lock_guard lock(mutex);
      claimed.active.Take(judged.provision.basis(), judged.provision.judged_on(), judged.provision.conditions());
    }
    if (events.size() == chunks && asked.out.empty() && judged.provision.mode() == v1::PROVISION_MODE_IMMEDIATE) {
      return Again(events.front());
    }
    return Answer(asked, std::move(reader), std::move(judged), registry, events, claimed);
  }

  // The one answer of an immediate request, as it was delivered.
  Result<ProvisionOutcome> Again(const ProvisionRegister::Event& event) {
    ProvisionOutcome out;
    Tally(event.provision, out);
    out.first = out.last = event.position;
    auto cms = store->Get(kAnswers, AnswerKey(event.provision));
    if (cms.status().code() == Code::kNotFound) return Erased("reference: この照会の答えは受領済みです");
    RETURN_IF_ERROR(cms.status());
    out.cms = std::move(*cms);
    return out;
  }

  // Evaluates chunk after chunk. Those of `had`, the first of the request, are in the ledger already: they are
  // evaluated again only where a file of all answers is asked for.
  Result<ProvisionOutcome> Answer(const ProvisionAsked& asked, ProvisionRequestReader reader, Judged judged,
                                  const Registry& registry, const std::vector<ProvisionRegister::Event>& had,
                                  Claimed& claimed) {
    v1::Provision& common = judged.provision;
    const std::optional<CmsRecipient> recipient = RecipientOf(registry, common.agency());
    if (!recipient) return Denied("agency: 暗号化の証明書がありません");
    const std::uint64_t conditions = common.conditions();
    const std::uint64_t full = (conditions + kResultsPerEvent - 1) / kResultsPerEvent;
    const auto chunks = static_cast<std::uint32_t>(std::max<std::uint64_t>(1, full));
    common.set_chunk_count(chunks);
    const Date on = ParseDate(common.judged_on()).value();
    std::unique_ptr<CmsFile> file;
    if (!asked.out.empty()) {
      ASSIGN_OR_RETURN(file, CmsFile::Create(asked.out, *recipient));
      v1::Provision whole = common;
      whole.set_result_count(conditions);
      RETURN_IF_ERROR(file->Write(MessageContent(options.ledger, whole, "", Salt{}, "", "")));
    }
    ProvisionOutcome out;
    for (const ProvisionRegister::Event& event : had) {
      Tally(event.provision, out);
      if (out.first == Position(0)) out.first = event.position;
      out.last = std::max(out.last, event.position);
    }
    std::deque<std::future<Result<Position>>> window;
    const auto take_one = [&]() -> Status {
      const Result<Position> position = window.front().get();
      window.pop_front();
      RETURN_IF_ERROR(position.status());
      if (out.first == Position(0)) out.first = *position;
      out.last = *position;
      return {};
    };
    const auto evaluate = [&]() -> Status {
      for (std::uint32_t chunk = 0; chunk < chunks; ++chunk) {
        const std::uint64_t before = std::uint64_t{chunk} * kResultsPerEvent;
        const std::uint64_t size = std::min<std::uint64_t>(kResultsPerEvent, conditions - before);
        const bool known = chunk < had.size();
        if (known && had[chunk].provision.chunk() != chunk) return Internal("the request's chunks are out of order");
        if (known && file == nullptr) {
          reader.Skip(size);
          continue;
        }
        // Taken anew for each chunk: what is renewed meanwhile must not be kept open.
        const std::shared_ptr<const Projector> projector = options.projector();
        const AnswerBasis basis{*projector, *judged.decision.rule, judged.decision.fields,
                                Position(common.evaluated_at()), on};
        v1::Provision provision = common;
        provision.set_matching(projector->search().matching().id());
        provision.set_chunk(chunk);
        std::vector<ConditionAnswer> of_chunk;
        for (std::uint64_t i = 0; i < size; ++i) {
          ASSIGN_OR_RETURN(ConditionAnswer answer, AnswerCondition(basis, reader.Next()));
          of_chunk.push_back(std::move(answer));
        }
        if (common.elsewhere()) RETURN_IF_ERROR(AskElsewhere(basis, common, of_chunk));
        EventAnswers answers;
        for (ConditionAnswer& answer : of_chunk) answers.Add(std::move(answer));
        if (file != nullptr) RETURN_IF_ERROR(file->Write(answers.lines()));
        claimed.active.done += size;
        if (known) {
          answers.PutInto(provision);
          if (had[chunk].provision.result_digest() == provision.result_digest()) continue;
          if (common.elsewhere()) return Conflict("reference: 機構の回答が変わりました。新しい番号で照会してください");
          return Erased("reference: 答えの一部は保存期間を過ぎて消去されています");
        }
        Item item = MakeItem(std::move(provision), std::move(answers), recipient, "");
        Tally(item.provision, out);
        if (chunks == 1) out.cms = item.cms;
        ASSIGN_OR_RETURN(auto admitted, Enqueue(std::move(item)));
        window.push_back(std::move(admitted));
        if (window.size() >= kWindowEvents) RETURN_IF_ERROR(take_one());
      }
      return {};
    };
    Status status = evaluate();
    // Nothing is left on its way, whatever happened: the next who asks this must find it in the register.
    while (!window.empty()) {
      Status taken = take_one();
      if (status.ok()) status = std::move(taken);
    }
    claimed.behind = Position(out.last.value() + 1);
    RETURN_IF_ERROR(status);
    if (file != nullptr) {
      ASSIGN_OR_RETURN(const Digest of_file, file->Finish());
      out.file_digest = View(of_file);
    }
    return out;
  }

  // Puts 機構's answers in the place of those that nobody here fits.
  Status AskElsewhere(const AnswerBasis& basis, const v1::Provision& common, std::vector<ConditionAnswer>& answers) {
    std::vector<std::size_t> of;
    std::vector<v1::InquiryAsked> questions;
    for (std::size_t i = 0; i < answers.size(); ++i) {
      if (answers[i].result.outcome() != v1::ANSWER_OUTCOME_NONE) continue;
      of.push_back(i);
      v1::InquiryAsked& asked = questions.emplace_back();
      asked.set_reference("p-" + ToHex(View(RandomArray<8>())));
      asked.set_agency(common.agency());
      asked.set_basis(common.basis());
      asked.set_duty(common.duty());
      *asked.mutable_condition() = answers[i].result.condition();
      for (const std::string& field : basis.fields) asked.add_fields(field);
      asked.set_purpose(common.reference());
    }
    if (of.empty()) return {};
    const auto answer_of = [&](std::size_t question, const InquiryOutcome& told) {
      return AnswerElsewhere(basis, answers[of[question]], questions[question].reference(), told);
    };
    const auto told = options.elsewhere ? options.elsewhere(questions,
                                                            [&](std::size_t question, const InquiryOutcome& outcome) {
                                                              return answer_of(question, outcome).line;
                                                            })
                                        : Result<std::vector<InquiryOutcome>>(NotFound("no role that asks"));
    if (!told.ok() && told.status().code() != Code::kNotFound) return told.status();
    std::vector<ConditionAnswer> replaced;
    for (std::size_t i = 0; i < of.size(); ++i) {
      replaced.push_back(told.ok() ? answer_of(i, (*told)[i]) : AnswerElsewhere(basis, answers[of[i]], "", {}));
    }
    for (std::size_t i = 0; i < of.size(); ++i) answers[of[i]] = std::move(replaced[i]);
    return {};
  }

  // --- following ---------------------------------------------------------------------------------

  Result<Cursor> CursorOf(const std::string& topic) {
    auto stored = store->Get(kCursors, topic);
    if (stored.status().code() == Code::kNotFound) return Cursor(0);
    RETURN_IF_ERROR(stored.status());
    if (stored->size() != 8) return Corrupt("stored cursor has the wrong size");
    return Cursor(ReadU64(*stored));
  }
  Status PutCursor(const std::string& topic, Cursor cursor) {
    StoreBatch batch;
    std::string bytes;
    AppendU64(bytes, cursor.value());
    batch.Put(kCursors, topic, bytes);
    // Not synced: what is read again is found to be answered.
    return store->Write(batch, false);
  }

  // Polls `topics_wanted`, which may grow, and hands each record over; a topic's place is kept behind it.
  Status Listen(const std::function<std::vector<std::string>(const Registry&)>& topics_wanted,
                const std::function<Status(const std::string& topic, const Received&)>& handle) {
    RETURN_IF_ERROR(AwaitSettled());
    ASSIGN_OR_RETURN(auto reader, options.log->OpenReader());
    std::vector<std::string> sources;
    while (!Stopping()) {
      const std::shared_ptr<const Registry> in_force = options.projector()->registry();
      const Registry& registry = *in_force;
      for (const std::string& topic : topics_wanted(registry)) {
        if (std::ranges::find(sources, topic) != sources.end()) continue;
        ASSIGN_OR_RETURN(const Cursor from, CursorOf(topic));
        RETURN_IF_ERROR(reader->Assign(topic, from).status());
        sources.push_back(topic);
      }
      if (sources.empty()) {
        Pause(kPollWait);
        continue;
      }
      ASSIGN_OR_RETURN(const auto records, reader->Poll(kPollRecords, kPollWait));
      std::map<std::string, Cursor> behind;
      Status status;
      for (const Received& record : records) {
        const std::string& topic = sources[record.source];
        status = handle(topic, record);
        if (!status.ok()) break;
        behind[topic] = record.next;
      }
      for (const auto& [topic, cursor] : behind) RETURN_IF_ERROR(PutCursor(topic, cursor));
      RETURN_IF_ERROR(status);
    }
    return {};
  }

  void ListenLoop(const std::function<std::vector<std::string>(const Registry&)>& topics_wanted,
                  const std::function<Status(const std::string&, const Received&)>& handle) {
    while (!Stopping()) {
      const Status status = Listen(topics_wanted, handle);
      if (!status.ok() && !status.retriable()) return Fail(status);
      if (!status.ok()) Pause(milliseconds(200));
    }
  }

  // A request that an agency has put on its topic: signature(64) ‖ request.
  Status TakeRequest(const std::string& topic, const Received& record) {
    constexpr std::size_t kSignatureBytes = 64;
    ProvisionAsked asked;
    asked.signature = record.value.substr(0, kSignatureBytes);
    if (record.value.size() > kSignatureBytes) asked.request = record.value.substr(kSignatureBytes);
    const auto reader = ProvisionRequestReader::Open(asked.request);
    if (!reader.ok() || topic != topics.Request(reader->header().agency) ||
        reader->header().method != v1::DELIVERY_METHOD_LINE) {
      return PassOver(topic, record, reader.ok() ? "他の機関の照会か、回線によらない照会です" : reader.status().message());
    }
    const Status status = Provide(asked).status();
    // What cannot be answered at all is over; all else is asked again.
    if (status.code() == Code::kUnavailable) return status;
    if (!status.ok()) return PassOver(topic, record, status.message());
    return {};
  }

  Status PassOver(const std::string& topic, const Received& record, const std::string& why) {
    const std::lock_guard lock(mutex);
    ignored = topic + " @" + std::to_string(record.cursor.value()) + ": " + why;
    return {};
  }

  // A receipt that an agency has put on its topic.
  Status TakeReply(const std::string& topic, const Received& record) {
    v1::DeliveryReceived received;
    v1::AgencyReceipt receipt;
    if (!received.ParseFromString(record.value) || !receipt.ParseFromString(received.receipt())) {
      return PassOver(topic, record, "受領を読み取れません");
    }
    const std::shared_ptr<const Projector> projector = options.projector();
    const auto [end, in_force] = projector->registry_at_position();
    const Registry& registry = *in_force;
    const Position provision(receipt.provision_position());
    const ProvisionRegister provided(projector->store());
    const auto event = provision < end ? provided.At(provision) : NotFound("not there");
    if (!event.ok() || topic != topics.Reply(receipt.agency()) || event->provision.agency() != receipt.agency() ||
        receipt.ledger() != View(options.ledger) ||
        receipt.delivered_digest() != event->provision.delivered_digest()) {
      return PassOver(topic, record, "受領の対象がありません");
    }
    const auto key = registry.CurrentKey(v1::KEY_USE_AGENCY_SIGNING, receipt.agency());
    if (!key.ok() || !IsSignedBy(key->key, std::string(kAgencyReceiptTag) + received.receipt(), received.signature())) {
      return PassOver(topic, record, "受領の署名を検証できません");
    }
    ASSIGN_OR_RETURN(const auto before, provided.ReceiptOf(provision, Position(end.value() - 1)));
    if (!before) {
      Item item;
      item.draft.kind = v1::EVENT_KIND_DELIVERY_RECEIVED;
      item.draft.retention = v1::RETENTION_CLASS_OPERATION;
      received.set_key_id(key->key_id);
      item.draft.payload = received.SerializeAsString();
      ASSIGN_OR_RETURN(auto admitted, Enqueue(std::move(item)));
      ASSIGN_OR_RETURN(const Position position, admitted.get());
      // So that the same receipt, sent again, is found to be there.
      if (!projector->WaitFor(Position(position.value() + 1), kVisibleWait)) {
        return Unavailable("the record file is behind the ledger");
      }
    }
    StoreBatch batch;
    batch.Delete(kAnswers, AnswerKey(event->provision));
    return store->Write(batch, false);
  }

  // An update of someone who is followed is an answer of its own to each who follows.
  Status TakeEntry(const Received& record) {
    EntryView entry;
    RETURN_IF_ERROR(ParseEntry(record.value, entry));
    ASSIGN_OR_RETURN(const v1::EntryLeaf leaf, ParseLeaf(entry.leaf));
    const v1::Effect effect = leaf.effect();
    if (effect == v1::EFFECT_NONE || effect == v1::EFFECT_REPEATED || effect == v1::EFFECT_ENTERED ||
        leaf.keys_size() != 1) {
      return {};
    }
    const Position cause(leaf.position());
    const std::shared_ptr<const Projector> projector = options.projector();
    if (!projector->WaitFor(Position(cause.value() + 1), kVisibleWait)) {
      return Unavailable("the record file is behind the ledger");
    }
    ASSIGN_OR_RETURN(const SubjectHandle subject, ToArray<16>(leaf.keys(0).subject()));
    const ProvisionRegister provided(projector->store());
    ASSIGN_OR_RETURN(const auto subscriptions, provided.SubscriptionsOf(subject, cause));
    for (const ProvisionRegister::Event& subscription : subscriptions) {
      RETURN_IF_ERROR(FollowUp(*projector, subscription, subject, cause));
    }
    return {};
  }

  Status FollowUp(const Projector& projector, const ProvisionRegister::Event& subscription,
                  const SubjectHandle& subject, Position cause) {
    const ProvisionRegister provided(projector.store());
    const auto [end, in_force] = projector.registry_at_position();
    const Registry& registry = *in_force;
    const Position at(end.value() - 1);
    ASSIGN_OR_RETURN(const auto given, provided.GivenOf(subject, at));
    std::string id;
    for (const ProvisionRegister::Given& each : given) {
      const v1::Provision& p = each.event.provision;
      if (each.event.position == subscription.position) id = each.result.request_id();
      if (p.agency() == subscription.provision.agency() && p.reference() == subscription.provision.reference() &&
          p.cause_position() == cause.value()) {
        return {};  // before a crash
      }
    }
    v1::Provision provision = subscription.provision;
    const Date today = JapanDate(options.clock->Now());
    const ProvisionDecision decision = Decide(registry, RequestOf(provision, today));  // nobody asked: no quota
    provision.clear_delivered_digest();
    provision.clear_operator_act();
    provision.set_cause_position(cause.value());
    provision.set_chunk(0);
    provision.set_chunk_count(1);
    provision.set_conditions(0);
    provision.set_evaluated_at(at.value());
    provision.set_judged_on(FormatDate(today));
    provision.set_policy_position(decision.policy ? decision.policy->value() : 0);
    provision.set_agreement_position(decision.agreement ? decision.agreement->value() : 0);
    provision.set_refusal(decision.refusal);
    EventAnswers answers;
    if (decision.permitted()) {
      const AnswerBasis basis{projector, *decision.rule, decision.fields, at, today};
      ASSIGN_OR_RETURN(ConditionAnswer answer, AnswerUpdate(basis, id, subject));
      answers.Add(std::move(answer));
    }
    Item item = MakeItem(std::move(provision), std::move(answers),
                         RecipientOf(registry, subscription.provision.agency()), decision.message);
    ASSIGN_OR_RETURN(auto admitted, Enqueue(std::move(item)));
    ASSIGN_OR_RETURN(const Position position, admitted.get());
    // So that the next start, or the next update, finds it.
    if (!projector.WaitFor(Position(position.value() + 1), kVisibleWait)) {
      return Unavailable("the record file is behind the ledger");
    }
    return {};
  }

  // --- starting ----------------------------------------------------------------------------------

  Status Start() {
    StoreOptions o;
    o.path = options.dir;
    o.families = kFamilies;
    RETURN_IF_ERROR(MakeDirectories(options.dir));
    ASSIGN_OR_RETURN(store, Store::Open(o));
    submitting = std::jthread([this] { SubmitLoop(); });
    publishing = std::jthread([this] { PublishLoop(); });
    if (!options.follow) return {};
    following = std::jthread([this] {
      ListenLoop(
          [this](const Registry& registry) {
            std::vector<std::string> out = {topics.Ledger()};
            for (const auto& [agency, registered] : registry.agencies()) out.push_back(topics.Reply(agency));
            return out;
          },
          [this](const std::string& topic, const Received& record) {
            return topic == topics.Ledger() ? TakeEntry(record) : TakeReply(topic, record);
          });
    });
    asking = std::jthread([this] {
      ListenLoop(
          [this](const Registry& registry) {
            std::vector<std::string> out;
            for (const auto& [agency, registered] : registry.agencies()) out.push_back(topics.Request(agency));
            return out;
          },
          [this](const std::string& topic, const Received& record) { return TakeRequest(topic, record); });
    });
    return {};
  }

  void Stop() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
      changed.notify_all();
    }
    for (std::jthread* thread : {&asking, &following, &submitting, &publishing}) {
      if (thread->joinable()) thread->join();
    }
  }
};

Providing::Providing(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Providing::~Providing() { impl_->Stop(); }

Result<std::unique_ptr<Providing>> Providing::Start(ProvidingOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<Providing>(new Providing(std::move(impl)));
}

Result<ProvisionOutcome> Providing::Provide(const ProvisionAsked& asked) { return impl_->Provide(asked); }

Result<std::string> Providing::StatusJson() const {
  using nlohmann::ordered_json;
  ordered_json out = {{"requests", ordered_json::array()}, {"agencies", ordered_json::array()}};
  {
    const std::lock_guard lock(impl_->mutex);
    out["settled"] = impl_->settled;
    out["unpublished"] = impl_->publications.size();
    for (const Impl::Active& each : impl_->active) {
      if (!each.running) continue;
      out["requests"].push_back({{"agency", each.agency},
                                 {"reference", each.reference},
                                 {"done", each.done.load()},
                                 {"count", each.conditions}});
    }
    if (!impl_->ignored.empty()) out["ignored"] = impl_->ignored;
  }
  const std::shared_ptr<const Projector> projector = impl_->options.projector();
  const Position end = projector->position();
  if (end == Position(0)) return out.dump();
  const Position at(end.value() - 1);
  const ProvisionRegister provided(projector->store());
  ASSIGN_OR_RETURN(const std::vector<std::string> agencies, provided.Agencies());
  for (const std::string& agency : agencies) {
    ASSIGN_OR_RETURN(const ProvisionRegister::Deliveries deliveries, provided.DeliveriesTo(agency, at));
    ordered_json item = {{"agency", agency},
                         {"delivered", deliveries.delivered},
                         {"unconfirmed", deliveries.unconfirmed()}};
    if (deliveries.oldest) {
      item["oldest_unconfirmed"] = deliveries.oldest->value();
      if (const auto event = provided.At(*deliveries.oldest); event.ok()) {
        item["oldest_at"] = FormatTimestamp(event->admitted_at);
      }
    }
    out["agencies"].push_back(std::move(item));
  }
  return out.dump();
}

}  // namespace daicho
