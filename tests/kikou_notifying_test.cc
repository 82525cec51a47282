// Each update is with 機構 once and in the ledger as notified once, whatever breaks on the way. Method: a real
// prefecture, a record file that follows it, and the stand-in for 機構 on loopback; every step between the two can be
// made to fail, before or behind its effect. A crash is a KikouNotifying that is thrown away.
#include "consumers/kikou_notifying.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "consumers/kikou_stand_in.h"
#include "ledger/files.h"
#include "projections/kikou_register.h"
#include "tests/prefecture.h"

namespace daicho {
namespace {

enum class Break { kNone, kBefore, kBehind };

class KikouNotifyingTest : public ::testing::Test {
 protected:
  KikouNotifyingTest() {
    p_.Found();
    p_.Submit(Prefecture::Registrar(), {p_.Registration(Issuer(), v1::ISSUER_ROLE_KIKOU)});
    ProjectorOptions o;
    o.prefecture = Prefecture::kNumber;
    o.ledger = p_.ledger_id();
    o.registrar_public_key = p_.registrar_key().public_key();
    o.dir = p_.Path("file");
    o.log = &p_.log();
    o.keys = &p_.key_store();
    projector_ = Projector::Open(std::move(o)).value();
    following_ = std::jthread([this](std::stop_token stop) { EXPECT_TRUE(projector_->Run(stop).ok()); });
    kikou_key_ = KikouStandIn::Create(Dir()).value();
    EXPECT_TRUE(WriteFileDurably(Dir() + "/known", ToHex(View(p_.KeyOf(Issuer()).public_key()))).ok());
    OpenKikou();
    HttpServerOptions server;
    server.listen = "127.0.0.1:0";
    server.limits.body_bytes_max = kKikouBodyBytesMax;
    server.handler = [this](const HttpRequest& request) {
      const HttpResponse lost{503, "text/plain", "lost\n", {}};
      if (line_ == Break::kBefore) return lost;
      HttpResponse response = kikou_->Handle(request);
      return line_ == Break::kBehind ? lost : response;
    };
    server_ = HttpServer::Listen(std::move(server)).value();
    Restart();
  }
  ~KikouNotifyingTest() override {
    notifying_.reset();
    following_.request_stop();
  }

  static std::string Issuer() { return RoleIssuer(Prefecture::kNumber, "kikou"); }
  std::string Dir() const { return directory_ / "kikou"; }
  void OpenKikou() {
    kikou_.reset();
    kikou_ = KikouStandIn::Open({Dir(), {Dir() + "/known"}, {}, &p_.clock()}).value();
  }

  KikouNotifyingOptions Options() {
    KikouNotifyingOptions o;
    o.prefecture = Prefecture::kNumber;
    o.ledger = p_.ledger_id();
    o.log = &p_.log();
    o.keys = &p_.key_store();
    o.clock = &p_.clock();
    o.projector = [this] { return std::shared_ptr<const Projector>(projector_); };
    o.peer = [this]() -> Result<std::optional<KikouPeer>> {
      KikouPeer peer;
      peer.url = "http://127.0.0.1:" + std::to_string(server_->port());
      peer.public_key = ToArray<32>(FromHex(kikou_key_).value()).value();
      return std::optional(peer);
    };
    o.key = [this] { return p_.KeyOf(Issuer()); };
    o.prepare = [] { return Status(); };
    o.submit = [this](const std::vector<DraftEvent>& events) -> Result<v1::Receipt> {
      if (ledger_ == Break::kBefore) return Unavailable("no sequencer");
      const v1::Receipt receipt = p_.Submit(Issuer(), events);
      admitted_ = Position(receipt.last_position() + 1);
      behind_ = admitted_;
      if (ledger_ == Break::kBehind) return Unavailable("no receipt in time");
      return receipt;
    };
    o.settle = [this]() -> Result<std::optional<Position>> { return std::exchange(behind_, std::nullopt); };
    o.failed = [](const Status& status) { ADD_FAILURE() << status.ToString(); };
    o.notices_max = 3;
    return o;
  }
  void Restart(bool follow = false) {
    notifying_.reset();
    KikouNotifyingOptions options = Options();
    options.follow = follow;
    options.backoff_min = options.backoff_max = std::chrono::milliseconds(20);
    notifying_ = KikouNotifying::Start(std::move(options)).value();
  }

  // `count` new residents, a submission.
  Position Enter(int count) {
    std::vector<v1::UpdateNotice> notices;
    for (int i = 0; i < count; ++i) notices.push_back(Birth(Person(++persons_), kMaebashi));
    const v1::Receipt receipt = p_.Notify(kMaebashi, notices);
    EXPECT_EQ(receipt.outcome(), v1::OUTCOME_ADMITTED) << ErrorsOf(receipt);
    return Position(receipt.last_position());
  }
  void Notify() {
    const Status status = notifying_->Notify();
    EXPECT_TRUE(status.ok()) << status.ToString();
  }
  // What the ledger says of it, by its register.
  std::vector<v1::KikouNotified> Told() {
    std::vector<v1::KikouNotified> out;
    EXPECT_TRUE(projector_->WaitFor(admitted_, std::chrono::seconds(20)));
    const Position end = projector_->position();
    for (Position at(end.value() - 1);;) {
      const auto last = KikouRegister(projector_->store()).Last(at).value();
      if (!last) break;
      out.insert(out.begin(), last->event);
      at = Position(last->position.value() - 1);
    }
    return out;
  }
  // Everyone is there, and the events cover the ledger without a gap or a repeat.
  void ExpectAllOnce() {
    std::uint64_t next = 0, count = 0;
    for (const v1::KikouNotified& event : Told()) {
      EXPECT_EQ(event.first_position(), next);
      EXPECT_GE(event.last_position(), next);
      next = event.last_position() + 1;
      count += event.notice_count();
      kikou::Acknowledgement ack;
      const auto message = OpenFromKikou(kKikouAcknowledgementTag, event.acknowledgement(),
                                         {ToArray<32>(FromHex(kikou_key_).value()).value()});
      ASSERT_TRUE(message.ok() && ack.ParseFromString(*message));
      EXPECT_EQ(ack.message_digest(), event.message_digest());
    }
    EXPECT_EQ(count, static_cast<std::uint64_t>(persons_));
    EXPECT_EQ(kikou_->holding().counts().residents, static_cast<std::uint64_t>(persons_));
    EXPECT_EQ(kikou_->holding().messages().value(), Told().size());
  }

  TemporaryDirectory directory_;
  Prefecture p_;
  std::shared_ptr<Projector> projector_;
  std::jthread following_;
  std::string kikou_key_;
  std::unique_ptr<KikouStandIn> kikou_;
  std::atomic<Break> line_{Break::kNone}, ledger_{Break::kNone};
  std::unique_ptr<HttpServer> server_;
  Position admitted_;               // behind the last event of the role
  std::optional<Position> behind_;  // what was left on its way to the ledger
  std::unique_ptr<KikouNotifying> notifying_;
  int persons_ = 0;
};

TEST_F(KikouNotifyingTest, WhatIsOutstandingGoesInFewMessagesAndNothingIsWrittenWithoutAnUpdate) {
  Notify();
  EXPECT_TRUE(Told().empty());
  Enter(7);
  Notify();
  EXPECT_EQ(Told().size(), 3u);  // of three at most
  const Position admitted = admitted_;
  Notify();
  Notify();
  EXPECT_EQ(admitted_, admitted);
  Enter(1);
  Notify();
  ExpectAllOnce();
}

TEST_F(KikouNotifyingTest, EachUpdateIsNotifiedOnceWhateverBreaksAndRestarts) {
  for (const bool restart : {false, true}) {
    for (auto* step : {&line_, &ledger_}) {
      for (const Break broken : {Break::kBefore, Break::kBehind}) {
        Enter(2);
        *step = broken;
        EXPECT_EQ(notifying_->Notify().code(), Code::kUnavailable);
        EXPECT_NE(nlohmann::json::parse(notifying_->StatusJson())["error"], "");
        if (restart) Restart();
        Enter(3);  // more than before: the message that is sent again would be another
        EXPECT_EQ(notifying_->Notify().ok(), false);
        *step = Break::kNone;
        if (restart) Restart();
        Notify();
        ExpectAllOnce();
      }
    }
  }
}

TEST_F(KikouNotifyingTest, FollowsByItselfAndCatchesUpWhenKikouIsBack) {
  Restart(true);
  Enter(4);
  line_ = Break::kBefore;
  const Position last = Enter(4);
  const auto state = [&] { return nlohmann::json::parse(notifying_->StatusJson()); };
  while (!state().contains("error")) std::this_thread::yield();
  EXPECT_LE(state()["position"], last.value());
  line_ = Break::kNone;
  while (state()["position"] <= last.value() || state().contains("error")) std::this_thread::yield();
  ExpectAllOnce();
}

TEST_F(KikouNotifyingTest, KikouThatLostSomeIsToldAgainAndTheLedgerIsNot) {
  Enter(5);
  Notify();
  const std::size_t told = Told().size();
  kikou_.reset();
  std::filesystem::remove_all(Dir() + "/held");
  OpenKikou();
  Enter(1);
  Notify();
  EXPECT_EQ(Told().size(), told + 1);
  EXPECT_EQ(kikou_->holding().counts().residents, 6u);
}

TEST_F(KikouNotifyingTest, WhatIsNotOfThatKeyOrLedgerIsNotBelieved) {
  Enter(1);
  kikou_key_ = ToHex(View(SigningKey::Generate().public_key()));
  const Status unknown = notifying_->Notify();
  EXPECT_EQ(unknown.code(), Code::kUnavailable);
  EXPECT_NE(unknown.message().find("検証できません"), std::string::npos) << unknown.message();
  EXPECT_TRUE(Told().empty());
  p_.KeyOf(Issuer()) = SigningKey::Generate();  // one that 機構 does not know
  EXPECT_NE(notifying_->Notify().message().find("signature"), std::string::npos);
}

}  // namespace
}  // namespace daicho
