// Any bytes as a record of the ledger: behind a sound opening, as they come, and again with the
// ledger and the position that a fuzzer would hardly find. Replay refuses them with one of its
// codes or takes them; what it takes survives being written and read again. The hand-written reader of
// headers and leaves takes only what Protobuf reads and writes as the same.
#include <cstddef>
#include <cstdint>
#include <string>

#include "events/canonical.h"
#include "ledger/replay.h"

namespace daicho {
namespace {

constexpr LedgerId kLedger = {1, 2, 3};

const SigningKey& Registrar() {
  static const SigningKey key = SigningKey::FromSeed(Key256{7});
  return key;
}

// Entry 0 of a ledger.
std::string Opening() {
  v1::LedgerOpened opened;
  opened.set_prefecture(10);
  opened.set_ledger(std::string(View(kLedger)));
  opened.set_registrar_public_key(std::string(View(Registrar().public_key())));
  opened.set_sequencer_public_key(std::string(View(Registrar().public_key())));
  opened.set_intake_public_key(std::string(32, 'i'));
  *opened.mutable_algorithms() = OwnAlgorithms();
  DraftEvent event{v1::EVENT_KIND_LEDGER_OPENED, v1::RETENTION_CLASS_ADMINISTRATION,
                   opened.SerializeAsString(), "", true};
  const std::string issuer = RoleIssuer(10, "registrar");
  const v1::Draft draft = MakeDraft(event, issuer, Sequence(1));
  MerkleEdge tree;
  tree.Append(LeafHash(draft.header()));
  const TreeHead head{IssuerOrigin(10, issuer), 1, tree.Root(), std::string(View(kLedger)),
                      TimeMicros(1)};
  v1::EntryLeaf leaf;
  leaf.set_version(kLeafVersion);
  leaf.set_ledger(std::string(View(kLedger)));
  leaf.set_header(draft.header());
  leaf.set_head(DetachHead(SignTreeHead(head, Registrar())).value());
  v1::Entry entry;
  entry.set_leaf(leaf.SerializeAsString());
  entry.add_parts(draft.parts(0).salt() + draft.parts(0).payload());
  return entry.SerializeAsString();
}

// What the hand-written reader takes, Protobuf reads as the same message and writes as the same bytes.
template <typename Message>
void ReadTwice(const std::string& bytes) {
  static Message fast;  // its storage is reused
  Message slow;
  if (!ReadCanonical(bytes, fast)) return;
  CHECK(slow.ParseFromString(bytes));
  CHECK(slow.SerializeAsString() == bytes);
  CHECK(fast.SerializeAsString() == bytes);
}

void Follow(const std::string& record) {
  static const std::string opening = Opening();
  LedgerReplay replay(kLedger, Registrar().public_key());
  CHECK(replay.Next(opening).ok());
  CHECK(replay.VerifyHeads().ok());
  const auto entry = replay.Next(record);
  if (!entry.ok()) {
    const Code code = entry.status().code();
    CHECK(code == Code::kTampered || code == Code::kCorrupt || code == Code::kUnsupported);
    return;
  }
  CHECK(replay.next_position() == Position(2));
  // Protobuf's own decoder reads the same entry.
  v1::Entry again;
  CHECK(again.ParseFromString(record));
  CHECK(again.leaf() == entry->entry.leaf);
  CHECK(static_cast<std::size_t>(again.parts_size()) == entry->entry.parts.size());
  CHECK(ParseLeaf(again.leaf()).ok());
  CHECK(ParseHeader(entry->leaf.header()).ok());
  static_cast<void>(replay.VerifyHeads().ok());
}

}  // namespace
}  // namespace daicho

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string record(reinterpret_cast<const char*>(data), size);
  daicho::ReadTwice<daicho::v1::EntryLeaf>(record);
  daicho::ReadTwice<daicho::v1::EventHeader>(record);
  daicho::Follow(record);
  daicho::v1::Entry entry;
  daicho::v1::EntryLeaf leaf;
  if (!entry.ParseFromString(record) || !leaf.ParseFromString(entry.leaf())) return 0;
  daicho::ReadTwice<daicho::v1::EntryLeaf>(entry.leaf());
  daicho::ReadTwice<daicho::v1::EventHeader>(leaf.header());
  leaf.set_version(daicho::kLeafVersion);
  leaf.set_ledger(std::string(daicho::View(daicho::kLedger)));
  leaf.set_position(1);
  entry.set_leaf(leaf.SerializeAsString());
  daicho::Follow(entry.SerializeAsString());
  return 0;
}
