#include "events/tree_head.h"

#include <charconv>

#include "events/bytes.h"

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

constexpr std::size_t kTimeBytes = 8, kLengthBytes = 4, kKeyIdBytes = 4;

// The time, and each line's key id ‖ signature. False: malformed.
template <typename Line>
bool ReadDetached(std::string_view detached, TimeMicros& time, Line line) {
  if (detached.size() <= kTimeBytes) return false;
  time = TimeMicros(static_cast<std::int64_t>(ReadU64(detached)));
  detached.remove_prefix(kTimeBytes);
  while (!detached.empty()) {
    if (detached.size() < kLengthBytes) return false;
    const std::size_t size = ReadU32(detached);
    detached.remove_prefix(kLengthBytes);
    if (size <= kKeyIdBytes || size > detached.size()) return false;
    line(detached.substr(0, kKeyIdBytes), detached.substr(kKeyIdBytes, size - kKeyIdBytes));
    detached.remove_prefix(size);
  }
  return true;
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

Result<std::string> DetachHead(std::string_view note) {
  Note parsed;
  ASSIGN_OR_RETURN(const TreeHead head, Parse(note, parsed));
  std::string out;
  AppendU64(out, static_cast<std::uint64_t>(head.time.value()));
  for (const NoteSignature& line : parsed.signatures) {
    AppendU32(out, static_cast<std::uint32_t>(line.key_id.size() + line.bytes.size()));
    (out += line.key_id) += line.bytes;
  }
  ASSIGN_OR_RETURN(const std::string again, AttachHead(head, out));
  if (again != note) return Corrupt("tree head has a signature under another name");
  return out;
}

bool IsDetachedHead(std::string_view detached) {
  TimeMicros time;
  return ReadDetached(detached, time, [](std::string_view, std::string_view) {});
}

Result<std::string> AttachHead(TreeHead head, std::string_view detached) {
  std::string lines;
  const bool read = ReadDetached(detached, head.time, [&](std::string_view key_id, std::string_view bytes) {
    lines += SignatureLine(head.origin, key_id, bytes);
  });
  if (!read) return Corrupt("a signed tree head is malformed");
  return Body(head) + "\n" + lines;
}

}  // namespace daicho
