#include "projections/matter_register.h"

#include <optional>
#include <utility>

#include "projections/record_file.h"

namespace daicho {
namespace {

constexpr std::size_t kValueFixed = 1 + 8 + 16;

Status CannotDecode() { return Corrupt("a row of the register of matters cannot be decoded"); }

std::string Prefix(Duty duty, std::string_view reference) {
  std::string out(1, static_cast<char>(duty));
  AppendU32(out, static_cast<std::uint32_t>(reference.size()));
  out.append(reference);
  return out;
}

// The reference and position of a key, the event of its row.
Result<std::pair<std::string, MatterEvent>> Decode(std::string_view key, std::string_view value) {
  constexpr std::size_t kBeforeReference = 5;
  if (key.size() < kBeforeReference || value.size() < kValueFixed) return CannotDecode();
  const std::size_t length = ReadU32(key.substr(1));
  if (key.size() != kBeforeReference + length + 8) return CannotDecode();
  MatterEvent event;
  event.position = Position(ReadU64(key.substr(kBeforeReference + length)));
  event.kind = static_cast<v1::EventKind>(value[0]);
  event.admitted_at = TimeMicros(static_cast<std::int64_t>(ReadU64(value.substr(1))));
  ASSIGN_OR_RETURN(event.subject, ToArray<16>(value.substr(9, 16)));
  event.payload = value.substr(kValueFixed);
  return std::pair(std::string(key.substr(kBeforeReference, length)), std::move(event));
}

struct Known {
  Duty duty;
  std::string reference;
};

template <typename Message>
Result<Known> ReferenceOf(Duty duty, const std::string& payload) {
  Message message;
  if (!message.ParseFromString(payload)) return Corrupt("the payload cannot be decoded");
  return Known{duty, message.reference()};
}

// None for a kind that is of no matter.
Result<std::optional<Known>> Read(v1::EventKind kind, const std::string& payload) {
  const auto known = [&]() -> std::optional<Result<Known>> {
    switch (kind) {
      case v1::EVENT_KIND_DISCLOSURE: return ReferenceOf<v1::Disclosure>(Duty::kDisclosure, payload);
      case v1::EVENT_KIND_CORRECTION_REQUESTED: return ReferenceOf<v1::CorrectionRequested>(Duty::kCorrection, payload);
      case v1::EVENT_KIND_CORRECTION_DECIDED: return ReferenceOf<v1::CorrectionDecided>(Duty::kCorrection, payload);
      case v1::EVENT_KIND_SUSPENSION_REQUESTED: return ReferenceOf<v1::SuspensionRequested>(Duty::kSuspension, payload);
      case v1::EVENT_KIND_SUSPENSION_DECIDED: return ReferenceOf<v1::SuspensionDecided>(Duty::kSuspension, payload);
      default: return std::nullopt;
    }
  }();
  if (!known) return std::optional<Known>();
  RETURN_IF_ERROR(known->status());
  return std::optional(known->value());
}

}  // namespace

Result<Matter> MatterRegister::Find(Duty duty, const std::string& reference, Position at) const {
  Matter out;
  out.reference = reference;
  const std::string prefix = Prefix(duty, reference);
  auto it = store_.NewIterator(RecordFile::kMatters);
  for (it.Seek(prefix); it.Valid() && it.key().starts_with(prefix); it.Next()) {
    ASSIGN_OR_RETURN(auto row, Decode(it.key(), it.value()));
    if (row.second.position <= at) out.events.push_back(std::move(row.second));
  }
  RETURN_IF_ERROR(it.status());
  if (out.events.empty()) return NotFound("reference: その番号の案件はありません");
  return out;
}

Result<std::vector<Matter>> MatterRegister::All(Duty duty, Position at) const {
  std::vector<Matter> out;
  const std::string prefix(1, static_cast<char>(duty));
  auto it = store_.NewIterator(RecordFile::kMatters);
  for (it.Seek(prefix); it.Valid() && it.key().starts_with(prefix); it.Next()) {
    ASSIGN_OR_RETURN(auto row, Decode(it.key(), it.value()));
    if (row.second.position > at) continue;
    if (out.empty() || out.back().reference != row.first) out.push_back({row.first, {}});
    out.back().events.push_back(std::move(row.second));
  }
  RETURN_IF_ERROR(it.status());
  return out;
}

namespace matter_register {

Status PutEntry(const LedgerReplay::Checked& entry, const KeyStore& keys, const Put& put, const Erased& erased) {
  const v1::EventKind kind = entry.header.kind();
  if (kind < v1::EVENT_KIND_DISCLOSURE || kind > v1::EVENT_KIND_SUSPENSION_DECIDED) return {};
  const auto payload = OpenPart(entry, 0, keys);
  if (payload.status().code() == Code::kErased) {
    erased(entry.leaf.keys(0));
    return {};
  }
  RETURN_IF_ERROR(payload.status());
  ASSIGN_OR_RETURN(const std::optional<Known> known, Read(kind, *payload));
  if (!known) return {};
  std::string key = Prefix(known->duty, known->reference);
  AppendU64(key, entry.position.value());
  std::string value(1, static_cast<char>(kind));
  AppendU64(value, static_cast<std::uint64_t>(entry.leaf.admitted_at()));
  value += entry.leaf.keys(0).subject();
  value += *payload;
  put(RecordFile::kMatters, key, value);
  return {};
}

}  // namespace matter_register

}  // namespace daicho
