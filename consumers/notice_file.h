// The notice file (市町村 → 都道府県), NDJSON, plain or compressed by gzip or zstd, which is told
// from the first bytes and not from the name:
//
//   {"format":"daicho-notice/1","issuer":"102016","sequence":41,"count":2,"sha256":"…"}\n
//   {"resident_code":"24727059608","update_number":1,"kind":"entry", …}\n
//   {"resident_code":"24846016224","update_number":7,"kind":"amend", …}\n
//
// `sha256` covers every byte after the first newline. A file is usable whole or not at all, so
// reading reports all of its errors, sorted by line. Memory and time are bounded by the limits
// below whatever the input: a line, a file or a compressed bomb beyond them is refused at the
// limit.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "consumers/notice_json.h"
#include "events/result.h"

namespace daicho {

inline constexpr std::uint64_t kFileNoticesMax = 10'000;
inline constexpr std::size_t kLineBytesMax = 2u << 20;     // 20 external glyphs fit
inline constexpr std::uint64_t kFileBytesMax = 64u << 20;  // as read, and decompressed
inline constexpr std::size_t kFileErrorsMax = 1'000;       // then one "too_many"

struct FileError {
  std::uint64_t line = 0;  // from 1, the header
  std::string field;       // JSON path within the line; "" is the line itself
  std::string rule;
  std::string message;                    // for people, in Japanese; carries no personal data
  std::optional<std::uint64_t> expected;  // of rules that expect a number
  friend bool operator==(const FileError&, const FileError&) = default;
};

struct NoticeFile {
  std::string issuer;
  std::uint64_t sequence = 0;  // of the file: 1, 2, 3 … per issuer
  std::string sha256_hex;      // as computed over the body
  std::vector<std::string>
      payloads;  // v1::UpdateNotice per line, serialised; notice i is line i + 2
};

struct NoticeFileReading {
  NoticeFile file;                // meaningful only without errors
  std::vector<FileError> errors;  // by line; empty: the file is usable
};

// Judges form (JSON, header, hash) and content (CheckNotice) together.
// Errors: kNotFound, kUnavailable — of input only; a bad file is an answer, not an error.
Result<NoticeFileReading> ReadNoticeFile(const std::string& path);
Result<NoticeFileReading> ReadNoticeStream(std::istream& in);

// The first line without its newline. `sha256_hex`: of all that follows.
std::string NoticeFileHeader(std::string_view issuer, std::uint64_t sequence, std::uint64_t count,
                             std::string_view sha256_hex);
// A whole file around its lines, each ended by a newline.
std::string WriteNoticeFile(std::string_view issuer, std::uint64_t sequence,
                            std::string_view lines);
std::string WriteNoticeFile(std::string_view issuer, std::uint64_t sequence,
                            std::span<const v1::UpdateNotice> notices);

}  // namespace daicho
