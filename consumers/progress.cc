#include "consumers/progress.h"

#include <fmt/format.h>
#include <unistd.h>

namespace daicho {
namespace {

using Seconds = std::chrono::duration<double>;

bool OnTerminal() { return ::isatty(STDERR_FILENO) == 1; }

}  // namespace

void Progress::Set(std::uint64_t done, std::uint64_t total) {
  done_ = done;
  total_ = total;
  const auto now = std::chrono::steady_clock::now();
  if (now - last_shown_ < (OnTerminal() ? Seconds(0.2) : Seconds(5))) return;
  last_shown_ = now;
  Show(false);
}

void Progress::Show(bool last) {
  const double seconds = Seconds(std::chrono::steady_clock::now() - begun_).count();
  const double rate = seconds > 0 ? static_cast<double>(done_) / seconds : 0;
  std::string line = fmt::format("{}: {} / {}  {:.0f}/s", what_, done_, total_, rate);
  if (!last && rate > 0 && total_ > done_) {
    line += fmt::format("  {:.0f} s left", static_cast<double>(total_ - done_) / rate);
  }
  fmt::print(stderr, "{}{}{}", OnTerminal() ? "\r\x1b[K" : "", line, OnTerminal() ? "" : "\n");
  shown_ = true;
}

Progress::~Progress() {
  if (!shown_) return;
  Show(true);
  if (OnTerminal()) fmt::print(stderr, "\n");
}

}  // namespace daicho
