#include "projections/kikou_register.h"

#include <limits>

#include "projections/record_file.h"

namespace daicho {
namespace {

// On disk. Never change.
constexpr char kNotified = 'n';
constexpr char kInquiry = 'i';
constexpr std::size_t kNotifiedKeyBytes = 1 + 8;
constexpr std::size_t kInquiryFixed = 1 + 4 + 8;  // of a key, without the reference
constexpr std::size_t kValueFixed = 1 + 8;

Status CannotDecode() { return Corrupt("a row of the register of 機構 cannot be decoded"); }

std::string NotifiedKey(std::uint64_t position) {
  std::string key(1, kNotified);
  AppendU64(key, position);
  return key;
}

std::string InquiryPrefix(std::string_view reference) {
  std::string key(1, kInquiry);
  AppendU32(key, static_cast<std::uint32_t>(reference.size()));
  return key.append(reference);
}

template <typename Message>
Result<Message> Decode(std::string_view bytes) {
  Message out;
  if (!out.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return CannotDecode();
  return out;
}

template <typename Message>
Result<std::string> ReferenceOf(std::string_view payload) {
  ASSIGN_OR_RETURN(const Message message, Decode<Message>(payload));
  return message.reference();
}

}  // namespace

Result<std::optional<KikouRegister::Notified>> KikouRegister::Last(Position at) const {
  auto it = store_.NewIterator(RecordFile::kKikou);
  it.SeekForPrev(NotifiedKey(at.value()));
  RETURN_IF_ERROR(it.status());
  if (!it.Valid() || it.key().front() != kNotified) return std::optional<Notified>();
  if (it.key().size() != kNotifiedKeyBytes) return CannotDecode();
  Notified out;
  out.position = Position(ReadU64(it.key().substr(1)));
  ASSIGN_OR_RETURN(out.event, Decode<v1::KikouNotified>(it.value()));
  return std::optional(std::move(out));
}

Result<std::vector<KikouRegister::Inquiry>> KikouRegister::Under(const std::string& prefix, Position at) const {
  std::vector<Inquiry> out;
  auto it = store_.NewIterator(RecordFile::kKikou);
  for (it.Seek(prefix); it.Valid() && it.key().starts_with(prefix); it.Next()) {
    if (it.key().size() < kInquiryFixed || it.value().size() < kValueFixed) return CannotDecode();
    const Position position(ReadU64(it.key().substr(it.key().size() - 8)));
    if (position > at) continue;
    const std::string_view payload = it.value().substr(kValueFixed);
    if (it.value().front() == static_cast<char>(v1::EVENT_KIND_INQUIRY_ASKED)) {
      Inquiry& inquiry = out.emplace_back();
      inquiry.asked_at = position;
      inquiry.admitted_at = TimeMicros(static_cast<std::int64_t>(ReadU64(it.value().substr(1))));
      ASSIGN_OR_RETURN(inquiry.asked, Decode<v1::InquiryAsked>(payload));
      continue;
    }
    ASSIGN_OR_RETURN(v1::InquiryAnswered answered, Decode<v1::InquiryAnswered>(payload));
    // Its question may be erased.
    if (out.empty() || out.back().asked.reference() != answered.reference()) continue;
    out.back().answered_at = position;
    out.back().answered = std::move(answered);
  }
  RETURN_IF_ERROR(it.status());
  return out;
}

Result<KikouRegister::Inquiry> KikouRegister::Find(const std::string& reference, Position at) const {
  ASSIGN_OR_RETURN(std::vector<Inquiry> found, Under(InquiryPrefix(reference), at));
  if (found.empty()) return NotFound("reference: その番号の照会はありません");
  return std::move(found.back());
}

Result<std::vector<KikouRegister::Inquiry>> KikouRegister::Inquiries(Position at) const {
  return Under(std::string(1, kInquiry), at);
}

namespace kikou_register {

Status PutEntry(const LedgerReplay::Checked& entry, const KeyStore& keys, const Put& put, const Erased& erased) {
  const v1::EventKind kind = entry.header.kind();
  if (kind < v1::EVENT_KIND_INQUIRY_ASKED || kind > v1::EVENT_KIND_KIKOU_NOTIFIED) return {};
  const auto payload = OpenPart(entry, 0, keys);
  if (payload.status().code() == Code::kErased) {
    erased(entry.leaf.keys(0));
    return {};
  }
  RETURN_IF_ERROR(payload.status());
  if (kind == v1::EVENT_KIND_KIKOU_NOTIFIED) {
    put(RecordFile::kKikou, NotifiedKey(entry.position.value()), *payload);
    return {};
  }
  ASSIGN_OR_RETURN(const std::string reference, kind == v1::EVENT_KIND_INQUIRY_ASKED
                                                    ? ReferenceOf<v1::InquiryAsked>(*payload)
                                                    : ReferenceOf<v1::InquiryAnswered>(*payload));
  std::string key = InquiryPrefix(reference);
  AppendU64(key, entry.position.value());
  std::string value(1, static_cast<char>(kind));
  AppendU64(value, static_cast<std::uint64_t>(entry.leaf.admitted_at()));
  put(RecordFile::kKikou, key, value + *payload);
  return {};
}

}  // namespace kikou_register

}  // namespace daicho
