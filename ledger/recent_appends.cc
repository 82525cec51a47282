#include "ledger/recent_appends.h"

#include <algorithm>
#include <set>

namespace daicho {

RecentAppends::Follower::Follower(RecentAppends& recent, const std::string& topic,
                                  std::function<void()> wake)
    : recent_(recent), wake_(std::move(wake)) {
  const std::lock_guard lock(recent_.mutex_);
  topic_ = recent_.topics_.try_emplace(topic).first;
  topic_->second.followers.push_back(this);
}

RecentAppends::Follower::~Follower() {
  const std::lock_guard lock(recent_.mutex_);
  std::erase(topic_->second.followers, this);
  if (topic_->second.followers.empty()) recent_.topics_.erase(topic_);
}

std::vector<std::shared_ptr<const RecentAppends::Kept>> RecentAppends::Follower::From(
    Cursor next, std::size_t most) const {
  const std::lock_guard lock(recent_.mutex_);
  const auto& kept = topic_->second.kept;
  const auto first =
      std::lower_bound(kept.begin(), kept.end(), next,
                       [](const auto& one, Cursor cursor) { return one->cursor < cursor; });
  if (first == kept.end()) return {};
  const bool directly =
      (*first)->cursor == next || ((*first)->behind_marker && (*first)->cursor == next.Next());
  if (!directly) return {};
  const auto count = std::min<std::size_t>(most, static_cast<std::size_t>(kept.end() - first));
  return {first, first + static_cast<std::ptrdiff_t>(count)};
}

bool RecentAppends::Follower::Lacks(Cursor next) const {
  const std::lock_guard lock(recent_.mutex_);
  return topic_->second.end > next;
}

void RecentAppends::Topic::Clear() {
  kept.clear();
  bytes = 0;
  marker_of.clear();
}

void RecentAppends::Topic::Keep(const Record& record, Cursor cursor, std::string_view writer) {
  const bool behind_marker = !marker_of.empty();
  if (!kept.empty()) {
    const bool directly = cursor.value() == kept.back()->cursor.value() + (behind_marker ? 2 : 1);
    if (!directly || (behind_marker && writer != marker_of)) Clear();
  }
  if (cursor == kUnknown) return Clear();
  kept.push_back(std::make_shared<const Kept>(
      Kept{cursor, record.key, record.value, behind_marker && !kept.empty()}));
  marker_of.clear();
  bytes += record.key.size() + record.value.size();
  while (bytes > kBytesMax) {
    bytes -= kept.front()->key.size() + kept.front()->value.size();
    kept.pop_front();
  }
}

void RecentAppends::Add(std::span<const Appended> records, std::string_view writer) {
  std::size_t bytes = 0;
  for (const Appended& one : records) bytes += one.record.key.size() + one.record.value.size();
  const std::lock_guard lock(mutex_);
  std::set<Topic*> touched;
  for (const Appended& one : records) {
    const auto topic = topics_.find(one.topic);
    if (topic == topics_.end()) continue;
    touched.insert(&topic->second);
    topic->second.end = one.cursor == kUnknown ? kUnknown : one.cursor.Next();
    if (bytes <= kBytesMax) topic->second.Keep(one.record, one.cursor, writer);
  }
  for (Topic* topic : touched) {
    if (bytes > kBytesMax) topic->Clear();
    if (!topic->kept.empty()) topic->marker_of = writer;
    for (const Follower* follower : topic->followers) follower->wake_();
  }
}

}  // namespace daicho
