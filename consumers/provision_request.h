// What an agency (利用機関) asks: one condition or a file of them, NDJSON, UTF-8.
//
//   {"format":"daicho-request/1","agency":"gunma-boe","basis":"30-15-2/6-3","duty":"6-3-1","reference":"R8-0001","count":2}
//   {"id":"1","individual_number":"123456789018"}
//   {"id":"2","name":"渡邊 花子","birth":"1988-02-29"}
//
// Its digest is SHA-256 of all its bytes; what the agency signs is "daicho/request/1\n" ‖ digest. Beside FILE the
// signature lies in FILE.sig, as hex.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "consumers/notice_file.h"
#include "events/crypto.h"
#include "events/provision.pb.h"
#include "events/search.pb.h"

namespace daicho {

inline constexpr std::string_view kRequestTag = "daicho/request/1\n";
// What it signs when it has opened an answer: that ‖ v1::AgencyReceipt.
inline constexpr std::string_view kAgencyReceiptTag = "daicho/agency-receipt/1\n";
// Whether `signature` is of `message` by a registered Ed25519 key, 32 bytes.
bool IsSignedBy(const std::string& key, std::string_view message, std::string_view signature);

inline constexpr std::uint64_t kRequestLinesMax = 1'000'000;
inline constexpr std::size_t kRequestBytesMax = 1u << 30;
inline constexpr std::size_t kRequestLineBytesMax = 4'096;

struct RequestHeader {
  std::string agency, basis, duty;
  std::string reference;  // 1 to 64 of A-Z a-z 0-9 - _ .
  v1::ProvisionMode mode = v1::PROVISION_MODE_BATCH;
  v1::DeliveryMethod method = v1::DELIVERY_METHOD_LINE;
  std::vector<std::string> fields;  // none: all that the rule releases
  bool ends = false;                // of mode standing: the persons of the reference are followed no longer
  bool elsewhere = false;           // about whom nobody here fits, 機構 is asked
  std::int64_t requested_at = 0;    // microseconds; 0: not said
  std::uint64_t count = 0;
};

// A request's place to read its lines from; refers to the bytes it was opened on.
class ProvisionRequestReader {
 public:
  // Reads line 1. Errors: kInvalid with the field and the rule.
  static Result<ProvisionRequestReader> Open(std::string_view bytes);

  const RequestHeader& header() const { return header_; }
  // All that breaks a rule of the format, by line; empty: every line can be read.
  std::vector<FileError> Check() const;

  struct Line {
    std::string id;
    v1::SearchCondition condition;
    std::string consent;
  };
  // The next line. Requires: Check() was empty and not Done().
  Line Next();
  bool Done() const { return rest_.empty(); }
  // Passes over so many lines.
  void Skip(std::uint64_t lines);

 private:
  RequestHeader header_;
  std::string_view body_, rest_;
};

// 1 to 64 of A-Z a-z 0-9 - _ . and more than dots: also the name of a file.
bool IsReference(std::string_view text);
std::string_view ModeName(v1::ProvisionMode mode);
std::string_view MethodName(v1::DeliveryMethod method);
std::optional<v1::ProvisionMode> ModeFromName(std::string_view name);
std::optional<v1::DeliveryMethod> MethodFromName(std::string_view name);

// The bytes of a request. `lines`: each ended by a newline, as many as header.count.
std::string WriteRequest(const RequestHeader& header, std::string_view lines);
// One line, with its newline.
std::string RequestLine(const ProvisionRequestReader::Line& line);

}  // namespace daicho
