// A comparison is repeated from the ledger: of an honest one nothing is found, whatever there was to compare; what was recorded
// otherwise is found, and by what it is. Method: the real comparison runs against copy files that are made here; what it submits
// is changed on its way to its own signature, so that every event is properly signed and admitted.
#include "consumers/consistency_audit.h"

#include <gtest/gtest.h>

#include <map>

#include "consumers/copy_file.h"
#include "consumers/copy_sketching.h"
#include "consumers/gateway.h"
#include "consumers/operator_act.h"
#include "consumers/reconciling.h"
#include "ledger/files.h"
#include "tests/retaining.h"

namespace daicho {
namespace {

using Kind = ReexecutionFindingKind;
using Kinds = std::multiset<std::string>;

constexpr int kResidents = 40;

class ConsistencyAuditTest : public ::testing::Test {
 protected:
  ConsistencyAuditTest() {
    v1::RoleDefined role;
    role.set_role("comparer");
    role.add_permissions(v1::PERMISSION_RECONCILE);
    Administer({p().Registration(Reconciler(), v1::ISSUER_ROLE_RECONCILER),
                Administration(v1::EVENT_KIND_ROLE_DEFINED, role.SerializeAsString()),
                Operator("abe", "comparer"), Operator("baba", "consenter")});
    std::map<std::string, std::vector<v1::UpdateNotice>> births;
    for (int i = 0; i < kResidents; ++i) {
      persons_.emplace_back(i);
      const std::string municipality = i % 2 == 0 ? kMaebashi : kTakasaki;
      births[municipality].push_back(Birth(persons_.back(), municipality));
      there_[persons_.back().code] = HeldRow(births[municipality].back());
    }
    for (const auto& [municipality, notices] : births) Retaining::ExpectAdmitted(p().Notify(municipality, notices));
    projector_ = Projector::Open(r_.OptionsOf("file", p().log(), p().key_store())).value();
    following_ = std::jthread([this](std::stop_token stop) { EXPECT_TRUE(projector_->Run(stop).ok()); });
    ReconcilingOptions o;
    o.prefecture = Prefecture::kNumber;
    o.ledger = p().ledger_id();
    o.dir = p().Path("reconcile");
    o.clock = &p().clock();
    o.copy_key = key_;
    o.ledger_size = [this] { return Result<std::uint64_t>(p().Size()); };
    o.projector = [this] { return projector_; };
    o.peer = [] { return Result<std::optional<KikouPeer>>(std::optional<KikouPeer>()); };
    o.prepare = [] { return Status(); };
    o.settle = [] { return Result<std::optional<Position>>(std::optional<Position>()); };
    o.submit = [this](const std::vector<DraftEvent>& events) -> Result<v1::Receipt> {
      std::vector<DraftEvent> changed = events;
      if (tamper_) tamper_(changed);
      return Submit(Reconciler(), changed);
    };
    reconciling_ = std::make_unique<Reconciling>(std::move(o));
  }
  ~ConsistencyAuditTest() override {
    reconciling_.reset();
    following_.request_stop();
  }

  Prefecture& p() { return r_.p; }
  static std::string Reconciler() { return RoleIssuer(Prefecture::kNumber, "reconciler"); }
  v1::Receipt Submit(const std::string& issuer, const std::vector<DraftEvent>& events) {
    const v1::Receipt receipt = p().Submit(issuer, events);
    Retaining::ExpectAdmitted(receipt);
    return receipt;
  }
  void Administer(const std::vector<DraftEvent>& events) { Submit(Prefecture::Registrar(), events); }
  DraftEvent Operator(const std::string& id, const std::string& role) {
    operators_[id] = SigningKey::Generate();
    v1::OperatorRegistered out;
    out.set_operator_id(id);
    out.set_public_key(std::string(View(operators_[id].public_key())));
    out.add_roles(role);
    out.set_verification_id(id);
    return Administration(v1::EVENT_KIND_OPERATOR_REGISTERED, out.SerializeAsString());
  }
  // 機構 gets it too, unless it is `lost` on its way.
  void Notify(const v1::UpdateNotice& notice, bool lost = false) {
    r_.Admit(notice);
    if (!lost) there_[notice.resident_code()] = HeldRow(notice);
  }
  Version VersionOf(const Person& person, Position at) const {
    const RecordFile& file = projector_->file();
    return file.Read(file.FindByResidentCode(person.code, at).value(), at, std::nullopt).value();
  }
  v1::HeldCopy& There(std::size_t person) { return there_[persons_[person].code]; }

  // --- comparing

  std::string Copy(const std::string& holder, const std::vector<v1::HeldCopy>& rows) {
    EXPECT_TRUE(projector_->WaitFor(Position(p().Size()), std::chrono::minutes(1)));
    p().clock().Advance(std::chrono::hours(1));
    const std::string path = p().Path("copy" + std::to_string(++files_));
    const CopyHeader header{holder, FormatTimestamp(p().clock().Now()), rows.size()};
    auto writer = CopyFileWriter::Create(path, header, CopyCompression::kNone).value();
    for (const v1::HeldCopy& row : rows) EXPECT_TRUE(writer.Append(row).ok());
    EXPECT_TRUE(writer.Commit().ok());
    p().clock().Advance(std::chrono::minutes(1));
    return path;
  }
  std::vector<v1::HeldCopy> RowsThere(const std::string& municipality = "") const {
    std::vector<v1::HeldCopy> out;
    for (const auto& [code, row] : there_) {
      if (municipality.empty() || row.record().address().municipality() == municipality) out.push_back(row);
    }
    return out;
  }
  Result<ReconcileOutcome> Order(ReconcileOrder order, const std::string& operator_id) {
    if (!operator_id.empty()) {
      order.operator_act = SignAct(operator_id, operators_[operator_id], "T1", kReconcileTag, order.SignedDigest(),
                                   p().clock().Now()).value();
    }
    return reconciling_->Run(order);
  }
  v1::ConsistencyRun Compare(const std::string& operator_id = "") {
    ReconcileOrder order;
    order.file = Copy("kikou", RowsThere());
    const auto out = Order(order, operator_id);
    EXPECT_TRUE(out.ok()) << out.status().ToString();
    return out.ok() ? out->run : v1::ConsistencyRun();
  }
  // 前橋市's, of those rows, at its own end.
  std::string Sketch(const std::vector<v1::HeldCopy>& rows, const CopyKey& key, Position at) {
    CopySketchOrder order{.gateway = p().Path("gateway"), .key = p().Path("sketch.key"), .copy = Copy(kMaebashi, rows),
                          .out = p().Path("sketch" + std::to_string(files_)), .position = at};
    if (!FileExists(order.gateway)) CHECK(CreateGateway(order.gateway, kMaebashi, "").ok());
    EXPECT_TRUE(WriteCopyKeyFile(order.key, key).ok());
    const auto sketch = WriteCopySketch(order);
    EXPECT_TRUE(sketch.ok() && sketch->errors.empty()) << sketch.status().ToString();
    return order.out;
  }
  std::string Sketch() {
    return Sketch(RowsThere(kMaebashi), CopyKeyOfMunicipality(key_, kMaebashi), Position(p().Size() - 1));
  }
  static ReconcileOrder OrderOf(const std::string& file) {
    ReconcileOrder order;
    order.holder = kMaebashi;
    order.file = file;
    return order;
  }
  v1::ConsistencyRun CompareSketch() {
    const auto out = Order(OrderOf(Sketch()), "");
    EXPECT_TRUE(out.ok()) << out.status().ToString();
    return out.ok() ? out->run : v1::ConsistencyRun();
  }
  v1::ConsistencyRun CompareCopyOfMaebashi() {
    const auto out = Order(OrderOf(Copy(kMaebashi, RowsThere(kMaebashi))), "");
    EXPECT_TRUE(out.ok()) << out.status().ToString();
    return out.ok() ? out->run : v1::ConsistencyRun();
  }
  Kinds OpenClasses() {
    Kinds out;
    for (const auto& each : OpenCases()) out.insert(std::string(DifferenceClassName(each.found.difference_class())));
    return out;
  }
  std::vector<ConsistencyRegister::Case> OpenCases() {
    return ConsistencyRegister(projector_->store()).OpenCases("", Position(p().Size() - 1)).value();
  }
  Status Decide(const ConsistencyRegister::Case& of, v1::DifferenceResolution resolution) {
    v1::DifferenceResolved event;
    event.set_found_position(of.position.value());
    event.set_resolution(resolution);
    event.set_settled_by(kMaebashi);
    const auto act = SignAct("abe", operators_["abe"], "T1", kResolveTag, Sha256Of({event.SerializeAsString()}),
                             p().clock().Now());
    return reconciling_->Resolve(event, *act).status();
  }

  // --- what is recorded otherwise

  template <typename Event>
  static void Change(std::vector<DraftEvent>& events, v1::EventKind kind, const std::function<void(Event&, DraftEvent&)>& change) {
    for (DraftEvent& draft : events) {
      Event event;
      if (draft.kind != kind || !event.ParseFromString(draft.payload)) continue;
      change(event, draft);
      draft.payload = event.SerializeAsString();
      draft.salt.reset();
    }
  }
  void InFound(const std::function<void(v1::DifferenceFound&, DraftEvent&)>& change) {
    tamper_ = [=](auto& events) { Change<v1::DifferenceFound>(events, v1::EVENT_KIND_DIFFERENCE_FOUND, change); };
  }
  void InRun(const std::function<void(v1::ConsistencyRun&)>& change) {
    tamper_ = [=](auto& events) {
      Change<v1::ConsistencyRun>(events, v1::EVENT_KIND_CONSISTENCY_RUN, [&](auto& run, auto&) { change(run); });
    };
  }
  void InResolved(const std::function<void(v1::DifferenceResolved&)>& change) {
    tamper_ = [=](auto& events) {
      Change<v1::DifferenceResolved>(events, v1::EVENT_KIND_DIFFERENCE_RESOLVED, [&](auto& event, auto&) { change(event); });
    };
  }

  // --- what is found

  struct Audited {
    Kinds kinds;
    std::string details;
    std::uint64_t runs = 0, differences = 0, unjudged = 0;
  };
  Audited Audit(Position from = Position(0)) { return AuditWith(key_, from); }
  Audited AuditWith(const std::optional<CopyKey>& key, Position from = Position(0)) {
    p().clock().Advance(std::chrono::hours(1));
    EXPECT_TRUE(projector_->WaitFor(Position(p().Size()), std::chrono::minutes(1)));
    const auto registry = projector_->registry();
    ConsistencyAudit audit(*projector_, *registry, key, p().clock().Now());
    Audited out;
    const Status status = audit.Check(from, Position(p().Size() - 1), [&](ReexecutionFinding finding) {
      out.kinds.insert(std::string(InfoOf(finding.kind).id));
      out.details += std::to_string(finding.position.value()) + " " + finding.detail + "\n";
    });
    EXPECT_TRUE(status.ok()) << status.ToString();
    out.runs = audit.runs();
    out.differences = audit.differences();
    out.unjudged = audit.unjudged();
    return out;
  }
  void ExpectNothing() {
    const Audited audited = Audit();
    EXPECT_EQ(audited.kinds, Kinds()) << audited.details;
    EXPECT_EQ(audited.unjudged, 0u);
  }
  void ExpectFound(const Kinds& kinds) {
    tamper_ = nullptr;
    const Audited audited = Audit();
    EXPECT_EQ(audited.kinds, kinds) << audited.details;
    EXPECT_EQ(audited.unjudged, 0u);
  }
  // One of each class but the last, of as many persons.
  void Drift() {
    there_.erase(persons_[0].code);
    v1::HeldCopy stranger = HeldRow(Birth(Person(900), kMaebashi));
    there_[stranger.resident_code()] = stranger;
    There(1).mutable_record()->set_birth("1911-02-03");
    There(2).set_update_number(9);
    There(3).mutable_record()->set_name(There(3).record().name() + "\xf3\xa0\x84\x80");
    There(4).set_removed(true);
  }

  Retaining r_;
  const CopyKey key_{.epoch = 3, .secret = RandomArray<32>()};
  std::map<std::string, SigningKey> operators_;
  std::vector<Person> persons_;
  std::map<std::string, v1::HeldCopy> there_;
  std::shared_ptr<Projector> projector_;
  std::jthread following_;
  std::function<void(std::vector<DraftEvent>&)> tamper_;
  std::unique_ptr<Reconciling> reconciling_;
  int files_ = 0;
};

TEST_F(ConsistencyAuditTest, OfHonestRunsNothingIsFound) {
  EXPECT_EQ(Compare().differences_size(), 0);
  Drift();
  EXPECT_EQ(Compare("abe").differences_size(), 6);
  ExpectNothing();
  // Found again: as they were, though one of them has moved; otherwise; and no more.
  Notify(AddressChange(persons_[1], 2, kTakasaki), true);
  There(1) = HeldRow(AddressChange(persons_[1], 2, kTakasaki));
  There(1).mutable_record()->set_birth("1911-02-03");
  There(3).mutable_record()->set_birth("1911-02-03");
  There(4).set_removed(false);
  const v1::ConsistencyRun again = Compare();
  EXPECT_EQ(again.found_again_size(), 4);
  EXPECT_EQ(OpenCases().size(), 5u);
  ExpectNothing();
  // A notice that 機構 had first; and one that our side lost.
  Notify(AddressChange(persons_[5], 2, kTakasaki), true);
  There(6) = HeldRow(AddressChange(persons_[6], 2, kMaebashi));
  EXPECT_EQ(Compare().found_again_size(), 5);
  Notify(AddressChange(persons_[6], 2, kMaebashi));
  Notify(AddressChange(persons_[5], 3, kTakasaki));
  Compare();
  ExpectNothing();
  // Decided.
  for (const auto& each : OpenCases()) {
    if (each.found.difference_class() == v1::DIFFERENCE_CLASS_FIELD) {
      EXPECT_TRUE(Decide(each, v1::DIFFERENCE_RESOLUTION_NO_ERROR).ok());
    }
  }
  Compare();
  const Audited audited = Audit();
  EXPECT_EQ(audited.kinds, Kinds()) << audited.details;
  EXPECT_EQ(audited.runs, 6u);
  EXPECT_GE(audited.differences, 9u);
}

TEST_F(ConsistencyAuditTest, DuplicatesAreJudgedByTheirNumbersAndTheirCodes) {
  There(1).mutable_record()->set_individual_number(persons_[3].number);
  std::vector<v1::HeldCopy> rows = RowsThere();
  rows.push_back(There(7));
  rows.back().set_update_number(2);
  ReconcileOrder order;
  order.file = Copy("kikou", rows);
  const auto out = Order(order, "");
  ASSERT_TRUE(out.ok()) << out.status().ToString();
  EXPECT_EQ(out->run.differences(0).count(), 2u);
  ExpectNothing();
}

TEST_F(ConsistencyAuditTest, AMunicipalitysCopyAndANarrowedRunAreRepeatedToo) {
  Drift();
  ReconcileOrder order;
  order.file = Copy(kMaebashi, RowsThere(kMaebashi));
  ASSERT_TRUE(Order(order, "abe").ok());
  EXPECT_FALSE(OpenCases().empty());
  ExpectNothing();
  there_.erase(persons_[8].code);
  ReconcileOrder narrowed;
  narrowed.holder = "kikou";
  narrowed.municipality = kTakasaki;
  There(5).mutable_record()->set_individual_number(Person(900).number);  // as 前橋市's stranger has it
  narrowed.file = Copy("kikou", RowsThere());
  ASSERT_TRUE(Order(narrowed, "").ok());
  const Audited passed_over = Audit();
  EXPECT_EQ(passed_over.kinds, Kinds()) << passed_over.details;
  EXPECT_EQ(passed_over.unjudged, 1u);
  There(5) = HeldRow(Birth(persons_[5], kTakasaki));
  order = {};
  order.holder = "kikou";
  order.municipality = kTakasaki;
  order.file = Copy("kikou", RowsThere());
  ASSERT_TRUE(Order(order, "").ok());
  order.file = Copy(kMaebashi, RowsThere(kMaebashi));
  order.holder = kMaebashi;
  order.municipality = "";
  ASSERT_TRUE(Order(order, "").ok());
  const Audited audited = Audit();
  EXPECT_EQ(audited.kinds, Kinds()) << audited.details;
}

TEST_F(ConsistencyAuditTest, AMunicipalitysSketchIsOfThePersonsWhoStandWithIt) {
  Notify(Notice(persons_[10], v1::CHANGE_REASON_DEATH, 2, kMaebashi));
  Notify(MoveIn(persons_[12], 3, kTakasaki));
  Notify(MoveIn(persons_[13], 3, kMaebashi));
  const v1::ConsistencyRun run = CompareSketch();
  EXPECT_EQ(run.differences_size(), 0);
  EXPECT_EQ(run.here_count(), kResidents / 2 - 1u);
  EXPECT_EQ(run.here_count(), run.there_count());
  EXPECT_EQ(run.here_fingerprint(), run.there_fingerprint());
  ASSERT_EQ(run.results_size(), 1);
  EXPECT_EQ(run.results(0).municipality(), kMaebashi);
  ExpectNothing();
}

TEST_F(ConsistencyAuditTest, WhatAMunicipalitysSketchNamesIsRepeatedAndEnds) {
  const std::map<std::string, v1::HeldCopy> right = there_;
  Drift();
  Notify(MoveIn(persons_[6], 3, kTakasaki), true);  // it has the person still
  Notify(Notice(persons_[8], v1::CHANGE_REASON_DEATH, 2, kMaebashi), true);
  const v1::ConsistencyRun run = CompareSketch();
  EXPECT_EQ(OpenClasses(), Kinds({"missing_there", "missing_there", "missing_here", "field", "field", "field"}));
  EXPECT_EQ(run.there_count(), run.here_count() + 1);
  // The stranger is told by the place among the rows that the municipality has of its residents.
  std::set<std::string> standing;
  for (const auto& [code, row] : there_) {
    if (row.record().address().municipality() == kMaebashi && !row.removed()) standing.insert(code);
  }
  for (const v1::MunicipalityResult& result : run.results()) {
    for (const v1::MunicipalityCase& told : result.cases()) {
      EXPECT_EQ(result.municipality(), kMaebashi);
      EXPECT_EQ(told.row() == 0, told.difference_class() == v1::DIFFERENCE_CLASS_MISSING_THERE);
      if (told.difference_class() != v1::DIFFERENCE_CLASS_MISSING_HERE) continue;
      const auto place = std::distance(standing.begin(), standing.find(Person(900).code));
      EXPECT_EQ(told.row(), static_cast<std::uint64_t>(place) + 1);
    }
  }
  ExpectNothing();
  EXPECT_EQ(CompareSketch().found_again_size(), 6);
  ExpectNothing();
  // A copy file says what a sketch could not; a sketch leaves that as it is, but for who stands nowhere in it.
  CompareCopyOfMaebashi();
  EXPECT_EQ(OpenClasses(),
            Kinds({"missing_there", "removed_state", "missing_here", "order", "order", "removed_state"}));
  EXPECT_EQ(CompareSketch().found_again_size(), 5);
  EXPECT_EQ(OpenClasses(),
            Kinds({"missing_there", "missing_there", "missing_here", "order", "order", "removed_state"}));
  ExpectNothing();
  there_ = right;
  there_[persons_[6].code] = HeldRow(MoveIn(persons_[6], 3, kTakasaki));
  there_.erase(persons_[8].code);
  EXPECT_EQ(CompareSketch().differences_size(), 0);
  EXPECT_EQ(OpenClasses(), Kinds());
  ExpectNothing();
}

TEST_F(ConsistencyAuditTest, ASketchLeavesOpenWhatItDoesNotShow) {
  Notify(Notice(persons_[8], v1::CHANGE_REASON_DEATH, 2, kMaebashi));
  There(8).mutable_record()->set_birth("1911-02-03");
  v1::HeldCopy gone = HeldRow(Birth(Person(900), kMaebashi));
  gone.set_removed(true);
  there_[gone.resident_code()] = gone;
  CompareCopyOfMaebashi();
  EXPECT_EQ(OpenClasses(), Kinds({"field", "missing_here"}));
  EXPECT_EQ(CompareSketch().differences_size(), 0);
  EXPECT_EQ(OpenCases().size(), 2u);
  ExpectNothing();
  There(8) = HeldRow(Notice(persons_[8], v1::CHANGE_REASON_DEATH, 2, kMaebashi));
  there_.erase(gone.resident_code());
  CompareCopyOfMaebashi();
  EXPECT_EQ(OpenCases().size(), 0u);
  ExpectNothing();
}

TEST_F(ConsistencyAuditTest, WhatASketchFindsAgainMayBeOtherwiseThere) {
  There(2).mutable_record()->set_birth("1911-02-03");
  CompareCopyOfMaebashi();
  There(2).mutable_record()->set_birth("1911-02-04");
  EXPECT_EQ(CompareSketch().found_again_size(), 1);
  ExpectNothing();
  // The number that it had there then may be of somebody whom the sketch names too.
  There(4).mutable_record()->set_individual_number(persons_[6].number);
  CompareCopyOfMaebashi();
  There(6).mutable_record()->set_birth("1911-02-03");
  EXPECT_EQ(CompareSketch().found_again_size(), 2);
  EXPECT_EQ(OpenClasses(), Kinds({"field", "duplicate", "field"}));
  ExpectNothing();
}

TEST_F(ConsistencyAuditTest, ASketchThatCannotBeComparedIsRefusedAndNothingIsRecorded) {
  const CopyKey key = CopyKeyOfMunicipality(key_, kMaebashi);
  const auto rows = RowsThere(kMaebashi);
  const Position last(p().Size() - 1);
  const auto refused = [&](const std::string& file, Code code, std::string_view reason,
                           const std::string& holder = kMaebashi) {
    ReconcileOrder order = OrderOf(file);
    order.holder = holder;
    const Status status = Order(order, "abe").status();
    EXPECT_EQ(status.code(), code) << status.ToString();
    EXPECT_NE(status.message().find(reason), std::string::npos) << status.ToString();
  };
  refused(Sketch(rows, key_, last), Code::kConflict, "different keys");
  refused(Sketch(rows, CopyKeyOfMunicipality(key_, kTakasaki), last), Code::kConflict, "different keys");
  refused(Sketch(rows, CopyKey{4, key.secret}, last), Code::kConflict, "epochs 3 and 4");
  refused(Sketch(rows, key, last.Next()), Code::kInvalid, "位置 " + std::to_string(last.value() + 1));
  const std::string good = Sketch(rows, key, last);
  refused(good, Code::kConflict, "different keys", kTakasaki);
  refused(good, Code::kConflict, "different keys", "kikou");
  refused(good, Code::kInvalid, "holder", "102017");
  std::string bytes = ReadFile(good).value();
  bytes[1'000] = static_cast<char>(bytes[1'000] ^ 1);
  ASSERT_TRUE(WriteFileDurably(p().Path("altered"), bytes).ok());
  refused(p().Path("altered"), Code::kTampered, "changed since");
  ASSERT_TRUE(WriteFileDurably(p().Path("cut"), bytes.substr(0, 90)).ok());
  refused(p().Path("cut"), Code::kCorrupt, "cut short");
  EXPECT_EQ(p().Size(), last.value() + 1);
}

TEST_F(ConsistencyAuditTest, TheFingerprintsOfAMunicipalitysSketchAreJudgedByItsKey) {
  there_.erase(persons_[0].code);
  const std::vector<std::pair<std::function<void(v1::ConsistencyRun&)>, Kinds>> plants = {
      {[](auto& run) { run.set_here_count(run.here_count() + 1); }, {"counts"}},
      {[](auto& run) { run.set_there_count(run.there_count() + 1); }, {"copy"}},
      {[](auto& run) { run.mutable_here_fingerprint()->front() ^= 1; }, {"copy"}},
      {[](auto& run) { run.mutable_there_fingerprint()->front() ^= 1; }, {"copy"}},
  };
  for (std::size_t i = 0; i < plants.size(); ++i) {
    SCOPED_TRACE(i);
    const Position behind(p().Size());
    InRun(plants[i].first);
    CompareSketch();
    tamper_ = nullptr;
    const Audited audited = Audit(behind);
    EXPECT_EQ(audited.kinds, plants[i].second) << audited.details;
  }
  EXPECT_EQ(AuditWith(CopyKey{4, key_.secret}).unjudged, plants.size());
}

TEST_F(ConsistencyAuditTest, WhoMayNotIsRightlyRefused) {
  ReconcileOrder order;
  order.file = Copy("kikou", RowsThere());
  EXPECT_EQ(Order(order, "baba").status().code(), Code::kDenied);
  ExpectNothing();
  InRun([](auto& run) { run.set_refusal(v1::REFUSAL_REASON_PERMISSION); });
  Compare("abe");
  ExpectFound({"refusal"});
}

TEST_F(ConsistencyAuditTest, WithAnotherKeyTheFingerprintsAreNotJudged) {
  Drift();
  Compare();
  for (const std::optional<CopyKey>& key : {std::optional<CopyKey>(), std::optional(CopyKey{4, key_.secret})}) {
    const Audited audited = AuditWith(key);
    EXPECT_EQ(audited.kinds, Kinds()) << audited.details;
    EXPECT_EQ(audited.unjudged, 1u);
  }
  EXPECT_EQ(AuditWith(CopyKey{3, RandomArray<32>()}).kinds, Kinds({"copy", "copy"}));
}

TEST_F(ConsistencyAuditTest, OnlyWhatLiesBetweenIsJudged) {
  InRun([](auto& run) { run.set_here_count(1); });
  Compare();
  tamper_ = nullptr;
  const Position behind(p().Size());
  Compare();
  EXPECT_EQ(Audit().kinds, Kinds({"counts"}));
  const Audited rest = Audit(behind);
  EXPECT_EQ(rest.kinds, Kinds());
  EXPECT_EQ(rest.runs, 1u);
}

TEST_F(ConsistencyAuditTest, OurSideMustBeWhatTheLedgerHeld) {
  There(1).mutable_record()->set_birth("1911-02-03");
  InFound([](auto& found, auto&) { found.mutable_here()->mutable_record()->set_birth("1988-01-01"); });
  Compare();
  ExpectFound({"difference"});
}

TEST_F(ConsistencyAuditTest, TheirSideMustAccountForTheirCopy) {
  There(1).mutable_record()->set_birth("1911-02-03");
  InFound([](auto& found, auto&) { found.mutable_there()->mutable_record()->set_birth("1911-02-04"); });
  Compare();
  ExpectFound({"copy"});
}

TEST_F(ConsistencyAuditTest, TheClassIsWhatTheRowsAre) {
  There(1).mutable_record()->set_birth("1911-02-03");
  InFound([](auto& found, auto&) { found.set_difference_class(v1::DIFFERENCE_CLASS_GLYPH); });
  Compare();
  ExpectFound({"difference", "counts"});
}

TEST_F(ConsistencyAuditTest, ADifferenceIsOfThePersonWhoseItIs) {
  there_.erase(persons_[1].code);
  InFound([this](auto& found, DraftEvent& draft) {
    draft.subject = std::string(View(VersionOf(persons_[2], Position(found.evaluated_at())).handle));
  });
  Compare();
  ExpectFound({"difference"});
}

TEST_F(ConsistencyAuditTest, WhatIsLeftOutIsMissedInTheOtherCopy) {
  there_.erase(persons_[1].code);
  tamper_ = [](std::vector<DraftEvent>& events) {
    Change<v1::ConsistencyRun>(events, v1::EVENT_KIND_CONSISTENCY_RUN, [](auto& run, auto&) {
      run.clear_differences();
      run.clear_results();
    });
    // Something must be admitted: nothing of the person is.
    std::erase_if(events, [](const DraftEvent& event) { return event.kind == v1::EVENT_KIND_DIFFERENCE_FOUND; });
    if (!events.empty()) return;
    DraftEvent nothing;
    nothing.kind = v1::EVENT_KIND_DIFFERENCE_RESOLVED;
    nothing.retention = v1::RETENTION_CLASS_OPERATION;
    events.push_back(nothing);
  };
  Compare();
  ExpectFound({"copy"});
}

TEST_F(ConsistencyAuditTest, WhatIsInventedDoesNotAccountForTheOtherCopy) {
  there_.erase(persons_[1].code);
  InFound([this](v1::DifferenceFound& found, DraftEvent& draft) {
    found.set_resident_code(persons_[3].code);
    const Version version = VersionOf(persons_[3], Position(found.evaluated_at()));
    *found.mutable_here() = HeldRow(version.notice);
    draft.subject = std::string(View(version.handle));
  });
  Compare();
  ExpectFound({"copy"});
}

TEST_F(ConsistencyAuditTest, EveryCaseIsFoundAgainOrClosed) {
  there_.erase(persons_[1].code);
  Compare();
  InRun([](auto& run) {
    run.clear_found_again();
    run.clear_differences();
    run.clear_results();
  });
  Compare();
  ExpectFound({"case", "copy"});
}

TEST_F(ConsistencyAuditTest, WhatIsFoundAgainIsAnOpenCase) {
  there_.erase(persons_[1].code);
  Compare();
  const std::uint64_t found = OpenCases().front().position.value();
  there_[persons_[1].code] = HeldRow(Birth(persons_[1], kTakasaki));
  Compare();
  InRun([=](auto& run) { run.add_found_again(found); });
  Compare();
  ExpectFound({"case"});
}

TEST_F(ConsistencyAuditTest, WhomToTellFollowsFromTheSides) {
  There(2).set_update_number(9);  // 通報: 機構 is ahead
  InFound([](auto& found, auto&) { found.clear_report(); });
  Compare();
  ExpectFound({"case", "counts"});
}

TEST_F(ConsistencyAuditTest, WhoIsNotAheadIsCorrectedAndNotReported) {
  there_.erase(persons_[1].code);
  InFound([](auto& found, auto&) { found.mutable_report()->set_municipality(kTakasaki); });
  Compare();
  ExpectFound({"case", "counts"});
}

TEST_F(ConsistencyAuditTest, NumbersAreWithoutGaps) {
  there_.erase(persons_[1].code);
  InFound([](auto& found, auto&) { found.set_number(2); });
  Compare();
  ASSERT_EQ(OpenCases().size(), 1u);
  tamper_ = nullptr;
  const Audited audited = Audit();
  EXPECT_TRUE(audited.kinds.contains("case")) << audited.details;
}

TEST_F(ConsistencyAuditTest, CountsAndFingerprintsAreThoseOfTheCopies) {
  const std::vector<std::pair<std::function<void(v1::ConsistencyRun&)>, Kinds>> plants = {
      {[](auto& run) { run.set_here_count(run.here_count() + 1); }, {"counts"}},
      {[](auto& run) { run.set_there_count(run.there_count() + 1); }, {"copy"}},
      {[](auto& run) { run.mutable_here_fingerprint()->front() ^= 1; }, {"copy"}},
      {[](auto& run) { run.mutable_there_fingerprint()->front() ^= 1; }, {"copy"}},
      {[](auto& run) { run.set_evaluated_at(run.evaluated_at() + 1'000); }, {"time"}},
      {[](auto& run) { run.set_holder_as_of("2020-01-01T00:00:00+09:00"); }, {"time"}},
      {[](auto& run) { run.mutable_operator_act()->set_operator_id("nobody"); }, {"operator"}},
      {[](auto& run) { run.set_refusal(v1::REFUSAL_REASON_PERMISSION); }, {"refusal"}},
      {[](auto& run) { run.add_differences()->set_count(1); }, {"counts"}},
      {[](auto& run) { run.add_results()->set_municipality(kMaebashi); }, {"counts"}},
      {[](auto& run) { run.add_found_again(3); }, {"case"}},
  };
  for (std::size_t i = 0; i < plants.size(); ++i) {
    SCOPED_TRACE(i);
    const Position behind(p().Size());
    InRun(plants[i].first);
    Compare("abe");
    tamper_ = nullptr;
    const Audited audited = Audit(behind);
    EXPECT_EQ(audited.kinds, plants[i].second) << audited.details;
  }
}

TEST_F(ConsistencyAuditTest, ACaseEndsByWhatTheLedgerShows) {
  const std::vector<std::function<void(v1::DifferenceResolved&)>> plants = {
      [](auto& event) { event.set_resolution(v1::DIFFERENCE_RESOLUTION_ERASED); },
      [](auto& event) { event.set_resolution(v1::DIFFERENCE_RESOLUTION_NEW_NOTICE); },
      [](auto& event) { event.set_resolution(v1::DIFFERENCE_RESOLUTION_REPLACED); },
      [](auto& event) { event.set_settled_by(kMaebashi); },
      [](auto& event) { event.set_notice_position(7); },
      [](auto& event) { event.set_number(7); },
      [](auto& event) { event.set_resolved_on("2020-01-01"); },
  };
  for (std::size_t i = 0; i < plants.size(); ++i) {
    SCOPED_TRACE(i);
    const v1::HeldCopy row = There(1);
    there_.erase(persons_[1].code);
    Compare();
    there_[persons_[1].code] = row;
    const Position behind(p().Size());
    InResolved(plants[i]);
    Compare();
    tamper_ = nullptr;
    const Audited audited = Audit(behind);
    EXPECT_EQ(audited.kinds, Kinds({"resolution"})) << audited.details;
  }
}

TEST_F(ConsistencyAuditTest, ADecisionIsTheOperatorsOwn) {
  there_.erase(persons_[1].code);
  Compare();
  InResolved([](auto& event) { event.set_resolution(v1::DIFFERENCE_RESOLUTION_ERASED); });
  EXPECT_TRUE(Decide(OpenCases().front(), v1::DIFFERENCE_RESOLUTION_NO_ERROR).ok());
  ExpectFound({"operator"});
}

TEST_F(ConsistencyAuditTest, ADifferenceHasItsRun) {
  there_.erase(persons_[1].code);
  Compare();
  InRun([](auto& run) { run.set_run(std::string(16, 'x')); });
  there_.erase(persons_[2].code);
  EXPECT_FALSE(Order({.holder = "kikou", .municipality = "", .file = Copy("kikou", RowsThere()), .url = "", .out = "", .operator_act = {}}, "").ok());
  tamper_ = nullptr;
  const Audited audited = Audit();
  EXPECT_TRUE(audited.kinds.contains("case")) << audited.details;
}

TEST_F(ConsistencyAuditTest, WhatRestedOnErasedRecordsIsNotFound) {
  Notify(Notice(persons_[9], v1::CHANGE_REASON_DEATH, 2, kTakasaki));
  ASSERT_TRUE(projector_->WaitFor(Position(p().Size()), std::chrono::minutes(1)));
  r_.Plan(*projector_, "2190-12-01");
  Drift();
  Compare();
  const v1::ErasurePlan plan = r_.Plan(*projector_, "2190-12-01");
  ASSERT_GT(plan.keys_size(), 0);
  ASSERT_NO_FATAL_FAILURE(r_.Erase(plan));
  const auto anew = r_.CaughtUp("anew");
  const auto registry = anew->registry();
  ConsistencyAudit audit(*anew, *registry, key_, p().clock().Now());
  std::string details;
  ASSERT_TRUE(audit.Check(Position(0), Position(p().Size() - 1), [&](ReexecutionFinding finding) { details += finding.detail; }).ok());
  EXPECT_EQ(details, "");
  EXPECT_GT(audit.unjudged(), 0u);
}

}  // namespace
}  // namespace daicho
