// EntryStream: the ledger's entries in order, read ahead and prepared (ledger/replay.h) on all cores, for a
// follower that has much to catch up on. Memory is bounded.
//
//   reader ──► batch batch batch ──► Next
//                │     │               takes the oldest; prepares it itself when no worker has
//              worker worker
#pragma once

#include <memory>
#include <vector>

#include "ledger/log.h"
#include "ledger/replay.h"

namespace daicho {

// Where the next entry will stand: 0 in an empty ledger. Errors: kCorrupt when the topic ends in what is no entry; those of the
// log.
Result<Position> LedgerEnd(Log& log, const std::string& topic);

struct EntryStreamOptions {
  Log* log = nullptr;  // borrowed
  std::string topic;
  Cursor from, end;    // all records in [from, end)
  unsigned workers = 0;  // threads that prepare, besides the caller's; 0: as many as cores, less one
};

class EntryStream {
 public:
  struct Batch {
    std::vector<ReceivedInPlace::One> records;
    std::shared_ptr<void> storage;        // theirs
    std::vector<PreparedEntry> prepared;  // at least as many; storage that serves the next batch
  };

  // Errors: those of the log.
  static Result<std::unique_ptr<EntryStream>> Open(EntryStreamOptions options);
  ~EntryStream();
  EntryStream(const EntryStream&) = delete;

  // The next records, valid until the next call. Null behind the last. One thread. Errors: those of the log.
  Result<const Batch*> Next();

 private:
  struct Impl;
  explicit EntryStream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace daicho
