#include "events/dates.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "events/codes.h"

namespace daicho {
namespace {

constexpr std::int64_t kMicrosPerSecond = 1'000'000;
constexpr std::int64_t kMicrosPerDay = 86'400 * kMicrosPerSecond;
constexpr std::int64_t kJapanOffset = 9 * 3'600 * kMicrosPerSecond;

// Value of ASCII digits. Requires: digits only.
int Number(std::string_view digits) {
  int value = 0;
  for (const char digit : digits) value = value * 10 + (digit - '0');
  return value;
}

// Value of the `count` digits at `at`, or -1.
int NumberAt(std::string_view text, std::size_t at, std::size_t count) {
  if (at > text.size()) return -1;
  const std::string_view digits = text.substr(at, count);
  return IsDigits(digits, count) ? Number(digits) : -1;
}

std::optional<Date> MakeDate(int year, int month, int day) {
  if (year < 1 || year > 9999 || month < 1 || day < 1) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year{year},
                                         std::chrono::month{static_cast<unsigned>(month)},
                                         std::chrono::day{static_cast<unsigned>(day)}};
  if (!date.ok()) return std::nullopt;
  return Date{static_cast<std::int16_t>(year), static_cast<std::uint8_t>(month),
              static_cast<std::uint8_t>(day)};
}

void AppendPadded(std::string& out, std::int64_t value, std::size_t width) {
  const std::string digits = std::to_string(value);
  out.append(width > digits.size() ? width - digits.size() : 0, '0').append(digits);
}

std::int64_t FloorDivide(std::int64_t value, std::int64_t by) {
  return value / by - (value % by < 0 ? 1 : 0);
}

}  // namespace

std::optional<Date> ParseDate(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  return MakeDate(NumberAt(text, 0, 4), NumberAt(text, 5, 2), NumberAt(text, 8, 2));
}

std::string FormatDate(Date date) {
  std::string out;
  AppendPadded(out, date.year, 4);
  AppendPadded(out += '-', date.month, 2);
  AppendPadded(out += '-', date.day, 2);
  return out;
}

std::int64_t DayNumber(Date date) {
  const std::chrono::sys_days days = std::chrono::year_month_day{
      std::chrono::year{date.year}, std::chrono::month{date.month}, std::chrono::day{date.day}};
  return days.time_since_epoch().count();
}

Date DateOfDayNumber(std::int64_t day_number) {
  CHECK(day_number >= DayNumber({1, 1, 1}) && day_number <= DayNumber({9999, 12, 31}));
  const std::chrono::year_month_day date{
      std::chrono::sys_days{std::chrono::days{static_cast<int>(day_number)}}};
  return {static_cast<std::int16_t>(static_cast<int>(date.year())),
          static_cast<std::uint8_t>(static_cast<unsigned>(date.month())),
          static_cast<std::uint8_t>(static_cast<unsigned>(date.day()))};
}

Date JapanDate(TimeMicros time) {
  return DateOfDayNumber(FloorDivide(time.value() + kJapanOffset, kMicrosPerDay));
}

TimeMicros StartOfDay(Date date) {
  return TimeMicros(DayNumber(date) * kMicrosPerDay - kJapanOffset);
}

TimeMicros EndOfDay(Date date) { return TimeMicros(StartOfDay(date).value() + kMicrosPerDay - 1); }

std::optional<TimeMicros> ParseTimestamp(std::string_view text) {
  // "YYYY-MM-DDThh:mm:ss" is 19 characters; at least a "Z" follows.
  if (text.size() < 20 || text[10] != 'T' || text[13] != ':' || text[16] != ':') {
    return std::nullopt;
  }
  const std::optional<Date> date = ParseDate(text.substr(0, 10));
  const int hour = NumberAt(text, 11, 2);
  const int minute = NumberAt(text, 14, 2);
  const int second = NumberAt(text, 17, 2);
  if (!date || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) {
    return std::nullopt;
  }
  std::size_t at = 19;
  std::int64_t micros = 0;
  if (text[at] == '.') {
    std::int64_t unit = kMicrosPerSecond;
    const std::size_t first = ++at;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
      unit /= 10;
      micros += unit * (text[at] - '0');
    }
    if (at == first || at - first > 9) return std::nullopt;
  }
  const std::string_view zone = text.substr(at);
  std::int64_t offset_minutes = 0;
  if (zone != "Z") {
    if (zone.size() != 6 || (zone[0] != '+' && zone[0] != '-') || zone[3] != ':') {
      return std::nullopt;
    }
    const int hours = NumberAt(zone, 1, 2);
    const int minutes = NumberAt(zone, 4, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return std::nullopt;
    offset_minutes = hours * 60 + minutes;
    if (zone[0] == '-') {
      if (offset_minutes == 0) return std::nullopt;
      offset_minutes = -offset_minutes;
    }
  }
  const std::int64_t minutes = (DayNumber(*date) * 24 + hour) * 60 + minute - offset_minutes;
  const TimeMicros time((minutes * 60 + second) * kMicrosPerSecond + micros);
  // An offset can push the ends of the calendar beyond it; what JapanDate cannot express is
  // refused.
  if (time < StartOfDay({1, 1, 1}) || time > EndOfDay({9999, 12, 31})) return std::nullopt;
  return time;
}

std::string FormatTimestamp(TimeMicros time) {
  const Date date = JapanDate(time);
  const std::int64_t in_day = time.value() - StartOfDay(date).value();
  const std::int64_t seconds = in_day / kMicrosPerSecond;
  const std::int64_t micros = in_day % kMicrosPerSecond;
  std::string out = FormatDate(date);
  AppendPadded(out += 'T', seconds / 3600, 2);
  AppendPadded(out += ':', seconds / 60 % 60, 2);
  AppendPadded(out += ':', seconds % 60, 2);
  if (micros != 0) AppendPadded(out += '.', micros, 6);
  return out += "+09:00";
}

std::optional<LenientDate> ParseLenientDate(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  const std::string_view year = text.substr(0, 4);
  const std::string_view month = text.substr(5, 2);
  const std::string_view day = text.substr(8, 2);
  LenientDate date;
  if (day != "??") {
    const int value = NumberAt(day, 0, 2);
    if (value < 1 || value > 31 || month == "??") return std::nullopt;
    date.day = static_cast<std::uint8_t>(value);
  }
  if (month != "??") {
    const int value = NumberAt(month, 0, 2);
    if (value < 1 || value > 12 || year == "????") return std::nullopt;
    date.month = static_cast<std::uint8_t>(value);
  }
  if (year != "????") {
    const int value = NumberAt(year, 0, 4);
    if (value < kLenientYearMin) return std::nullopt;
    date.year = static_cast<std::int16_t>(value);
  }
  return date;
}

bool IsAfter(LenientDate date, Date day) {
  if (date.year == 0) return false;
  if (date.year != day.year) return date.year > day.year;
  if (date.month == 0) return false;
  if (date.month != day.month) return date.month > day.month;
  return date.day > day.day;
}

namespace {

// The longest writing of a date is far shorter; nothing longer is worth a copy.
constexpr std::size_t kInputBytesMax = 200;

struct Era {
  std::string_view name;
  char letter;
  std::string_view sign;  // the era as one character
  Date first;
  Date last;
};

// A day of change belongs to the new era only. 明治 begins here with 明治6年, the first year of the
// Gregorian calendar in Japan.
constexpr std::array<Era, 5> kEras = {{
    {"令和", 'R', "㋿", {2019, 5, 1}, {9999, 12, 31}},
    {"平成", 'H', "㍻", {1989, 1, 8}, {2019, 4, 30}},
    {"昭和", 'S', "㍼", {1926, 12, 25}, {1989, 1, 7}},
    {"大正", 'T', "㍽", {1912, 7, 30}, {1926, 12, 24}},
    {"明治", 'M', "㍾", {1873, 1, 1}, {1912, 7, 29}},
}};
constexpr int kMeijiFirstYear = 1868;

// Spaces dropped, full-width ASCII made ASCII.
std::string Simplify(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = [&](std::size_t at) {
      return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u;
    };
    if (text[i] == ' ') continue;
    if (text.substr(i, 3) == "　") {
      i += 2;
    } else if (byte(i) == 0xEF && byte(i + 1) == 0xBC && byte(i + 2) >= 0x81) {
      out += static_cast<char>(byte(i + 2) - 0x60);  // U+FF01 to U+FF3F: "！" to "＿"
      i += 2;
    } else if (byte(i) == 0xEF && byte(i + 1) == 0xBD && byte(i + 2) <= 0x9E) {
      out += static_cast<char>(byte(i + 2) - 0x20);  // U+FF40 to U+FF5E: "｀" to "～"
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

bool Eat(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

bool EatEra(std::string_view& text, const Era& era) {
  if (Eat(text, era.name) || Eat(text, era.sign)) return true;
  if (text.empty() || (text[0] != era.letter && text[0] != era.letter - 'A' + 'a')) return false;
  text.remove_prefix(1);
  return true;
}

// One to `digits_max` digits, or -1.
int EatNumber(std::string_view& text, std::size_t digits_max) {
  std::size_t count = 0;
  while (count < text.size() && text[count] >= '0' && text[count] <= '9') ++count;
  if (count == 0 || count > digits_max) return -1;
  const int value = Number(text.substr(0, count));
  text.remove_prefix(count);
  return value;
}

// "年11月23日" or the same with one of - / . between the numbers.
bool EatMonthAndDay(std::string_view text, int& month, int& day) {
  std::string_view separator = "月";
  std::string_view end = "日";
  if (!Eat(text, "年")) {
    if (text.empty() || std::string_view("-/.").find(text[0]) == std::string_view::npos) {
      return false;
    }
    separator = text.substr(0, 1);
    end = "";
    text.remove_prefix(1);
  }
  month = EatNumber(text, 2);
  if (!Eat(text, separator)) return false;
  day = EatNumber(text, 2);
  return Eat(text, end) && text.empty();
}

Result<Date> ParseEraDate(std::string_view text, const Era& era) {
  const int year_in_era = Eat(text, "元") ? 1 : EatNumber(text, 2);
  int month = 0;
  int day = 0;
  if (year_in_era < 1 || !EatMonthAndDay(text, month, day)) {
    return Invalid("日付として読めません");
  }
  const bool meiji = era.letter == 'M';
  const int year = (meiji ? kMeijiFirstYear : era.first.year) + year_in_era - 1;
  if (meiji && year < era.first.year) {
    return Invalid("明治5年以前の日付は旧暦のため、西暦で入力してください");
  }
  const std::optional<Date> date = MakeDate(year, month, day);
  if (!date) return Invalid("暦にない日付です");
  if (*date < era.first || *date > era.last) return Invalid("元号の期間の外の日付です");
  return *date;
}

}  // namespace

std::string FormatEraDate(Date date) {
  return FormatEraDate(LenientDate{date.year, date.month, date.day});
}

std::string FormatEraDate(LenientDate date) {
  if (date.year == 0) return "年月日不詳";
  // The days that it may be; days that no calendar has compare as they are written.
  const Date first{date.year, std::max<std::uint8_t>(date.month, 1), std::max<std::uint8_t>(date.day, 1)};
  const Date last{date.year, date.month == 0 ? std::uint8_t{12} : date.month, date.day == 0 ? std::uint8_t{31} : date.day};
  std::string out = std::to_string(date.year) + "年";
  for (const Era& era : kEras) {
    if (first < era.first || last > era.last) continue;
    const int began = era.letter == 'M' ? kMeijiFirstYear : era.first.year;
    const int year = date.year - began + 1;
    out = std::string(era.name) + (year == 1 ? "元" : std::to_string(year)) + "年";
  }
  if (date.month == 0) return out + "（月日不詳）";
  out += std::to_string(date.month) + "月";
  return date.day == 0 ? out + "（日不詳）" : out + std::to_string(date.day) + "日";
}

Result<Date> ParsePersonDate(std::string_view input) {
  if (input.size() > kInputBytesMax) return Invalid("日付として読めません");
  const std::string simple = Simplify(input);
  std::string_view text = simple;
  for (const Era& era : kEras) {
    if (EatEra(text, era)) return ParseEraDate(text, era);
  }
  Eat(text, "西暦");
  int year = -1;
  int month = -1;
  int day = -1;
  if (IsDigits(text, 8)) {
    year = NumberAt(text, 0, 4);
    month = NumberAt(text, 4, 2);
    day = NumberAt(text, 6, 2);
  } else {
    year = NumberAt(text, 0, 4);
    if (year < 0 || !EatMonthAndDay(text.substr(4), month, day)) {
      return Invalid("日付として読めません");
    }
  }
  const std::optional<Date> date = MakeDate(year, month, day);
  if (!date) return Invalid("暦にない日付です");
  return *date;
}

namespace {

// Nothing; "年" or "/"; then a month, "月"; then a day, "日": the rest of a date after its year.
bool EatRestOfLenientDate(std::string_view text, LenientDate& date) {
  const bool kanji = Eat(text, "年");
  if (text.empty()) return true;
  std::string_view separator = kanji ? "月" : text.substr(0, 1);
  if (!kanji && (std::string_view("-/.").find(separator) == std::string_view::npos)) return false;
  if (!kanji) text.remove_prefix(1);
  const int month = EatNumber(text, 2);
  if (month < 1 || month > 12) return false;
  date.month = static_cast<std::uint8_t>(month);
  if (text.empty()) return !kanji;
  if (!Eat(text, separator)) return false;
  if (text.empty()) return kanji;
  const int day = EatNumber(text, 2);
  if (day < 1 || day > 31) return false;
  date.day = static_cast<std::uint8_t>(day);
  return Eat(text, kanji ? "日" : "") && text.empty();
}

// Whether some day that `date` may stand for lies in the era.
bool MayLieIn(const LenientDate& date, const Era& era) {
  const auto number = [](int year, int month, int day) { return (year * 100 + month) * 100 + day; };
  const int first = number(date.year, date.month, date.day);
  const int last = number(date.year, date.month == 0 ? 99 : date.month, date.day == 0 ? 99 : date.day);
  return last >= number(era.first.year, era.first.month, era.first.day) &&
         first <= number(era.last.year, era.last.month, era.last.day);
}

Result<LenientDate> ParseLenientEraDate(std::string_view text, const Era& era) {
  const int year_in_era = Eat(text, "元") ? 1 : EatNumber(text, 2);
  const bool meiji = era.letter == 'M';
  const int year = (meiji ? kMeijiFirstYear : era.first.year) + year_in_era - 1;
  LenientDate date;
  date.year = static_cast<std::int16_t>(year);
  if (year_in_era < 1 || !EatRestOfLenientDate(text, date)) return Invalid("生年月日として読めません");
  if (meiji && year < era.first.year) {
    return Invalid("明治5年以前の日付は旧暦のため、西暦で入力してください");
  }
  if (!MayLieIn(date, era)) return Invalid("元号の期間の外の日付です");
  return date;
}

}  // namespace

Result<LenientDate> ParsePersonLenientDate(std::string_view input) {
  if (input.size() > kInputBytesMax) return Invalid("生年月日として読めません");
  const std::string simple = Simplify(input);
  std::string_view text = simple;
  if (text == "不詳" || text == "生年月日不詳") return LenientDate{};
  if (const std::optional<LenientDate> date = ParseLenientDate(text)) return *date;
  for (const Era& era : kEras) {
    if (EatEra(text, era)) return ParseLenientEraDate(text, era);
  }
  Eat(text, "西暦");
  LenientDate date;
  bool reads = false;
  if (IsDigits(text, 8)) {
    date = {static_cast<std::int16_t>(NumberAt(text, 0, 4)), static_cast<std::uint8_t>(NumberAt(text, 4, 2)),
            static_cast<std::uint8_t>(NumberAt(text, 6, 2))};
    reads = date.month >= 1 && date.month <= 12 && date.day >= 1 && date.day <= 31;
  } else if (const int year = NumberAt(text, 0, 4); year >= 0) {
    date.year = static_cast<std::int16_t>(year);
    reads = EatRestOfLenientDate(text.substr(4), date);
  }
  if (!reads) return Invalid("生年月日として読めません");
  if (date.year < kLenientYearMin) return Invalid("1800年より前の生年月日は記録にありません");
  return date;
}

}  // namespace daicho
