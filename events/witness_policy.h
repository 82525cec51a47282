// Whose cosignatures make a checkpoint good: a trust policy in the text of C2SP tlog-policy.
//
//   # comments, and empty lines, are passed over
//   log daicho/10/ledger+1c2d3e4f+AQ…
//   witness maebashi witness/102016+5a6b7c8d+BP… https://witness.example/
//   witness takasaki witness/102024+…
//   group cities any maebashi takasaki
//   quorum cities
//
// A group is witnessed when any, all or that many of its members are; the quorum is a witness, a group or none.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "events/note.h"

namespace daicho {

inline constexpr std::size_t kPolicyBytesMax = 64u << 10;
inline constexpr std::size_t kPolicyItemsMax = 64;  // of each: logs, witnesses, groups

class WitnessPolicy {
 public:
  struct Log {
    NoteKey key;  // its name is the origin of the log's checkpoints
    std::string url;
  };
  struct Witness {
    std::string name;  // within the policy
    NoteKey key;
    std::string url;
  };
  struct Group {
    std::string name;
    std::size_t threshold = 0;
    std::vector<std::string> members;  // witnesses, and groups above it
  };
  struct Verdict {
    bool satisfied = false;
    std::vector<std::string>
        missing;  // witnesses that the quorum counts and that have not cosigned
  };

  // No witnesses, quorum none: every checkpoint is good.
  WitnessPolicy() = default;
  // Errors: kInvalid, "line 3: vkey: …"; kUnsupported for a key of an unknown algorithm.
  static Result<WitnessPolicy> Parse(std::string_view text);

  const std::vector<Log>& logs() const { return logs_; }
  const std::vector<Witness>& witnesses() const { return witnesses_; }
  const std::vector<Group>& groups() const { return groups_; }
  const std::string& quorum() const { return quorum_; }  // "none" too

  // Which of the policy's witnesses have cosigned, by their names in it, and when.
  // Errors: kTampered when a line of one of them does not verify.
  Result<std::map<std::string, TimeMicros>> Cosigners(const Note& note) const;
  // `cosigned`: the names of witnesses whose cosignatures verified.
  Verdict Judge(const std::set<std::string>& cosigned) const;

 private:
  class Parser;

  std::vector<Log> logs_;
  std::vector<Witness> witnesses_;
  std::vector<Group> groups_;
  std::string quorum_ = "none";
};

}  // namespace daicho
