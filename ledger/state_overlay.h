// StateOverlay: a Store read through changes that are not in it yet. The sequencer decides on a
// submission while an earlier batch is still on its way into the log.
//
//   Put      joins the submission at hand
//   Keep     the submission joins the batch         Drop     the submission is undone
//   Seal     the batch goes on its way              Land     what was on its way is in the store now
//
// One thread calls everything but Land, which may come from another.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "ledger/store.h"

namespace daicho {

class StateOverlay {
 public:
  explicit StateOverlay(const Store& store) : store_(store) {}  // borrowed

  // Nothing: the key has no value. Errors: those of the store.
  Result<std::optional<std::string>> Get(Family family, const std::string& key) const;
  void Put(Family family, const std::string& key, std::string value);

  void Keep();
  void Drop();
  // The batch's changes, for the store, by ascending key. Requires: what was sealed before has landed.
  StoreBatch Seal();
  void Land() { landed_.store(sealed_.load()); }
  // Forgets every change: the store alone is right.
  void Reset();

 private:
  struct Change {
    std::string value;
    std::uint64_t batch = 0;  // the batch that carries it
  };
  struct Undo {
    std::string name;
    std::optional<Change> before;
  };
  static std::string Name(Family family, const std::string& key) {
    std::string name;
    name.reserve(key.size() + 1);
    name.push_back(static_cast<char>(family));
    return name.append(key);
  }

  const Store& store_;
  std::unordered_map<std::string, Change> changes_;
  std::vector<Undo> submission_;        // how to undo the submission at hand
  std::vector<std::string> batch_;      // names in the batch; may repeat
  std::vector<std::string> in_flight_;  // names of the batch sealed last
  std::atomic<std::uint64_t> sealed_{0};  // batches sealed so far; the one being filled has number sealed_ + 1
  std::atomic<std::uint64_t> landed_{0};
};

}  // namespace daicho
