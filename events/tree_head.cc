#include "events/tree_head.h"

#include <charconv>

namespace daicho {
namespace {

std::string Body(const TreeHead& head) {
  return head.origin + "\n" + std::to_string(head.size) + "\n" + ToBase64(View(head.root)) +
         "\nledger " + ToHex(head.ledger) + "\ntime " + std::to_string(head.time.value()) + "\n";
}

Result<TreeHead> ParseBody(std::string_view text) {
  ASSIGN_OR_RETURN(const Checkpoint checkpoint, ParseCheckpoint(text));
  if (checkpoint.extensions.size() != 2 || !checkpoint.extensions[0].starts_with("ledger ") ||
      !checkpoint.extensions[1].starts_with("time ")) {
    return Corrupt("tree head lacks its ledger or its time");
  }
  TreeHead out;
  out.origin = checkpoint.origin;
  out.size = checkpoint.size;
  out.root = checkpoint.root;
  const std::string_view hex = checkpoint.extensions[0].substr(7), time = checkpoint.extensions[1].substr(5);
  auto ledger = FromHex(hex);
  if (!ledger.ok()) return Corrupt("tree head: " + ledger.status().message());
  out.ledger = std::move(*ledger);
  std::int64_t micros = 0;
  std::from_chars(time.data(), time.data() + time.size(), micros);
  out.time = TimeMicros(micros);
  // One text per head: leading zeros or capital hex digits would make a second one.
  if (out.ledger.size() != 16 || hex != ToHex(out.ledger) || time != std::to_string(micros)) {
    return Corrupt("tree head is not in its canonical form");
  }
  return out;
}

Result<TreeHead> Parse(std::string_view note, Note& parsed) {
  if (note.size() > kSignedHeadBytesMax) return Corrupt("tree head is too long");
  ASSIGN_OR_RETURN(parsed, ParseNote(note));
  return ParseBody(parsed.text);
}

}  // namespace

std::string IssuerOrigin(int prefecture, std::string_view issuer) {
  return "daicho/" + std::to_string(prefecture) + "/issuer/" + std::string(issuer);
}

std::string LedgerOrigin(int prefecture) {
  return "daicho/" + std::to_string(prefecture) + "/ledger";
}

std::string SignTreeHead(const TreeHead& head, const SigningKey& key) {
  return SignNote(Body(head), head.origin, key);
}

Result<std::string> TrySignTreeHead(const TreeHead& head, const SigningKey& key) {
  return TrySignNote(Body(head), head.origin, key);
}

Result<TreeHead> ParseTreeHead(std::string_view note) {
  Note parsed;
  return Parse(note, parsed);
}

Result<TreeHead> VerifyTreeHead(std::string_view note, const VerifyingKey& key) {
  Note parsed;
  ASSIGN_OR_RETURN(TreeHead head, Parse(note, parsed));
  const Status verified = VerifyNote(parsed, {head.origin, NoteAlgorithm::kEd25519, key});
  if (verified.code() == Code::kNotFound) {
    return Tampered("tree head carries no signature of the expected key");
  }
  RETURN_IF_ERROR(verified);
  return head;
}

}  // namespace daicho
