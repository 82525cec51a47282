#include "consumers/tlog_client.h"

#include <algorithm>

#include "consumers/http.h"
#include "ledger/tree_store.h"

namespace daicho {
namespace {

constexpr std::size_t kTilesMax = 64;
constexpr std::size_t kTileBytesMax = 8'192;
constexpr std::size_t kBundleBytesMax = kTileWidth * (2 + 65'535);

// The leaf at `index` of a bundle: length(2, big-endian) ‖ leaf, each.
Result<std::string> LeafOf(std::string_view bundle, std::uint64_t index) {
  for (;; --index) {
    if (bundle.size() < 2) return Tampered("bundle: ends before the entry");
    const std::size_t size = static_cast<std::size_t>(static_cast<std::uint8_t>(bundle[0])) << 8 |
                             static_cast<std::uint8_t>(bundle[1]);
    if (bundle.size() - 2 < size) return Tampered("bundle: ends within an entry");
    if (index == 0) return std::string(bundle.substr(2, size));
    bundle.remove_prefix(2 + size);
  }
}

}  // namespace

Result<TreeHead> TlogClient::Verify(const std::string& note) const {
  ASSIGN_OR_RETURN(const VerifyingKey key, VerifyingKey::From(ledger_.sequencer));
  auto head = VerifyTreeHead(note, key);
  if (!head.ok()) return Tampered("checkpoint: " + head.status().message());
  if (head->origin != LedgerOrigin(ledger_.prefecture) || head->ledger != View(ledger_.ledger)) {
    return Tampered("checkpoint: another ledger's");
  }
  return head;
}

Status TlogClient::Remember(const std::string& note) {
  ASSIGN_OR_RETURN(TreeHead head, ParseTreeHead(note));
  if (head.ledger != View(ledger_.ledger)) return Tampered("checkpoint: another ledger's");
  head_ = std::move(head);
  note_ = note;
  return {};
}

Status TlogClient::Refresh() {
  ASSIGN_OR_RETURN(std::string note, Get("checkpoint", kNoteBytesMax));
  if (note == note_) return {};
  ASSIGN_OR_RETURN(TreeHead head, Verify(note));
  // A server behind a cache may show an older one.
  const auto& [older, newer] = std::minmax(head_, head, [](const auto& a, const auto& b) { return a.size < b.size; });
  ASSIGN_OR_RETURN(const Proof proof, ConsistencyProof(older.size, newer.size, Nodes(newer.size)));
  if (older.size > 0) {
    RETURN_IF_ERROR(VerifyConsistency(older.size, older.root, newer.size, newer.root, proof).With("checkpoint"));
  }
  if (head.size < head_.size) return {};
  note_ = std::move(note);
  head_ = std::move(head);
  return {};
}

Result<std::string> TlogClient::Leaf(Position position) {
  const std::uint64_t index = position.value();
  if (index >= head_.size) return NotFound("the checkpoint does not cover position " + std::to_string(index));
  ASSIGN_OR_RETURN(const std::string bundle, Tile(true, 0, index / kTileWidth, head_.size));
  ASSIGN_OR_RETURN(std::string leaf, LeafOf(bundle, index % kTileWidth));
  ASSIGN_OR_RETURN(const Proof proof, InclusionProof(index, head_.size, Nodes(head_.size)));
  RETURN_IF_ERROR(VerifyInclusion(LeafHash(leaf), index, head_.size, proof, head_.root));
  return leaf;
}

Result<std::string> TlogClient::Get(const std::string& path, std::size_t bytes_max) {
  HttpCallOptions call;
  call.url = url_ + "/" + path;
  call.ca_file = ca_file_;
  call.response_bytes_max = bytes_max;
  ASSIGN_OR_RETURN(HttpResponse response, HttpCall(call));
  if (response.status != 200) return Unavailable(call.url + ": status " + std::to_string(response.status));
  return std::move(response.body);
}

Result<std::string> TlogClient::Tile(bool entries, int level, std::uint64_t index, std::uint64_t size) {
  const int shift = 8 * level;
  const std::uint64_t nodes = shift < 64 ? size >> shift : 0;
  CHECK(index * kTileWidth < nodes);
  const TilePath place{entries, level, index, std::min(kTileWidth, nodes - index * kTileWidth)};
  const std::string path = FormatTilePath(place);
  if (const auto kept = tiles_.find(path); kept != tiles_.end()) return kept->second;
  ASSIGN_OR_RETURN(std::string tile, Get(path, entries ? kBundleBytesMax : kTileBytesMax));
  if (tiles_.size() == kTilesMax) tiles_.clear();
  return tiles_[path] = std::move(tile);
}

NodeSource TlogClient::Nodes(std::uint64_t size) {
  return NodesOfTiles([this, size](int level, std::uint64_t index, std::uint64_t) {
    return Tile(false, level, index, size);
  });
}

}  // namespace daicho
