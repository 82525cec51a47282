// A municipality's end of a comparison by sketch: what is in the sketch, of which position, and what is refused with
// nothing written. Method: real copy files and a gateway's home; the truth is a fingerprint of the rows that should be in it.
// That both sides take the same rows is shown in consistency_audit_test.cc.
#include "consumers/copy_sketching.h"

#include <gtest/gtest.h>

#include "consumers/copy_file.h"
#include "consumers/gateway.h"
#include "consumers/kikou_line.h"
#include "ledger/files.h"
#include "prefecture.h"
#include "projections/copy_fingerprint.h"

namespace daicho {
namespace {

class CopySketching : public ::testing::Test {
 protected:
  CopySketching() {
    EXPECT_TRUE(CreateGateway(order_.gateway, kMaebashi, "").ok());
    EXPECT_TRUE(WriteCopyKeyFile(order_.key, key_).ok());
    for (int i = 0; i < 5; ++i) rows_.push_back(HeldRow(Birth(Person(i), kMaebashi)));
  }
  void Admitted(int sequence, const std::string& positions) {
    const std::string path = order_.gateway + "/files/00000" + std::to_string(sequence) + ".json";
    EXPECT_TRUE(WriteFileDurably(path, "{\"positions\":" + positions + "}\n").ok());
  }
  Result<CopySketch> Write(const std::string& holder = kMaebashi, std::size_t more = 0) {
    std::string bytes = CopyHeaderLine({holder, "2026-11-24T00:00:00+09:00", rows_.size() + more}) + "\n";
    for (const v1::HeldCopy& row : rows_) bytes += CopyLine(row) + "\n";
    EXPECT_TRUE(WriteFileDurably(order_.copy, bytes).ok());
    return WriteCopySketch(order_);
  }
  // "line:field:rule" of each; nothing must have been written.
  std::vector<std::string> Errors(const Result<CopySketch>& sketch) {
    EXPECT_TRUE(sketch.ok()) << sketch.status().ToString();
    EXPECT_FALSE(FileExists(order_.out));
    std::vector<std::string> out;
    for (const FileError& error : sketch->errors) {
      out.push_back(std::to_string(error.line) + ":" + error.field + ":" + error.rule);
    }
    return out;
  }
  void ExpectRefused(Code code, std::string_view reason) {
    const Status status = Write().status();
    EXPECT_EQ(status.code(), code) << status.ToString();
    EXPECT_NE(status.message().find(reason), std::string::npos) << status.ToString();
    EXPECT_FALSE(FileExists(order_.out));
  }

  TemporaryDirectory directory_;
  const CopyKey key_ = CopyKeyOfMunicipality({.epoch = 2, .secret = RandomArray<32>()}, kMaebashi);
  CopySketchOrder order_{.gateway = directory_ / "g", .key = directory_ / "key", .copy = directory_ / "copy",
                         .out = directory_ / "out", .position = Position(40)};
  std::vector<v1::HeldCopy> rows_;
};

TEST_F(CopySketching, IsOfTheRowsThatStandWithTheMunicipality) {
  CopyFingerprint fingerprint(std::make_shared<CopyKeying>(key_));
  for (const v1::HeldCopy& row : rows_) fingerprint.Add(fingerprint.keying().Item(row));
  v1::HeldCopy removed = HeldRow(Birth(Person(8), kMaebashi));
  removed.set_removed(true);
  rows_.insert(rows_.begin(), {removed, HeldRow(Birth(Person(9), kTakasaki))});
  const auto sketch = Write();
  ASSERT_TRUE(sketch.ok() && sketch->errors.empty()) << sketch.status().ToString();
  EXPECT_EQ(sketch->rows, 5u);
  EXPECT_EQ(sketch->passed_over, 2u);
  EXPECT_EQ(ReadFile(order_.out).value(), WriteSketchFile(fingerprint, Position(40)));

  order_.lengthened = true;
  ASSERT_TRUE(RemoveFile(order_.out).ok());
  ASSERT_TRUE(Write().ok());
  EXPECT_EQ(ReadSketchHead(ReadFile(order_.out).value())->cells, kCopyCellsMax);
}

TEST_F(CopySketching, IsCutBehindTheNewestAdmittedFileUnlessToldWhere) {
  EXPECT_EQ(Write()->position, Position(40));
  order_.position.reset();
  ASSERT_TRUE(RemoveFile(order_.out).ok());
  ExpectRefused(Code::kInvalid, "position");
  Admitted(1, "[30,34]");
  Admitted(2, "[50,61]");
  EXPECT_EQ(Write()->position, Position(61));
  EXPECT_EQ(ReadSketchHead(ReadFile(order_.out).value())->cut.position, Position(61));
  ASSERT_TRUE(RemoveFile(order_.out).ok());
  Admitted(2, "[50]");
  ExpectRefused(Code::kCorrupt, "000002.json");
}

TEST_F(CopySketching, OfABadCopyTellsAllItsErrors) {
  EXPECT_EQ(Errors(Write(kTakasaki)), std::vector<std::string>({"1:holder:holder"}));
  EXPECT_EQ(Errors(Write("102017", 1)), std::vector<std::string>({"1:holder:check_digit", "1:count:count"}));
  rows_[1].set_resident_code("12345678901");
  EXPECT_EQ(Errors(Write(kTakasaki)), std::vector<std::string>({"1:holder:holder", "3:resident_code:check_digit"}));
}

// What is in a sketch twice takes itself out of it.
TEST_F(CopySketching, IsRefusedOfACopyWithACodeTwice) {
  std::ranges::sort(rows_, {}, [](const v1::HeldCopy& row) { return row.resident_code(); });
  rows_.push_back(rows_[1]);
  rows_.push_back(rows_[4]);
  rows_.back().set_update_number(2);
  EXPECT_EQ(Errors(Write()), std::vector<std::string>({"3:resident_code:duplicate", "7:resident_code:duplicate"}));
  rows_.back().set_removed(true);
  rows_.erase(rows_.end() - 2);
  EXPECT_EQ(Write()->rows, 5u);
}

TEST_F(CopySketching, WithoutAHomeOrAKeyIsRefused) {
  ASSERT_TRUE(WriteFileDurably(order_.key, "2:12\n").ok());
  ExpectRefused(Code::kInvalid, "copy key");
  order_.key = directory_ / "none";
  ExpectRefused(Code::kNotFound, "none");
  order_.gateway = directory_ / "nowhere";
  ExpectRefused(Code::kNotFound, "gateway");
}

}  // namespace
}  // namespace daicho
