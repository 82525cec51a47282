#include "projections/provision_register.h"

#include <algorithm>
#include <limits>
#include <set>

#include "projections/record_file.h"

namespace daicho {
namespace {

using Event = ProvisionRegister::Event;

// On disk. Never renumber.
constexpr char kEvent = 0;
constexpr char kEnd = 1;      // of a standing request
constexpr char kReceived = 1;

constexpr Position kNever{std::numeric_limits<std::uint64_t>::max()};
constexpr std::size_t kPositionBytes = 8;
constexpr std::size_t kEventFixed = 9;       // kind ‖ admitted_at
constexpr std::size_t kDeliveriesBytes = 25;

void AppendName(std::string& out, std::string_view name) {
  AppendU32(out, static_cast<std::uint32_t>(name.size()));
  out.append(name);
}

std::string Names(std::initializer_list<std::string_view> names) {
  std::string out;
  for (const std::string_view name : names) AppendName(out, name);
  return out;
}

std::string ReferenceKey(std::string_view agency, std::string_view reference, char what) {
  return Names({agency, reference}) + what;
}

std::string At(std::string_view prefix, Position position) {
  std::string key(prefix);
  AppendU64(key, position.value());
  return key;
}

std::string Number(std::uint64_t value) {
  std::string out;
  AppendU64(out, value);
  return out;
}

// Behind a prefix of fixed form stand the position and nothing that is not fixed.
Position PositionBehind(std::string_view prefix, std::string_view key) {
  return Position(ReadU64(key.substr(prefix.size())));
}

Status CannotDecode() { return Corrupt("a row of the provision register cannot be decoded"); }

template <typename Message>
Result<Message> Decode(std::string_view bytes) {
  Message out;
  if (!out.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return CannotDecode();
  return out;
}

Result<Event> DecodeEvent(Position position, std::string_view value) {
  if (value.size() < kEventFixed) return CannotDecode();
  Event out;
  out.position = position;
  out.kind = static_cast<v1::EventKind>(value[0]);
  out.admitted_at = TimeMicros(static_cast<std::int64_t>(ReadU64(value.substr(1))));
  ASSIGN_OR_RETURN(out.provision, Decode<v1::Provision>(value.substr(kEventFixed)));
  return out;
}

struct DeliveriesRow {
  char what = kEvent;
  std::uint64_t delivered = 0, confirmed = 0;
  Position oldest;
};

Result<DeliveriesRow> DecodeDeliveries(std::string_view value) {
  if (value.size() != kDeliveriesBytes) return CannotDecode();
  return DeliveriesRow{value[0], ReadU64(value.substr(1)), ReadU64(value.substr(9)), Position(ReadU64(value.substr(17)))};
}

// The newest row under `prefix` as of `at`; false when there is none.
Result<bool> SeekNewest(StoreIterator& it, const std::string& prefix, Position at) {
  it.SeekForPrev(At(prefix, at));
  RETURN_IF_ERROR(it.status());
  return it.Valid() && it.key().starts_with(prefix) && it.key().size() == prefix.size() + kPositionBytes;
}

// Calls `take(position, key, value)` for each row under `prefix` from `first` to `last`, until it returns false.
template <typename Take>
Status ForEach(const Store& store, Family family, const std::string& prefix, Position first, Position last,
               const Take& take) {
  auto it = store.NewIterator(family);
  for (it.Seek(At(prefix, first)); it.Valid() && it.key().starts_with(prefix); it.Next()) {
    if (it.key().size() < prefix.size() + kPositionBytes) return CannotDecode();
    const Position position = PositionBehind(prefix, it.key());
    if (position > last) break;
    ASSIGN_OR_RETURN(const bool more, take(position, it.key(), it.value()));
    if (!more) break;
  }
  return it.status();
}

// Of the deliveries of one agency from `first` to `last` those that no receipt until `last` confirms.
template <typename Take>
Status ForEachUnconfirmed(const Store& store, const std::string& agency, Position first, Position last,
                          const Take& take) {
  const ProvisionRegister provisions(store);
  return ForEach(store, RecordFile::kDeliveries, Names({agency}), first, last,
                 [&](Position position, std::string_view, std::string_view value) -> Result<bool> {
                   ASSIGN_OR_RETURN(const DeliveriesRow row, DecodeDeliveries(value));
                   if (row.what != kEvent) return true;
                   ASSIGN_OR_RETURN(const auto receipt, provisions.ReceiptOf(position, last));
                   if (receipt) return true;
                   ASSIGN_OR_RETURN(Event event, provisions.At(position));
                   if (event.provision.delivered_digest().empty()) return true;
                   return take(std::move(event));
                 });
}

}  // namespace

Result<Event> ProvisionRegister::At(Position position) const {
  const auto value = store_.Get(RecordFile::kProvisions, Number(position.value()));
  if (value.status().code() == Code::kNotFound) return NotFound("no provision at that position");
  RETURN_IF_ERROR(value.status());
  return DecodeEvent(position, *value);
}

Result<std::optional<Event>> ProvisionRegister::First(const std::string& agency, const std::string& reference,
                                                      Position at) const {
  std::optional<Position> first;
  RETURN_IF_ERROR(ForEach(store_, RecordFile::kReferences, ReferenceKey(agency, reference, kEvent), Position(0), at,
                          [&](Position position, std::string_view, std::string_view value) -> Result<bool> {
                            if (value.size() != 1) return CannotDecode();
                            if (value[0] != 0) return true;
                            first = position;
                            return false;
                          }));
  if (!first) return std::optional<Event>();
  ASSIGN_OR_RETURN(Event event, At(*first));
  return std::optional(std::move(event));
}

Result<std::optional<Event>> ProvisionRegister::Newest(const std::string& agency, const std::string& reference,
                                                       Position at) const {
  auto it = store_.NewIterator(RecordFile::kReferences);
  const std::string prefix = ReferenceKey(agency, reference, kEvent);
  ASSIGN_OR_RETURN(const bool found, SeekNewest(it, prefix, at));
  if (!found) return std::optional<Event>();
  ASSIGN_OR_RETURN(Event event, At(PositionBehind(prefix, it.key())));
  return std::optional(std::move(event));
}

Result<std::vector<Event>> ProvisionRegister::EventsOf(const std::string& agency, const std::string& reference,
                                                       Position at) const {
  std::vector<Event> out;
  RETURN_IF_ERROR(ForEach(store_, RecordFile::kReferences, ReferenceKey(agency, reference, kEvent), Position(0), at,
                          [&](Position position, std::string_view, std::string_view) -> Result<bool> {
                            ASSIGN_OR_RETURN(Event event, At(position));
                            out.push_back(std::move(event));
                            return true;
                          }));
  return out;
}

Result<std::vector<Event>> ProvisionRegister::Events(const Filter& filter, std::size_t max) const {
  std::vector<Event> out;
  const auto take = [&](Event event) {
    const bool fits = (filter.basis.empty() || event.provision.basis() == filter.basis) &&
                      (filter.kind == v1::EVENT_KIND_UNSPECIFIED || event.kind == filter.kind);
    if (fits) out.push_back(std::move(event));
    return out.size() < max;
  };
  if (max == 0) return out;
  if (filter.agency.empty()) {
    RETURN_IF_ERROR(ForEach(store_, RecordFile::kProvisions, "", filter.first, filter.last,
                            [&](Position position, std::string_view, std::string_view value) -> Result<bool> {
                              ASSIGN_OR_RETURN(Event event, DecodeEvent(position, value));
                              return take(std::move(event));
                            }));
    return out;
  }
  RETURN_IF_ERROR(ForEach(store_, RecordFile::kDeliveries, Names({filter.agency}), filter.first, filter.last,
                          [&](Position position, std::string_view, std::string_view value) -> Result<bool> {
                            ASSIGN_OR_RETURN(const DeliveriesRow row, DecodeDeliveries(value));
                            if (row.what != kEvent) return true;
                            ASSIGN_OR_RETURN(Event event, At(position));
                            return take(std::move(event));
                          }));
  return out;
}

Result<std::uint64_t> ProvisionRegister::AskedOn(const std::string& agency, const std::string& basis, Date day,
                                                 Position at) const {
  auto it = store_.NewIterator(RecordFile::kAsked);
  ASSIGN_OR_RETURN(const bool found, SeekNewest(it, Names({agency, basis, FormatDate(day)}), at));
  if (!found) return std::uint64_t{0};
  if (it.value().size() != 8) return CannotDecode();
  return ReadU64(it.value());
}

Result<std::vector<ProvisionRegister::Given>> ProvisionRegister::GivenOf(const SubjectHandle& person,
                                                                         Position at) const {
  std::vector<Given> out;
  RETURN_IF_ERROR(ForEach(store_, RecordFile::kGiven, std::string(View(person)), Position(0), at,
                          [&](Position position, std::string_view key, std::string_view value) -> Result<bool> {
                            ASSIGN_OR_RETURN(Event event, At(position));
                            ASSIGN_OR_RETURN(v1::ProvisionResult result, Decode<v1::ProvisionResult>(value));
                            out.push_back({std::move(event), static_cast<std::uint8_t>(key.back()), std::move(result)});
                            return true;
                          }));
  return out;
}

Result<std::optional<ProvisionRegister::Suspension>> ProvisionRegister::SuspensionOf(const SubjectHandle& person,
                                                                                     const std::string& basis, Date on,
                                                                                     Position at) const {
  const std::string prefix(View(person));
  const std::string day = FormatDate(on);
  std::set<std::string> settled;  // matters of which a newer decision was met
  auto it = store_.NewIterator(RecordFile::kSuspensions);
  for (it.SeekForPrev(daicho::At(prefix, at)); it.Valid() && it.key().starts_with(prefix); it.Prev()) {
    ASSIGN_OR_RETURN(v1::SuspensionDecided decision, Decode<v1::SuspensionDecided>(it.value()));
    const bool concerns = decision.bases().empty() || std::ranges::find(decision.bases(), basis) != decision.bases().end();
    if (!concerns || day < decision.valid_from() || !settled.insert(decision.reference()).second) continue;
    const bool lasts = decision.valid_until().empty() || day <= decision.valid_until();
    if (decision.result() != v1::SUSPENSION_RESULT_SUSPENDED || !lasts) continue;
    return std::optional(Suspension{PositionBehind(prefix, it.key()), std::move(decision)});
  }
  RETURN_IF_ERROR(it.status());
  return std::optional<Suspension>();
}

Result<std::vector<Event>> ProvisionRegister::SubscriptionsOf(const SubjectHandle& person, Position at) const {
  std::vector<Event> out;
  RETURN_IF_ERROR(ForEach(store_, RecordFile::kStanding, std::string(View(person)), Position(0), at,
                          [&](Position position, std::string_view, std::string_view) -> Result<bool> {
                            ASSIGN_OR_RETURN(Event event, At(position));
                            const v1::Provision& begun = event.provision;
                            auto ends = store_.NewIterator(RecordFile::kReferences);
                            ASSIGN_OR_RETURN(const bool ended,
                                             SeekNewest(ends, ReferenceKey(begun.agency(), begun.reference(), kEnd), at));
                            if (!ended) out.push_back(std::move(event));
                            return true;
                          }));
  return out;
}

Result<std::optional<Position>> ProvisionRegister::ReceiptOf(Position provision, Position at) const {
  const auto value = store_.Get(RecordFile::kReceipts, Number(provision.value()));
  if (value.status().code() == Code::kNotFound) return std::optional<Position>();
  RETURN_IF_ERROR(value.status());
  if (value->size() != 8) return CannotDecode();
  const Position receipt(ReadU64(*value));
  return receipt <= at ? std::optional(receipt) : std::nullopt;
}

Result<ProvisionRegister::Deliveries> ProvisionRegister::DeliveriesTo(const std::string& agency, Position at) const {
  auto it = store_.NewIterator(RecordFile::kDeliveries);
  ASSIGN_OR_RETURN(const bool found, SeekNewest(it, Names({agency}), at));
  if (!found) return Deliveries();
  ASSIGN_OR_RETURN(const DeliveriesRow row, DecodeDeliveries(it.value()));
  return Deliveries{row.delivered, row.confirmed, row.oldest == kNever ? std::nullopt : std::optional(row.oldest)};
}

Result<std::vector<Event>> ProvisionRegister::Unconfirmed(const std::string& agency, Position at,
                                                          std::size_t max) const {
  std::vector<Event> out;
  ASSIGN_OR_RETURN(const Deliveries deliveries, DeliveriesTo(agency, at));
  if (!deliveries.oldest || max == 0) return out;
  RETURN_IF_ERROR(ForEachUnconfirmed(store_, agency, *deliveries.oldest, at, [&](Event event) {
    out.push_back(std::move(event));
    return out.size() < max;
  }));
  return out;
}

Result<std::vector<std::string>> ProvisionRegister::Agencies() const {
  std::vector<std::string> out;
  auto it = store_.NewIterator(RecordFile::kDeliveries);
  for (it.SeekToFirst(); it.Valid(); it.Seek(daicho::At(Names({out.back()}), kNever))) {
    const std::string_view key = it.key();
    if (key.size() < 4 || key.size() != 4 + ReadU32(key) + kPositionBytes) return CannotDecode();
    out.emplace_back(key.substr(4, ReadU32(key)));
  }
  RETURN_IF_ERROR(it.status());
  std::ranges::sort(out);
  return out;
}

namespace provision_register {

Status Writer::Load() {
  asked_.clear();
  agencies_.clear();
  const ProvisionRegister provisions(store_);
  ASSIGN_OR_RETURN(const std::vector<std::string> names, provisions.Agencies());
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(const ProvisionRegister::Deliveries deliveries, provisions.DeliveriesTo(name, kNever));
    Agency& agency = agencies_[name];
    agency.delivered = deliveries.delivered;
    agency.confirmed = deliveries.confirmed;
    if (!deliveries.oldest) continue;
    RETURN_IF_ERROR(ForEachUnconfirmed(store_, name, *deliveries.oldest, kNever, [&](const Event& event) {
      agency.waiting[event.position] = event.provision.delivered_digest();
      return true;
    }));
  }
  return {};
}

Status Writer::PutEntry(const LedgerReplay::Checked& entry, const KeyStore& keys, const Put& put,
                        const Erased& erased) {
  const v1::EventKind kind = entry.header.kind();
  if (kind == v1::EVENT_KIND_PROVISION || kind == v1::EVENT_KIND_TRANSFER) return PutProvision(entry, keys, put, erased);
  if (kind != v1::EVENT_KIND_DELIVERY_RECEIVED && kind != v1::EVENT_KIND_SUSPENSION_DECIDED) return {};
  const auto payload = OpenPart(entry, 0, keys);
  if (payload.status().code() == Code::kErased) {
    erased(entry.leaf.keys(0));
    return {};
  }
  RETURN_IF_ERROR(payload.status());
  if (kind == v1::EVENT_KIND_DELIVERY_RECEIVED) return PutReceipt(entry, *payload, put);
  RETURN_IF_ERROR(Decode<v1::SuspensionDecided>(*payload).status());
  put(RecordFile::kSuspensions, At(entry.leaf.keys(0).subject(), entry.position), *payload);
  return {};
}

Status Writer::PutProvision(const LedgerReplay::Checked& entry, const KeyStore& keys, const Put& put,
                            const Erased& erased) {
  std::optional<v1::Provision> provision;
  for (int part = 0; part < entry.leaf.keys_size(); ++part) {
    const auto payload = OpenPart(entry, part, keys);
    if (payload.status().code() == Code::kErased) {
      erased(entry.leaf.keys(part));
      continue;
    }
    RETURN_IF_ERROR(payload.status());
    if (part == 0) {
      ASSIGN_OR_RETURN(provision, Decode<v1::Provision>(*payload));
      std::string value(1, static_cast<char>(entry.header.kind()));
      AppendU64(value, static_cast<std::uint64_t>(entry.leaf.admitted_at()));
      value.append(*payload);
      put(RecordFile::kProvisions, Number(entry.position.value()), value);
    } else if (provision) {
      RETURN_IF_ERROR(PutResult(*provision, entry, part, *payload, put));
    }
  }
  if (!provision) return {};
  const auto put_reference = [&](char what) {
    put(RecordFile::kReferences, At(ReferenceKey(provision->agency(), provision->reference(), what), entry.position),
        std::string(1, static_cast<char>(provision->refusal())));
  };
  put_reference(kEvent);
  if (provision->ends_standing() && provision->refusal() == v1::REFUSAL_REASON_UNSPECIFIED) put_reference(kEnd);
  if (!provision->delivered_digest().empty()) {
    Agency& agency = agencies_[provision->agency()];
    ++agency.delivered;
    agency.waiting[entry.position] = provision->delivered_digest();
  }
  PutDeliveries(provision->agency(), entry.position, kEvent, put);
  return PutAsked(*provision, entry.position, put);
}

Status Writer::PutResult(const v1::Provision& provision, const LedgerReplay::Checked& entry, int part,
                         const std::string& payload, const Put& put) {
  ASSIGN_OR_RETURN(const v1::ProvisionResult result, Decode<v1::ProvisionResult>(payload));
  // Only what tells something of a person is sealed as that person's; a count has no version.
  if (result.outcome() != v1::ANSWER_OUTCOME_FOUND || result.version_position() == 0) return {};
  const std::string key = At(entry.leaf.keys(part).subject(), entry.position);
  put(RecordFile::kGiven, key + static_cast<char>(part), payload);
  if (provision.mode() == v1::PROVISION_MODE_STANDING && provision.cause_position() == 0) {
    put(RecordFile::kStanding, key, {});
  }
  return {};
}

Status Writer::PutReceipt(const LedgerReplay::Checked& entry, const std::string& payload, const Put& put) {
  ASSIGN_OR_RETURN(const v1::DeliveryReceived received, Decode<v1::DeliveryReceived>(payload));
  ASSIGN_OR_RETURN(const v1::AgencyReceipt receipt, Decode<v1::AgencyReceipt>(received.receipt()));
  const auto agency = agencies_.find(receipt.agency());
  if (agency == agencies_.end()) return {};
  const auto waiting = agency->second.waiting.find(Position(receipt.provision_position()));
  if (waiting == agency->second.waiting.end() || waiting->second != receipt.delivered_digest()) return {};
  agency->second.waiting.erase(waiting);
  ++agency->second.confirmed;
  put(RecordFile::kReceipts, Number(receipt.provision_position()), Number(entry.position.value()));
  PutDeliveries(receipt.agency(), entry.position, kReceived, put);
  return {};
}

Status Writer::PutAsked(const v1::Provision& provision, Position position, const Put& put) {
  // What follows a standing request was not asked anew.
  if (provision.result_count() == 0 || provision.cause_position() != 0) return {};
  const std::string key = Names({provision.agency(), provision.basis(), provision.judged_on()});
  auto asked = asked_.find(key);
  if (asked == asked_.end()) {
    // What this one has put since it was loaded, it has in memory; what stood there before is stored.
    auto it = store_.NewIterator(RecordFile::kAsked);
    ASSIGN_OR_RETURN(const bool found, SeekNewest(it, key, kNever));
    if (found && it.value().size() != 8) return CannotDecode();
    asked = asked_.emplace(key, found ? ReadU64(it.value()) : 0).first;
  }
  asked->second += provision.result_count();
  put(RecordFile::kAsked, At(key, position), Number(asked->second));
  return {};
}

void Writer::PutDeliveries(const std::string& name, Position position, char what, const Put& put) {
  const Agency& agency = agencies_[name];
  std::string value(1, what);
  AppendU64(value, agency.delivered);
  AppendU64(value, agency.confirmed);
  AppendU64(value, (agency.waiting.empty() ? kNever : agency.waiting.begin()->first).value());
  put(RecordFile::kDeliveries, At(Names({name}), position), value);
}

}  // namespace provision_register

}  // namespace daicho
