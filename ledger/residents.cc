#include "ledger/residents.h"

#include <algorithm>

#include "events/crypto.h"
#include "events/notice_rules.h"

namespace daicho {
namespace {

constexpr char kCurrent = 'R';
constexpr char kReplaced = 'F';  // a former code

void AppendShort(std::string& out, std::string_view text) {
  out.push_back(static_cast<char>(text.size()));
  out.append(text);
}

// Tag, handle, slot, step, number, removed, then three short texts and the outstanding removals.
std::string Encode(const Resident& resident) {
  std::string out(1, kCurrent);
  out.append(View(resident.handle));
  AppendU64(out, resident.slot.value());
  AppendU32(out, resident.next_step);
  AppendU32(out, resident.update_number);
  out.push_back(resident.removed ? 1 : 0);
  AppendShort(out, resident.municipality);
  AppendShort(out, resident.individual_number);
  AppendShort(out, resident.notice_digest);
  for (const auto& outstanding : resident.outstanding) {
    AppendU32(out, outstanding.update_number);
    AppendShort(out, outstanding.municipality);
  }
  return out;
}

class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : rest_(bytes) {}
  bool done() const { return rest_.empty(); }
  bool failed() const { return failed_; }
  std::string_view Take(std::size_t size) {
    if (rest_.size() < size) {
      failed_ = true;
      rest_ = {};
      return {};
    }
    const auto out = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return out;
  }
  std::uint64_t U64() { return Read<8>(); }
  std::uint32_t U32() { return static_cast<std::uint32_t>(Read<4>()); }
  std::string_view Short() { return Take(static_cast<std::size_t>(Read<1>())); }

 private:
  template <std::size_t N>
  std::uint64_t Read() {
    std::uint64_t value = 0;
    for (const char c : Take(N)) value = value << 8 | static_cast<std::uint8_t>(c);
    return value;
  }
  std::string_view rest_;
  bool failed_ = false;
};

Result<Resident> Decode(const std::string& code, std::string_view bytes) {
  Cursor in(bytes);
  Resident out;
  out.code = code;
  in.Take(1);
  const auto handle = in.Take(16);
  if (handle.size() == 16) std::copy(handle.begin(), handle.end(), out.handle.begin());
  out.slot = KeySlot(in.U64());
  out.next_step = in.U32();
  out.update_number = in.U32();
  out.removed = in.Take(1) == std::string_view("\x01", 1);
  out.municipality = in.Short();
  out.individual_number = in.Short();
  out.notice_digest = in.Short();
  while (!in.done()) {
    const std::uint32_t number = in.U32();
    out.outstanding.push_back({number, std::string(in.Short())});
  }
  if (in.failed()) return Corrupt("stored resident cannot be decoded");
  return out;
}

std::string NoticeKey(const Resident& resident, std::uint32_t update_number) {
  std::string key(View(resident.handle));
  AppendU32(key, update_number);
  return key;
}

v1::Violation Refuse(const char* field, const char* rule, std::string message,
                     std::uint64_t expected = 0) {
  v1::Violation out;
  out.set_field(field);
  out.set_rule(rule);
  out.set_message(std::move(message));
  out.set_expected(expected);
  return out;
}

v1::Violation WrongUpdateNumber(std::uint32_t expected) {
  return Refuse("update_number", "update_number",
                "更新順番号が連続していません（期待値 " + std::to_string(expected) + "）", expected);
}

// What the notice would do to a resident whose last update number is `last`.
v1::Effect Classify(const Resident& before, const v1::UpdateNotice& notice, const std::string& issuer,
                    std::vector<v1::Violation>& out) {
  const std::uint32_t next = before.update_number + 1;
  const bool own = before.municipality == issuer;
  switch (notice.kind()) {
    case v1::NOTICE_KIND_ENTRY:
      if (before.removed) {
        if (notice.update_number() != next) out.push_back(WrongUpdateNumber(next));
        return v1::EFFECT_REVIVED;
      }
      if (own || notice.reason() != v1::CHANGE_REASON_MOVE_IN) {
        out.push_back(Refuse("kind", "already_resident", "既に記載されている住民です"));
        return v1::EFFECT_NONE;
      }
      if (notice.update_number() != next + 1) {
        out.push_back(WrongUpdateNumber(next + 1));
      } else if (before.outstanding.size() >= kOutstandingRemovalsMax) {
        out.push_back(Refuse("kind", "outstanding_removals", "未着の消除通知が多すぎます"));
      }
      return v1::EFFECT_MOVED_AHEAD;
    case v1::NOTICE_KIND_REMOVAL:
      if (before.removed) {
        out.push_back(Refuse("kind", "not_resident", "既に消除されている住民です"));
        return v1::EFFECT_NONE;
      }
      break;
    default:
      if (before.removed) {
        out.push_back(Refuse("kind", "not_resident", "消除されている住民の修正はできません"));
        return v1::EFFECT_NONE;
      }
  }
  if (!own) {
    out.push_back(Refuse("resident_code", "issuer", "この住民は通知した市町村の住民ではありません"));
    return v1::EFFECT_NONE;
  }
  if (notice.update_number() != next) out.push_back(WrongUpdateNumber(next));
  return notice.kind() == v1::NOTICE_KIND_REMOVAL ? v1::EFFECT_REMOVED : v1::EFFECT_AMENDED;
}

}  // namespace

std::string NoticeDigest(std::string_view payload) {
  return std::string(View(Sha256Of({"daicho/notice/1\n", payload})).substr(0, 16));
}

Result<std::optional<Resident>> Residents::Find(const std::string& code, bool& former) const {
  former = false;
  std::string current = code;
  for (;;) {
    ASSIGN_OR_RETURN(const auto stored, state_.Get(families_.residents, current));
    if (!stored) return std::optional<Resident>();
    if (stored->empty()) return Corrupt("stored resident cannot be decoded");
    if ((*stored)[0] == kCurrent) {
      ASSIGN_OR_RETURN(Resident resident, Decode(current, *stored));
      return std::optional(std::move(resident));
    }
    current = stored->substr(1);
    former = true;
  }
}

Result<std::string> Residents::DigestOf(const Resident& resident, std::uint32_t update_number) const {
  if (update_number == resident.update_number) return resident.notice_digest;
  ASSIGN_OR_RETURN(auto digest, state_.Get(families_.notices, NoticeKey(resident, update_number)));
  return digest.value_or("");
}

Result<Decision> Residents::Decide(const v1::UpdateNotice& notice, const std::string& issuer,
                                   const std::string& digest) const {
  Decision out;
  const bool changes_code = ChangesCode(notice.reason());
  bool former = false;
  ASSIGN_OR_RETURN(std::optional<Resident> resident, Find(notice.resident_code(), former));
  if (resident && notice.update_number() <= resident->update_number) {
    const bool late = notice.kind() == v1::NOTICE_KIND_REMOVAL &&
                      std::count(resident->outstanding.begin(), resident->outstanding.end(),
                                 Resident::Outstanding{notice.update_number(), issuer}) > 0;
    ASSIGN_OR_RETURN(const std::string admitted, DigestOf(*resident, notice.update_number()));
    if (late || admitted == digest) {
      out.effect = late ? v1::EFFECT_REMOVED_LATE : v1::EFFECT_REPEATED;
      out.resident = std::move(*resident);
      return out;
    }
  }
  if (former) {
    out.violations.push_back(Refuse("resident_code", "former", "廃止された住民票コードです"));
    return out;
  }
  if (changes_code) {
    if (resident) {
      out.violations.push_back(Refuse("resident_code", "in_use", "新しい住民票コードは既に使われています"));
      return out;
    }
    ASSIGN_OR_RETURN(resident, Find(notice.former_resident_code(), former));
    if (!resident || former) {
      out.violations.push_back(
          Refuse("former_resident_code", "unknown", "修正前の住民票コードの住民が登録されていません"));
      return out;
    }
  }
  if (resident) {
    out.effect = Classify(*resident, notice, issuer, out.violations);
    out.resident = std::move(*resident);
  } else {
    out.effect = v1::EFFECT_ENTERED;
    if (notice.kind() != v1::NOTICE_KIND_ENTRY) {
      out.violations.push_back(Refuse("resident_code", "unknown", "登録されていない住民です"));
    } else if (notice.update_number() != 1) {
      out.violations.push_back(WrongUpdateNumber(1));
    }
  }
  if (!out.violations.empty()) return out;

  const std::string& number = notice.record().individual_number();
  const std::string& held = out.resident.individual_number;
  const bool known = out.effect != v1::EFFECT_ENTERED;
  if (ChangesNumber(notice.reason())) {
    const std::string& before = notice.former_individual_number();
    if (notice.reason() == v1::CHANGE_REASON_INDIVIDUAL_NUMBER_ENTRY ? !held.empty() : before != held) {
      out.violations.push_back(
          Refuse("former_individual_number", "mismatch", "変更前の個人番号が登録と一致しません"));
    }
  } else if (known && number != held) {
    out.violations.push_back(Refuse("record.individual_number", "changed_without_reason",
                                    "個人番号の変更事由なしに個人番号が変わっています"));
  }
  if (!number.empty() && (!known || number != held)) {
    ASSIGN_OR_RETURN(const auto holder, state_.Get(families_.numbers, number));
    if (holder && (!known || *holder != View(out.resident.handle))) {
      out.violations.push_back(
          Refuse("record.individual_number", "in_use", "他の住民に付番された個人番号です"));
    }
  }
  return out;
}

void Residents::Take(Resident& resident, const v1::UpdateNotice& notice, const std::string& issuer,
                     const std::string& digest) {
  resident.update_number = notice.update_number();
  resident.notice_digest = digest;
  resident.municipality = issuer;
  resident.removed = notice.kind() == v1::NOTICE_KIND_REMOVAL;
  if (const std::string& number = notice.record().individual_number(); number != resident.individual_number) {
    resident.individual_number = number;
    if (!number.empty()) state_.Put(families_.numbers, number, std::string(View(resident.handle)));
  }
  resident.code = notice.resident_code();
  if (ChangesCode(notice.reason())) {
    state_.Put(families_.residents, notice.former_resident_code(), kReplaced + resident.code);
  }
}

Status Residents::Adopt(Resident key, v1::Effect effect, const v1::UpdateNotice& notice, const std::string& issuer,
                        const std::string& digest) {
  bool former = false;
  ASSIGN_OR_RETURN(std::optional<Resident> known, Find(notice.resident_code(), former));
  if (known && known->handle != key.handle) return Tampered("the notice is of another resident than its key");
  const std::uint32_t step = key.next_step;
  Resident after = known ? std::move(*known) : std::move(key);
  after.next_step = step + 1;
  const bool newest = effect != v1::EFFECT_REPEATED && effect != v1::EFFECT_REMOVED_LATE;
  if (newest) {
    if (effect == v1::EFFECT_MOVED_AHEAD) after.outstanding.push_back({notice.update_number() - 1, after.municipality});
    Take(after, notice, issuer, digest);
  } else {
    // Of what is gone it makes no resident.
    if (after.code.empty()) return {};
    state_.Put(families_.notices, NoticeKey(after, notice.update_number()), digest);
  }
  state_.Put(families_.residents, after.code, Encode(after));
  return {};
}

Status Residents::Apply(const Decision& decision, const v1::UpdateNotice& notice,
                        const std::string& issuer, const std::string& digest) {
  CHECK(decision.violations.empty());
  Resident after = decision.resident;
  ++after.next_step;
  switch (decision.effect) {
    case v1::EFFECT_REPEATED:
      break;
    case v1::EFFECT_REMOVED_LATE:
      std::erase(after.outstanding, Resident::Outstanding{notice.update_number(), issuer});
      state_.Put(families_.notices, NoticeKey(after, notice.update_number()), digest);
      break;
    default:
      if (decision.effect == v1::EFFECT_MOVED_AHEAD) {
        after.outstanding.push_back({after.update_number + 1, after.municipality});
      }
      if (after.update_number > 0) {
        state_.Put(families_.notices, NoticeKey(after, after.update_number), after.notice_digest);
      }
      Take(after, notice, issuer, digest);
  }
  state_.Put(families_.residents, after.code, Encode(after));
  return {};
}

}  // namespace daicho
