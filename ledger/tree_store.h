// Merkle trees at rest, as tiles of 256 hashes (C2SP tlog-tiles), several trees in one family of a
// Store. A tile of level 0 holds leaf hashes; one hash of level n + 1 is the root over a full tile
// of level n.
//
//   level 1:   [ t0 t1 . . . ]                     partial: as many hashes as there are full tiles
//   below level 0:   [ 0 … 255 ] [ 256 … 511 ] [ 512 … ]
//
// Whatever lies below a size never changes once it is written, so proofs can be made for every size
// up to the stored one, and a partial tile of an earlier size is the beginning of today's.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "events/merkle.h"
#include "ledger/store.h"

namespace daicho {

inline constexpr std::uint64_t kTileWidth = 256;
inline constexpr int kTileLevelMax = 63;

// Where C2SP tlog-tiles serves a tile or a bundle of entries: "tile/0/x001/x234/067",
// "tile/1/000.p/17", "tile/entries/x001/000".
struct TilePath {
  bool entries = false;
  int level = 0;  // of hashes; 0 with entries
  std::uint64_t index = 0;
  std::uint64_t width = kTileWidth;  // below it: partial
  friend bool operator==(const TilePath&, const TilePath&) = default;
};
std::string FormatTilePath(const TilePath& path);
// Errors: kInvalid for whatever FormatTilePath does not write.
Result<TilePath> ParseTilePath(std::string_view path);

// Of a tree: the tile there, at least its first `width` hashes.
using TileSource = std::function<Result<std::string>(int level, std::uint64_t index, std::uint64_t width)>;
// For the proofs of events/merkle.h. Errors of what is returned: the source's; kTampered for a tile that is too short.
NodeSource NodesOfTiles(TileSource tiles);

// Reads what was saved. Thread-safe, also beside the writer.
class TreeStore {
 public:
  // `store` is borrowed. The family holds nothing else.
  TreeStore(const Store& store, Family family) : store_(store), family_(family) {}

  // 0 for a tree that was never saved.
  Result<std::uint64_t> Size(std::string_view tree) const;
  // The first `width` hashes of a tile. Errors: kNotFound when it is not that wide.
  Result<std::string> Tile(std::string_view tree, int level, std::uint64_t index,
                           std::uint64_t width = kTileWidth) const;
  // For the proofs of events/merkle.h. Errors of the source: kNotFound beyond the stored size. The
  // TreeStore must outlive it.
  NodeSource Nodes(std::string_view tree) const;

 private:
  friend class TreeWriter;
  const Store& store_;
  Family family_;
};

// Appends to the trees of a TreeStore. Of a tree it holds only the partial tiles. One per family,
// one thread.
class TreeWriter {
 public:
  // Borrowed; must outlive it. What it has saved, it continues.
  explicit TreeWriter(const TreeStore& trees) : trees_(trees) {}

  // Puts each tile that became full. Nothing may be used of the batch unless Save completes it, and
  // no batch may be dropped without a new TreeWriter. Errors: kCorrupt for a damaged tree.
  Status Append(StoreBatch& batch, const std::string& tree, const Digest& leaf_hash);
  // Puts the partial tiles and the sizes of all trees that have grown.
  void Save(StoreBatch& batch);
  // As appended, saved or not.
  Result<std::uint64_t> Size(const std::string& tree);
  Result<Digest> Root(const std::string& tree);

 private:
  struct Tree {
    std::uint64_t size = 0;
    std::vector<std::string> tiles;  // the partial one of each level; perhaps empty
    std::size_t changed = 0;         // levels below it have changed since the last Save
  };
  Result<Tree*> Load(const std::string& name);

  const TreeStore& trees_;
  std::map<std::string, Tree> loaded_;
};

}  // namespace daicho
