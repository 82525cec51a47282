#include "consumers/kikou_stand_in.h"

#include <algorithm>
#include <array>
#include <sstream>

#include "consumers/kikou_copy_sessions.h"
#include "consumers/kikou_drift.h"
#include "consumers/kikou_line.h"
#include "ledger/files.h"

namespace daicho {
namespace {

constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kMatchesMax = 100;  // counted; more than that is told as so many
constexpr char kText[] = "text/plain; charset=utf-8";

HttpResponse Refuse(int status, std::string why) { return {status, kText, std::move(why) + "\n", {}}; }

HttpResponse Refuse(const Status& status) {
  switch (status.code()) {
    case Code::kInvalid:
    case Code::kCorrupt: return Refuse(400, status.message());
    case Code::kDenied: return Refuse(403, status.message());
    case Code::kNotFound: return Refuse(404, status.message());
    default: return Refuse(503, status.message());
  }
}

HttpResponse Bytes(int status, std::string body) { return {status, kKikouContentType, std::move(body), {}}; }

std::string DigestOf(const std::string& message) { return std::string(View(Sha256Of({message}))); }

template <typename Message>
Result<Message> Parsed(const std::string& bytes) {
  Message out;
  if (!out.ParseFromString(bytes)) return Corrupt("message: cannot be decoded");
  return out;
}

Result<std::vector<Key256>> ReadKeys(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  std::vector<Key256> out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto bytes = FromHex(line);
    if (!bytes.ok() || bytes->size() != 32) return Invalid(path + ": every line is a public key, 32 bytes in hex");
    ASSIGN_OR_RETURN(const Key256 key, ToArray<32>(*bytes));
    out.push_back(key);
  }
  return out;
}

}  // namespace

struct KikouStandIn::Impl {
  KikouStandInOptions options;
  SigningKey key;
  std::vector<Key256> prefecture, own;
  std::unique_ptr<KikouHolding> holding;
  std::unique_ptr<KikouCopySessions> copies;

  // A step of the protocol: a POST of a signed message.
  struct Step {
    std::string_view path;
    std::string_view tag;                              // of the message
    std::vector<Key256> Impl::*by;                     // who signs it
    Result<HttpResponse> (Impl::*answer)(const std::string& message);
  };
  static const std::array<Step, 6>& Steps() {
    static const std::array<Step, 6> steps = {{
        {kKikouNoticesPath, kKikouNoticesTag, &Impl::prefecture, &Impl::TakeNotices},
        {kKikouStatePath, kKikouStateQuestionTag, &Impl::prefecture, &Impl::TellState},
        {kKikouInquiriesPath, kKikouQuestionTag, &Impl::prefecture, &Impl::AnswerInquiry},
        {kKikouCopiesPath, kKikouCopyQuestionTag, &Impl::prefecture, &Impl::AnswerCopyQuestion},
        {kKikouCorrectionsPath, kKikouCorrectionsTag, &Impl::prefecture, &Impl::TakeCorrections},
        {kKikouDriftPath, kKikouDriftTag, &Impl::own, &Impl::TakeDrift},
    }};
    return steps;
  }

  template <typename Message>
  Result<HttpResponse> Answer(int status, std::string_view tag, const Message& message) const {
    ASSIGN_OR_RETURN(std::string body, SignForKikou(tag, message.SerializeAsString(), key));
    return Bytes(status, std::move(body));
  }

  Result<HttpResponse> TakeNotices(const std::string& message) {
    ASSIGN_OR_RETURN(const auto notices, Parsed<kikou::Notices>(message));
    const auto sign = [this](const kikou::Acknowledgement& ack) {
      return SignForKikou(kKikouAcknowledgementTag, ack.SerializeAsString(), key);
    };
    ASSIGN_OR_RETURN(KikouHolding::Taken taken,
                     holding->Take(notices, Sha256Of({message}), options.clock->Now(), sign));
    if (taken.acknowledgement) return Bytes(200, *std::move(taken.acknowledgement));
    kikou::Expected expected;
    expected.set_message_digest(DigestOf(message));
    expected.set_ledger(notices.ledger());
    expected.set_position(taken.expected.value());
    return Answer(409, kKikouExpectedTag, expected);
  }

  Result<HttpResponse> TellState(const std::string& message) {
    ASSIGN_OR_RETURN(const auto question, Parsed<kikou::StateQuestion>(message));
    kikou::State state;
    state.set_question_digest(DigestOf(message));
    state.set_ledger(holding->ledger());
    state.set_position(holding->next().value());
    const KikouHolding::Counts counts = holding->counts();
    state.set_residents(counts.residents);
    state.set_removed(counts.removed);
    state.set_answered_at(options.clock->Now().value());
    return Answer(200, kKikouStateTag, state);
  }

  // Why the question is not answered: field, colon, the rule.
  std::string RefusesQuestion(const kikou::Question& question) const {
    if (question.version() != kVersion) return "version: 1 だけを受けます";
    if (question.reference().empty()) return "reference: 照会の番号が要ります";
    if (question.basis().empty()) return "basis: 根拠が要ります";
    if (!options.bases.empty() && std::ranges::find(options.bases, question.basis()) == options.bases.end()) {
      return "basis: この根拠では回答できません";
    }
    if (question.duty().empty()) return "duty: 事務が要ります";
    if (question.fields().empty()) return "fields: 求める項目が要ります";
    for (const std::string& field : question.fields()) {
      if (!IsRecordField(field)) return "fields." + field + ": 知らない項目です";
    }
    const v1::SearchCondition& condition = question.condition();
    if (!condition.subject().empty()) return "condition.subject: この鍵では照会できません";
    if (!condition.resident_code().empty() || !condition.individual_number().empty()) return "";
    const bool named = !condition.name().empty() || !condition.kana().empty();
    const bool further =
        !condition.birth().empty() || !condition.address().empty() || condition.sex() != v1::SEX_UNSPECIFIED;
    return named && further ? "" : "condition: 番号か、氏名とほかの項目の組合せが要ります";
  }

  Result<HttpResponse> AnswerInquiry(const std::string& message) {
    ASSIGN_OR_RETURN(const auto question, Parsed<kikou::Question>(message));
    kikou::Answer answer;
    answer.set_question_digest(DigestOf(message));
    answer.set_answered_at(options.clock->Now().value());
    const auto refuse = [&](const std::string& why) {
      answer.set_outcome(v1::ANSWER_OUTCOME_REFUSED);
      answer.set_refusal(why);
      return Answer(200, kKikouAnswerTag, answer);
    };
    if (const std::string why = RefusesQuestion(question); !why.empty()) return refuse(why);
    const auto found = holding->Match(question.condition(), kMatchesMax);
    if (found.status().code() == Code::kInvalid) return refuse(found.status().message());
    RETURN_IF_ERROR(found.status());
    answer.set_match_count(found->size());
    answer.set_outcome(found->empty()       ? v1::ANSWER_OUTCOME_NONE
                       : found->size() == 1 ? v1::ANSWER_OUTCOME_FOUND
                                            : v1::ANSWER_OUTCOME_MULTIPLE);
    if (found->size() != 1) return Answer(200, kKikouAnswerTag, answer);
    const std::vector<std::string> fields(question.fields().begin(), question.fields().end());
    v1::HeldCopy& resident = *answer.mutable_resident();
    resident.set_removed(found->front().removed());
    if (std::ranges::find(fields, "resident_code") != fields.end()) {
      resident.set_resident_code(found->front().resident_code());
    }
    *resident.mutable_record() = Restricted(found->front().record(), fields);
    return Answer(200, kKikouAnswerTag, answer);
  }

  Result<HttpResponse> AnswerCopyQuestion(const std::string& message) {
    ASSIGN_OR_RETURN(const auto question, Parsed<kikou::CopyQuestion>(message));
    ASSIGN_OR_RETURN(kikou::CopyAnswer answer, copies->Answer(question, options.clock->Now()));
    answer.set_question_digest(DigestOf(message));
    return Answer(200, kKikouCopyAnswerTag, answer);
  }

  Result<HttpResponse> TakeCorrections(const std::string& message) {
    ASSIGN_OR_RETURN(const auto corrections, Parsed<kikou::Corrections>(message));
    ASSIGN_OR_RETURN(kikou::Corrected corrected, holding->Correct(corrections));
    corrected.set_message_digest(DigestOf(message));
    corrected.set_received_at(options.clock->Now().value());
    return Answer(200, kKikouCorrectedTag, corrected);
  }

  Result<HttpResponse> TakeDrift(const std::string& message) {
    ASSIGN_OR_RETURN(const auto drift, Parsed<kikou::Drift>(message));
    ASSIGN_OR_RETURN(std::string lines, ApplyDrift(*holding, drift));
    return HttpResponse{200, "application/x-ndjson", std::move(lines), {}};
  }
};

KikouStandIn::KikouStandIn(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
KikouStandIn::~KikouStandIn() = default;

Result<std::string> KikouStandIn::Create(const std::string& dir) {
  if (FileExists(dir + "/keys/kikou.key")) return Conflict(dir + " is a stand-in for 機構 already");
  const SigningKey key = SigningKey::Generate();
  std::string text = ToHex(View(key.public_key()));
  RETURN_IF_ERROR(MakeDirectories(dir + "/keys"));
  RETURN_IF_ERROR(WriteFileDurably(dir + "/kikou.pub", text + "\n", 0644));
  RETURN_IF_ERROR(WriteSigningKey(dir + "/keys/kikou.key", key));
  return text;
}

Result<std::unique_ptr<KikouStandIn>> KikouStandIn::Open(KikouStandInOptions options) {
  auto impl = std::make_unique<Impl>();
  const std::string key_file = options.dir + "/keys/kikou.key", known = options.dir + "/prefecture.pub";
  if (!FileExists(key_file)) return NotFound(options.dir + " is no stand-in for 機構; daicho kikou init makes one");
  ASSIGN_OR_RETURN(impl->key, ReadSigningKey(key_file));
  impl->own = {impl->key.public_key()};
  if (!options.prefecture_keys.empty()) {
    std::string text;
    for (const std::string& file : options.prefecture_keys) {
      ASSIGN_OR_RETURN(const Key256 key, ReadPublicKeyFile(file));
      text += ToHex(View(key)) + "\n";
    }
    RETURN_IF_ERROR(WriteFileDurably(known, text, 0644));
  }
  if (FileExists(known)) {
    ASSIGN_OR_RETURN(impl->prefecture, ReadKeys(known));
  }
  const std::string copy_key_file = options.dir + "/copy.key";
  if (!options.copy_key_file.empty()) {
    ASSIGN_OR_RETURN(const CopyKey given, ReadCopyKeyFile(options.copy_key_file));
    RETURN_IF_ERROR(WriteCopyKeyFile(copy_key_file, given));
  }
  std::optional<CopyKey> copy_key;
  if (FileExists(copy_key_file)) {
    ASSIGN_OR_RETURN(copy_key, ReadCopyKeyFile(copy_key_file));
  }
  ASSIGN_OR_RETURN(impl->holding, KikouHolding::Open(options.dir + "/held", copy_key));
  impl->copies = std::make_unique<KikouCopySessions>(*impl->holding);
  impl->options = std::move(options);
  return std::unique_ptr<KikouStandIn>(new KikouStandIn(std::move(impl)));
}

KikouHolding& KikouStandIn::holding() { return *impl_->holding; }

HttpResponse KikouStandIn::Handle(const HttpRequest& request) {
  const std::string path = request.target.substr(0, request.target.find('?'));
  for (const Impl::Step& step : Impl::Steps()) {
    if (path != step.path) continue;
    if (request.method != "POST") return Refuse(405, "a signed message is a POST");
    const auto message = OpenFromKikou(step.tag, request.body, (*impl_).*step.by);
    if (!message.ok()) return Refuse(message.status());
    auto answer = ((*impl_).*step.answer)(*message);
    return answer.ok() ? *std::move(answer) : Refuse(answer.status());
  }
  return Refuse(404, "nothing is here");
}

}  // namespace daicho
