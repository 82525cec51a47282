#include "consumers/generate/recorder.h"

#include <algorithm>
#include <string_view>
#include <tuple>

namespace daicho::generate {

void Recorder::Emit(std::uint32_t id, const Notice& notice) {
  Person& person = world_.persons[id];
  CHECK(notice.notified_at > person.last_notified);
  CHECK(person.resident == (notice.kind != Kind::kEntry));
  ++person.updates;
  person.last_notified = notice.notified_at;
  person.last_changed = notice.changed_on;
  person.resident = notice.kind != Kind::kRemoval;
  const std::size_t begin = text_.size();
  AppendNotice(world_, person, notice, text_);
  lines_.push_back({person.address.municipality, notice.notified_at,
                    static_cast<std::uint32_t>(lines_.size()),
                    static_cast<std::uint32_t>(text_.size() - begin), begin});
}

Status Recorder::WriteTo(NoticeFiles& files) {
  std::sort(lines_.begin(), lines_.end(), [](const Line& a, const Line& b) {
    return std::tie(a.issuer, a.notified_at, a.order) < std::tie(b.issuer, b.notified_at, b.order);
  });
  for (const Line& line : lines_) {
    RETURN_IF_ERROR(
        files.Add(line.issuer, std::string_view(text_).substr(line.offset, line.length)));
  }
  lines_.clear();
  text_.clear();
  return {};
}

}  // namespace daicho::generate
