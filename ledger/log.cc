#include "ledger/log.h"

#include <algorithm>

namespace daicho {
namespace {

constexpr std::size_t kNameBytesMax = 200;

}  // namespace

std::size_t Record::bytes() const {
  std::size_t sum = key.size() + value.size();
  for (const auto& [name, text] : headers) sum += std::string_view(name).size() + text.size();
  return sum;
}

Result<ReceivedInPlace> LogReader::PollInPlace(std::size_t records_max, std::chrono::milliseconds wait) {
  ASSIGN_OR_RETURN(auto polled, Poll(records_max, wait));
  const auto storage = std::make_shared<std::vector<Received>>(std::move(polled));
  ReceivedInPlace out;
  out.records.reserve(storage->size());
  for (const Received& r : *storage) out.records.push_back({r.source, r.cursor, r.next, r.key, r.value});
  out.storage = storage;
  return out;
}

Status CheckLogName(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  };
  if (name.empty() || std::string_view(name).size() > kNameBytesMax || !std::ranges::all_of(name, allowed))
    return Invalid("a name in the log is 1 to 200 of a-z 0-9 . _ -");
  // Kafka keeps a topic in a directory of its name.
  if (name == "." || name == "..") return Invalid("a name in the log is neither . nor ..");
  return {};
}

Status CheckRecord(const Record& record) {
  if (record.bytes() <= kRecordBytesMax) return {};
  return Invalid("a record of " + std::to_string(record.bytes()) + " bytes is above the " +
                 std::to_string(kRecordBytesMax) + " allowed");
}

Status CheckAppend(std::span<const TopicRecord> records) {
  std::size_t sum = 0;
  for (const auto& [topic, record] : records) {
    RETURN_IF_ERROR(CheckLogName(topic));
    RETURN_IF_ERROR(CheckRecord(record));
    sum += record.bytes();
  }
  if (sum > kAppendBytesMax)
    return Invalid("an append of " + std::to_string(sum) + " bytes is above the " +
                   std::to_string(kAppendBytesMax) + " allowed");
  return {};
}

}  // namespace daicho
