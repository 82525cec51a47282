// Cosigning against real witnesses on loopback, and against servers that answer wrongly. Method: a
// witness's server can be stopped and started again on its port; what is accepted and what the
// state tells is awaited, with back-off cut down to a millisecond. The clock is simulated.
#include "consumers/cosigning.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "consumers/witness.h"
#include "ledger/files.h"
#include "tests/prefecture.h"
#include "tests/signed_ledger.h"

namespace daicho {
namespace {

using std::chrono::milliseconds;

class CosigningTest : public ::testing::Test {
 protected:
  struct Served {
    std::string vkey;
    std::unique_ptr<Witness> witness;
    std::unique_ptr<HttpServer> server;
    std::uint16_t port = 0;
  };

  ~CosigningTest() override { cosigning_.reset(); }

  Served& AddWitness(const std::string& name) {
    Served& out = witnesses_[name];
    const std::string dir = directory_ / name;
    out.vkey = Witness::Create(dir, "witness/" + name).value();
    out.witness = std::move(Witness::Open(dir, clock_).value());
    EXPECT_TRUE(WriteFileDurably(directory_ / "pub", ledger_.PublicFile()).ok());
    EXPECT_TRUE(out.witness->Trust(directory_ / "pub").ok());
    Serve(out, [witness = out.witness.get()](const HttpRequest& request) {
      return witness->Handle(request);
    });
    return out;
  }
  void Serve(Served& one, std::function<HttpResponse(const HttpRequest&)> handler) {
    one.server.reset();
    HttpServerOptions options;
    options.listen = "127.0.0.1:" + std::to_string(one.port);
    options.handler = std::move(handler);
    auto server = HttpServer::Listen(options);
    ASSERT_TRUE(server.ok()) << server.status().ToString();
    one.server = std::move(*server);
    one.port = one.server->port();
  }
  void Start(const std::string& quorum, const std::string& cosigned = "") {
    std::string policy = "log " + FormatNoteKey(ledger_.note_key()) + "\n";
    for (const auto& [name, one] : witnesses_) {
      policy += "witness " + name + " " + one.vkey +
                " http://127.0.0.1:" + std::to_string(one.port) + "/\n";
    }
    CosigningOptions options;
    options.policy = WitnessPolicy::Parse(policy + quorum).value();
    options.prove = [](std::uint64_t from, std::uint64_t to) {
      return ConsistencyProof(from, to, SignedLedger::Nodes());
    };
    options.accept = [this](std::uint64_t size, const NoteKey& witness, const std::string& line) {
      const std::lock_guard hold(mutex_);
      std::string& note = accepted_[size];
      if (note.empty()) note = ledger_.At(size);
      EXPECT_EQ(note.find(witness.name), std::string::npos) << "twice";
      note += line;
      changed_.notify_all();
      return Status();
    };
    options.clock = &clock_;
    options.cosigned = cosigned;
    options.backoff_min = options.backoff_max = milliseconds(1);
    policy_ = options.policy;
    auto started = Cosigning::Start(std::move(options));
    ASSERT_TRUE(started.ok()) << started.status().ToString();
    cosigning_ = std::move(*started);
  }
  void Offer(std::uint64_t size) { cosigning_->Offer(ledger_.At(size)); }

  // Waits until the checkpoint of `size` has the cosignatures of `names`.
  std::string Published(std::uint64_t size, const std::set<std::string>& names) {
    std::unique_lock hold(mutex_);
    changed_.wait(hold, [&] {
      if (accepted_[size].empty()) return false;
      std::set<std::string> have;
      const auto cosigners = policy_.Cosigners(*ParseNote(accepted_[size]));
      for (const auto& [name, time] : *cosigners) have.insert(name);
      return have == names;
    });
    return accepted_[size];
  }
  // Waits until the state is as asked for.
  Cosigning::State Await(const std::function<bool(const Cosigning::State&)>& as) {
    for (;;) {
      const auto state = cosigning_->GetState();
      if (as(state)) return state;
      std::this_thread::yield();
    }
  }
  Cosigning::State AwaitError(const std::string& text) {
    return Await(
        [&](const auto& s) { return s.witnesses.at(0).error.find(text) != std::string::npos; });
  }

  TemporaryDirectory directory_;
  SimulatedClock clock_{TimeMicros(SignedLedger::kStart)};
  SignedLedger ledger_;
  std::map<std::string, Served> witnesses_;
  WitnessPolicy policy_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, std::string> accepted_;  // by size
  std::unique_ptr<Cosigning> cosigning_;
};

TEST_F(CosigningTest, BringsEveryCosignatureOfEachCheckpoint) {
  AddWitness("a");
  AddWitness("b");
  AddWitness("c");
  Start("group all3 all a b c\nquorum all3\n");
  for (const std::uint64_t size : {5, 5, 9, 40}) {
    Offer(size);
    const std::string note = Published(size, {"a", "b", "c"});
    EXPECT_TRUE(VerifyTreeHead(note, ledger_.note_key().key).ok());
    const auto state = Await([&](const auto& s) { return s.cosigned_size == size; });
    EXPECT_FALSE(state.waiting_since);
    EXPECT_EQ(state.alarm, "");
  }
}

TEST_F(CosigningTest, ALostWitnessKeepsNoOneWaitingAndCatchesUp) {
  AddWitness("a");
  Served& b = AddWitness("b");
  b.server.reset();
  Start("group one any a b\nquorum one\n");
  Offer(5);
  Published(5, {"a"});
  Offer(9);
  Published(9, {"a"});
  Await([](const auto& s) { return s.cosigned_size == 9 && !s.witnesses.at(1).error.empty(); });
  Serve(b, [&](const HttpRequest& request) { return b.witness->Handle(request); });
  Published(9, {"a", "b"});
}

TEST_F(CosigningTest, ASecondNodeLearnsTheWitnessesSizes) {
  Served& a = AddWitness("a");
  ASSERT_EQ(
      a.witness->Handle({"POST", "/add-checkpoint", {}, AddCheckpointBody(0, {}, ledger_.At(7))})
          .status,
      200);
  Start("quorum a\n");
  Offer(20);
  Published(20, {"a"});
  EXPECT_EQ(Await([](const auto& s) { return s.cosigned_size == 20; }).witnesses.at(0).size, 20u);
}

TEST_F(CosigningTest, TellsSinceWhenAnAppendWaitsAndAlarmsAfterTheDeadline) {
  Served& a = AddWitness("a");
  Start("quorum a\n");
  Offer(5);
  Await([](const auto& s) { return s.cosigned_size == 5; });
  a.server.reset();
  clock_.Advance(std::chrono::seconds(10));
  const TimeMicros since = clock_.Now();
  Offer(6);
  clock_.Advance(std::chrono::seconds(40));
  Offer(7);
  EXPECT_EQ(cosigning_->GetState().waiting_since, since);
  EXPECT_EQ(cosigning_->GetState().alarm, "");
  clock_.Advance(std::chrono::seconds(21));
  const auto late = cosigning_->GetState();
  EXPECT_EQ(late.cosigned_size, 5u);
  EXPECT_EQ(late.newest_size, 7u);
  EXPECT_EQ(late.alarm, "位置 5 以降は証人の副署が揃っていません（61秒経過）。");
  Serve(a, [&](const HttpRequest& request) { return a.witness->Handle(request); });
  Published(7, {"a"});
  EXPECT_EQ(Await([](const auto& s) { return s.cosigned_size == 7; }).alarm, "");
}

TEST_F(CosigningTest, AWitnessOfAnotherHistoryIsAnAlarm) {
  Served& a = AddWitness("a");
  ASSERT_EQ(
      a.witness->Handle({"POST", "/add-checkpoint", {}, AddCheckpointBody(0, {}, ledger_.At(5, 3))})
          .status,
      200);
  Start("quorum a\n");
  Offer(5);
  EXPECT_NE(AwaitError("another history of 5 entries").alarm.find("矛盾"), std::string::npos);
  Offer(9);
  EXPECT_NE(AwaitError("it answered 422").alarm.find("矛盾"), std::string::npos);
}

TEST_F(CosigningTest, AWitnessThatHasSeenMoreIsAnAlarm) {
  Served& a = AddWitness("a");
  ASSERT_EQ(
      a.witness->Handle({"POST", "/add-checkpoint", {}, AddCheckpointBody(0, {}, ledger_.At(9))})
          .status,
      200);
  Start("quorum a\n");
  Offer(5);
  EXPECT_NE(AwaitError("cosigned 9 entries, more than the ledger's 5").alarm.find("矛盾"),
            std::string::npos);
}

TEST_F(CosigningTest, BelievesNoAnswerUnverified) {
  Served& a = AddWitness("a");
  const SigningKey stranger = SigningKey::Generate();
  const auto answer = [&](HttpResponse response) {
    Serve(a, [response](const HttpRequest&) { return response; });
  };
  answer(
      {200, "text/plain", Cosign(ledger_.At(5), "witness/a", stranger, clock_.Now()).value(), {}});
  Start("quorum a\n");
  Offer(5);
  AwaitError("its answer");
  answer({200, "text/plain", "ok\n", {}});
  AwaitError("note");
  answer({409, "text/x.tlog.size", "many\n", {}});
  AwaitError("holds no size");
  answer({404, "text/plain", "unknown origin\nmore", {}});
  AwaitError("it answered 404: unknown origin");
  answer({200, "text/plain", std::string(100'000, 'x'), {}});
  AwaitError("receiving");
  EXPECT_TRUE(accepted_.empty());
  EXPECT_EQ(cosigning_->GetState().cosigned_size, 0u);
}

TEST_F(CosigningTest, TakesWhatWitnessesLeaveOnTheTopic) {
  Served& a = AddWitness("a");
  a.server.reset();
  Start("quorum a\n");
  Offer(5);
  const auto everything = [](std::uint64_t, const Digest&) { return Status(); };
  const std::string of_five = a.witness->CosignAs(ledger_.At(5), everything).value();
  EXPECT_TRUE(cosigning_->Take(of_five).ok());
  Published(5, {"a"});
  EXPECT_EQ(cosigning_->GetState().cosigned_size, 5u);
  EXPECT_TRUE(cosigning_->Take(of_five).ok());  // once only
  EXPECT_TRUE(cosigning_->Take(a.witness->CosignAs(ledger_.At(9), everything).value()).ok());
  EXPECT_EQ(cosigning_->GetState().cosigned_size, 9u);
  EXPECT_EQ(cosigning_->Take(SignedLedger().At(50)).code(), Code::kTampered);
  EXPECT_EQ(cosigning_->Take("x").code(), Code::kCorrupt);
}

TEST_F(CosigningTest, WithoutWitnessesEveryCheckpointIsGood) {
  Start("quorum none\n");
  Offer(5);
  EXPECT_EQ(cosigning_->GetState().cosigned_size, 5u);
  EXPECT_FALSE(cosigning_->GetState().waiting_since);
}

TEST_F(CosigningTest, AnEarlierRunsCheckpointCounts) {
  AddWitness("a");
  Start("quorum a\n");
  Offer(5);
  const std::string note = Published(5, {"a"});
  cosigning_.reset();
  Start("quorum a\n", note);
  EXPECT_EQ(cosigning_->GetState().cosigned_size, 5u);
  CosigningOptions bad;
  bad.cosigned = "x";
  EXPECT_EQ(Cosigning::Start(std::move(bad)).status().code(), Code::kInvalid);
}

}  // namespace
}  // namespace daicho
