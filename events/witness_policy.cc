#include "events/witness_policy.h"

#include <algorithm>
#include <charconv>

namespace daicho {
namespace {

constexpr std::string_view kNone = "none";
constexpr std::string_view kBlank = " \t";

using Words = std::vector<std::string_view>;

Words Split(std::string_view line) {
  Words out;
  while (true) {
    const std::size_t begin = line.find_first_not_of(kBlank);
    if (begin == std::string_view::npos) return out;
    line.remove_prefix(begin);
    const std::size_t end = std::min(line.find_first_of(kBlank), line.size());
    out.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

bool IsControl(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && byte != '\t') || byte == 0x7f;
}

template <typename Items>
bool HoldsKey(const Items& items, const NoteKey& key) {
  return std::ranges::any_of(
      items, [&](const auto& item) { return item.key.key.bytes() == key.key.bytes(); });
}

}  // namespace

// Reads line by line; names stand before they are used.
class WitnessPolicy::Parser {
 public:
  Status Line(std::string_view line) {
    if (std::ranges::any_of(line, IsControl))
      return Invalid("characters: holds a control character");
    const Words words = Split(line);
    if (words.empty() || words[0].starts_with('#')) return {};
    if (words[0] == "log") return AddLog(words);
    if (words[0] == "witness") return AddWitness(words);
    if (words[0] == "group") return AddGroup(words);
    if (words[0] == "quorum") return SetQuorum(words);
    return Invalid("keyword: none of log, witness, group, quorum");
  }

  Result<WitnessPolicy> Finish() {
    if (!has_quorum_) return Invalid("quorum: missing");
    return std::move(policy_);
  }

 private:
  Status AddLog(const Words& words) {
    if (words.size() < 2 || words.size() > 3) return Invalid("log: takes a vkey and perhaps a url");
    if (policy_.logs_.size() == kPolicyItemsMax) return Invalid("log: too many");
    ASSIGN_OR_RETURN(NoteKey key, KeyFor(words[1], NoteAlgorithm::kEd25519));
    if (HoldsKey(policy_.logs_, key)) return Invalid("vkey: the key of an earlier log");
    policy_.logs_.push_back({std::move(key), words.size() == 3 ? std::string(words[2]) : ""});
    return {};
  }

  Status AddWitness(const Words& words) {
    if (words.size() < 3 || words.size() > 4) {
      return Invalid("witness: takes a name, a vkey and perhaps a url");
    }
    if (policy_.witnesses_.size() == kPolicyItemsMax) return Invalid("witness: too many");
    RETURN_IF_ERROR(Define(words[1]));
    ASSIGN_OR_RETURN(NoteKey key, KeyFor(words[2], NoteAlgorithm::kCosignatureV1));
    if (HoldsKey(policy_.witnesses_, key)) return Invalid("vkey: the key of an earlier witness");
    policy_.witnesses_.push_back(
        {std::string(words[1]), std::move(key), words.size() == 4 ? std::string(words[3]) : ""});
    return {};
  }

  Status AddGroup(const Words& words) {
    if (words.size() < 4) return Invalid("group: takes a name, a threshold and members");
    if (policy_.groups_.size() == kPolicyItemsMax) return Invalid("group: too many");
    Group group;
    group.name = words[1];
    for (std::size_t i = 3; i < words.size(); ++i) {
      if (!names_.contains(std::string(words[i]))) return Invalid("member: not defined above");
      if (!members_.insert(std::string(words[i])).second)
        return Invalid("member: in a group already");
      group.members.emplace_back(words[i]);
    }
    ASSIGN_OR_RETURN(group.threshold, Threshold(words[2], group.members.size()));
    RETURN_IF_ERROR(Define(words[1]));
    policy_.groups_.push_back(std::move(group));
    return {};
  }

  Status SetQuorum(const Words& words) {
    if (words.size() != 2) return Invalid("quorum: takes one name");
    if (has_quorum_) return Invalid("quorum: given already");
    if (words[1] != kNone && !names_.contains(std::string(words[1]))) {
      return Invalid("quorum: not defined above");
    }
    has_quorum_ = true;
    policy_.quorum_ = words[1];
    return {};
  }

  Status Define(std::string_view name) {
    if (name == kNone) return Invalid("name: none is taken");
    if (!names_.insert(std::string(name)).second) return Invalid("name: defined already");
    return {};
  }

  static Result<NoteKey> KeyFor(std::string_view text, NoteAlgorithm algorithm) {
    auto key = ParseNoteKey(text);
    if (!key.ok()) return key.status().With("vkey");
    if (key->algorithm != algorithm) return Invalid("vkey: of an algorithm for another use");
    return key;
  }

  static Result<std::size_t> Threshold(std::string_view text, std::size_t members) {
    if (text == "any") return std::size_t{1};
    if (text == "all") return members;
    std::size_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || text != std::to_string(value)) {
      return Invalid("threshold: none of any, all, a decimal number");
    }
    if (value < 1 || value > members)
      return Invalid("threshold: not from 1 to the number of members");
    return value;
  }

  WitnessPolicy policy_;
  std::set<std::string> names_;
  std::set<std::string> members_;
  bool has_quorum_ = false;
};

Result<WitnessPolicy> WitnessPolicy::Parse(std::string_view text) {
  if (text.size() > kPolicyBytesMax) return Invalid("policy: too long");
  Parser parser;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::string context = "line " + std::to_string(number);
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return Invalid("newline: missing").With(context);
    if (Status status = parser.Line(text.substr(0, end)); !status.ok()) return status.With(context);
    text.remove_prefix(end + 1);
  }
  return parser.Finish();
}

Result<std::map<std::string, TimeMicros>> WitnessPolicy::Cosigners(const Note& note) const {
  std::map<std::string, TimeMicros> out;
  for (const Witness& witness : witnesses_) {
    auto time = VerifyCosignature(note, witness.key);
    if (time.status().code() == Code::kNotFound) continue;
    if (!time.ok()) return time.status().With("witness " + witness.name);
    out[witness.name] = *time;
  }
  return out;
}

WitnessPolicy::Verdict WitnessPolicy::Judge(const std::set<std::string>& cosigned) const {
  if (quorum_ == kNone) return {true, {}};
  std::map<std::string, bool> witnessed;
  for (const Witness& witness : witnesses_)
    witnessed[witness.name] = cosigned.contains(witness.name);
  // A group's members stand above it, so going down decides each in turn, and going up finds those
  // that count.
  for (const Group& group : groups_) {
    witnessed[group.name] =
        static_cast<std::size_t>(std::ranges::count_if(
            group.members, [&](const std::string& member) { return witnessed[member]; })) >=
        group.threshold;
  }
  std::set<std::string> counted = {quorum_};
  for (auto group = groups_.rbegin(); group != groups_.rend(); ++group) {
    if (counted.contains(group->name)) counted.insert(group->members.begin(), group->members.end());
  }
  Verdict out{witnessed[quorum_], {}};
  for (const Witness& witness : witnesses_) {
    if (counted.contains(witness.name) && !witnessed[witness.name])
      out.missing.push_back(witness.name);
  }
  return out;
}

}  // namespace daicho
