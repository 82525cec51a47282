#include "bench/search_home.h"

#include <algorithm>

#include "events/bytes.h"
#include "events/clock.h"

namespace daicho::search_bench {
namespace {

// Together PostgreSQL's shared_buffers.
constexpr std::size_t kBlockCacheBytes = std::size_t{1} << 30, kVersionCacheBytes = std::size_t{1} << 30;

}  // namespace

Result<std::unique_ptr<OpenedHome>> OpenedHome::Open(const std::string& work, KeyStore::Mode mode) {
  std::unique_ptr<OpenedHome> out(new OpenedHome);
  ASSIGN_OR_RETURN(out->home_, OpenHome(work + "/home"));
  ASSIGN_OR_RETURN(out->log_, OpenLog(out->home_.log, out->home_.kafka_config));
  ASSIGN_OR_RETURN(out->holder_, OpenHolder(out->home_));
  ASSIGN_OR_RETURN(out->keys_, KeyStore::Open(out->home_.Path("keystore"), mode, out->holder_.get()));
  ProjectorOptions options;
  options.prefecture = out->home_.prefecture;
  options.ledger = out->home_.ledger;
  options.registrar_public_key = out->home_.registrar.public_key();
  options.dir = out->home_.Path("record_file");
  options.log = out->log_.get();
  options.keys = out->keys_.get();
  options.at_rest = out->holder_.get();
  options.matching = Matching::Shipped();
  options.block_cache_bytes = kBlockCacheBytes;
  options.version_cache_bytes = kVersionCacheBytes;
  ASSIGN_OR_RETURN(out->projector_, Projector::Open(std::move(options)));
  out->today_ = JapanDate(SystemClock().Now());
  return out;
}

Status OpenedHome::Answer(const v1::SearchCondition& condition, std::string& out) const {
  ASSIGN_OR_RETURN(const SearchPage page, projector_->search().Find(condition, now(), today_, kRowsMax, {}));
  if (page.too_broad) return Conflict("too broad for the index: " + condition.ShortDebugString());
  for (const Version& hit : page.hits) AppendRow(hit.notice, out);
  return {};
}

Status OpenedHome::ForEachResident(const std::function<void(KeySlot, const Version&)>& take) const {
  std::vector<KeySlot> slots;
  auto handles = projector_->store().NewIterator(RecordFile::kHandles);
  for (handles.SeekToFirst(); handles.Valid(); handles.Next()) slots.emplace_back(ReadU64(handles.value()));
  RETURN_IF_ERROR(handles.status());
  std::sort(slots.begin(), slots.end());
  auto versions = projector_->store().NewIterator(RecordFile::kVersions);
  for (const KeySlot slot : slots) {
    ASSIGN_OR_RETURN(const Version version, RecordFile::Read(versions, slot, now(), today_));
    take(slot, version);
  }
  return {};
}

Result<std::size_t> Inside::Ask(std::size_t, const Question& question) {
  answer_.clear();
  RETURN_IF_ERROR(home_.Answer(question.condition, answer_));
  return Cells(answer_).size() / kColumns;
}

std::vector<Row> Inside::Rows() const { return RowsOf(Cells(answer_)); }

}  // namespace daicho::search_bench
