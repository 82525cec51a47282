// From a payload to a ledger entry and back: commitment, header, leaf, sealed parts.
//
//   payload ─ salt ─► commitment ─► header ─► issuer's tree ─► signed head      (issuer)
//   header, position, keys ─► leaf ─► sealed parts ─► Entry                     (sequencer)
//   Entry ─► header ─► commitment == Commit(salt, payload)                      (every reader)
#pragma once

#include <optional>
#include <vector>

#include "events/crypto.h"
#include "events/envelope.pb.h"
#include "events/ids.h"

namespace daicho {

namespace v1 = events::v1;

using LedgerId = std::array<std::uint8_t, 16>;
using Salt = std::array<std::uint8_t, 16>;

inline constexpr std::uint32_t kSubmissionVersion = 1;
inline constexpr std::uint32_t kLeafVersion = 1;
inline constexpr std::uint32_t kReceiptVersion = 1;
inline constexpr std::size_t kEventsPerSubmissionMax = 10'000;
inline constexpr std::size_t kPartsPerEventMax = 64;
inline constexpr std::size_t kPartBytesMax = 4u << 20;
inline constexpr std::size_t kEventBytesMax = 16u << 20;  // all parts; its entry fits a record with room to spare

// SHA-256("daicho/commitment/1\n" ‖ salt ‖ payload): hides the payload as long as the salt is unknown.
Digest Commit(std::string_view salt, std::string_view payload);

// An event as an issuer drafts it: a payload about one subject (or none), and further parts of other subjects.
struct DraftEvent {
  struct Part {
    std::string payload;
    std::string subject;  // 16-byte handle, or empty
  };
  v1::EventKind kind = v1::EVENT_KIND_UNSPECIFIED;
  v1::RetentionClass retention = v1::RETENTION_CLASS_UNSPECIFIED;
  std::string payload;
  std::string subject;  // 16-byte handle, or empty
  bool clear = false;
  std::vector<Part> further = {};  // at most kPartsPerEventMax - 1
  std::optional<Salt> salt = {};   // of `payload`, where its commitment is to be known beforehand
};
// Draws the salts. The header's bytes are the leaf of the issuer's tree.
v1::Draft MakeDraft(const DraftEvent& event, const std::string& issuer, Sequence sequence);

// HPKE info string of sealed submissions: binds them to one ledger.
std::string IntakeInfo(const LedgerId& ledger);
// A submission of `drafts` under `head`, its body sealed to the prefecture.
Result<std::string> SealSubmission(const v1::SubmissionBody& body, const std::string& head,
                                   const Key256& intake_public_key, const LedgerId& ledger);

// Errors: kUnsupported for a field this version does not know, kCorrupt for what cannot be decoded or
// lacks a part.
Result<v1::EventHeader> ParseHeader(std::string_view bytes);
Result<v1::EntryLeaf> ParseLeaf(std::string_view bytes);

// The two fields of an Entry where they lie in a record: nothing is copied. Valid as long as the record.
struct EntryView {
  std::string_view leaf;
  std::vector<std::string_view> parts;
};
// Fills `out`, whose storage is reused. Errors: kCorrupt, kUnsupported for a field unknown to this version.
Status ParseEntry(std::string_view record, EntryView& out);
// Like ParseHeader and ParseLeaf, into a message whose storage is reused.
Status ParseHeaderInto(std::string_view bytes, v1::EventHeader& out);
Status ParseLeafInto(std::string_view bytes, v1::EntryLeaf& out);

// The key of the ratchet's step `step`, from the row's first key.
Key256 RatchetKey(Key256 key, std::uint32_t steps);

// A leaf's bytes before its part digests: what its sealed parts are bound to.
// Requires: a leaf that ParseLeaf accepted, with so many sealed parts.
std::string_view BeforeDigests(std::string_view leaf, int sealed_parts);
// Adds the digests of `sealed_parts` to a leaf that was serialised without any.
void AppendDigests(std::string& leaf, const std::vector<std::string>& sealed_parts);

// A sealed part: nonce ‖ AES-256-GCM(salt ‖ payload), its AAD the leaf up to its digests.
std::string SealPart(const Key256& key, std::string_view before_digests, std::string_view salt,
                     std::string_view payload);
// The payload, checked against its commitment. Errors: kTampered, kErased for an empty part.
Result<std::string> OpenSealedPart(const Key256& key, std::string_view before_digests, std::string_view part,
                                   std::string_view commitment);
Result<std::string> OpenClearPart(std::string_view part, std::string_view commitment);

// Receipts, serialised, to signed ones: by one signature, whatever their number. Errors: those of the key's TrySign.
Result<std::vector<std::string>> SignReceipts(std::vector<std::string> receipts, const SigningKey& key);
Result<v1::Receipt> VerifyReceipt(std::string_view signed_receipt, const VerifyingKey& key);

}  // namespace daicho
