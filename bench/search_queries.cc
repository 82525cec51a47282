#include "bench/search_queries.h"

#include <fmt/format.h>

#include <fstream>
#include <optional>
#include <random>
#include <sstream>

#include "events/bytes.h"
#include "events/codes.h"
#include "events/dates.h"

namespace daicho::search_bench {
namespace {

const std::string kSelect = "select r.juki,r.kanji,r.kana,r.romaji,r.birth,r.sex,r.addr from ";

// Whom a full date of birth fits: an unknown part of the record matches any.
std::string BirthIs(const std::string& p) {
  return fmt::format("in ({0}::int,{0}::int/100*100,{0}::int/10000*10000,0)", p);
}

std::string Begins(const std::string& column, std::size_t from) {
  return fmt::format("{0} ~>=~ ${1} and {0} ~<~ ${2}", column, from, from + 1);
}

// One of the readings, which are the first parameters. Of several, those of EachReading.
std::string BeginsAny(const std::string& column, std::size_t readings) {
  return readings == 1 ? Begins(column, 1) : fmt::format("{0} ~>=~ b.low and {0} ~<~ b.high", column);
}

// In front of the subquery that asks BeginsAny: a scan of the index for each reading. Alternatives in one condition
// would be a scan of the table.
std::string EachReading(std::size_t readings) {
  if (readings == 1) return "";
  std::string out = "(values ($1,$2)";
  for (std::size_t i = 1; i < readings; ++i) out += fmt::format(",(${},${})", 2 * i + 1, 2 * i + 2);
  return out + ") b(low,high), lateral ";
}

// The parameters behind them: the one that is $i when there is one reading.
std::string After(std::size_t readings, std::size_t i) { return fmt::format("${}", 2 * (readings - 1) + i); }

// Names of kind k (1: 振り仮名, 2: 氏名) under `condition`, with their residents.
std::string ByName(int kind, std::size_t readings, const std::string& condition) {
  if (readings == 1) {
    return fmt::format("{}rname n join resident r on r.id=n.id where n.k={} and {} limit {}", kSelect, kind, condition,
                       kRowsMax);
  }
  return fmt::format("{}{}(select n.id from rname n where n.k={} and {} offset 0) n join resident r on r.id=n.id limit {}",
                     kSelect, EachReading(readings), kind, condition, kRowsMax);
}

// The same by two ranges of one index, for what one range cannot say: those of whom month or year is unknown.
std::string ByNameOfTwo(int kind, std::size_t readings, const std::string& where, const std::string& known,
                        const std::string& unknown) {
  const auto half = [&](const std::string& birth) {
    return fmt::format("select id from rname where k={} and birth {} and {}", kind, birth, where);
  };
  return fmt::format("{}{}({} union all {}) n join resident r on r.id=n.id limit {}", kSelect, EachReading(readings),
                     half(known), half(unknown), kRowsMax);
}

std::string Whole(const std::string& sql) { return sql + fmt::format(" limit {}", kRowsMax); }

std::string WithoutSpaces(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] == ' ') {
      ++i;
    } else if (text.substr(i).starts_with("　")) {
      i += std::string_view("　").size();
    } else {
      out.push_back(text[i++]);
    }
  }
  return out;
}

std::string_view FirstPart(std::string_view name) {
  return name.substr(0, std::min(name.find(' '), name.find("　")));
}

std::string_view SecondPart(std::string_view name) {
  const std::string_view first = FirstPart(name);
  if (first.size() == name.size()) return {};
  name.remove_prefix(first.size());
  return name.substr(name[0] == ' ' ? 1 : std::string_view("　").size());
}

std::size_t CharacterBytes(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
}

std::string FirstCharacters(std::string_view text, int count) {
  std::size_t bytes = 0;
  for (; count > 0 && bytes < text.size(); --count) bytes += CharacterBytes(text[bytes]);
  return std::string(text.substr(0, bytes));
}

// The first text, in the order of code points, that does not begin with `prefix` and is after all that do.
std::string Behind(std::string prefix) {
  while (!prefix.empty()) {
    std::size_t at = prefix.size() - 1;
    while (at > 0 && (static_cast<unsigned char>(prefix[at]) & 0xc0) == 0x80) --at;
    char32_t point = static_cast<unsigned char>(prefix[at]);
    if (point >= 0xc0) point &= point >= 0xf0 ? 0x07 : point >= 0xe0 ? 0x0f : 0x1f;
    for (std::size_t i = at + 1; i < prefix.size(); ++i) {
      point = point << 6 | (static_cast<unsigned char>(prefix[i]) & 0x3f);
    }
    prefix.resize(at);
    if (point >= 0x10ffff) continue;
    point = point + 1 == 0xd800 ? 0xe000 : point + 1;
    const auto tail = [&](int shift) { return static_cast<char>(0x80 | (point >> shift & 0x3f)); };
    if (point < 0x80) return prefix + static_cast<char>(point);
    if (point < 0x800) return prefix + static_cast<char>(0xc0 | point >> 6) + tail(0);
    if (point < 0x10000) return prefix + static_cast<char>(0xe0 | point >> 12) + tail(6) + tail(0);
    return prefix + static_cast<char>(0xf0 | point >> 18) + tail(12) + tail(6) + tail(0);
  }
  return prefix;
}

// 大字 or 町 alone: before the first number and without its 丁目.
std::string TownOf(std::string_view text) {
  static const std::vector<std::string_view> kNumerals = {"一", "二", "三", "四", "五", "六", "七", "八", "九", "十"};
  std::size_t end = text.find("丁目");
  if (end == std::string_view::npos) {
    end = 0;
    while (end < text.size() && !text.substr(end).starts_with("\xef\xbc") && !(text[end] >= '0' && text[end] <= '9')) {
      end += CharacterBytes(text[end]);
    }
    return std::string(text.substr(0, end));
  }
  std::string town(text.substr(0, end));
  for (bool found = true; found;) {
    found = false;
    for (const std::string_view numeral : kNumerals) {
      if (town.ends_with(numeral)) {
        town.resize(town.size() - numeral.size());
        found = true;
      }
    }
  }
  return town;
}

// Makes a question of each shape about one person; none where the person does not fit the shape.
class Asker {
 public:
  Asker(const Matching& matching, std::mt19937_64& chance) : matching_(matching), chance_(chance) {}

  std::optional<Question> Ask(std::size_t shape, const v1::UpdateNotice& resident) {
    record_ = &resident.record();
    const std::optional<LenientDate> birth = ParseLenientDate(record_->birth());
    if (!birth) return std::nullopt;
    birth_ = *birth;
    question_ = {};
    const bool fits = Fill(shape, resident);
    return fits ? std::optional(std::move(question_)) : std::nullopt;
  }

 private:
  bool Fill(std::size_t shape, const v1::UpdateNotice& resident) {
    switch (shape + 1) {
      case 1: return Number(resident.resident_code(), ResidentCodeCheckDigit, *question_.condition.mutable_resident_code());
      case 2:
        return !record_->individual_number().empty() &&
               Number(record_->individual_number(), IndividualNumberCheckDigit,
                      *question_.condition.mutable_individual_number());
      case 3: return Kana(WithoutSpaces(record_->kana()), 1) && WholeBirth() && SexOf();
      case 4: return Name(WithoutSpaces(record_->name())) && WholeBirth();
      case 5: return Name(WithoutSpaces(record_->name())) && Address(TownOf(record_->address().text()));
      case 6: return Kana(WithoutSpaces(record_->kana()), 1);
      case 7:
        return Kana(FirstCharacters(FirstPart(record_->kana()), 2 + static_cast<int>(chance_() % 2)), 1) &&
               Month() && MunicipalityOf();
      case 8: return Kana(WithoutSpaces(record_->kana()), 1) && Year() && SexOf();
      case 9:
        return Name(std::string(FirstPart(record_->name()))) &&
               Address(record_->address().text().substr(0, record_->address().text().find("　")));
      case 10: return Infix(std::string(SecondPart(record_->name()))) && Year() && MunicipalityOf();
      case 11: return WholeBirth() && SexOf() && MunicipalityOf();
      default: return Kana(WithoutSpaces(record_->kana()), 2) && WholeBirth();
    }
  }

  void Put(std::string parameter) { question_.parameters.push_back(std::move(parameter)); }
  void Put(int parameter) { Put(std::to_string(parameter)); }
  void PutRange(const std::string& prefix) {
    Put(prefix);
    Put(Behind(prefix));
  }

  // One in ten is nobody's, and still a number that could be.
  bool Number(std::string number, char (*check_digit)(std::string_view), std::string& field) {
    if (chance_() % 10 == 0) {
      number.pop_back();
      number = fmt::format("{:0{}}", (std::stoull(number) + 1) % static_cast<std::uint64_t>(1e11), number.size());
      number += check_digit(number);
    }
    field = number;
    Put(number);
    return true;
  }

  // What can be read in fewer ways does not do.
  bool Kana(const std::string& typed, std::size_t readings_min) {
    const auto query = matching_.ParseKana(typed);
    if (!query.ok() || query->any.size() < readings_min) return false;
    // A divided reading is a question that PostgreSQL's statement does not ask.
    for (const FoldedName& reading : query->any) PutRange(KanaText(reading.text));
    question_.condition.set_kana(typed);
    question_.readings = query->any.size();
    return !query->divided;
  }

  bool Name(const std::string& typed) {
    const auto query = matching_.ParseName(typed);
    if (!query.ok() || query->any.size() != 1 || query->divided) return false;
    question_.condition.set_name(typed);
    PutRange(query->any[0].text);
    return true;
  }

  bool Infix(const std::string& typed) {
    const auto query = matching_.ParseName(typed);
    if (!query.ok() || query->any.size() != 1 || query->divided) return false;
    if (query->any[0].text.find_first_of("%_\\") != std::string::npos) return false;
    question_.condition.set_name(typed);
    question_.condition.set_name_match(v1::NAME_MATCH_INFIX);
    Put("%" + query->any[0].text + "%");
    return true;
  }

  bool Address(const std::string& text) {
    const Municipality* municipality = FindMunicipality(record_->address().municipality());
    if (municipality == nullptr || text.empty()) return false;
    const std::string typed = std::string(municipality->name) + text;
    const auto query = matching_.ParseAddress(typed);
    if (!query.ok() || query->municipalities != std::vector<std::string>{std::string(municipality->code)}) return false;
    question_.condition.set_address(typed);
    PutRange(AddressKey(municipality->code, query->text));
    return true;
  }

  bool WholeBirth() {
    if (birth_.day == 0) return false;
    question_.condition.set_birth(record_->birth());
    Put(BirthNumber(record_->birth()));
    return true;
  }

  bool Month() {
    if (birth_.month == 0) return false;
    question_.condition.set_birth(fmt::format("{:04}-{:02}-??", static_cast<int>(birth_.year), birth_.month));
    const int first = birth_.year * 10'000 + birth_.month * 100;
    Put(first);
    Put(first + 99);
    return true;
  }

  bool Year() {
    if (birth_.year == 0) return false;
    question_.condition.set_birth(fmt::format("{:04}-??-??", static_cast<int>(birth_.year)));
    Put(birth_.year * 10'000);
    Put(birth_.year * 10'000 + 9'999);
    return true;
  }

  bool SexOf() {
    question_.condition.set_sex(record_->sex());
    Put(static_cast<int>(record_->sex()));
    return true;
  }

  bool MunicipalityOf() {
    question_.condition.set_municipality(record_->address().municipality());
    Put(record_->address().municipality());
    return true;
  }

  const Matching& matching_;
  std::mt19937_64& chance_;
  const v1::ResidentRecord* record_ = nullptr;
  LenientDate birth_;
  Question question_;
};

}  // namespace

const std::array<Shape, kShapes>& Shapes() {
  static const auto fixed = [](std::string sql) { return [sql](std::size_t) { return sql; }; };
  static const std::array<Shape, kShapes> shapes = {{
      {"S1", "住民票コード", 25, fixed(kSelect + "resident r where juki=$1::bigint")},
      {"S2", "個人番号", 10, fixed(kSelect + "resident r where myno=$1::bigint")},
      {"S3", "振り仮名, 生年月日, 性別", 25,
       [](std::size_t n) {
         return ByName(1, n, BeginsAny("n.norm", n) + " and n.birth " + BirthIs(After(n, 3)) + " and n.sex=" + After(n, 4) +
                              "::int2");
       }},
      {"S4", "氏名, 生年月日", 15,
       [](std::size_t n) { return ByName(2, n, BeginsAny("n.norm", n) + " and n.birth " + BirthIs(After(n, 3))); }},
      // The fences: without both of them the planner begins, on some loads, with everybody in the town.
      {"S5", "氏名, 大字", 8,
       fixed(Whole(kSelect + "(select id from rname where k=2 and " + Begins("norm", 1) +
                   " offset 0) n, lateral (select * from resident where id=n.id offset 0) r where " + Begins("r.addr_norm", 3)))},
      {"S6", "振り仮名", 3, [](std::size_t n) { return ByName(1, n, BeginsAny("n.norm", n)); }},
      {"S7", "氏の2, 3字, 生年月, 市町村", 3,
       [](std::size_t n) {
         return ByNameOfTwo(1, n, BeginsAny("norm", n) + " and muni=" + After(n, 5) + "::int",
                            fmt::format("between {}::int and {}::int", After(n, 3), After(n, 4)),
                            fmt::format("in ({}::int/10000*10000,0)", After(n, 3)));
       }},
      {"S8", "振り仮名, 生年, 性別", 4,
       [](std::size_t n) {
         return ByName(1, n, fmt::format("{} and (n.birth between {}::int and {}::int or n.birth=0) and n.sex={}::int2",
                                      BeginsAny("n.norm", n), After(n, 3), After(n, 4), After(n, 5)));
       }},
      {"S9", "氏, 番地", 3,
       fixed(Whole(kSelect + "(select * from resident where " + Begins("addr_norm", 3) +
                   " offset 0) r, lateral (select norm from rname n where n.id=r.id and n.k=2 offset 0) n where " +
                   Begins("n.norm", 1)))},
      {"S10", "名の部分, 生年, 市町村", 2,
       fixed(ByNameOfTwo(
           2, 1, "norm like $1 and (left(norm,surlen) like $1 or substr(norm,surlen+1) like $1) and muni=$4::int",
           "between $2::int and $3::int", "=0"))},
      {"S11", "生年月日, 性別, 市町村", 1,
       fixed(Whole(kSelect + "resident r where birth " + BirthIs("$1") + " and sex=$2::int2 and muni=$3::int"))},
      {"S12", "二様に読める振り仮名, 生年月日", 1,
       [](std::size_t n) { return ByName(1, n, BeginsAny("n.norm", n) + " and n.birth " + BirthIs(After(n, 3))); }},
  }};
  return shapes;
}

std::string AddressKey(std::string_view municipality, std::string_view folded) {
  return std::string(municipality) + std::string(folded);
}

std::string KanaText(std::string_view folded) {
  std::string out;
  for (const char byte : folded) {
    const auto value = static_cast<unsigned char>(byte);
    if (value < 0x80) {
      out.push_back(byte);
      continue;
    }
    const unsigned point = 0x3020U + value;  // the katakana
    out.push_back(static_cast<char>(0xe0 | point >> 12));
    out.push_back(static_cast<char>(0x80 | (point >> 6 & 0x3f)));
    out.push_back(static_cast<char>(0x80 | (point & 0x3f)));
  }
  return out;
}

int BirthNumber(std::string_view lenient) {
  const LenientDate date = ParseLenientDate(lenient).value_or(LenientDate{});
  return date.year * 10'000 + date.month * 100 + date.day;
}

Questions DrawQuestions(const std::vector<v1::UpdateNotice>& residents, std::size_t count, const Matching& matching) {
  Questions out;
  std::mt19937_64 chance(99);
  Asker asker(matching, chance);
  for (std::size_t shape = 0; shape < kShapes; ++shape) {
    for (std::size_t i = 0; i < residents.size() && out[shape].size() < count; ++i) {
      auto question = asker.Ask(shape, residents[i]);
      if (!question) continue;
      question->about = i;
      out[shape].push_back(std::move(*question));
    }
  }
  return out;
}

Status WriteQuestions(const Questions& questions, const std::string& dir) {
  for (std::size_t shape = 0; shape < kShapes; ++shape) {
    std::ofstream file(dir + "/" + Shapes()[shape].name + ".tsv");
    for (const Question& question : questions[shape]) {
      file << ToHex(question.condition.SerializeAsString()) << '\t' << question.readings;
      for (const std::string& parameter : question.parameters) file << '\t' << parameter;
      file << '\n';
    }
    if (!file.flush()) return Unavailable(dir + " cannot be written");
  }
  return {};
}

Result<Questions> ReadQuestions(const std::string& dir) {
  Questions out;
  for (std::size_t shape = 0; shape < kShapes; ++shape) {
    std::ifstream file(dir + "/" + Shapes()[shape].name + ".tsv");
    for (std::string line; std::getline(file, line);) {
      std::istringstream fields(line);
      std::string field;
      std::getline(fields, field, '\t');
      Question question;
      ASSIGN_OR_RETURN(const std::string bytes, FromHex(field));
      if (!question.condition.ParseFromString(bytes)) return Corrupt(dir + ": a condition cannot be read");
      std::getline(fields, field, '\t');
      question.readings = std::stoul(field);
      while (std::getline(fields, field, '\t')) question.parameters.push_back(field);
      out[shape].push_back(std::move(question));
    }
    if (out[shape].empty()) return NotFound(dir + " has no questions of shape " + Shapes()[shape].name);
  }
  return out;
}

}  // namespace daicho::search_bench
