#include "consumers/gateway.h"

#include <fmt/format.h>

#include <filesystem>
#include <future>
#include <nlohmann/json.hpp>

#include "consumers/node_socket.h"
#include "consumers/notice_json.h"
#include "events/codes.h"
#include "events/dates.h"
#include "events/tree_head.h"
#include "ledger/files.h"
#include "ledger/registry.h"

namespace daicho {
namespace {

using nlohmann::ordered_json;

constexpr char kNextKey[] = "/keys/issuer.next.key";
constexpr char kRotationFormat[] = "daicho-key-rotation/1";

FileError Broken(const char* field, const char* rule, std::string message,
                 std::optional<std::uint64_t> expected = std::nullopt) {
  return {1, field, rule, std::move(message), expected};
}

FileAnswer Rejected(const std::string& path, std::vector<FileError> errors) {
  FileAnswer out;
  out.file = path;
  out.outcome = "rejected";
  out.errors = std::move(errors);
  return out;
}

// A violation names an event of the submission; event 0 came from line 2. What breaks the submission as a
// whole is the file's first line.
FileError ErrorOf(const v1::Violation& violation) {
  const bool whole = violation.field() == "head" || violation.field() == "body" ||
                     violation.field() == "submission";
  FileError out;
  out.line = whole ? 1 : violation.item() + 2;
  out.field = violation.field();
  out.rule = violation.rule();
  out.message = violation.message();
  if (violation.expected() != 0) out.expected = violation.expected();
  return out;
}

std::string AnswerPath(const std::string& dir, std::uint64_t sequence) {
  return fmt::format("{}/files/{:06}.json", dir, sequence);
}

// Of the newest file that was admitted; 0: none was.
std::uint64_t LastSequence(const std::string& dir) {
  // Answers are dense from 1: double, then halve.
  std::uint64_t high = 1;
  while (FileExists(AnswerPath(dir, high))) high *= 2;
  std::uint64_t low = high / 2;
  while (high - low > 1) {
    const std::uint64_t middle = low + (high - low) / 2;
    (FileExists(AnswerPath(dir, middle)) ? low : high) = middle;
  }
  return low;
}

Result<ordered_json> ReadAnswer(const std::string& dir, std::uint64_t sequence) {
  ASSIGN_OR_RETURN(const std::string kept, ReadFile(AnswerPath(dir, sequence)));
  ordered_json answer = ordered_json::parse(kept, nullptr, false);
  if (!answer.is_object() || answer["positions"].size() != 2) {
    return Corrupt(AnswerPath(dir, sequence) + " is damaged");
  }
  return answer;
}

Result<LedgerPin> ReadPin(const std::string& path) {
  ASSIGN_OR_RETURN(const LedgerPublic ledger, ReadLedgerPublic(path));
  return LedgerPin{ledger.ledger, ledger.intake, ledger.sequencer};
}

}  // namespace

std::string FileAnswer::Json() const {
  ordered_json out = {{"file", file}, {"outcome", outcome}};
  out["positions"] = outcome == "rejected" ? ordered_json::array()
                                           : ordered_json::array({first_position, last_position});
  out["errors"] = ordered_json::array();
  for (const FileError& error : errors) {
    ordered_json item = {
        {"line", error.line}, {"field", error.field}, {"rule", error.rule}, {"message", error.message}};
    if (error.expected) item["expected"] = *error.expected;
    out["errors"].push_back(std::move(item));
  }
  return out.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

Result<Key256> CreateGateway(const std::string& dir, const std::string& issuer,
                             const std::string& ledger_file) {
  if (!IsValidMunicipalityCode(issuer)) return Invalid("issuer: not a municipality's code with its check digit");
  if (FileExists(dir + "/daicho.toml")) return Conflict(dir + " is a gateway's home already");
  RETURN_IF_ERROR(MakeDirectories(dir + "/keys"));
  RETURN_IF_ERROR(MakeDirectories(dir + "/files"));
  if (!ledger_file.empty()) {
    RETURN_IF_ERROR(ReadPin(ledger_file).status());
    ASSIGN_OR_RETURN(const std::string pinned, ReadFile(ledger_file));
    RETURN_IF_ERROR(WriteFileDurably(dir + "/ledger.pub.json", pinned, 0644));
  }
  const SigningKey key = SigningKey::Generate();
  RETURN_IF_ERROR(WriteSigningKey(dir + "/keys/issuer.key", key));
  RETURN_IF_ERROR(WriteFileDurably(dir + "/issuer.pub", ToHex(View(key.public_key())) + "\n", 0644));
  RETURN_IF_ERROR(WriteFileDurably(dir + "/daicho.toml", "issuer = \"" + issuer + "\"\n", 0644));
  return key.public_key();
}

namespace {

Status PrepareNextIssuerKey(const std::string& dir, const SigningKey& old, const std::string& token) {
  const std::string path = dir + kNextKey;
  if (FileExists(path)) {
    ASSIGN_OR_RETURN(const SigningKey left, ReadSigningKey(path));
    // One that is in force by now was left by a crash.
    if (left.public_key() == old.public_key()) RETURN_IF_ERROR(RemoveFile(path));
  }
  if (!token.empty()) return WriteTokenKey(path, token);
  return FileExists(path) ? Status() : WriteSigningKey(path, SigningKey::Generate());
}

}  // namespace

Result<std::string> RequestRotation(const std::string& dir, const std::string& token) {
  ASSIGN_OR_RETURN(const std::string issuer, GatewayIssuer(dir));
  ASSIGN_OR_RETURN(const SigningKey old, ReadSigningKey(dir + "/keys/issuer.key"));
  RETURN_IF_ERROR(PrepareNextIssuerKey(dir, old, token));
  ASSIGN_OR_RETURN(const SigningKey next, ReadSigningKey(dir + kNextKey));
  const std::string origin = IssuerOrigin(std::stoi(issuer.substr(0, 2)), issuer);
  const std::string key(View(next.public_key()));
  ASSIGN_OR_RETURN(const std::string signature, old.TrySign(std::string(kKeyChangeTag) + key));
  const ordered_json request = {{"format", kRotationFormat},
                                {"issuer", issuer},
                                {"public_key", ToHex(key)},
                                {"old_key_id", ToHex(NoteKeyId(origin, old.public_key()))},
                                {"signature", ToHex(signature)}};
  const std::string path = dir + "/issuer.rotate.json";
  RETURN_IF_ERROR(WriteFileDurably(path, request.dump(2) + "\n", 0644));
  return path;
}

namespace {

// May be repeated after a crash at any step.
Status TakeNextIssuerKey(const std::string& dir) {
  ASSIGN_OR_RETURN(const SigningKey next, ReadSigningKey(dir + kNextKey));
  RETURN_IF_ERROR(WriteFileDurably(dir + "/issuer.pub", ToHex(View(next.public_key())) + "\n", 0644));
  ASSIGN_OR_RETURN(const std::string taken, ReadFile(dir + kNextKey));
  RETURN_IF_ERROR(WriteFileDurably(dir + "/keys/issuer.key", taken, 0600));
  return RemoveFile(dir + kNextKey);
}

}  // namespace

Result<RotationRequest> ReadRotationRequest(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const ordered_json document = ordered_json::parse(text, nullptr, false);
  const auto field = [&](const char* name) {
    return document.contains(name) && document[name].is_string() ? document[name].get<std::string>() : "";
  };
  if (!document.is_object() || field("format") != kRotationFormat) {
    return Invalid(path + ": not a request to rotate an issuer's key");
  }
  RotationRequest out;
  out.issuer = field("issuer");
  auto key = FromHex(field("public_key"));
  auto old = FromHex(field("old_key_id"));
  auto signature = FromHex(field("signature"));
  if (!key.ok() || key->size() != 32) return Invalid("public_key: 32 bytes in hex");
  if (!old.ok() || old->size() != 4) return Invalid("old_key_id: 4 bytes in hex");
  if (!signature.ok() || signature->size() != 64) return Invalid("signature: 64 bytes in hex");
  ASSIGN_OR_RETURN(out.public_key, ToArray<32>(*key));
  out.old_key_id = std::move(*old);
  out.signature = std::move(*signature);
  return out;
}

Result<std::string> GatewayIssuer(const std::string& dir) {
  if (!FileExists(dir + "/daicho.toml")) {
    return NotFound(dir + " is no gateway's home; daicho gateway init makes one");
  }
  ASSIGN_OR_RETURN(auto settings, ReadSettings(dir + "/daicho.toml", {"issuer"}));
  return std::move(settings["issuer"]);
}

Result<Position> NewestAdmitted(const std::string& dir) {
  const std::uint64_t last = LastSequence(dir);
  if (last == 0) return NotFound("no notice file was admitted yet");
  ASSIGN_OR_RETURN(const ordered_json answer, ReadAnswer(dir, last));
  return Position(answer["positions"][1].get<std::uint64_t>());
}

Result<std::unique_ptr<Gateway>> Gateway::Open(const std::string& dir, const std::string& log,
                                               const std::string& kafka_config) {
  auto out = std::unique_ptr<Gateway>(new Gateway());
  out->dir_ = dir;
  ASSIGN_OR_RETURN(out->issuer_, GatewayIssuer(dir));
  // While it connects, the rest is read.
  auto opening = std::async(std::launch::async, [&] { return OpenServedLog(log, kafka_config, LogUse::kAppend); });
  SubmitterOptions options;
  options.dir = dir + "/outbox";
  options.issuer = out->issuer_;
  options.prefecture = std::stoi(out->issuer_.substr(0, 2));
  ASSIGN_OR_RETURN(options.key, ReadSigningKey(dir + "/keys/issuer.key"));
  options.clock = &out->clock_;
  options.next_key = [dir]() -> Result<std::optional<SigningKey>> {
    if (!FileExists(dir + kNextKey)) return std::optional<SigningKey>();
    ASSIGN_OR_RETURN(SigningKey next, ReadSigningKey(dir + kNextKey));
    return std::optional(std::move(next));
  };
  options.on_next_key = [dir] { return TakeNextIssuerKey(dir); };
  if (const std::string pinned = dir + "/ledger.pub.json"; FileExists(pinned)) {
    ASSIGN_OR_RETURN(options.pin, ReadPin(pinned));
  }
  options.on_receipt = [gateway = out.get()](const std::string& tag, const v1::Receipt& receipt) {
    return gateway->Keep(tag, receipt);
  };
  ASSIGN_OR_RETURN(out->log_, opening.get());
  options.log = out->log_.get();
  ASSIGN_OR_RETURN(out->submitter_, Submitter::Open(std::move(options)));
  RETURN_IF_ERROR(out->submitter_->SettlePending().status());
  return out;
}

Status Gateway::Keep(const std::string& tag, const v1::Receipt& receipt) const {
  if (receipt.outcome() == v1::OUTCOME_REJECTED) return {};
  ordered_json answer = ordered_json::parse(tag, nullptr, false);
  if (answer.is_discarded()) return Corrupt("the pending submission names no file");
  answer["positions"] = {receipt.first_position(), receipt.last_position()};
  return WriteFileDurably(AnswerPath(dir_, answer["sequence"].get<std::uint64_t>()), answer.dump() + "\n", 0644);
}

Result<std::string> Gateway::ComparisonsJson() {
  ASSIGN_OR_RETURN(const std::vector<v1::Receipt> receipts, submitter_->AllOf(v1::OUTCOME_COMPARED));
  std::string out;
  for (const v1::Receipt& receipt : receipts) {
    const v1::ComparisonResult& comparison = receipt.comparison();
    ordered_json line = {{"run", ToHex(comparison.run())},
                         {"holder", comparison.holder()},
                         {"holder_as_of", comparison.holder_as_of()},
                         {"evaluated_at", comparison.evaluated_at()},
                         {"at", FormatTimestamp(TimeMicros(receipt.decided_at()))}};
    line["differences"] = ordered_json::object();
    for (const v1::DifferenceCount& count : comparison.result().differences()) {
      line["differences"][DifferenceClassName(count.difference_class())] = count.count();
    }
    line["cases"] = ordered_json::array();
    for (const v1::MunicipalityCase& told : comparison.result().cases()) {
      ordered_json each = {{"number", told.number()}, {"class", DifferenceClassName(told.difference_class())}};
      if (told.has_position()) each["position"] = told.position();
      if (told.row() > 0) each["row"] = told.row();
      line["cases"].push_back(std::move(each));
    }
    out += line.dump() + "\n";
  }
  return out;
}

Result<FileAnswer> Gateway::Send(const std::string& path) {
  ASSIGN_OR_RETURN(NoticeFileReading reading, ReadNoticeFile(path));
  if (!reading.errors.empty()) return Rejected(path, std::move(reading.errors));
  NoticeFile& file = reading.file;
  if (file.issuer != issuer_) {
    return Rejected(path, {Broken("issuer", "issuer", "この端末の市町村のファイルではありません")});
  }
  FileAnswer out;
  out.file = path;
  out.notices = file.payloads.size();
  const std::uint64_t last = LastSequence(dir_);
  if (file.sequence <= last) {
    ASSIGN_OR_RETURN(const ordered_json answer, ReadAnswer(dir_, file.sequence));
    if (answer["sha256"] != file.sha256_hex) {
      return Rejected(path, {Broken("sequence", "repeat_differs",
                                    "同じ通番のファイルが別の内容で受理されています", last + 1)});
    }
    out.outcome = "already_admitted";
    out.first_position = answer["positions"][0];
    out.last_position = answer["positions"][1];
    return out;
  }
  if (file.sequence != last + 1) {
    return Rejected(path, {Broken("sequence", "gap", "ファイルの通番が飛んでいます", last + 1)});
  }
  std::vector<DraftEvent> events;
  events.reserve(file.payloads.size());
  for (std::string& payload : file.payloads) {
    DraftEvent& event = events.emplace_back();
    event.kind = v1::EVENT_KIND_UPDATE;
    event.retention = v1::RETENTION_CLASS_NOTICE;
    event.payload = std::move(payload);
  }
  const std::string tag =
      ordered_json({{"sequence", file.sequence}, {"sha256", file.sha256_hex}, {"count", out.notices}}).dump();
  ASSIGN_OR_RETURN(const v1::Receipt receipt, submitter_->Submit(events, tag));
  if (receipt.outcome() == v1::OUTCOME_REJECTED) {
    std::vector<FileError> errors;
    for (const v1::Violation& violation : receipt.violations()) errors.push_back(ErrorOf(violation));
    return Rejected(path, std::move(errors));
  }
  out.outcome = receipt.outcome() == v1::OUTCOME_ADMITTED ? "admitted" : "already_admitted";
  out.first_position = receipt.first_position();
  out.last_position = receipt.last_position();
  return out;
}

}  // namespace daicho
