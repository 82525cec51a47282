// Tree heads: what an issuer signs over all of its events, and the ledger over all of its entries. Both
// are C2SP checkpoints (tlog-checkpoint) in C2SP signed notes, so that any tool for these reads them:
//
//   daicho/10/issuer/102016                        origin
//   812                                            size
//   2hVG…=                                         root, base64
//   ledger 6f2c…                                   extension: the ledger it speaks to, hex
//   time 1795000000000000                          extension: microseconds since 1970 UTC
//                                                  (empty line)
//   — daicho/10/issuer/102016 Zm9v…                key id(4) ‖ Ed25519 signature(64), base64
#pragma once

#include "events/note.h"

namespace daicho {

// Longest signed head accepted, with room for a post-quantum second signature.
inline constexpr std::size_t kSignedHeadBytesMax = 16384;

struct TreeHead {
  std::string origin;
  std::uint64_t size = 0;
  Digest root{};
  std::string ledger;  // 16 bytes
  TimeMicros time;
  friend bool operator==(const TreeHead&, const TreeHead&) = default;
};

// "daicho/10/issuer/102016", "daicho/10/ledger".
std::string IssuerOrigin(int prefecture, std::string_view issuer);
std::string LedgerOrigin(int prefecture);

// Requires: head.origin is a key's name.
std::string SignTreeHead(const TreeHead& head, const SigningKey& key);
// The same. Errors: those of the key's TrySign.
Result<std::string> TrySignTreeHead(const TreeHead& head, const SigningKey& key);

// Reads without verifying. Errors: kCorrupt when it is no note of a head in its one canonical form.
Result<TreeHead> ParseTreeHead(std::string_view note);
// Errors: kTampered when no line is signed by `key` under the head's origin.
Result<TreeHead> VerifyTreeHead(std::string_view note, const VerifyingKey& key);

// What the events that a signed head covers do not say of it, which is all that an entry keeps:
// time(8) ‖ for each signature line length(4) ‖ key id(4) ‖ signature. Integers are big-endian.
// Errors: kCorrupt for what is no head, or has a line under another name than its origin.
Result<std::string> DetachHead(std::string_view note);
// Whether it can be attached.
bool IsDetachedHead(std::string_view detached);
// The note again, to the byte, with origin, size, root and ledger of `head`. Errors: kCorrupt.
Result<std::string> AttachHead(TreeHead head, std::string_view detached);

}  // namespace daicho
