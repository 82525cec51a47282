#include "projections/variants.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>

#include "events/bytes.h"
#include "events/crypto.h"
#include "events/utf8.h"
#include "projections/variant_files.h"
#include "projections/variants/table.h"

namespace daicho {
namespace {

using Heads = std::map<char32_t, char32_t>;

Heads ShippedHeads() {
  Heads heads;
  std::string_view table = variants::k_variants;
  while (!table.empty()) {
    std::string_view row = table.substr(0, table.find('\n'));
    table.remove_prefix(std::min(row.size() + 1, table.size()));
    if (row.starts_with('#')) continue;
    const char32_t from = TakeCodePoint(row);
    CHECK(from != kDamaged && row.starts_with('\t'));
    row.remove_prefix(1);
    const char32_t head = TakeCodePoint(row);
    CHECK(head != kDamaged && row.starts_with('\t'));
    CHECK(heads.emplace(from, head).second);
  }
  return heads;
}

// Where rows that name one character each lead; nothing where they lead in a circle.
std::optional<char32_t> Follow(const Heads& rows, char32_t c) {
  for (int step = 0; step < 8; ++step) {
    const auto row = rows.find(c);
    if (row == rows.end()) return c;
    c = row->second;
  }
  return std::nullopt;
}

}  // namespace

VariantTable::VariantTable(const Heads& heads, SequenceHeads sequences, bool shipped)
    : pages_(1), sequences_(std::move(sequences)), shipped_(shipped) {
  std::string rows = "daicho/variants/1\n";
  for (const auto& [c, head] : heads) {
    std::uint16_t& page = index_[c >> 8];
    if (page == 0) {
      page = static_cast<std::uint16_t>(pages_.size());
      std::array<char32_t, 256>& added = pages_.emplace_back();
      for (char32_t i = 0; i < 256; ++i) added[i] = (c & ~char32_t{0xFF}) | i;
    }
    pages_[page][c & 0xFF] = head;
    AppendU32(rows, c);
    AppendU32(rows, 0);
    AppendU32(rows, head);
  }
  for (const auto& [sequence, head] : sequences_) {
    AppendU32(rows, sequence.first);
    AppendU32(rows, sequence.second);
    AppendU32(rows, head);
  }
  digest_ = ToHex(View(Sha256Of({rows})));
}

char32_t VariantTable::Head(char32_t base, char32_t selector) const {
  if (!sequences_.empty()) {
    if (const auto found = sequences_.find({base, selector}); found != sequences_.end()) return found->second;
  }
  return Head(base);
}

std::shared_ptr<const VariantTable> VariantTable::Shipped() {
  static const std::shared_ptr<const VariantTable> table(new VariantTable(ShippedHeads(), {}, true));
  return table;
}

Result<std::shared_ptr<const VariantTable>> VariantTable::Load(const VariantFiles& files) {
  ASSIGN_OR_RETURN(const variants::Candidates candidates, variants::ReadVariantFiles(files));

  // Never all pairs joined: one class would then hold 201 characters. A source with one candidate has one way.
  Heads heads = ShippedHeads();
  std::set<char32_t> shipped;
  for (const auto& [c, head] : heads) shipped.insert({c, head});
  Heads single;
  for (const auto& [from, to] : candidates) {
    if (from.second == 0 && to.size() == 1 && *to.begin() != from.first &&
        !shipped.contains(from.first)) {
      single.emplace(from.first, *to.begin());
    }
  }
  const auto head_of = [&](char32_t c) -> std::optional<char32_t> {
    const std::optional<char32_t> end = Follow(single, c);
    if (!end) return std::nullopt;
    const auto row = heads.find(*end);
    return row == heads.end() ? *end : row->second;
  };
  Heads added;
  for (const auto& [c, to] : single) {
    if (const auto head = head_of(c); head && *head != c) added.emplace(c, *head);
  }
  SequenceHeads sequences;
  for (const auto& [from, to] : candidates) {
    if (from.second == 0 || to.size() != 1) continue;
    if (const auto head = head_of(*to.begin())) sequences.emplace(from, *head);
  }
  heads.merge(added);
  return std::shared_ptr<const VariantTable>(new VariantTable(heads, std::move(sequences), false));
}

}  // namespace daicho
