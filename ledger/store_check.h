// What RocksDB lets through when it opens a store, looked at before it does. Its log files
// (write-ahead log and MANIFEST) are chains of records; a record whose header lost a bit can look
// like the torn end of the file, and RocksDB then drops it and everything after it without a word.
#pragma once

#include <string>

#include "events/result.h"

namespace rocksdb {
class Env;
}

namespace daicho {

// Reads the framing of every log file in `directory`.
// Errors: kCorrupt where a record is damaged that a torn write does not explain.
Status CheckStoreLogs(rocksdb::Env* env, const std::string& directory);

}  // namespace daicho
