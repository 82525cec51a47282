#include "projections/copy_item.h"

#include <algorithm>
#include <bit>

#include "events/codes.h"
#include "events/crypto_batch.h"

namespace daicho {
namespace {

static_assert(std::endian::native == std::endian::little, "words are kept little-endian");

__extension__ using Wide = unsigned __int128;

constexpr std::uint64_t kPrime = (std::uint64_t{1} << 61) - 1;
constexpr std::uint64_t kCodeMask = (std::uint64_t{1} << 40) - 1;
constexpr std::size_t kRowsTogether = 256;

std::string Subkey(const CopyKey& key, std::string_view use, std::size_t size) {
  std::string info(use);
  AppendU32(info, key.epoch);
  return HkdfSha256("daicho/copy/1\n", View(key.secret), info, size);
}

CopyKey KeyOf(const CopyKey& key, std::string_view use) {
  return {key.epoch, ToArray<32>(Subkey(key, use, Key256{}.size())).value()};
}

std::uint64_t Word(const std::uint8_t* bytes) {
  std::uint64_t word;
  std::memcpy(&word, bytes, sizeof(word));
  return word;
}

std::uint64_t Digits(std::string_view code) {
  std::uint64_t number = 0;
  for (const char digit : code) number = number * 10 + static_cast<std::uint64_t>(digit - '0');
  return number;
}

// The flag that goes with the state (令30条の6): no row says it again.
v1::RetentionStart RetentionOf(bool removed) {
  return removed ? v1::RETENTION_START_RECEIVED : v1::RETENTION_START_SUPERSEDED;
}

// HeldCopy as Protobuf serialises it: fields in order, none that is zero.
void AppendRow(std::string_view code, std::uint32_t update_number, bool removed, const v1::ResidentRecord* record,
               v1::RetentionStart retention, std::string& bytes) {
  CHECK(IsDigits(code, kResidentCodeDigits));
  bytes += {'\x0a', static_cast<char>(code.size())};
  bytes += code;
  if (update_number != 0) AppendVarint(bytes += '\x10', update_number);
  if (removed) bytes += "\x18\x01";
  if (record != nullptr) {
    const std::size_t size = record->ByteSizeLong();
    AppendVarint(bytes += '\x22', size);
    bytes.resize(bytes.size() + size);
    // No map fields: the bytes are the same for the same record.
    record->SerializeWithCachedSizesToArray(Data(bytes) + bytes.size() - size);
  }
  if (retention != v1::RETENTION_START_UNSPECIFIED) AppendVarint(bytes += '\x28', static_cast<std::uint64_t>(retention));
}

void AppendRow(const v1::HeldCopy& row, std::string& bytes) {
  AppendRow(row.resident_code(), row.update_number(), row.removed(), row.has_record() ? &row.record() : nullptr,
            StatedRetention(row), bytes);
}

void AppendRow(const v1::UpdateNotice& notice, std::string& bytes) {
  AppendRow(notice.resident_code(), notice.update_number(), notice.kind() == v1::NOTICE_KIND_REMOVAL,
            notice.has_record() ? &notice.record() : nullptr, v1::RETENTION_START_UNSPECIFIED, bytes);
}

}  // namespace

CopyKey CopyKeyOfRun(const CopyKey& key, std::string_view run) { return KeyOf(key, "run " + std::string(run)); }

CopyKey CopyKeyOfMunicipality(const CopyKey& key, std::string_view municipality) {
  return KeyOf(key, "municipality " + std::string(municipality));
}

CopyName NameOf(const CopyItem& item) {
  CopyName name{.code = item.code};
  std::memcpy(name.id.data(), item.mac.data(), name.id.size());
  return name;
}

CopyKeying::CopyKeying(const CopyKey& key)
    : epoch_(key.epoch),
      key_id_(ToArray<8>(Subkey(key, "key id", 8)).value()),
      row_key_(ToArray<32>(Subkey(key, "rows", 32)).value()),
      rows_(View(row_key_)),
      file_(Subkey(key, "file", 32)),
      cells_(ToArray<32>(Subkey(key, "cells", 32)).value()),
      multiplier_(Word(Data(Subkey(key, "codes", 8))) % kPrime) {}

CopyItem CopyKeying::Item(const v1::HeldCopy& row) const {
  std::string bytes;
  AppendRow(row, bytes);
  return {Digits(row.resident_code()), rows_.Mac({bytes})};
}

CopyItem CopyKeying::Item(const v1::UpdateNotice& notice) const {
  std::string bytes;
  AppendRow(notice, bytes);
  return {Digits(notice.resident_code()), rows_.Mac({bytes})};
}

Status CopyItemMaker::Add(KeySlot subject, const v1::UpdateNotice& notice) {
  AppendRow(notice, bytes_);
  rows_.push_back({subject, Digits(notice.resident_code()), bytes_.size()});
  return rows_.size() < kRowsTogether ? Status() : Flush();
}

Status CopyItemMaker::Flush() {
  if (rows_.empty()) return {};
  std::vector<std::string_view> rows;
  rows.reserve(rows_.size());
  for (std::size_t begin = 0; const Row& row : rows_) {
    rows.push_back(std::string_view(bytes_).substr(begin, row.end - begin));
    begin = row.end;
  }
  // One alone is sooner done with the key prepared.
  const auto macs = rows.size() == 1 ? std::vector{keying_->rows_.Mac({rows[0]})} : HmacSha256Each(keying_->row_key_, rows);
  for (std::size_t i = 0; i < rows_.size(); ++i) RETURN_IF_ERROR(take_(rows_[i].subject, {rows_[i].code, macs[i]}));
  rows_.clear();
  bytes_.clear();
  return {};
}

CopyKeying::Mask CopyKeying::MaskOf(std::uint64_t id_low, std::uint64_t id_high) const {
  AesBlock block;
  std::memcpy(block.data(), &id_low, 8);
  std::memcpy(block.data() + 8, &id_high, 8);
  block = Aes256(cells_, block);
  return {Word(block.data()) & kCodeMask, Word(block.data() + 8)};
}

// A polynomial MAC of the code under a tag that no other item has: who flips bits of a masked code guesses 61 bits.
std::uint64_t CopyKeying::Check(std::uint64_t code, std::uint64_t tag) const {
  return tag + static_cast<std::uint64_t>(Wide{code} * multiplier_ % kPrime);
}

CopySymbol CopyKeying::Symbol(const CopyItem& item, std::uint64_t& seed) const {
  CopySymbol symbol{.id_low = Word(item.mac.data()), .id_high = Word(item.mac.data() + 8)};
  const Mask mask = MaskOf(symbol.id_low, symbol.id_high);
  symbol.masked_code = item.code ^ mask.pad;
  symbol.check = Check(item.code, mask.tag);
  seed = mask.tag;
  return symbol;
}

bool CopyKeying::IsOne(const CopySymbol& symbol) const {
  const Mask mask = MaskOf(symbol.id_low, symbol.id_high);
  return symbol.check == Check(symbol.masked_code ^ mask.pad, mask.tag);
}

Result<CopyName> CopyKeying::Open(const CopySymbol& symbol, std::uint64_t& seed) const {
  const Mask mask = MaskOf(symbol.id_low, symbol.id_high);
  CopyName name{.code = symbol.masked_code ^ mask.pad};
  if (symbol.check != Check(name.code, mask.tag)) return Tampered("a cell holds no item of this key");
  if (name.code >= kCopyCodeEnd || !IsValidResidentCode(CodeText(name.code))) {
    return Tampered("a cell holds what is no 住民票コード");
  }
  std::memcpy(name.id.data(), &symbol.id_low, name.id.size());
  seed = mask.tag;
  return name;
}

v1::RetentionStart StatedRetention(const v1::HeldCopy& row) {
  return row.retention() == RetentionOf(row.removed()) ? v1::RETENTION_START_UNSPECIFIED : row.retention();
}

v1::HeldCopy HeldRow(const v1::UpdateNotice& notice) {
  v1::HeldCopy row;
  row.set_resident_code(notice.resident_code());
  row.set_update_number(notice.update_number());
  row.set_removed(notice.kind() == v1::NOTICE_KIND_REMOVAL);
  if (notice.has_record()) *row.mutable_record() = notice.record();
  return row;
}

std::string CodeText(std::uint64_t code) {
  std::string text(kResidentCodeDigits, '0');
  for (std::size_t i = text.size(); i-- > 0; code /= 10) text[i] = static_cast<char>('0' + code % 10);
  return text;
}

Result<std::uint64_t> CodeNumber(std::string_view text) {
  if (!IsValidResidentCode(text)) return Invalid("not a 住民票コード with its check digit");
  return Digits(text);
}

}  // namespace daicho
