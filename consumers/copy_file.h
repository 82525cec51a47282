// The copy file (整合性確認用本人確認情報), NDJSON, plain or compressed by gzip or zstd, which is told from the first
// bytes:
//
//   {"format":"daicho-copy/1","holder":"102016","as_of":"2026-11-24T00:00:00+09:00","count":2}\n
//   {"resident_code":"24727059608","update_number":7,"status":"resident","record":{…}}\n
//   {"resident_code":"24846016224","update_number":3,"status":"removed","record":{…}}\n
//
// Lines are in any order, and may be more than memory holds (ledger/spill_sort.h). A file is usable whole or not at
// all, so that reading reports all of its errors. Judged is the form and what the comparison rests on (numbers and
// their check digits, the status): whether a record is right is what is being compared.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "consumers/notice_file.h"
#include "events/bytes.h"
#include "events/consistency.pb.h"

namespace daicho {

inline constexpr std::uint64_t kCopyRowsMax = 10'000'000;
inline constexpr std::uint64_t kCopyBytesMax = 16ull << 30;  // as read, and decompressed
inline constexpr std::size_t kCopyRunBytes = 64u << 20;      // sorted in memory at once

struct CopyHeader {
  std::string holder;  // "kikou" or a 市町村コード
  std::string as_of;   // RFC 3339 with offset
  std::uint64_t count = 0;
};

struct CopyFileOptions {
  std::string directory;                    // for what memory does not hold; must exist
  std::size_t run_bytes = kCopyRunBytes;
  std::uint64_t bytes_max = kCopyBytesMax;
};

// A file that was read: its rows by ascending 住民票コード, any number of times. One thread at a time.
class CopyFile {
 public:
  ~CopyFile();
  CopyFile(CopyFile&&) noexcept;

  const CopyHeader& header() const;
  const Digest& digest() const;  // of the bytes as they came, without errors: ConsistencyRun.copy_digest
  // By line; not empty: the file is refused, and has no rows.
  const std::vector<FileError>& errors() const;

  // To the first row. Errors: kUnavailable.
  Status Rewind();
  // False: no more. Errors: kUnavailable, kCorrupt.
  Result<bool> Next(v1::HeldCopy& row);

  // Errors: kNotFound, kUnavailable, also of `directory`; a bad file is an answer, not an error.
  static Result<CopyFile> Read(const std::string& path, const CopyFileOptions& options);
  static Result<CopyFile> Read(std::istream& in, const CopyFileOptions& options);

 private:
  struct Body;
  explicit CopyFile(std::unique_ptr<Body> body);
  std::unique_ptr<Body> body_;
};

enum class CopyCompression { kNone, kGzip, kZstd };

// Writes a copy file piece by piece; it appears under its name whole, or not at all. Mode 0600.
class CopyFileWriter {
 public:
  static Result<CopyFileWriter> Create(const std::string& path, const CopyHeader& header, CopyCompression compression);
  ~CopyFileWriter();
  CopyFileWriter(CopyFileWriter&&) noexcept;

  Status Append(const v1::HeldCopy& row);
  // Errors: kInvalid unless as many rows came as the header says.
  Status Commit();

 private:
  struct Body;
  explicit CopyFileWriter(std::unique_ptr<Body> body);
  std::unique_ptr<Body> body_;
};

// {"errors":[{"line","field","rule","message"[,"expected"]}…]}: a file that is refused.
std::string FileErrorsJson(const std::vector<FileError>& errors);

// The lines without their newlines.
std::string CopyHeaderLine(const CopyHeader& header);
std::string CopyLine(const v1::HeldCopy& row);
// "superseded" or "received", of a 保存期間フラグ that is not what the row's state asks for; else empty.
std::string_view RetentionWord(const v1::HeldCopy& row);

}  // namespace daicho
