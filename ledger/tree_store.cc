#include "ledger/tree_store.h"

#include <algorithm>
#include <charconv>

namespace daicho {
namespace {

constexpr std::size_t kHashBytes = 32;
constexpr std::size_t kTileBytes = kTileWidth * kHashBytes;
constexpr int kLevelBits = 8;  // a tile is a subtree of this height

// Of a tree: its size. With level and index behind it: of a tile.
std::string TreeKey(std::string_view tree) {
  CHECK(tree.size() < 256);
  return std::string(1, static_cast<char>(tree.size())).append(tree);
}

std::string TileKey(std::string_view tree, int level, std::uint64_t index) {
  std::string key = TreeKey(tree);
  key.push_back(static_cast<char>(level));
  AppendU64(key, index);
  return key;
}

std::uint64_t TilesAt(int level, std::uint64_t size) {
  const int shift = kLevelBits * level;
  return shift < 64 ? size >> shift : 0;
}

Digest HashAt(std::string_view tile, std::uint64_t at) {
  return ToArray<32>(tile.substr(at * kHashBytes, kHashBytes)).value();
}

// Root over `count` hashes of a tile, count a power of two.
Digest SubtreeRoot(std::string_view tile, std::uint64_t first, std::uint64_t count) {
  MerkleEdge subtree;
  for (std::uint64_t i = 0; i < count; ++i) subtree.Append(HashAt(tile, first + i));
  return subtree.Root();
}

// Which hashes of which tile make a node of the tree.
struct NodePlace {
  NodePlace(int node_level, std::uint64_t node_index)
      : level(node_level / kLevelBits),
        count(std::uint64_t{1} << node_level % kLevelBits),
        index(node_index * count / kTileWidth),
        first(node_index * count % kTileWidth) {}
  int level;
  std::uint64_t count, index, first;
};

// "x001/x234/067".
std::string IndexPath(std::uint64_t index) {
  const auto three = [](std::uint64_t n) { return std::to_string(1000 + n % 1000).substr(1); };
  std::string out = three(index);
  while ((index /= 1000) != 0) out = "x" + three(index) + "/" + out;
  return out;
}

template <typename Number>
bool ParseNumber(std::string_view text, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

bool ParseIndex(std::string_view text, std::uint64_t& out) {
  std::string digits;
  std::ranges::copy_if(text, std::back_inserter(digits),
                       [](char c) { return c >= '0' && c <= '9'; });
  return ParseNumber(digits, out);
}

}  // namespace

std::string FormatTilePath(const TilePath& path) {
  std::string out = "tile/" + (path.entries ? "entries" : std::to_string(path.level)) + "/" +
                    IndexPath(path.index);
  if (path.width < kTileWidth) out += ".p/" + std::to_string(path.width);
  return out;
}

Result<TilePath> ParseTilePath(std::string_view path) {
  const Status invalid = Invalid("path: none of a tile");
  constexpr std::string_view kPrefix = "tile/";
  if (!path.starts_with(kPrefix)) return invalid;
  std::string_view rest = path.substr(kPrefix.size());
  const std::size_t slash = rest.find('/');
  if (slash == std::string_view::npos) return invalid;
  TilePath out;
  out.entries = rest.substr(0, slash) == "entries";
  if (!out.entries && !ParseNumber(rest.substr(0, slash), out.level)) return invalid;
  if (out.level < 0 || out.level > kTileLevelMax) return invalid;
  rest.remove_prefix(slash + 1);
  if (const std::size_t partial = rest.find(".p/"); partial != std::string_view::npos) {
    if (!ParseNumber(rest.substr(partial + 3), out.width)) return invalid;
    if (out.width < 1 || out.width >= kTileWidth) return invalid;
    rest = rest.substr(0, partial);
  }
  if (!ParseIndex(rest, out.index)) return invalid;
  // One path per tile: what reads otherwise than it is written was another text.
  if (FormatTilePath(out) != path) return invalid;
  return out;
}

Result<std::uint64_t> TreeStore::Size(std::string_view tree) const {
  auto bytes = store_.Get(family_, TreeKey(tree));
  if (bytes.status().code() == Code::kNotFound) return std::uint64_t{0};
  RETURN_IF_ERROR(bytes.status());
  if (bytes->size() != 8) return Corrupt("tree: the stored size is damaged");
  return ReadU64(*bytes);
}

Result<std::string> TreeStore::Tile(std::string_view tree, int level, std::uint64_t index,
                                    std::uint64_t width) const {
  ASSIGN_OR_RETURN(std::string bytes, store_.Get(family_, TileKey(tree, level, index)));
  if (bytes.size() % kHashBytes != 0 || bytes.size() > kTileBytes) {
    return Corrupt("tree: a stored tile is damaged");
  }
  if (bytes.size() < width * kHashBytes) return NotFound("tree: the tile is not that wide yet");
  bytes.resize(width * kHashBytes);
  return bytes;
}

NodeSource NodesOfTiles(TileSource tiles) {
  return [tiles = std::move(tiles)](int level, std::uint64_t index) -> Result<Digest> {
    const NodePlace at(level, index);
    ASSIGN_OR_RETURN(const std::string tile, tiles(at.level, at.index, at.first + at.count));
    if (tile.size() < (at.first + at.count) * kHashBytes) return Tampered("tile: shorter than its tree");
    return SubtreeRoot(tile, at.first, at.count);
  };
}

NodeSource TreeStore::Nodes(std::string_view tree) const {
  return NodesOfTiles([this, name = std::string(tree)](int level, std::uint64_t index, std::uint64_t width) {
    return Tile(name, level, index, width);
  });
}

Result<TreeWriter::Tree*> TreeWriter::Load(const std::string& name) {
  const auto [found, fresh] = loaded_.try_emplace(name);
  Tree& tree = found->second;
  if (!fresh) return &tree;
  const auto load = [&]() -> Status {
    ASSIGN_OR_RETURN(tree.size, trees_.Size(name));
    for (int level = 0; TilesAt(level, tree.size) != 0; ++level) {
      const std::uint64_t width = TilesAt(level, tree.size) % kTileWidth;
      std::string tile;
      if (width != 0) {
        ASSIGN_OR_RETURN(tile, trees_.Tile(name, level, TilesAt(level + 1, tree.size), width));
      }
      tree.tiles.push_back(std::move(tile));
    }
    return {};
  };
  if (Status status = load(); !status.ok()) {
    loaded_.erase(found);
    return status.code() == Code::kNotFound ? Corrupt("tree: a tile that belongs to it is missing")
                                            : status;
  }
  return &tree;
}

Status TreeWriter::Append(StoreBatch& batch, const std::string& name, const Digest& leaf_hash) {
  ASSIGN_OR_RETURN(Tree * tree, Load(name));
  ++tree->size;
  Digest hash = leaf_hash;
  for (std::size_t level = 0;; ++level) {
    if (level == tree->tiles.size()) tree->tiles.emplace_back();
    tree->changed = std::max(tree->changed, level + 1);
    std::string& tile = tree->tiles[level];
    tile.append(View(hash));
    if (tile.size() < kTileBytes) return {};
    const int n = static_cast<int>(level);
    batch.Put(trees_.family_, TileKey(name, n, TilesAt(n + 1, tree->size) - 1), tile);
    hash = SubtreeRoot(tile, 0, kTileWidth);
    tile.clear();
  }
}

void TreeWriter::Save(StoreBatch& batch) {
  for (auto& [name, tree] : loaded_) {
    if (tree.changed == 0) continue;
    for (std::size_t level = 0; level < tree.changed; ++level) {
      if (tree.tiles[level].empty()) continue;
      const int n = static_cast<int>(level);
      batch.Put(trees_.family_, TileKey(name, n, TilesAt(n + 1, tree.size)), tree.tiles[level]);
    }
    std::string size;
    AppendU64(size, tree.size);
    batch.Put(trees_.family_, TreeKey(name), size);
    tree.changed = 0;
  }
}

Result<std::uint64_t> TreeWriter::Size(const std::string& name) {
  ASSIGN_OR_RETURN(const Tree* tree, Load(name));
  return tree->size;
}

// All nodes that the root is made of lie in the partial tiles.
Result<Digest> TreeWriter::Root(const std::string& name) {
  ASSIGN_OR_RETURN(const Tree* tree, Load(name));
  return RootOf(tree->size, [&](int level, std::uint64_t index) -> Result<Digest> {
    const NodePlace at(level, index);
    return SubtreeRoot(tree->tiles[static_cast<std::size_t>(at.level)], at.first, at.count);
  });
}

}  // namespace daicho
