// The reader of the copy file against every way a file can be bad: each test damages a good file in one way and expects
// exactly that line, field and rule. What is good comes back in the order of its 住民票コード, whatever the order of
// its lines and however little memory there is.
#include "consumers/copy_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <sstream>

#include "events/codes.h"
#include "events/crypto.h"
#include "ledger/files.h"
#include "prefecture.h"
#include "projections/copy_item.h"

namespace daicho {
namespace {

const CopyHeader kHeader{.holder = "102016", .as_of = "2026-11-24T00:00:00+09:00", .count = 2};
constexpr char kFirst[] =
    R"({"resident_code":"24727059608","update_number":7,"status":"resident","record":{"name":"渡邊 花子","kana":"わたなべ はなこ",)"
    R"("kana_certified":true,"birth":"1988-02-29","sex":"female","address":{"municipality":"102016","text":"大手町一丁目１番１号"},)"
    R"("individual_number":"123456789018"}})";
constexpr char kSecond[] =
    R"({"resident_code":"24846016224","update_number":3,"status":"removed","record":{"name":"佐藤 一","kana":"さとう はじめ",)"
    R"("kana_certified":false,"birth":"????-??-??","sex":"male","address":{"municipality":"131016","text":"千代田一番"}}})";

std::string Replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  CHECK(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

class CopyFileTest : public ::testing::Test {
 protected:
  Result<CopyFile> Read(const std::string& bytes, CopyFileOptions options = {}) {
    options.directory = directory_ / "";
    std::istringstream in(bytes);
    return CopyFile::Read(in, options);
  }
  static std::string File(const std::string& header, const std::vector<std::string>& lines) {
    std::string bytes = header + "\n";
    for (const std::string& line : lines) bytes += line + "\n";
    return bytes;
  }
  static std::vector<std::string> Lines(CopyFile& file) {
    std::vector<std::string> lines;
    v1::HeldCopy row;
    while (file.Next(row).value()) lines.push_back(CopyLine(row));
    return lines;
  }
  // "line:field:rule" of each.
  std::vector<std::string> Errors(const std::string& bytes, CopyFileOptions options = {}) {
    Result<CopyFile> file = Read(bytes, options);
    CHECK(file.ok());
    std::vector<std::string> out;
    for (const FileError& error : file->errors()) {
      EXPECT_FALSE(error.message.empty());
      out.push_back(std::to_string(error.line) + ":" + error.field + ":" + error.rule);
    }
    EXPECT_EQ(Lines(*file).empty(), !out.empty() || file->header().count == 0);
    return out;
  }
  std::vector<std::string> LineErrors(std::string_view from, std::string_view to) {
    return Errors(File(CopyHeaderLine(kHeader), {Replaced(kFirst, from, to), kSecond}));
  }
  std::vector<std::string> HeaderErrors(std::string_view from, std::string_view to) {
    return Errors(File(Replaced(CopyHeaderLine(kHeader), from, to), {kFirst, kSecond}));
  }

  TemporaryDirectory directory_;
};

using Expected = std::vector<std::string>;

TEST_F(CopyFileTest, ReadsWhatItsFormatSays) {
  const std::string bytes = File(CopyHeaderLine(kHeader), {kSecond, kFirst});
  EXPECT_TRUE(bytes.starts_with(
      R"({"format":"daicho-copy/1","holder":"102016","as_of":"2026-11-24T00:00:00+09:00","count":2})"));
  CopyFile file = Read(bytes).value();
  ASSERT_TRUE(file.errors().empty());
  EXPECT_EQ(file.header().holder, "102016");
  EXPECT_EQ(file.header().as_of, kHeader.as_of);
  EXPECT_EQ(file.header().count, 2);
  EXPECT_EQ(file.digest(), Sha256Of({bytes}));
  EXPECT_EQ(Lines(file), (Expected{kFirst, kSecond}));
  ASSERT_TRUE(file.Rewind().ok());
  EXPECT_EQ(Lines(file), (Expected{kFirst, kSecond}));
}

TEST_F(CopyFileTest, TheRetentionFlagIsWrittenWhereItIsNotWhatTheStatusAsksFor) {
  const std::string said = Replaced(kFirst, "}}", R"(},"retention":"received"})");
  const std::string unsaid = Replaced(kSecond, "}}}", R"(}},"retention":"received"})");
  CopyFile file = Read(File(CopyHeaderLine(kHeader), {said, unsaid})).value();
  ASSERT_TRUE(file.errors().empty());
  EXPECT_EQ(Lines(file), (Expected{said, kSecond}));
}

TEST_F(CopyFileTest, OfNobodyIsGood) {
  EXPECT_EQ(Errors(R"({"format":"daicho-copy/1","holder":"kikou","as_of":"2026-11-24T00:00:00Z","count":0})"
                   "\n"),
            Expected{});
}

TEST_F(CopyFileTest, LinesComeInAnyOrderAndMoreThanFitInMemory) {
  std::mt19937_64 random(1);
  std::vector<std::string> lines;
  for (std::uint64_t n = 0; n < 3'000; ++n) {
    std::string code = CodeText((n * 3'000'017 + 5) * 10);
    code.back() = ResidentCodeCheckDigit(std::string_view(code).substr(0, 10));
    lines.push_back(Replaced(kFirst, "24727059608", code));
  }
  lines.push_back(Replaced(lines[7], "花子", "太郎"));  // the same code once more: both come, in the order of the file
  std::vector<std::string> shuffled = lines;
  std::shuffle(shuffled.begin(), shuffled.end() - 1, random);
  CopyHeader header = kHeader;
  header.count = lines.size();
  std::ranges::stable_sort(lines, {}, [](const std::string& line) { return line.substr(18, 11); });
  for (const std::size_t run_bytes : {10'000ul, 300'000ul, kCopyRunBytes}) {
    CopyFile file = Read(File(CopyHeaderLine(header), shuffled), {.directory = "", .run_bytes = run_bytes}).value();
    ASSERT_TRUE(file.errors().empty());
    EXPECT_EQ(Lines(file), lines);
    EXPECT_TRUE(std::filesystem::is_empty(directory_ / ""));
  }
}

TEST_F(CopyFileTest, EveryNumberIsChecked) {
  EXPECT_EQ(LineErrors("24727059608", "24727059609"), Expected{"2:resident_code:check_digit"});
  EXPECT_EQ(LineErrors("24727059608", "2472705960"), Expected{"2:resident_code:format"});
  EXPECT_EQ(LineErrors("123456789018", "123456789019"), Expected{"2:record.individual_number:check_digit"});
  EXPECT_EQ(LineErrors("123456789018", "12345678901x"), Expected{"2:record.individual_number:format"});
  EXPECT_EQ(LineErrors("102016", "102017"), Expected{"2:record.address.municipality:check_digit"});
  EXPECT_EQ(LineErrors("\"102016\"", "\"\""), Expected{"2:record.address.municipality:format"});
  EXPECT_EQ(LineErrors(":7,", ":0,"), Expected{"2:update_number:range"});
  EXPECT_EQ(LineErrors("\"resident\"", "\"moved\""), Expected{"2:status:unknown_value"});
  EXPECT_EQ(LineErrors("}}", "},\"retention\":\"admitted\"}"), Expected{"2:retention:unknown_value"});
}

TEST_F(CopyFileTest, WhetherARecordIsRightIsNotJudged) {
  EXPECT_EQ(LineErrors("1988-02-29", "1988-13-99"), Expected{});
  EXPECT_EQ(LineErrors("渡邊 花子", "  "), Expected{});
}

TEST_F(CopyFileTest, TheFormOfALineIsStrict) {
  EXPECT_EQ(LineErrors("\"status\":\"resident\",", ""), Expected{"2:status:required"});
  EXPECT_EQ(LineErrors("\"status\"", "\"changed_on\":\"\",\"status\""), Expected{"2:changed_on:unknown_field"});
  EXPECT_EQ(LineErrors("\"24727059608\"", "24727059608"), Expected{"2:resident_code:type"});
  EXPECT_EQ(LineErrors("{\"resident", "resident"), Expected{"2::json"});
  EXPECT_EQ(LineErrors("花", "\xFF"), Expected{"2::utf8"});
  EXPECT_EQ(Errors(File(CopyHeaderLine(kHeader), {kFirst, ""})), Expected{"3::empty_line"});
}

TEST_F(CopyFileTest, TheHeaderIsChecked) {
  EXPECT_EQ(HeaderErrors("daicho-copy/1", "daicho-copy/2"), Expected{"1:format:unknown_value"});
  EXPECT_EQ(HeaderErrors("102016", "102017"), Expected{"1:holder:check_digit"});
  EXPECT_EQ(HeaderErrors("102016", "Kikou"), Expected{"1:holder:format"});
  EXPECT_EQ(HeaderErrors("+09:00", ""), Expected{"1:as_of:timestamp"});
  EXPECT_EQ(HeaderErrors(":2}", ":3}"), Expected{"1:count:count"});
  EXPECT_EQ(HeaderErrors(":2}", ":1}"), Expected{"3::count"});
  EXPECT_EQ(HeaderErrors(":2}", ":10000001}"), Expected{"1:count:limit"});
  EXPECT_EQ(HeaderErrors(":2}", ":-1}"), Expected{"1:count:range"});
  EXPECT_EQ(Errors(""), Expected{"1::required"});
}

TEST_F(CopyFileTest, AllErrorsAreReportedByLine) {
  EXPECT_EQ(Errors(File(Replaced(CopyHeaderLine(kHeader), "102016", "102017"),
                        {Replaced(kFirst, "24727059608", "24727059609"), "{}"})),
            (Expected{"1:holder:check_digit", "2:resident_code:check_digit", "3:resident_code:required",
                      "3:update_number:required", "3:status:required", "3:record:required"}));
}

TEST_F(CopyFileTest, ErrorsAreBounded) {
  CopyHeader header = kHeader;
  header.count = 5'000;
  const Expected errors = Errors(File(CopyHeaderLine(header), std::vector<std::string>(5'000, "x")));
  ASSERT_EQ(errors.size(), kFileErrorsMax + 1);
  EXPECT_EQ(errors.back(), "1002::too_many");
}

TEST_F(CopyFileTest, WhatIsCutShortOrTooLongIsRefused) {
  const std::string good = File(CopyHeaderLine(kHeader), {kFirst, kSecond});
  EXPECT_EQ(Errors(good.substr(0, good.size() - 1)), Expected{"3::truncated"});
  EXPECT_EQ(Errors(good, {.directory = "", .bytes_max = good.size() - 1}), Expected{"1::limit"});
  EXPECT_EQ(Errors(good, {.directory = "", .bytes_max = good.size()}), Expected{});
  EXPECT_EQ(Errors(File(CopyHeaderLine(kHeader), {std::string(kLineBytesMax + 1, ' '), kSecond})),
            Expected{"2::limit"});
}

// A stream that never ends, of lines, of one line, of a header.
TEST_F(CopyFileTest, AStreamWithoutEndEnds) {
  class Endless : public std::streambuf {
   public:
    Endless(std::string start, std::string again) : start_(std::move(start)), again_(std::move(again)) {}
    std::uint64_t given = 0;

   protected:
    std::streamsize xsgetn(char* out, std::streamsize size) override {
      for (std::streamsize i = 0; i < size; ++i, ++given) {
        out[i] = given < start_.size() ? start_[given] : again_[(given - start_.size()) % again_.size()];
      }
      return size;
    }

   private:
    std::string start_, again_;
  };
  const auto read = [&](const std::string& start, const std::string& again) {
    Endless endless(start, again);
    std::istream in(&endless);
    const CopyFile file = CopyFile::Read(in, {.directory = directory_ / "", .bytes_max = 50u << 20}).value();
    EXPECT_FALSE(file.errors().empty());
    return endless.given;
  };
  const std::string header = CopyHeaderLine(kHeader) + "\n";
  EXPECT_LT(read(header, std::string(kFirst) + "\n"), 200'000);  // ends where the header's count does
  EXPECT_LT(read(header, "x"), 60u << 20);
  EXPECT_LT(read("", "x"), 60u << 20);
  EXPECT_LT(read(Replaced(header, ":2}", ":9000000}"), std::string(kFirst) + "\n"), 60u << 20);
}

TEST_F(CopyFileTest, WhatIsWrittenIsReadBack) {
  const std::string path = directory_ / "copy";
  v1::HeldCopy first, second;
  {
    CopyFile file = Read(File(CopyHeaderLine(kHeader), {kFirst, kSecond})).value();
    ASSERT_TRUE(file.Next(first).value() && file.Next(second).value());
  }
  for (const CopyCompression compression : {CopyCompression::kNone, CopyCompression::kGzip, CopyCompression::kZstd}) {
    CopyFileWriter writer = CopyFileWriter::Create(path, kHeader, compression).value();
    ASSERT_TRUE(writer.Append(second).ok());
    EXPECT_EQ(writer.Commit().code(), Code::kInvalid);
    ASSERT_TRUE(writer.Append(first).ok());
    EXPECT_EQ(writer.Append(first).code(), Code::kInvalid);
    ASSERT_TRUE(writer.Commit().ok());
    const std::string bytes = ReadFile(path).value();
    CopyFile file = CopyFile::Read(path, {.directory = directory_ / ""}).value();
    EXPECT_EQ(file.digest(), Sha256Of({bytes}));
    EXPECT_EQ(Lines(file), (Expected{kFirst, kSecond}));
    EXPECT_EQ(bytes.find("渡邊") == std::string::npos, compression != CopyCompression::kNone);
    struct stat status;
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600);
    if (compression == CopyCompression::kNone) continue;
    EXPECT_EQ(Errors(bytes.substr(0, bytes.size() - 3)).back().substr(1), "::truncated");
    EXPECT_EQ(Errors(bytes + "x").back().substr(1), "::trailing");
  }
}

TEST_F(CopyFileTest, WithoutCommitNothingIsThere) {
  const std::string path = directory_ / "copy";
  { ASSERT_TRUE(CopyFileWriter::Create(path, kHeader, CopyCompression::kNone).ok()); }
  EXPECT_FALSE(FileExists(path));
  EXPECT_EQ(CopyFile::Read(path, {.directory = directory_ / ""}).status().code(), Code::kNotFound);
}

TEST_F(CopyFileTest, ADirectoryThatIsNotThereIsSaid) {
  std::istringstream in(File(CopyHeaderLine(kHeader), {kFirst, kSecond}));
  EXPECT_FALSE(CopyFile::Read(in, {.directory = "/nowhere/at/all", .run_bytes = 10}).ok());
}

}  // namespace
}  // namespace daicho
