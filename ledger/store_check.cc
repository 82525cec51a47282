#include "ledger/store_check.h"

#include <rocksdb/env.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace daicho {
namespace {

// RocksDB's log format, without recycling: blocks of 32 KiB, each a row of records
//   crc32c(type ‖ payload), masked: u32 | size: u16 | type: u8 (1 full, 2 first, 3 middle, 4 last)
//   | payload
constexpr std::size_t kBlock = 32768;
constexpr std::size_t kHeader = 7;

constexpr std::array<std::uint32_t, 256> MakeCrcTable() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0x82f63b78u : 0u);
    table[i] = crc;
  }
  return table;
}
constexpr auto kCrcTable = MakeCrcTable();

std::uint8_t ByteAt(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint8_t>(bytes[at]);
}

// True if a shorter record under the same checksum stands at the start: then its size is what is
// wrong.
bool HoldsWholeRecord(std::string_view record) {
  std::uint32_t stored = 0;
  std::memcpy(&stored, record.data(), sizeof stored);
  std::uint32_t crc = ~std::uint32_t{0};
  for (std::size_t at = kHeader - 1; at < record.size(); ++at) {
    crc = kCrcTable[(crc ^ ByteAt(record, at)) & 0xff] ^ (crc >> 8);
    const std::uint32_t done = ~crc;
    if (((done >> 15) | (done << 17)) + 0xa282ead8u == stored) return true;
  }
  return false;
}

bool AllZero(std::string_view bytes) {
  return std::ranges::all_of(bytes, [](char c) { return c == 0; });
}

enum class Tail { kNone, kTorn, kZero };

// Walks one block. What follows a torn record or preallocated zeros must be nothing, or zeros.
Result<Tail> CheckBlock(std::string_view block) {
  std::size_t at = 0;
  while (block.size() - at >= kHeader) {
    const std::size_t size = ByteAt(block, at + 4) + 256u * ByteAt(block, at + 5);
    const int type = ByteAt(block, at + 6);
    const std::string where = " at " + std::to_string(at) + " of its block";
    if (type == 0 && AllZero(block.substr(at))) return Tail::kZero;
    if (type < 1 || type > 4) return Corrupt("a record of unknown type" + where);
    if (at + kHeader + size > kBlock) return Corrupt("a record too large for its block" + where);
    if (at + kHeader + size > block.size()) {
      if (HoldsWholeRecord(block.substr(at))) return Corrupt("a record's size is damaged" + where);
      return Tail::kTorn;
    }
    at += kHeader + size;
  }
  return block.size() < kBlock && at < block.size() ? Tail::kTorn : Tail::kNone;
}

Status CheckLogFile(rocksdb::Env* env, const std::string& path) {
  std::unique_ptr<rocksdb::SequentialFile> file;
  if (auto s = env->NewSequentialFile(path, &file, {}); !s.ok()) return Unavailable(s.ToString());
  std::vector<char> buffer(kBlock);
  Tail tail = Tail::kNone;
  for (std::uint64_t number = 0;; ++number) {
    rocksdb::Slice block;
    if (auto s = file->Read(kBlock, &block, buffer.data()); !s.ok())
      return Unavailable(s.ToString());
    if (block.empty()) return {};
    const std::string_view bytes(block.data(), block.size());
    if (tail != Tail::kNone) {
      if (!AllZero(bytes))
        return Corrupt("bytes after the end, in block " + std::to_string(number));
      continue;
    }
    auto checked = CheckBlock(bytes);
    if (!checked.ok()) return checked.status().With("block " + std::to_string(number));
    tail = *checked;
  }
}

bool IsLogFile(const std::string& name) {
  const bool wal = name.ends_with(".log") && std::all_of(name.begin(), name.end() - 4, [](char c) {
                     return c >= '0' && c <= '9';
                   });
  return wal || name.starts_with("MANIFEST-");
}

}  // namespace

Status CheckStoreLogs(rocksdb::Env* env, const std::string& directory) {
  std::vector<std::string> names;
  if (auto s = env->GetChildren(directory, &names); !s.ok()) return Unavailable(s.ToString());
  for (const auto& name : names) {
    if (!IsLogFile(name)) continue;
    if (Status s = CheckLogFile(env, directory + "/" + name); !s.ok()) return s.With(name);
  }
  return {};
}

}  // namespace daicho
