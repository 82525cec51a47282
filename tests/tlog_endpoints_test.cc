// Tiles over HTTP. Method: paths are told in every way but the right one; a real sequencer's ledger is read
// back as bundles, whose leaves give the published tree.
#include "consumers/tlog_endpoints.h"

#include <gtest/gtest.h>

#include "events/event.h"
#include "events/merkle.h"
#include "events/tree_head.h"
#include "tests/prefecture.h"

namespace daicho {
namespace {

// Examples of C2SP tlog-tiles.
TEST(TilePathTest, IsWrittenAsTlogTilesSays) {
  EXPECT_EQ(FormatTilePath({false, 0, 1234067, 256}), "tile/0/x001/x234/067");
  EXPECT_EQ(FormatTilePath({true, 0, 1234067, 8}), "tile/entries/x001/x234/067.p/8");
  EXPECT_EQ(FormatTilePath({false, 1, 0, 1}), "tile/1/000.p/1");
  for (const std::uint64_t index : {0ull, 999ull, 1000ull, 1'000'000ull, 72'057'594'037'927'935ull}) {
    const TilePath tile{false, 3, index, 17};
    const auto parsed = ParseTilePath(FormatTilePath(tile));
    ASSERT_TRUE(parsed.ok()) << FormatTilePath(tile);
    EXPECT_EQ(*parsed, tile);
  }
}

TEST(TilePathTest, HasOneSpelling) {
  for (const char* path :
       {"tile/0/0", "tile/0/00", "tile/0/0000", "tile/0/x000/000", "tile/0/001/000", "tile/0/x001/x000", "tile/0/x1/000",
        "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/08", "tile/0/000.p/", "tile/0/000.p/-1", "tile/00/000",
        "tile/8/000", "tile/-1/000", "tile/64/000", "tile/data/000", "tile/entry/000", "tile/0/", "tile/0", "tile/",
        "tile/0/000/", "tile/0//000", "tile/0/../000", "tile/0/x99999999999999999999/000", "tiles/0/000", ""}) {
    EXPECT_EQ(ParseTilePath(path).status().code(), Code::kInvalid) << path;
  }
}

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
      tree_.Append(LeafHash(entry.leaf));
    }
    TreeHead head;
    head.origin = LedgerOrigin(10);
    head.size = size_;
    head.root = tree_.Root();
    head.ledger = std::string(16, 'l');
    note_ = SignTreeHead(head, SigningKey::Generate());
    source_.checkpoint = [this]() -> Result<std::string> { return note_; };
    source_.tile = [](int level, std::uint64_t index, unsigned width) -> Result<std::string> {
      if (index > 2) return NotFound("the tree does not reach so far");
      return std::to_string(level) + " " + std::to_string(index) + " " + std::to_string(width);
    };
    source_.log = &prefecture_.log();
    source_.ledger_topic = Prefecture::LedgerTopic();
  }
  HttpResponse Get(const std::string& path) const {
    auto answer = AnswerTlog(source_, {"GET", path, {}, ""});
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
  MerkleEdge tree_;
  std::string note_;
  TlogSource source_;
};

TEST_F(TlogEndpointsTest, BundlesHoldTheLedgersLeaves) {
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

TEST_F(TlogEndpointsTest, NothingBeyondThePublishedTreeIsServed) {
  for (const char* path : {"/tile/entries/002", "/tile/entries/002.p/92", "/tile/entries/003.p/1",
                           "/tile/entries/x072/x057/x594/x037/x927/935", "/tile/0/003"}) {
    EXPECT_EQ(Get(path).status, 404) << path;
  }
  EXPECT_EQ(Split(Get("/tile/entries/002.p/5").body).size(), 5u);
  source_.checkpoint = []() -> Result<std::string> { return NotFound("no checkpoint yet"); };
  EXPECT_EQ(Get("/checkpoint").status, 404);
  EXPECT_EQ(Get("/tile/entries/000").status, 404);
}

TEST_F(TlogEndpointsTest, CheckpointTilesAndHealthAreAnswered) {
  EXPECT_EQ(Get("/checkpoint").body, note_);
  EXPECT_EQ(HeaderOf(Get("/checkpoint"), "Cache-Control"), "no-cache");
  EXPECT_EQ(Get("/tile/1/002.p/7").body, "1 2 7");
  EXPECT_EQ(Get("/healthz").body, "ok\n");
}

TEST_F(TlogEndpointsTest, BadRequestsAreToldApart) {
  EXPECT_EQ(Get("/tile/0/0").status, 400);
  EXPECT_EQ(Get("/elsewhere").status, 0);
  EXPECT_EQ(AnswerTlog(source_, {"POST", "/checkpoint", {}, ""})->status, 405);
  source_.tile = [](int, std::uint64_t, unsigned) -> Result<std::string> { return Corrupt("secret path"); };
  EXPECT_EQ(Get("/tile/0/000").status, 503);
  EXPECT_EQ(Get("/tile/0/000").body.find("secret"), std::string::npos);
}

}  // namespace
}  // namespace daicho
