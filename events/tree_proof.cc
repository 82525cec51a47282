#include "events/tree_proof.h"

#include <charconv>

namespace daicho {
namespace {

constexpr std::string_view kFirstLine = "c2sp.org/tlog-proof@v1";
constexpr std::string_view kExtra = "extra ";
constexpr std::string_view kIndex = "index ";

Result<std::string_view> TakeLine(std::string_view& text) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos) return Corrupt("proof: ends inside a line");
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

Result<std::string> Decoded(std::string_view what, std::string_view base64) {
  auto bytes = FromBase64(base64);
  if (!bytes.ok()) return Corrupt("proof: " + std::string(what) + ": " + bytes.status().message());
  return bytes;
}

Result<Digest> ParseHash(std::string_view line) {
  ASSIGN_OR_RETURN(const std::string bytes, Decoded("hash", line));
  return ToArray<32>(bytes);
}

Result<std::uint64_t> ParseIndex(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || text != std::to_string(value)) {
    return Corrupt("proof: the index is no number in its canonical form");
  }
  return value;
}

}  // namespace

std::string FormatTreeProof(const TreeProof& proof) {
  std::string out = std::string(kFirstLine) + "\n";
  if (!proof.extra.empty()) out.append(kExtra).append(ToBase64(proof.extra)).append("\n");
  out.append(kIndex).append(std::to_string(proof.index)).append("\n");
  for (const Digest& hash : proof.hashes) out.append(ToBase64(View(hash))).append("\n");
  return out.append("\n").append(proof.checkpoint);
}

Result<TreeProof> ParseTreeProof(std::string_view text) {
  ASSIGN_OR_RETURN(std::string_view line, TakeLine(text));
  if (line != kFirstLine) return Corrupt("proof: not a tlog-proof of version 1");
  TreeProof out;
  ASSIGN_OR_RETURN(line, TakeLine(text));
  if (line.starts_with(kExtra)) {
    if (line.size() > kTreeProofExtraBytesMax / 3 * 4) return Corrupt("proof: extra is too long");
    ASSIGN_OR_RETURN(out.extra, Decoded("extra", line.substr(kExtra.size())));
    if (out.extra.empty()) return Corrupt("proof: extra is empty");
    ASSIGN_OR_RETURN(line, TakeLine(text));
  }
  if (!line.starts_with(kIndex)) return Corrupt("proof: lacks its index");
  ASSIGN_OR_RETURN(out.index, ParseIndex(line.substr(kIndex.size())));
  ASSIGN_OR_RETURN(line, TakeLine(text));
  while (!line.empty()) {
    if (out.hashes.size() == kProofHashesMax) return Corrupt("proof: too many hashes");
    ASSIGN_OR_RETURN(const Digest hash, ParseHash(line));
    out.hashes.push_back(hash);
    ASSIGN_OR_RETURN(line, TakeLine(text));
  }
  out.checkpoint = text;
  ASSIGN_OR_RETURN(const Note note, ParseNote(text));
  RETURN_IF_ERROR(ParseCheckpoint(note.text).status());
  return out;
}

Result<TreeHead> VerifyTreeProof(const Digest& leaf_hash, const TreeProof& proof,
                                 const VerifyingKey& key) {
  ASSIGN_OR_RETURN(TreeHead head, VerifyTreeHead(proof.checkpoint, key));
  RETURN_IF_ERROR(VerifyInclusion(leaf_hash, proof.index, head.size, proof.hashes, head.root));
  return head;
}

}  // namespace daicho
