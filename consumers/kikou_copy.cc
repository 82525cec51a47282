#include "consumers/kikou_copy.h"

#include <algorithm>

#include "events/codes.h"

namespace daicho {
namespace {

constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kSessionBytes = 16;
constexpr std::size_t kCodesPerQuestion = 1'000;
constexpr std::string_view kFirstAsk = "\x01";

// Errors: kTampered for what is no 住民票コード at all.
Result<std::uint64_t> CodeOf(const v1::HeldCopy& row) {
  if (!IsDigits(row.resident_code(), kResidentCodeDigits)) return Tampered("rows: a 住民票コード has 11 digits");
  return std::stoull(row.resident_code());
}

Status CheckDigest(const std::string& digest, const std::string& message, const char* field) {
  if (digest == View(Sha256Of({message}))) return {};
  return Tampered(std::string(field) + ": the answer is to another message");
}

}  // namespace

Result<std::string> KikouCopy::Call(const char* path, std::string_view tag, const std::string& message,
                                    std::string_view answer_tag) {
  ASSIGN_OR_RETURN(KikouReply reply, client_.Call(path, tag, message, answer_tag));
  bytes_sent_ += reply.bytes_sent;
  bytes_received_ += reply.body.size();
  if (reply.status != 200) return Tampered("an answer of another question");
  return std::move(reply.message);
}

Result<kikou::CopyAnswer> KikouCopy::Exchange(kikou::CopyQuestion question) {
  const bool begins = session_.empty() && (question.has_rows_from() || question.ask() == kFirstAsk);
  if (session_.empty() && !begins) return NotFound("session: there is none");
  question.set_version(kVersion);
  question.set_ledger(ledger_);
  question.set_session(session_);
  const std::string message = question.SerializeAsString();
  const auto reply = Call(kKikouCopiesPath, kKikouCopyQuestionTag, message, kKikouCopyAnswerTag);
  if (reply.status().code() == Code::kNotFound) {
    session_.clear();
    // Who says so of a session to be begun has none to offer: beginning anew would not help.
    if (begins) return Unavailable(reply.status().message());
  }
  RETURN_IF_ERROR(reply.status());
  kikou::CopyAnswer answer;
  if (!answer.ParseFromString(*reply)) return Tampered("the answer cannot be decoded");
  RETURN_IF_ERROR(CheckDigest(answer.question_digest(), message, "question_digest"));
  if (answer.session().size() != kSessionBytes || (!begins && answer.session() != session_)) {
    return Tampered("session: the answer is of another");
  }
  session_ = answer.session();
  return answer;
}

Result<std::string> KikouCopy::Ask(std::string_view question) {
  kikou::CopyQuestion ask;
  ask.set_ask(std::string(question));
  ASSIGN_OR_RETURN(kikou::CopyAnswer answer, Exchange(std::move(ask)));
  return std::move(*answer.mutable_answer());
}

Result<std::vector<v1::HeldCopy>> KikouCopy::Rows(std::span<const std::uint64_t> codes) {
  std::vector<v1::HeldCopy> out;
  for (std::size_t at = 0; at < codes.size(); at += kCodesPerQuestion) {
    const auto asked = codes.subspan(at, std::min(kCodesPerQuestion, codes.size() - at));
    kikou::CopyQuestion question;
    for (const std::uint64_t code : asked) question.mutable_rows()->add_resident_codes(CodeText(code));
    ASSIGN_OR_RETURN(kikou::CopyAnswer answer, Exchange(std::move(question)));
    auto next = asked.begin();
    for (v1::HeldCopy& row : *answer.mutable_rows()) {
      ASSIGN_OR_RETURN(const std::uint64_t code, CodeOf(row));
      // Behind the one before: ascending, and none twice.
      next = std::find(next, asked.end(), code);
      if (next == asked.end()) return Tampered("rows: not those asked for, in their order");
      ++next;
      out.push_back(std::move(row));
    }
  }
  return out;
}

Status KikouCopy::AllRows(const std::function<Status(const v1::HeldCopy&)>& take) {
  std::uint64_t least = 0;
  do {
    kikou::CopyQuestion question;
    question.set_rows_from(least);
    ASSIGN_OR_RETURN(const kikou::CopyAnswer answer, Exchange(std::move(question)));
    for (const v1::HeldCopy& row : answer.rows()) {
      ASSIGN_OR_RETURN(const std::uint64_t code, CodeOf(row));
      if (code < least) return Tampered("rows: not ascending");
      least = code + 1;
      RETURN_IF_ERROR(take(row));
    }
    if (answer.next() == 0) return {};
    if (answer.rows().empty() || answer.next() < least || answer.next() >= kCopyCodeEnd) {
      return Tampered("next: not behind the rows");
    }
    least = answer.next();
  } while (true);
}

Status KikouCopy::Close() {
  if (session_.empty()) return {};
  kikou::CopyQuestion question;
  question.set_close(true);
  const auto answer = Exchange(std::move(question));
  session_.clear();
  return answer.status().code() == Code::kNotFound ? Status() : answer.status();
}

Result<kikou::Corrected> KikouCopy::Correct(kikou::Corrections corrections) {
  corrections.set_version(kVersion);
  corrections.set_ledger(ledger_);
  const std::string message = corrections.SerializeAsString();
  ASSIGN_OR_RETURN(const std::string reply,
                   Call(kKikouCorrectionsPath, kKikouCorrectionsTag, message, kKikouCorrectedTag));
  kikou::Corrected out;
  if (!out.ParseFromString(reply)) return Tampered("the answer cannot be decoded");
  RETURN_IF_ERROR(CheckDigest(out.message_digest(), message, "message_digest"));
  const auto sent = static_cast<std::uint64_t>(corrections.notices_size() + corrections.absent_size());
  if (out.taken() + static_cast<std::uint64_t>(out.refused_size()) != sent) {
    return Tampered("taken: does not account for what was sent");
  }
  return out;
}

}  // namespace daicho
