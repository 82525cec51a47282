// Any bytes as a notice file, and any bytes as the lines of a file whose header fits them (a fuzzer
// does not find a SHA-256). Whatever comes in: no crash, bounded errors in order, and a file that
// reads without errors is written and read again to the same payloads.
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "consumers/notice_file.h"

namespace daicho {
namespace {

NoticeFileReading Read(const std::string& bytes) {
  std::istringstream in(bytes);
  Result<NoticeFileReading> reading = ReadNoticeStream(in);
  CHECK(reading.ok());
  return std::move(reading).value();
}

void CheckErrors(const std::vector<FileError>& errors) {
  CHECK(errors.size() <= kFileErrorsMax + 1);
  std::uint64_t line = 1;
  for (const FileError& error : errors) {
    CHECK(error.line >= line);
    CHECK(!error.rule.empty());
    CHECK(!error.message.empty());
    CHECK(error.field.size() < 200);
    line = error.line;
  }
}

void CheckRoundTrip(const NoticeFile& file) {
  CHECK(file.payloads.size() <= kFileNoticesMax);
  std::string lines;
  for (const std::string& payload : file.payloads) {
    v1::UpdateNotice notice;
    CHECK(notice.ParseFromString(payload));
    (lines += NoticeLine(notice)) += '\n';
  }
  const NoticeFileReading again = Read(WriteNoticeFile(file.issuer, file.sequence, lines));
  CHECK(again.errors.empty());
  CHECK(again.file.payloads == file.payloads);
}

void ReadAndCheck(const std::string& bytes) {
  const NoticeFileReading reading = Read(bytes);
  CheckErrors(reading.errors);
  if (reading.errors.empty()) CheckRoundTrip(reading.file);
}

}  // namespace
}  // namespace daicho

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  daicho::ReadAndCheck(bytes);
  daicho::ReadAndCheck(daicho::WriteNoticeFile("102016", 1, bytes));
  return 0;
}
