// The matching definition (照合の定義): when a name, a reading, a date of birth or an address that was typed
// means what a record says. Records are never changed by it: it folds copies, for the keys of the search index
// and for the comparison. In prose, with its drawbacks: README.md, *Matching*.
//
// Pure and deterministic for one id(). Thread-safe. Folded text holds no byte below 0x20, and is compared byte
// by byte: a folded prefix is a prefix of the typed text's characters.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "events/dates.h"
#include "events/result.h"
#include "events/search.pb.h"

namespace daicho {

namespace v1 = events::v1;

// 氏名 or 振り仮名 without spaces, selectors and what else does not count. Its parts are 氏 and 名; one that was
// written without a space has only a first part.
struct FoldedName {
  std::string text;
  std::size_t first = 0;  // bytes of the first part; text.size() when there is only one

  std::string_view First() const { return std::string_view(text).substr(0, first); }
  std::string_view Second() const { return std::string_view(text).substr(first); }
  friend bool operator==(const FoldedName&, const FoldedName&) = default;
};

// What was typed as a name. `any`: the readings that it may mean, at least one, at most kReadingsMax.
// With a space it asks for a first part exactly (any, when it begins with the space) and for a second part.
struct NameQuery {
  std::vector<FoldedName> any;
  bool divided = false;
};
inline constexpr std::size_t kReadingsMax = 8;

// A typed 生年月日: 0 where nothing is asked for. `unknown`: those of whom no part is known.
struct BirthQuery {
  LenientDate date;
  bool unknown = false;
};

struct AddressQuery {
  std::vector<std::string> municipalities;  // 市町村コード that a leading name means; none: any
  std::string text;                         // folded, what follows; may be empty
};

class VariantTable;  // 異体字, see variants.h

class Matching {
 public:
  // The definition that this program ships.
  static std::shared_ptr<const Matching> Shipped();
  explicit Matching(std::shared_ptr<const VariantTable> variants);
  ~Matching();

  // Names the definition with its table of variants: keys folded under another id do not compare.
  const std::string& id() const { return id_; }

  // What a record says. Total: whatever a record may hold can be folded.
  FoldedName FoldName(std::string_view name) const;  // 氏名, 旧氏, 通称, ローマ字氏名
  FoldedName FoldKana(std::string_view kana) const;
  std::string FoldAddress(std::string_view text) const;  // Address.text: after the municipality's name

  // What was typed. Errors: kInvalid in Japanese, without repeating the input: nothing left to ask for, too
  // long, characters that no record can hold.
  Result<NameQuery> ParseName(std::string_view typed) const;
  Result<NameQuery> ParseKana(std::string_view typed) const;
  Result<BirthQuery> ParseBirth(std::string_view typed) const;  // also of an era, a year or a month alone
  Result<AddressQuery> ParseAddress(std::string_view typed) const;

 private:
  std::shared_ptr<const VariantTable> variants_;
  std::string id_;
};

// Whether a folded name is one that was asked for. PREFIX: its beginning, or with a space its 氏 and the
// beginning of its 名. WHOLE: all of it. INFIX: some place within 氏 or within 名.
bool Matches(const NameQuery& query, v1::NameMatch how, const FoldedName& name);
// An unknown part of the record matches any that is asked for. Requires: a `birth` that a record may hold.
bool Matches(const BirthQuery& query, LenientDate birth);
// `text` folded. The beginning of the address, whole numbers only.
bool Matches(const AddressQuery& query, std::string_view municipality, std::string_view text);

}  // namespace daicho
