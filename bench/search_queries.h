// The questions of the search bench: twelve shapes, as officials ask, each in two forms that mean the same: a
// condition as it is typed, and PostgreSQL's statement with its parameters, folded beforehand.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "events/resident.pb.h"
#include "events/search.pb.h"
#include "projections/matching.h"
#include "projections/record_file.h"

namespace daicho::search_bench {

inline constexpr std::size_t kShapes = 12;
inline constexpr std::size_t kRowsMax = 101;  // more than 100 is 該当多数: the searcher narrows it

struct Shape {
  std::string name;   // "S3"
  std::string what;
  int weight = 0;     // of the mix, in hundredths
  // For a name or reading that may be read in so many ways, and so has as many ranges.
  std::function<std::string(std::size_t readings)> sql;
};
const std::array<Shape, kShapes>& Shapes();

struct Question {
  v1::SearchCondition condition;
  std::vector<std::string> parameters;
  std::size_t readings = 1;
  std::size_t about = 0;  // which of the residents it was drawn from; not written to files
};
using Questions = std::array<std::vector<Question>, kShapes>;

// What PostgreSQL stores of an address and is asked for: 市町村コード, then the folded text.
std::string AddressKey(std::string_view municipality, std::string_view folded);
// A folded reading, one byte a kana, as text for PostgreSQL: in the same order.
std::string KanaText(std::string_view folded);
// yyyymmdd, 0 for unknown parts.
int BirthNumber(std::string_view lenient);

// Up to `count` of each shape, drawn from the residents given, in their order: who does not fit a shape is passed
// over. Codes: nine in ten are somebody's. Deterministic.
Questions DrawQuestions(const std::vector<v1::UpdateNotice>& residents, std::size_t count, const Matching& matching);

// One file per shape, DIR/S1.tsv …: condition in hex, readings, then the parameters.
Status WriteQuestions(const Questions& questions, const std::string& dir);
Result<Questions> ReadQuestions(const std::string& dir);

}  // namespace daicho::search_bench
