#include "bench/search_measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <random>

namespace daicho::search_bench {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kWarmUp = 500;
constexpr std::size_t kDifferencesShown = 5;  // of each shape

// What a process's first thread has had of a processor.
double CpuSeconds(int process) {
  std::ifstream file(process == 0 ? "/proc/thread-self/schedstat" : fmt::format("/proc/{}/schedstat", process));
  std::uint64_t nanoseconds = 0;
  file >> nanoseconds;
  return static_cast<double>(nanoseconds) / 1e9;
}

// From its construction on.
class Watch {
 public:
  explicit Watch(const Side& side) : process_(side.process()), cpu_(Cpu()) {}
  void Stop(Measured& measured) const {
    measured.seconds = std::chrono::duration<double>(steady_clock::now() - begun_).count();
    measured.cpu_seconds = Cpu() - cpu_;
  }

 private:
  double Cpu() const { return CpuSeconds(0) + (process_ == 0 ? 0 : CpuSeconds(process_)); }

  int process_;
  double cpu_;
  steady_clock::time_point begun_ = steady_clock::now();
};

Status Time(Side& side, std::size_t shape, const Question& question, Measured& measured) {
  const auto before = steady_clock::now();
  ASSIGN_OR_RETURN(const std::size_t rows, side.Ask(shape, question));
  measured.micros.push_back(std::chrono::duration<double, std::micro>(steady_clock::now() - before).count());
  measured.rows += rows;
  return {};
}

// A person with two names that fit is two rows of a join.
std::vector<Row> Persons(std::vector<Row> rows) {
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  return rows;
}

bool Same(const std::vector<Row>& expected, const std::vector<Row>& actual) {
  const std::vector<Row> left = Persons(expected), right = Persons(actual);
  if (expected.size() < kRowsMax && right.size() < kRowsMax) return left == right;
  return right.size() < kRowsMax ? left.size() <= right.size() : expected.size() >= kRowsMax;
}

}  // namespace

void Measured::Add(const Measured& more) {
  micros.insert(micros.end(), more.micros.begin(), more.micros.end());
  seconds += more.seconds;
  cpu_seconds += more.cpu_seconds;
  rows += more.rows;
}

Result<Measured> MeasureShape(Side& side, std::size_t shape, const Questions& questions) {
  std::mt19937_64 chance(1);
  const std::vector<Question>& all = questions[shape];
  for (std::size_t i = 0; i < kWarmUp; ++i) RETURN_IF_ERROR(side.Ask(shape, all[chance() % all.size()]).status());
  Measured out;
  const Watch watch(side);
  for (const Question& question : all) RETURN_IF_ERROR(Time(side, shape, question, out));
  watch.Stop(out);
  return out;
}

Result<Measured> MeasureMix(Side& side, const Questions& questions, std::uint64_t seed, std::size_t asked) {
  std::vector<double> weights;
  for (const Shape& shape : Shapes()) weights.push_back(shape.weight);
  std::discrete_distribution<std::size_t> shapes(weights.begin(), weights.end());
  std::mt19937_64 chance(seed);
  Measured out;
  const Watch watch(side);
  for (std::size_t i = 0; i < asked; ++i) {
    const std::size_t shape = shapes(chance);
    RETURN_IF_ERROR(Time(side, shape, questions[shape][chance() % questions[shape].size()], out));
  }
  watch.Stop(out);
  return out;
}

void Report(const std::string& side, const std::string& what, Measured measured) {
  std::vector<double>& micros = measured.micros;
  std::sort(micros.begin(), micros.end());
  const auto part = [&](std::size_t hundredths) { return micros[micros.size() * hundredths / 100]; };
  const auto asked = static_cast<double>(micros.size());
  fmt::print("RESULT side={} {} asked={} p50_us={:.1f} p90_us={:.1f} p99_us={:.1f} max_us={:.0f} cpu_us={:.1f} "
             "rate={:.0f} rows={:.2f}\n",
             side, what, micros.size(), part(50), part(90), part(99), micros.back(), measured.cpu_seconds * 1e6 / asked,
             asked / measured.seconds, static_cast<double>(measured.rows) / asked);
  std::fflush(stdout);
}

Status CheckSameRows(Side& expected, Side& actual, const Questions& questions) {
  std::size_t all = 0;
  for (std::size_t shape = 0; shape < kShapes; ++shape) {
    std::size_t different = 0, full = 0;
    for (const Question& question : questions[shape]) {
      RETURN_IF_ERROR(expected.Ask(shape, question).status());
      RETURN_IF_ERROR(actual.Ask(shape, question).status());
      const std::vector<Row> left = expected.Rows(), right = actual.Rows();
      full += left.size() >= kRowsMax || right.size() >= kRowsMax;
      if (Same(left, right)) continue;
      if (++different > kDifferencesShown) continue;
      fmt::print(stderr, "{}: {} rows and {} rows: {}\n", Shapes()[shape].name, left.size(), right.size(),
                 question.condition.ShortDebugString());
    }
    fmt::print("RESULT check shape={} asked={} full={} different={}\n", Shapes()[shape].name, questions[shape].size(),
               full, different);
    std::fflush(stdout);
    all += different;
  }
  return all == 0 ? Status() : Conflict(fmt::format("{} answers differ", all));
}

}  // namespace daicho::search_bench
