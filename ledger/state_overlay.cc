#include "ledger/state_overlay.h"

namespace daicho {

Result<std::optional<std::string>> StateOverlay::Get(Family family, const std::string& key) const {
  const std::string name = Name(family, key);
  std::shared_ptr<const Changes> in_flight;
  {
    const std::lock_guard lock(mutex_);
    in_flight = in_flight_;
  }
  for (const Changes* layer : {&submission_, &batch_, in_flight.get()}) {
    if (layer == nullptr) continue;
    if (const auto found = layer->find(name); found != layer->end()) return found->second;
  }
  auto stored = store_.Get(family, key);
  if (stored.ok()) return std::optional(std::move(*stored));
  if (stored.status().code() == Code::kNotFound) return std::optional<std::string>();
  return stored.status();
}

void StateOverlay::Put(Family family, const std::string& key, std::string value) {
  submission_[Name(family, key)] = std::move(value);
}

void StateOverlay::Delete(Family family, const std::string& key) {
  submission_[Name(family, key)] = std::nullopt;
}

void StateOverlay::Keep() {
  for (auto it = submission_.begin(); it != submission_.end();) {
    auto node = submission_.extract(it++);
    batch_.erase(node.key());
    batch_.insert(std::move(node));
  }
}

void StateOverlay::Drop() { submission_.clear(); }

StoreBatch StateOverlay::Seal() {
  CHECK(submission_.empty());
  StoreBatch out;
  for (const auto& [name, value] : batch_) {
    const auto family = static_cast<Family>(static_cast<unsigned char>(name[0]));
    if (value) {
      out.Put(family, std::string_view(name).substr(1), *value);
    } else {
      out.Delete(family, std::string_view(name).substr(1));
    }
  }
  auto sealed = std::make_shared<const Changes>(std::move(batch_));
  batch_.clear();
  const std::lock_guard lock(mutex_);
  CHECK(in_flight_ == nullptr);
  in_flight_ = std::move(sealed);
  return out;
}

void StateOverlay::Land() {
  const std::lock_guard lock(mutex_);
  in_flight_ = nullptr;
}

void StateOverlay::Reset() {
  submission_.clear();
  batch_.clear();
  Land();
}

}  // namespace daicho
