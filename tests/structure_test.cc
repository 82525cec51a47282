// The shape of the tree, as a test: what CMake cannot enforce and a review forgets.
//
// Fails on an #include against the arrows events <- ledger <- projections <- consumers; on a
// library, a clock or a source of randomness used outside its one door; on a .cc that no
// CMakeLists.txt builds; on anything at the top level beyond the agreed list; on what was left half
// done. Every rule is itself tested, on a small tree with that one fault planted. Size and style
// are left to judgement.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace daicho {
namespace {

namespace fs = std::filesystem;

// In the order of the arrows: a folder uses those before it.
const std::vector<std::string> kLayers = {"events", "ledger", "projections", "consumers"};
const std::set<std::string> kTopLevel = {"CMakeLists.txt", "README.md",   "events",
                                         "ledger",         "projections", "consumers",
                                         "tests",          "bench",       "ops"};

// What only some files may use. The doors of a rule are paths, or beginnings of paths.
struct Door {
  std::string what;
  std::regex use;
  std::vector<std::string> doors;
  bool in_include;  // matched against #include lines, else against code without comments and
                    // literals
};

const std::vector<Door>& Doors() {
  static const std::vector<Door> doors = {
      {"OpenSSL", std::regex(R"(<openssl/)"), {"events/crypto"}, true},
      {"IPsec-MB", std::regex(R"(<intel-ipsec-mb)"), {"events/crypto_batch.cc"}, true},
      {"RocksDB", std::regex(R"(<rocksdb/)"), {"ledger/store.cc", "ledger/store_check.cc", "ledger/store_encryption.cc"}, true},
      {"PKCS#11", std::regex(R"(<p11-kit/)"), {"ledger/pkcs11.cc"}, true},
      {"librdkafka", std::regex(R"(<librdkafka/)"), {"ledger/kafka_log.cc"}, true},
      {"HarfBuzz", std::regex(R"(<hb[.-])"), {"consumers/letter_type.cc"}, true},
      {"cairo", std::regex(R"(<cairo)"), {"consumers/letter_drawing.cc"}, true},
      // One file pays for its templates and stops its exceptions. asio::ssl is TLS alone: what Daichō itself
      // signs, hashes and seals stays within events/crypto.
      {"Boost", std::regex(R"(<boost/)"), {"consumers/http.cc"}, true},
      {"the clock",
       std::regex(
           R"(\b(system_clock|utc_clock|tai_clock|gettimeofday|clock_gettime|CLOCK_REALTIME)\b)"
           R"(|\btime\s*\(\s*(nullptr|NULL|0|&))"),
       {"events/clock"},
       false},
      {"randomness",
       std::regex(R"(\b(rand|random)\s*\(\s*\)|\brandom_device\b|\bRAND_\w+)"
                  R"(|\b(srand|srandom|getrandom|getentropy|arc4random\w*)\s*\()"),
       {"events/crypto"},
       false},
  };
  return doors;
}

std::string Read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

bool StartsWithAny(const std::string& text, const std::vector<std::string>& beginnings) {
  return std::any_of(beginnings.begin(), beginnings.end(),
                     [&](const std::string& b) { return text.compare(0, b.size(), b) == 0; });
}

// `source` with its comments blanked, and its string and character literals too unless they are
// kept; line breaks stay, so that line numbers do.
std::string Code(const std::string& source, bool keep_literals) {
  std::string out = source;
  std::size_t i = 0;
  const auto blank_to = [&](std::size_t end) {
    for (end = std::min(end, out.size()); i < end; ++i) {
      if (out[i] != '\n') out[i] = ' ';
    }
  };
  const auto literal_to = [&](std::size_t end) {
    if (keep_literals) {
      i = std::min(end, out.size());
    } else {
      blank_to(end);
    }
  };
  const auto after = [&](std::string_view text, std::size_t from) {
    const std::size_t at = source.find(text, from);
    return at == std::string::npos ? source.size() : at + text.size();
  };
  while (i < source.size()) {
    const bool in_word = i > 0 && (std::isalnum(static_cast<unsigned char>(source[i - 1])) != 0);
    if (source.compare(i, 2, "//") == 0) {
      blank_to(std::min(source.find('\n', i), source.size()));
    } else if (source.compare(i, 2, "/*") == 0) {
      blank_to(after("*/", i + 2));
    } else if (source.compare(i, 2, "R\"") == 0) {
      const std::size_t open = std::min(source.find('(', i), source.size() - 1);
      literal_to(after(")" + source.substr(i + 2, open - i - 2) + "\"", open));
    } else if (source[i] == '"' || (source[i] == '\'' && !in_word)) {  // 1'000 is a number
      std::size_t end = i + 1;
      while (end < source.size() && source[end] != source[i] && source[end] != '\n') {
        end += source[end] == '\\' ? 2 : 1;
      }
      literal_to(end + 1);
    } else {
      ++i;
    }
  }
  return out;
}

class Scan {
 public:
  explicit Scan(fs::path root) : root_(std::move(root)) {}

  // One line per violation: "<path>[:<line>]: <what is wrong>".
  std::vector<std::string> Run() {
    CheckTopLevel();
    for (const std::string& folder : kTopLevel) {
      if (fs::is_directory(root_ / folder)) CheckFolder(folder);
    }
    std::sort(violations_.begin(), violations_.end());
    return std::move(violations_);
  }

 private:
  void CheckTopLevel() {
    const std::vector<std::string> ignored = IgnoredAtTop();
    for (const auto& entry : fs::directory_iterator(root_)) {
      const std::string name = entry.path().filename().string();
      if (name.front() == '.' || kTopLevel.contains(name) || StartsWithAny(name, ignored)) continue;
      violations_.push_back(name + ": not one of the agreed top-level entries");
    }
    for (const std::string& name : kTopLevel) {
      if (!fs::exists(root_ / name)) violations_.push_back(name + ": missing at the top level");
    }
  }

  // What .gitignore names at the top ("/build*/", "/CMakeUserPresets.json"), as beginnings of
  // names.
  std::vector<std::string> IgnoredAtTop() const {
    std::vector<std::string> beginnings;
    std::istringstream lines(Read(root_ / ".gitignore"));
    for (std::string line; std::getline(lines, line);) {
      if (line.size() < 2 || line.front() != '/') continue;
      beginnings.push_back(line.substr(1, line.find_last_not_of("*/")));
    }
    return beginnings;
  }

  void CheckFolder(const std::string& folder) {
    for (fs::recursive_directory_iterator it(root_ / folder), end; it != end; ++it) {
      const std::string name = it->path().filename().string();
      if (it->is_directory()) {
        if (name.front() == '.' || name == "node_modules") it.disable_recursion_pending();
        continue;
      }
      const std::string path = fs::relative(it->path(), root_).generic_string();
      const std::string extension = it->path().extension().string();
      if (extension == ".h" || extension == ".cc" || extension == ".proto") CheckSource(path);
      if (extension == ".cc") CheckBuilt(path);
    }
  }

  void CheckSource(const std::string& path) {
    const std::string source = Read(root_ / path);
    CheckUnfinished(path, source);
    const std::string folder = path.substr(0, path.find('/'));
    const auto layer = std::find(kLayers.begin(), kLayers.end(), folder);
    if (layer == kLayers.end()) return;  // tests and bench see all
    const std::set<std::string> below(kLayers.begin(), layer + 1);
    EachLine(Code(source, true), [&](std::size_t line, const std::string& text) {
      CheckInclude(path, line, text, below);
      CheckDoors(path, line, text, true);
    });
    EachLine(Code(source, false), [&](std::size_t line, const std::string& text) {
      CheckDoors(path, line, text, false);
    });
  }

  void CheckUnfinished(const std::string& path, const std::string& source) {
    static const std::regex commented(R"(^\s*(//|/\*)\s*#\s*include\b)");
    static const std::regex unfinished(
        "\\bFIX"
        "ME\\b");
    EachLine(source, [&](std::size_t line, const std::string& text) {
      if (std::regex_search(text, commented)) Report(path, line, "a commented-out include");
      if (std::regex_search(text, unfinished)) Report(path, line, "left unfinished");
    });
  }

  void CheckInclude(const std::string& path, std::size_t line, const std::string& text,
                    const std::set<std::string>& below) {
    static const std::regex include(
        R"re(^\s*(?:#\s*include|import(?:\s+public)?)\s*["<]([^">]+)[">])re");
    std::smatch match;
    if (!std::regex_search(text, match, include)) return;
    const std::string target = match[1];
    const std::string folder = target.substr(0, target.find('/'));
    if (target.compare(0, 2, "..") == 0) Report(path, line, "includes by relative path");
    if (folder != target && kTopLevel.contains(folder) && !below.contains(folder)) {
      Report(path, line, "includes " + target + ", against the arrows");
    }
  }

  void CheckDoors(const std::string& path, std::size_t line, const std::string& text,
                  bool include) {
    static const std::regex is_include(R"(^\s*#\s*include\b)");
    if (include && !std::regex_search(text, is_include)) return;
    for (const Door& door : Doors()) {
      if (door.in_include != include || StartsWithAny(path, door.doors)) continue;
      if (!std::regex_search(text, door.use)) continue;
      Report(path, line, "uses " + door.what + ", whose door is " + door.doors.front());
    }
  }

  // Named by a CMakeLists.txt of its folder or of one above, as "name.cc" or through a function of
  // ours: daicho_test(name …) builds name.cc, daicho_fuzz(name …) builds name_fuzz.cc.
  void CheckBuilt(const std::string& path) {
    for (fs::path folder = fs::path(path).parent_path();; folder = folder.parent_path()) {
      const fs::path lists = root_ / folder / "CMakeLists.txt";
      const fs::path name = fs::path(path).lexically_relative(folder.empty() ? "." : folder);
      if (fs::exists(lists) && BuiltBy(lists).contains(name.generic_string())) return;
      if (folder.empty()) break;
    }
    violations_.push_back(path + ": built by no CMakeLists.txt");
  }

  const std::set<std::string>& BuiltBy(const fs::path& lists) {
    const auto [known, fresh] = built_.try_emplace(lists.string());
    if (!fresh) return known->second;
    static const std::regex comment(R"(#[^\n]*)");
    static const std::regex named(R"((daicho_\w+)\s*\(\s*([\w/.-]+)|([\w/.-]+\.cc)\b)");
    const std::string text = std::regex_replace(Read(lists), comment, "");
    for (std::sregex_iterator it(text.begin(), text.end(), named), end; it != end; ++it) {
      const std::smatch& match = *it;
      const std::string suffix = match[1] == "daicho_fuzz" ? "_fuzz.cc" : ".cc";
      known->second.insert(match[3].matched ? match[3].str() : match[2].str() + suffix);
    }
    return known->second;
  }

  template <typename Visit>
  static void EachLine(const std::string& text, Visit visit) {
    std::istringstream lines(text);
    std::size_t number = 0;
    for (std::string line; std::getline(lines, line);) visit(++number, line);
  }

  void Report(const std::string& path, std::size_t line, const std::string& what) {
    violations_.push_back(path + ":" + std::to_string(line) + ": " + what);
  }

  const fs::path root_;
  std::vector<std::string> violations_;
  std::map<std::string, std::set<std::string>> built_;  // by CMakeLists.txt
};

std::string Joined(const std::vector<std::string>& lines) {
  std::string all;
  for (const std::string& line : lines) all += line + "\n";
  return all;
}

TEST(Structure, HoldsInThisRepository) {
  const std::vector<std::string> violations = Scan(DAICHO_SOURCE_DIR).Run();
  EXPECT_TRUE(violations.empty()) << Joined(violations);
}

// A small tree that keeps every rule, for a test to spoil.
class PlantedStructure : public ::testing::Test {
 protected:
  PlantedStructure() {
    std::string name = (fs::temp_directory_path() / "daicho-structure-XXXXXX").string();
    root_ = mkdtemp(name.data());
    for (const std::string& entry : kTopLevel) {
      if (entry.find('.') == std::string::npos) Write(entry + "/CMakeLists.txt", "");
    }
    Write("CMakeLists.txt", "");
    Write("README.md", "");
    Write(".gitignore", "/build*/\n/local.json\n*.pyc\n");
    Write("events/CMakeLists.txt", "target_sources(x PRIVATE clock.cc crypto.cc)\n");
    Write("events/clock.cc", "auto now() { return system_clock::now(); }\n");
    Write("events/crypto.cc", "#include <openssl/rand.h>\nint f() { return RAND_bytes(p, 1); }\n");
    Write("ledger/CMakeLists.txt", "add_library(x store.cc kafka_log.cc)\n");
    Write("ledger/store.cc", "#include <rocksdb/db.h>\n#include \"events/clock.h\"\n");
    Write("ledger/kafka_log.cc", "#include <librdkafka/rdkafka.h>\n#include \"ledger/store.h\"\n");
    Write("tests/CMakeLists.txt", "daicho_test(all_test unit)\n");
    Write("tests/all_test.cc", "#include <rocksdb/db.h>\n#include \"consumers/a.h\"\n");
  }
  ~PlantedStructure() override { fs::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path, std::ios::binary) << text;
  }
  void Remove(const std::string& path) { fs::remove_all(root_ / path); }
  std::string Violations() { return Joined(Scan(root_).Run()); }

  fs::path root_;
};

TEST_F(PlantedStructure, AcceptsATreeThatKeepsEveryRule) { EXPECT_EQ(Violations(), ""); }

TEST_F(PlantedStructure, FindsAnIncludeAgainstTheArrows) {
  Write("events/a.h", "\n#include \"ledger/store.h\"\n");
  Write("projections/b.h", "  #  include \"consumers/b.h\"\n#include \"tests/c.h\"\n");
  EXPECT_EQ(Violations(),
            "events/a.h:2: includes ledger/store.h, against the arrows\n"
            "projections/b.h:1: includes consumers/b.h, against the arrows\n"
            "projections/b.h:2: includes tests/c.h, against the arrows\n");
}

TEST_F(PlantedStructure, FindsASchemaImportAgainstTheArrows) {
  Write("events/a.proto", "import \"ledger/b.proto\";\nimport \"google/protobuf/any.proto\";\n");
  EXPECT_EQ(Violations(), "events/a.proto:1: includes ledger/b.proto, against the arrows\n");
}

TEST_F(PlantedStructure, FindsARelativeInclude) {
  Write("ledger/a.h", "#include \"../events/clock.h\"\n");
  EXPECT_EQ(Violations(), "ledger/a.h:1: includes by relative path\n");
}

TEST_F(PlantedStructure, FindsALibraryOutsideItsDoor) {
  Write("ledger/a.h",
        "#include <openssl/evp.h>\n#include <rocksdb/db.h>\n#include <librdkafka/rdkafka.h>\n");
  EXPECT_EQ(Violations(),
            "ledger/a.h:1: uses OpenSSL, whose door is events/crypto\n"
            "ledger/a.h:2: uses RocksDB, whose door is ledger/store.cc\n"
            "ledger/a.h:3: uses librdkafka, whose door is ledger/kafka_log.cc\n");
}

TEST_F(PlantedStructure, FindsTheClockOutsideItsHome) {
  Write("projections/a.h",
        "auto a = std::chrono::system_clock::now();\nauto b = time(nullptr);\nauto c = std::time "
        "(&x);\n"
        "auto d = steady_clock::now();\nauto e = entry.time();\nauto f = admitted_time(0);\n");
  EXPECT_EQ(Violations(),
            "projections/a.h:1: uses the clock, whose door is events/clock\n"
            "projections/a.h:2: uses the clock, whose door is events/clock\n"
            "projections/a.h:3: uses the clock, whose door is events/clock\n");
}

TEST_F(PlantedStructure, FindsRandomnessOutsideItsHome) {
  Write("consumers/a.h",
        "std::random_device d;\nint b = rand();\nint c = RAND_bytes(p, n);\nint operand(); Random "
        "random(seed);\n");
  EXPECT_EQ(Violations(),
            "consumers/a.h:1: uses randomness, whose door is events/crypto\n"
            "consumers/a.h:2: uses randomness, whose door is events/crypto\n"
            "consumers/a.h:3: uses randomness, whose door is events/crypto\n");
}

TEST_F(PlantedStructure, ReadsPastCommentsAndLiterals) {
  Write("ledger/a.h",
        "// system_clock\n/* rand()\n RAND_bytes */\nauto s = \"random_device \\\" rand()\";\n"
        "auto r = R\"x(system_clock \" )x\";\nint n = 1'000; auto t = system_clock::now();\n");
  EXPECT_EQ(Violations(), "ledger/a.h:6: uses the clock, whose door is events/clock\n");
}

TEST_F(PlantedStructure, FindsASourceThatNothingBuilds) {
  Write("tests/CMakeLists.txt", "# daicho_test(lost_test unit)\ndaicho_test(all_test unit)\n");
  Write("tests/lost_test.cc", "");
  Write("consumers/CMakeLists.txt", "target_sources(x PRIVATE web/page.cc)\n");
  Write("consumers/web/page.cc", "");
  Write("consumers/web/lost.cc", "");
  Write("tests/fuzz/CMakeLists.txt", "daicho_fuzz(entry daicho::events)\n");
  Write("tests/fuzz/entry_fuzz.cc", "");
  EXPECT_EQ(Violations(),
            "consumers/web/lost.cc: built by no CMakeLists.txt\n"
            "tests/lost_test.cc: built by no CMakeLists.txt\n");
}

TEST_F(PlantedStructure, FindsWhatIsTooMuchAndTooLittleAtTheTop) {
  Write("build-old/x.o", "");
  Write("local.json", "");
  Write(".editor", "");
  Write("notes.md", "");
  Remove("bench");
  EXPECT_EQ(Violations(),
            "bench: missing at the top level\n"
            "notes.md: not one of the agreed top-level entries\n");
}

TEST_F(PlantedStructure, FindsWhatWasLeftHalfDone) {
  Write("tests/a.h",
        "// FIX"
        "ME later\n  // #include \"events/a.h\"\n");
  EXPECT_EQ(Violations(),
            "tests/a.h:1: left unfinished\n"
            "tests/a.h:2: a commented-out include\n");
}

}  // namespace
}  // namespace daicho
