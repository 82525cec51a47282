// The sequencer as issuers meet it. Method: a real sequencer on a real log, its issuers submitting
// through Submitter or by hand; after each story the whole ledger is replayed and verified. What
// must be refused must be refused with its field, rule and item, and leave the ledger as it was.
//
// The Kafka row needs the broker that DAICHO_TEST_KAFKA=host:port names and fails without it.
#include "ledger/sequencer.h"

#include <gtest/gtest.h>

#include <atomic>

#include "ledger/kafka_log.h"
#include "tests/log_wrappers.h"
#include "tests/prefecture.h"

namespace daicho {
namespace {

using v1::OUTCOME_ADMITTED;
using v1::OUTCOME_ALREADY_ADMITTED;
using v1::OUTCOME_REJECTED;

const Person kHanako(1), kTaro(2), kJiro(3);

struct Row {
  std::string name;
  std::function<OpenLogFunction()> log;
};
void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }

OpenLogFunction OnKafka() {
  const std::string prefix = "t" + ToHex(View(RandomArray<8>())) + ".";
  return [prefix](const std::string&) -> std::unique_ptr<Log> {
    KafkaLogOptions options;
    options.brokers = std::getenv("DAICHO_TEST_KAFKA");
    return std::make_unique<PrefixedLog>(KafkaLog::Open(options).value(), prefix);
  };
}

class SequencerTest : public ::testing::TestWithParam<Row> {
 protected:
  void SetUp() override {
    if (GetParam().name == "Kafka" && std::getenv("DAICHO_TEST_KAFKA") == nullptr) {
      FAIL() << "DAICHO_TEST_KAFKA=host:port must name a broker for this test";
    }
    prefecture_ = std::make_unique<Prefecture>(GetParam().log());
    prefecture_->Found();
  }
  Prefecture& P() { return *prefecture_; }

  // Refused with exactly these errors, and nothing else happened.
  void ExpectRefused(const std::string& issuer, const std::string& record,
                     const std::string& errors) {
    const std::uint64_t before = P().Size();
    const v1::Receipt receipt = P().Answer(issuer, record);
    EXPECT_EQ(receipt.outcome(), OUTCOME_REJECTED);
    EXPECT_EQ(ErrorsOf(receipt), errors);
    EXPECT_EQ(P().Size(), before);
  }
  void ExpectRefused(const Forgery& forgery, const std::string& errors) {
    ExpectRefused(forgery.issuer, forgery.Seal(), errors);
  }
  void ExpectRefused(const v1::UpdateNotice& notice, const std::string& errors) {
    ExpectRefused(P().Forge(kMaebashi, {Update(notice)}), errors);
  }
  void ExpectAdmitted(const v1::Receipt& receipt, std::uint64_t first, std::uint64_t last) {
    EXPECT_EQ(receipt.outcome(), OUTCOME_ADMITTED) << ErrorsOf(receipt);
    EXPECT_EQ(receipt.first_position(), first);
    EXPECT_EQ(receipt.last_position(), last);
  }
  // Proves that the ledger still takes submissions and knows what it knew: Hanako may move house.
  void ExpectStillAlive(std::uint32_t update_number) {
    const std::uint64_t size = P().Size();
    ExpectAdmitted(
        P().Answer(kMaebashi,
                   P().Forge(kMaebashi, {Update(AddressChange(kHanako, update_number, kMaebashi))})
                       .Seal()),
        size, size);
  }

  std::unique_ptr<Prefecture> prefecture_;
};

// --- admission -----------------------------------------------------------------------------------

TEST_P(SequencerTest, ASubmissionIsAdmittedAtAdjacentPositionsAndItsReceiptSaysWhich) {
  const v1::Receipt receipt =
      P().Notify(kMaebashi, {Birth(kHanako, kMaebashi), Birth(kTaro, kMaebashi)});
  ExpectAdmitted(receipt, 3, 4);
  EXPECT_EQ(receipt.issuer(), kMaebashi);
  EXPECT_EQ(receipt.issuer_size(), 2);
  EXPECT_EQ(receipt.issuer_root(), View(P().TreeOf(kMaebashi).Root()));
  const auto entries = P().Entries();
  ASSERT_EQ(entries.size(), 5);
  EXPECT_EQ(P().NoticeAt(entries[3]).resident_code(), kHanako.code);
  EXPECT_EQ(P().NoticeAt(entries[4]).resident_code(), kTaro.code);
  EXPECT_EQ(entries[3].leaf.effect(), v1::EFFECT_ENTERED);
  EXPECT_NE(entries[3].leaf.keys(0).subject(), entries[4].leaf.keys(0).subject());
}

TEST_P(SequencerTest, TimesOfAdmissionNeverGoBackWhenTheClockDoes) {
  P().Notify(kMaebashi, {Birth(kHanako, kMaebashi)});
  P().clock().Advance(-std::chrono::hours(24));
  P().Notify(kMaebashi, {Birth(kTaro, kMaebashi)});
  const auto entries = P().Entries();
  EXPECT_EQ(entries[4].leaf.admitted_at(), entries[3].leaf.admitted_at());
}

TEST_P(SequencerTest, ARefusedSubmissionMayBeCorrectedAndComesFromTheSameSequenceNumber) {
  v1::UpdateNotice wrong = Birth(kHanako, kMaebashi);
  wrong.set_update_number(2);
  EXPECT_EQ(ErrorsOf(P().Notify(kMaebashi, {wrong})), "0 update_number update_number 1");
  ExpectAdmitted(P().Notify(kMaebashi, {Birth(kHanako, kMaebashi)}), 3, 3);
}

TEST_P(SequencerTest, ASubmissionIsAdmittedWholeOrNotAtAll) {
  EXPECT_EQ(
      ErrorsOf(P().Notify(kMaebashi, {Birth(kHanako, kMaebashi), MoveOut(kTaro, 2, kMaebashi)})),
      "1 resident_code unknown");
  EXPECT_EQ(P().Size(), 3);
  // Nothing of its first notice was kept either.
  ExpectAdmitted(P().Notify(kMaebashi, {Birth(kHanako, kMaebashi)}), 3, 3);
}

TEST_P(SequencerTest, NoticesOfOneSubmissionFollowFromEachOther) {
  ExpectAdmitted(
      P().Notify(kMaebashi, {Birth(kHanako, kMaebashi), AddressChange(kHanako, 2, kMaebashi),
                             MoveOut(kHanako, 3, kMaebashi)}),
      3, 5);
  const auto entries = P().Entries();
  for (std::uint32_t step = 0; step < 3; ++step) {
    EXPECT_EQ(entries[3 + step].leaf.keys(0).slot(), entries[3].leaf.keys(0).slot());
    EXPECT_EQ(entries[3 + step].leaf.keys(0).step(), step);
  }
}

TEST_P(SequencerTest, SubmissionsThatWaitedTogetherStayWholeAndInTheirIssuersOrder) {
  EXPECT_TRUE(P().Stop().ok());
  std::map<std::string, MerkleEdge> trees;
  constexpr int kEach = 20;
  for (int i = 0; i < kEach; ++i) {
    for (const char* issuer : {kMaebashi, kTakasaki}) {
      const int first = (issuer == kMaebashi ? 1000 : 2000) + 2 * i;
      const Forgery next = P().Forge(
          issuer, {Update(Birth(Person(first), issuer)), Update(Birth(Person(first + 1), issuer))},
          trees[issuer]);
      trees[issuer] = next.After();
      P().Deliver(issuer, next.Seal());
    }
  }
  P().Start();
  for (const char* issuer : {kMaebashi, kTakasaki}) {
    std::uint64_t last = 0;
    for (const v1::Receipt& receipt : P().AwaitReceipts(issuer, kEach)) {
      EXPECT_EQ(receipt.outcome(), OUTCOME_ADMITTED) << ErrorsOf(receipt);
      EXPECT_EQ(receipt.last_position(), receipt.first_position() + 1);
      EXPECT_GT(receipt.first_position(), last);
      last = receipt.last_position();
    }
  }
  EXPECT_EQ(P().Size(), 3 + 4 * kEach);  // Entries() verified that each pair is adjacent
}

// --- repeats -------------------------------------------------------------------------------------

TEST_P(SequencerTest, ASubmissionSentAgainGetsTheSamePositionsAndChangesNothing) {
  const std::string first =
      P().Forge(kMaebashi, {Update(Birth(kHanako, kMaebashi)), Update(Birth(kTaro, kMaebashi))})
          .Seal();
  ExpectAdmitted(P().Answer(kMaebashi, first), 3, 4);
  ExpectStillAlive(2);
  const v1::Receipt again = P().Answer(kMaebashi, first);
  EXPECT_EQ(again.outcome(), OUTCOME_ALREADY_ADMITTED);
  EXPECT_EQ(again.first_position(), 3);
  EXPECT_EQ(again.last_position(), 4);
  EXPECT_EQ(P().Size(), 6);
}

TEST_P(SequencerTest, ANoticeSentAgainUnderANewHeadIsRecordedAsRepeated) {
  P().Notify(kMaebashi, {Birth(kHanako, kMaebashi)});
  ExpectAdmitted(P().Notify(kMaebashi, {Birth(kHanako, kMaebashi)}), 4, 4);
  EXPECT_EQ(P().Entries()[4].leaf.effect(), v1::EFFECT_REPEATED);
  ExpectStillAlive(2);
}

TEST_P(SequencerTest, OtherContentUnderASequenceNumberAlreadyAdmittedIsRefused) {
  const MerkleEdge before = P().TreeOf(kMaebashi);
  P().Notify(kMaebashi, {Birth(kHanako, kMaebashi)});
  ExpectRefused(P().Forge(kMaebashi, {Update(Birth(kTaro, kMaebashi))}, before),
                "0 head repeat_differs 2");
  ExpectRefused(
      P().Forge(kMaebashi, {Update(Birth(kTaro, kMaebashi)), Update(Birth(kJiro, kMaebashi))},
                before),
      "0 head repeat_differs 2");
}

TEST_P(SequencerTest, AGapInTheSequenceIsRefusedWithTheNumberExpected) {
  MerkleEdge ahead = P().TreeOf(kMaebashi);
  ahead.Append(LeafHash("an event that never came"));
  ExpectRefused(P().Forge(kMaebashi, {Update(Birth(kHanako, kMaebashi))}, ahead), "0 head gap 1");
}

// --- forgeries -----------------------------------------------------------------------------------

TEST_P(SequencerTest, AnotherKeysSignatureIsRefused) {
  Forgery forged = P().Forge(kMaebashi, {Update(Birth(kHanako, kMaebashi))});
  forged.key = SigningKey::Generate();
  ExpectRefused(forged, "0 head signature");
}

TEST_P(SequencerTest, AnotherIssuersSubmissionIsRefusedInThisInbox) {
  const std::string taken = P().Forge(kTakasaki, {Update(Birth(kHanako, kTakasaki))}).Seal();
  ExpectRefused(kMaebashi, taken, "0 head origin");
  EXPECT_EQ(P().Answer(kTakasaki, taken).outcome(), OUTCOME_ADMITTED);
}

TEST_P(SequencerTest, AHeadsRootThatDoesNotCoverTheEventsIsRefused) {
  Forgery forged = P().Forge(kMaebashi, {Update(Birth(kHanako, kMaebashi))});
  forged.change_head = [](TreeHead& head) { head.root[0] ^= 1; };
  ExpectRefused(forged, "0 head root");
}

TEST_P(SequencerTest, AHeadForAnotherLedgerIsRefused) {
  Forgery forged = P().Forge(kMaebashi, {Update(Birth(kHanako, kMaebashi))});
  forged.change_head = [](TreeHead& head) {
    head.ledger[0] = static_cast<char>(head.ledger[0] ^ 1);
  };
  ExpectRefused(forged, "0 head ledger");
}

TEST_P(SequencerTest, AHeadSmallerThanItsEventsIsRefused) {
  Forgery forged =
      P().Forge(kMaebashi, {Update(Birth(kHanako, kMaebashi)), Update(Birth(kTaro, kMaebashi))});
  forged.change_head = [](TreeHead& head) { head.size = 1; };
  ExpectRefused(forged, "0 head size");
}

TEST_P(SequencerTest, ABodySealedToAnotherKeyIsRefused) {
  Forgery forged = P().Forge(kMaebashi, {Update(Birth(kHanako, kMaebashi))});
  forged.intake = HpkeKeyPair::Generate().public_key;
  ExpectRefused(forged, "0 body sealed");
}

TEST_P(SequencerTest, ABodyTakenFromAnotherSubmissionIsRefused) {
  v1::Submission mixed, other;
  ASSERT_TRUE(
      mixed.ParseFromString(P().Forge(kMaebashi, {Update(Birth(kHanako, kMaebashi))}).Seal()));
  ASSERT_TRUE(
      other.ParseFromString(P().Forge(kMaebashi, {Update(Birth(kTaro, kMaebashi))}).Seal()));
  mixed.set_sealed_body(other.sealed_body());
  ExpectRefused(kMaebashi, mixed.SerializeAsString(), "0 body sealed");
}

TEST_P(SequencerTest, APayloadThatIsNotWhatTheHeaderCommitsToIsRefused) {
  Forgery forged = P().Forge(kMaebashi, {Update(Birth(kHanako, kMaebashi))});
  forged.drafts[0].mutable_parts(0)->set_payload(Birth(kTaro, kMaebashi).SerializeAsString());
  ExpectRefused(forged, "0 parts commitment");
}

TEST_P(SequencerTest, AnEventInAnotherIssuersNameIsRefused) {
  Forgery forged = P().Forge(kMaebashi, {});
  forged.drafts.push_back(MakeDraft(Update(Birth(kHanako, kMaebashi)), kTakasaki, Sequence(1)));
  ExpectRefused(forged, "0 header.issuer issuer");
}

TEST_P(SequencerTest, AnEventOutOfSequenceWithinItsSubmissionIsRefused) {
  Forgery forged =
      P().Forge(kMaebashi, {Update(Birth(kHanako, kMaebashi)), Update(Birth(kTaro, kMaebashi))});
  std::swap(forged.drafts[0], forged.drafts[1]);
  ExpectRefused(forged, "0 header.sequence sequence 1; 1 header.sequence sequence 2");
}

TEST_P(SequencerTest, AKindThatIsNotTheIssuersToSayIsRefused) {
  ExpectRefused(P().Forge(kMaebashi, {P().Registration(kMaebashi)}), "0 header.kind authority");
  ExpectRefused(P().Forge(Prefecture::Registrar(), {Update(Birth(kHanako, kMaebashi))}),
                "0 record.address.municipality issuer");
}

TEST_P(SequencerTest, AnIssuerThatIsNotRegisteredCannotSubmit) {
  Submitter& stranger = P().SubmitterOf("102032");
  EXPECT_EQ(stranger.Submit({Update(Birth(kHanako, "102032"))}).status().code(), Code::kDenied);
}

// --- damage --------------------------------------------------------------------------------------

TEST_P(SequencerTest, ATruncatedRecordIsRefusedWhereverItIsCut) {
  const std::string whole = P().Forge(kMaebashi, {Update(Birth(kHanako, kMaebashi))}).Seal();
  for (const std::size_t size :
       {whole.size() - 1, whole.size() / 2, std::size_t{1}, std::size_t{0}}) {
    ExpectRefused(kMaebashi, whole.substr(0, size), "0 submission malformed");
  }
  EXPECT_EQ(P().Answer(kMaebashi, whole).outcome(), OUTCOME_ADMITTED);
}

TEST_P(SequencerTest, ASubmissionOfNothingOrOfMoreThanTenThousandIsRefused) {
  Forgery forged = P().Forge(kMaebashi, {});
  ExpectRefused(forged, "0 body count");
  forged.drafts.assign(kEventsPerSubmissionMax + 1,
                       MakeDraft(Update(Birth(kHanako, kMaebashi)), kMaebashi, Sequence(1)));
  ExpectRefused(forged, "0 body count");
}

TEST_P(SequencerTest, APayloadThatCannotBeReadIsRefused) {
  std::string damaged = Birth(kHanako, kMaebashi).SerializeAsString();
  const std::size_t name = damaged.find("渡邊");
  ASSERT_NE(name, std::string::npos);
  damaged[name] = '\xff';
  ExpectRefused(P().Forge(kMaebashi, {Update(damaged)}), "0 payload malformed");
  ExpectRefused(P().Forge(kMaebashi, {Update("no notice")}), "0 payload malformed");
}

TEST_P(SequencerTest, AFieldThatNoSchemaNamesIsRefused) {
  const std::string unknown = "\xa0\x06\x01";  // field 100 = 1
  ExpectRefused(
      P().Forge(kMaebashi, {Update(Birth(kHanako, kMaebashi).SerializeAsString() + unknown)}),
      "0 payload unknown_field");
  v1::UpdateNotice within = Birth(kHanako, kMaebashi);
  within.mutable_record()
      ->mutable_address()
      ->GetReflection()
      ->MutableUnknownFields(within.mutable_record()->mutable_address())
      ->AddVarint(100, 1);
  ExpectRefused(within, "0 payload unknown_field");
}

// --- rules of the domain -------------------------------------------------------------------------

TEST_P(SequencerTest, AWrongCheckDigitIsRefused) {
  v1::UpdateNotice wrong = Birth(kHanako, kMaebashi);
  std::string number = kHanako.number;
  number.back() = number.back() == '0' ? '1' : '0';
  wrong.mutable_record()->set_individual_number(number);
  ExpectRefused(wrong, "0 record.individual_number check_digit");
}

TEST_P(SequencerTest, AMunicipalitySpeaksForItsOwnResidentsOnly) {
  ExpectRefused(P().Forge(kMaebashi, {Update(Birth(kHanako, kTakasaki))}),
                "0 record.address.municipality issuer");
  P().Notify(kTakasaki, {Birth(kTaro, kTakasaki)});
  ExpectRefused(AddressChange(kTaro, 2, kMaebashi), "0 resident_code issuer");
}

TEST_P(SequencerTest, NobodyIsRemovedWhoIsNotThere) {
  ExpectRefused(MoveOut(kHanako, 2, kMaebashi), "0 resident_code unknown");
  P().Notify(kMaebashi, {Birth(kHanako, kMaebashi), MoveOut(kHanako, 2, kMaebashi)});
  ExpectRefused(MoveOut(kHanako, 3, kMaebashi), "0 kind not_resident");
}

TEST_P(SequencerTest, AnUpdateNumberSkippedOrTakenAgainIsRefusedWithTheOneExpected) {
  P().Notify(kMaebashi, {Birth(kHanako, kMaebashi), AddressChange(kHanako, 2, kMaebashi)});
  ExpectRefused(AddressChange(kHanako, 4, kMaebashi), "0 update_number update_number 3");
  v1::UpdateNotice other = AddressChange(kHanako, 2, kMaebashi);
  other.mutable_record()->mutable_address()->set_text("別の住所");
  ExpectRefused(other, "0 update_number update_number 3");
}

TEST_P(SequencerTest, EveryErrorOfASubmissionIsReportedAtOnceInTheOrderOfItsItems) {
  P().Notify(kMaebashi, {Birth(kHanako, kMaebashi)});
  v1::UpdateNotice two_faults = Birth(kTaro, kMaebashi);
  two_faults.set_changed_on("2026-02-30");
  two_faults.mutable_record()->set_sex(v1::SEX_UNSPECIFIED);
  ExpectRefused(
      P().Forge(kMaebashi, {Update(AddressChange(kHanako, 5, kMaebashi)), Update(two_faults),
                            Update(Birth(kJiro, kMaebashi)), Update("no notice"),
                            Update(MoveOut(Person(9), 1, kMaebashi))}),
      "0 update_number update_number 2; 1 changed_on date; 1 record.sex required; "
      "3 payload malformed; 4 resident_code unknown");
}

TEST_P(SequencerTest, ANumberThatAnotherHoldsIsRefusedAlsoWithinOneSubmission) {
  Person twin(4);
  twin.number = kHanako.number;
  ExpectRefused(
      P().Forge(kMaebashi, {Update(Birth(kHanako, kMaebashi)), Update(Birth(twin, kMaebashi))}),
      "1 record.individual_number in_use");
}

// --- what the registrar may not break ------------------------------------------------------------

TEST_P(SequencerTest, ARegistrationThatBreaksARuleIsRefusedAndTheSequencerLivesOn) {
  const std::string registrar = Prefecture::Registrar();
  for (const char* name : {"", "Capital", "102016/x", "102017", "日本"}) {
    ExpectRefused(P().Forge(registrar, {P().Registration(name, v1::ISSUER_ROLE_RECORDS)}),
                  "0 payload registry");
  }
  ExpectRefused(P().Forge(registrar, {P().Registration("102017")}), "0 payload registry");
  ExpectRefused(P().Forge(registrar, {P().Registration(kMaebashi)}), "0 payload registry");
  ExpectRefused(P().Forge(registrar, {P().Opening()}), "0 payload registry");
  P().Notify(kMaebashi, {Birth(kHanako, kMaebashi)});
}

TEST_P(SequencerTest, AnEventWhosePayloadIsNotItsKindsMessageIsRefused) {
  const std::string registrar = Prefecture::Registrar();
  ExpectRefused(P().Forge(registrar, {Administration(v1::EVENT_KIND_POLICY_SET, "\xff\xff")}),
                "0 payload malformed");
  ExpectRefused(P().Forge(registrar, {Administration(v1::EVENT_KIND_POLICY_SET, "\xaa\x3e\x01x")}),
                "0 payload unknown_field");
}

TEST_P(SequencerTest, APartMoreThanItsKindHasIsRefused) {
  Forgery forged = P().Forge(kMaebashi, {});
  v1::Draft draft = MakeDraft(Update(Birth(kHanako, kMaebashi)), kMaebashi, Sequence(1));
  v1::EventHeader header;
  ASSERT_TRUE(header.ParseFromString(draft.header()));
  header.add_commitments(header.commitments(0));
  *draft.add_parts() = draft.parts(0);
  draft.set_header(header.SerializeAsString());
  forged.drafts.push_back(draft);
  ExpectRefused(forged, "0 parts count");
}

TEST_P(SequencerTest, EventsWithoutASubjectAreSealedEachUnderAKeyOfItsOwn) {
  DraftEvent training;
  training.kind = v1::EVENT_KIND_TRAINING;
  training.retention = v1::RETENTION_CLASS_OPERATION;
  const v1::Receipt receipt = P().Submit(Prefecture::Registrar(), {training, training});
  ExpectAdmitted(receipt, 3, 4);
  const auto entries = P().Entries();
  EXPECT_NE(entries[3].leaf.keys(0).slot(), entries[4].leaf.keys(0).slot());
  EXPECT_TRUE(P().Open(entries[3]).ok());
}

TEST_P(SequencerTest, EventsAboutOneSubjectAreSealedStepByStepUnderItsKeyAlsoAfterARestart) {
  DraftEvent training;
  training.kind = v1::EVENT_KIND_TRAINING;
  training.retention = v1::RETENTION_CLASS_OPERATION;
  training.subject = std::string(16, 'a');
  P().Submit(Prefecture::Registrar(), {training, training});
  P().LoseState();
  P().Submit(Prefecture::Registrar(), {training});
  const auto entries = P().Entries();
  for (std::uint32_t step = 0; step < 3; ++step) {
    EXPECT_EQ(entries[3 + step].leaf.keys(0).slot(), entries[3].leaf.keys(0).slot());
    EXPECT_EQ(entries[3 + step].leaf.keys(0).step(), step);
    EXPECT_TRUE(P().Open(entries[3 + step]).ok());
  }
}

// --- keys ----------------------------------------------------------------------------------------

TEST_P(SequencerTest, AfterARotationOnlyTheIssuersNewKeySigns) {
  const SigningKey next = SigningKey::Generate();
  const Forgery old = P().Forge(kMaebashi, {Update(Birth(kHanako, kMaebashi))});
  ExpectAdmitted(P().Submit(Prefecture::Registrar(), {P().Give(v1::KEY_USE_ISSUER, kMaebashi, next.public_key())}), 3, 3);
  ExpectRefused(old, "0 head signature");
  P().KeyOf(kMaebashi) = next;
  ExpectAdmitted(P().Answer(kMaebashi, P().Forge(kMaebashi, {Update(Birth(kHanako, kMaebashi))}).Seal()), 4, 4);
}

TEST_P(SequencerTest, ARevokedIssuerIsRefusedUntilItIsGivenAnotherKey) {
  P().Submit(Prefecture::Registrar(), {P().Revoke(v1::KEY_USE_ISSUER, kMaebashi)});
  ExpectRefused(Birth(kHanako, kMaebashi), "0 head revoked");
  const SigningKey next = SigningKey::Generate();
  P().Submit(Prefecture::Registrar(),
             {P().Give(v1::KEY_USE_ISSUER, kMaebashi, next.public_key(), v1::KEY_ACTION_ADD)});
  ExpectRefused(Birth(kHanako, kMaebashi), "0 head signature");
  P().KeyOf(kMaebashi) = next;
  ExpectAdmitted(P().Answer(kMaebashi, P().Forge(kMaebashi, {Update(Birth(kHanako, kMaebashi))}).Seal()), 5, 5);
}

TEST_P(SequencerTest, ARotationSignsForItsWholeSubmissionAndNoFurther) {
  const std::string registrar = Prefecture::Registrar();
  const SigningKey next = SigningKey::Generate();
  const DraftEvent rotation = P().Give(v1::KEY_USE_ISSUER, registrar, next.public_key());
  // The registrar's own key, and an issuer more in the same breath.
  ExpectAdmitted(P().Answer(registrar, P().Forge(registrar, {rotation, P().Registration("102032")}).Seal()), 3, 4);
  ExpectRefused(P().Forge(registrar, {P().Registration("102041")}), "0 head signature");
  P().KeyOf(registrar) = next;
  ExpectAdmitted(P().Answer(registrar, P().Forge(registrar, {P().Registration("102041")}).Seal()), 5, 5);
}

TEST_P(SequencerTest, AnIssuersNextKeyIsUsedOnceTheLedgerHasIt) {
  const SigningKey next = SigningKey::Generate();
  SubmitterOptions o = P().SubmitterFor(kMaebashi);
  o.next_key = [&]() -> Result<std::optional<SigningKey>> { return std::optional(next); };
  int taken = 0;
  o.on_next_key = [&] { return ++taken, Status(); };
  auto submitter = Submitter::Open(o).value();
  ASSERT_EQ(submitter->Submit({Update(Birth(kHanako, kMaebashi))})->outcome(), OUTCOME_ADMITTED);
  EXPECT_EQ(taken, 0);
  P().Submit(Prefecture::Registrar(), {P().Give(v1::KEY_USE_ISSUER, kMaebashi, next.public_key())});
  const auto receipt = submitter->Submit({Update(AddressChange(kHanako, 2, kMaebashi))});
  EXPECT_EQ(receipt->outcome(), OUTCOME_ADMITTED) << ErrorsOf(*receipt);
  EXPECT_EQ(taken, 1);
}

TEST_P(SequencerTest, TheLedgersKeysRotateUnderIssuersThatGoOnSending) {
  P().Notify(kMaebashi, {Birth(kHanako, kMaebashi)});
  for (int i = 0; i < 3; ++i) {
    P().RotateIntake();
    P().RotateSequencerKey();
    if (i == 1) P().Restart();
    EXPECT_EQ(P().Notify(kMaebashi, {AddressChange(kHanako, 2 + static_cast<std::uint32_t>(i), kMaebashi)}).outcome(),
              OUTCOME_ADMITTED);
  }
  // One that was pinned before all of them follows the chain; what it sealed to the first key is still taken.
  EXPECT_EQ(P().Notify(kTakasaki, {Birth(kTaro, kTakasaki)}).outcome(), OUTCOME_ADMITTED);
}

TEST_P(SequencerTest, WhatIsSealedToADestroyedKeyIsRefusedAndSealedAgain) {
  P().Notify(kMaebashi, {Birth(kHanako, kMaebashi)});
  const Forgery old = P().Forge(kTakasaki, {Update(Birth(kTaro, kTakasaki))});
  P().RotateIntake();
  const Key256 newest = P().held().intake.front().public_key;
  EXPECT_FALSE(*P().sequencer().IntakeDrained(old.intake));
  while (!*P().sequencer().IntakeDrained(newest)) {
  }
  P().ChangeHeld([](LedgerKeys& held) { held.intake.pop_back(); });
  ASSERT_TRUE(P().sequencer().ReloadKeys().ok());
  EXPECT_EQ(ErrorsOf(P().Answer(kTakasaki, old.Seal())), "0 body sealed");
  EXPECT_EQ(P().Notify(kMaebashi, {AddressChange(kHanako, 2, kMaebashi)}).outcome(), OUTCOME_ADMITTED);
}

TEST_P(SequencerTest, AKeyOfTheLedgerThatTheNodeDoesNotHoldIsRefused) {
  const std::string registrar = Prefecture::Registrar();
  ExpectRefused(P().Forge(registrar, {P().Give(v1::KEY_USE_INTAKE, "", HpkeKeyPair::Generate().public_key)}),
                "0 payload held");
  ExpectRefused(P().Forge(registrar, {P().Give(v1::KEY_USE_SEQUENCER, "", SigningKey::Generate().public_key())}),
                "0 payload held");
}

TEST_P(SequencerTest, WhileItsKeyDoesNotAnswerNothingIsAdmittedAndThenEverythingOnce) {
  const SigningKey inner = SigningKey::Generate();
  std::atomic<int> failures = 0;
  P().RotateSequencerKey(SigningKey::External(inner.public_key(), [&](std::string_view message) -> Result<std::string> {
    if (failures > 0 && failures-- > 0) return Unavailable("the token does not answer");
    return inner.TrySign(message);
  }));
  failures = 3;
  EXPECT_EQ(P().Notify(kMaebashi, {Birth(kHanako, kMaebashi)}).outcome(), OUTCOME_ADMITTED);
  EXPECT_EQ(failures, 0);
  ExpectRefused(AddressChange(kHanako, 3, kMaebashi), "0 update_number update_number 2");
  EXPECT_TRUE(P().Stop().ok());
}

TEST_P(SequencerTest, AnIssuerWhoseKeyDoesNotAnswerSendsNothing) {
  SubmitterOptions o = P().SubmitterFor(kMaebashi);
  bool answers = false;
  o.key = SigningKey::External(o.key.public_key(), [&, key = o.key](std::string_view message) -> Result<std::string> {
    if (!answers) return Unavailable("the token does not answer");
    return key.TrySign(message);
  });
  auto submitter = Submitter::Open(o).value();
  EXPECT_EQ(submitter->Submit({Update(Birth(kHanako, kMaebashi))}).status().code(), Code::kUnavailable);
  answers = true;
  EXPECT_EQ(submitter->Submit({Update(Birth(kHanako, kMaebashi))})->outcome(), OUTCOME_ADMITTED);
  EXPECT_EQ(submitter->size(), 1);
}

TEST_P(SequencerTest, AVoidHeadStaysVoidBehindAWelcomeAndARestart) {
  const Forgery refused = P().Forge(kMaebashi, {Update(AddressChange(kHanako, 2, kMaebashi))});
  ExpectRefused(refused, "0 resident_code unknown");
  P().RotateSequencerKey();
  EXPECT_TRUE(P().Stop().ok());
  P().Start();
  P().Notify(kTakasaki, {Birth(kHanako, kTakasaki)});  // it would break another rule by now
  const v1::Receipt again = P().Answer(kMaebashi, refused.Seal());
  EXPECT_EQ(ErrorsOf(again), "0 resident_code unknown");
}

TEST_P(SequencerTest, AnIssuerThatPinsANewerKeyPassesOverWhatWasBefore) {
  P().RotateSequencerKey();
  SubmitterOptions o = P().SubmitterFor(kMaebashi);
  o.pin = {P().ledger_id(), P().held().intake.front().public_key, P().held().receipts.front().public_key()};
  EXPECT_EQ(Submitter::Open(o).value()->Submit({Update(Birth(kHanako, kMaebashi))})->outcome(), OUTCOME_ADMITTED);
  SubmitterOptions foreign = P().SubmitterFor(kTakasaki);
  foreign.pin = {P().ledger_id(), P().held().intake.front().public_key, SigningKey::Generate().public_key()};
  EXPECT_EQ(Submitter::Open(foreign).value()->Submit({Update(Birth(kTaro, kTakasaki))}).status().code(),
            Code::kTampered);
}

// --- restarts ------------------------------------------------------------------------------------

TEST_P(SequencerTest, AfterARestartItKnowsWhatItKnew) {
  const std::string first = P().Forge(kMaebashi, {Update(Birth(kHanako, kMaebashi))}).Seal();
  ExpectAdmitted(P().Answer(kMaebashi, first), 3, 3);
  P().Restart();
  EXPECT_EQ(P().Answer(kMaebashi, first).outcome(), OUTCOME_ALREADY_ADMITTED);
  ExpectRefused(AddressChange(kHanako, 3, kMaebashi), "0 update_number update_number 2");
  ExpectStillAlive(2);
}

TEST_P(SequencerTest, WithItsStateDeletedItReplaysToTheSame) {
  const std::string first = P().Forge(kMaebashi, {Update(Birth(kHanako, kMaebashi))}).Seal();
  ExpectAdmitted(P().Answer(kMaebashi, first), 3, 3);
  P().Notify(kTakasaki, {Birth(kTaro, kTakasaki)});
  P().LoseState();
  const v1::Receipt again = P().Answer(kMaebashi, first);
  EXPECT_EQ(again.outcome(), OUTCOME_ALREADY_ADMITTED);
  EXPECT_EQ(again.first_position(), 3);
  ExpectRefused(Birth(kTaro, kMaebashi), "0 kind already_resident");
  ExpectStillAlive(2);
}

TEST_P(SequencerTest, StoppedInTheMiddleItJudgesNothingTwiceAndForgetsNothing) {
  constexpr int kEach = 12;
  std::map<std::string, MerkleEdge> trees;
  for (int i = 0; i < kEach; ++i) {
    for (const char* issuer : {kMaebashi, kTakasaki}) {
      const Forgery next = P().Forge(
          issuer, {Update(Birth(Person(i + (issuer == kMaebashi ? 1000 : 2000)), issuer))},
          trees[issuer]);
      trees[issuer] = next.After();
      P().Deliver(issuer, next.Seal());
      P().Deliver(issuer, "nonsense");
    }
    if (i % 3 == 2) P().Restart();
  }
  for (const char* issuer : {kMaebashi, kTakasaki}) {
    const auto receipts = P().AwaitReceipts(issuer, 2 * kEach);
    ASSERT_EQ(receipts.size(), 2 * kEach);
    for (int i = 0; i < 2 * kEach; ++i) {
      EXPECT_EQ(receipts[static_cast<std::size_t>(i)].outcome(),
                i % 2 == 0 ? OUTCOME_ADMITTED : OUTCOME_REJECTED);
    }
  }
  EXPECT_EQ(P().Size(), 3 + 2 * kEach);
}

TEST_P(SequencerTest, FencedOffByAnotherItStopsAndAppendsNothing) {
  auto usurper = P().log().OpenWriter("daicho.10.sequencer");
  ASSERT_TRUE(usurper.ok());
  P().Deliver(kMaebashi, P().Forge(kMaebashi, {Update(Birth(kHanako, kMaebashi))}).Seal());
  EXPECT_EQ(P().End().code(), Code::kConflict);
  EXPECT_EQ(P().Size(), 3);
}

INSTANTIATE_TEST_SUITE_P(Logs, SequencerTest,
                         ::testing::Values(Row{"Local", [] { return OpenLogFunction(OpenLocal); }},
                                           Row{"Kafka", OnKafka}),
                         [](const auto& row) { return row.param.name; });

// --- a ledger's first words ----------------------------------------------------------------------

TEST(SequencerGenesis, ALedgerBeginsWithItsOwnOpeningAndNothingElse) {
  Prefecture p, other;
  p.Start();
  const std::string registrar = Prefecture::Registrar();
  const MerkleEdge empty;
  for (const DraftEvent& first : {p.Registration(kMaebashi), other.Opening()}) {
    const v1::Receipt receipt = p.Answer(registrar, p.Forge(registrar, {first}, empty).Seal());
    EXPECT_EQ(receipt.outcome(), OUTCOME_REJECTED);
  }
  EXPECT_EQ(p.Submit(registrar, {p.Opening(), p.Registration(kMaebashi)}).outcome(),
            OUTCOME_ADMITTED);
  EXPECT_EQ(p.Size(), 2);
}

}  // namespace
}  // namespace daicho
