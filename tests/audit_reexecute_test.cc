// Re-execution finds what was answered wrongly, and nothing else. Method: a real provider answers signed requests; what it
// submits is changed on its way to its own signature, so that every event is properly signed, sealed and admitted, and evaluated
// wrongly. What is planted must be found, at its position and part, and by its own name; without it, nothing.
//
// DAICHO_ANSWERS=100000 DAICHO_PLANTED=100 runs the long form, and prints how fast it was.
#include "consumers/audit_reexecute.h"

#include <gtest/gtest.h>

#include <deque>
#include <future>
#include <nlohmann/json.hpp>

#include "consumers/providing.h"
#include "tests/agency_certificate.h"
#include "tests/retaining.h"

namespace daicho {
namespace {

using Parts = std::vector<DraftEvent::Part>;
using Kind = ReexecutionFindingKind;

constexpr char kBasis[] = "30-15-2/6-3";

int FromEnvironment(const char* name, int otherwise) {
  const char* given = std::getenv(name);
  return given == nullptr ? otherwise : std::atoi(given);
}

// What is written to the agencies' topics may be changed on its way.
class TopicTampering : public Log {
 public:
  using Change = std::function<void(std::vector<TopicRecord>&)>;
  TopicTampering(Log& log, const Change& change) : log_(log), change_(change) {}
  Status CreateTopic(const std::string& topic) override { return log_.CreateTopic(topic); }
  Status Append(const std::string& topic, const Record& record) override { return log_.Append(topic, record); }
  Result<std::unique_ptr<LogWriter>> OpenWriter(const std::string& name) override {
    ASSIGN_OR_RETURN(auto writer, log_.OpenWriter(name));
    return std::unique_ptr<LogWriter>(new Writer(std::move(writer), change_));
  }
  Result<std::unique_ptr<LogReader>> OpenReader() override { return log_.OpenReader(); }
  Result<Bounds> GetBounds(const std::string& topic) override { return log_.GetBounds(topic); }
  Result<Received> ReadLast(const std::string& topic) override { return log_.ReadLast(topic); }

 private:
  class Writer : public LogWriter {
   public:
    Writer(std::unique_ptr<LogWriter> writer, const Change& change) : writer_(std::move(writer)), change_(change) {}
    Status Append(std::span<const TopicRecord> records) override {
      std::vector<TopicRecord> changed(records.begin(), records.end());
      if (change_) change_(changed);
      return changed.empty() ? Status() : writer_->Append(changed);
    }

   private:
    std::unique_ptr<LogWriter> writer_;
    const Change& change_;
  };
  Log& log_;
  const Change& change_;
};

class ReexecutionTest : public ::testing::Test {
 protected:
  struct Resident {
    Person person;
    std::string name, birth, subject;
    std::uint64_t position = 0;  // of the newest notice
  };
  struct Planted {
    std::uint64_t position;
    int part;
    std::string kind;
    friend auto operator<=>(const Planted&, const Planted&) = default;
  };

  ReexecutionTest() {
    Administer({p().Registration(Provider(), v1::ISSUER_ROLE_PROVIDER),
                p().Registration(Discloser(), v1::ISSUER_ROLE_DISCLOSURE),
                p().Registration(Kikou(), v1::ISSUER_ROLE_KIKOU)});
    for (const auto& [agency, recipient] : std::map<std::string, v1::RecipientClass>{
             {"gunma-boe", v1::RECIPIENT_CLASS_PREFECTURAL_AGENCY}, {"gunma-tax", v1::RECIPIENT_CLASS_DEPARTMENT}}) {
      Register(agency, recipient);
    }
    r_.SetPolicy(Rules());
    Enter(std::max(60, FromEnvironment("DAICHO_ANSWERS", 0) / 5));
    p().clock().Advance(std::chrono::hours(3));
    before_suspension_ = p().Size() - 2;
    projector_ = Projector::Open(r_.OptionsOf("file", p().log(), p().key_store())).value();
    following_ = std::jthread([this](std::stop_token stop) { EXPECT_TRUE(projector_->Run(stop).ok()); });
    Follow(false);
  }
  ~ReexecutionTest() override {
    providing_.reset();
    following_.request_stop();
  }

  Prefecture& p() { return r_.p; }
  static std::string Provider() { return RoleIssuer(Prefecture::kNumber, "provider"); }
  static std::string Discloser() { return RoleIssuer(Prefecture::kNumber, "disclosure"); }
  static std::string Kikou() { return RoleIssuer(Prefecture::kNumber, "kikou"); }
  v1::Receipt Submit(const std::string& issuer, const std::vector<DraftEvent>& events) {
    const std::lock_guard lock(submitting_);
    const v1::Receipt receipt = p().Submit(issuer, events);
    Retaining::ExpectAdmitted(receipt);
    return receipt;
  }
  void Administer(const std::vector<DraftEvent>& events) { Submit(Prefecture::Registrar(), events); }

  void Register(const std::string& agency, v1::RecipientClass recipient) {
    agencies_[agency] = SigningKey::Generate();
    v1::AgencyRegistered out;
    out.set_agency(agency);
    out.set_recipient(recipient);
    out.set_certificate(AgencyCertificate());
    out.set_public_key(std::string(View(agencies_[agency].public_key())));
    Administer({Administration(v1::EVENT_KIND_AGENCY_REGISTERED, out.SerializeAsString())});
  }
  static v1::PolicyRules Rules() {
    v1::PolicyRules rules = Retaining::Rules();
    rules.set_version(2);
    const auto add = [&](const char* basis, const char* agency, v1::RecipientClass recipient,
                         std::initializer_list<const char*> fields) -> v1::ProvisionRule& {
      v1::ProvisionRule& rule = *rules.add_provision_rules();
      rule.set_basis(basis);
      rule.set_recipient(recipient);
      rule.add_agencies(agency);
      rule.add_duties("d-1");
      for (const auto mode : {v1::PROVISION_MODE_IMMEDIATE, v1::PROVISION_MODE_BATCH, v1::PROVISION_MODE_STANDING}) {
        rule.add_modes(mode);
      }
      rule.add_methods(v1::DELIVERY_METHOD_LINE);
      rule.add_methods(v1::DELIVERY_METHOD_MEDIUM);
      for (const char* key : {"individual_number", "name", "birth", "address"}) rule.add_condition_keys(key);
      rule.set_condition_keys_min(2);
      for (const char* field : fields) rule.add_fields(field);
      rule.set_valid_from("2015-10-05");
      return rule;
    };
    add(kBasis, "gunma-boe", v1::RECIPIENT_CLASS_PREFECTURAL_AGENCY, {"name", "birth", "address"}).set_elsewhere(true);
    add("30-15-2/late", "gunma-boe", v1::RECIPIENT_CLASS_PREFECTURAL_AGENCY, {"name"}).set_valid_from("2030-04-01");
    add("30-15-2/few", "gunma-boe", v1::RECIPIENT_CLASS_PREFECTURAL_AGENCY, {"name", "birth", "address"}).set_quota_per_day(20);
    add("30-15-1/5-tax", "gunma-tax", v1::RECIPIENT_CLASS_DEPARTMENT, {"name", "address", "individual_number"})
        .set_number_basis("番号法9条1項");
    v1::ProvisionRule& counting = add("30-15-1-4", "gunma-tax", v1::RECIPIENT_CLASS_DEPARTMENT, {});
    counting.set_counts_only(true);
    counting.set_condition_keys_min(1);
    return rules;
  }

  // Residents; of the first six two each are alike, and the seventh has 利用停止.
  void Enter(int count) {
    std::vector<v1::UpdateNotice> notices;
    for (int i = 0; i < count; ++i) {
      const int alike = i < 6 ? i / 2 : i;
      Resident resident{Person(i), alike % 2 == 0 ? "渡邊 花子" : "青柳 暖",
                        FormatDate(DateOfDayNumber(-20'000 + alike * 2)), "", 0};
      v1::UpdateNotice notice = Birth(resident.person, kMaebashi);
      notice.mutable_record()->set_name(resident.name);
      notice.mutable_record()->set_birth(resident.birth);
      notices.push_back(notice);
      residents_.push_back(resident);
    }
    for (std::size_t first = 0; first < notices.size(); first += 10'000) {
      const std::size_t behind = std::min(notices.size(), first + 10'000);
      const auto at = [&](std::size_t i) { return notices.begin() + static_cast<std::ptrdiff_t>(i); };
      Retaining::ExpectAdmitted(p().Notify(kMaebashi, {at(first), at(behind)}));
    }
    std::size_t next = 0;
    for (const auto& entry : p().Entries()) {
      if (entry.header.kind() != v1::EVENT_KIND_UPDATE) continue;
      residents_[next].subject = entry.leaf.keys(0).subject();
      residents_[next++].position = entry.position.value();
    }
    v1::SuspensionDecided decision;
    decision.set_reference("S-1");
    decision.set_result(v1::SUSPENSION_RESULT_SUSPENDED);
    DraftEvent event;
    event.kind = v1::EVENT_KIND_SUSPENSION_DECIDED;
    event.retention = v1::RETENTION_CLASS_DISCLOSURE;
    event.payload = decision.SerializeAsString();
    event.subject = residents_[6].subject;
    Submit(Discloser(), {event});
  }

  // A provider that begins anew; with `follow` it takes up topics and standing requests too.
  void Follow(bool follow) {
    providing_.reset();
    ProvidingOptions o;
    o.prefecture = Prefecture::kNumber;
    o.ledger = p().ledger_id();
    o.dir = p().Path("provider");
    o.log = &log_;
    o.clock = &p().clock();
    o.projector = [this] { return projector_; };
    o.submit = [this](const std::vector<DraftEvent>& events) -> Result<v1::Receipt> { return SubmitTampered(events); };
    o.settle = [] { return Result<std::optional<Position>>(std::optional<Position>()); };
    o.elsewhere = [this](const std::vector<v1::InquiryAsked>& questions, const KikouInquiring::Told& told) {
      return AskKikou(questions, told);
    };
    o.follow = follow;
    o.failed = [](const Status& status) { ADD_FAILURE() << status.ToString(); };
    providing_ = Providing::Start(std::move(o)).value();
  }

  // 機構 as it would be asked: it finds the first, none by the second, two by the third, and refuses the fourth of each four.
  Result<std::vector<InquiryOutcome>> AskKikou(const std::vector<v1::InquiryAsked>& questions, const KikouInquiring::Told& told) {
    std::vector<InquiryOutcome> out(questions.size());
    for (const auto kind : {v1::EVENT_KIND_INQUIRY_ASKED, v1::EVENT_KIND_INQUIRY_ANSWERED}) {
      std::vector<DraftEvent> events;
      for (std::size_t i = 0; i < questions.size(); ++i) {
        InquiryOutcome& outcome = out[i];
        v1::InquiryAnswered answered;
        answered.set_reference(questions[i].reference());
        outcome.outcome = static_cast<v1::AnswerOutcome>(v1::ANSWER_OUTCOME_FOUND + i % 4);
        outcome.match_count = i % 4 == 0 ? 1 : i % 4 == 2 ? 2 : 0;
        if (i % 4 == 0) {
          outcome.resident.mutable_record()->set_name("他県 太郎");
          *answered.mutable_released_fields() = questions[i].fields();
        }
        answered.set_outcome(outcome.outcome);
        answered.set_match_count(outcome.match_count);
        answered.set_told_digest(std::string(View(Sha256Of({told(i, outcome)}))));
        DraftEvent& event = events.emplace_back();
        event.kind = kind;
        event.retention = v1::RETENTION_CLASS_OPERATION;
        event.payload = kind == v1::EVENT_KIND_INQUIRY_ASKED ? questions[i].SerializeAsString() : answered.SerializeAsString();
      }
      Submit(Kikou(), events);
    }
    return out;
  }

  // --- what is asked

  static std::string Line(int id, const v1::SearchCondition& condition) {
    return RequestLine({std::to_string(id), condition, ""});
  }
  v1::SearchCondition Number(std::size_t resident) const {
    v1::SearchCondition out;
    out.set_individual_number(residents_[resident].person.number);
    return out;
  }
  v1::SearchCondition NameAndBirth(std::size_t resident) const {
    v1::SearchCondition out;
    out.set_name(residents_[resident].name);
    out.set_birth(residents_[resident].birth);
    return out;
  }
  // All kinds of conditions: mostly of somebody, of nobody, of two, of who has 利用停止, and too few.
  v1::SearchCondition Drawn(std::size_t i) const {
    v1::SearchCondition out;
    // Of the long form's many not more than a few of one person, whose key would go on with each.
    switch (i % 16 == 2 && i > 1'000 ? 5 : i % 16) {
      case 0: out.set_individual_number(NumberOf(500'000 + static_cast<int>(i))); return out;
      case 1: return NameAndBirth(i % 6);
      case 2: return Number(6);
      case 3: out.set_name("渡邊"); return out;
      case 4: return NameAndBirth(7 + i % (residents_.size() - 8));
      default: return Number(7 + i % (residents_.size() - 8));
    }
  }
  RequestHeader Header(v1::ProvisionMode mode, std::size_t count, const std::string& agency = "gunma-boe",
                       const std::string& basis = kBasis) {
    RequestHeader out;
    out.agency = agency;
    out.basis = basis;
    out.duty = "d-1";
    out.reference = "R8-" + std::to_string(++requests_);
    out.mode = mode;
    out.count = count;
    return out;
  }
  ProvisionAsked Asked(const RequestHeader& header, const std::string& lines) {
    ProvisionAsked out;
    out.request = WriteRequest(header, lines);
    out.signature = agencies_[header.agency].Sign(std::string(kRequestTag) + std::string(View(Sha256Of({out.request}))));
    return out;
  }
  ProvisionOutcome Provide(const ProvisionAsked& asked) {
    const auto out = providing_->Provide(asked);
    EXPECT_TRUE(out.ok()) << out.status().ToString();
    if (!out.ok()) return {};
    // The simulated minutes that pass with each event are not those that the projector takes.
    EXPECT_TRUE(projector_->WaitFor(out->last.Next(), std::chrono::minutes(5)));
    return *out;
  }
  ProvisionOutcome AskOne(const v1::SearchCondition& condition) {
    return Provide(Asked(Header(v1::PROVISION_MODE_IMMEDIATE, 1), Line(1, condition)));
  }
  std::string Lines(std::size_t count) {
    std::string lines;
    for (std::size_t i = 0; i < count; ++i) lines += Line(static_cast<int>(i) + 1, Drawn(i));
    return lines;
  }
  ProvisionOutcome AskMany(std::size_t count, const std::string& agency = "gunma-boe", const std::string& basis = kBasis) {
    return Provide(Asked(Header(v1::PROVISION_MODE_BATCH, count, agency, basis), Lines(count)));
  }

  // --- what is planted

  // Changes an event; the part that was made wrong, or nothing when this event does not lend itself to it.
  using Plant = std::function<std::optional<int>(v1::Provision&, Parts&)>;

  Result<v1::Receipt> SubmitTampered(std::vector<DraftEvent> events) {
    std::vector<std::pair<std::size_t, std::pair<int, Kind>>> done;
    std::vector<DraftEvent> again;
    for (std::size_t i = 0; i < events.size() && !plants_.empty(); ++i) {
      v1::Provision provision;
      if (FindKind(events[i].kind)->part_descriptor == nullptr || !provision.ParseFromString(events[i].payload)) continue;
      if (plants_.front().first == Kind::kChunks) {
        provision.clear_delivered_digest();  // else it would be missing on the topic too
        again.push_back(events[i]);
        again.back().payload = provision.SerializeAsString();
        again.back().salt.reset();
        plants_.pop_front();
        continue;
      }
      const auto part = plants_.front().second(provision, events[i].further);
      if (!part) continue;
      events[i].payload = provision.SerializeAsString();
      events[i].salt.reset();
      done.push_back({i, {*part, plants_.front().first}});
      plants_.pop_front();
    }
    const std::size_t honest = events.size();
    events.insert(events.end(), again.begin(), again.end());
    const v1::Receipt receipt = Submit(Provider(), events);
    for (const auto& [i, what] : done) Expect(receipt.first_position() + i, what.first, what.second);
    for (std::size_t i = honest; i < events.size(); ++i) Expect(receipt.first_position() + i, 0, Kind::kChunks);
    return receipt;
  }
  void Expect(std::uint64_t position, int part, Kind kind) {
    planted_.insert({position, part, std::string(InfoOf(kind).id)});
  }

  // A plant in the first answer with that outcome.
  static Plant InAnswer(v1::AnswerOutcome outcome, const std::function<void(v1::ProvisionResult&, DraftEvent::Part&)>& change) {
    return [=](v1::Provision& provision, Parts& parts) -> std::optional<int> {
      for (std::size_t i = 0; i < parts.size(); ++i) {
        v1::ProvisionResult result;
        EXPECT_TRUE(result.ParseFromString(parts[i].payload));
        if (result.outcome() != outcome) continue;
        change(result, parts[i]);
        parts[i].payload = result.SerializeAsString();
        Recount(provision, parts);
        return static_cast<int>(i) + 1;
      }
      return std::nullopt;
    };
  }
  static void Recount(v1::Provision& provision, const Parts& parts) {
    std::array<std::uint64_t, 5> counts{};
    for (const auto& part : parts) {
      v1::ProvisionResult result;
      EXPECT_TRUE(result.ParseFromString(part.payload));
      ++counts[static_cast<std::size_t>(result.outcome())];
    }
    provision.set_found_count(counts[v1::ANSWER_OUTCOME_FOUND]);
    provision.set_none_count(counts[v1::ANSWER_OUTCOME_NONE]);
    provision.set_multiple_count(counts[v1::ANSWER_OUTCOME_MULTIPLE]);
    provision.set_refused_count(counts[v1::ANSWER_OUTCOME_REFUSED]);
  }
  static Plant InEvent(const std::function<void(v1::Provision&)>& change) {
    return [=](v1::Provision& provision, Parts&) {
      change(provision);
      return std::optional(0);
    };
  }

  // In the answers of a large request.
  std::vector<std::pair<Kind, Plant>> AnswerPlants() {
    const Resident& other = residents_.back();
    return {
        {Kind::kField, InAnswer(v1::ANSWER_OUTCOME_FOUND, [](auto& result, auto&) { result.add_released_fields("individual_number"); })},
        {Kind::kField, InAnswer(v1::ANSWER_OUTCOME_FOUND, [](auto& result, auto&) { result.mutable_released_fields()->RemoveLast(); })},
        {Kind::kPerson, InAnswer(v1::ANSWER_OUTCOME_FOUND, [other](auto& result, auto& part) {
           result.set_version_position(other.position);
           part.subject = other.subject;
         })},
        {Kind::kPerson, InAnswer(v1::ANSWER_OUTCOME_FOUND, [other](auto&, auto& part) { part.subject = other.subject; })},
        {Kind::kPerson, InAnswer(v1::ANSWER_OUTCOME_FOUND, [](auto& result, auto& part) {
           result.set_outcome(v1::ANSWER_OUTCOME_NONE);
           part.subject.clear();
         })},
        {Kind::kPerson, InAnswer(v1::ANSWER_OUTCOME_MULTIPLE, [](auto& result, auto&) { result.set_match_count(3); })},
        {Kind::kRefusal, InAnswer(v1::ANSWER_OUTCOME_FOUND, [](auto& result, auto& part) {
           result.set_outcome(v1::ANSWER_OUTCOME_REFUSED);
           result.set_refusal(v1::REFUSAL_REASON_CONDITION);
           part.subject.clear();
         })},
        {Kind::kNotRefused, InAnswer(v1::ANSWER_OUTCOME_REFUSED, [this](auto& result, auto& part) {
           const bool suspended = result.refusal() == v1::REFUSAL_REASON_SUSPENDED;
           const Resident& told = residents_[suspended ? 6 : 0];
           result.set_outcome(v1::ANSWER_OUTCOME_FOUND);
           result.clear_refusal();
           result.set_match_count(1);
           result.set_version_position(told.position);
           part.subject = told.subject;
         })},
        {Kind::kDigest, InAnswer(v1::ANSWER_OUTCOME_FOUND, [](auto& result, auto&) { result.set_result_digest(std::string(32, 'x')); })},
        {Kind::kDigest, InEvent([](auto& provision) { provision.set_result_digest(std::string(32, 'x')); })},
        {Kind::kCounts, InEvent([](auto& provision) {
           provision.set_found_count(provision.found_count() - 1);
           provision.set_none_count(provision.none_count() + 1);
         })},
        {Kind::kChunks, {}},
    };
  }
  // In the one event of an immediate request.
  std::vector<std::pair<Kind, Plant>> EventPlants() {
    return {
        {Kind::kBasis, InEvent([](auto& provision) { provision.set_basis("30-15-2/late"); })},
        {Kind::kBasis, InEvent([](auto& provision) { provision.set_basis("30-15-1/5-tax"); })},
        {Kind::kSignature, InEvent([](auto& provision) { provision.mutable_request_signature()->front() ^= 1; })},
        {Kind::kOperator, InEvent([](auto& provision) { provision.mutable_operator_act()->set_operator_id("nobody"); })},
        {Kind::kNotPermitted, InEvent([](auto& provision) { provision.set_duty("d-2"); })},
        {Kind::kNotPermitted, InEvent([](auto& provision) { provision.add_fields("individual_number"); })},
        {Kind::kPolicy, InEvent([](auto& provision) { provision.set_policy_position(provision.policy_position() - 1); })},
        {Kind::kTime, InEvent([this](auto& provision) { provision.set_evaluated_at(before_suspension_); })},
        {Kind::kTime, InEvent([](auto& provision) { provision.set_judged_on("2026-11-23"); })},
        {Kind::kTime, InEvent([](auto& provision) { provision.set_evaluated_at(1'000'000); })},
        {Kind::kRefusal, [](v1::Provision& provision, Parts& parts) {
           parts.clear();
           Recount(provision, parts);
           provision.set_result_count(0);
           provision.set_refusal(v1::REFUSAL_REASON_DUTY);
           return std::optional(0);
         }},
    };
  }

  // --- what is found

  ReexecutionOptions Options() {
    ReexecutionOptions o;
    o.ledger.prefecture = Prefecture::kNumber;
    o.ledger.ledger = p().ledger_id();
    o.ledger.registrar = p().registrar_key().public_key();
    o.ledger.sequencer = p().ledger_key().public_key();
    o.log = &p().log();
    o.keys = &p().key_store();
    o.clock = &p().clock();
    o.matching = Matching::Shipped();
    o.dir = p().Path("reexecution" + std::to_string(++runs_));
    return o;
  }
  // When what is under way has come to an end.
  void Stop() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (providing_ != nullptr && nlohmann::json::parse(providing_->StatusJson().value())["unpublished"] != 0) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    providing_.reset();
  }
  Reexecution Run(const ReexecutionOptions& options) {
    Stop();
    p().clock().Advance(std::chrono::hours(1));
    const auto out = Reexecute(options);
    EXPECT_TRUE(out.ok()) << out.status().ToString();
    return out.ok() ? *out : Reexecution();
  }
  static std::set<Planted> Found(const Reexecution& result) {
    std::set<Planted> out;
    for (const ReexecutionFinding& finding : result.findings) {
      out.insert({finding.position.value(), finding.part, std::string(InfoOf(finding.kind).id)});
    }
    EXPECT_EQ(out.size(), result.findings_total) << "each is told once";
    return out;
  }
  static std::string Words(const std::set<Planted>& all) {
    std::string out;
    for (const Planted& each : all) out += std::to_string(each.position) + "." + std::to_string(each.part) + " " + each.kind + "\n";
    return out;
  }
  void ExpectExactlyThePlanted(const Reexecution& result) {
    EXPECT_EQ(Words(Found(result)), Words(planted_));
    EXPECT_EQ(result.unjudged, 0u);
  }

  Retaining r_;
  std::mutex submitting_;
  std::map<std::string, SigningKey> agencies_;
  std::vector<Resident> residents_;
  std::uint64_t before_suspension_ = 0;
  std::shared_ptr<Projector> projector_;
  std::jthread following_;
  TopicTampering::Change on_topics_;
  TopicTampering log_{r_.p.log(), on_topics_};
  std::deque<std::pair<Kind, Plant>> plants_;  // of the provider's thread while it answers
  std::set<Planted> planted_;
  std::unique_ptr<Providing> providing_;
  int requests_ = 0, runs_ = 0;
};

TEST_F(ReexecutionTest, OfTwoAskedAtOnceTheSecondFindsTheQuotaTaken) {
  Follow(true);
  std::vector<ProvisionAsked> asked;
  for (int i = 0; i < 2; ++i) {
    RequestHeader header = Header(v1::PROVISION_MODE_BATCH, 15, "gunma-boe", "30-15-2/few");
    asked.push_back(Asked(header, Lines(15)));
    header.duty = "d-2";
    EXPECT_EQ(Provide(Asked(header, Lines(15))).refusal, v1::REFUSAL_REASON_DUTY) << "under its number, and no part of it";
  }
  auto answered = std::async(std::launch::async, [&] { return Provide(asked[1]).refusal; });
  const std::multiset<v1::RefusalReason> refusals = {Provide(asked[0]).refusal, answered.get()};
  EXPECT_EQ(refusals, std::multiset<v1::RefusalReason>({v1::REFUSAL_REASON_UNSPECIFIED, v1::REFUSAL_REASON_QUOTA}));
}

TEST_F(ReexecutionTest, OfAnHonestLedgerNothingIsFound) {
  Follow(true);
  AskMany(200);
  AskMany(40, "gunma-tax", "30-15-1/5-tax");
  AskMany(8, "gunma-tax", "30-15-1-4");
  for (std::size_t i = 0; i < 16; ++i) AskOne(Drawn(i));
  // Refused as a whole, each for a reason of its own.
  RequestHeader refused = Header(v1::PROVISION_MODE_IMMEDIATE, 1);
  refused.duty = "d-2";
  EXPECT_EQ(Provide(Asked(refused, Line(1, Number(8)))).refusal, v1::REFUSAL_REASON_DUTY);
  RequestHeader taken = Header(v1::PROVISION_MODE_IMMEDIATE, 1);
  taken.reference = "R8-1";
  EXPECT_EQ(Provide(Asked(taken, Line(1, Number(8)))).refusal, v1::REFUSAL_REASON_REFERENCE);
  ProvisionAsked forged = Asked(Header(v1::PROVISION_MODE_IMMEDIATE, 1), Line(1, Number(8)));
  forged.signature[0] ^= 1;
  EXPECT_EQ(Provide(forged).refusal, v1::REFUSAL_REASON_SIGNATURE);
  EXPECT_EQ(AskMany(15, "gunma-boe", "30-15-2/few").refusal, v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(AskMany(15, "gunma-boe", "30-15-2/few").refusal, v1::REFUSAL_REASON_QUOTA);
  // A medium, and a standing request that is followed.
  RequestHeader medium = Header(v1::PROVISION_MODE_BATCH, 1);
  medium.method = v1::DELIVERY_METHOD_MEDIUM;
  ProvisionAsked on_medium = Asked(medium, Line(1, Number(9)));
  on_medium.out = p().Path("medium");
  Provide(on_medium);
  const RequestHeader standing = Header(v1::PROVISION_MODE_STANDING, 2);
  Provide(Asked(standing, Line(1, Number(10)) + Line(2, Number(11))));
  const std::uint64_t before = p().Size();
  {
    const std::lock_guard lock(submitting_);
    Retaining::ExpectAdmitted(p().Notify(kMaebashi, {AddressChange(residents_[10].person, 2, kMaebashi)}));
  }
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (p().Size() < before + 2 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  RequestHeader end = Header(v1::PROVISION_MODE_STANDING, 0);
  end.ends = true;
  EXPECT_EQ(Provide(Asked(end, "")).refusal, v1::REFUSAL_REASON_REFERENCE) << "nothing began under that number";
  end.reference = standing.reference;
  EXPECT_EQ(Provide(Asked(end, "")).refusal, v1::REFUSAL_REASON_UNSPECIFIED);
  // The rules change, and the agency's key.
  {
    const std::lock_guard lock(submitting_);
    v1::PolicyRules rules = Rules();
    rules.set_version(3);
    rules.mutable_provision_rules(0)->add_fields("kana");
    r_.SetPolicy(rules);
    const SigningKey next = SigningKey::Generate();
    Retaining::ExpectAdmitted(p().Submit(
        Prefecture::Registrar(), {p().Give(v1::KEY_USE_AGENCY_SIGNING, "gunma-boe", next.public_key())}));
    agencies_["gunma-boe"] = next;
  }
  ASSERT_TRUE(projector_->WaitFor(Position(p().Size()), std::chrono::seconds(30)));
  EXPECT_EQ(AskMany(70).refusal, v1::REFUSAL_REASON_UNSPECIFIED);
  const Reexecution result = Run(Options());
  ExpectExactlyThePlanted(result);
  EXPECT_EQ(result.answers, 200u + 40 + 8 + 16 + 15 + 1 + 2 + 1 + 70);
  EXPECT_GT(result.deliveries, 20u);
}

TEST_F(ReexecutionTest, WhatKikouToldRestsOnAnInquiryOfTheSameRequest) {
  const auto ask = [&](bool elsewhere, std::size_t resident = 500'000) {
    std::string lines;
    for (int i = 0; i < 8; ++i) {
      v1::SearchCondition condition;
      condition.set_individual_number(NumberOf(static_cast<int>(resident) + i));
      lines += Line(i + 1, condition);
    }
    RequestHeader header = Header(v1::PROVISION_MODE_BATCH, 8);
    header.elsewhere = elsewhere;
    return Provide(Asked(header, lines));
  };
  EXPECT_EQ(ask(false).none, 8u);
  const ProvisionOutcome told = ask(true);
  EXPECT_EQ((std::vector{told.found, told.none, told.multiple, told.refused}), (std::vector<std::uint64_t>{2, 2, 2, 2}));
  EXPECT_EQ(ask(true, 7).found, 8u) << "who is here is not asked about";

  const auto plant = [&](v1::AnswerOutcome outcome, const std::function<void(v1::ProvisionResult&)>& change) {
    plants_.push_back({Kind::kElsewhere, InAnswer(outcome, [=](auto& result, auto&) { change(result); })});
    ask(true);
    EXPECT_TRUE(plants_.empty());
  };
  std::string earlier;
  plant(v1::ANSWER_OUTCOME_FOUND, [&](auto& result) {
    earlier = result.inquiry();
    result.set_result_digest(std::string(32, 'x'));
  });
  plant(v1::ANSWER_OUTCOME_FOUND, [&](auto& result) { result.set_inquiry(earlier); });
  plant(v1::ANSWER_OUTCOME_FOUND, [](auto& result) { result.set_inquiry("made-up"); });
  plant(v1::ANSWER_OUTCOME_NONE, [](auto& result) { result.clear_inquiry(); });
  plant(v1::ANSWER_OUTCOME_FOUND, [](auto& result) { result.mutable_released_fields()->RemoveLast(); });
  plant(v1::ANSWER_OUTCOME_NONE, [](auto& result) {
    result.set_outcome(v1::ANSWER_OUTCOME_MULTIPLE);
    result.set_match_count(2);
  });
  ExpectExactlyThePlanted(Run(Options()));
}

TEST_F(ReexecutionTest, ExactlyWhatWasPlantedIsFound) {
  const auto answers = static_cast<std::size_t>(FromEnvironment("DAICHO_ANSWERS", 700));
  const auto planted = static_cast<std::size_t>(FromEnvironment("DAICHO_PLANTED", 23));
  const auto in_answers = AnswerPlants(), in_events = EventPlants();
  // One to an event: of 63 answers, or of one.
  const std::size_t every = in_answers.size() + in_events.size();
  std::size_t singles = 0;
  for (std::size_t i = 0; i < planted; ++i) {
    if (i % every < in_answers.size()) {
      plants_.push_back(in_answers[i % every]);
    } else {
      ++singles;
    }
  }
  for (std::size_t left = answers; left > 0;) {
    const std::size_t count = std::min<std::size_t>(left, 20'000);
    AskMany(count);
    left -= count;
  }
  EXPECT_TRUE(plants_.empty()) << "too few answers for so many";
  for (std::size_t i = 0; i < singles; ++i) {
    plants_.push_back(in_events[i % in_events.size()]);
    AskOne(Number(7 + i % (residents_.size() - 8)));
    AskOne(Drawn(i));
  }
  EXPECT_EQ(planted_.size(), planted);
  const Reexecution result = Run(Options());
  ExpectExactlyThePlanted(result);
  std::cout << result.answers << " answers in " << result.seconds << " s: "
            << static_cast<std::uint64_t>(static_cast<double>(result.answers) / result.seconds) << " a second, "
            << 1e6 * result.processor_seconds / static_cast<double>(result.answers) << " us of processor time each, "
            << result.findings_total << " found of " << planted << "\n";
}

TEST_F(ReexecutionTest, WhatAnAgencyHasMustBeWhatTheLedgerSays) {
  on_topics_ = [&](std::vector<TopicRecord>& records) {
    std::vector<TopicRecord> out;
    for (TopicRecord& record : records) {
      const std::uint64_t position = std::stoull(record.record.key);
      switch (position % 5) {
        case 0:
          record.record.value.back() = static_cast<char>(record.record.value.back() ^ 1);
          Expect(position, 0, Kind::kDeliveryChanged);
          break;
        case 1: Expect(position, 0, Kind::kDeliveryMissing); continue;
        case 2:
          out.push_back(record);
          Expect(position, 0, Kind::kDeliveryTwice);
          break;
        case 3: {
          TopicRecord foreign = record;
          foreign.record.key = "4";
          out.push_back(foreign);
          Expect(4, 0, Kind::kDeliveryForeign);
          break;
        }
        default: break;
      }
      out.push_back(std::move(record));
    }
    records = std::move(out);
  };
  AskMany(63 * 5);
  const Reexecution result = Run(Options());
  ExpectExactlyThePlanted(result);
  EXPECT_GE(planted_.size(), 4u);
}

TEST_F(ReexecutionTest, AReceiptMustBeSignedByTheAgencyAndOfWhatItWasDelivered) {
  const ProvisionOutcome delivered = AskOne(Number(8));
  const auto receive = [&](const std::string& digest, const SigningKey& key) {
    v1::AgencyReceipt receipt;
    receipt.set_agency("gunma-boe");
    receipt.set_provision_position(delivered.first.value());
    receipt.set_delivered_digest(digest);
    v1::DeliveryReceived received;
    received.set_receipt(receipt.SerializeAsString());
    received.set_signature(key.Sign(std::string(kAgencyReceiptTag) + received.receipt()));
    DraftEvent event;
    event.kind = v1::EVENT_KIND_DELIVERY_RECEIVED;
    event.retention = v1::RETENTION_CLASS_OPERATION;
    event.payload = received.SerializeAsString();
    return Submit(Provider(), {event}).first_position();
  };
  const std::string digest(View(Sha256Of({delivered.cms})));
  Expect(receive(digest, SigningKey::Generate()), 0, Kind::kReceipt);
  Expect(receive(std::string(32, 'x'), agencies_["gunma-boe"]), 0, Kind::kReceipt);
  receive(digest, agencies_["gunma-boe"]);
  const Reexecution result = Run(Options());
  ExpectExactlyThePlanted(result);
  EXPECT_EQ(result.receipts, 3u);
}

TEST_F(ReexecutionTest, ARequestThatEndsBeforeItsLastAnswerIsFound) {
  const ProvisionOutcome whole = AskMany(63 * 4);
  ReexecutionOptions options = Options();
  options.to = Position(whole.last.value() - 1);
  Expect(whole.last.value() - 1, 0, Kind::kChunks);
  ExpectExactlyThePlanted(Run(options));
  // From the middle on only the rest is looked at.
  planted_.clear();
  options = Options();
  options.from = whole.first.Next();
  const Reexecution rest = Run(options);
  ExpectExactlyThePlanted(rest);
  EXPECT_EQ(rest.answers, 63u * 3);
}

TEST_F(ReexecutionTest, WhatIsErasedIsCountedAndNotFound) {
  AskMany(130);
  Stop();
  v1::ErasurePlan plan = r_.Plan(*projector_, "2034-12-01");
  ASSERT_NO_FATAL_FAILURE(r_.Erase(plan));
  const Reexecution result = Run(Options());
  EXPECT_EQ(Words(Found(result)), "");
  EXPECT_EQ(result.answers, 0u);
  EXPECT_EQ(result.erased, 130u);
}

TEST_F(ReexecutionTest, TellsItAsJsonAndInWords) {
  plants_.push_back(EventPlants().front());
  AskOne(Number(8));
  const Reexecution result = Run(Options());
  const auto said = nlohmann::json::parse(ReexecutionJson(result));
  EXPECT_EQ(said["verdict"], "findings");
  EXPECT_EQ(said["findings"][0]["kind"], "basis");
  EXPECT_EQ(said["findings"][0]["part"], 0);
  EXPECT_NE(ReexecutionText(result).find("その日に効力のある根拠によらない提供です"), std::string::npos);
}

}  // namespace
}  // namespace daicho
