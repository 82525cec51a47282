// What a re-execution finds (audit_reexecute.h).
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "events/ids.h"

namespace daicho {

enum class ReexecutionFindingKind {
  // of an event, or of one answer
  kUndecodable,
  kSignature,
  kOperator,
  kBasis,
  kNotPermitted,
  kPolicy,
  kRefusal,
  kNotRefused,
  kPerson,
  kField,
  kDigest,
  kElsewhere,
  kCounts,
  kTime,
  // of a request
  kChunks,
  // of what the agency has
  kDeliveryChanged,
  kDeliveryMissing,
  kDeliveryTwice,
  kDeliveryForeign,
  kReceipt,
  // of comparisons
  kDifference,
  kCase,
  kCopy,
  kResolution,
};

struct ReexecutionFindingInfo {
  ReexecutionFindingKind kind;
  std::string_view id;        // in reports. Never change.
  std::string_view japanese;  // what it means, for officials
};
// All kinds, in the order of the enum.
std::span<const ReexecutionFindingInfo> ReexecutionFindingKinds();
const ReexecutionFindingInfo& InfoOf(ReexecutionFindingKind kind);

struct ReexecutionFinding {
  Position position;
  int part = 0;  // of the event: 0 the event itself, 1 … an answer
  ReexecutionFindingKind kind;
  std::string detail;  // nothing of any person
};
using ReexecutionFindingSink = std::function<void(ReexecutionFinding)>;

}  // namespace daicho
