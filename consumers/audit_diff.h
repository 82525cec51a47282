// Diff: whether two record files hold the same, version by version, and what differs: an auditor's replay, a node's own, a
// replica's. Both are read as of the lower of their positions. The answer names persons by handle and versions by position,
// and shows nothing of what they hold (projections/version_marks.h).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "consumers/node.pb.h"
#include "projections/projector.h"
#include "projections/version_marks.h"

namespace daicho {

struct DiffSide {
  std::string name;
  RecordFileState state;  // as declared: by state.json of a replay, by the record file of a node
  std::function<Result<VersionPage>(const Key256& key, KeySlot from, Position at)> page;
};
// DIR of `audit replay`, which is only read. Errors: kNotFound, kInvalid for what is none; kTampered when its record file is not of
// the position and ledger that state.json says.
Result<DiffSide> SideOfReplay(const std::string& dir);
// A node's record file, by what it answers. A page is kConflict once an erasure has had it built anew.
Result<DiffSide> SideOfNode(const std::string& name,
                            std::function<Result<node::Response>(const node::Request&)> call);
// The node's end of it.
node::Response AnswerRecordFileState(const Projector& projector);
node::Response AnswerMarkVersions(const Projector& projector, const node::MarkVersions& asked);

struct DiffResult {
  std::string names[2];
  Position positions[2];    // each side's last
  Position at;              // as of which they were compared
  VersionComparison compared;
  Digest contents[2];       // over the versions that are there, as of `at`
  bool declared[2] = {true, true};  // the content is the one declared, so far as it is declared for `at`

  bool same() const { return compared.same() && declared[0] && declared[1]; }
};
// Errors: kInvalid for record files of two ledgers; kNotFound for one that holds nothing yet; those of the sides.
Result<DiffResult> Diff(const DiffSide& first, const DiffSide& second, const VersionSink& sink);

// One line of JSON, and one of text.
std::string DifferenceJson(const VersionDifference& difference);
std::string DifferenceText(const VersionDifference& difference);
std::string DiffJson(const DiffResult& result);
std::string DiffText(const DiffResult& result);

}  // namespace daicho
