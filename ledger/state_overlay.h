// StateOverlay: a Store read through changes that are not in it yet. The sequencer decides on a
// submission while an earlier batch is still on its way into the log.
//
//   reads:   submission ─► batch ─► in flight ─► store         the first layer that knows the key answers
//   Keep():  submission joins the batch        Drop(): submission is forgotten
//   Seal():  batch goes in flight              Land(): what was in flight is in the store now
//
// One thread calls everything but Land, which may come from another.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "ledger/store.h"

namespace daicho {

class StateOverlay {
 public:
  explicit StateOverlay(const Store& store) : store_(store) {}  // borrowed

  // Nothing: no layer holds the key. Errors: those of the store.
  Result<std::optional<std::string>> Get(Family family, const std::string& key) const;
  void Put(Family family, const std::string& key, std::string value);
  void Delete(Family family, const std::string& key);

  void Keep();
  void Drop();
  // The batch's changes, for the store. Requires: nothing is in flight.
  StoreBatch Seal();
  void Land();
  // Forgets every layer: the store alone is right.
  void Reset();

 private:
  using Changes = std::unordered_map<std::string, std::optional<std::string>>;
  static std::string Name(Family family, const std::string& key) {
    return static_cast<char>(family) + key;
  }

  const Store& store_;
  Changes submission_;
  Changes batch_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Changes> in_flight_;  // guarded by mutex_
};

}  // namespace daicho
