#include "projections/variant_files.h"

#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/utf16.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "events/characters.h"
#include "events/codes.h"
#include "events/utf8.h"
#include "ledger/files.h"

namespace daicho::variants {
namespace {

bool IsIdeograph(char32_t c) {
  return u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_UNIFIED_IDEOGRAPH) != 0;
}

// A compatibility ideograph (U+FA44) is its unified one: whoever folds has done that before.
char32_t Unified(char32_t c) {
  UErrorCode error = U_ZERO_ERROR;
  const UNormalizer2* nfc = unorm2_getNFCInstance(&error);
  CHECK(U_SUCCESS(error));
  std::array<UChar, 8> units;
  const int32_t size =
      unorm2_getDecomposition(nfc, static_cast<UChar32>(c), units.data(), units.size(), &error);
  if (U_FAILURE(error) || size <= 0) return c;
  int32_t at = 0;
  UChar32 unified = 0;
  U16_NEXT(units.data(), at, size, unified);
  return at == size ? static_cast<char32_t>(unified) : c;
}

bool IsSelector(char32_t c) { return Between(c, 0xE0100, 0xE01EF) || Between(c, 0xFE00, 0xFE0F); }

std::optional<char32_t> Hex(std::string_view digits) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (digits.size() < 4 || digits.size() > 6 || error != std::errc() || end != digits.data() + digits.size() ||
      value > 0x10FFFF || Between(value, 0xD800, 0xDFFF)) {
    return std::nullopt;
  }
  return value;
}

// "U+9089"
std::optional<char32_t> ParseUcs(std::string_view text) {
  return text.starts_with("U+") ? Hex(text.substr(2)) : std::nullopt;
}

// "9089_E0101"
std::optional<Sequence> ParseSequence(std::string_view text) {
  const std::size_t at = text.find('_');
  if (at == std::string_view::npos) return std::nullopt;
  const auto base = Hex(text.substr(0, at));
  const auto selector = Hex(text.substr(at + 1));
  if (!base || !selector || !IsSelector(*selector)) return std::nullopt;
  return Sequence{*base, *selector};
}

std::vector<std::string_view> Split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(separators), text.size());
    if (end > 0) parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

// A file of the operator's, and how its faults are told.
struct Source {
  std::string path;
  std::string text;

  Status Fault(std::size_t line, std::string_view rule) const {
    return Invalid(path + ":" + std::to_string(line) + ": " + std::string(rule));
  }
};

Result<Source> ReadSource(const std::string& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  Source source{path, ""};
  if (!error && size > kVariantFileBytesMax) return source.Fault(1, "ファイルが大きすぎます(64 MiB まで)");
  ASSIGN_OR_RETURN(source.text, ReadFile(path));
  if (source.text.starts_with("\xEF\xBB\xBF")) source.text.erase(0, 3);
  if (!IsValidUtf8(source.text)) return source.Fault(1, "UTF-8 ではありません");
  return source;
}

// CSV (RFC 4180) or TSV: a heading line, then rows. A quoted cell may hold line breaks.
class Sheet {
 public:
  explicit Sheet(const Source& source) : source_(source), rest_(source.text) {
    separator_ = rest_.substr(0, rest_.find('\n')).find('\t') == std::string_view::npos ? ',' : '\t';
  }

  std::size_t line() const { return line_; }

  // False at the end.
  Result<bool> Next(std::vector<std::string>& cells) {
    cells.clear();
    line_ = next_line_;
    if (rest_.empty()) return false;
    while (true) {
      cells.emplace_back();
      RETURN_IF_ERROR(Cell(cells.back()));
      if (cells.size() > kColumnsMax) return source_.Fault(line_, "列が多すぎます");
      if (rest_.starts_with('\r')) rest_.remove_prefix(1);
      if (rest_.empty()) return true;
      const char end = rest_.front();
      rest_.remove_prefix(1);
      if (end == '\n') {
        ++next_line_;
        return true;
      }
      if (end != separator_) return source_.Fault(line_, "引用符の後に文字があります");
    }
  }

 private:
  static constexpr std::size_t kColumnsMax = 100;

  Status Cell(std::string& out) {
    if (!rest_.starts_with('"')) {
      const char ends[] = {separator_, '\r', '\n'};
      const std::size_t end = std::min(rest_.find_first_of(std::string_view(ends, 3)), rest_.size());
      out = rest_.substr(0, end);
      rest_.remove_prefix(end);
      return {};
    }
    while (true) {
      rest_.remove_prefix(1);
      const std::size_t end = rest_.find('"');
      if (end == std::string_view::npos) return source_.Fault(line_, "引用符が閉じていません");
      for (const char c : rest_.substr(0, end)) next_line_ += c == '\n';
      out += rest_.substr(0, end);
      rest_.remove_prefix(end + 1);
      if (!rest_.starts_with('"')) return {};
      out += '"';
    }
  }

  const Source& source_;
  std::string_view rest_;
  char separator_;
  std::size_t line_ = 1;
  std::size_t next_line_ = 1;
};

// Calls `row` with the cells of the columns named, in that order.
Status EachRow(const Source& source, const std::vector<std::string_view>& names,
               const std::function<Status(std::size_t line, const std::vector<std::string>&)>& row) {
  Sheet sheet(source);
  std::vector<std::string> cells;
  ASSIGN_OR_RETURN(bool more, sheet.Next(cells));
  std::vector<std::size_t> columns;
  for (const std::string_view name : names) {
    const auto found = std::find(cells.begin(), cells.end(), name);
    if (!more || found == cells.end()) {
      return source.Fault(1, "見出しに「" + std::string(name) + "」の列がありません");
    }
    columns.push_back(static_cast<std::size_t>(found - cells.begin()));
  }
  std::vector<std::string> chosen;
  for (std::size_t rows = 0;; ++rows) {
    ASSIGN_OR_RETURN(more, sheet.Next(cells));
    if (!more) return {};
    if (rows == kVariantRowsMax) return source.Fault(sheet.line(), "行が多すぎます");
    chosen.clear();
    for (const std::size_t column : columns) {
      if (column >= cells.size()) return source.Fault(sheet.line(), "列が足りません");
      chosen.push_back(cells[column]);
    }
    RETURN_IF_ERROR(row(sheet.line(), chosen));
  }
}

bool IsMjName(std::string_view name) {
  return name.size() == 8 && name.starts_with("MJ") && IsDigits(name.substr(2), 6);
}

// What stands for each MJ文字図形 in text.
using MjList = std::map<std::string, std::vector<Sequence>, std::less<>>;

Result<MjList> ReadMjList(const Source& source) {
  MjList list;
  RETURN_IF_ERROR(EachRow(
      source, {"MJ文字図形名", "実装したUCS", "実装したMoji_JohoコレクションIVS"},
      [&](std::size_t line, const std::vector<std::string>& cells) -> Status {
        if (!IsMjName(cells[0])) return source.Fault(line, "MJ文字図形名は MJ と数字6桁です");
        const auto [entry, added] = list.try_emplace(cells[0]);
        if (!added) return source.Fault(line, "同じ MJ文字図形名 が二度あります");
        if (!cells[1].empty()) {
          const auto ucs = ParseUcs(cells[1]);
          if (!ucs) return source.Fault(line, "実装したUCS は U+ と16進数です");
          entry->second.emplace_back(*ucs, 0);
        }
        for (const std::string_view text : Split(cells[2], "; \n")) {
          const auto sequence = ParseSequence(text);
          if (!sequence) return source.Fault(line, "IVS は 9089_E0101 の形です");
          entry->second.push_back(*sequence);
        }
        return {};
      }));
  return list;
}

// The characters of a text, counting its lines as they are read.
class LineCounting {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  LineCounting(const char* at, std::size_t* line) : at_(at), line_(line) {}
  reference operator*() const { return *at_; }
  LineCounting& operator++() {
    if (line_ != nullptr && *at_ == '\n') ++*line_;
    ++at_;
    return *this;
  }
  LineCounting operator++(int) {
    LineCounting before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const LineCounting& a, const LineCounting& b) { return a.at_ == b.at_; }

 private:
  const char* at_;
  std::size_t* line_;
};

// {"meta": …, "content": [{"MJ文字図形名": "MJ000123", "<根拠>": [{"UCS": "U+9AD8", "付記": …}, …], …}, …]}.
// A candidate under any 根拠 counts; one with 付記 "別字" is said to be another character and does not.
class ShrinkMapReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  ShrinkMapReader(const Source& source, const MjList& list) : source_(source), list_(list) {}

  Result<Candidates> Read() {
    const char* const begin = source_.text.data();
    nlohmann::json::sax_parse(LineCounting(begin, &line_),
                              LineCounting(begin + source_.text.size(), nullptr), this);
    RETURN_IF_ERROR(status_);
    if (!content_) return source_.Fault(line_, "「content」の配列がありません");
    return std::move(candidates_);
  }

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool key(string_t& name) override {
    keys_.back() = name;
    return true;
  }
  bool string(string_t& value) override {
    if (AtGlyph() && keys_.back() == "MJ文字図形名") {
      if (!IsMjName(value)) return Fail("MJ文字図形名は MJ と数字6桁です");
      glyph_ = value;
    } else if (AtCandidate() && keys_.back() == "UCS") {
      ucs_ = ParseUcs(value);
      if (!ucs_) return Fail("UCS は U+ と16進数です");
    } else if (AtCandidate() && keys_.back() == "付記") {
      other_character_ = value == "別字";
    }
    return true;
  }
  bool start_object(std::size_t) override {
    if (!Open()) return false;
    if (AtGlyph()) {
      if (++glyphs_ > kVariantRowsMax) return Fail("項目が多すぎます");
      glyph_.clear();
      found_.clear();
    } else if (AtCandidate()) {
      ucs_.reset();
      other_character_ = false;
    }
    return true;
  }
  bool end_object() override {
    if (AtCandidate()) {
      if (!ucs_) return Fail("候補に UCS がありません");
      if (!other_character_) found_.insert(Unified(*ucs_));
    } else if (AtGlyph() && !Finish()) {
      return false;
    }
    keys_.pop_back();
    return true;
  }
  bool start_array(std::size_t) override {
    if (!Open()) return false;
    content_ = content_ || (keys_.size() == 2 && keys_[0] == "content");
    return true;
  }
  bool end_array() override {
    keys_.pop_back();
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return Fail("JSON として読めません");
  }

 private:
  static constexpr std::size_t kDepthMax = 16;

  // Objects of content[], and of the arrays in those: by how deep they lie.
  bool AtGlyph() const { return keys_.size() == 3 && keys_[0] == "content"; }
  bool AtCandidate() const { return keys_.size() == 5 && keys_[0] == "content"; }

  bool Open() {
    if (keys_.size() == kDepthMax) return Fail("入れ子が深すぎます");
    keys_.emplace_back();
    return true;
  }
  bool Finish() {
    if (glyph_.empty()) return Fail("項目に MJ文字図形名 がありません");
    const auto entry = list_.find(glyph_);
    if (entry == list_.end()) return Fail("MJ文字図形名が MJ文字情報一覧表 にありません");
    for (const Sequence& sequence : entry->second) {
      candidates_[sequence].insert(found_.begin(), found_.end());
    }
    return true;
  }
  bool Fail(std::string_view rule) {
    if (status_.ok()) status_ = source_.Fault(line_, rule);
    return false;
  }

  const Source& source_;
  const MjList& list_;
  std::size_t line_ = 1;
  Status status_;
  bool content_ = false;
  std::size_t glyphs_ = 0;
  std::vector<std::string> keys_;  // of each open object or array, the key being read
  std::string glyph_;
  std::set<char32_t> found_;
  std::optional<char32_t> ucs_;
  bool other_character_ = false;
  Candidates candidates_;
};

Result<Candidates> ReadSubstitutes(const Source& source) {
  Candidates candidates;
  RETURN_IF_ERROR(EachRow(
      source, {"UCS", "代替UCS"}, [&](std::size_t line, const std::vector<std::string>& cells) -> Status {
        Sequence from;
        if (const auto sequence = ParseSequence(cells[0])) {
          from = *sequence;
        } else if (const auto ucs = ParseUcs(cells[0])) {
          from = {*ucs, 0};
        } else {
          return source.Fault(line, "UCS は U+9089 か 9089_E0101 の形です");
        }
        for (const std::string_view text : Split(cells[1], "; \n")) {
          const auto to = ParseUcs(text);
          if (!to) return source.Fault(line, "代替UCS は U+ と16進数です");
          candidates[from].insert(Unified(*to));
        }
        return {};
      }));
  return candidates;
}

// One with a candidate that is not an ideograph keeps it, and so is not taken for one with a single way.
bool IsOfIdeographs(const Sequence& from, const std::set<char32_t>& to) {
  return IsIdeograph(from.first) && Unified(from.first) == from.first &&
         std::all_of(to.begin(), to.end(), IsIdeograph);
}

}  // namespace

Result<Candidates> ReadVariantFiles(const VariantFiles& files) {
  if (files.shrink_map.empty() != files.mj_list.empty()) {
    return Invalid("MJ縮退マップと MJ文字情報一覧表は、両方を指定してください");
  }
  Candidates candidates;
  if (!files.shrink_map.empty()) {
    ASSIGN_OR_RETURN(const Source list_source, ReadSource(files.mj_list));
    ASSIGN_OR_RETURN(const MjList list, ReadMjList(list_source));
    ASSIGN_OR_RETURN(const Source map_source, ReadSource(files.shrink_map));
    ASSIGN_OR_RETURN(candidates, ShrinkMapReader(map_source, list).Read());
  }
  if (!files.substitutes.empty()) {
    ASSIGN_OR_RETURN(const Source source, ReadSource(files.substitutes));
    ASSIGN_OR_RETURN(const Candidates substitutes, ReadSubstitutes(source));
    // It says which one to use, where the other lists what there is.
    for (const auto& [from, to] : substitutes) candidates[from] = to;
  }

  std::erase_if(candidates, [](const auto& entry) { return !IsOfIdeographs(entry.first, entry.second); });
  return candidates;
}

}  // namespace daicho::variants
