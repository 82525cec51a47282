#include "consumers/reconciling.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "consumers/copy_file.h"
#include "consumers/difference_judgement.h"
#include "consumers/kikou_copy.h"
#include "consumers/notice_json.h"
#include "consumers/operator_act.h"
#include "consumers/reconciling.pb.h"
#include "events/codes.h"
#include "ledger/files.h"

namespace daicho {
namespace {

using nlohmann::ordered_json;
using std::chrono::milliseconds;

constexpr milliseconds kVisibleWait{60'000};
constexpr milliseconds kLinePause{1'000};
constexpr std::size_t kEventsPerSubmission = 1'000;
constexpr char kDone[] = "/run.done";  // all of it is recorded, and it is being destroyed
constexpr int kCorrectionsPerMessage = 1'000;
constexpr std::string_view kCutQuestion("\x01", 1);

std::string_view ResolutionName(v1::DifferenceResolution resolution) {
  switch (resolution) {
    case v1::DIFFERENCE_RESOLUTION_NEW_NOTICE: return "new_notice";
    case v1::DIFFERENCE_RESOLUTION_HOLDER_CORRECTED: return "holder_corrected";
    case v1::DIFFERENCE_RESOLUTION_CAUGHT_UP: return "caught_up";
    case v1::DIFFERENCE_RESOLUTION_NO_ERROR: return "no_error";
    case v1::DIFFERENCE_RESOLUTION_ERASED: return "erased";
    case v1::DIFFERENCE_RESOLUTION_REPLACED: return "replaced";
    default: return "unknown";
  }
}

std::string_view MethodName(v1::ConsistencyMethod method) {
  switch (method) {
    case v1::CONSISTENCY_METHOD_FINGERPRINT: return "fingerprint";
    case v1::CONSISTENCY_METHOD_FILE: return "file";
    case v1::CONSISTENCY_METHOD_SKETCH: return "sketch";
    default: return "unknown";
  }
}

const std::string& MunicipalityOf(const v1::HeldCopy& row) { return row.record().address().municipality(); }

// What a side has of the fields that differ.
ordered_json SideJson(const v1::HeldCopy& row, const std::vector<std::string>& fields) {
  v1::UpdateNotice notice;
  notice.set_resident_code(row.resident_code());
  *notice.mutable_record() = row.record();
  std::vector<std::string> shown;
  for (const std::string& field : fields) {
    if (v1::ResidentRecord::descriptor()->FindFieldByName(field) != nullptr) shown.push_back(field);
  }
  ordered_json out = {{"update_number", row.update_number()}, {"status", row.removed() ? "removed" : "resident"}};
  if (const std::string_view word = RetentionWord(row); !word.empty()) out["retention"] = word;
  out["record"] = fields.empty() ? ordered_json::parse(RecordJson(row.record()))
                                 : ordered_json::parse(ReleasedRecordJson(notice, shown));
  return out;
}

ordered_json CountsJson(const google::protobuf::RepeatedPtrField<v1::DifferenceCount>& counts) {
  ordered_json out = ordered_json::object();
  for (const v1::DifferenceCount& count : counts) out[DifferenceClassName(count.difference_class())] = count.count();
  return out;
}

ordered_json RunJson(const v1::ConsistencyRun& run, Position position) {
  ordered_json out = {{"run", ToHex(run.run())},
                      {"position", position.value()},
                      {"holder", run.holder()},
                      {"method", MethodName(run.method())},
                      {"evaluated_at", run.evaluated_at()},
                      {"holder_as_of", run.holder_as_of()},
                      {"here", run.here_count()},
                      {"there", run.there_count()},
                      {"differences", CountsJson(run.differences())},
                      {"found_again", run.found_again_size()},
                      {"exchanged_bytes", run.exchanged_bytes()},
                      {"started_at", FormatTimestamp(TimeMicros(run.started_at()))},
                      {"ended_at", FormatTimestamp(TimeMicros(run.ended_at()))}};
  if (run.refusal() != v1::REFUSAL_REASON_UNSPECIFIED) out["refused"] = true;
  if (!run.municipality().empty()) out["municipality"] = run.municipality();
  if (!run.operator_act().operator_id().empty()) out["operator"] = run.operator_act().operator_id();
  ordered_json municipalities = ordered_json::object();
  for (const v1::MunicipalityResult& result : run.results()) {
    municipalities[result.municipality()] = CountsJson(result.differences());
  }
  out["municipalities"] = std::move(municipalities);
  return out;
}

Result<bool> HasSketch(const std::string& path) {
  if (path.empty()) return false;
  std::ifstream in(path, std::ios::binary);
  if (!in) return NotFound("file: " + path + " がありません");
  std::string beginning(kSketchFileBeginning, '\0');
  in.read(beginning.data(), static_cast<std::streamsize>(beginning.size()));
  beginning.resize(static_cast<std::size_t>(in.gcount()));
  return IsSketchFile(beginning);
}

}  // namespace

Digest ReconcileOrder::SignedDigest() const {
  std::string bytes;
  for (const std::string* part : {&holder, &municipality, &file, &url, &out}) {
    AppendU64(bytes, part->size());
    bytes += *part;
  }
  return Sha256Of({bytes});
}

// --- what differs, and how it is judged ----------------------------------------------------------------------------

// One code that the two sides do not have alike.
struct Differing {
  std::uint64_t code = 0;
  std::vector<v1::HeldCopy> there;  // its rows; more than one: it stands there twice
  std::uint64_t row = 0;            // of the first, by ascending code, from 1; 0: not known
  bool there_unknown = false;       // there is a row, whose content was not sent
};

struct Reconciling::Comparison {
  explicit Comparison(const ReconcileOrder& ordered) : keep_lines(!ordered.out.empty()) {}

  std::shared_ptr<const Projector> projector;
  std::optional<RecordCopy> here;
  std::vector<Differing> differing;
  v1::ConsistencyRun run;
  reconciling::Pending pending;
  std::vector<std::string> lines;
  bool keep_lines;

  bool of_kikou() const { return run.holder() == kHolderKikou; }
  Position at() const { return Position(run.evaluated_at()); }
  const RecordFile& file() const { return projector->file(); }

  // Narrowed to one municipality, a person who has moved away from it is none of its differences.
  bool Concerns(const std::optional<v1::HeldCopy>& row_here, const Differing& each) const {
    const v1::HeldCopy* there = each.there.empty() ? nullptr : &each.there.front();
    // It has nobody but who stands with it, and so has our side of it.
    if (IsMunicipalitySketch(run)) return true;
    // A municipality need not keep whom it has removed.
    if (!of_kikou() && row_here && row_here->removed() && there == nullptr && !each.there_unknown) return false;
    if (run.municipality().empty()) return true;
    if (row_here && MunicipalityOf(*row_here) == run.municipality()) return true;
    if (there == nullptr) return false;
    if (row_here && there->removed()) return false;
    return MunicipalityOf(*there) == run.municipality() || !of_kikou();
  }

  // 個人番号 that stand for two codes, over all rows that differ and those of ours that have their numbers.
  Status FindClashes(const std::map<std::uint64_t, HeldPerson>& held, NumberClashes& clashes) const {
    for (const auto& [code, each] : held) {
      if (each.version) clashes.Take(*each.Row());
    }
    for (const Differing& each : differing) {
      for (const v1::HeldCopy& row : each.there) RETURN_IF_ERROR(TakeNumbers(file(), at(), row, clashes));
    }
    clashes.Close();
    return {};
  }

  // Of what a sketch names it is not known what it is there: only that there is a row, as there was.
  static bool MayStillStand(const v1::DifferenceFound& before, const v1::DifferenceFound& now) {
    return before.difference_class() != v1::DIFFERENCE_CLASS_MISSING_THERE && before.has_here() == now.has_here();
  }

  // What the ledger says of it: what made our row, when theirs was ours too, what came since.
  Result<ordered_json> Explain(const HeldPerson& held, const Differing& each) const {
    ordered_json out = ordered_json::object();
    if (held.version) {
      out["made_by"] = {{"position", held.version->position.value()},
                        {"issuer", held.version->issuer},
                        {"sequence", held.version->sequence.value()},
                        {"reason", ReasonName(held.version->notice.reason())}};
    }
    if (!held.slot || each.there.empty()) return out;
    ASSIGN_OR_RETURN(const std::vector<Version> history, file().History(*held.slot, at()));
    const v1::HeldCopy& there = each.there.front();
    const auto agreed = std::ranges::find_if(history.rbegin(), history.rend(), [&](const Version& version) {
      const v1::HeldCopy ours = HeldRow(version.notice);
      return ours.resident_code() == there.resident_code() && !CompareRows(&ours, &there, *VariantTable::Shipped());
    });
    if (agreed == history.rend()) return out;
    out["agreed_at"] = agreed->position.value();
    ordered_json since = ordered_json::array();
    for (auto later = agreed.base(); later != history.end(); ++later) since.push_back(later->position.value());
    out["notices_since"] = std::move(since);
    return out;
  }

  Status Judge(const ConsistencyRegister& cases, Position known, TimeMicros now);
  Status CloseSettled(const ConsistencyRegister& cases, Position known, const std::set<std::uint64_t>& again,
                      TimeMicros now);
};

Status Reconciling::Comparison::Judge(const ConsistencyRegister& cases, Position known, TimeMicros now) {
  std::map<std::uint64_t, HeldPerson> held;
  for (const Differing& each : differing) {
    ASSIGN_OR_RETURN(held[each.code], HeldUnder(file(), CodeText(each.code), at()));
  }
  NumberClashes clashes;
  RETURN_IF_ERROR(FindClashes(held, clashes));
  std::set<std::uint64_t> found_again;
  std::uint64_t number = 0;
  if (IsMunicipality(run.holder())) ResultOf(run, run.holder());  // an equal copy is a result too
  for (const Differing& each : differing) {
    const HeldPerson& ours = held[each.code];
    const std::optional<v1::HeldCopy> row_here = ours.Row();
    const v1::HeldCopy* const here_row = row_here ? &*row_here : nullptr;
    const v1::HeldCopy* const there_row = each.there.empty() ? nullptr : &each.there.front();
    if (!Concerns(row_here, each)) continue;
    std::optional<RowDifference> difference = ClassifyDifference(here_row, each.there, each.there_unknown, clashes);
    if (!difference) continue;
    v1::DifferenceFound event = FoundBy(run, number + 1, CodeText(each.code), *difference, here_row, there_row);
    ASSIGN_OR_RETURN(const auto open, cases.OpenCase(run.holder(), each.code, known));
    const bool again = open && (each.there_unknown ? MayStillStand(open->found, event) : IsSameDifference(open->found, event));
    if (again) {
      found_again.insert(each.code);
      run.add_found_again(open->position.value());
      difference->difference_class = open->found.difference_class();
    }
    const std::string municipality = CountedFor(run, here_row, there_row);
    CountDifference(run, difference->difference_class, municipality);
    const DifferenceWay way = WayOf(run.holder(), ours, there_row);
    if (!again) {
      ++number;
      if (way == DifferenceWay::kReport) {
        *event.mutable_report() = ReportOf(event, ours);
        event.mutable_report()->set_reported_on(FormatDate(JapanDate(now)));
        v1::MunicipalityCase& told = *ResultOf(run, event.report().municipality()).add_cases();
        told = ToldCase(event, ours);
        told.set_row(each.row);
      }
      reconciling::About& about = *pending.add_events();
      if (ours.subject) about.set_subject(std::string(View(*ours.subject)));
      *about.mutable_found() = std::move(event);
    }
    if (way == DifferenceWay::kCorrect) {
      kikou::Notice& notice = *pending.mutable_corrections()->add_notices();
      notice.set_position(ours.version->position.value());
      notice.set_issuer(ours.version->issuer);
      notice.set_notice(ours.version->notice.SerializeAsString());
    } else if (way == DifferenceWay::kSayAbsent) {
      pending.mutable_corrections()->add_absent(CodeText(each.code));
    }
    if (!keep_lines) continue;
    ordered_json line = {{"class", DifferenceClassName(difference->difference_class)}, {"resident_code", CodeText(each.code)}};
    line["fields"] = difference->fields;
    line["here"] = row_here ? SideJson(*row_here, difference->fields) : ordered_json(nullptr);
    line["there"] = there_row == nullptr ? ordered_json(nullptr) : SideJson(*there_row, difference->fields);
    if (!municipality.empty()) line["municipality"] = municipality;
    if (each.row > 0) line["row"] = each.row;
    if (again) line["found_at"] = open->position.value();
    static constexpr const char* kWays[] = {"none", "correct_holder", "correct_holder", "report"};
    line["next"] = kWays[static_cast<int>(way)];
    ASSIGN_OR_RETURN(line["ledger"], Explain(ours, each));
    lines.push_back(line.dump());
  }
  return CloseSettled(cases, known, found_again, now);
}

// Cases of this holder that the comparison covers and did not find again as they were have ended.
Status Reconciling::Comparison::CloseSettled(const ConsistencyRegister& cases, Position known,
                                             const std::set<std::uint64_t>& again, TimeMicros now) {
  std::set<std::string> found;
  for (const reconciling::About& about : pending.events()) found.insert(about.found().resident_code());
  ASSIGN_OR_RETURN(const auto open, cases.OpenCases(run.holder(), known));
  for (const ConsistencyRegister::Case& each : open) {
    ASSIGN_OR_RETURN(const std::uint64_t code, CodeNumber(each.found.resident_code()));
    if (again.contains(code)) continue;
    ASSIGN_OR_RETURN(const HeldPerson held, HeldUnder(file(), each.found.resident_code(), at()));
    const bool replaced = found.contains(each.found.resident_code());
    if (!replaced && !Covers(run, each.found, held)) continue;
    reconciling::About& about = *pending.add_events();
    about.set_subject(std::string(View(held.subject.value_or(each.subject))));
    *about.mutable_resolved() = SettlementOf(each, held, replaced);
    about.mutable_resolved()->set_resolved_on(FormatDate(JapanDate(now)));
  }
  return {};
}

// --- finding what differs ------------------------------------------------------------------------------------------

struct Reconciling::Turn {
  Reconciling& self;
  Comparison& comparison;

  Status Take(const CopyCut& cut) {
    v1::ConsistencyRun& run = comparison.run;
    run.set_evaluated_at(cut.position.value());
    run.set_fingerprint_epoch(cut.epoch);
    run.set_there_count(cut.total.count);
    run.set_there_fingerprint(FingerprintBytes(cut.total));
    RETURN_IF_ERROR(self.Visible(cut.position.Next()));
    comparison.projector = self.options_.projector();
    if (IsMunicipalitySketch(run)) return Gather(cut.position);
    ASSIGN_OR_RETURN(comparison.here, comparison.projector->CopyAt(cut.position));
    TellOurs();
    return {};
  }

  // Our side of rows or under a key that no fingerprint is kept of: made for this run, by a reading of all versions.
  Status Gather(Position at) {
    v1::ConsistencyRun& run = comparison.run;
    const auto keying = std::make_shared<CopyKeying>(FingerprintKey(self.options_.copy_key, run));
    run.set_fingerprint_epoch(keying->epoch());
    ASSIGN_OR_RETURN(comparison.here, RecordCopy::Gather(comparison.projector->store(), keying, at, ComparedRows(run)));
    TellOurs();
    return {};
  }

  void TellOurs() {
    const CopyTotal& total = comparison.here->fingerprint().total();
    comparison.run.set_here_count(total.count);
    comparison.run.set_here_fingerprint(FingerprintBytes(total));
  }

  // Every code that is named; what is there is asked for.
  Status AskForRows(const CopyDifference& difference, KikouCopy* line) {
    std::set<std::uint64_t> codes, there;
    for (const CopyName& name : difference.here) codes.insert(name.code);
    for (const CopyName& name : difference.there) {
      codes.insert(name.code);
      there.insert(name.code);
    }
    std::map<std::uint64_t, v1::HeldCopy> rows;
    if (line != nullptr) {
      const std::vector<std::uint64_t> asked(there.begin(), there.end());
      ASSIGN_OR_RETURN(std::vector<v1::HeldCopy> received, line->Rows(asked));
      for (v1::HeldCopy& row : received) {
        ASSIGN_OR_RETURN(const std::uint64_t code, CodeNumber(row.resident_code()));
        rows[code] = std::move(row);
      }
      // Named by the sketch, and then not there.
      if (rows.size() != there.size()) return Tampered("the other holder does not have rows that its copy names");
    }
    comparison.differing.clear();
    for (const std::uint64_t code : codes) {
      Differing each;
      each.code = code;
      if (const auto row = rows.find(code); row != rows.end()) each.there.push_back(std::move(row->second));
      each.there_unknown = each.there.empty() && there.contains(code);
      comparison.differing.push_back(std::move(each));
    }
    return {};
  }

  Status OverTheLine(const KikouPeer& peer) {
    const KikouClient client(peer, self.options_.kikou_key(), self.options_.timeout);
    comparison.run.set_method(v1::CONSISTENCY_METHOD_FINGERPRINT);
    Status failed;
    for (int tries = 0; tries < self.options_.line_tries; ++tries) {
      if (tries > 0) std::this_thread::sleep_for(kLinePause * tries);
      KikouCopy line(client, std::string(View(self.options_.ledger)));
      failed = OnSession(line);
      comparison.run.set_exchanged_bytes(comparison.run.exchanged_bytes() + line.bytes_sent() + line.bytes_received());
      // A session that is gone, or a line that was lost: from a new cut.
      if (failed.ok() || (failed.code() != Code::kUnavailable && failed.code() != Code::kNotFound)) return failed;
    }
    return failed;
  }

  Status OnSession(KikouCopy& line) {
    ASSIGN_OR_RETURN(const std::string answer, line.Ask(kCutQuestion));
    ASSIGN_OR_RETURN(const CopyCut cut, CopyCut::Decode(answer));
    RETURN_IF_ERROR(Take(cut));
    comparison.run.set_holder_as_of(FormatTimestamp(self.options_.clock->Now()));
    RecordCopy& here = *comparison.here;
    CopyProgress progress;
    ASSIGN_OR_RETURN(const CopyDifference difference,
                     Reconcile(here.fingerprint(), here.position(), ScanOf(here), line, progress));
    RETURN_IF_ERROR(AskForRows(difference, &line));
    return line.Close();
  }

  Status OfSketch(const std::string& bytes, const std::optional<KikouPeer>& peer) {
    v1::ConsistencyRun& run = comparison.run;
    run.set_method(v1::CONSISTENCY_METHOD_SKETCH);
    run.set_copy_digest(std::string(View(Sha256Of({bytes}))));
    run.set_exchanged_bytes(bytes.size());
    const bool of_municipality = IsMunicipalitySketch(run);
    if (of_municipality) {
      if (!IsValidMunicipalityCode(run.holder())) return Invalid("holder: kikou か市町村コードを指定してください");
      run.set_municipality(run.holder());
    }
    ASSIGN_OR_RETURN(const SketchHead head, ReadSketchHead(bytes));
    const CopyCut& cut = head.cut;
    const CopyKeying keying(FingerprintKey(self.options_.copy_key, run));
    RETURN_IF_ERROR(Comparable({keying.epoch(), keying.key_id(), cut.position, {}}, cut).With("file"));
    ASSIGN_OR_RETURN(const std::uint64_t size, self.options_.ledger_size());
    if (cut.position.value() >= size) {
      return Invalid("file: 位置 " + std::to_string(cut.position.value()) + " は台帳にまだありません");
    }
    RETURN_IF_ERROR(Take(cut));
    RecordCopy& here = *comparison.here;
    std::optional<CopyFingerprint> lengthened;
    if (head.cells > here.fingerprint().cells().size()) {
      ASSIGN_OR_RETURN(lengthened, here.fingerprint().Lengthened(ScanOf(here)));
    }
    ASSIGN_OR_RETURN(const SketchComparison found,
                     CompareSketchFile(lengthened ? *lengthened : here.fingerprint(), here.position(), bytes));
    if (found.complete) {
      RETURN_IF_ERROR(AskForRows(found.difference, nullptr));
      return of_municipality ? NumberRows() : Status();
    }
    // Who has the copy is asked for what its cells do not name.
    if (comparison.of_kikou() && peer) return OverTheLine(*peer);
    return Invalid("file: 差異が多すぎて要約だけでは特定できません（" + std::to_string(found.buckets.size()) + " 区間）。" +
                   (lengthened ? "" : "長い要約（--long）か") + "写しのファイルで照合してください");
  }

  // By its own rows in their order a municipality knows whom it has alone, and nobody else does. What does not differ
  // is there as it is here.
  Status NumberRows() {
    std::uint64_t row = 0;
    auto next = comparison.differing.begin();
    const auto end = comparison.differing.end();
    const auto take_next = [&] {
      if (next->there_unknown) next->row = ++row;
      ++next;
    };
    RETURN_IF_ERROR(comparison.here->Scan(0, kCopyCodeEnd, [&](const CopyItem& item) -> Status {
      while (next != end && next->code < item.code) take_next();
      if (next != end && next->code == item.code) take_next();
      else ++row;
      return {};
    }));
    while (next != end) take_next();
    return {};
  }

  Status OfCopyFile(CopyFile& file) {
    v1::ConsistencyRun& run = comparison.run;
    run.set_method(v1::CONSISTENCY_METHOD_FILE);
    run.set_copy_digest(std::string(View(file.digest())));
    run.set_holder_as_of(file.header().as_of);
    if (!run.holder().empty() && run.holder() != file.header().holder) {
      return Invalid("holder: 写しは " + file.header().holder + " のものです");
    }
    run.set_holder(file.header().holder);
    if (!comparison.of_kikou()) run.set_municipality(run.holder());
    const auto as_of = ParseTimestamp(file.header().as_of);
    if (!as_of) return Invalid("as_of: 日時ではありません");
    if (*as_of > self.options_.clock->Now()) return Invalid("as_of: 未来の日時です");
    comparison.projector = self.options_.projector();
    ASSIGN_OR_RETURN(const Position at, comparison.file().AtTime(*as_of));
    run.set_evaluated_at(at.value());
    RETURN_IF_ERROR(Gather(at));
    return Merge(file);
  }

  // By ascending code; rows are kept of what differs only.
  Status Merge(CopyFile& file) {
    const CopyKeying& keying = comparison.here->fingerprint().keying();
    CopyTotal theirs;
    std::uint64_t ordinal = 0;
    v1::HeldCopy row;
    Differing next;  // the rows of the next code there
    bool more = false;
    const auto advance = [&]() -> Status {
      ASSIGN_OR_RETURN(more, file.Next(row));
      ordinal += more ? 1 : 0;
      return {};
    };
    const auto take_next = [&]() -> Status {
      next = Differing();
      if (!more) return {};
      ASSIGN_OR_RETURN(next.code, CodeNumber(row.resident_code()));
      next.row = ordinal;
      while (more && CodeText(next.code) == row.resident_code()) {
        theirs.Add(keying.Item(row).mac);
        next.there.push_back(row);
        RETURN_IF_ERROR(advance());
      }
      return {};
    };
    RETURN_IF_ERROR(file.Rewind());
    RETURN_IF_ERROR(advance());
    RETURN_IF_ERROR(take_next());
    RETURN_IF_ERROR(comparison.here->Scan(0, kCopyCodeEnd, [&](const CopyItem& item) -> Status {
      while (!next.there.empty() && next.code < item.code) {
        comparison.differing.push_back(std::move(next));
        RETURN_IF_ERROR(take_next());
      }
      if (next.there.empty() || next.code > item.code) {
        comparison.differing.emplace_back().code = item.code;
        return {};
      }
      const bool same = next.there.size() == 1 && keying.Item(next.there.front()) == item;
      if (!same) comparison.differing.push_back(std::move(next));
      return take_next();
    }));
    while (!next.there.empty()) {
      comparison.differing.push_back(std::move(next));
      RETURN_IF_ERROR(take_next());
    }
    comparison.run.set_there_count(theirs.count);
    comparison.run.set_there_fingerprint(FingerprintBytes(theirs));
    return {};
  }
};

// --- a run ---------------------------------------------------------------------------------------------------------

Reconciling::Reconciling(ReconcilingOptions options) : options_(std::move(options)) {}
Reconciling::~Reconciling() = default;

Status Reconciling::Visible(Position position) const {
  if (options_.projector()->WaitFor(position, kVisibleWait)) return {};
  return Unavailable("the record file has not come to position " + std::to_string(position.value()));
}

Status Reconciling::Settle() {
  RETURN_IF_ERROR(options_.prepare());
  ASSIGN_OR_RETURN(const std::optional<Position> left, options_.settle());
  return left ? Visible(*left) : Status();
}

Status Reconciling::Submit(std::vector<DraftEvent> events) {
  if (events.empty()) return {};
  ASSIGN_OR_RETURN(const v1::Receipt receipt, options_.submit(events));
  if (receipt.outcome() == v1::OUTCOME_REJECTED) {
    return Internal("the event of a comparison was rejected: " +
                    (receipt.violations_size() > 0 ? receipt.violations(0).rule() : std::string()));
  }
  return Visible(Position(receipt.last_position() + 1));
}

// Who may not is told so, and recorded.
Status Reconciling::CheckOperator(const ReconcileOrder& order, v1::ConsistencyRun& run) {
  if (order.operator_act.operator_id().empty()) return {};
  const auto refusal = CheckAct(*options_.projector()->registry(), order.operator_act, kReconcileTag, order.SignedDigest(),
                                v1::PERMISSION_RECONCILE, TimeMicros(run.started_at()));
  if (!refusal) return {};
  run.set_refusal(refusal->reason);
  run.set_ended_at(run.started_at());
  RETURN_IF_ERROR(RecordRun(run).status());
  return Denied(refusal->message);
}

Result<ReconcileOutcome> Reconciling::Run(const ReconcileOrder& order) {
  const std::lock_guard lock(mutex_);
  running_ = true;
  const auto done = [this](void*) { running_ = false; };
  const std::unique_ptr<Reconciling, decltype(done)> running(this, done);
  const TimeMicros started = options_.clock->Now();
  ASSIGN_OR_RETURN(std::optional<KikouPeer> peer, options_.peer());
  if (peer && !order.url.empty()) peer->url = order.url;
  RETURN_IF_ERROR(MakeDirectories(options_.dir));
  RETURN_IF_ERROR(Settle());
  RETURN_IF_ERROR(FinishLeft());
  Comparison comparison(order);
  v1::ConsistencyRun& run = comparison.run;
  run.set_run(std::string(View(RandomArray<16>())));
  run.set_holder(order.holder.empty() && order.file.empty() ? kHolderKikou : order.holder);
  run.set_municipality(order.municipality);
  run.set_started_at(started.value());
  *run.mutable_operator_act() = order.operator_act;
  RETURN_IF_ERROR(CheckOperator(order, run));
  Turn turn{*this, comparison};
  ASSIGN_OR_RETURN(const bool is_sketch, HasSketch(order.file));
  if (order.file.empty()) {
    if (run.holder() != kHolderKikou) return Invalid("holder: 回線で照合できるのは機構だけです。写しのファイルを指定してください");
    if (!peer) return Invalid("kikou: 機構の接続先がありません。daicho kikou set で登録してください");
    RETURN_IF_ERROR(turn.OverTheLine(*peer));
  } else if (is_sketch) {
    ASSIGN_OR_RETURN(const std::string bytes, ReadFile(order.file));
    if (run.holder().empty()) run.set_holder(kHolderReplica);
    RETURN_IF_ERROR(turn.OfSketch(bytes, peer));
  } else {
    ASSIGN_OR_RETURN(CopyFile file, CopyFile::Read(order.file, {.directory = options_.dir}));
    if (!file.errors().empty()) return ReconcileOutcome{.position = {}, .run = {}, .correction_failure = {}, .errors = file.errors()};
    std::error_code unknown;
    run.set_exchanged_bytes(std::filesystem::file_size(order.file, unknown));
    RETURN_IF_ERROR(turn.OfCopyFile(file));
  }
  const std::shared_ptr<const Projector> projector = comparison.projector;
  const ConsistencyRegister cases(projector->store());
  const TimeMicros now = options_.clock->Now();
  RETURN_IF_ERROR(comparison.Judge(cases, Position(projector->position().value() - 1), now));
  comparison.here.reset();
  run.set_ended_at(now.value());
  comparison.pending.mutable_corrections()->set_run(run.run());
  comparison.pending.mutable_corrections()->set_position(run.evaluated_at());
  *comparison.pending.mutable_run() = run;
  RETURN_IF_ERROR(WriteFileDurably(options_.dir + "/run", comparison.pending.SerializeAsString()));
  ASSIGN_OR_RETURN(ReconcileOutcome outcome, Finish(comparison.pending, peer));
  if (!order.out.empty()) RETURN_IF_ERROR(WriteLines(order.out, comparison.lines, outcome));
  return outcome;
}

Status Reconciling::WriteLines(const std::string& path, const std::vector<std::string>& lines,
                               const ReconcileOutcome& outcome) const {
  ASSIGN_OR_RETURN(NewFile file, NewFile::Create(path));
  for (const std::string& line : lines) RETURN_IF_ERROR(file.Append(line + "\n"));
  RETURN_IF_ERROR(file.Append(ComparisonJson(outcome) + "\n"));
  return file.Commit();
}

std::string ComparisonJson(const ReconcileOutcome& outcome) {
  if (!outcome.errors.empty()) return FileErrorsJson(outcome.errors);
  ordered_json out = RunJson(outcome.run, outcome.position);
  out["resolved"] = outcome.resolved;
  if (outcome.run.holder() == kHolderKikou) {
    out["corrected"] = outcome.corrected;
    if (!outcome.correction_failure.empty()) out["correction_failure"] = outcome.correction_failure;
  }
  return out.dump();
}

// What an earlier process, or a call that failed, had judged.
Status Reconciling::FinishLeft() {
  const std::string path = options_.dir + "/run";
  if (!FileExists(path)) return {};
  ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
  reconciling::Pending pending;
  if (!pending.ParseFromString(bytes)) return Corrupt(path + " cannot be decoded");
  ASSIGN_OR_RETURN(const std::optional<KikouPeer> peer, options_.peer());
  return Finish(pending, peer).status();
}

Status Reconciling::FinishPending() {
  const std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(DestroyFile(options_.dir + kDone));
  if (!FileExists(options_.dir + "/run")) return {};
  RETURN_IF_ERROR(Settle());
  return FinishLeft();
}

Result<ReconcileOutcome> Reconciling::Finish(const reconciling::Pending& pending, const std::optional<KikouPeer>& peer) {
  ReconcileOutcome outcome{.position = {}, .run = pending.run(), .correction_failure = {}, .errors = {}};
  const auto projector = options_.projector();
  const ConsistencyRegister cases(projector->store());
  const Position known(projector->position().value() - 1);
  ASSIGN_OR_RETURN(const auto recorded, cases.CasesOf(pending.run().run(), known));
  std::vector<DraftEvent> events;
  for (const reconciling::About& about : pending.events()) {
    DraftEvent event;
    event.retention = v1::RETENTION_CLASS_OPERATION;
    event.subject = about.subject();
    if (about.has_found()) {
      if (about.found().number() <= recorded.size()) continue;
      event.kind = v1::EVENT_KIND_DIFFERENCE_FOUND;
      event.payload = about.found().SerializeAsString();
    } else {
      ++outcome.resolved;
      ASSIGN_OR_RETURN(const auto of, cases.CaseAt(Position(about.resolved().found_position()), known));
      if (of.settled_at) continue;
      event.kind = v1::EVENT_KIND_DIFFERENCE_RESOLVED;
      event.payload = about.resolved().SerializeAsString();
    }
    events.push_back(std::move(event));
    if (events.size() < kEventsPerSubmission) continue;
    RETURN_IF_ERROR(Submit(std::exchange(events, {})));
  }
  RETURN_IF_ERROR(Submit(std::move(events)));
  ASSIGN_OR_RETURN(outcome.position, RecordRun(pending.run()));
  if (pending.run().holder() == kHolderKikou) Correct(pending.corrections(), peer, outcome);
  // Out of the way first: what a crash leaves half destroyed must not pass for something to finish.
  const std::string run = options_.dir + "/run", done = options_.dir + kDone;
  if (std::rename(run.c_str(), done.c_str()) != 0) return ErrnoStatus("renaming " + run);
  RETURN_IF_ERROR(DestroyFile(done));
  return outcome;
}

Result<Position> Reconciling::RecordRun(const v1::ConsistencyRun& run) {
  const auto find = [&]() -> Result<std::optional<Position>> {
    const auto projector = options_.projector();
    const Position known(projector->position().value() - 1);
    ASSIGN_OR_RETURN(const auto runs, ConsistencyRegister(projector->store()).Runs(known));
    for (auto each = runs.rbegin(); each != runs.rend(); ++each) {
      if (each->event.run() == run.run()) return std::optional(each->position);
    }
    return std::optional<Position>();
  };
  ASSIGN_OR_RETURN(std::optional<Position> position, find());
  if (position) return *position;
  DraftEvent event;
  event.kind = v1::EVENT_KIND_CONSISTENCY_RUN;
  event.retention = v1::RETENTION_CLASS_OPERATION;
  event.payload = run.SerializeAsString();
  RETURN_IF_ERROR(Submit({event}));
  ASSIGN_OR_RETURN(position, find());
  if (!position) return Internal("the run's own event is not to be found");
  return *position;
}

// What 機構 is to have instead. It is told again by the next run that finds it, so that a line which is down holds up nothing.
void Reconciling::Correct(const kikou::Corrections& corrections, const std::optional<KikouPeer>& peer,
                          ReconcileOutcome& outcome) const {
  if (corrections.notices().empty() && corrections.absent().empty()) return;
  if (!peer) {
    outcome.correction_failure = "機構の接続先がありません";
    return;
  }
  const KikouClient client(*peer, options_.kikou_key(), options_.timeout);
  KikouCopy line(client, std::string(View(options_.ledger)));
  kikou::Corrections part;
  const auto send = [&]() -> Status {
    part.set_run(corrections.run());
    part.set_position(corrections.position());
    ASSIGN_OR_RETURN(const kikou::Corrected corrected, line.Correct(part));
    outcome.corrected += corrected.taken();
    if (corrected.refused_size() > 0) outcome.correction_failure = corrected.refused(0).message();
    part.Clear();
    return {};
  };
  Status status;
  for (int i = 0; i < corrections.absent_size() && status.ok(); ++i) {
    part.add_absent(corrections.absent(i));
    if (part.absent_size() == kCorrectionsPerMessage) status = send();
  }
  for (int i = 0; i < corrections.notices_size() && status.ok(); ++i) {
    *part.add_notices() = corrections.notices(i);
    if (part.notices_size() == kCorrectionsPerMessage) status = send();
  }
  if (status.ok() && part.absent_size() + part.notices_size() > 0) status = send();
  if (!status.ok()) outcome.correction_failure = status.message();
}

Result<Position> Reconciling::Resolve(v1::DifferenceResolved event, const v1::OperatorAct& act) {
  const std::lock_guard lock(mutex_);
  const TimeMicros now = options_.clock->Now();
  const auto projector = options_.projector();
  const auto refusal = CheckAct(*projector->registry(), act, kResolveTag, Sha256Of({event.SerializeAsString()}),
                                v1::PERMISSION_RECONCILE, now);
  if (refusal) return Denied(refusal->message);
  if (event.resolution() != v1::DIFFERENCE_RESOLUTION_NO_ERROR && event.resolution() != v1::DIFFERENCE_RESOLUTION_ERASED &&
      event.resolution() != v1::DIFFERENCE_RESOLUTION_HOLDER_CORRECTED) {
    return Invalid("as: no_error、erased、holder_corrected のどれかです");
  }
  RETURN_IF_ERROR(MakeDirectories(options_.dir));
  RETURN_IF_ERROR(Settle());
  RETURN_IF_ERROR(FinishLeft());
  const Position known(projector->position().value() - 1);
  const ConsistencyRegister cases(projector->store());
  ASSIGN_OR_RETURN(const auto of, cases.CaseAt(Position(event.found_position()), known));
  if (of.settled_at) return Conflict("case: この不整合は解消済みです");
  event.set_run(of.found.run());
  event.set_number(of.found.number());
  event.set_resolved_on(FormatDate(JapanDate(now)));
  *event.mutable_operator_act() = act;
  DraftEvent draft;
  draft.kind = v1::EVENT_KIND_DIFFERENCE_RESOLVED;
  draft.retention = v1::RETENTION_CLASS_OPERATION;
  draft.subject = std::string(View(of.subject));
  draft.payload = event.SerializeAsString();
  RETURN_IF_ERROR(Submit({draft}));
  ASSIGN_OR_RETURN(const auto settled, cases.CaseAt(of.position, Position(options_.projector()->position().value() - 1)));
  return settled.settled_at.value_or(Position());
}

// --- what is told of it --------------------------------------------------------------------------------------------

Result<std::string> Reconciling::StatusJson() const {
  const auto projector = options_.projector();
  ordered_json out = {{"running", running_.load()}};
  ASSIGN_OR_RETURN(const auto totals, ConsistencyRegister(projector->store()).Count());
  out["open"] = totals.open;
  out["runs"] = totals.runs;
  if (totals.last_run) out["last"] = FormatTimestamp(*totals.last_run);
  return out.dump();
}

Result<std::string> Reconciling::RunsJson() const {
  const auto projector = options_.projector();
  ASSIGN_OR_RETURN(const auto runs, ConsistencyRegister(projector->store()).Runs(Position(projector->position().value() - 1)));
  std::string out;
  for (const auto& run : runs) out += RunJson(run.event, run.position).dump() + "\n";
  return out;
}

Result<std::string> Reconciling::CasesJson(const std::string& holder, bool open_only) const {
  const auto projector = options_.projector();
  const Position known(projector->position().value() - 1);
  const ConsistencyRegister cases(projector->store());
  std::string out;
  const auto add = [&](const ConsistencyRegister::Case& each) {
    ordered_json line = {{"case", each.position.value()},
                         {"holder", each.found.holder()},
                         {"run", ToHex(each.found.run())},
                         {"number", each.found.number()},
                         {"class", DifferenceClassName(each.found.difference_class())},
                         {"fields", std::vector<std::string>(each.found.fields().begin(), each.found.fields().end())},
                         {"found_at", FormatTimestamp(each.found_at)}};
    if (each.found.has_report()) {
      line["report"] = {{"municipality", each.found.report().municipality()},
                        {"reported_on", each.found.report().reported_on()},
                        {"reference", each.found.report().reference()}};
    }
    line["open"] = !each.settled_at.has_value();
    if (each.settled_at) {
      line["resolution"] = ResolutionName(each.resolved.resolution());
      line["resolved_at"] = FormatTimestamp(each.resolved_at);
      if (each.resolved.notice_position() > 0) line["notice"] = each.resolved.notice_position();
      if (!each.resolved.operator_act().operator_id().empty()) line["operator"] = each.resolved.operator_act().operator_id();
    }
    out += line.dump() + "\n";
  };
  ASSIGN_OR_RETURN(const auto found, cases.Cases(holder, known));
  for (const auto& each : found) {
    if (!open_only || !each.settled_at) add(each);
  }
  return out;
}

Status Reconciling::WriteSketch(const std::string& path, bool lengthened) const {
  const auto projector = options_.projector();
  if (projector->position() == Position(0)) return NotFound("the ledger holds nothing yet");
  ASSIGN_OR_RETURN(RecordCopy copy, projector->CopyAt(Position(projector->position().value() - 1)));
  ASSIGN_OR_RETURN(const std::string sketch, SketchOf(copy, lengthened));
  return WriteFileDurably(path, sketch);
}

Status Reconciling::WriteKeyOf(const std::string& municipality, const std::string& path) const {
  if (!IsValidMunicipalityCode(municipality)) return Invalid("municipality: 市町村コードではありません");
  if (!options_.projector()->registry()->issuers().contains(municipality)) {
    return NotFound("municipality: " + municipality + " は登録されていません");
  }
  if (FileExists(path)) return Conflict("out: " + path + " はすでにあります");
  return WriteCopyKeyFile(path, CopyKeyOfMunicipality(options_.copy_key, municipality));
}

}  // namespace daicho
