#include "consumers/cosigning.h"

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "consumers/http.h"
#include "events/tree_head.h"

namespace daicho {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kAnswerBytesMax = 64u << 10;
constexpr std::size_t kOffersMax =
    100'000;  // remembered while witnesses are away: a day, at one a second

struct Offered {
  std::uint64_t number = 0;  // 0: none
  std::uint64_t size = 0;
  std::string note;
};

// What a witness answers 409 with.
Result<std::uint64_t> ToSize(std::string_view body) {
  std::uint64_t size = 0;
  const auto [end, error] = std::from_chars(body.data(), body.data() + body.size(), size);
  if (error != std::errc() || std::string_view(end, body.data() + body.size()) != "\n") {
    return Corrupt("its answer of 409 holds no size");
  }
  return size;
}

template <typename Value>
std::set<std::string> NamesOf(const std::map<std::string, Value>& by_name) {
  std::set<std::string> out;
  for (const auto& [name, value] : by_name) out.insert(name);
  return out;
}

std::string Excerpt(std::string_view text) {
  std::string out(text.substr(0, std::min<std::size_t>(text.find('\n'), 120)));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  return out;
}

}  // namespace

struct Cosigning::Impl {
  struct Asked {
    const WitnessPolicy::Witness* witness = nullptr;
    std::thread thread;
    // Guarded by mutex.
    std::optional<std::uint64_t> size;
    std::string error;
    bool contradicts = false;  // what it answers and the ledger cannot both be right
    std::uint64_t done = 0;    // number of the round it has cosigned
    bool asking = false;
    steady_clock::time_point not_before{};
    std::chrono::milliseconds backoff{};
  };

  explicit Impl(CosigningOptions given) : options(std::move(given)) {}

  CosigningOptions options;
  mutable std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::unique_ptr<Asked>> asked;
  bool stopping = false;
  Offered newest, round;
  std::map<std::string, std::string> lines;  // of the round: witness → its verified line
  std::uint64_t cosigned_size = 0;
  std::map<std::uint64_t, TimeMicros> waiting;  // sizes offered and not cosigned → since when

  Status Open() {
    if (!options.cosigned.empty()) {
      ASSIGN_OR_RETURN(const Note note, ParseNote(options.cosigned));
      ASSIGN_OR_RETURN(const Checkpoint checkpoint, ParseCheckpoint(note.text));
      ASSIGN_OR_RETURN(const auto cosigners, options.policy.Cosigners(note));
      if (options.policy.Judge(NamesOf(cosigners)).satisfied) cosigned_size = checkpoint.size;
    }
    for (const auto& witness : options.policy.witnesses()) {
      if (witness.url.empty()) continue;
      auto& one = *asked.emplace_back(std::make_unique<Asked>());
      one.witness = &witness;
      one.backoff = options.backoff_min;
    }
    for (auto& one : asked) one->thread = std::thread([this, raw = one.get()] { Follow(*raw); });
    return {};
  }

  void Stop() {
    {
      const std::lock_guard hold(mutex);
      stopping = true;
    }
    changed.notify_all();
    for (auto& one : asked) {
      if (one->thread.joinable()) one->thread.join();
    }
  }

  // --- rounds; all require mutex
  // -------------------------------------------------------------------

  bool IsDue(const Asked& one, steady_clock::time_point now) const {
    return round.number != 0 && one.done != round.number && now >= one.not_before;
  }

  void AdvanceRound() {
    const auto now = steady_clock::now();
    const auto at_work = [&](const auto& one) { return one->asking || IsDue(*one, now); };
    if (newest.number == round.number || std::any_of(asked.begin(), asked.end(), at_work)) return;
    round = newest;
    lines.clear();
    TakeQuorum();
    changed.notify_all();
  }

  void TakeQuorum() {
    if (!options.policy.Judge(NamesOf(lines)).satisfied) return;
    cosigned_size = std::max(cosigned_size, round.size);
    waiting.erase(waiting.begin(), waiting.upper_bound(cosigned_size));
  }

  // --- one witness: its own thread
  // -----------------------------------------------------------------

  void Follow(Asked& one) {
    std::unique_lock hold(mutex);
    while (!stopping) {
      if (!IsDue(one, steady_clock::now())) {
        if (round.number != 0 && one.done != round.number) {
          changed.wait_until(hold, one.not_before);
        } else {
          changed.wait(hold);
        }
        continue;
      }
      one.asking = true;
      const Offered about = round;
      std::optional<std::uint64_t> size = one.size;
      hold.unlock();
      auto line = Ask(*one.witness, about, size);
      if (line.ok()) {
        const Status accepted = options.accept(about.size, one.witness->key, *line);
        if (!accepted.ok()) line = Status(accepted.With("its cosignature was not accepted"));
      }
      hold.lock();
      one.asking = false;
      one.size = size;
      Settle(one, about, line);
      AdvanceRound();
    }
  }

  // Requires: mutex.
  void Settle(Asked& one, const Offered& about, const Result<std::string>& line) {
    one.contradicts = line.status().code() == Code::kTampered;
    if (line.ok()) {
      one.error.clear();
      one.done = about.number;
      one.backoff = options.backoff_min;
      one.size = about.size;
      lines[one.witness->name] = *line;  // the round is still this one: it waits for who is asking
      TakeQuorum();
    } else {
      one.error = line.status().message();
      one.not_before = steady_clock::now() + one.backoff;
      one.backoff = std::min(one.backoff * 2, options.backoff_max);
    }
  }

  // Lines of the round's own text that are not known yet. Requires: mutex.
  std::vector<std::pair<const WitnessPolicy::Witness*, std::string>> NewLines(
      const Note& note, const std::map<std::string, TimeMicros>& cosigners) const {
    std::vector<std::pair<const WitnessPolicy::Witness*, std::string>> out;
    if (!round.note.starts_with(std::string(note.text) + "\n")) return out;
    for (const auto& witness : options.policy.witnesses()) {
      if (!cosigners.contains(witness.name) || lines.contains(witness.name)) continue;
      const NoteSignature* line = note.Find(witness.key.name, witness.key.id());
      out.emplace_back(&witness, SignatureLine(line->name, line->key_id, line->bytes));
    }
    return out;
  }

  // Requires: mutex.
  void TakeQuorumOf(std::uint64_t size, const std::map<std::string, TimeMicros>& cosigners) {
    if (!options.policy.Judge(NamesOf(cosigners)).satisfied) return;
    cosigned_size = std::max(cosigned_size, size);
    waiting.erase(waiting.begin(), waiting.upper_bound(cosigned_size));
  }

  // The verified line of a cosignature. `size`: what the witness is known to have; left as it says.
  Result<std::string> Ask(const WitnessPolicy::Witness& witness, const Offered& about,
                          std::optional<std::uint64_t>& size) const {
    for (int attempt = 0; attempt < 2; ++attempt) {
      const std::uint64_t old_size = size.value_or(0);
      if (old_size > about.size) {
        return Tampered("it has cosigned " + std::to_string(old_size) +
                        " entries, more than the ledger's " + std::to_string(about.size));
      }
      ASSIGN_OR_RETURN(const HttpResponse answer, Post(witness, old_size, about));
      if (answer.status == 200) return VerifiedLine(witness, about, answer.body);
      if (answer.status != 409) {
        // 422: what it has cosigned and what it is shown do not fit.
        return Status(answer.status == 422 ? Code::kTampered : Code::kUnavailable,
                      "it answered " + std::to_string(answer.status) + ": " + Excerpt(answer.body));
      }
      ASSIGN_OR_RETURN(const std::uint64_t has, ToSize(answer.body));
      if (size && *size == has && has == about.size) {
        return Tampered("it has cosigned another history of " + std::to_string(has) + " entries");
      }
      size = has;
    }
    return Unavailable("its size changes while it is asked");
  }

  Result<HttpResponse> Post(const WitnessPolicy::Witness& witness, std::uint64_t old_size,
                            const Offered& about) const {
    ASSIGN_OR_RETURN(const Proof proof, options.prove(old_size, about.size));
    HttpCallOptions call;
    call.url = witness.url + (witness.url.ends_with('/') ? "" : "/") + "add-checkpoint";
    call.method = "POST";
    call.body = "old " + std::to_string(old_size) + "\n";
    for (const Digest& hash : proof) call.body += ToBase64(View(hash)) + "\n";
    call.body += "\n" + about.note;
    call.timeout = options.call_timeout;
    call.ca_file = options.ca_file;
    call.response_bytes_max = kAnswerBytesMax;
    return HttpCall(call);
  }

  static Result<std::string> VerifiedLine(const WitnessPolicy::Witness& witness,
                                          const Offered& about, const std::string& body) {
    const std::string joined = about.note + body;
    ASSIGN_OR_RETURN(const Note note, ParseNote(joined));
    const Status verified = VerifyCosignature(note, witness.key).status();
    if (!verified.ok()) return verified.With("its answer");
    const NoteSignature* line = note.Find(witness.key.name, witness.key.id());
    return SignatureLine(line->name, line->key_id, line->bytes);
  }

  std::string Alarm(const State& state) const {
    std::string out;
    for (const auto& one : asked) {
      if (one->contradicts)
        out +=
            "証人 " + one->witness->name + " の回答が台帳と矛盾しています（" + one->error + "）。";
    }
    const std::int64_t late =
        state.waiting_since ? options.clock->Now().value() - state.waiting_since->value() : 0;
    if (late > options.deadline.count()) {
      out += "位置 " + std::to_string(state.cosigned_size) + " 以降は証人の副署が揃っていません（" +
             std::to_string(late / 1'000'000) + "秒経過）。";
    }
    return out;
  }
};

Cosigning::Cosigning(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Cosigning::~Cosigning() { impl_->Stop(); }

Result<std::unique_ptr<Cosigning>> Cosigning::Start(CosigningOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  if (const Status status = impl->Open(); !status.ok()) {
    return Invalid("the checkpoint published last: " + status.message());
  }
  return std::unique_ptr<Cosigning>(new Cosigning(std::move(impl)));
}

void Cosigning::Offer(const std::string& note) {
  const auto head = ParseTreeHead(note);
  CHECK(head.ok());  // the notary's own
  const std::string text = note.substr(0, note.find("\n\n") + 2);
  const std::lock_guard hold(impl_->mutex);
  if (impl_->newest.note.starts_with(text)) return;
  impl_->newest = {impl_->newest.number + 1, head->size, note};
  if (head->size > impl_->cosigned_size && impl_->waiting.size() < kOffersMax) {
    impl_->waiting.emplace(head->size, impl_->options.clock->Now());
  }
  impl_->AdvanceRound();
}

Status Cosigning::Take(const std::string& text) {
  ASSIGN_OR_RETURN(const Note note, ParseNote(text));
  ASSIGN_OR_RETURN(const TreeHead head, ParseTreeHead(text));
  ASSIGN_OR_RETURN(const auto cosigners, impl_->options.policy.Cosigners(note));
  const auto& logs = impl_->options.policy.logs();
  if (std::none_of(logs.begin(), logs.end(),
                   [&](const auto& log) { return VerifyNote(note, log.key).ok(); })) {
    return Tampered("a checkpoint that no log of the policy has signed");
  }
  std::unique_lock hold(impl_->mutex);
  impl_->TakeQuorumOf(head.size, cosigners);
  const std::uint64_t number = impl_->round.number;
  const auto found = impl_->NewLines(note, cosigners);
  hold.unlock();
  for (const auto& [witness, line] : found) {
    RETURN_IF_ERROR(impl_->options.accept(head.size, witness->key, line));
    hold.lock();
    if (impl_->round.number == number) impl_->lines[witness->name] = line;
    impl_->TakeQuorum();
    hold.unlock();
  }
  return {};
}

Cosigning::State Cosigning::GetState() const {
  const std::lock_guard hold(impl_->mutex);
  State out;
  out.newest_size = impl_->newest.size;
  out.cosigned_size = impl_->cosigned_size;
  if (!impl_->waiting.empty()) out.waiting_since = impl_->waiting.begin()->second;
  for (const auto& one : impl_->asked)
    out.witnesses.push_back({one->witness->name, one->size, one->error});
  out.alarm = impl_->Alarm(out);
  return out;
}

CosigningOptions CosigningFor(Notary& notary, WitnessPolicy policy, const Clock& clock) {
  CosigningOptions out;
  out.policy = std::move(policy);
  out.prove = [&notary](std::uint64_t old_size, std::uint64_t size) {
    return ConsistencyProof(old_size, size, notary.trees().Nodes(kLedgerTree));
  };
  out.accept = [&notary](std::uint64_t size, const NoteKey& witness, const std::string& line) {
    return notary.AddCosignature(size, witness, line);
  };
  out.clock = &clock;
  out.cosigned = notary.checkpoint();
  return out;
}

}  // namespace daicho
