#include "events/note.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>

#include "events/characters.h"

namespace daicho {
namespace {

constexpr std::string_view kDash =
    "\xe2\x80\x94 ";  // em dash and space: how a signature line begins
constexpr std::size_t kKeyIdBytes = 4;
constexpr std::int64_t kMicros = 1'000'000;

// Those of Unicode's White_Space beyond the controls and U+0020.
constexpr std::string_view kSpaces[] = {
    "\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x81",
    "\xe2\x80\x82", "\xe2\x80\x83", "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86",
    "\xe2\x80\x87", "\xe2\x80\x88", "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8",
    "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"};

bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20; }

// A control character that is no newline; looks at eight at once, as notes are mostly without.
bool HoldsControl(std::string_view text) {
  const auto found = [](char c) { return IsControl(c) && c != '\n'; };
  for (std::uint64_t eight = 0; text.size() >= sizeof eight; text.remove_prefix(sizeof eight)) {
    std::memcpy(&eight, text.data(), sizeof eight);
    // A byte below 0x20 has none of the upper three bits.
    const std::uint64_t upper = (eight | eight >> 1 | eight >> 2) & 0x2020202020202020u;
    if (upper != 0x2020202020202020u && std::ranges::any_of(text.substr(0, sizeof eight), found)) return true;
  }
  return std::ranges::any_of(text, found);
}

// What is damaged is corrupt in a note, though the decoders call it invalid.
Status Damaged(std::string_view what, const Status& status) {
  return Corrupt("note: " + std::string(what) + ": " + status.message());
}

// The line without its newline. Requires: `text` has one.
std::string_view TakeLine(std::string_view& text) {
  const std::size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

Result<NoteSignature> ParseSignatureLine(std::string_view line) {
  if (!line.starts_with(kDash)) return Corrupt("note: a signature line does not begin with a dash");
  line.remove_prefix(kDash.size());
  const std::size_t space = line.find(' ');
  NoteSignature out;
  out.name = line.substr(0, space);
  if (space == std::string_view::npos || !IsNoteKeyName(out.name)) {
    return Corrupt("note: a signature line lacks its key's name");
  }
  auto bytes = FromBase64(line.substr(space + 1));
  if (!bytes.ok()) return Damaged("signature", bytes.status());
  if (bytes->size() <= kKeyIdBytes) return Corrupt("note: a signature is too short");
  out.key_id = bytes->substr(0, kKeyIdBytes);
  out.bytes = bytes->substr(kKeyIdBytes);
  return out;
}

Result<const NoteSignature*> FindLineOf(const Note& note, const NoteKey& key) {
  const NoteSignature* line = note.Find(key.name, key.id());
  if (line == nullptr) return NotFound("the note carries no signature of " + key.name);
  return line;
}

std::string CosignedMessage(std::uint64_t seconds, std::string_view text) {
  return "cosignature/v1\ntime " + std::to_string(seconds) + "\n" + std::string(text);
}

}  // namespace

std::string NoteKeyId(std::string_view name, const Key256& public_key, NoteAlgorithm algorithm) {
  const char type[] = {'\n', static_cast<char>(algorithm)};
  return std::string(
      View(Sha256Of({name, std::string_view(type, 2), View(public_key)})).substr(0, kKeyIdBytes));
}

bool IsNoteKeyName(std::string_view name) {
  const auto excluded = [](char c) { return IsControl(c) || c == ' ' || c == '+' || c == 0x7f; };
  if (name.empty() || std::ranges::any_of(name, excluded)) return false;
  if (std::ranges::all_of(name, [](char c) { return static_cast<unsigned char>(c) < 0x80; }))
    return true;
  return IsValidUtf8(name) && std::ranges::none_of(kSpaces, [&](std::string_view space) {
           return name.find(space) != std::string_view::npos;
         });
}

Result<NoteKey> ParseNoteKey(std::string_view text) {
  const std::size_t name_end = text.find('+');
  const std::size_t id_end =
      name_end == std::string_view::npos ? name_end : text.find('+', name_end + 1);
  if (id_end == std::string_view::npos) return Invalid("key: not name+key id+base64");
  NoteKey out;
  out.name = text.substr(0, name_end);
  if (!IsNoteKeyName(out.name)) return Invalid("key: not a key's name");
  auto bytes = FromBase64(text.substr(id_end + 1));
  if (!bytes.ok()) return bytes.status().With("key");
  if (bytes->empty()) return Invalid("key: empty");
  out.algorithm = static_cast<NoteAlgorithm>((*bytes)[0]);
  if (out.algorithm != NoteAlgorithm::kEd25519 && out.algorithm != NoteAlgorithm::kCosignatureV1) {
    return Unsupported("key: algorithm " + ToHex(bytes->substr(0, 1)) + " is not known");
  }
  auto public_key = ToArray<32>(std::string_view(*bytes).substr(1));
  if (!public_key.ok()) return Invalid("key: " + public_key.status().message());
  ASSIGN_OR_RETURN(out.key, VerifyingKey::From(*public_key));
  if (text.substr(name_end + 1, id_end - name_end - 1) != ToHex(out.id())) {
    return Invalid("key: the key id does not agree with name and key");
  }
  return out;
}

std::string FormatNoteKey(const NoteKey& key) {
  return key.name + "+" + ToHex(key.id()) + "+" +
         ToBase64(std::string(1, static_cast<char>(key.algorithm)).append(View(key.key.bytes())));
}

const NoteSignature* Note::Find(std::string_view name, std::string_view key_id) const {
  const auto found = std::ranges::find_if(signatures, [&](const NoteSignature& line) {
    return line.name == name && line.key_id == key_id;
  });
  return found == signatures.end() ? nullptr : &*found;
}

Result<Note> ParseNote(std::string_view note) {
  if (note.size() > kNoteBytesMax) return Corrupt("note: too long");
  if (!IsValidUtf8(note)) return Corrupt("note: not UTF-8");
  if (HoldsControl(note)) {
    return Corrupt("note: holds a control character");
  }
  const std::size_t blank = note.rfind("\n\n");
  if (blank == std::string_view::npos)
    return Corrupt("note: lacks the empty line before its signatures");
  Note out;
  out.text = note.substr(0, blank + 1);
  std::string_view rest = note.substr(blank + 2);
  if (rest.empty()) return Corrupt("note: not signed");
  if (rest.back() != '\n') return Corrupt("note: ends inside a line");
  while (!rest.empty()) {
    if (out.signatures.size() == kNoteSignaturesMax) return Corrupt("note: too many signatures");
    ASSIGN_OR_RETURN(NoteSignature line, ParseSignatureLine(TakeLine(rest)));
    out.signatures.push_back(std::move(line));
  }
  return out;
}

std::string SignatureLine(std::string_view name, std::string_view key_id, std::string_view bytes) {
  return std::string(kDash).append(name) + " " + ToBase64(std::string(key_id).append(bytes)) + "\n";
}

std::string SignNote(std::string_view text, std::string_view name, const SigningKey& key) {
  CHECK(text.ends_with('\n'));
  return std::string(text) + "\n" +
         SignatureLine(name, NoteKeyId(name, key.public_key()), key.Sign(text));
}

Result<std::string> TrySignNote(std::string_view text, std::string_view name,
                                const SigningKey& key) {
  CHECK(text.ends_with('\n'));
  ASSIGN_OR_RETURN(const std::string signature, key.TrySign(text));
  return std::string(text) + "\n" +
         SignatureLine(name, NoteKeyId(name, key.public_key()), signature);
}

Status VerifyNote(const Note& note, const NoteKey& key) {
  if (key.algorithm != NoteAlgorithm::kEd25519) return Unsupported("the key is for cosignatures");
  ASSIGN_OR_RETURN(const NoteSignature* line, FindLineOf(note, key));
  return key.key.Verify(note.text, line->bytes);
}

Result<Checkpoint> ParseCheckpoint(std::string_view text) {
  if (std::ranges::count(text, '\n') < 3 || text.back() != '\n') {
    return Corrupt("checkpoint: fewer than three lines");
  }
  Checkpoint out;
  out.origin = TakeLine(text);
  if (out.origin.empty()) return Corrupt("checkpoint: no origin");
  const std::string_view size = TakeLine(text);
  const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), out.size);
  // One text per checkpoint: leading zeros would make a second one.
  if (error != std::errc() || size != std::to_string(out.size)) {
    return Corrupt("checkpoint: the size is no number in its canonical form");
  }
  auto root = FromBase64(TakeLine(text));
  if (!root.ok()) return Damaged("root", root.status());
  ASSIGN_OR_RETURN(out.root, ToArray<32>(*root));
  while (!text.empty()) {
    out.extensions.push_back(TakeLine(text));
    if (out.extensions.back().empty()) return Corrupt("checkpoint: an empty line");
  }
  return out;
}

Result<std::string> Cosign(std::string_view note, std::string_view name, const SigningKey& key,
                           TimeMicros time) {
  CHECK(time.value() >= 0);
  ASSIGN_OR_RETURN(const Note parsed, ParseNote(note));
  RETURN_IF_ERROR(ParseCheckpoint(parsed.text).status());
  const auto seconds = static_cast<std::uint64_t>(time.value() / kMicros);
  ASSIGN_OR_RETURN(const std::string signature, key.TrySign(CosignedMessage(seconds, parsed.text)));
  std::string bytes;
  AppendU64(bytes, seconds);
  bytes += signature;
  return SignatureLine(name, NoteKeyId(name, key.public_key(), NoteAlgorithm::kCosignatureV1),
                       bytes);
}

Result<TimeMicros> VerifyCosignature(const Note& note, const NoteKey& key) {
  if (key.algorithm != NoteAlgorithm::kCosignatureV1)
    return Unsupported("the key is none for cosignatures");
  ASSIGN_OR_RETURN(const NoteSignature* line, FindLineOf(note, key));
  if (line->bytes.size() != 8 + 64) return Tampered("a cosignature has the wrong length");
  const std::uint64_t seconds = ReadU64(line->bytes);
  RETURN_IF_ERROR(
      key.key.Verify(CosignedMessage(seconds, note.text), std::string_view(line->bytes).substr(8)));
  if (seconds > std::numeric_limits<std::int64_t>::max() / kMicros) {
    return Tampered("a cosignature's time lies beyond all clocks");
  }
  return TimeMicros(static_cast<std::int64_t>(seconds) * kMicros);
}

}  // namespace daicho
