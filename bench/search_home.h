// What bench/pipeline has left, opened: its ledger, the record file that a node would serve,, with its search.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bench/search_sides.h"
#include "consumers/home.h"
#include "ledger/key_store.h"
#include "projections/projector.h"

namespace daicho::search_bench {

class OpenedHome {
 public:
  // `work`: the pipeline's. The record file is the home's own, encrypted at rest; what the ledger has beyond it is
  // applied by CatchUp.
  static Result<std::unique_ptr<OpenedHome>> Open(const std::string& work, KeyStore::Mode mode);

  const Home& home() const { return home_; }
  Log& log() { return *log_; }
  KeyHolder& holder() { return *holder_; }
  KeyStore& keys() { return *keys_; }
  Projector& projector() { return *projector_; }
  const Projector& projector() const { return *projector_; }
  // The newest position that is applied.
  Position now() const { return Position(projector_->position().value() - 1); }

  // Appends the answer to one question, kRowsMax rows at most, as Serve sends it.
  Status Answer(const v1::SearchCondition& condition, std::string& out) const;
  // Everybody in the record file, in the order of their rows in the key store, each once.
  Status ForEachResident(const std::function<void(KeySlot, const Version&)>& take) const;

 private:
  OpenedHome() = default;

  Home home_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<KeyHolder> holder_;
  std::unique_ptr<KeyStore> keys_;
  std::unique_ptr<Projector> projector_;
  Date today_;
};

// In this process, without a socket.
class Inside : public Side {
 public:
  explicit Inside(const OpenedHome& home) : home_(home) {}
  Result<std::size_t> Ask(std::size_t shape, const Question& question) override;
  std::vector<Row> Rows() const override;
  int process() const override { return 0; }

 private:
  const OpenedHome& home_;
  std::string answer_;
};

}  // namespace daicho::search_bench
