// The generator's notices, judged by a checker that knows the rules of the notice file and nothing
// of the generator: it reads the files round by round, in one order of issuers and in the
// opposite one, and keeps per resident what the prefecture would know. Every violation is listed.
#include "consumers/generate.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>
#include <unordered_map>

#include "consumers/generate/random.h"

namespace daicho {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr std::uint64_t kResidents = 20'000;

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return std::move(text).str();
}

std::string Sha256Hex(std::string_view bytes) {
  std::array<unsigned char, 32> digest{};
  EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
  std::string hex;
  for (const unsigned char byte : digest) hex += fmt::format("{:02x}", byte);
  return hex;
}

// `weights` belong to all digits but the last.
bool CheckDigitHolds(const std::string& code, std::string_view weights) {
  if (code.size() != weights.size() + 1) return false;
  int sum = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (code[i] < '0' || code[i] > '9') return false;
    sum += (code[i] - '0') * (weights[i] - '0');
  }
  const int rest = sum % 11;
  return code.back() == static_cast<char>('0' + (rest <= 1 ? 0 : 11 - rest));
}

struct Notice {
  std::string place;  // file and line, for messages
  std::string issuer;
  Json body;
  std::string record;  // as written
};

struct File {
  std::string name;
  std::string issuer;
  std::vector<Notice> notices;
};

using Round = std::vector<File>;  // by issuer, then sequence

enum class Order { kForward, kBackward };

class Checker {
 public:
  struct Resident {
    std::string issuer;
    bool resident = false;
    unsigned updates = 0;          // the highest admitted
    bool removal_missing = false;  // a move-in ran ahead; its removal is number updates - 1
    std::string number;
    std::string record;
  };

  void Admit(const Round& round, Order order) {
    in_round_.clear();
    for (const File* file : Sorted(round, order)) {
      for (const Notice& notice : file->notices) Admit(notice);
    }
    for (const auto& [code, resident] : residents_) {
      if (resident.removal_missing) Complain(code, "a removal never came");
    }
    for (const auto& [id, notices] : in_round_) CheckIssuers(notices);
  }

  std::size_t Residents() const {
    return static_cast<std::size_t>(std::count_if(residents_.begin(), residents_.end(),
                                                  [](const auto& r) { return r.second.resident; }));
  }
  std::size_t Removed() const { return residents_.size() - Residents(); }
  std::map<std::string, std::size_t> ResidentsByIssuer() const {
    std::map<std::string, std::size_t> count;
    for (const auto& [code, resident] : residents_) count[resident.issuer] += resident.resident;
    return count;
  }
  std::size_t ahead() const { return ahead_; }
  std::string complaints;

 private:
  static std::vector<const File*> Sorted(const Round& round, Order order) {
    std::vector<const File*> files;
    for (const File& file : round) files.push_back(&file);
    std::stable_sort(files.begin(), files.end(), [order](const File* a, const File* b) {
      return order == Order::kForward ? a->issuer < b->issuer : a->issuer > b->issuer;
    });
    return files;
  }

  void Complain(const std::string& place, std::string_view what) {
    if (complaints.size() < 4000) complaints += fmt::format("{}: {}\n", place, what);
  }

  void Expect(bool holds, const Notice& notice, std::string_view rule) {
    if (!holds) Complain(notice.place, rule);
  }

  void Admit(const Notice& notice) {
    CheckContent(notice);
    const Json& body = notice.body;
    const std::string code = body["resident_code"];
    const std::string former = body.value("former_resident_code", "");
    if (!former.empty()) Rename(notice, former, code);
    Resident& resident = residents_[code];
    const unsigned number = body["update_number"];
    const std::string kind = body["kind"];
    in_round_[code].push_back(&notice);
    CheckNumber(notice, resident);
    if (resident.removal_missing && number + 1 == resident.updates) {
      Expect(kind == "removal" && body["reason"] == "move_out", notice, "late, but no move_out");
      resident.removal_missing = false;
      return;
    }
    if (number == resident.updates + 2) {
      Expect(kind == "entry" && body["reason"] == "move_in" && resident.resident &&
                 resident.issuer != notice.issuer,
             notice, "only a move_in by another municipality runs ahead");
      resident.removal_missing = true;
      ++ahead_;
    } else {
      Expect(number == resident.updates + 1, notice, "update_number skips or repeats");
      Expect(!resident.removal_missing, notice, "between a move-in and its removal");
      Expect((kind == "entry") != resident.resident, notice, "kind against the current state");
      if (kind != "entry") Expect(notice.issuer == resident.issuer, notice, "not its resident");
    }
    if (kind == "amend" && former.empty()) {
      Expect(notice.record != resident.record, notice, "an amendment that amends nothing");
    }
    resident.updates = number;
    resident.issuer = notice.issuer;
    resident.resident = kind != "removal";
    resident.record = notice.record;
  }

  void Rename(const Notice& notice, const std::string& former, const std::string& code) {
    auto node = residents_.extract(former);
    if (node.empty()) return Complain(notice.place, "unknown former_resident_code");
    Expect(!residents_.contains(code) && former != code, notice, "the new code is taken");
    Expect(retired_codes_.insert(former).second, notice, "a code retired twice");
    node.key() = code;
    residents_.insert(std::move(node));
    auto moved = in_round_.extract(former);
    if (moved.empty()) return;
    moved.key() = code;
    in_round_.insert(std::move(moved));
  }

  // 個人番号: unique for ever, and changes only by its own reasons.
  void CheckNumber(const Notice& notice, Resident& resident) {
    const std::string number = notice.body["record"]["individual_number"];
    const std::string former = notice.body.value("former_individual_number", "");
    const bool its_reason = notice.body["reason"].get<std::string>().starts_with("individual_");
    if (number == resident.number) return Expect(!its_reason, notice, "the number did not change");
    Expect(its_reason || resident.updates == 0, notice, "number changed without its reason");
    Expect(former == resident.number, notice, "former_individual_number");
    Expect(numbers_.insert(number).second, notice, "individual number used twice");
    resident.number = number;
  }

  void CheckContent(const Notice& notice) {
    static const std::map<std::string, std::set<std::string>> kReasons = {
        {"entry", {"move_in", "birth", "ex_officio_entry"}},
        {"removal", {"move_out", "death", "ex_officio_removal"}},
        {"amend",
         {"address_change", "minor_amendment", "ex_officio_amendment", "resident_code_change",
          "resident_code_ex_officio", "individual_number_change", "individual_number_ex_officio",
          "individual_number_entry"}}};
    const Json& body = notice.body;
    const Json& record = body["record"];
    const std::string kind = body["kind"];
    const std::string reason = body["reason"];
    const auto reasons = kReasons.find(kind);
    Expect(reasons != kReasons.end() && reasons->second.contains(reason), notice, "kind, reason");
    const std::string code = body["resident_code"];
    Expect(CheckDigitHolds(code, "5432765432"), notice, "check digit of the resident code");
    Expect(!retired_codes_.contains(code), notice, "a retired code is used again");
    const std::string number = record["individual_number"];
    Expect(number.empty() || CheckDigitHolds(number, "65432765432"), notice, "check digit");
    Expect(record["address"]["municipality"] == notice.issuer, notice, "municipality");
    Expect(reason == "move_out" || body["changed_on"].get<std::string>() <=
                                       body["notified_at"].get<std::string>().substr(0, 10),
           notice, "changed_on lies ahead");
    Expect(reason.starts_with("resident_code") == body.contains("former_resident_code"), notice,
           "former_resident_code with its reason only");
    Expect(record["kana"].get<std::string>().empty() == record.contains("latin_name"), notice,
           "kana of natives, Latin names of foreign residents");
    Expect(record["sex"] == "male" || record["sex"] == "female", notice, "sex");
    if (body.contains("cancels")) CheckCancel(notice);
  }

  void CheckCancel(const Notice& notice) {
    const std::string kind = notice.body["kind"];
    const std::string suffix = kind == "amend" ? "amendment" : kind;
    Expect(notice.body["reason"] == "ex_officio_" + suffix, notice, "reason of a cancellation");
    Expect(notice.body["cancels"] < notice.body["update_number"], notice, "cancels the future");
  }

  // One issuer per resident and round, or a single removal and a single move-in.
  void CheckIssuers(const std::vector<const Notice*>& notices) {
    std::map<std::string, std::vector<const Notice*>> by_issuer;
    for (const Notice* notice : notices) by_issuer[notice->issuer].push_back(notice);
    if (by_issuer.size() == 1) return;
    const Notice& any = *notices.front();
    Expect(by_issuer.size() == 2, any, "three issuers in one round");
    std::size_t move_ins = 0;
    std::size_t removals = 0;
    for (const auto& [issuer, own] : by_issuer) {
      removals += own.size() == 1 && own.back()->body["reason"] == "move_out";
      move_ins += own.size() == 1 && own.back()->body["reason"] == "move_in";
    }
    Expect(move_ins == 1 && removals == 1, any, "two issuers in one round, but no move");
  }

  std::unordered_map<std::string, Resident> residents_;  // by current code
  std::set<std::string> retired_codes_;
  std::set<std::string> numbers_;
  std::map<std::string, std::vector<const Notice*>> in_round_;  // by current code
  std::size_t ahead_ = 0;
};

class Generated : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(::testing::TempDir()) / fmt::format("generate_test.{}", getpid());
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  GenerateSummary Make(const std::string& name, std::uint64_t residents, std::uint64_t seed,
                       int years) {
    GenerateOptions options{.residents = residents,
                            .seed = seed,
                            .out = (root_ / name).string(),
                            .years = years,
                            .progress = nullptr};
    auto summary = Generate(options);
    EXPECT_TRUE(summary.ok()) << summary.status().ToString();
    return summary.ok() ? *summary : GenerateSummary{};
  }

  // Every file's name and hash.
  std::string Fingerprint(const std::string& name) const {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(root_ / name)) {
      if (!entry.is_regular_file()) continue;
      files[fs::relative(entry.path(), root_ / name).string()] = Sha256Hex(ReadFile(entry.path()));
    }
    std::string all;
    for (const auto& [path, hash] : files) all += path + ' ' + hash + '\n';
    return all;
  }

  // Reads all rounds; the files' first lines are checked on the way.
  std::vector<Round> ReadRounds(const std::string& name) {
    std::vector<Round> rounds;
    std::map<std::string, std::uint64_t> sequences;
    for (int number = 1;; ++number) {
      const fs::path directory = root_ / name / fmt::format("{:04}", number);
      if (!fs::exists(directory)) return rounds;
      std::set<fs::path> paths;
      for (const auto& entry : fs::directory_iterator(directory)) paths.insert(entry.path());
      Round& round = rounds.emplace_back();
      for (const fs::path& path : paths) round.push_back(Read(path, sequences));
    }
  }

  File Read(const fs::path& path, std::map<std::string, std::uint64_t>& sequences) {
    const std::string text = ReadFile(path);
    const std::size_t end = text.find('\n');
    const Json header = Json::parse(text.substr(0, end));
    File file{path.filename().string(), header["issuer"], {}};
    const std::string_view rest = std::string_view(text).substr(end + 1);
    EXPECT_EQ(header["format"], "daicho-notice/1");
    EXPECT_EQ(header["sequence"], ++sequences[file.issuer]);
    EXPECT_EQ(header["sha256"], Sha256Hex(rest));
    EXPECT_EQ(file.name, fmt::format("{}-{:06}.ndjson", file.issuer, sequences[file.issuer]));
    std::istringstream lines{std::string(rest)};
    for (std::string line; std::getline(lines, line);) {
      const std::string place = fmt::format("{}:{}", path.string(), file.notices.size() + 2);
      const std::size_t record = line.find("\"record\":");
      file.notices.push_back({place, file.issuer, Json::parse(line), line.substr(record)});
    }
    EXPECT_EQ(header["count"], file.notices.size());
    EXPECT_LE(file.notices.size(), 10'000u);
    return file;
  }

  Json Manifest(const std::string& name) {
    return Json::parse(ReadFile(root_ / name / "manifest.json"));
  }

  fs::path root_;
};

TEST_F(Generated, NoticesAreValidInEitherOrderOfIssuers) {
  const char* given = std::getenv("DAICHO_SEED");
  const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
  SCOPED_TRACE(fmt::format("DAICHO_SEED={}", seed));
  const GenerateSummary summary = Make("a", 8000, seed, 3);
  const std::vector<Round> rounds = ReadRounds("a");
  const Json manifest = Manifest("a");
  std::size_t ahead = 0;
  for (const Order order : {Order::kForward, Order::kBackward}) {
    Checker checker;
    for (std::size_t i = 0; i < rounds.size(); ++i) {
      checker.Admit(rounds[i], order);
      EXPECT_EQ(manifest["rounds"][i]["residents"], checker.Residents()) << "round " << i + 1;
      EXPECT_EQ(manifest["rounds"][i]["removed"], checker.Removed()) << "round " << i + 1;
    }
    EXPECT_EQ(checker.complaints, "");
    EXPECT_EQ(summary.residents, checker.Residents());
    EXPECT_EQ(summary.removed, checker.Removed());
    ahead += checker.ahead();
  }
  EXPECT_GT(ahead, 20u);
}

TEST_F(Generated, SameOptionsGiveTheSameBytesAndAnotherSeedOthers) {
  Make("a", 700, 5, 5);
  Make("b", 700, 5, 5);
  Make("c", 700, 6, 5);
  EXPECT_EQ(Fingerprint("a"), Fingerprint("b"));
  EXPECT_NE(Fingerprint("a"), Fingerprint("c"));
}

TEST_F(Generated, MunicipalitiesHaveTheirShareOfTheResidents) {
  Make("a", kResidents, 2, 0);
  Checker checker;
  for (const Round& round : ReadRounds("a")) checker.Admit(round, Order::kForward);
  auto count = checker.ResidentsByIssuer();
  EXPECT_EQ(count.size(), 35u);
  EXPECT_EQ(checker.Residents(), kResidents);
  const std::map<std::string, double> shares = {{"102024", 0.193},
                                                {"102016", 0.172},
                                                {"102059", 0.116},
                                                {"105244", 0.0216},
                                                {"103667", 0.00055}};
  for (const auto& [issuer, share] : shares) {
    EXPECT_NEAR(static_cast<double>(count[issuer]) / kResidents, share, 0.004) << issuer;
  }
}

TEST_F(Generated, SpecialCasesOccur) {
  Make("a", kResidents, 3, 5);
  std::map<std::string, std::size_t> seen;
  for (const Round& round : ReadRounds("a")) {
    for (const File& file : round) {
      for (const Notice& notice : file.notices) {
        const Json& record = notice.body["record"];
        ++seen[notice.body["reason"]];
        if (notice.body.contains("cancels"))
          ++seen["cancels " + notice.body["kind"].get<std::string>()];
        for (const char* key : {"former_name", "alias", "latin_name", "external_glyphs"}) {
          seen[key] += record.contains(key);
        }
        const std::string notified = notice.body["notified_at"];
        seen["foreign at first"] += record.contains("latin_name") && notified < "2021-11-21";
        seen["certified"] += record["kana_certified"] == true;
        seen["no number yet"] += record["individual_number"] == "";
        const std::string birth = record["birth"];
        const std::string mask = birth.ends_with("-02-29") ? birth : birth.substr(4);
        seen[mask] += birth.find('?') != std::string::npos || birth == "1911-02-29";
        const std::string name = record["name"];
        for (const char* c : {"髙", "﨑", "𠮷", "齋", "濵", "邉", "\xf3\xa0\x84\x80"}) {
          seen[c] += name.find(c) != std::string::npos;
        }
        seen["re-entry"] += notice.body["kind"] == "entry" && notice.body["update_number"] > 1;
        const std::string address = record["address"]["text"];
        for (const char* form : {"号室", "番地", "丁目"}) {
          seen[form] += address.find(form) != std::string::npos;
        }
      }
    }
  }
  for (const char* what : {"move_in",
                           "birth",
                           "ex_officio_entry",
                           "move_out",
                           "death",
                           "ex_officio_removal",
                           "address_change",
                           "minor_amendment",
                           "ex_officio_amendment",
                           "resident_code_change",
                           "resident_code_ex_officio",
                           "individual_number_change",
                           "individual_number_ex_officio",
                           "individual_number_entry",
                           "cancels entry",
                           "cancels removal",
                           "cancels amend",
                           "former_name",
                           "alias",
                           "latin_name",
                           "external_glyphs",
                           "certified",
                           "no number yet",
                           "1911-02-29",
                           "髙",
                           "﨑",
                           "𠮷",
                           "齋",
                           "濵",
                           "邉",
                           "\xf3\xa0\x84\x80",
                           "re-entry",
                           "号室",
                           "番地",
                           "丁目",
                           "-??"
                           "-??"}) {
    EXPECT_GT(seen[what], 0u) << what;
  }
  EXPECT_NEAR(static_cast<double>(seen["foreign at first"]) / kResidents, 0.04, 0.01);
}

TEST_F(Generated, FilesHoldAtMostTenThousandNotices) {
  const GenerateSummary summary = Make("a", 70'000, 4, 0);
  EXPECT_EQ(summary.notices, 70'000u);
  EXPECT_TRUE(fs::exists(root_ / "a/0001/102024-000002.ndjson"));
  std::map<std::string, std::uint64_t> sequences;
  EXPECT_EQ(Read(root_ / "a/0001/102024-000001.ndjson", sequences).notices.size(), 10'000u);
}

TEST_F(Generated, ManifestNamesExamplesThatExist) {
  Make("a", 3000, 8, 5);
  const Json manifest = Manifest("a");
  std::set<std::string> codes;
  for (const Round& round : ReadRounds("a")) {
    for (const File& file : round) {
      for (const Notice& notice : file.notices) codes.insert(notice.body["resident_code"]);
    }
  }
  EXPECT_GE(manifest["examples"].size(), 5u);
  for (const Json& example : manifest["examples"]) {
    EXPECT_TRUE(codes.contains(example["resident_code"])) << example["description"];
  }
}

TEST_F(Generated, OneResidentIsEnough) {
  EXPECT_EQ(Make("a", 1, 1, 1).residents + Make("b", 1, 2, 0).residents > 0, true);
}

TEST_F(Generated, ProgressEndsAtTheTotal) {
  std::uint64_t last = 0;
  std::uint64_t total = 0;
  GenerateOptions options{
      .residents = 500, .seed = 1, .out = (root_ / "a").string(), .years = 1, .progress = nullptr};
  options.progress = [&](std::uint64_t done, std::uint64_t of) {
    EXPECT_GE(done, last);
    last = done;
    total = of;
  };
  const auto summary = Generate(options);
  ASSERT_TRUE(summary.ok());
  EXPECT_EQ(last, summary->notices);
  EXPECT_EQ(last, total);
}

TEST_F(Generated, RefusesWhatItCannotDo) {
  const auto code = [this](std::uint64_t residents, int years, const std::string& out) {
    return Generate(
               {.residents = residents, .seed = 1, .out = out, .years = years, .progress = nullptr})
        .status()
        .code();
  };
  EXPECT_EQ(code(0, 5, (root_ / "a").string()), Code::kInvalid);
  EXPECT_EQ(code(10, -1, (root_ / "a").string()), Code::kInvalid);
  EXPECT_EQ(code(10, 0, ""), Code::kInvalid);
  std::ofstream(root_ / "file") << "x";
  EXPECT_EQ(code(10, 0, root_.string()), Code::kConflict);
  EXPECT_EQ(code(10, 0, (root_ / "file/below").string()), Code::kUnavailable);
}

TEST_F(Generated, FullDiskIsAnErrorAndLeavesNoManifest) {
  // A limit on the size of files stands for the full disk: the write fails half way.
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{20'000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const auto result = Generate({.residents = 2000,
                                .seed = 1,
                                .out = (root_ / "a").string(),
                                .years = 0,
                                .progress = nullptr});
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(result.status().code(), Code::kUnavailable);
  EXPECT_FALSE(fs::exists(root_ / "a/manifest.json"));
}

// Two values that any implementation of xoshiro256** seeded by splitmix64 must give.
TEST(GeneratorRandom, IsTheSameOnEveryMachine) {
  std::uint64_t state = 1234567;
  EXPECT_EQ(generate::SplitMix(state), 6457827717110365317u);
  EXPECT_EQ(generate::SplitMix(state), 3203168211198807973u);
}

TEST(GeneratorRandom, PermutationVisitsEveryNumberOnce) {
  const generate::Permutation permutation(4, 99);
  std::set<std::uint64_t> seen;
  for (std::uint64_t i = 0; i < 10'000; ++i) seen.insert(permutation(i));
  EXPECT_EQ(seen.size(), 10'000u);
  EXPECT_EQ(*seen.rbegin(), 9'999u);
}

}  // namespace
}  // namespace daicho
