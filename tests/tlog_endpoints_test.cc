// Tiles over HTTP. Method: a real sequencer's ledger, signed by a real notary, is read back through the
// endpoints, and what was read gives the tree of the checkpoint.
#include "consumers/tlog_endpoints.h"

#include <gtest/gtest.h>

#include "events/event.h"
#include "events/merkle.h"
#include "events/tree_head.h"
#include "tests/prefecture.h"

namespace daicho {
namespace {

class TlogEndpointsTest : public ::testing::Test {
 protected:
  TlogEndpointsTest() {
    prefecture_.Found();
    std::vector<v1::UpdateNotice> births;
    for (int i = 0; i < 600; ++i) births.push_back(Birth(Person(i), kMaebashi));
    prefecture_.Notify(kMaebashi, births);
    size_ = prefecture_.Records().size();
    for (const std::string& record : prefecture_.Records()) {
      EntryView entry;
      EXPECT_TRUE(ParseEntry(record, entry).ok());
      leaves_.emplace_back(entry.leaf);
    }
    EXPECT_TRUE(prefecture_.Stop().ok());
    const SequencerOptions sequencer = prefecture_.SequencerWith(prefecture_.key_store());
    NotaryOptions options;
    options.prefecture = sequencer.prefecture;
    options.ledger = sequencer.ledger;
    options.registrar_public_key = sequencer.registrar_public_key;
    options.key_of = [key = prefecture_.ledger_key()](const Key256&) -> Result<SigningKey> { return key; };
    options.dir = directory_ / "notary";
    options.log = &prefecture_.log();
    options.clock = sequencer.clock;
    auto notary = Notary::Open(options);
    EXPECT_TRUE(notary.ok()) << notary.status().ToString();
    notary_ = std::move(*notary);
  }
  void Sign() {
    const Status status = notary_->CatchUp();
    ASSERT_TRUE(status.ok()) << status.ToString();
  }
  HttpResponse Get(const std::string& path) const {
    auto answer = AnswerTlog(*notary_, {"GET", path, {}, ""});
    return answer ? *answer : HttpResponse{0, "", "", {}};
  }
  static std::string HeaderOf(const HttpResponse& answer, const std::string& name) {
    for (const auto& [key, value] : answer.headers) {
      if (key == name) return value;
    }
    return "";
  }
  static std::vector<std::string> Split(std::string_view bundle) {
    std::vector<std::string> out;
    while (bundle.size() >= 2) {
      const std::size_t size = static_cast<std::size_t>(static_cast<unsigned char>(bundle[0])) << 8 |
                               static_cast<unsigned char>(bundle[1]);
      out.emplace_back(bundle.substr(2, size));
      bundle.remove_prefix(2 + size);
    }
    EXPECT_TRUE(bundle.empty());
    return out;
  }

  Prefecture prefecture_;
  std::size_t size_ = 0;
  std::vector<std::string> leaves_;
  TemporaryDirectory directory_;
  std::unique_ptr<Notary> notary_;
};

TEST_F(TlogEndpointsTest, BundlesHoldTheLedgersLeaves) {
  Sign();
  ASSERT_EQ(size_, 603u);
  std::vector<std::string> read;
  for (const char* path : {"/tile/entries/000", "/tile/entries/001", "/tile/entries/002.p/91"}) {
    const HttpResponse answer = Get(path);
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(answer.content_type, "application/octet-stream");
    EXPECT_NE(HeaderOf(answer, "Cache-Control").find("immutable"), std::string::npos);
    for (std::string& leaf : Split(answer.body)) read.push_back(std::move(leaf));
  }
  EXPECT_EQ(read, leaves_);
}

TEST_F(TlogEndpointsTest, TilesGiveTheCheckpointsRoot) {
  Sign();
  MerkleEdge tree;
  for (const char* path : {"/tile/0/000", "/tile/0/001", "/tile/0/002.p/91"}) {
    const std::string tile = Get(path).body;
    for (std::size_t at = 0; at < tile.size(); at += 32) {
      EXPECT_EQ(tile.substr(at, 32), View(LeafHash(leaves_[tree.size()])));
      tree.Append(*ToArray<32>(tile.substr(at, 32)));
    }
  }
  const HttpResponse checkpoint = Get("/checkpoint");
  EXPECT_EQ(HeaderOf(checkpoint, "Cache-Control"), "no-cache");
  EXPECT_EQ(ParseTreeHead(checkpoint.body)->root, tree.Root());
  EXPECT_EQ(Get("/tile/1/000.p/2").body.size(), 64u);
}

TEST_F(TlogEndpointsTest, NothingIsServedBeforeItIsSigned) {
  for (const char* path : {"/checkpoint", "/tile/entries/000", "/tile/0/000"}) EXPECT_EQ(Get(path).status, 404) << path;
  EXPECT_EQ(Get("/healthz").body, "ok\n");
}

TEST_F(TlogEndpointsTest, NothingBeyondTheCheckpointIsServed) {
  Sign();
  for (const char* path : {"/tile/entries/002", "/tile/entries/002.p/92", "/tile/entries/003.p/1", "/tile/0/002",
                           "/tile/0/002.p/92", "/tile/1/000.p/3", "/tile/2/000.p/1", "/tile/8/000", "/tile/63/000.p/1",
                           "/tile/entries/x072/x057/x594/x037/x927/935", "/tile/0/003"}) {
    EXPECT_EQ(Get(path).status, 404) << path;
  }
  EXPECT_EQ(Split(Get("/tile/entries/002.p/5").body).size(), 5u);
}

TEST_F(TlogEndpointsTest, BadRequestsAreToldApart) {
  Sign();
  for (const char* path : {"/tile/0/0", "/tile/0/000.p/256", "/tile/data/000", "/tile/", "/tile/0/../../keys"}) {
    EXPECT_EQ(Get(path).status, 400) << path;
  }
  EXPECT_EQ(Get("/elsewhere").status, 0);
  EXPECT_EQ(AnswerTlog(*notary_, {"POST", "/checkpoint", {}, ""})->status, 405);
}

}  // namespace
}  // namespace daicho
