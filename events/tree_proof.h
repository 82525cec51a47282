// Evidence that one entry lies in a tree, for whoever has the log's key and nothing else: the text
// of C2SP tlog-proof. It serves the ledger and, under an issuer's head, its events.
//
//   c2sp.org/tlog-proof@v1
//   extra base64           optional; whoever reads it must not trust it
//   index 73894
//   gSKyXoYZ…=             the inclusion proof, one hash a line, from the leaf up; perhaps none
//                          (empty line)
//   daicho/10/ledger       a signed checkpoint, to the end
//   …
#pragma once

#include "events/merkle.h"
#include "events/tree_head.h"

namespace daicho {

inline constexpr std::size_t kTreeProofExtraBytesMax = 4u << 20;

struct TreeProof {
  std::string extra;
  std::uint64_t index = 0;
  Proof hashes;
  std::string checkpoint;  // a note
  friend bool operator==(const TreeProof&, const TreeProof&) = default;
};

std::string FormatTreeProof(const TreeProof& proof);
// Errors: kCorrupt when it is not in its one canonical form.
Result<TreeProof> ParseTreeProof(std::string_view text);
// The head under which the leaf was proven. Its origin, ledger and cosigners are the caller's to
// judge. Errors: kTampered, kCorrupt.
Result<TreeHead> VerifyTreeProof(const Digest& leaf_hash, const TreeProof& proof,
                                 const VerifyingKey& key);

}  // namespace daicho
