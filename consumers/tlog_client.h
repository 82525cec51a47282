// A ledger's tree as it is served over HTTP (consumers/tlog_endpoints.h), for whoever has its public part: nothing of
// what is answered is believed before it is proven. One thread at a time.
#pragma once

#include <map>
#include <string>

#include "consumers/home.h"
#include "events/tree_head.h"

namespace daicho {

class TlogClient {
 public:
  // `url`: that the paths of tlog-tiles follow, without a slash at its end. `ca_file`: as HttpCallOptions.
  TlogClient(const LedgerPublic& ledger, std::string url, std::string ca_file)
      : ledger_(ledger), url_(std::move(url)), ca_file_(std::move(ca_file)) {}

  // Goes on from a checkpoint that was verified once and kept: the next must be of the same history. Errors: kCorrupt,
  // kTampered for another ledger's.
  Status Remember(const std::string& note);
  // Takes the newest checkpoint. Errors: kTampered when the ledger's key did not sign it or it does not go on from the
  // one before; kUnavailable.
  Status Refresh();
  // Empty, and of size 0, before.
  const std::string& checkpoint() const { return note_; }
  const TreeHead& head() const { return head_; }

  // The leaf of that entry, proven to be in the checkpoint's tree. Errors: kNotFound beyond it, kTampered,
  // kUnavailable.
  Result<std::string> Leaf(Position position);

 private:
  Result<TreeHead> Verify(const std::string& note) const;
  Result<std::string> Get(const std::string& path, std::size_t bytes_max);
  // Of the tree of that size, as wide as it is there. What was read is kept, a few at most.
  Result<std::string> Tile(bool entries, int level, std::uint64_t index, std::uint64_t size);
  NodeSource Nodes(std::uint64_t size);

  LedgerPublic ledger_;
  std::string url_, ca_file_;
  std::string note_;
  TreeHead head_;
  std::map<std::string, std::string> tiles_;  // by path
};

}  // namespace daicho
