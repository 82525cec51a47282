// The line to 機構: signed messages over HTTP (kikou_line.proto), and whom a node knows at its other end.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "consumers/home.h"
#include "consumers/kikou_line.pb.h"
#include "events/crypto.h"
#include "projections/copy_item.h"

namespace daicho {

// What is signed begins with the tag of its kind.
inline constexpr std::string_view kKikouNoticesTag = "daicho/kikou-notices/1\n";
inline constexpr std::string_view kKikouAcknowledgementTag = "daicho/kikou-acknowledgement/1\n";
inline constexpr std::string_view kKikouExpectedTag = "daicho/kikou-expected/1\n";
inline constexpr std::string_view kKikouStateQuestionTag = "daicho/kikou-state-question/1\n";
inline constexpr std::string_view kKikouStateTag = "daicho/kikou-state/1\n";
inline constexpr std::string_view kKikouQuestionTag = "daicho/kikou-question/1\n";
inline constexpr std::string_view kKikouAnswerTag = "daicho/kikou-answer/1\n";
inline constexpr std::string_view kKikouCopyQuestionTag = "daicho/kikou-copy-question/1\n";
inline constexpr std::string_view kKikouCopyAnswerTag = "daicho/kikou-copy-answer/1\n";
inline constexpr std::string_view kKikouCorrectionsTag = "daicho/kikou-corrections/1\n";
inline constexpr std::string_view kKikouCorrectedTag = "daicho/kikou-corrected/1\n";
inline constexpr std::string_view kKikouDriftTag = "daicho/kikou-drift/1\n";

inline constexpr char kKikouNoticesPath[] = "/kikou/v1/notices";
inline constexpr char kKikouStatePath[] = "/kikou/v1/state";
inline constexpr char kKikouInquiriesPath[] = "/kikou/v1/inquiries";
inline constexpr char kKikouCopiesPath[] = "/kikou/v1/copies";
inline constexpr char kKikouCorrectionsPath[] = "/kikou/v1/corrections";
inline constexpr char kKikouDriftPath[] = "/kikou/stand-in/drift";

inline constexpr char kKikouContentType[] = "application/x-protobuf";
inline constexpr std::size_t kKikouBodyBytesMax = 64u << 20;

// A body of the message. Errors: those of the key's TrySign.
Result<std::string> SignForKikou(std::string_view tag, std::string_view message, const SigningKey& key);
// The message of a body that one of `keys` signed. Errors: kCorrupt, kDenied.
Result<std::string> OpenFromKikou(std::string_view tag, std::string_view body, const std::vector<Key256>& keys);

// The record with the named fields only, external glyphs only of such fields.
v1::ResidentRecord Restricted(const v1::ResidentRecord& record, const std::vector<std::string>& fields);
// Whether it is a field of ResidentRecord, or "resident_code".
bool IsRecordField(std::string_view name);

// Whom a home knows as 機構: H/kikou.toml.
struct KikouPeer {
  std::string url;  // without a path
  Key256 public_key{};
  std::string ca_file;  // empty: the system's
};
// None when there is none yet. Errors: kInvalid with the setting's name.
Result<std::optional<KikouPeer>> ReadKikouPeer(const Home& home);
Status WriteKikouPeer(const Home& home, const KikouPeer& peer);
// 32 bytes in hex, as `kikou init` writes them. Errors: kInvalid, kNotFound.
Result<Key256> ReadPublicKeyFile(const std::string& path);

// The key by which copies are compared, as the prefecture hands it over: one line, EPOCH:64 hexadecimal digits.
// Errors: kInvalid, which tells nothing of the file's content, kNotFound.
Result<CopyKey> ReadCopyKeyFile(const std::string& path);
// Durable; for its owner alone.
Status WriteCopyKeyFile(const std::string& path, const CopyKey& key);

struct KikouReply {
  int status = 0;       // 200 or 409
  std::string message;  // verified: of the kind that was asked for, or with 409 an Expected
  std::string body;     // the exact bytes
  std::size_t bytes_sent = 0;  // the body of the question
};

// One question and its answer. Any thread.
class KikouClient {
 public:
  KikouClient(KikouPeer peer, SigningKey key, std::chrono::milliseconds timeout)
      : peer_(std::move(peer)), key_(std::move(key)), timeout_(timeout) {}

  // Errors: kUnavailable for all that the line, 機構's end or its signature lacks; kInvalid, kDenied for what 機構 refused,
  // in its own words; of kKikouCopiesPath kNotFound for a session that it has not; those of the key.
  Result<KikouReply> Call(const std::string& path, std::string_view tag, std::string_view message,
                          std::string_view answer_tag) const;

 private:
  KikouPeer peer_;
  SigningKey key_;
  std::chrono::milliseconds timeout_;
};

}  // namespace daicho
