// Trees at rest. Method: trees of up to 70,000 leaves saved in pieces, reopened in between, against
// an oracle that keeps every leaf: tiles as C2SP tlog-tiles defines them, roots and proofs at sizes
// around every seam.
#include "ledger/tree_store.h"

#include <gtest/gtest.h>

#include "tests/prefecture.h"

namespace daicho {
namespace {

// --- paths ---------------------------------------------------------------------------------------

TEST(TilePath, IsThatOfTlogTiles) {
  const std::vector<std::pair<TilePath, std::string>> paths = {
      {{false, 0, 0}, "tile/0/000"},
      {{false, 0, 1234067}, "tile/0/x001/x234/067"},
      {{false, 0, 1234067, 7}, "tile/0/x001/x234/067.p/7"},
      {{false, 1, 0, 17}, "tile/1/000.p/17"},
      {{false, 2, 999, 255}, "tile/2/999.p/255"},
      {{false, 63, 1000}, "tile/63/x001/000"},
      {{true, 0, 273, 112}, "tile/entries/273.p/112"},
      {{true, 0, 1234067}, "tile/entries/x001/x234/067"},
      {{false, 0, ~std::uint64_t{0}}, "tile/0/x018/x446/x744/x073/x709/x551/615"},
  };
  for (const auto& [path, text] : paths) {
    EXPECT_EQ(FormatTilePath(path), text);
    const auto parsed = ParseTilePath(text);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_EQ(*parsed, path) << text;
  }
}

TEST(TilePath, AnyOtherSpellingIsRefused) {
  for (const char* text : {"",
                           "tile",
                           "tile/",
                           "tile/0",
                           "tile/0/",
                           "/tile/0/000",
                           "tile/0/0",
                           "tile/0/00",
                           "tile/0/0000",
                           "tile/0/x000/001",
                           "tile/0/001/002",
                           "tile/0/x001/x002",
                           "tile/0/X001/002",
                           "tile/0/1000",
                           "tile/0/000/",
                           "tile/0/000.p",
                           "tile/0/000.p/",
                           "tile/0/000.p/0",
                           "tile/0/000.p/256",
                           "tile/0/000.p/01",
                           "tile/0/000.p/-1",
                           "tile/0/000.p/1/",
                           "tile/0/000.p/1.p/1",
                           "tile/00/000",
                           "tile/-1/000",
                           "tile/64/000",
                           "tile/+1/000",
                           "tile/x/000",
                           "tile/entries/",
                           "tile/Entries/000",
                           "tile/0/ 00",
                           "tile/0/-01",
                           "tile/0/../000",
                           "tile/0/x018/x446/x744/x073/x709/x551/616"}) {
    EXPECT_EQ(ParseTilePath(text).status().code(), Code::kInvalid) << text;
  }
}

// --- trees ---------------------------------------------------------------------------------------

Digest Leaf(const std::string& tree, std::uint64_t i) {
  return LeafHash(tree + "/" + std::to_string(i));
}

class TreeStoreTest : public ::testing::Test {
 protected:
  TreeStoreTest() { Reopen(); }

  void Reopen() {
    writer_.reset();
    trees_.reset();
    store_.reset();
    StoreOptions options;
    options.path = directory_ / "trees";
    options.families = {"trees"};
    store_ = Store::Open(options).value();
    trees_ = std::make_unique<TreeStore>(*store_, Family{0});
    writer_ = std::make_unique<TreeWriter>(*trees_);
  }
  void Append(const std::string& tree, std::uint64_t count) {
    std::vector<Digest>& leaves = leaves_[tree];
    for (std::uint64_t i = 0; i < count; ++i) {
      leaves.push_back(Leaf(tree, leaves.size()));
      ASSERT_TRUE(writer_->Append(batch_, tree, leaves.back()).ok());
    }
  }
  void Save() {
    writer_->Save(batch_);
    ASSERT_TRUE(store_->Write(batch_, false).ok());
    batch_.Clear();
  }
  Digest OracleRoot(const std::string& tree, std::uint64_t first, std::uint64_t count) {
    MerkleEdge edge;
    for (std::uint64_t i = 0; i < count; ++i) edge.Append(leaves_[tree][first + i]);
    return edge.Root();
  }
  // Hashes n·256 … of that level, as the tile of a tree of `size` leaves.
  std::string OracleTile(const std::string& tree, int level, std::uint64_t n, std::uint64_t size) {
    const std::uint64_t leaves = std::uint64_t{1} << 8 * level;
    std::string out;
    for (std::uint64_t i = n * 256; i < (n + 1) * 256 && (i + 1) * leaves <= size; ++i) {
      out += View(OracleRoot(tree, i * leaves, leaves));
    }
    return out;
  }
  void ExpectTilesOf(const std::string& tree, std::uint64_t size) {
    for (int level = 0; size >> 8 * level != 0; ++level) {
      const std::uint64_t hashes = size >> 8 * level;
      for (std::uint64_t n = 0; n * 256 < hashes; ++n) {
        const std::uint64_t width = std::min<std::uint64_t>(256, hashes - n * 256);
        const auto tile = trees_->Tile(tree, level, n, width);
        ASSERT_TRUE(tile.ok()) << level << " " << n << ": " << tile.status().ToString();
        ASSERT_EQ(*tile, OracleTile(tree, level, n, size)) << level << " " << n;
      }
    }
  }
  void ExpectProofs(const std::string& tree, std::uint64_t index, std::uint64_t size) {
    const NodeSource nodes = trees_->Nodes(tree);
    const Digest root = RootOf(size, nodes).value();
    ASSERT_EQ(root, OracleRoot(tree, 0, size)) << size;
    const Proof path = InclusionProof(index, size, nodes).value();
    ASSERT_TRUE(VerifyInclusion(leaves_[tree][index], index, size, path, root).ok())
        << index << " " << size;
    const Proof consistency = ConsistencyProof(index, size, nodes).value();
    ASSERT_TRUE(VerifyConsistency(index, OracleRoot(tree, 0, index), size, root, consistency).ok());
  }

  std::vector<std::pair<std::string, std::string>> Rows() const {
    std::vector<std::pair<std::string, std::string>> rows;
    auto it = store_->NewIterator(0);
    for (it.SeekToFirst(); it.Valid(); it.Next()) rows.emplace_back(it.key(), it.value());
    return rows;
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<TreeStore> trees_;
  std::unique_ptr<TreeWriter> writer_;
  StoreBatch batch_;
  std::map<std::string, std::vector<Digest>> leaves_;
};

TEST_F(TreeStoreTest, ATreeOf70000LeavesHasTheTilesOfTheSpecificationsExample) {
  Append("", 70'000);
  Save();
  EXPECT_EQ(trees_->Size("").value(), 70'000u);
  ExpectTilesOf("", 70'000);
  EXPECT_EQ(trees_->Tile("", 0, 273, 112)->size(), 112u * 32);
  EXPECT_EQ(trees_->Tile("", 1, 1, 17)->size(), 17u * 32);
  EXPECT_EQ(trees_->Tile("", 2, 0, 1)->size(), 32u);
  for (const auto& [level, n, width] : std::vector<std::array<std::uint64_t, 3>>{
           {0, 273, 113}, {0, 274, 1}, {1, 1, 18}, {2, 0, 2}, {3, 0, 1}}) {
    EXPECT_EQ(trees_->Tile("", static_cast<int>(level), n, width).status().code(), Code::kNotFound);
  }
}

TEST_F(TreeStoreTest, SavedInPiecesAndReopenedItIsTheSameTree) {
  for (const std::uint64_t piece :
       {1, 2, 252, 1, 1, 255, 256, 257, 1, 1000, 0, 60'000, 3'500, 300}) {
    Append("a", piece);
    EXPECT_EQ(writer_->Root("a").value(), OracleRoot("a", 0, leaves_["a"].size()));
    Save();
    Reopen();
    const std::uint64_t size = leaves_["a"].size();
    ASSERT_EQ(writer_->Size("a").value(), size);
    ASSERT_EQ(writer_->Root("a").value(), OracleRoot("a", 0, size));
  }
  ExpectTilesOf("a", leaves_["a"].size());
}

TEST_F(TreeStoreTest, ProofsHoldAtEverySizeUpToTheStoredOne) {
  Append("", 66'000);
  Save();
  const std::vector<std::uint64_t> sizes = {1,   2,   3,    255,    256,    257,    511,
                                            512, 513, 1000, 65'535, 65'536, 65'537, 66'000};
  for (const std::uint64_t size : sizes) {
    for (const std::uint64_t index : {std::uint64_t{0}, size / 3, size / 2, size - 1})
      ExpectProofs("", index, size);
  }
}

TEST_F(TreeStoreTest, BeyondTheStoredSizeThereAreNoProofs) {
  Append("", 300);
  Save();
  Append("", 100);  // not saved
  EXPECT_EQ(trees_->Size("").value(), 300u);
  EXPECT_EQ(RootOf(301, trees_->Nodes("")).status().code(), Code::kNotFound);
  EXPECT_EQ(InclusionProof(0, 400, trees_->Nodes("")).status().code(), Code::kNotFound);
}

TEST_F(TreeStoreTest, TreesOfOneStoreDoNotTouch) {
  const std::string names[] = {
      "", "1", "10", "102016", "102024", std::string(1, '\0'), "100005.registrar"};
  for (int round = 0; round < 5; ++round) {
    for (const std::string& name : names) Append(name, 70 + 10 * name.size());
    Save();
  }
  for (const std::string& name : names) {
    EXPECT_EQ(trees_->Size(name).value(), leaves_[name].size());
    ExpectTilesOf(name, leaves_[name].size());
    ExpectProofs(name, 100, leaves_[name].size());
  }
}

TEST_F(TreeStoreTest, AnUnknownTreeIsEmpty) {
  EXPECT_EQ(trees_->Size("x").value(), 0u);
  EXPECT_EQ(writer_->Root("x").value(), MerkleEdge().Root());
  EXPECT_EQ(trees_->Tile("x", 0, 0, 1).status().code(), Code::kNotFound);
}

TEST_F(TreeStoreTest, ATreeThatLacksATileOrHasADamagedOneIsCorrupt) {
  Append("", 300);
  Save();
  const auto rows = Rows();
  ASSERT_EQ(rows.size(), 4u) << "size, two tiles of level 0, one of level 1";
  for (const auto& [key, value] : {rows[0], rows[2], rows[3]}) {
    StoreBatch damage;
    damage.Put(0, key, value.substr(1));
    ASSERT_TRUE(store_->Write(damage, false).ok());
    Reopen();
    EXPECT_EQ(writer_->Root("").status().code(), Code::kCorrupt);
    StoreBatch repair;
    repair.Put(0, key, value);
    ASSERT_TRUE(store_->Write(repair, false).ok());
  }
  StoreBatch loss;
  loss.Delete(0, rows[2].first);
  ASSERT_TRUE(store_->Write(loss, false).ok());
  Reopen();
  EXPECT_EQ(writer_->Root("").status().code(), Code::kCorrupt);
}

}  // namespace
}  // namespace daicho
