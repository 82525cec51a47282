#include "events/event.h"

#include <algorithm>

#include "events/canonical.h"
#include "events/merkle.h"

namespace daicho {
namespace {

constexpr std::string_view kCommitmentTag = "daicho/commitment/1\n";
constexpr std::string_view kReceiptTag = "daicho/receipts/1\n";
// EntryLeaf.part_digests on the wire: field 9, 32 bytes.
constexpr std::string_view kDigestPrefix("\x4a\x20", 2);
constexpr std::size_t kDigestBytes = kDigestPrefix.size() + sizeof(Digest);

template <typename Message>
Status ParseExact(std::string_view bytes, Message& out, const char* what) {
  if (!out.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Corrupt(std::string(what) + " cannot be decoded");
  }
  if (!out.GetReflection()->GetUnknownFields(out).empty()) {
    return Unsupported(std::string(what) + " holds a field this version does not know");
  }
  return {};
}

// What a receipt's signature is over.
std::string ReceiptStatement(std::uint64_t size, const Digest& root) {
  std::string out(kReceiptTag);
  AppendU64(out, size);
  return out.append(View(root));
}

// `plain`: salt ‖ payload.
Status CheckCommitment(std::string_view plain, std::string_view commitment) {
  constexpr std::size_t kSalt = sizeof(Salt);
  if (plain.size() < kSalt) return Tampered("part is shorter than its salt");
  if (View(Commit(plain.substr(0, kSalt), plain.substr(kSalt))) != commitment) {
    return Tampered("payload does not match its commitment");
  }
  return {};
}

}  // namespace

Digest Commit(std::string_view salt, std::string_view payload) {
  return Sha256Of({kCommitmentTag, salt, payload});
}

v1::Draft MakeDraft(const DraftEvent& event, const std::string& issuer, Sequence sequence) {
  v1::EventHeader header;
  header.set_kind(event.kind);
  header.set_issuer(issuer);
  header.set_sequence(sequence.value());
  header.set_retention(event.retention);
  header.set_schema_version(1);
  v1::Draft draft;
  const auto add = [&](const std::string& payload, const std::string& subject, bool clear, const Salt& salt) {
    header.add_commitments(std::string(View(Commit(View(salt), payload))));
    v1::DraftPart* part = draft.add_parts();
    part->set_salt(std::string(View(salt)));
    part->set_payload(payload);
    part->set_subject(subject);
    part->set_clear(clear);
  };
  add(event.payload, event.subject, event.clear, event.salt ? *event.salt : RandomArray<16>());
  for (const DraftEvent::Part& part : event.further) add(part.payload, part.subject, false, RandomArray<16>());
  header.SerializeToString(draft.mutable_header());
  return draft;
}

std::string IntakeInfo(const LedgerId& ledger) {
  return "daicho/intake/1\n" + std::string(View(ledger));
}

Result<std::string> SealSubmission(const v1::SubmissionBody& body, const std::string& head,
                                   const Key256& intake_public_key, const LedgerId& ledger) {
  v1::Submission submission;
  submission.set_version(kSubmissionVersion);
  submission.set_head(head);
  ASSIGN_OR_RETURN(*submission.mutable_sealed_body(),
                   HpkeSeal(intake_public_key, IntakeInfo(ledger), head, body.SerializeAsString()));
  return submission.SerializeAsString();
}

Status ParseHeaderInto(std::string_view bytes, v1::EventHeader& header) {
  if (!ReadCanonical(bytes, header)) RETURN_IF_ERROR(ParseExact(bytes, header, "event header"));
  if (header.issuer().empty() || header.sequence() == 0 || header.commitments_size() == 0 ||
      header.commitments_size() > static_cast<int>(kPartsPerEventMax)) {
    return Corrupt("event header lacks its issuer, sequence or commitments");
  }
  for (const std::string& commitment : header.commitments()) {
    if (commitment.size() != 32) return Corrupt("event header holds a commitment of the wrong size");
  }
  return {};
}

Status ParseLeafInto(std::string_view bytes, v1::EntryLeaf& leaf) {
  if (!ReadCanonical(bytes, leaf)) RETURN_IF_ERROR(ParseExact(bytes, leaf, "entry leaf"));
  if (leaf.version() != kLeafVersion) return Unsupported("entry leaf of an unknown version");
  if (leaf.ledger().size() != 16) return Corrupt("entry leaf lacks its ledger");
  for (const v1::KeyReference& key : leaf.keys()) {
    if (key.subject().size() != 16) return Corrupt("entry leaf names a subject of the wrong size");
  }
  if (leaf.part_digests_size() != leaf.keys_size()) return Corrupt("entry leaf lacks digests of its parts");
  // Where the digests begin must not be a matter of opinion.
  std::string_view digests = bytes.substr(BeforeDigests(bytes, leaf.keys_size()).size());
  for (const std::string& digest : leaf.part_digests()) {
    if (digest.size() != sizeof(Digest) || !digests.starts_with(kDigestPrefix) ||
        digests.substr(kDigestPrefix.size(), sizeof(Digest)) != digest) {
      return Corrupt("entry leaf does not end with the digests of its parts");
    }
    digests.remove_prefix(kDigestBytes);
  }
  return {};
}

std::string_view BeforeDigests(std::string_view leaf, int sealed_parts) {
  const std::size_t digests = kDigestBytes * static_cast<std::size_t>(sealed_parts);
  return leaf.substr(0, leaf.size() - std::min(digests, leaf.size()));
}

void AppendDigests(std::string& leaf, const std::vector<std::string>& sealed_parts) {
  for (const std::string& part : sealed_parts) leaf.append(kDigestPrefix).append(View(Sha256Of({part})));
}

Result<v1::EventHeader> ParseHeader(std::string_view bytes) {
  v1::EventHeader header;
  RETURN_IF_ERROR(ParseHeaderInto(bytes, header));
  return header;
}

Result<v1::EntryLeaf> ParseLeaf(std::string_view bytes) {
  v1::EntryLeaf leaf;
  RETURN_IF_ERROR(ParseLeafInto(bytes, leaf));
  return leaf;
}

Status ParseEntry(std::string_view record, EntryView& out) {
  // On the wire: field number << 3 | 2, then the length as a varint, then the bytes.
  constexpr std::uint8_t kLeafTag = v1::Entry::kLeafFieldNumber << 3 | 2;
  constexpr std::uint8_t kPartTag = v1::Entry::kPartsFieldNumber << 3 | 2;
  out.leaf = {};
  out.parts.clear();
  while (!record.empty()) {
    const auto tag = static_cast<std::uint8_t>(record.front());
    if (tag != kLeafTag && tag != kPartTag) return Unsupported("the record holds a field no entry has");
    record.remove_prefix(1);
    std::uint64_t size = 0;
    int shift = 0;
    for (bool more = true; more; shift += 7) {
      if (record.empty() || shift > 28) return Corrupt("the record is no entry");
      const auto byte = static_cast<std::uint8_t>(record.front());
      record.remove_prefix(1);
      size |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      more = (byte & 0x80) != 0;
    }
    if (size > record.size()) return Corrupt("the record is no entry");
    const std::string_view field = record.substr(0, size);
    record.remove_prefix(size);
    if (tag == kPartTag) {
      if (out.parts.size() == kPartsPerEventMax) return Corrupt("the entry has too many parts");
      out.parts.push_back(field);
    } else if (out.leaf.data() != nullptr) {
      return Corrupt("the entry has two leaves");
    } else {
      out.leaf = field;
    }
  }
  return out.leaf.empty() ? Corrupt("the record is no entry") : Status();
}

Key256 RatchetKey(Key256 key, std::uint32_t steps) {
  for (; steps > 0; --steps) key = HmacSha256(key, "daicho/ratchet/1\n");
  return key;
}

std::string SealPart(const Key256& key, std::string_view before_digests, std::string_view salt,
                     std::string_view payload) {
  const auto nonce = RandomArray<kNonceBytes>();
  std::string out;
  out.reserve(kNonceBytes + salt.size() + payload.size() + kTagBytes);
  out.append(View(nonce));
  AeadSeal(key, View(nonce), before_digests, {salt, payload}, out);
  return out;
}

Result<std::string> OpenClearPart(std::string_view part, std::string_view commitment) {
  if (part.empty()) return Erased("the content was erased");
  RETURN_IF_ERROR(CheckCommitment(part, commitment));
  return std::string(part.substr(sizeof(Salt)));
}

Result<std::string> OpenSealedPart(const Key256& key, std::string_view before_digests, std::string_view part,
                                   std::string_view commitment) {
  if (part.empty()) return Erased("the content was erased");
  if (part.size() < kNonceBytes) return Tampered("part is shorter than its nonce");
  ASSIGN_OR_RETURN(std::string plain,
                   AeadOpen(key, part.substr(0, kNonceBytes), before_digests, part.substr(kNonceBytes)));
  RETURN_IF_ERROR(CheckCommitment(plain, commitment));
  plain.erase(0, sizeof(Salt));
  return plain;
}

Result<std::vector<std::string>> SignReceipts(std::vector<std::string> receipts, const SigningKey& key) {
  // nodes[level][i]: root of the complete subtree i of 2^level receipts.
  std::vector<std::vector<Digest>> nodes = {LeafHashes(std::vector<std::string_view>(receipts.begin(), receipts.end()))};
  while (nodes.back().size() > 1) nodes.push_back(NodeHashes(nodes.back()));
  const NodeSource node = [&](int level, std::uint64_t index) -> Result<Digest> {
    return nodes[static_cast<std::size_t>(level)][index];
  };
  const std::uint64_t size = receipts.size();
  ASSIGN_OR_RETURN(const Digest root, RootOf(size, node));
  ASSIGN_OR_RETURN(const std::string signature, key.TrySign(ReceiptStatement(size, root)));
  for (std::uint64_t index = 0; index < size; ++index) {
    v1::SignedReceipt out;
    *out.mutable_receipt() = std::move(receipts[index]);
    out.set_signature(signature);
    out.set_index(index);
    out.set_size(size);
    ASSIGN_OR_RETURN(const Proof path, InclusionProof(index, size, node));
    for (const Digest& hash : path) out.mutable_path()->append(View(hash));
    receipts[index] = out.SerializeAsString();
  }
  return receipts;
}

Result<v1::Receipt> VerifyReceipt(std::string_view signed_receipt, const VerifyingKey& key) {
  v1::SignedReceipt envelope;
  RETURN_IF_ERROR(ParseExact(signed_receipt, envelope, "receipt"));
  std::string_view hashes = envelope.path();
  if (hashes.size() % sizeof(Digest) != 0 || hashes.size() > kProofHashesMax * sizeof(Digest)) {
    return Tampered("a receipt's path has the wrong size");
  }
  Proof path;
  for (; !hashes.empty(); hashes.remove_prefix(sizeof(Digest))) {
    path.push_back(*ToArray<sizeof(Digest)>(hashes.substr(0, sizeof(Digest))));
  }
  ASSIGN_OR_RETURN(const Digest root,
                   RootByInclusion(LeafHash(envelope.receipt()), envelope.index(), envelope.size(), path));
  RETURN_IF_ERROR(key.Verify(ReceiptStatement(envelope.size(), root), envelope.signature()));
  v1::Receipt receipt;
  RETURN_IF_ERROR(ParseExact(envelope.receipt(), receipt, "receipt"));
  if (receipt.version() != kReceiptVersion) return Unsupported("receipt of an unknown version");
  return receipt;
}

}  // namespace daicho
