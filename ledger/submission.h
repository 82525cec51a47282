// Stateless half of admission: opens a submission and checks all that needs no knowledge of the ledger.
#pragma once

#include <span>
#include <vector>

#include "events/event.h"
#include "events/kinds.h"
#include "events/resident.pb.h"
#include "events/tree_head.h"

namespace daicho {

struct PreparedEvent {
  std::string header_bytes;
  v1::EventHeader header;
  const KindInfo* kind = nullptr;
  std::vector<v1::DraftPart> parts;
  Digest leaf_hash{};
  v1::UpdateNotice notice;    // of EVENT_KIND_UPDATE
  std::string notice_digest;
};

struct PreparedSubmission {
  std::string head_note;
  std::string detached_head;              // of it, for the entry
  Digest head_digest{};                   // SHA-256 of head_note: the submission's name
  TreeHead head;
  std::vector<PreparedEvent> events;
  std::vector<v1::Violation> violations;  // bounded; what broke so far
  // False: head or body could not be read; `violations` says why and `head` may be blank.
  bool readable = false;
};

inline constexpr std::size_t kViolationsMax = 1'000;

// `intake`: the keys that may open it, tried in order.
PreparedSubmission PrepareSubmission(std::string_view record, const std::string& issuer, int prefecture,
                                     const LedgerId& ledger, std::span<const HpkeKeyPair> intake);

}  // namespace daicho
