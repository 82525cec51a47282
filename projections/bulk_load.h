// BulkLoad: fills an empty Store with far more entries than memory holds. Entries are gathered in a
// bounded buffer, sorted, and added as whole files by a thread of their own while the next are gathered.
//
// Add and Finish belong to one thread.
#pragma once

#include <memory>
#include <string>

#include "ledger/store.h"

namespace daicho {

class BulkLoad {
 public:
  // `store` borrowed, with `families` families. Two buffers of `buffer_bytes` are in use at a time.
  BulkLoad(Store& store, std::size_t families, std::size_t buffer_bytes);
  ~BulkLoad();
  // Of two entries with one key the later counts. Errors: of an earlier file.
  Status Add(Family family, std::string_view key, std::string_view value);
  // Everything added is in the store.
  Status Finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace daicho
