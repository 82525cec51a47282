#include "consumers/difference_judgement.h"

#include <algorithm>

#include "events/bytes.h"

namespace daicho {
namespace {

const std::string& MunicipalityOf(const v1::HeldCopy& row) { return row.record().address().municipality(); }

void CountOne(google::protobuf::RepeatedPtrField<v1::DifferenceCount>& counts, v1::DifferenceClass what) {
  for (v1::DifferenceCount& count : counts) {
    if (count.difference_class() != what) continue;
    count.set_count(count.count() + 1);
    return;
  }
  v1::DifferenceCount& count = *counts.Add();
  count.set_difference_class(what);
  count.set_count(1);
}

constexpr std::string_view kUpdateNumber = "update_number", kStatus = "status", kRetention = "retention";

// Whether the event has whole rows, not the fields that differ.
bool IsWhole(const v1::DifferenceFound& found) {
  return found.fields().empty() || found.difference_class() == v1::DIFFERENCE_CLASS_DUPLICATE;
}

// What it tells of the holder's row: what is equal here and there moves with our row.
v1::HeldCopy Told(const v1::DifferenceFound& found) {
  v1::HeldCopy out = found.there();
  if (IsWhole(found)) return out;
  const auto differs = [&](std::string_view field) { return std::ranges::find(found.fields(), field) != found.fields().end(); };
  if (!differs(kUpdateNumber)) out.clear_update_number();
  if (!differs(kStatus)) out.clear_removed();
  if (!differs(kRetention)) out.clear_retention();
  return out;
}

// The newest version, if the subject has one.
Result<std::optional<Version>> Newest(const RecordFile& file, const Result<KeySlot>& slot, Position at) {
  if (slot.status().code() == Code::kNotFound) return std::optional<Version>();
  RETURN_IF_ERROR(slot.status());
  auto version = file.Read(*slot, at, std::nullopt);
  if (version.status().code() == Code::kNotFound) return std::optional<Version>();
  RETURN_IF_ERROR(version.status());
  return std::optional(*std::move(version));
}

}  // namespace

bool IsMunicipality(const std::string& holder) { return holder != kHolderKikou && holder != kHolderReplica; }

bool StandsWith(const v1::HeldCopy& row, std::string_view municipality) {
  return !row.removed() && MunicipalityOf(row) == municipality;
}

bool StandsWith(const v1::UpdateNotice& notice, std::string_view municipality) {
  return notice.kind() != v1::NOTICE_KIND_REMOVAL && notice.record().address().municipality() == municipality;
}

bool IsMunicipalitySketch(const v1::ConsistencyRun& run) {
  return run.method() == v1::CONSISTENCY_METHOD_SKETCH && IsMunicipality(run.holder());
}

CopyKey FingerprintKey(const CopyKey& key, const v1::ConsistencyRun& run) {
  if (run.method() == v1::CONSISTENCY_METHOD_FILE) return CopyKeyOfRun(key, run.run());
  return IsMunicipalitySketch(run) ? CopyKeyOfMunicipality(key, run.holder()) : key;
}

std::function<bool(const v1::UpdateNotice&)> ComparedRows(const v1::ConsistencyRun& run) {
  if (IsMunicipalitySketch(run)) {
    return [of = run.holder()](const v1::UpdateNotice& notice) { return StandsWith(notice, of); };
  }
  if (run.method() != v1::CONSISTENCY_METHOD_FILE || run.municipality().empty()) return {};
  return [of = run.municipality()](const v1::UpdateNotice& notice) {
    return notice.record().address().municipality() == of;
  };
}

std::optional<v1::HeldCopy> HeldPerson::Row() const {
  if (!version) return std::nullopt;
  return HeldRow(version->notice);
}

Result<HeldPerson> HeldUnder(const RecordFile& file, const std::string& code, Position at) {
  HeldPerson out;
  const auto slot = file.FindByResidentCode(code, at);
  ASSIGN_OR_RETURN(std::optional<Version> version, Newest(file, slot, at));
  if (!version) return out;
  out.slot = *slot;
  out.subject = version->handle;
  if (version->notice.resident_code() == code) out.version = std::move(version);
  return out;
}

Status TakeNumbers(const RecordFile& file, Position at, const v1::HeldCopy& row, NumberClashes& clashes) {
  clashes.Take(row);
  const std::string& number = row.record().individual_number();
  if (number.empty()) return {};
  ASSIGN_OR_RETURN(const std::optional<Version> version, Newest(file, file.FindByIndividualNumber(number, at), at));
  if (version) clashes.Take(HeldRow(version->notice));
  return {};
}

std::optional<RowDifference> ClassifyDifference(const v1::HeldCopy* here, std::span<const v1::HeldCopy> there,
                                                bool there_unknown, const NumberClashes& clashes) {
  static const std::shared_ptr<const VariantTable> variants = VariantTable::Shipped();
  if (there_unknown && here == nullptr) return RowDifference{v1::DIFFERENCE_CLASS_MISSING_HERE, {}};
  auto difference = CompareCopies(here, there, clashes, *variants);
  if (there_unknown && difference->difference_class == v1::DIFFERENCE_CLASS_MISSING_THERE) {
    difference->difference_class = v1::DIFFERENCE_CLASS_FIELD;
  }
  return difference;
}

std::string FingerprintBytes(const CopyTotal& total) {
  std::string out;
  for (const std::uint64_t word : total.sum) AppendU64(out, word);
  return out;
}

DifferenceWay WayOf(const std::string& holder, const HeldPerson& here, const v1::HeldCopy* there) {
  if (holder == kHolderReplica) return DifferenceWay::kNone;
  if (holder != kHolderKikou) return DifferenceWay::kReport;
  if (!here.version) return DifferenceWay::kSayAbsent;
  // 機構 knows of a notice that the prefecture has not got.
  const bool ahead = there != nullptr && there->update_number() > here.version->notice.update_number();
  return ahead ? DifferenceWay::kReport : DifferenceWay::kCorrect;
}

void CountDifference(v1::ConsistencyRun& run, v1::DifferenceClass difference_class, const std::string& municipality) {
  CountOne(*run.mutable_differences(), difference_class);
  if (!municipality.empty()) CountOne(*ResultOf(run, municipality).mutable_differences(), difference_class);
}

std::string CountedFor(const v1::ConsistencyRun& run, const v1::HeldCopy* here, const v1::HeldCopy* there) {
  return here != nullptr ? MunicipalityOf(*here) : there != nullptr ? MunicipalityOf(*there) : run.municipality();
}

v1::MunicipalityResult& ResultOf(v1::ConsistencyRun& run, const std::string& municipality) {
  for (v1::MunicipalityResult& result : *run.mutable_results()) {
    if (result.municipality() == municipality) return result;
  }
  v1::MunicipalityResult& result = *run.add_results();
  result.set_municipality(municipality);
  return result;
}

bool Covers(const v1::ConsistencyRun& run, const v1::DifferenceFound& found, const HeldPerson& here) {
  const std::optional<v1::HeldCopy> row = here.Row();
  if (run.holder() == kHolderKikou && !run.municipality().empty()) {
    return MunicipalityOf(row ? *row : found.has_here() ? found.here() : found.there()) == run.municipality();
  }
  if (!IsMunicipalitySketch(run) || (row && StandsWith(*row, run.holder()))) return true;
  // A copy file may have shown a row that no sketch has, since it does not stand there.
  const std::optional<v1::HeldCopy> there = RowThere(found, row ? &*row : nullptr);
  return !there || StandsWith(*there, run.holder());
}

v1::DifferenceFound FoundBy(const v1::ConsistencyRun& run, std::uint64_t number, const std::string& code,
                            const RowDifference& difference, const v1::HeldCopy* here, const v1::HeldCopy* there) {
  v1::DifferenceFound out;
  out.set_run(run.run());
  out.set_number(number);
  out.set_difference_class(difference.difference_class);
  out.set_resident_code(code);
  out.set_holder(run.holder());
  out.set_evaluated_at(run.evaluated_at());
  for (const std::string& field : difference.fields) out.add_fields(field);
  // A duplicate's fields say by what it is one; that its rows differ otherwise is not looked at.
  const bool whole = difference.difference_class == v1::DIFFERENCE_CLASS_DUPLICATE;
  const std::vector<std::string> kept = whole ? std::vector<std::string>() : difference.fields;
  if (here != nullptr) *out.mutable_here() = DifferingFields(*here, kept);
  if (there != nullptr) *out.mutable_there() = DifferingFields(*there, kept);
  return out;
}

v1::MunicipalityReport ReportOf(const v1::DifferenceFound& found, const HeldPerson& here) {
  v1::MunicipalityReport out;
  out.set_municipality(found.holder() == kHolderKikou ? here.version->notice.record().address().municipality()
                                                      : found.holder());
  out.set_reference("整合" + ToHex(found.run()).substr(0, 8) + "-" + std::to_string(found.number()));
  return out;
}

v1::MunicipalityCase ToldCase(const v1::DifferenceFound& found, const HeldPerson& here) {
  v1::MunicipalityCase out;
  out.set_number(found.number());
  out.set_difference_class(found.difference_class());
  if (here.version) out.set_position(here.version->position.value());
  return out;
}

std::optional<v1::HeldCopy> RowThere(const v1::DifferenceFound& found, const v1::HeldCopy* here) {
  if (!found.has_there()) return std::nullopt;
  if (IsWhole(found) || here == nullptr) return found.there();
  v1::HeldCopy out = *here, there = found.there();
  const auto* type = v1::ResidentRecord::descriptor();
  for (const std::string& field : found.fields()) {
    if (field == kUpdateNumber) {
      out.set_update_number(there.update_number());
    } else if (field == kStatus) {
      out.set_removed(there.removed());
    } else if (field == kRetention) {
      out.set_retention(there.retention());
    } else if (const auto* of = type->FindFieldByName(field)) {
      out.record().GetReflection()->SwapFields(out.mutable_record(), there.mutable_record(), {of});
    }
  }
  return out;
}

bool IsSameDifference(const v1::DifferenceFound& before, const v1::DifferenceFound& now) {
  return before.difference_class() == now.difference_class() && std::ranges::equal(before.fields(), now.fields()) &&
         before.has_here() == now.has_here() && before.has_there() == now.has_there() &&
         Told(before).SerializeAsString() == Told(now).SerializeAsString();
}

v1::DifferenceResolved SettlementOf(const ConsistencyRegister::Case& open, const HeldPerson& here, bool replaced) {
  const v1::DifferenceFound& found = open.found;
  v1::DifferenceResolved out;
  out.set_run(found.run());
  out.set_number(found.number());
  out.set_found_position(open.position.value());
  const bool newer = here.version && here.version->position > Position(found.evaluated_at());
  if (replaced) {
    out.set_resolution(v1::DIFFERENCE_RESOLUTION_REPLACED);
    out.set_settled_by(found.holder());
  } else if (newer) {
    // Theirs was there before ours: the notice was on its way when the sides were taken.
    const bool was_there =
        found.has_there() && found.there().update_number() >= here.version->notice.update_number();
    out.set_resolution(was_there ? v1::DIFFERENCE_RESOLUTION_CAUGHT_UP : v1::DIFFERENCE_RESOLUTION_NEW_NOTICE);
    out.set_notice_position(here.version->position.value());
    out.set_settled_by(here.version->issuer);
  } else if (!here.version && found.has_here()) {
    out.set_resolution(v1::DIFFERENCE_RESOLUTION_ERASED);
  } else {
    out.set_resolution(v1::DIFFERENCE_RESOLUTION_HOLDER_CORRECTED);
    out.set_settled_by(found.holder());
  }
  return out;
}

}  // namespace daicho
