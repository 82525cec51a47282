// Any bytes as a record's text and as what was typed: folding is total and holds no byte below 0x20, and that of
// names is stable; a parser refuses with kInvalid or takes, within bounds; what it takes finds the record that
// says the same.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "events/result.h"
#include "projections/matching.h"

namespace daicho {
namespace {

void CheckFolded(std::string_view folded) {
  CHECK(std::none_of(folded.begin(), folded.end(),
                     [](char byte) { return static_cast<unsigned char>(byte) < 0x20; }));
}

void CheckNameQuery(const Result<NameQuery>& query, const FoldedName& folded) {
  CHECK(folded.first <= folded.text.size());
  CheckFolded(folded.text);
  if (!query.ok()) {
    CHECK(query.status().code() == Code::kInvalid);
    return;
  }
  CHECK(!query->any.empty() && query->any.size() <= kReadingsMax);
  for (const FoldedName& name : query->any) {
    CHECK(!name.text.empty() && name.first <= name.text.size());
    CheckFolded(name.text);
  }
  // A space in front asks for any first part, which a record's spaces do not say.
  if (query->divided && query->any[0].first == 0) return;
  CHECK(Matches(*query, v1::NAME_MATCH_WHOLE, folded));
  CHECK(Matches(*query, v1::NAME_MATCH_PREFIX, folded));
}

void CheckAddress(const Matching& matching, std::string_view text) {
  const std::string folded = matching.FoldAddress(text);
  CheckFolded(folded);
  const auto query = matching.ParseAddress(text);
  if (!query.ok()) {
    CHECK(query.status().code() == Code::kInvalid);
    return;
  }
  CHECK(!query->municipalities.empty() || !query->text.empty());
  const std::string municipality = query->municipalities.empty() ? "102016" : query->municipalities[0];
  CHECK(Matches(*query, municipality, query->text));
  // Without a place name in front, what was typed folds as a record does.
  if (query->municipalities.empty() && !text.starts_with("群")) CHECK(query->text == folded);
}

void CheckBirth(const Matching& matching, std::string_view text) {
  const auto query = matching.ParseBirth(text);
  if (!query.ok()) {
    CHECK(query.status().code() == Code::kInvalid);
    return;
  }
  const LenientDate date = query->date;
  CHECK(query->unknown == (date == LenientDate{}));
  CHECK(date.month <= 12 && date.day <= 31 && (date.year == 0 || date.year >= kLenientYearMin));
  CHECK(Matches(*query, date));
}

void CheckAll(std::string_view text) {
  const Matching& matching = *Matching::Shipped();
  const FoldedName name = matching.FoldName(text);
  CHECK(matching.FoldName(name.text).text == name.text);
  CheckNameQuery(matching.ParseName(text), name);
  CheckNameQuery(matching.ParseKana(text), matching.FoldKana(text));
  CheckAddress(matching, text);
  CheckBirth(matching, text);
}

}  // namespace
}  // namespace daicho

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  daicho::CheckAll(std::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}
