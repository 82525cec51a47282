#include "consumers/kikou_copy_sessions.h"

#include <algorithm>

#include "events/codes.h"
#include "projections/copy_reconcile.h"

namespace daicho {
namespace {

constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kSessionBytes = 16;
constexpr std::size_t kSessionsMax = 4;
constexpr std::int64_t kIdleMicrosMax = 10 * 60 * 1'000'000ll;
constexpr int kCodesMax = 1'000;
// Of one answer's rows; the last of them may go beyond.
constexpr std::size_t kRowsBytes = 4u << 20;
constexpr std::string_view kFirstAsk = "\x01";  // of copy_reconcile.h: totals

bool Begins(const kikou::CopyQuestion& question) {
  return question.session().empty() && (question.has_rows_from() || (question.has_ask() && question.ask() == kFirstAsk));
}

Status Check(const kikou::CopyQuestion& question) {
  if (question.version() != kVersion) return Invalid("version: 1 is known here");
  if (!question.session().empty() && question.session().size() != kSessionBytes) return Invalid("session: 16 bytes, or none");
  switch (question.what_case()) {
    case kikou::CopyQuestion::kAsk: return {};
    case kikou::CopyQuestion::kClose: return question.close() ? Status() : Invalid("close: true");
    case kikou::CopyQuestion::kRowsFrom:
      return question.rows_from() < kCopyCodeEnd ? Status() : Invalid("rows_from: a 住民票コード has 11 digits");
    case kikou::CopyQuestion::kRows: {
      const auto& codes = question.rows().resident_codes();
      if (codes.size() > kCodesMax) return Invalid("rows.resident_codes: at most " + std::to_string(kCodesMax));
      for (int i = 0; i < codes.size(); ++i) {
        if (!IsDigits(codes[i], kResidentCodeDigits)) return Invalid("rows.resident_codes: a 住民票コード has 11 digits");
        if (i > 0 && codes[i] <= codes[i - 1]) return Invalid("rows.resident_codes: ascending");
      }
      return {};
    }
    case kikou::CopyQuestion::WHAT_NOT_SET: break;
  }
  return Invalid("what: ask, rows, rows_from or close");
}

Status NoSession() { return NotFound("session: there is no such session; begin another"); }

}  // namespace

struct KikouCopySessions::Session {
  explicit Session(KikouHolding::Copy taken)
      : copy(std::move(taken)),
        answers(copy.fingerprint(), copy.position(), ScanOf(copy)) {}
  Session(const Session&) = delete;

  Status Answer(const kikou::CopyQuestion& question, kikou::CopyAnswer& out) {
    const std::lock_guard lock(mutex);
    if (question.has_ask()) return Ask(question.ask(), *out.mutable_answer());
    if (question.has_rows()) return Rows(question.rows(), out);
    if (question.has_rows_from()) return RowsFrom(question.rows_from(), out);
    return {};
  }

  Status Ask(const std::string& question, std::string& out) {
    auto answer = answers.Ask(question);
    // Of another position: to who asks within a session that is no more than a wrong question.
    if (answer.status().code() == Code::kConflict) return Invalid("ask: " + answer.status().message());
    RETURN_IF_ERROR(answer.status().With("ask"));
    out = *std::move(answer);
    return {};
  }

  Status Rows(const kikou::CopyQuestion::Codes& codes, kikou::CopyAnswer& out) {
    for (const std::string& code : codes.resident_codes()) {
      ASSIGN_OR_RETURN(std::optional<v1::HeldCopy> row, copy.Row(std::stoull(code)));
      if (row) *out.add_rows() = *std::move(row);
    }
    return {};
  }

  Status RowsFrom(std::uint64_t first, kikou::CopyAnswer& out) {
    std::size_t bytes = 0;
    return copy.Rows(first, [&](v1::HeldCopy row) {
      if (bytes >= kRowsBytes) {
        out.set_next(std::stoull(row.resident_code()));
        return false;
      }
      bytes += row.ByteSizeLong();
      *out.add_rows() = std::move(row);
      return true;
    });
  }

  std::string name = std::string(View(RandomArray<kSessionBytes>()));
  TimeMicros used_at;  // guarded by the sessions' mutex
  std::mutex mutex;    // of what answers
  KikouHolding::Copy copy;
  CopyAnswers answers;
};

KikouCopySessions::KikouCopySessions(const KikouHolding& holding) : holding_(holding) {}
KikouCopySessions::~KikouCopySessions() = default;

Result<kikou::CopyAnswer> KikouCopySessions::Answer(const kikou::CopyQuestion& question, TimeMicros now) {
  RETURN_IF_ERROR(Check(question));
  if (const std::string known = holding_.ledger(); known != question.ledger()) {
    return Invalid(known.empty() ? "ledger: none is known here yet" : "ledger: another is known here");
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<Session> session,
                   Begins(question) ? Begin(now) : Find(question.session(), now));
  kikou::CopyAnswer out;
  out.set_session(session->name);
  RETURN_IF_ERROR(session->Answer(question, out));
  if (question.has_close()) Forget(session->name);
  return out;
}

Result<std::shared_ptr<KikouCopySessions::Session>> KikouCopySessions::Begin(TimeMicros now) {
  const std::lock_guard lock(mutex_);
  ForgetIdle(now);
  if (sessions_.size() >= kSessionsMax) return Pushback("session: as many as there may be, and all are busy");
  ASSIGN_OR_RETURN(KikouHolding::Copy copy, holding_.TakeCopy());
  auto session = std::make_shared<Session>(std::move(copy));
  session->used_at = now;
  sessions_.emplace(session->name, session);
  return session;
}

Result<std::shared_ptr<KikouCopySessions::Session>> KikouCopySessions::Find(const std::string& name, TimeMicros now) {
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(name);
  if (found == sessions_.end()) return NoSession();
  if (now.value() - found->second->used_at.value() > kIdleMicrosMax) {
    if (found->second.use_count() == 1) sessions_.erase(found);
    return NoSession();
  }
  found->second->used_at = now;
  return found->second;
}

// Room for one more: those that were left alone go, and if that is not enough, the one left alone for longest.
void KikouCopySessions::ForgetIdle(TimeMicros now) {
  // What is handed out is handed out under mutex_: who has it alone here is not being answered.
  const auto idle = [](const auto& each) { return each.second.use_count() == 1; };
  std::erase_if(sessions_, [&](const auto& each) {
    return idle(each) && now.value() - each.second->used_at.value() > kIdleMicrosMax;
  });
  if (sessions_.size() < kSessionsMax) return;
  auto oldest = sessions_.end();
  for (auto each = sessions_.begin(); each != sessions_.end(); ++each) {
    if (!idle(*each)) continue;
    if (oldest == sessions_.end() || each->second->used_at < oldest->second->used_at) oldest = each;
  }
  if (oldest != sessions_.end()) sessions_.erase(oldest);
}

void KikouCopySessions::Forget(const std::string& name) {
  const std::lock_guard lock(mutex_);
  sessions_.erase(name);
}

}  // namespace daicho
