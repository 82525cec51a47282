#include "consumers/audit_reexecute.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <deque>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>
#include <tuple>

#include "consumers/audit.h"
#include "events/dates.h"
#include "events/topics.h"
#include "ledger/entry_stream.h"
#include "ledger/generation.h"

namespace daicho {
namespace {

using nlohmann::ordered_json;
using std::chrono::milliseconds;
using Event = ProvisionRegister::Event;

constexpr std::size_t kJobRecords = 8;  // up to 63 answers each
constexpr std::size_t kJobsWaitingMax = 64;
constexpr std::size_t kPollRecords = 1'000;
constexpr std::size_t kPageEvents = 1'000;
// Answers are put on the topics after their events; and a request is answered one event after the other.
constexpr std::int64_t kUnderWayMicros = 10 * 60 * 1'000'000ll;

bool IsProvision(v1::EventKind kind) { return kind == v1::EVENT_KIND_PROVISION || kind == v1::EVENT_KIND_TRANSFER; }

// Keeps the findings of all threads.
class Findings {
 public:
  void Take(ReexecutionFinding finding) {
    const std::lock_guard lock(mutex_);
    ++total_;
    if (kept_.size() < kFindingsMax) kept_.push_back(std::move(finding));
  }
  void PutInto(Reexecution& out) {
    std::ranges::sort(kept_, {}, [](const ReexecutionFinding& f) { return std::tie(f.position, f.part, f.kind); });
    out.findings = std::move(kept_);
    out.findings_total = total_;
  }

 private:
  std::mutex mutex_;
  std::vector<ReexecutionFinding> kept_;
  std::uint64_t total_ = 0;
};

// Opens events and has them judged, on threads of its own.
class Workers {
 public:
  Workers(AnswerAudit& audit, const KeyStore& keys, ReexecutionFindingSink sink, unsigned count)
      : audit_(audit), keys_(keys), sink_(std::move(sink)) {
    for (unsigned i = 0; i < count; ++i) threads_.emplace_back([this] { Work(); });
  }
  ~Workers() { (void)Finish(); }

  // Waits while much is waiting. Errors: of an earlier record.
  Status Add(std::string record) {
    job_.push_back(std::move(record));
    return job_.size() < kJobRecords ? Status() : Hand();
  }
  // Returns when all are judged.
  Status Finish() {
    if (!job_.empty()) (void)Hand();
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
      changed_.notify_all();
    }
    threads_.clear();
    return status_;
  }

  // After Finish: events of which nothing is left, and the answers they had.
  const std::set<Position>& erased() const { return erased_; }
  std::uint64_t erased_answers() const { return erased_answers_; }

 private:
  using Job = std::vector<std::string>;

  Status Hand() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return jobs_.size() < kJobsWaitingMax || !status_.ok(); });
    jobs_.push_back(std::move(job_));
    job_.clear();
    changed_.notify_all();
    return status_;
  }

  void Work() {
    PreparedEntry prepared;
    for (;;) {
      Job job;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return ended_ || !jobs_.empty(); });
        if (jobs_.empty()) return;
        job = std::move(jobs_.front());
        jobs_.pop_front();
        changed_.notify_all();
      }
      for (const std::string& record : job) {
        Status status = One(record, prepared);
        if (status.ok()) continue;
        const std::lock_guard lock(mutex_);
        if (status_.ok()) status_ = std::move(status);
        changed_.notify_all();
      }
    }
  }

  Status One(const std::string& record, PreparedEntry& prepared) {
    PrepareEntry(record, prepared);
    RETURN_IF_ERROR(prepared.status);
    const Position position(prepared.leaf.position());
    const auto first = OpenPart(prepared, 0, keys_);
    if (first.status().code() == Code::kErased) {
      const std::lock_guard lock(mutex_);
      erased_.insert(position);
      erased_answers_ += static_cast<std::uint64_t>(prepared.leaf.keys_size() - 1);
      return {};
    }
    RETURN_IF_ERROR(first.status());
    if (!IsProvision(prepared.header.kind())) {
      v1::DeliveryReceived received;
      if (received.ParseFromString(*first)) return audit_.CheckReceipt(position, received, sink_);
      sink_({position, 0, ReexecutionFindingKind::kUndecodable, "of a receipt"});
      return {};
    }
    ProvidedEvent event;
    event.position = position;
    event.admitted_at = TimeMicros(prepared.leaf.admitted_at());
    event.kind = prepared.header.kind();
    bool decoded = event.provision.ParseFromString(*first);
    for (int part = 1; part < prepared.leaf.keys_size(); ++part) {
      ProvidedEvent::Part& out = event.parts.emplace_back();
      out.subject = prepared.leaf.keys(part).subject();
      const auto payload = OpenPart(prepared, part, keys_);
      if (payload.status().code() == Code::kErased) continue;
      RETURN_IF_ERROR(payload.status());
      decoded &= out.result.emplace().ParseFromString(*payload);
    }
    if (decoded) return audit_.Check(event, sink_);
    sink_({position, 0, ReexecutionFindingKind::kUndecodable, "of a provision"});
    return {};
  }

  AnswerAudit& audit_;
  const KeyStore& keys_;
  ReexecutionFindingSink sink_;
  Job job_;  // not handed over yet
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;  // guarded by mutex_, like those below
  bool ended_ = false;
  Status status_;
  std::set<Position> erased_;
  std::uint64_t erased_answers_ = 0;
  std::vector<std::jthread> threads_;
};

// Whether each request was answered whole, once, and by one rule, and what each agency must have been delivered.
class Requests {
 public:
  // `from` behind the beginning: of a request that began before it only the rest is seen.
  Requests(const ReexecutionFindingSink& sink, bool from_the_beginning, TimeMicros now)
      : sink_(sink), from_the_beginning_(from_the_beginning), now_(now) {}

  void Take(const Event& event) {
    const v1::Provision& provision = event.provision;
    if (provision.method() == v1::DELIVERY_METHOD_LINE && !provision.delivered_digest().empty()) {
      delivered_[provision.agency()].push_back({event.position, event.admitted_at, provision.delivered_digest()});
    }
    if (provision.refusal() != v1::REFUSAL_REASON_UNSPECIFIED || provision.cause_position() != 0) return;
    // Of a standing request each end is a request of its own under the same reference.
    const std::string end = provision.ends_standing() ? provision.request_digest() : "";
    const auto [found, first] = open_.try_emplace({provision.agency(), provision.reference(), end});
    Request& request = found->second;
    if (first) {
      request.common = Common(provision);
      request.next = from_the_beginning_ ? 0 : provision.chunk();
      request.whole = request.next == 0;
    }
    const bool follows = provision.chunk() == request.next && provision.chunk() < provision.chunk_count() &&
                         request.common == Common(provision);
    if (!follows) {
      Find(event.position, ReexecutionFindingKind::kChunks,
           fmt::format("answer {} of {}, awaited {}", provision.chunk() + 1, provision.chunk_count(), request.next + 1));
      return;
    }
    ++request.next;
    request.results += provision.result_count();
    request.last = event.position;
    request.last_at = event.admitted_at;
    request.chunks = provision.chunk_count();
    if (request.next == request.chunks && request.whole && request.results != provision.conditions()) {
      Find(event.position, ReexecutionFindingKind::kCounts,
           fmt::format("{} answers to {} conditions", request.results, provision.conditions()));
    }
  }

  void Finish() {
    for (const auto& [name, request] : open_) {
      if (request.next == request.chunks || UnderWay(request.last_at)) continue;
      Find(request.last, ReexecutionFindingKind::kChunks, fmt::format("ends after {} of {}", request.next, request.chunks));
    }
  }

  struct Delivery {
    Position position;
    TimeMicros admitted_at;
    std::string digest;
  };
  // By agency; ascending.
  const std::map<std::string, std::vector<Delivery>>& delivered() const { return delivered_; }
  bool UnderWay(TimeMicros admitted_at) const { return admitted_at.value() > now_.value() - kUnderWayMicros; }

 private:
  struct Request {
    Digest common{};
    std::uint32_t next = 0, chunks = 0;
    std::uint64_t results = 0;
    bool whole = true;  // seen from its first answer
    Position last;
    TimeMicros last_at;
  };

  void Find(Position position, ReexecutionFindingKind kind, std::string detail) {
    sink_({position, 0, kind, std::move(detail)});
  }

  // Of what all answers of a request say alike.
  static Digest Common(const v1::Provision& provision) {
    v1::Provision common = provision;
    common.clear_chunk();
    common.clear_result_count();
    common.clear_found_count();
    common.clear_none_count();
    common.clear_multiple_count();
    common.clear_refused_count();
    common.clear_result_digest();
    common.clear_delivered_digest();
    common.clear_matching();
    common.clear_operator_act();  // whoever went on with it
    return Sha256Of({common.SerializeAsString()});
  }

  const ReexecutionFindingSink& sink_;
  const bool from_the_beginning_;
  const TimeMicros now_;
  std::map<std::tuple<std::string, std::string, std::string>, Request> open_;
  std::map<std::string, std::vector<Delivery>> delivered_;
};

class Reexecutor {
 public:
  explicit Reexecutor(const ReexecutionOptions& options) : options_(options), topics_{options.ledger.prefecture} {}

  Result<Reexecution> Run() {
    out_.begun = options_.clock->Now();
    RETURN_IF_ERROR(Project());
    const auto begun = std::chrono::steady_clock::now();
    const std::clock_t processor_begun = std::clock();
    RETURN_IF_ERROR(EvaluateAll());
    Requests requests(sink_, options_.from == Position(0), out_.begun);
    RETURN_IF_ERROR(CheckRequests(requests));
    out_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    out_.processor_seconds = static_cast<double>(std::clock() - processor_begun) / CLOCKS_PER_SEC;
    RETURN_IF_ERROR(CheckDeliveries(requests));
    RETURN_IF_ERROR(CheckComparisons());
    RETURN_IF_ERROR(Clear());
    findings_.PutInto(out_);
    out_.ended = options_.clock->Now();
    return std::move(out_);
  }

 private:
  // A record file of the whole ledger: what came later is asked too, such as receipts.
  Status Project() {
    ProjectorOptions o;
    o.prefecture = options_.ledger.prefecture;
    o.ledger = options_.ledger.ledger;
    o.registrar_public_key = options_.ledger.registrar;
    o.dir = options_.dir;
    o.log = options_.log;
    o.keys = options_.keys;
    o.at_rest = options_.at_rest;
    o.matching = options_.matching;
    o.progress = options_.progress;
    kind_ = Projector::Kind(o);
    ASSIGN_OR_RETURN(projector_, Projector::Open(std::move(o)));
    RETURN_IF_ERROR(projector_->CatchUp());
    out_.size = projector_->position().value();
    if (out_.size == 0) return NotFound("the ledger holds nothing yet");
    last_ = Position(out_.size - 1);
    if (options_.to) last_ = std::min(last_, *options_.to);
    newest_ = projector_->registry();
    return {};
  }

  Status Clear() {
    if (options_.keep) return {};
    projector_.reset();
    return DropGeneration(options_.dir, *options_.keys, kind_, options_.at_rest);
  }

  // The entries are verified once more as they are read: nothing else may have been put before the record file.
  Status EvaluateAll() {
    AnswerAudit audit(*projector_, *newest_);
    const unsigned workers = options_.workers != 0 ? options_.workers : std::max(1u, std::thread::hardware_concurrency());
    Workers judging(audit, *options_.keys, sink_, workers);
    LedgerReplay replay(options_.ledger.ledger, options_.ledger.registrar);
    ASSIGN_OR_RETURN(const Bounds bounds, options_.log->GetBounds(topics_.Ledger()));
    EntryStreamOptions stream_options;
    stream_options.log = options_.log;
    stream_options.topic = topics_.Ledger();
    stream_options.from = bounds.first;
    stream_options.end = bounds.end;
    ASSIGN_OR_RETURN(auto stream, EntryStream::Open(std::move(stream_options)));
    for (bool reached = false; !reached;) {
      ASSIGN_OR_RETURN(const EntryStream::Batch* batch, stream->Next());
      if (batch == nullptr) break;
      for (std::size_t i = 0; i < batch->records.size() && !reached; ++i) {
        ASSIGN_OR_RETURN(const LedgerReplay::Checked entry, replay.Next(batch->prepared[i]));
        reached = entry.position >= last_ && entry.ends_submission;
        if (batch->prepared[i].kind->clear) audit.RegistryChanged(entry.position);
        const v1::EventKind kind = entry.header.kind();
        if (entry.position < options_.from || entry.position > last_) continue;
        if (!IsProvision(kind) && kind != v1::EVENT_KIND_DELIVERY_RECEIVED) continue;
        ++(IsProvision(kind) ? out_.events : out_.receipts);
        RETURN_IF_ERROR(judging.Add(std::string(batch->records[i].value)));
      }
      if (options_.progress) options_.progress(replay.next_position().value(), last_.value() + 1);
    }
    RETURN_IF_ERROR(replay.VerifyHeads());
    RETURN_IF_ERROR(judging.Finish());
    out_.answers = audit.answers();
    erased_ = judging.erased();
    out_.erased = audit.erased() + judging.erased_answers();
    out_.unjudged = audit.unjudged();
    return {};
  }

  Status CheckRequests(Requests& requests) {
    const ProvisionRegister provided(projector_->store());
    ProvisionRegister::Filter filter;
    filter.first = options_.from;
    filter.last = last_;
    while (filter.first <= filter.last) {
      ASSIGN_OR_RETURN(const std::vector<Event> events, provided.Events(filter, kPageEvents));
      for (const Event& event : events) requests.Take(event);
      if (events.size() < kPageEvents) break;
      filter.first = events.back().position.Next();
    }
    requests.Finish();
    return {};
  }

  Status CheckDeliveries(const Requests& requests) {
    std::set<std::string> agencies;
    for (const auto& [agency, registered] : newest_->agencies()) agencies.insert(agency);
    for (const auto& [agency, delivered] : requests.delivered()) agencies.insert(agency);
    for (const std::string& agency : agencies) {
      static const std::vector<Requests::Delivery> kNone;
      const auto delivered = requests.delivered().find(agency);
      RETURN_IF_ERROR(CheckTopic(agency, delivered == requests.delivered().end() ? kNone : delivered->second, requests));
    }
    return {};
  }

  Status CheckComparisons() {
    const auto begun = std::chrono::steady_clock::now();
    ConsistencyAudit audit(*projector_, *newest_, options_.copy_key, out_.begun);
    RETURN_IF_ERROR(audit.Check(options_.from, last_, sink_));
    out_.comparing_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    out_.runs = audit.runs();
    out_.differences = audit.differences();
    out_.unjudged += audit.unjudged();
    return {};
  }

  // What stands on an agency's topic against what must have been delivered to it.
  Status CheckTopic(const std::string& agency, const std::vector<Requests::Delivery>& delivered,
                    const Requests& requests) {
    const std::string topic = topics_.Provision(agency);
    const auto bounds = options_.log->GetBounds(topic);
    if (bounds.status().code() == Code::kNotFound && delivered.empty()) return {};
    if (bounds.status().code() == Code::kDenied) {
      out_.warnings.push_back(topic + " を読めないため、渡された答えを照合していません");
      return {};
    }
    if (!bounds.ok() && bounds.status().code() != Code::kNotFound) return bounds.status();
    std::vector<std::uint32_t> seen(delivered.size());
    std::optional<Position> oldest;  // of what the topic still holds
    if (bounds.ok()) RETURN_IF_ERROR(ReadTopic(topic, *bounds, delivered, seen, oldest));
    const bool shortened = bounds.ok() && bounds->first > Cursor(0);
    for (std::size_t i = 0; i < delivered.size(); ++i) {
      if (seen[i] > 0 || requests.UnderWay(delivered[i].admitted_at)) continue;
      if (shortened && (!oldest || delivered[i].position < *oldest)) continue;  // its time on the topic is over
      sink_({delivered[i].position, 0, ReexecutionFindingKind::kDeliveryMissing, topic});
    }
    return {};
  }

  Status ReadTopic(const std::string& topic, const Bounds& bounds, const std::vector<Requests::Delivery>& delivered,
                   std::vector<std::uint32_t>& seen, std::optional<Position>& oldest) {
    ASSIGN_OR_RETURN(auto reader, options_.log->OpenReader());
    RETURN_IF_ERROR(reader->Assign(topic, bounds.first).status());
    while (reader->Next(0) < bounds.end) {
      ASSIGN_OR_RETURN(const auto records, reader->Poll(kPollRecords, milliseconds(100)));
      for (const Received& record : records) {
        ++out_.deliveries;
        Position position(0);
        for (const char c : record.key) position = Position(position.value() * 10 + static_cast<std::uint64_t>(c - '0'));
        const bool is_position = record.key == std::to_string(position.value());
        if (!oldest) oldest = position;
        const bool asked = position >= options_.from && position <= last_ && !erased_.contains(position);
        if (is_position && !asked) continue;
        const auto found = std::ranges::lower_bound(delivered, position, {}, &Requests::Delivery::position);
        if (!is_position || found == delivered.end() || found->position != position) {
          sink_({is_position ? position : Position(0), 0, ReexecutionFindingKind::kDeliveryForeign, topic});
          continue;
        }
        if (seen[static_cast<std::size_t>(found - delivered.begin())]++ > 0) {
          sink_({position, 0, ReexecutionFindingKind::kDeliveryTwice, topic});
        } else if (View(Sha256Of({record.value})) != found->digest) {
          sink_({position, 0, ReexecutionFindingKind::kDeliveryChanged, topic});
        }
      }
    }
    return {};
  }

  const ReexecutionOptions& options_;
  const Topics topics_;
  std::string kind_;  // of the record file
  std::unique_ptr<Projector> projector_;
  std::shared_ptr<const Registry> newest_;
  Position last_;
  std::set<Position> erased_;  // events
  Findings findings_;
  const ReexecutionFindingSink sink_ = [this](ReexecutionFinding finding) { findings_.Take(std::move(finding)); };
  Reexecution out_;
};

}  // namespace

Result<Reexecution> Reexecute(const ReexecutionOptions& options) { return Reexecutor(options).Run(); }

std::string ReexecutionJson(const Reexecution& result) {
  ordered_json out = {{"format", "daicho-reexecution/1"},
                      {"verdict", result.good() ? "good" : "findings"},
                      {"begun", FormatTimestamp(result.begun)},
                      {"ended", FormatTimestamp(result.ended)},
                      {"size", result.size},
                      {"events", result.events},
                      {"answers", result.answers},
                      {"receipts", result.receipts},
                      {"deliveries", result.deliveries},
                      {"runs", result.runs},
                      {"differences", result.differences},
                      {"erased", result.erased},
                      {"unjudged", result.unjudged},
                      {"seconds", result.seconds},
                      {"processor_seconds", result.processor_seconds},
                      {"comparing_seconds", result.comparing_seconds},
                      {"warnings", result.warnings},
                      {"findings", ordered_json::array()},
                      {"findings_total", result.findings_total}};
  for (const ReexecutionFinding& finding : result.findings) {
    const ReexecutionFindingInfo& info = InfoOf(finding.kind);
    out["findings"].push_back({{"position", finding.position.value()},
                               {"part", finding.part},
                               {"kind", info.id},
                               {"detail", finding.detail},
                               {"meaning", info.japanese}});
  }
  return out.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string ReexecutionText(const Reexecution& result) {
  std::string out = fmt::format(
      "提供・移転  {} 件（答え {} 件、受領 {} 件、渡された答え {} 件）\n整合性確認  {} 回（不整合 {} 件）\n消去済み    {} 件\n"
      "判断できず  {} 件\n",
      result.events, result.answers, result.receipts, result.deliveries, result.runs, result.differences, result.erased,
      result.unjudged);
  for (const std::string& warning : result.warnings) out += "注意        " + warning + "\n";
  if (result.good()) return out + "指摘はありません。すべての答えと照合が、再び評価したものと一致しました\n";
  out += fmt::format("指摘        {} 件\n", result.findings_total);
  for (const ReexecutionFinding& finding : result.findings) {
    const ReexecutionFindingInfo& info = InfoOf(finding.kind);
    out += fmt::format("  位置 {}{}  {}  {}（{}）\n", finding.position.value(),
                       finding.part == 0 ? "" : fmt::format(" の {} 件目", finding.part), info.id, info.japanese,
                       finding.detail);
  }
  return out;
}

}  // namespace daicho
