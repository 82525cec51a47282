#include "ledger/state_overlay.h"

#include <algorithm>

namespace daicho {

Result<std::optional<std::string>> StateOverlay::Get(Family family, const std::string& key) const {
  if (const auto found = changes_.find(Name(family, key)); found != changes_.end()) {
    return std::optional(found->second.value);
  }
  auto stored = store_.Get(family, key);
  if (stored.ok()) return std::optional(std::move(*stored));
  if (stored.status().code() == Code::kNotFound) return std::optional<std::string>();
  return stored.status();
}

void StateOverlay::Put(Family family, const std::string& key, std::string value) {
  std::string name = Name(family, key);
  Change change{std::move(value), sealed_ + 1};
  const auto [at, added] = changes_.try_emplace(name, Change());
  submission_.push_back({std::move(name), added ? std::nullopt : std::optional(std::move(at->second))});
  at->second = std::move(change);
}

void StateOverlay::Keep() {
  for (Undo& undo : submission_) batch_.push_back(std::move(undo.name));
  submission_.clear();
}

void StateOverlay::Drop() {
  for (auto undo = submission_.rbegin(); undo != submission_.rend(); ++undo) {
    if (undo->before) {
      changes_[undo->name] = std::move(*undo->before);
    } else {
      changes_.erase(undo->name);
    }
  }
  submission_.clear();
}

StoreBatch StateOverlay::Seal() {
  CHECK(submission_.empty() && landed_ == sealed_);
  // What landed is read from the store from here on, unless a later batch changed it again.
  for (const std::string& name : in_flight_) {
    if (const auto at = changes_.find(name); at != changes_.end() && at->second.batch <= sealed_) {
      changes_.erase(at);
    }
  }
  std::sort(batch_.begin(), batch_.end());
  batch_.erase(std::unique(batch_.begin(), batch_.end()), batch_.end());
  StoreBatch out;
  for (const std::string& name : batch_) {
    out.Put(static_cast<Family>(static_cast<unsigned char>(name[0])), std::string_view(name).substr(1),
            changes_.at(name).value);
  }
  in_flight_ = std::move(batch_);
  batch_.clear();
  ++sealed_;
  return out;
}

void StateOverlay::Reset() {
  changes_.clear();
  submission_.clear();
  batch_.clear();
  in_flight_.clear();
  Land();
}

}  // namespace daicho
