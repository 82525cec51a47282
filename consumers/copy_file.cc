#include "consumers/copy_file.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <streambuf>

#include "consumers/decompress.h"
#include "consumers/notice_json.h"
#include "consumers/strict_json.h"
#include "events/codes.h"
#include "events/crypto.h"
#include "events/dates.h"
#include "events/deleter.h"
#include "ledger/spill_sort.h"
#include "projections/copy_item.h"

namespace daicho {
namespace {

constexpr std::string_view kFormat = "daicho-copy/1";
constexpr std::string_view kKikou = "kikou";
constexpr std::string_view kResident = "resident", kRemoved = "removed";
constexpr std::string_view kSuperseded = "superseded", kReceived = "received";

// Named unlike those of other formats: GCC emits JsonText's lambda of a type without linkage as one for all files.
struct FileHeader : CopyHeader {
  std::string format;
};

constexpr JsonField kHeaderFields[] = {
    JsonText<&FileHeader::format>("format", kRequired),
    JsonText<&FileHeader::holder>("holder", kRequired),
    JsonText<&FileHeader::as_of>("as_of", kRequired),
    JsonNumber<&FileHeader::count>("count", kRequired),
};
constexpr JsonSchema kHeaderSchema = {kHeaderFields};

std::optional<bool> RemovedFromStatus(std::string_view status) {
  if (status == kResident) return false;
  if (status == kRemoved) return true;
  return std::nullopt;
}

std::optional<v1::RetentionStart> RetentionFromWord(std::string_view word) {
  if (word == kSuperseded) return v1::RETENTION_START_SUPERSEDED;
  if (word == kReceived) return v1::RETENTION_START_RECEIVED;
  return std::nullopt;
}

constexpr JsonField kRowFields[] = {
    JsonText<&v1::HeldCopy::mutable_resident_code>("resident_code", kRequired),
    JsonNumber<&v1::HeldCopy::set_update_number, 1>("update_number", kRequired),
    JsonWord<&v1::HeldCopy::set_removed, &RemovedFromStatus>("status", kRequired),
    JsonObject<&v1::HeldCopy::mutable_record>("record", kRequired, kRecordSchema),
    JsonWord<&v1::HeldCopy::set_retention, &RetentionFromWord>("retention", kOptional),
};
constexpr JsonSchema kRowSchema = {kRowFields};

// Hashes what is read through it.
class HashedBuffer : public std::streambuf {
 public:
  explicit HashedBuffer(std::istream& in) : in_(in) {}
  bool failed() const { return in_.bad(); }
  Digest Final() { return hash_.Final(); }

 protected:
  std::streamsize xsgetn(char* out, std::streamsize size) override {
    in_.read(out, size);
    hash_.Update({out, static_cast<std::size_t>(in_.gcount())});
    return in_.gcount();
  }

 private:
  std::istream& in_;
  Sha256 hash_;
};

// Takes the file's bytes in pieces and turns them into rows and errors.
class Parser {
 public:
  Parser(SpillSort& rows, std::uint64_t bytes_max) : rows_(rows), bytes_max_(bytes_max) {}

  // False: no more is wanted.
  bool Take(std::string_view piece) {
    bytes_ += piece.size();
    if (bytes_ > bytes_max_) return Stop("limit", "ファイルが大きすぎます");
    while (!piece.empty()) {
      const std::size_t newline = piece.find('\n');
      KeepPart(piece.substr(0, newline));
      if (newline == std::string_view::npos) return true;
      if (!EndLine()) return false;
      piece.remove_prefix(newline + 1);
    }
    return true;
  }

  void Finish(StreamEnd end) {
    switch (end) {
      case StreamEnd::kComplete:
      case StreamEnd::kStopped:
        break;
      case StreamEnd::kTooLong:
        Stop("limit", "ファイルが大きすぎます");
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
    if (!stopped_ && count_ && *count_ != line_ - 2) CountIsWrong(line_ - 2);
    std::ranges::stable_sort(errors_, {}, &FileError::line);
  }

  CopyHeader& header() { return header_; }
  std::vector<FileError>& errors() { return errors_; }
  const Status& failure() const { return failure_; }

 private:
  // What is too long is dropped, not kept.
  void KeepPart(std::string_view part) {
    if (part_.size() + part.size() > kLineBytesMax) overlong_ = true;
    if (overlong_) {
      part_.clear();
    } else {
      part_ += part;
    }
  }

  bool EndLine() {
    if (overlong_) {
      Add("", "limit", "行が長すぎます（2MiBまで）");
    } else if (line_ == 1) {
      TakeHeader();
    } else if (count_ && line_ - 1 > *count_) {
      // What the header did not announce is not read: a stream without an end has one here.
      Stop("count", "ヘッダーの件数より多くの行があります");
    } else {
      TakeRow();
    }
    part_.clear();
    overlong_ = false;
    ++line_;
    return !stopped_ && failure_.ok();
  }

  void TakeHeader() {
    FileHeader header;
    const JsonReading form = ReadJson(part_, kHeaderSchema, &header);
    for (const RuleBreak& b : form.breaks) Add(b.field, b.rule, b.message);
    if (!form.complete) return;
    const auto whole = [&](std::string_view field) {
      return std::ranges::none_of(form.breaks, [&](const RuleBreak& b) { return b.field == field; });
    };
    if (whole("format") && header.format != kFormat) {
      Stop("unknown_value", "この形式（format）のファイルは読めません", "format");
      return;
    }
    if (whole("holder") && header.holder != kKikou) {
      CheckNumber("holder", IsDigits(header.holder, kMunicipalityCodeDigits), "市町村コードは数字6桁です",
                  IsValidMunicipalityCode(header.holder), "市町村コードの検査数字が一致しません");
    }
    if (whole("as_of") && !ParseTimestamp(header.as_of)) {
      Add("as_of", "timestamp", "時差付きの日時（RFC 3339）ではありません");
    }
    if (whole("count")) {
      if (header.count > kCopyRowsMax) {
        Stop("limit", "件数が多すぎます（1ファイル10,000,000件まで）", "count");
        return;
      }
      count_ = header.count;
    }
    header_ = std::move(header);
  }

  void TakeRow() {
    if (part_.find_first_not_of(" \t\r") == std::string::npos) return Add("", "empty_line", "空の行があります");
    row_.Clear();
    const JsonReading form = ReadJson(part_, kRowSchema, &row_);
    for (const RuleBreak& b : form.breaks) Add(b.field, b.rule, b.message);
    if (!form.complete) return;
    const auto broken = [&](std::string_view field) {
      return std::ranges::any_of(form.breaks, [&](const RuleBreak& b) { return field.starts_with(b.field); });
    };
    const std::string& code = row_.resident_code();
    if (!broken("resident_code")) {
      CheckNumber("resident_code", IsDigits(code, kResidentCodeDigits), "住民票コードは数字11桁です",
                  IsValidResidentCode(code), "住民票コードの検査数字が一致しません");
    }
    const std::string& number = row_.record().individual_number();
    if (!number.empty()) {
      CheckNumber("record.individual_number", IsDigits(number, kIndividualNumberDigits), "個人番号は数字12桁です",
                  IsValidIndividualNumber(number), "個人番号の検査数字が一致しません");
    }
    const std::string& municipality = row_.record().address().municipality();
    if (!broken("record.address.municipality")) {
      CheckNumber("record.address.municipality", IsDigits(municipality, kMunicipalityCodeDigits),
                  "市町村コードは数字6桁です", IsValidMunicipalityCode(municipality),
                  "市町村コードの検査数字が一致しません");
    }
    if (!errors_.empty()) return;  // the file is refused: nobody will use its rows
    // No map fields: the bytes are the same for the same row.
    row_.SerializeToString(&value_);
    failure_ = rows_.Add(code, value_);
  }

  void CheckNumber(std::string_view field, bool digits, std::string_view format, bool valid, std::string_view check) {
    if (!digits) {
      Add(field, "format", format);
    } else if (!valid) {
      Add(field, "check_digit", check);
    }
  }

  void CountIsWrong(std::uint64_t rows) {
    errors_.push_back({.line = 1,
                       .field = "count",
                       .rule = "count",
                       .message = "件数が行数と一致しません",
                       .expected = rows});
  }

  // An error of the current line.
  void Add(std::string_view field, std::string_view rule, std::string_view message) {
    if (errors_.size() > kFileErrorsMax) return;
    if (errors_.size() == kFileErrorsMax) {
      stopped_ = true;
      field = "", rule = "too_many", message = "誤りが多すぎるため、以降は確認していません";
    }
    errors_.push_back({.line = line_,
                       .field = std::string(field),
                       .rule = std::string(rule),
                       .message = std::string(message),
                       .expected = std::nullopt});
  }

  bool Stop(std::string_view rule, std::string_view message, std::string_view field = "") {
    Add(field, rule, message);
    stopped_ = true;
    return false;
  }

  SpillSort& rows_;
  std::uint64_t bytes_max_;
  std::uint64_t bytes_ = 0;
  std::uint64_t line_ = 1;  // being read
  std::string part_;        // of that line
  bool overlong_ = false;   // that line is beyond the limit
  bool stopped_ = false;
  Status failure_;  // of sorting

  CopyHeader header_;
  std::optional<std::uint64_t> count_;  // as the header says, if it can be meant
  v1::HeldCopy row_;                    // reused: keeps its memory from line to line
  std::string value_;
  std::vector<FileError> errors_;
};

// Compresses into a file.
class Packer {
 public:
  Packer(NewFile file, CopyCompression compression) : file_(std::move(file)), out_(64u << 10) {
    if (compression == CopyCompression::kGzip) {
      constexpr int kGzip = 16 + MAX_WBITS, kMemory = 8;
      CHECK(deflateInit2(&gzip_, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzip, kMemory, Z_DEFAULT_STRATEGY) == Z_OK);
      gzip_owner_.reset(&gzip_);
    } else if (compression == CopyCompression::kZstd) {
      zstd_.reset(ZSTD_createCCtx());
      CHECK(zstd_ != nullptr);
    }
  }

  Packer(const Packer&) = delete;  // zlib's state refers to its place

  Status Append(std::string_view bytes) { return Pack(bytes, false); }
  Status Commit() {
    RETURN_IF_ERROR(Pack({}, true));
    return file_.Commit();
  }

 private:
  Status Pack(std::string_view bytes, bool end) {
    if (gzip_owner_ != nullptr) return Deflate(bytes, end);
    if (zstd_ != nullptr) return Compress(bytes, end);
    return file_.Append(bytes);
  }

  Status Deflate(std::string_view bytes, bool end) {
    gzip_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    gzip_.avail_in = static_cast<uInt>(bytes.size());
    do {
      gzip_.next_out = reinterpret_cast<Bytef*>(out_.data());
      gzip_.avail_out = static_cast<uInt>(out_.size());
      CHECK(deflate(&gzip_, end ? Z_FINISH : Z_NO_FLUSH) != Z_STREAM_ERROR);
      RETURN_IF_ERROR(file_.Append({out_.data(), out_.size() - gzip_.avail_out}));
    } while (gzip_.avail_out == 0);
    return {};
  }

  Status Compress(std::string_view bytes, bool end) {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    for (bool more = true; more;) {
      ZSTD_outBuffer to{out_.data(), out_.size(), 0};
      const std::size_t left = ZSTD_compressStream2(zstd_.get(), &to, &in, end ? ZSTD_e_end : ZSTD_e_continue);
      CHECK(ZSTD_isError(left) == 0);
      RETURN_IF_ERROR(file_.Append({out_.data(), to.pos}));
      more = end ? left != 0 : in.pos < in.size;
    }
    return {};
  }

  NewFile file_;
  std::vector<char> out_;
  z_stream gzip_{};
  std::unique_ptr<z_stream, Deleter<deflateEnd>> gzip_owner_;
  std::unique_ptr<ZSTD_CCtx, Deleter<ZSTD_freeCCtx>> zstd_;
};

}  // namespace

struct CopyFile::Body {
  explicit Body(const CopyFileOptions& options) : rows(options.directory, options.run_bytes) {}

  CopyHeader header;
  Digest digest{};
  std::vector<FileError> errors;
  SpillSort rows;
};

CopyFile::CopyFile(std::unique_ptr<Body> body) : body_(std::move(body)) {}
CopyFile::CopyFile(CopyFile&&) noexcept = default;
CopyFile::~CopyFile() = default;

const CopyHeader& CopyFile::header() const { return body_->header; }
const Digest& CopyFile::digest() const { return body_->digest; }
const std::vector<FileError>& CopyFile::errors() const { return body_->errors; }

Result<CopyFile> CopyFile::Read(std::istream& in, const CopyFileOptions& options) {
  auto body = std::make_unique<Body>(options);
  Parser parser(body->rows, options.bytes_max);
  HashedBuffer buffer(in);
  std::istream hashed(&buffer);
  ASSIGN_OR_RETURN(const StreamEnd end, Decompress(hashed, options.bytes_max, [&](std::string_view piece) {
                     return parser.Take(piece);
                   }));
  if (buffer.failed()) return Unavailable("reading failed");
  RETURN_IF_ERROR(parser.failure());
  parser.Finish(end);
  body->header = std::move(parser.header());
  body->errors = std::move(parser.errors());
  body->digest = buffer.Final();
  if (!body->errors.empty()) body->rows = SpillSort(options.directory, options.run_bytes);
  RETURN_IF_ERROR(body->rows.Finish());
  return CopyFile(std::move(body));
}

Result<CopyFile> CopyFile::Read(const std::string& path, const CopyFileOptions& options) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return errno == ENOENT ? NotFound("no such file: " + path) : Unavailable("cannot open " + path);
  Result<CopyFile> file = Read(in, options);
  if (!file.ok()) return file.status().With(path);
  return file;
}

Status CopyFile::Rewind() { return body_->rows.Rewind(); }

Result<bool> CopyFile::Next(v1::HeldCopy& row) {
  std::string_view value;
  ASSIGN_OR_RETURN(const bool has, body_->rows.Next(value));
  if (has && !row.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
    return Corrupt("a row for sorting is damaged");
  }
  return has;
}

struct CopyFileWriter::Body {
  Packer packer;
  std::uint64_t left;  // rows that are to come
};

CopyFileWriter::CopyFileWriter(std::unique_ptr<Body> body) : body_(std::move(body)) {}
CopyFileWriter::CopyFileWriter(CopyFileWriter&&) noexcept = default;
CopyFileWriter::~CopyFileWriter() = default;

Result<CopyFileWriter> CopyFileWriter::Create(const std::string& path, const CopyHeader& header,
                                              CopyCompression compression) {
  ASSIGN_OR_RETURN(NewFile file, NewFile::Create(path));
  CopyFileWriter writer(std::unique_ptr<Body>(new Body{Packer(std::move(file), compression), header.count}));
  RETURN_IF_ERROR(writer.body_->packer.Append(CopyHeaderLine(header) + "\n"));
  return writer;
}

Status CopyFileWriter::Append(const v1::HeldCopy& row) {
  if (body_->left == 0) return Invalid("more rows than the header of a copy file says");
  --body_->left;
  return body_->packer.Append(CopyLine(row) + "\n");
}

Status CopyFileWriter::Commit() {
  if (body_->left != 0) return Invalid("fewer rows than the header of a copy file says");
  return body_->packer.Commit();
}

std::string FileErrorsJson(const std::vector<FileError>& errors) {
  using nlohmann::ordered_json;
  ordered_json out = {{"errors", ordered_json::array()}};
  for (const FileError& error : errors) {
    ordered_json& item = out["errors"].emplace_back(ordered_json{
        {"line", error.line}, {"field", error.field}, {"rule", error.rule}, {"message", error.message}});
    if (error.expected) item["expected"] = *error.expected;
  }
  return out.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string CopyHeaderLine(const CopyHeader& header) {
  std::string out = "{\"format\":\"";
  out.append(kFormat).append("\",\"holder\":");
  AppendJsonString(out, header.holder);
  AppendJsonString(out += ",\"as_of\":", header.as_of);
  return out.append(",\"count\":").append(std::to_string(header.count)) += '}';
}

std::string_view RetentionWord(const v1::HeldCopy& row) {
  switch (StatedRetention(row)) {
    case v1::RETENTION_START_UNSPECIFIED: return {};
    case v1::RETENTION_START_SUPERSEDED: return kSuperseded;
    case v1::RETENTION_START_RECEIVED: return kReceived;
    default: return "unknown";
  }
}

std::string CopyLine(const v1::HeldCopy& row) {
  std::string out = "{\"resident_code\":";
  AppendJsonString(out, row.resident_code());
  out.append(",\"update_number\":").append(std::to_string(row.update_number()));
  out.append(",\"status\":\"").append(row.removed() ? kRemoved : kResident);
  out.append("\",\"record\":").append(RecordJson(row.record()));
  if (const std::string_view word = RetentionWord(row); !word.empty()) {
    out.append(",\"retention\":\"").append(word) += '"';
  }
  return out += '}';
}

}  // namespace daicho
