// What a search condition means, told by the matching definition alone: the oracle of searches.
#pragma once

#include <algorithm>
#include <string>

#include "projections/matching.h"

namespace daicho {

inline bool Means(const Matching& matching, const v1::SearchCondition& condition, const v1::ResidentRecord& record) {
  const auto any = [&](const NameQuery& query, bool kana, std::initializer_list<std::string> names) {
    return std::ranges::any_of(names, [&](const std::string& name) {
      return !name.empty() &&
             Matches(query, condition.name_match(), kana ? matching.FoldKana(name) : matching.FoldName(name));
    });
  };
  const v1::Address& address = record.address();
  return (condition.name().empty() ||
          any(matching.ParseName(condition.name()).value(), false,
              {record.name(), record.former_name().name(), record.alias().name(), record.latin_name()})) &&
         (condition.kana().empty() || any(matching.ParseKana(condition.kana()).value(), true,
                                          {record.kana(), record.former_name().kana(), record.alias().kana()})) &&
         (condition.birth().empty() || Matches(matching.ParseBirth(condition.birth()).value(),
                                               ParseLenientDate(record.birth()).value())) &&
         (condition.sex() == v1::SEX_UNSPECIFIED || condition.sex() == record.sex()) &&
         (condition.municipality().empty() || condition.municipality() == address.municipality()) &&
         (condition.address().empty() || Matches(matching.ParseAddress(condition.address()).value(),
                                                 address.municipality(), matching.FoldAddress(address.text())));
}

// Whether each field can be parsed.
inline bool Answerable(const Matching& matching, const v1::SearchCondition& condition) {
  return (condition.name().empty() || matching.ParseName(condition.name()).ok()) &&
         (condition.kana().empty() || matching.ParseKana(condition.kana()).ok()) &&
         (condition.birth().empty() || matching.ParseBirth(condition.birth()).ok()) &&
         (condition.address().empty() || matching.ParseAddress(condition.address()).ok());
}

}  // namespace daicho
