// SearchIndex: the rows of the record file by which persons are found (本人確認情報検索). All rows of one subject
// are a function of the versions known of it and of the matching definition; each says from and to which
// position it holds, so that searching as of a position reads the same rows as searching now.
//
//   family            key                                                       holds, per period
//   search_names      kind(1) ‖ name ‖ 00 ‖ birth(3) ‖ slot(5)                   sex, place, where 氏 ends
//   search_given      kind(1) ‖ 名 ‖ 00 ‖ municipality(3) ‖ birth(3) ‖ slot(5)    sex
//   search_people     municipality(3) ‖ birth(3) ‖ slot(5)                       sex, names
//   search_addresses  municipality(3) ‖ address ‖ 00 ‖ slot(5)                   sex, birth, names
//   search_parts      kind(1) ‖ 's' or 'g' ‖ 氏 or 名                             (first position)
//                     'm' ‖ municipality(3)                                      (first position)
//
// kind: 't' of a name, 'k' of a reading. Names, readings and addresses are folded (projections/matching.h).
// Bytes and a worked example: README.md, *Search index*.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <shared_mutex>
#include <unordered_map>

#include "projections/matching.h"
#include "projections/record_file.h"

namespace daicho {

namespace search_index {

enum class Kind : char { kText = 't', kKana = 'k' };

// year × 512 + month × 32 + day, 0 where unknown: in the order of time, the unknown first.
std::uint32_t BirthNumber(LenientDate birth);
// 市町村コード as a number; 0 for what is no code.
std::uint32_t MunicipalityNumber(std::string_view code);

inline constexpr std::size_t kAddressHeadBytes = 9;

// One name of a person, as rows hold it. Borrows.
struct HeldName {
  Kind kind;
  std::size_t first;  // bytes of 氏
  std::string_view text;
};

// A period of a row, [from, until) in positions, and what held in it. Borrows the row's value.
struct Period {
  Position from;
  std::optional<Position> until;  // none: to this day
  v1::Sex sex = v1::SEX_UNSPECIFIED;
  // Whether a version of that period is the one that holds, whatever the day.
  bool sole = false;
  // From its own position on the version there holds, to the period's end; none: not known.
  std::optional<Position> newest;
  // Those that the family's key does not have; 0 elsewhere.
  std::uint32_t municipality = 0;
  std::uint32_t birth = 0;
  std::size_t first = 0;
  std::string_view address_head;  // the beginning of the folded address, at most kAddressHeadBytes
  std::vector<HeldName> names;
};

// The periods of a row, the latest first.
class Periods {
 public:
  Periods(Family family, std::string_view value) : family_(family), rest_(value) {}
  // False at the end, or when what is left cannot be read: then ok() is false. `out` is used again.
  bool Next(Period& out);
  bool ok() const { return ok_; }

 private:
  Family family_;
  std::string_view rest_;
  bool ok_ = true;
};

struct Row {
  Family family;
  std::string key;
  std::string value;
  friend bool operator==(const Row&, const Row&) = default;
};

// All rows of a subject, sorted by family and key. `versions` by ascending position.
std::vector<Row> RowsOf(const Matching& matching, KeySlot subject, const std::vector<Version>& versions);

}  // namespace search_index

// The distinct parts of names, and the municipalities, in memory: where 部分一致 begins. Thread-safe.
class SearchParts {
 public:
  // What the store holds.
  Status Load(const Store& store);
  // Takes the parts of `rows`' names. Returns the rows of search_parts that change by it.
  std::vector<search_index::Row> Learn(const std::vector<search_index::Row>& rows);
  // Those known at `at` that contain `text`, in the order of bytes.
  std::vector<std::string> Containing(search_index::Kind kind, bool of_given, std::string_view text,
                                      Position at) const;
  std::vector<std::uint32_t> Municipalities(Position at) const;
  // All rows of search_parts, sorted.
  std::vector<search_index::Row> Rows() const;

 private:
  // Whether it is new, or known from an earlier position than before.
  bool Add(std::string_view key, Position first);

  mutable std::shared_mutex mutex_;
  std::unordered_map<std::string, Position> firsts_;  // of each key the position that first had it
  std::map<std::string, std::string> texts_;  // by the first two bytes of the key: 00 ‖ text ‖ 00 ‖ text … 00
  std::map<std::uint32_t, Position> municipalities_;
};

// Keeps the rows up to date. Belongs to the thread that applies.
class SearchWriter {
 public:
  using Put = std::function<void(Family, std::string_view key, std::string_view value)>;
  // All borrowed.
  SearchWriter(const Store& store, const Matching& matching, SearchParts& parts)
      : store_(store), matching_(matching), parts_(parts) {}

  // Takes a version that the next write to the store will hold. `first`: the store holds none of this subject.
  void Add(const Version& version, KeySlot subject, bool first);
  // Puts what the versions added since the last call change. Errors: of the store.
  Status Flush(const Put& put);
  // Forgets what was added.
  void Clear() { added_.clear(); }

  // Puts the rows of all versions that the store holds into families that are empty, over two threads.
  // `buffer_bytes` as of a BulkLoad. Errors: of the store.
  Status Build(Store& store, std::size_t buffer_bytes);

 private:
  Status Build(Store& store, KeySlot from, KeySlot until, std::size_t buffer_bytes);

  struct Added {
    bool first = false;
    std::vector<Version> versions;
  };

  const Store& store_;
  const Matching& matching_;
  SearchParts& parts_;
  std::map<KeySlot, Added> added_;
};

}  // namespace daicho
