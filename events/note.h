// C2SP signed notes (c2sp.org/signed-note), checkpoints (tlog-checkpoint) and cosignatures of
// witnesses (tlog-cosignature). The one parser of notes: tree heads, proofs and witnesses stand on
// it.
//
//   text            one or more lines; ends with a newline
//                   (empty line)
//   — name base64   one or more signature lines: key id(4) ‖ signature, as the key's algorithm lays
//   it out
//
// A key id is the first four bytes of SHA-256(name ‖ "\n" ‖ algorithm(1) ‖ public key). Lines of
// keys one does not know are passed over, also under a name one knows: so a note can carry
// signatures of newer algorithms. A key of an algorithm that this version does not know is refused
// where it is read.
#pragma once

#include <vector>

#include "events/crypto.h"
#include "events/ids.h"

namespace daicho {

inline constexpr std::size_t kNoteBytesMax = 512u << 10;
inline constexpr std::size_t kNoteSignaturesMax = 64;

// Signature types of C2SP signed-note. In signed text: never renumber.
enum class NoteAlgorithm : std::uint8_t {
  kEd25519 = 0x01,
  kCosignatureV1 = 0x04,  // Ed25519 of a witness, with a time
};

std::string NoteKeyId(std::string_view name, const Key256& public_key,
                      NoteAlgorithm algorithm = NoteAlgorithm::kEd25519);
// Not empty, no spaces of any kind, no control characters, no "+", UTF-8.
bool IsNoteKeyName(std::string_view name);

// "name+hex key id+base64(algorithm ‖ public key)" (vkey).
struct NoteKey {
  std::string name;
  NoteAlgorithm algorithm = NoteAlgorithm::kEd25519;
  VerifyingKey key;

  std::string id() const { return NoteKeyId(name, key.bytes(), algorithm); }
};
// Errors: kInvalid, with the rule; kUnsupported for another algorithm.
Result<NoteKey> ParseNoteKey(std::string_view text);
std::string FormatNoteKey(const NoteKey& key);

struct NoteSignature {
  std::string_view name;
  std::string key_id;  // 4 bytes
  std::string bytes;   // what follows it
};

// Refers into the note it was read from.
struct Note {
  std::string_view text;  // with its last newline
  std::vector<NoteSignature> signatures;

  // The first line of that key. Null when there is none.
  const NoteSignature* Find(std::string_view name, std::string_view key_id) const;
};

// Reads without verifying. Errors: kCorrupt.
Result<Note> ParseNote(std::string_view note);
// "— name base64\n".
std::string SignatureLine(std::string_view name, std::string_view key_id, std::string_view bytes);
// A note of `text` with one Ed25519 signature. Requires: IsNoteKeyName(name); text that ends with a
// newline.
std::string SignNote(std::string_view text, std::string_view name, const SigningKey& key);
// The same. Errors: those of the key's TrySign.
Result<std::string> TrySignNote(std::string_view text, std::string_view name,
                                const SigningKey& key);
// Errors: kNotFound when no line is of that key, kTampered when it does not verify, kUnsupported
// when the key is for cosignatures.
Status VerifyNote(const Note& note, const NoteKey& key);

// The text of a C2SP checkpoint. Refers into it.
struct Checkpoint {
  std::string_view origin;
  std::uint64_t size = 0;
  Digest root{};
  std::vector<std::string_view> extensions;  // lines
};
// Errors: kCorrupt when it is not in its one canonical form.
Result<Checkpoint> ParseCheckpoint(std::string_view text);

// A signature line, cosignature/v1: key id ‖ unix seconds(8, big-endian) ‖ Ed25519(64) over
// "cosignature/v1\ntime <unix seconds>\n" ‖ the checkpoint's text. `time` is cut to whole seconds.
// Requires: IsNoteKeyName(name). Errors: kCorrupt when `note` is no checkpoint; those of the key's
// TrySign.
Result<std::string> Cosign(std::string_view note, std::string_view name, const SigningKey& key,
                           TimeMicros time);
// When it was cosigned, in whole seconds. Errors: as VerifyNote; kUnsupported when the key is none
// for cosignatures.
Result<TimeMicros> VerifyCosignature(const Note& note, const NoteKey& key);

}  // namespace daicho
