#include "projections/version_marks.h"

#include <tuple>

#include "events/bytes.h"
#include "ledger/replay.h"
#include "projections/record_copy.h"

namespace daicho {
namespace {

constexpr std::size_t kSubjectBytes = 8 + 16 + 1 + 32 + 4;
constexpr std::size_t kMarkBytes = 8 + 32;
constexpr std::size_t kContentBytes = 2'048;
constexpr unsigned kErasedFlag = 1, kStandingFlag = 2;

std::string SlotKey(KeySlot slot) {
  std::string key;
  AppendU64(key, slot.value());
  return key;
}

std::optional<KeySlot> SlotAt(const StoreIterator& it) {
  if (!it.Valid()) return {};
  return KeySlot(ReadU64(it.key()));
}

// Takes one version into the person's marks.
void Take(std::string_view key, std::string_view value, Position position, const CopyKeying& keying, SubjectMarks& subject,
          LtHash& content) {
  std::string bytes(key);
  bytes += value;
  subject.versions.push_back({position, keying.Seal(bytes)});
  const auto version = record_file::DecodeVersion(key, value);
  if (!version.ok()) return;
  subject.handle = version->handle;
  if (!subject.standing && LeavesRow(version->effect)) subject.standing = keying.Item(version->notice).mac;
  record_file::AddContent(content, version->issuer, record_file::NoticeBytes(value));
}

}  // namespace

Result<VersionPage> ReadVersionPage(const Store& record_file, const CopyKeying& keying, KeySlot from, Position at,
                                    std::size_t most) {
  VersionPage page;
  auto versions = record_file.NewIterator(RecordFile::kVersions);
  auto erased = record_file.NewIterator(RecordFile::kErased);
  versions.Seek(SlotKey(from));
  erased.Seek(SlotKey(from));
  std::size_t taken = 0;
  while (true) {
    const std::optional<KeySlot> of_version = SlotAt(versions), of_erased = SlotAt(erased);
    if (!of_version && !of_erased) break;
    const KeySlot slot = !of_erased || (of_version && *of_version < *of_erased) ? *of_version : *of_erased;
    if (taken >= most) {
      page.next = slot;
      break;
    }
    SubjectMarks subject;
    subject.slot = slot;
    if (of_erased == slot) {
      subject.erased = true;
      erased.Next();
    }
    for (; SlotAt(versions) == slot; versions.Next()) {
      ASSIGN_OR_RETURN(const record_file::Key key, record_file::DecodeKey(versions.key()));
      if (key.position <= at) Take(versions.key(), versions.value(), key.position, keying, subject, page.content);
      ++taken;
    }
    ++taken;
    page.subjects.push_back(std::move(subject));
  }
  RETURN_IF_ERROR(versions.status());
  RETURN_IF_ERROR(erased.status());
  return page;
}

// For each: slot(8) ‖ handle(16) ‖ flags(1) ‖ standing(32) ‖ versions(4), and of each version position(8) ‖ mac(32).
std::string VersionPage::Encode() const {
  std::string out = content.Encode();
  AppendU64(out, next.has_value());
  AppendU64(out, next.value_or(KeySlot(0)).value());
  for (const SubjectMarks& subject : subjects) {
    AppendU64(out, subject.slot.value());
    out.append(View(subject.handle));
    out.push_back(static_cast<char>((subject.erased ? kErasedFlag : 0u) | (subject.standing ? kStandingFlag : 0u)));
    out.append(View(subject.standing.value_or(Digest())));
    AppendU32(out, static_cast<std::uint32_t>(subject.versions.size()));
    for (const VersionMark& mark : subject.versions) {
      AppendU64(out, mark.position.value());
      out.append(View(mark.mac));
    }
  }
  return out;
}

Result<VersionPage> VersionPage::Decode(std::string_view bytes) {
  const auto damaged = [] { return Corrupt("a page of version marks is damaged"); };
  if (bytes.size() < kContentBytes + 16) return damaged();
  VersionPage page;
  ASSIGN_OR_RETURN(page.content, LtHash::Decode(bytes.substr(0, kContentBytes)));
  bytes.remove_prefix(kContentBytes);
  if (ReadU64(bytes) != 0) page.next = KeySlot(ReadU64(bytes.substr(8)));
  bytes.remove_prefix(16);
  while (!bytes.empty()) {
    if (bytes.size() < kSubjectBytes) return damaged();
    SubjectMarks subject;
    subject.slot = KeySlot(ReadU64(bytes));
    ASSIGN_OR_RETURN(subject.handle, ToArray<16>(bytes.substr(8, 16)));
    const auto flags = static_cast<unsigned>(bytes[24]);
    subject.erased = (flags & kErasedFlag) != 0;
    if ((flags & kStandingFlag) != 0) {
      ASSIGN_OR_RETURN(subject.standing, ToArray<32>(bytes.substr(25, 32)));
    }
    const std::size_t count = ReadU32(bytes.substr(57));
    bytes.remove_prefix(kSubjectBytes);
    if (bytes.size() / kMarkBytes < count) return damaged();
    for (std::size_t i = 0; i < count; ++i) {
      VersionMark& mark = subject.versions.emplace_back();
      mark.position = Position(ReadU64(bytes));
      ASSIGN_OR_RETURN(mark.mac, ToArray<32>(bytes.substr(8, 32)));
      bytes.remove_prefix(kMarkBytes);
    }
    page.subjects.push_back(std::move(subject));
  }
  return page;
}

Result<RecordFileState> StateOf(const Store& record_file) {
  RecordFileState out;
  auto it = record_file.NewIterator(RecordFile::kMeta);
  ASSIGN_OR_RETURN(std::tie(out.next, out.ledger), LedgerReplay::SavedIn(it));
  it.Seek("digest");
  RETURN_IF_ERROR(it.status());
  if (!it.Valid() || it.key() != "digest") return Corrupt("the record file has no digest");
  ASSIGN_OR_RETURN(const LtHash content, LtHash::Decode(it.value()));
  out.content = content.Fingerprint();
  return out;
}

// --- the merge -----------------------------------------------------------------------------------------------------

namespace {

// One side, person by person.
class Subjects {
 public:
  Subjects(const VersionPages& pages, VersionComparison::Side& side) : pages_(pages), side_(side) {}

  Status Advance() {
    ++index_;
    while (index_ >= page_.subjects.size()) {
      if (!next_) {
        current_ = nullptr;
        return {};
      }
      ASSIGN_OR_RETURN(page_, pages_(*next_));
      if (page_.next && *page_.next <= *next_) return Corrupt("pages of version marks do not go on");
      next_ = page_.next;
      index_ = 0;
      side_.content.Merge(page_.content);
    }
    current_ = &page_.subjects[index_];
    if (!current_->versions.empty()) ++side_.subjects;
    side_.versions += current_->versions.size();
    return {};
  }
  const SubjectMarks* current() const { return current_; }

 private:
  const VersionPages& pages_;
  VersionComparison::Side& side_;
  VersionPage page_;
  std::optional<KeySlot> next_ = KeySlot(0);
  std::size_t index_ = 0;
  const SubjectMarks* current_ = nullptr;
};

// The versions of one person on both sides.
Status CompareSubject(const SubjectMarks& first, const SubjectMarks& second, VersionComparison& out, const VersionSink& sink) {
  using What = VersionDifference::What;
  bool differs = false;
  const bool standing = first.standing != second.standing;
  const auto tell = [&](Position position, What what, bool erased) {
    differs = true;
    const SubjectHandle& handle = first.handle != SubjectHandle{} ? first.handle : second.handle;
    return sink({handle, position, what, erased, standing});
  };
  const auto only = [&](Position position, What what, VersionComparison::Side& side, bool erased) {
    ++side.only;
    side.only_erased += erased ? 1 : 0;
    return tell(position, what, erased);
  };
  auto a = first.versions.begin(), b = second.versions.begin();
  while (a != first.versions.end() || b != second.versions.end()) {
    if (b == second.versions.end() || (a != first.versions.end() && a->position > b->position)) {
      RETURN_IF_ERROR(only((a++)->position, What::kOnlyFirst, out.first, second.erased));
    } else if (a == first.versions.end() || b->position > a->position) {
      RETURN_IF_ERROR(only((b++)->position, What::kOnlySecond, out.second, first.erased));
    } else {
      if (a->mac != b->mac) {
        ++out.bytes_differ;
        RETURN_IF_ERROR(tell(a->position, What::kBytes, false));
      }
      ++a, ++b;
    }
  }
  out.subjects += differs ? 1 : 0;
  out.standing += differs && standing ? 1 : 0;
  return {};
}

}  // namespace

Result<VersionComparison> CompareVersions(const VersionPages& first, const VersionPages& second, const VersionSink& sink) {
  VersionComparison out;
  Subjects a(first, out.first), b(second, out.second);
  RETURN_IF_ERROR(a.Advance());
  RETURN_IF_ERROR(b.Advance());
  const SubjectMarks none;
  while (a.current() != nullptr || b.current() != nullptr) {
    const bool in_a = a.current() != nullptr && (b.current() == nullptr || a.current()->slot <= b.current()->slot);
    const bool in_b = b.current() != nullptr && (a.current() == nullptr || b.current()->slot <= a.current()->slot);
    RETURN_IF_ERROR(CompareSubject(in_a ? *a.current() : none, in_b ? *b.current() : none, out, sink));
    if (in_a) RETURN_IF_ERROR(a.Advance());
    if (in_b) RETURN_IF_ERROR(b.Advance());
  }
  return out;
}

}  // namespace daicho
