// What a check of the ledger can find. A follower stops at the first; an auditor collects all of them.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "events/ids.h"

namespace daicho {

enum class FindingKind {
  // entries
  kUndecodable,
  kUnsupported,
  kForeign,
  kPosition,
  kTime,
  kIssuer,
  kAuthority,
  kSequence,
  kSubmission,
  kPart,
  kCommitment,
  kRecordKey,
  kHead,
  kSignature,
  kKey,
  kRule,
  kSchema,
  // checkpoints
  kCheckpointSignature,
  kCheckpointRoot,
  kCheckpointBeyond,
  kCheckpointOrder,
  kTwoHistories,
  kCosignature,
  kPolicy,
  kStale,
  // erasures
  kErasedWithoutOrder,
  kNotExpired,
  // an export directory
  kTile,
  kExport,
};

struct FindingInfo {
  FindingKind kind;
  std::string_view id;        // in reports. Never change.
  std::string_view japanese;  // what it means, for officials
};

// All kinds, in the order of the enum.
std::span<const FindingInfo> FindingKinds();
const FindingInfo& InfoOf(FindingKind kind);

struct Finding {
  Position position;  // of an entry; of a checkpoint its size
  FindingKind kind;
  std::string detail;
};
using FindingSink = std::function<void(Finding)>;

}  // namespace daicho
