#include "bench/search_home.h"

#include <algorithm>

#include "events/bytes.h"
#include "events/clock.h"

namespace daicho::search_bench {

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
  ASSIGN_OR_RETURN(out->projector_, Projector::Open(std::move(options)));
  out->search_ = std::make_unique<Search>(out->projector_->store(), Matching::Shipped());
  out->today_ = JapanDate(SystemClock().Now());
  return out;
}

Result<std::string> OpenedHome::Answer(const v1::SearchCondition& condition) const {
  ASSIGN_OR_RETURN(const SearchPage page, search_->Find(condition, now(), today_, kRowsMax, 0));
  std::string out;
  for (const Version& hit : page.hits) AppendRow(hit.notice, out);
  return out;
}

Status OpenedHome::ForEachResident(const std::function<void(KeySlot, const Version&)>& take) const {
  std::vector<Subject> subjects;
  auto it = projector_->store().NewIterator(RecordFile::kHandles);
  for (it.SeekToFirst(); it.Valid(); it.Next()) {
    Subject subject;
    subject.slot = KeySlot(ReadU64(it.value()));
    subjects.push_back(subject);
  }
  RETURN_IF_ERROR(it.status());
  std::sort(subjects.begin(), subjects.end(), [](const Subject& a, const Subject& b) { return a.slot < b.slot; });
  for (const Subject& subject : subjects) {
    ASSIGN_OR_RETURN(const Version version, projector_->file().Read(subject, now(), today_));
    take(subject.slot, version);
  }
  return {};
}

Result<std::size_t> Inside::Ask(std::size_t, const Question& question) {
  ASSIGN_OR_RETURN(answer_, home_.Answer(question.condition));
  return Cells(answer_).size() / kColumns;
}

std::vector<Row> Inside::Rows() const { return RowsOf(Cells(answer_)); }

}  // namespace daicho::search_bench
