#include "consumers/consistency_audit.h"

#include <algorithm>
#include <chrono>

#include "consumers/difference_judgement.h"
#include "consumers/operator_act.h"
#include "consumers/reconciling.h"
#include "events/dates.h"
#include "projections/record_copy.h"

namespace daicho {
namespace {

using Kind = ReexecutionFindingKind;
using std::chrono::microseconds;

// The differences of a run come before its own event.
constexpr microseconds kUnderWay = std::chrono::minutes(10);
// How far a node's record file may have been behind what was admitted when a copy file was compared.
constexpr microseconds kBehind = std::chrono::minutes(1);

TimeMicros Before(TimeMicros time, microseconds by) { return TimeMicros(time.value() - by.count()); }

// What was ordered cannot be read from the act: its own digest stands for it where the ledger does not tell it.
Digest OrderedDigest(const v1::OperatorAct& act) {
  const std::string_view request = act.request();
  const auto digest = ToArray<32>(request.substr(0, std::min<std::size_t>(32, request.size())));
  return digest.ok() ? *digest : Digest{};
}

// By municipality: how many of each class, and what the municipality was told, by number. The place of a row in a copy
// file is known to who had the file.
using Results = std::map<std::string, std::pair<std::map<int, std::uint64_t>, std::map<std::uint64_t, std::string>>>;
template <typename Counts>
std::map<int, std::uint64_t> CountsOf(const Counts& counts) {
  std::map<int, std::uint64_t> out;
  for (const v1::DifferenceCount& count : counts) out[count.difference_class()] += count.count();
  return out;
}
Results ResultsOf(const v1::ConsistencyRun& run) {
  Results out;
  for (const v1::MunicipalityResult& result : run.results()) {
    auto& [counts, cases] = out[result.municipality()];
    counts = CountsOf(result.differences());
    for (v1::MunicipalityCase told : result.cases()) {
      told.clear_row();
      cases[told.number()] = told.SerializeAsString();
    }
  }
  return out;
}

}  // namespace

Result<bool> ConsistencyAudit::ShowsAll(Position at) const {
  if (newest_.erasures().empty()) return true;
  if (newest_.erasures().back() > at) return false;
  ASSIGN_OR_RETURN(const Registry then, projector_.RegistryAt(at));
  return then.open_runs().empty();  // what was ordered before was gone
}

// One run.
class ConsistencyAudit::RunAgain {
 public:
  RunAgain(ConsistencyAudit& audit, const Run& run, const ReexecutionFindingSink& sink)
      : audit_(audit),
        file_(audit.projector_.file()),
        position_(run.position),
        run_(run.event),
        at_(run.event.evaluated_at()),
        sink_(sink) {}

  Status Judge() {
    ASSIGN_OR_RETURN(cases_, audit_.register_.CasesOf(run_.run(), Position(~std::uint64_t{0})));
    ASSIGN_OR_RETURN(const bool took_place, CheckOperator());
    if (!took_place) return {};
    if (at_ >= position_ || std::ranges::any_of(cases_, [&](const Case& each) { return each.position <= at_; })) {
      Find(Kind::kTime, "evaluated_at lies behind the run's events");
      return {};
    }
    RETURN_IF_ERROR(CheckTimeOfFile());
    ASSIGN_OR_RETURN(shows_all_, audit_.ShowsAll(at_));
    RETURN_IF_ERROR(TakeDifferences());
    RETURN_IF_ERROR(JudgeDifferences());
    CheckCounts();
    RETURN_IF_ERROR(CheckLeftOpen());
    return CheckCopies();
  }

 private:
  struct Difference {
    Case of;
    bool again = false;
    HeldPerson here;
    std::optional<v1::HeldCopy> row_here, row_there;
    // There is a row that the event does not tell: a sketch names no more than the code.
    bool there_unknown() const {
      const v1::DifferenceClass what = of.found.difference_class();
      return !of.found.has_there() && (what == v1::DIFFERENCE_CLASS_FIELD || what == v1::DIFFERENCE_CLASS_MISSING_HERE);
    }
    bool is_duplicate() const { return of.found.difference_class() == v1::DIFFERENCE_CLASS_DUPLICATE; }
    bool there_twice() const { return std::ranges::find(of.found.fields(), "resident_code") != of.found.fields().end(); }
  };

  void Find(Kind kind, std::string detail) { sink_({position_, 0, kind, std::move(detail)}); }
  void FindIn(const Difference& difference, Kind kind, std::string detail) {
    if (shows_all_) sink_({difference.again ? position_ : difference.of.position, 0, kind, std::move(detail)});
    else ++audit_.unjudged_;
  }
  bool whole() const { return run_.municipality().empty(); }
  bool by_sketch() const { return run_.method() == v1::CONSISTENCY_METHOD_SKETCH; }
  bool by_file() const { return run_.method() == v1::CONSISTENCY_METHOD_FILE; }
  // What a narrowed run passes over is not told.
  bool tells_all() const { return whole() || IsMunicipalitySketch(run_); }

  // The last entry admitted by then; the first, when there was none.
  Result<Position> LastBy(TimeMicros time) const {
    const auto at = file_.AtTime(time);
    return at.status().code() == Code::kNotFound ? Position(0) : at;
  }

  // Whether the comparison took place.
  Result<bool> CheckOperator() {
    const bool refused = run_.refusal() != v1::REFUSAL_REASON_UNSPECIFIED;
    if (refused && (!cases_.empty() || run_.differences_size() > 0)) Find(Kind::kRefusal, "refused, and yet compared");
    const v1::OperatorAct& act = run_.operator_act();
    v1::RefusalReason reason = v1::REFUSAL_REASON_UNSPECIFIED;
    if (!act.operator_id().empty()) {
      ASSIGN_OR_RETURN(const Position then, LastBy(TimeMicros(run_.started_at())));
      ASSIGN_OR_RETURN(const Registry registry, audit_.projector_.RegistryAt(then));
      const auto refusal = CheckAct(registry, act, kReconcileTag, OrderedDigest(act), v1::PERMISSION_RECONCILE,
                                    TimeMicros(run_.started_at()));
      if (refusal) reason = refusal->reason;
    }
    if (!refused && reason != v1::REFUSAL_REASON_UNSPECIFIED) {
      Find(Kind::kOperator, "who may not compare");
    } else if (refused && reason != run_.refusal()) {
      // Whether the act was signed for this order is not in the ledger.
      if (run_.refusal() == v1::REFUSAL_REASON_STALE_REQUEST) ++audit_.unjudged_;
      else Find(Kind::kRefusal, "the operator could compare, or could not for another reason");
    }
    return !refused;
  }

  Status CheckTimeOfFile() {
    if (!by_file()) return {};
    const auto as_of = ParseTimestamp(run_.holder_as_of());
    if (!as_of) {
      Find(Kind::kTime, "holder_as_of is no time");
      return {};
    }
    ASSIGN_OR_RETURN(const Position latest, LastBy(*as_of));
    ASSIGN_OR_RETURN(const Position earliest, LastBy(Before(*as_of, kBehind)));
    if (at_ > latest || at_ < earliest) Find(Kind::kTime, "our side is not of holder_as_of");
    return {};
  }

  // Those that the run found, and those that it found again, by code as it went through them.
  Status TakeDifferences() {
    std::uint64_t number = 0;
    for (Case& each : cases_) {
      if (each.position > position_) Find(Kind::kCase, "a difference is recorded after its run");
      numbered_ &= each.found.number() == ++number;
      all_.push_back({.of = std::move(each), .again = false, .here = {}, .row_here = {}, .row_there = {}});
    }
    // Of one whose key is erased nothing is left.
    if (!numbered_ && audit_.newest_.erasures().empty()) Find(Kind::kCase, "numbers are missing");
    std::set<std::uint64_t> seen;
    for (const std::uint64_t found : run_.found_again()) {
      auto of = audit_.register_.CaseAt(Position(found), Position(position_.value() - 1));
      if (of.status().code() == Code::kNotFound) {
        numbered_ = false;
        if (audit_.newest_.erasures().empty()) Find(Kind::kCase, "no difference stands where one was found again");
        continue;
      }
      RETURN_IF_ERROR(of.status());
      if (!seen.insert(found).second || of->found.holder() != run_.holder() || of->settled_at) {
        Find(Kind::kCase, "what was found again is no open case of this holder");
        continue;
      }
      all_.push_back({.of = *std::move(of), .again = true, .here = {}, .row_here = {}, .row_there = {}});
    }
    std::ranges::sort(all_, {}, [](const Difference& each) { return each.of.found.resident_code(); });
    for (Difference& each : all_) {
      const std::string& code = each.of.found.resident_code();
      ASSIGN_OR_RETURN(each.here, HeldUnder(file_, code, at_));
      each.row_here = each.here.Row();
      each.row_there = RowThere(each.of.found, each.row_here ? &*each.row_here : nullptr);
      if (each.row_here) clashes_.Take(*each.row_here);
      // Of a sketch what is there was not looked at, though it may have been told before.
      if (each.row_there && !by_sketch()) RETURN_IF_ERROR(TakeNumbers(file_, at_, *each.row_there, clashes_));
    }
    clashes_.Close();
    return {};
  }

  std::optional<RowDifference> Classify(const Difference& each) const {
    const v1::HeldCopy* const here = each.row_here ? &*each.row_here : nullptr;
    if (here == nullptr && !each.row_there && !each.there_unknown()) return std::nullopt;
    std::vector<v1::HeldCopy> there;
    if (each.row_there) there.push_back(*each.row_there);
    if (each.there_twice() && each.row_there && by_file()) there.push_back(*each.row_there);  // what the second one said is not kept
    return ClassifyDifference(here, there, each.there_unknown(), clashes_);
  }

  Status JudgeDifferences() {
    must_.set_run(run_.run());
    must_.set_holder(run_.holder());
    must_.set_municipality(run_.municipality());
    must_.set_evaluated_at(run_.evaluated_at());
    if (IsMunicipality(run_.holder())) ResultOf(must_, run_.holder());
    const std::string* before = nullptr;
    for (const Difference& each : all_) {
      const v1::DifferenceFound& said = each.of.found;
      audit_.differences_ += each.again ? 0 : 1;
      if (before != nullptr && *before == said.resident_code()) FindIn(each, Kind::kCase, "one person is found twice");
      before = &said.resident_code();
      const v1::HeldCopy* const here = each.row_here ? &*each.row_here : nullptr;
      const v1::HeldCopy* const there = each.row_there ? &*each.row_there : nullptr;
      CountDifference(must_, said.difference_class(), CountedFor(must_, here, there));
      JudgeOne(each, here, there);
      if (!each.again && said.has_report()) {
        *ResultOf(must_, said.report().municipality()).add_cases() = ToldCase(said, each.here);
      }
    }
    return {};
  }

  void JudgeOne(const Difference& each, const v1::HeldCopy* here, const v1::HeldCopy* there) {
    const v1::DifferenceFound& said = each.of.found;
    if (!each.again && each.here.subject && *each.here.subject != each.of.subject) {
      return FindIn(each, Kind::kDifference, "sealed for another person");
    }
    if (each.there_unknown() && !by_sketch() && !each.again) {
      return FindIn(each, Kind::kDifference, "what the holder has is not told");
    }
    const std::optional<RowDifference> difference = Classify(each);
    if (!difference) return FindIn(each, Kind::kDifference, "the sides do not differ");
    v1::DifferenceFound must = FoundBy(must_, said.number(), said.resident_code(), *difference, here, there);
    if (each.again) {
      // What a sketch names is known by what was found before.
      if (!by_sketch() && !IsSameDifference(said, must)) FindIn(each, Kind::kDifference, "found again, and otherwise");
      return;
    }
    // The number may stand for somebody whom a narrowed run passes over.
    if (!whole() && each.is_duplicate() && difference->difference_class != v1::DIFFERENCE_CLASS_DUPLICATE) {
      ++audit_.unjudged_;
      return;
    }
    if (said.has_here() != must.has_here() || said.here().SerializeAsString() != must.here().SerializeAsString()) {
      return FindIn(each, Kind::kDifference, "our side is not what the ledger held then");
    }
    if (said.difference_class() != must.difference_class() || !std::ranges::equal(said.fields(), must.fields())) {
      return FindIn(each, Kind::kDifference, "another class, or other fields");
    }
    const bool reported = WayOf(run_.holder(), each.here, there) == DifferenceWay::kReport;
    if (reported) {
      *must.mutable_report() = ReportOf(must, each.here);
      must.mutable_report()->set_reported_on(FormatDate(JapanDate(TimeMicros(run_.ended_at()))));
    }
    if (said.SerializeAsString() != must.SerializeAsString()) {
      FindIn(each, Kind::kCase, reported == said.has_report() ? "of another run, or reported otherwise"
                                : reported                    ? "nobody was told of it"
                                                              : "reported, and the holder is to correct it");
    }
  }

  void CheckCounts() {
    if (!numbered_) {
      ++audit_.unjudged_;
      return;
    }
    if (CountsOf(run_.differences()) != CountsOf(must_.differences())) Find(Kind::kCounts, "of differences by class");
    else if (ResultsOf(run_) != ResultsOf(must_)) Find(Kind::kCounts, "of the municipalities' results");
  }

  // Every case that the run covers is found again or has an end.
  Status CheckLeftOpen() {
    if (run_.holder() == kHolderKikou && !whole()) return {};
    std::set<Position> stand;
    for (const Difference& each : all_) stand.insert(each.of.position);
    ASSIGN_OR_RETURN(const auto open, audit_.register_.OpenCases(run_.holder(), position_));
    for (const Case& each : open) {
      if (stand.contains(each.position)) continue;
      ASSIGN_OR_RETURN(const HeldPerson here, HeldUnder(file_, each.found.resident_code(), at_));
      if (Covers(run_, each.found, here)) Find(Kind::kCase, "a case is neither found again nor closed");
    }
    return {};
  }

  // Our copy then; and with the differences the other one.
  Status CheckCopies() {
    std::optional<CopyKey> key = audit_.copy_key_;
    if (key && key->epoch != run_.fingerprint_epoch()) key.reset();
    if (key) key = FingerprintKey(*key, run_);
    const auto keying = std::make_shared<CopyKeying>(key.value_or(CopyKey{}));
    const auto compared = ComparedRows(run_);
    ASSIGN_OR_RETURN(const RecordCopy here, RecordCopy::Gather(audit_.projector_.store(), keying, at_, compared));
    CopyTotal total = here.fingerprint().total();
    if (!shows_all_) {
      ++audit_.unjudged_;
      return {};
    }
    if (run_.here_count() != total.count) Find(Kind::kCounts, "of the persons compared here");
    else if (key && run_.here_fingerprint() != FingerprintBytes(total)) Find(Kind::kCopy, "of our copy");
    if (!key) ++audit_.unjudged_;
    if (!tells_all()) return {};
    // What a sketch finds again may be otherwise there than it was.
    const bool all_told = numbered_ && std::ranges::none_of(all_, [&](const Difference& each) {
      return each.there_unknown() || each.there_twice() || (by_sketch() && each.row_there);
    });
    std::uint64_t there_count = total.count;
    for (const Difference& each : all_) {
      // Neither what a second row says is told, nor by a sketch whether there is one.
      if (each.there_twice() || (each.is_duplicate() && by_sketch())) return {};
      const bool taken_here = each.row_here && (!compared || compared(each.here.version->notice));
      if (taken_here) --there_count;
      if (each.row_there || each.there_unknown()) ++there_count;
      if (taken_here) total.Remove(keying->Item(*each.row_here).mac);
      if (each.row_there && all_told) total.Add(keying->Item(*each.row_there).mac);
    }
    if (!numbered_) return {};
    if (run_.there_count() != there_count) {
      Find(Kind::kCopy, "the differences do not account for the number of persons there");
    } else if (key && all_told && run_.there_fingerprint() != FingerprintBytes(total)) {
      Find(Kind::kCopy, "the differences do not account for the other copy");
    }
    return {};
  }

  ConsistencyAudit& audit_;
  const RecordFile& file_;
  const Position position_;
  const v1::ConsistencyRun& run_;
  const Position at_;
  const ReexecutionFindingSink& sink_;
  std::vector<Case> cases_;  // that the run found
  std::vector<Difference> all_;
  bool numbered_ = true;     // every difference is there
  bool shows_all_ = true;
  NumberClashes clashes_;
  v1::ConsistencyRun must_;  // counted anew
};

Status ConsistencyAudit::Check(Position from, Position last, const ReexecutionFindingSink& sink) {
  ASSIGN_OR_RETURN(const std::vector<Run> runs, register_.Runs(last));
  ASSIGN_OR_RETURN(const std::vector<Case> cases, register_.Cases("", last));
  for (const Case& each : cases) codes_of_[each.found.run()].insert(each.found.resident_code());
  std::set<std::string> ended;
  for (const Run& run : runs) {
    if (!ended.insert(run.event.run()).second) sink({run.position, 0, Kind::kCase, "a run is recorded twice"});
    if (run.position < from) continue;
    ++runs_;
    RETURN_IF_ERROR(RunAgain(*this, run, sink).Judge());
  }
  for (const Case& each : cases) {
    const bool under_way = each.found_at > Before(now_, kUnderWay);
    if (each.position >= from && !ended.contains(each.found.run()) && !under_way) {
      sink({each.position, 0, Kind::kCase, "a difference without its run"});
    }
    if (each.settled_at && *each.settled_at >= from) RETURN_IF_ERROR(CheckEnd(each, runs, sink));
  }
  return {};
}

Status ConsistencyAudit::CheckEnd(const Case& of, const std::vector<Run>& runs, const ReexecutionFindingSink& sink) {
  if (!of.resolved.operator_act().operator_id().empty()) return CheckDecision(of, sink);
  const auto find = [&](const char* detail) {
    sink({*of.settled_at, 0, Kind::kResolution, detail});
    return Status();
  };
  const auto by = std::ranges::find_if(runs, [&](const Run& run) {
    return run.position > *of.settled_at && run.event.holder() == of.found.holder() &&
           run.event.refusal() == v1::REFUSAL_REASON_UNSPECIFIED;
  });
  if (by == runs.end()) return of.resolved_at > Before(now_, kUnderWay) ? Status() : find("no run found it settled");
  if (std::ranges::find(by->event.found_again(), of.position.value()) != by->event.found_again().end()) {
    return find("the run found it again");
  }
  const Position at(by->event.evaluated_at());
  ASSIGN_OR_RETURN(const HeldPerson here, HeldUnder(projector_.file(), of.found.resident_code(), at));
  const bool replaced = codes_of_[by->event.run()].contains(of.found.resident_code());
  v1::DifferenceResolved must = SettlementOf(of, here, replaced);
  must.set_resolved_on(FormatDate(JapanDate(TimeMicros(by->event.ended_at()))));
  if (must.SerializeAsString() == of.resolved.SerializeAsString()) return {};
  ASSIGN_OR_RETURN(const bool shows_all, ShowsAll(at));
  if (shows_all) return find("it ended otherwise");
  ++unjudged_;
  return {};
}

// What an operator stated.
Status ConsistencyAudit::CheckDecision(const Case& of, const ReexecutionFindingSink& sink) {
  const v1::DifferenceResolved& said = of.resolved;
  v1::DifferenceResolved ordered;
  ordered.set_found_position(said.found_position());
  ordered.set_resolution(said.resolution());
  ordered.set_notice_position(said.notice_position());
  ordered.set_settled_by(said.settled_by());
  ASSIGN_OR_RETURN(const Registry then, projector_.RegistryAt(Position(of.settled_at->value() - 1)));
  if (CheckAct(then, said.operator_act(), kResolveTag, Sha256Of({ordered.SerializeAsString()}), v1::PERMISSION_RECONCILE,
               of.resolved_at)) {
    sink({*of.settled_at, 0, Kind::kOperator, "who may not decide, or did not decide this"});
  } else if (said.run() != of.found.run() || said.number() != of.found.number()) {
    sink({*of.settled_at, 0, Kind::kResolution, "of another difference"});
  }
  return {};
}

}  // namespace daicho
