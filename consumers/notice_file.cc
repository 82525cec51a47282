#include "consumers/notice_file.h"


#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <memory>
#include <utility>

#include "consumers/decompress.h"
#include "events/codes.h"
#include "events/crypto.h"
#include "events/notice_rules.h"

namespace daicho {
namespace {

constexpr std::string_view kFormat = "daicho-notice/1";
constexpr std::size_t kSha256HexDigits = 64;

struct Header {
  std::string format;
  std::string issuer;
  std::uint64_t sequence = 0;
  std::uint64_t count = 0;
  std::string sha256;
};

constexpr JsonField kHeaderFields[] = {
    JsonText<&Header::format>("format", kRequired),
    JsonText<&Header::issuer>("issuer", kRequired),
    JsonNumber<&Header::sequence, 1>("sequence", kRequired),
    JsonNumber<&Header::count, 1>("count", kRequired),
    JsonText<&Header::sha256>("sha256", kRequired),
};
constexpr JsonSchema kHeaderSchema = {kHeaderFields};

// True if a break of the form at `form` already says why the content of `field` cannot be right.
bool Explains(std::string_view form, std::string_view field) {
  return field.starts_with(form) && (form.empty() || field.size() == form.size() ||
                                     field[form.size()] == '.' || field[form.size()] == '[');
}

// Takes the file's bytes in pieces and turns them into notices and errors.
class FileParser {
 public:
  // False: no more is wanted, the file is refused already.
  bool Take(std::string_view piece) {
    bytes_ += piece.size();
    if (bytes_ > kFileBytesMax) return Stop("limit", "ファイルが大きすぎます（64MiBまで）");
    while (!piece.empty()) {
      const std::size_t newline = piece.find('\n');
      if (newline == std::string_view::npos) {
        Hash(piece);
        KeepPart(piece);
        return true;
      }
      Hash(piece.substr(0, newline + 1));
      if (!EndLine(piece.substr(0, newline))) return false;
      piece.remove_prefix(newline + 1);
    }
    return true;
  }

  NoticeFileReading Finish(StreamEnd end) && {
    switch (end) {
      case StreamEnd::kComplete:
        break;
      case StreamEnd::kStopped:
        break;
      case StreamEnd::kTooLong:
        Stop("limit", "ファイルが大きすぎます（64MiBまで）");
        break;
      case StreamEnd::kTruncated:
        Stop("truncated", "圧縮データが途中で切れています");
        break;
      case StreamEnd::kDamaged:
        Stop("compression", "圧縮データが壊れています");
        break;
      case StreamEnd::kTrailing:
        Stop("trailing", "圧縮データの後に余分なデータがあります");
        break;
    }
    if (!stopped_ && (overlong_ || !part_.empty())) {
      Stop("truncated", "ファイルが途中で切れています（最後の行が改行で終わっていません）");
    }
    if (!stopped_ && line_ == 1) Stop("required", "ファイルが空です");
    // What was not read to its end cannot be counted or hashed.
    if (!stopped_ && header_read_) CheckWhole();
    std::stable_sort(errors_.begin(), errors_.end(),
                     [](const FileError& a, const FileError& b) { return a.line < b.line; });
    reading_.errors = std::move(errors_);
    return std::move(reading_);
  }

 private:
  // The hash begins after the first line.
  void Hash(std::string_view bytes) {
    if (line_ > 1) body_hash_.Update(bytes);
  }

  // The line's beginning, to be ended by a later piece. What is too long is dropped, not kept.
  void KeepPart(std::string_view part) {
    if (part_.size() + part.size() > kLineBytesMax) overlong_ = true;
    if (overlong_) {
      part_.clear();
    } else {
      part_ += part;
    }
  }

  bool EndLine(std::string_view rest) {
    std::string_view line = rest;
    if (overlong_ || !part_.empty() || rest.size() > kLineBytesMax) {
      KeepPart(rest);
      line = part_;
    }
    if (overlong_) {
      Add({"", "limit", "行が長すぎます（2MiBまで）"});
    } else if (line_ == 1) {
      TakeHeader(line);
    } else if (line_ - 1 > kFileNoticesMax) {
      Stop("limit", "通知が多すぎます（1ファイル10,000件まで）");
    } else {
      TakeNotice(line);
    }
    part_.clear();
    overlong_ = false;
    ++line_;
    return !stopped_;
  }

  void TakeHeader(std::string_view line) {
    Header header;
    JsonReading form = ReadJson(line, kHeaderSchema, &header);
    const auto broken = [&](std::string_view field) {
      return std::any_of(form.breaks.begin(), form.breaks.end(),
                         [&](const RuleBreak& b) { return Explains(b.field, field); });
    };
    for (const RuleBreak& b : form.breaks) Add(b);
    if (!form.complete) return;
    if (!broken("format") && header.format != kFormat) {
      // Another format's lines mean nothing to us: they are not read.
      Stop("unknown_value", "この形式（format）のファイルは読めません", "format");
      return;
    }
    if (!broken("issuer")) CheckIssuer(header.issuer);
    if (!broken("count")) {
      if (header.count > kFileNoticesMax) {
        Add({"count", "limit", "通知が多すぎます（1ファイル10,000件まで）"});
      } else {
        count_ = header.count;
      }
    }
    if (!broken("sha256")) {
      const bool hex = header.sha256.size() == kSha256HexDigits &&
                       header.sha256.find_first_not_of("0123456789abcdef") == std::string::npos;
      if (hex) {
        sha256_ = header.sha256;
      } else {
        Add({"sha256", "format", "SHA-256は小文字の16進数64桁です"});
      }
    }
    header_read_ = true;
    reading_.file.sequence = header.sequence;
    reading_.file.payloads.reserve(count_.value_or(0));
  }

  void CheckIssuer(const std::string& issuer) {
    if (!IsDigits(issuer, kMunicipalityCodeDigits)) {
      Add({"issuer", "format", "市町村コードは数字6桁です"});
    } else if (!IsValidMunicipalityCode(issuer)) {
      Add({"issuer", "check_digit", "市町村コードの検査数字が一致しません"});
    } else if (FindMunicipality(issuer) == nullptr) {
      Add({"issuer", "municipality", "群馬県の市町村ではありません"});
    } else {
      reading_.file.issuer = issuer;
    }
  }

  void TakeNotice(std::string_view line) {
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) {
      Add({"", "empty_line", "空の行があります"});
      return;
    }
    const JsonReading form = ReadNotice(line, notice_);
    for (const RuleBreak& b : form.breaks) Add(b);
    if (!form.complete) return;
    // Without a usable issuer in the header that is the one error, not one more in every line.
    const std::string& issuer = reading_.file.issuer.empty()
                                    ? notice_.record().address().municipality()
                                    : reading_.file.issuer;
    for (const RuleBreak& b : CheckNotice(notice_, issuer)) {
      const bool explained =
          std::any_of(form.breaks.begin(), form.breaks.end(),
                      [&](const RuleBreak& f) { return Explains(f.field, b.field); });
      if (!explained) Add(b);
    }
    if (!errors_.empty()) {
      reading_.file.payloads.clear();  // the file is refused: nobody will use them
      return;
    }
    // No map fields: the bytes are the same for the same notice.
    reading_.file.payloads.push_back(notice_.SerializeAsString());
  }

  void CheckWhole() {
    const std::uint64_t lines = line_ - 2;
    if (count_ && *count_ != lines) {
      AddAt({.line = 1,
             .field = "count",
             .rule = "count",
             .message = "件数が通知の行数と一致しません",
             .expected = lines});
    }
    reading_.file.sha256_hex = ToHex(View(body_hash_.Final()));
    if (sha256_ && *sha256_ != reading_.file.sha256_hex) {
      AddAt({.line = 1,
             .field = "sha256",
             .rule = "sha256",
             .message = "SHA-256がファイルの内容と一致しません",
             .expected = std::nullopt});
    }
  }

  // An error of the current line.
  void Add(const RuleBreak& b) {
    AddAt({.line = line_,
           .field = b.field,
           .rule = b.rule,
           .message = b.message,
           .expected = std::nullopt});
  }

  void AddAt(FileError error) {
    if (errors_.size() > kFileErrorsMax) return;
    if (errors_.size() == kFileErrorsMax) {
      stopped_ = true;
      error = {.line = error.line,
               .field = "",
               .rule = "too_many",
               .message = "誤りが多すぎるため、以降は確認していません",
               .expected = std::nullopt};
    }
    errors_.push_back(std::move(error));
  }

  bool Stop(std::string_view rule, std::string_view message, std::string_view field = "") {
    Add({std::string(field), std::string(rule), std::string(message)});
    stopped_ = true;
    return false;
  }

  std::uint64_t bytes_ = 0;
  std::uint64_t line_ = 1;  // being read
  std::string part_;        // of that line, from earlier pieces
  bool overlong_ = false;   // that line is beyond the limit
  bool stopped_ = false;
  Sha256 body_hash_;

  bool header_read_ = false;
  std::optional<std::uint64_t> count_;  // as the header says, if it can be meant
  std::optional<std::string> sha256_;

  v1::UpdateNotice notice_;  // reused: keeps its memory from line to line
  NoticeFileReading reading_;
  std::vector<FileError> errors_;
};

}  // namespace

Result<NoticeFileReading> ReadNoticeStream(std::istream& in) {
  FileParser parser;
  ASSIGN_OR_RETURN(const StreamEnd end, Decompress(in, kFileBytesMax, [&](std::string_view piece) {
                     return parser.Take(piece);
                   }));
  return std::move(parser).Finish(end);
}

Result<NoticeFileReading> ReadNoticeFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    return errno == ENOENT ? NotFound("no such file: " + path) : Unavailable("cannot open " + path);
  }
  Result<NoticeFileReading> reading = ReadNoticeStream(in);
  if (!reading.ok()) return reading.status().With(path);
  return reading;
}

std::string NoticeFileHeader(std::string_view issuer, std::uint64_t sequence, std::uint64_t count,
                             std::string_view sha256_hex) {
  std::string out = "{\"format\":\"";
  out.append(kFormat).append("\",\"issuer\":");
  AppendJsonString(out, issuer);
  out.append(",\"sequence\":").append(std::to_string(sequence));
  out.append(",\"count\":").append(std::to_string(count)).append(",\"sha256\":");
  AppendJsonString(out, sha256_hex);
  return out += '}';
}

std::string WriteNoticeFile(std::string_view issuer, std::uint64_t sequence,
                            std::string_view lines) {
  Sha256 hash;
  hash.Update(lines);
  const auto count = static_cast<std::uint64_t>(std::count(lines.begin(), lines.end(), '\n'));
  std::string out = NoticeFileHeader(issuer, sequence, count, ToHex(View(hash.Final())));
  return (out += '\n') += lines;
}

std::string WriteNoticeFile(std::string_view issuer, std::uint64_t sequence,
                            std::span<const v1::UpdateNotice> notices) {
  std::string lines;
  for (const v1::UpdateNotice& notice : notices) (lines += NoticeLine(notice)) += '\n';
  return WriteNoticeFile(issuer, sequence, lines);
}

}  // namespace daicho
