// Any bytes as a record in JSON, as a notice in Protobuf, and as a version stored in the record
// file. What reads is written and read again to the same; a notice that obeys its rules becomes a
// line that reads back to it; a stored version is read or corrupt.
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

#include "consumers/notice_json.h"
#include "events/notice_rules.h"
#include "projections/record_file.h"

namespace daicho {
namespace {

bool IsWhole(const JsonReading& reading) { return reading.complete && reading.breaks.empty(); }

void AsJson(const std::string& bytes) {
  v1::ResidentRecord record, again;
  if (!IsWhole(ReadRecord(bytes, record))) return;
  CHECK(IsWhole(ReadRecord(RecordJson(record), again)));
  CHECK(again.SerializeAsString() == record.SerializeAsString());
}

void AsNotice(const std::string& bytes) {
  v1::UpdateNotice notice, again;
  if (!notice.ParseFromString(bytes)) return;
  if (!CheckNotice(notice, notice.record().address().municipality()).empty()) return;
  notice.DiscardUnknownFields();
  CHECK(IsWhole(ReadNotice(NoticeLine(notice), again)));
  CHECK(again.SerializeAsString() == notice.SerializeAsString());
}

// Its directory goes with it.
struct TemporaryStore {
  TemporaryStore() {
    StoreOptions options;
    options.path = path;
    options.families = RecordFile::Families();
    options.write_ahead_log = false;
    store = Store::Open(options).value();
  }
  ~TemporaryStore() {
    store.reset();
    std::filesystem::remove_all(path);
  }
  const std::string path =
      std::filesystem::temp_directory_path() / ("daicho-record-fuzz-" + std::to_string(::getpid()));
  std::unique_ptr<Store> store;
};

void AsStoredVersion(const std::string& bytes) {
  static const TemporaryStore temporary;
  Store* const store = temporary.store.get();
  StoreBatch batch;
  batch.Put(RecordFile::kVersions, std::string(8, '\0') + std::string(8, '\xff'), bytes);
  CHECK(store->Write(batch, false).ok());
  const RecordFile file(*store);
  for (const std::optional<Date>& on : {std::optional<Date>(), std::optional(Date{2026, 11, 24})}) {
    const Code code = file.Read(KeySlot(), Position(0), on).status().code();
    CHECK(code == Code::kOk || code == Code::kCorrupt || code == Code::kNotFound);
  }
  const Code code = file.History(KeySlot(), Position(0)).status().code();
  CHECK(code == Code::kOk || code == Code::kCorrupt);
}

}  // namespace
}  // namespace daicho

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  daicho::AsJson(bytes);
  daicho::AsNotice(bytes);
  daicho::AsStoredVersion(bytes);
  return 0;
}
