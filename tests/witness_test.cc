// A witness under requests as C2SP tlog-witness allows and forbids them. Method: a ledger of
// made-up leaves whose history can be split is shown to a real witness in a directory, by its
// handler; each refusal is told from the others by its status, and leaves the witness where it was,
// also after it is opened again.
#include "consumers/witness.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "ledger/files.h"
#include "tests/prefecture.h"
#include "tests/signed_ledger.h"

namespace daicho {
namespace {

class WitnessTest : public ::testing::Test {
 protected:
  WitnessTest() {
    auto line = Witness::Create(Dir(), "witness.example/audit");
    EXPECT_TRUE(line.ok()) << line.status().ToString();
    vkey_ = *line;
    Open();
    EXPECT_TRUE(Trust(ledger_).ok());
  }
  std::string Dir() const { return directory_ / "witness"; }
  std::string LogDir() const {
    return Dir() + "/logs/" + ToHex(View(Sha256Of({LedgerOrigin(10)})));
  }
  void Open() {
    witness_.reset();
    auto opened = Witness::Open(Dir(), clock_);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    witness_ = std::move(*opened);
  }
  Status Trust(const SignedLedger& ledger) {
    EXPECT_TRUE(WriteFileDurably(directory_ / "ledger.pub.json", ledger.PublicFile()).ok());
    return witness_->Trust(directory_ / "ledger.pub.json");
  }
  HttpResponse Post(const std::string& body) {
    return witness_->Handle({"POST", "/add-checkpoint", {}, body});
  }
  HttpResponse Get(const std::string& path) { return witness_->Handle({"GET", path, {}, ""}); }
  HttpResponse Show(std::uint64_t old_size, std::uint64_t size) {
    return Post(
        AddCheckpointBody(old_size, SignedLedger::Between(old_size, size), ledger_.At(size)));
  }
  std::uint64_t Size() const { return witness_->Find(LedgerOrigin(10))->size; }
  Code CodeOfOpening() {
    witness_.reset();
    return Witness::Open(Dir(), clock_).status().code();
  }

  TemporaryDirectory directory_;
  SimulatedClock clock_{TimeMicros(SignedLedger::kStart + 5'700'000)};
  SignedLedger ledger_;
  std::string vkey_;
  std::unique_ptr<Witness> witness_;
};

TEST_F(WitnessTest, CosignsACheckpointThatContinuesTheOneBefore) {
  std::uint64_t old_size = 0;
  for (const std::uint64_t size : {3, 3, 4, 7, 64, 100}) {
    const HttpResponse answer = Show(old_size, size);
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_TRUE(answer.body.starts_with("— witness.example/audit ")) << answer.body;
    const std::string cosigned = ledger_.At(size) + answer.body;
    const auto time = VerifyCosignature(*ParseNote(cosigned), *ParseNoteKey(vkey_));
    ASSERT_TRUE(time.ok()) << time.status().ToString();
    EXPECT_EQ(time->value(), SignedLedger::kStart + 5'000'000);
    EXPECT_EQ(Get("/" + LogDir().substr(LogDir().size() - 64) + "/checkpoint").body, cosigned);
    old_size = size;
  }
}

TEST_F(WitnessTest, RemembersAcrossARestart) {
  ASSERT_EQ(Show(0, 5).status, 200);
  Open();
  EXPECT_EQ(Show(0, 9).status, 409);
  EXPECT_EQ(Show(5, 9).status, 200);
  EXPECT_EQ(witness_->key().id(), ParseNoteKey(vkey_)->id());
}

TEST_F(WitnessTest, TellsItsSizeWhenTheOldOneIsAnother) {
  ASSERT_EQ(Show(0, 5).status, 200);
  for (const std::uint64_t old_size : {0, 3, 6}) {
    const HttpResponse answer = Show(old_size, 9);
    EXPECT_EQ(answer.status, 409);
    EXPECT_EQ(answer.body, "5\n");
    EXPECT_EQ(answer.content_type, "text/x.tlog.size");
  }
}

TEST_F(WitnessTest, CosignsNoSecondHistory) {
  ASSERT_EQ(Show(0, 5).status, 200);
  const HttpResponse same_size = Post(AddCheckpointBody(5, {}, ledger_.At(5, 4)));
  EXPECT_EQ(same_size.status, 409);
  EXPECT_EQ(same_size.body, "5\n");
  EXPECT_EQ(Post(AddCheckpointBody(5, SignedLedger::Between(5, 9, 4), ledger_.At(9, 4))).status,
            422);
  EXPECT_EQ(Size(), 5u);
  EXPECT_EQ(Show(5, 9).status, 200);
}

TEST_F(WitnessTest, DoesNotGoBack) {
  ASSERT_EQ(Show(0, 9).status, 200);
  EXPECT_EQ(Post(AddCheckpointBody(9, {}, ledger_.At(5))).status, 400);
  EXPECT_EQ(Post(AddCheckpointBody(5, {}, ledger_.At(5))).status, 409);
  EXPECT_EQ(Post(AddCheckpointBody(0, {}, ledger_.At(0))).status, 409);
  EXPECT_EQ(Size(), 9u);
}

TEST_F(WitnessTest, RefusesAProofThatIsWrongInAnyHash) {
  ASSERT_EQ(Show(0, 5).status, 200);
  const Proof good = SignedLedger::Between(5, 9);
  for (std::size_t i = 0; i < good.size(); ++i) {
    Proof bad = good;
    bad[i][7] ^= 1;
    EXPECT_EQ(Post(AddCheckpointBody(5, bad, ledger_.At(9))).status, 422) << i;
    bad = good;
    bad.erase(bad.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_EQ(Post(AddCheckpointBody(5, bad, ledger_.At(9))).status, 422) << i;
  }
  Proof longer = good;
  longer.push_back(good.back());
  EXPECT_EQ(Post(AddCheckpointBody(5, longer, ledger_.At(9))).status, 422);
}

TEST_F(WitnessTest, AFirstCheckpointHasNoProof) {
  EXPECT_EQ(Post(AddCheckpointBody(0, {SignedLedger::Leaf(1)}, ledger_.At(5))).status, 422);
  EXPECT_EQ(Show(0, 5).status, 200);
}

TEST_F(WitnessTest, ListensOnlyToTheKeysOfLogsItKnows) {
  const SignedLedger stranger;
  EXPECT_EQ(Post(AddCheckpointBody(0, {}, stranger.At(5))).status, 403);
  TreeHead elsewhere = ledger_.Head(5);
  elsewhere.origin = LedgerOrigin(11);
  EXPECT_EQ(Post(AddCheckpointBody(0, {}, ledger_.Sign(elsewhere))).status, 404);
  std::string flipped = ledger_.At(5);
  flipped[flipped.find("\ntime ") + 8] ^= 1;
  EXPECT_EQ(Post(AddCheckpointBody(0, {}, flipped)).status, 403);
  EXPECT_EQ(Size(), 0u);
}

TEST_F(WitnessTest, HoldsTheLedgerToItsExtensionLines) {
  ASSERT_EQ(Show(0, 5).status, 200);
  const auto show = [&](const TreeHead& head) {
    return Post(AddCheckpointBody(5, SignedLedger::Between(5, 9), ledger_.Sign(head))).status;
  };
  TreeHead head = ledger_.Head(9);
  head.ledger[0] ^= 1;
  EXPECT_EQ(show(head), 422);
  head = ledger_.Head(9);
  head.time = TimeMicros(ledger_.Head(5).time.value() - 1);
  EXPECT_EQ(show(head), 422);
  const std::string text = ledger_.At(9);
  const std::string bare =
      SignNote(text.substr(0, text.find("ledger ")), LedgerOrigin(10), ledger_.key());
  EXPECT_EQ(Post(AddCheckpointBody(5, SignedLedger::Between(5, 9), bare)).status, 400);
  EXPECT_EQ(show(ledger_.Head(9)), 200);
}

TEST_F(WitnessTest, RefusesWhatIsNoRequest) {
  const std::string note = ledger_.At(5);
  const std::string hash = ToBase64(View(SignedLedger::Leaf(1)));
  std::string many;
  for (int i = 0; i < 64; ++i) many += hash + "\n";
  for (const std::string& body :
       {std::string(), std::string("old 0"), std::string("old 0\n"), std::string("old 0\n\n"), note,
        "old 00\n\n" + note, "old -1\n\n" + note, "old 0 \n\n" + note,
        "old 99999999999999999999\n\n" + note, "new 0\n\n" + note, "old 0\n" + note,
        "old 0\n" + hash.substr(4) + "\n\n" + note, "old 0\n!" + hash.substr(1) + "\n\n" + note,
        "old 0\n" + many + "\n" + note, "old 0\n\n" + note.substr(0, note.size() - 1),
        "old 0\n\n" + note.substr(0, note.find("\n\n") + 2), "old 6\n\n" + note}) {
    EXPECT_EQ(Post(body).status, 400) << body;
  }
  EXPECT_EQ(Get("/add-checkpoint").status, 405);
  EXPECT_EQ(Get("/nothing").status, 404);
  EXPECT_EQ(Get("//checkpoint").status, 404);
  EXPECT_EQ(witness_->Handle({"POST", "/", {}, ""}).status, 405);
  EXPECT_EQ(Size(), 0u);
}

TEST_F(WitnessTest, OfManyAtOnceExactlyOneContinuesTheState) {
  ASSERT_EQ(Show(0, 5).status, 200);
  std::atomic<int> cosigned = 0, refused = 0;
  {
    std::vector<std::jthread> threads;
    for (std::uint64_t i = 0; i < 8; ++i) {
      threads.emplace_back([&, i] {
        // Eight histories that part after the fifth entry: each continues the state.
        const std::string note = ledger_.At(9 + i, 5 + (i & 1));
        const int status =
            Post(AddCheckpointBody(5, SignedLedger::Between(5, 9 + i, 5 + (i & 1)), note)).status;
        ++(status == 200 ? cosigned : refused);
        EXPECT_TRUE(status == 200 || status == 409) << status;
      });
    }
  }
  EXPECT_EQ(cosigned, 1);
  EXPECT_EQ(refused, 7);
}

TEST_F(WitnessTest, SaysNothingThatItCouldNotStore) {
  ASSERT_EQ(Show(0, 5).status, 200);
  std::filesystem::rename(LogDir(), LogDir() + ".away");
  EXPECT_EQ(Show(5, 9).status, 500);
  EXPECT_EQ(Size(), 5u);
  std::filesystem::rename(LogDir() + ".away", LogDir());
  EXPECT_EQ(Show(5, 9).status, 200);
}

TEST_F(WitnessTest, AStateThatWasTouchedDoesNotOpen) {
  ASSERT_EQ(Show(0, 5).status, 200);
  const std::string path = LogDir() + "/checkpoint";
  const std::string good = *ReadFile(path);
  const std::string forged = SignedLedger().At(3) + good.substr(good.find("— witness"));
  for (const std::string& bad :
       {good.substr(0, good.find("— witness")), forged, std::string("x")}) {
    ASSERT_TRUE(WriteFileDurably(path, bad).ok());
    EXPECT_NE(CodeOfOpening(), Code::kOk) << bad;
  }
  ASSERT_TRUE(WriteFileDurably(path, good).ok());
  EXPECT_EQ(CodeOfOpening(), Code::kOk);
}

TEST_F(WitnessTest, ALogIsPinnedOnce) {
  EXPECT_TRUE(Trust(ledger_).ok());
  EXPECT_EQ(Trust(SignedLedger()).code(), Code::kConflict);
  ASSERT_TRUE(WriteFileDurably(directory_ / "bad.json", "{\"format\":\"daicho-ledger/1\"}").ok());
  EXPECT_EQ(witness_->Trust(directory_ / "bad.json").code(), Code::kInvalid);
  EXPECT_EQ(witness_->Trust(directory_ / "none.json").code(), Code::kNotFound);
}

TEST_F(WitnessTest, OneProcessHasAWitness) {
  EXPECT_EQ(Witness::Open(Dir(), clock_).status().code(), Code::kUnavailable);
  EXPECT_EQ(Witness::Open(directory_ / "none", clock_).status().code(), Code::kNotFound);
  EXPECT_EQ(Witness::Create(Dir(), "again").status().code(), Code::kConflict);
  for (const char* name : {"", "a b", "a+b", "a\"b"}) {
    EXPECT_EQ(Witness::Create(directory_ / "other", name).status().code(), Code::kInvalid) << name;
  }
}

TEST_F(WitnessTest, TellsWhoItIsAndWhatItHasCosigned) {
  ASSERT_EQ(Show(0, 5).status, 200);
  const std::string info = Get("/").body;
  EXPECT_NE(info.find("witness " + vkey_ + "\n"), std::string::npos) << info;
  EXPECT_NE(info.find("daicho/10/ledger 5\n"), std::string::npos) << info;
  EXPECT_EQ(*ReadFile(Dir() + "/witness.pub"), vkey_ + "\n");
}

TEST_F(WitnessTest, ARotatedKeyIsTakenOnlyWhenAPersonVouchesForIt) {
  ASSERT_EQ(Show(0, 3).status, 200);
  const SigningKey newer = SigningKey::Generate();
  ASSERT_TRUE(WriteFileDurably(directory_ / "rotated.json", ledger_.PublicFile(newer)).ok());
  const auto show_by_newer = [&](std::uint64_t old_size, std::uint64_t size) {
    const std::string note = SignTreeHead(ledger_.Head(size), newer);
    return Post(AddCheckpointBody(old_size, SignedLedger::Between(old_size, size), note)).status;
  };
  EXPECT_EQ(show_by_newer(3, 5), 403);
  EXPECT_EQ(witness_->Trust(directory_ / "rotated.json").code(), Code::kConflict);
  ASSERT_TRUE(witness_->Trust(directory_ / "rotated.json", true).ok());
  EXPECT_EQ(show_by_newer(3, 5), 200);  // it goes on from what it has cosigned
  Open();
  EXPECT_EQ(show_by_newer(5, 6), 200);
  EXPECT_EQ(Show(6, 7).status, 403);  // the old key has had its time
  ASSERT_TRUE(WriteFileDurably(directory_ / "other.json", SignedLedger().PublicFile()).ok());
  EXPECT_EQ(witness_->Trust(directory_ / "other.json", true).code(), Code::kConflict);
}

}  // namespace
}  // namespace daicho
