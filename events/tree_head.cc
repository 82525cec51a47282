#include "events/tree_head.h"

#include <charconv>
#include <vector>

namespace daicho {
namespace {

constexpr std::string_view kDash = "\xe2\x80\x94 ";  // em dash and space: how a signature line begins

std::string Body(const TreeHead& head) {
  return head.origin + "\n" + std::to_string(head.size) + "\n" + ToBase64(View(head.root)) +
         "\nledger " + ToHex(head.ledger) + "\ntime " + std::to_string(head.time.value()) + "\n";
}

Result<std::string_view> TakeLine(std::string_view& text) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos) return Corrupt("tree head ends inside a line");
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

template <typename Number>
Result<Number> ToNumber(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return Corrupt("tree head holds no number where one belongs");
  }
  return value;
}

// What is damaged is corrupt here, though the decoders call it invalid.
Result<std::string> Decoded(Result<std::string> bytes) {
  return bytes.ok() ? std::move(bytes) : Corrupt("tree head: " + bytes.status().message());
}

struct Note {
  TreeHead head;
  std::string_view body;
  std::string_view signatures;
};

Result<Note> Parse(std::string_view note) {
  if (note.size() > kSignedHeadBytesMax) return Corrupt("tree head is too long");
  Note out;
  std::string_view rest = note;
  ASSIGN_OR_RETURN(const auto origin, TakeLine(rest));
  ASSIGN_OR_RETURN(const auto size, TakeLine(rest));
  ASSIGN_OR_RETURN(const auto root, TakeLine(rest));
  ASSIGN_OR_RETURN(auto ledger, TakeLine(rest));
  ASSIGN_OR_RETURN(auto time, TakeLine(rest));
  if (!ledger.starts_with("ledger ") || !time.starts_with("time ")) {
    return Corrupt("tree head lacks its ledger or its time");
  }
  ledger.remove_prefix(7);
  time.remove_prefix(5);
  out.head.origin = origin;
  ASSIGN_OR_RETURN(out.head.size, ToNumber<std::uint64_t>(size));
  ASSIGN_OR_RETURN(const std::string root_bytes, Decoded(FromBase64(root)));
  ASSIGN_OR_RETURN(out.head.root, ToArray<32>(root_bytes));
  ASSIGN_OR_RETURN(out.head.ledger, Decoded(FromHex(ledger)));
  ASSIGN_OR_RETURN(const std::int64_t micros, ToNumber<std::int64_t>(time));
  out.head.time = TimeMicros(micros);
  out.body = note.substr(0, note.size() - rest.size());
  // One text per head: leading zeros or capital hex digits would make a second one.
  if (out.head.ledger.size() != 16 || out.body != Body(out.head)) {
    return Corrupt("tree head is not in its canonical form");
  }
  if (!rest.starts_with("\n")) return Corrupt("tree head lacks the empty line before its signatures");
  out.signatures = rest.substr(1);
  if (out.signatures.empty()) return Corrupt("tree head is not signed");
  return out;
}

}  // namespace

std::string IssuerOrigin(int prefecture, std::string_view issuer) {
  return "daicho/" + std::to_string(prefecture) + "/issuer/" + std::string(issuer);
}

std::string LedgerOrigin(int prefecture) { return "daicho/" + std::to_string(prefecture) + "/ledger"; }

std::string NoteKeyId(std::string_view name, const Key256& public_key) {
  return std::string(View(Sha256Of({name, "\n\x01", View(public_key)})).substr(0, 4));
}

std::string SignTreeHead(const TreeHead& head, const SigningKey& key) {
  const std::string body = Body(head);
  return body + "\n" + std::string(kDash) + head.origin + " " +
         ToBase64(NoteKeyId(head.origin, key.public_key()) + key.Sign(body)) + "\n";
}

Result<TreeHead> ParseTreeHead(std::string_view note) {
  ASSIGN_OR_RETURN(Note parsed, Parse(note));
  return std::move(parsed.head);
}

Result<TreeHead> VerifyTreeHead(std::string_view note, const VerifyingKey& key) {
  ASSIGN_OR_RETURN(Note parsed, Parse(note));
  const std::string prefix = std::string(kDash) + parsed.head.origin + " ";
  const std::string key_id = NoteKeyId(parsed.head.origin, key.bytes());
  while (!parsed.signatures.empty()) {
    ASSIGN_OR_RETURN(const auto line, TakeLine(parsed.signatures));
    if (!line.starts_with(prefix)) continue;  // another signer's
    ASSIGN_OR_RETURN(const std::string bytes, Decoded(FromBase64(line.substr(prefix.size()))));
    if (!bytes.starts_with(key_id)) continue;
    RETURN_IF_ERROR(key.Verify(parsed.body, std::string_view(bytes).substr(4)));
    return std::move(parsed.head);
  }
  return Tampered("tree head carries no signature of the expected key");
}

}  // namespace daicho
