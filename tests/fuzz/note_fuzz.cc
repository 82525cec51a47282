// Any bytes as a note, a head, a key, a policy, a proof and a path: what comes from outside, or
// goes there. Each is refused with its code or taken, and what is taken has one text: written again
// it is what was read.
#include <cstddef>
#include <cstdint>
#include <string>

#include "events/tree_proof.h"
#include "events/witness_policy.h"
#include "ledger/tree_store.h"

namespace daicho {
namespace {

void ReadNote(std::string_view bytes) {
  const auto note = ParseNote(bytes);
  CHECK(note.ok() || note.status().code() == Code::kCorrupt);
  if (!note.ok()) {
    CHECK(!ParseTreeHead(bytes).ok());
    return;
  }
  std::string again = std::string(note->text) + "\n";
  for (const NoteSignature& line : note->signatures) {
    again += SignatureLine(line.name, line.key_id, line.bytes);
  }
  CHECK(again == bytes);
  const auto head = ParseTreeHead(bytes);
  const SigningKey key = SigningKey::FromSeed(Key256{1});
  if (head.ok())
    CHECK(ParseTreeHead(SignTreeHead(*head, key)).ok() || !IsNoteKeyName(head->origin));
}

void ReadKeyAndPath(std::string_view bytes) {
  const auto key = ParseNoteKey(bytes);
  CHECK(key.ok() || key.status().code() == Code::kInvalid ||
        key.status().code() == Code::kUnsupported);
  if (key.ok()) CHECK(FormatNoteKey(*key) == bytes);
  const auto path = ParseTilePath(bytes);
  CHECK(path.ok() || path.status().code() == Code::kInvalid);
  if (path.ok()) CHECK(FormatTilePath(*path) == bytes);
}

void ReadPolicy(std::string_view bytes) {
  const auto policy = WitnessPolicy::Parse(bytes);
  CHECK(policy.ok() || policy.status().code() == Code::kInvalid ||
        policy.status().code() == Code::kUnsupported);
  if (!policy.ok()) return;
  std::set<std::string> all;
  for (const WitnessPolicy::Witness& witness : policy->witnesses()) all.insert(witness.name);
  const WitnessPolicy::Verdict everyone = policy->Judge(all), nobody = policy->Judge({});
  CHECK(everyone.satisfied && everyone.missing.empty());
  CHECK(nobody.satisfied == (policy->quorum() == "none"));
}

void ReadProof(std::string_view bytes) {
  const auto proof = ParseTreeProof(bytes);
  CHECK(proof.ok() || proof.status().code() == Code::kCorrupt);
  if (proof.ok()) CHECK(FormatTreeProof(*proof) == bytes);
}

}  // namespace
}  // namespace daicho

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  daicho::ReadNote(bytes);
  daicho::ReadKeyAndPath(bytes);
  daicho::ReadPolicy(bytes);
  daicho::ReadProof(bytes);
  return 0;
}
