// Any bytes as a file of evidence, and as the extra of a sound proof file. Whatever comes in: no crash, and nothing
// is believed under a key that signed none of it. What parses as a proof is written and read again to the same.
#include <cstddef>
#include <cstdint>
#include <string>

#include "consumers/evidence.h"
#include "events/tree_proof.h"

namespace daicho {
namespace {

const SigningKey& LedgerKey() {
  static const SigningKey key = SigningKey::FromSeed(Key256{9});
  return key;
}

void Check(const std::string& text) {
  const NoteKey key{LedgerOrigin(10), NoteAlgorithm::kEd25519,
                    VerifyingKey::From(LedgerKey().public_key()).value()};
  CHECK(!CheckEvidence(text, key, WitnessPolicy()).ok());
  const auto proof = ParseTreeProof(text);
  if (proof.ok()) CHECK(ParseTreeProof(FormatTreeProof(*proof)).value() == *proof);
}

}  // namespace
}  // namespace daicho

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  daicho::Check(bytes);
  // Under a checkpoint that the key did sign, of a root that no fuzzer leads to.
  daicho::TreeProof proof;
  proof.extra = bytes;
  proof.checkpoint = daicho::SignTreeHead(
      {daicho::LedgerOrigin(10), 8, daicho::Digest{1}, std::string(16, 'l'), daicho::TimeMicros(1)}, daicho::LedgerKey());
  if (!bytes.empty()) daicho::Check(daicho::FormatTreeProof(proof));
  return 0;
}
