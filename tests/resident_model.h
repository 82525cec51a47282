// The rules of ledger/residents.h told a second time, simply: maps of everything that was ever
// said. An oracle for random histories, and the source of them.
#pragma once

#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/prefecture.h"

namespace daicho {

// Admitted: its effect and no error. Refused: "field rule", and the update number expected if it is
// that.
struct Verdict {
  v1::Effect effect = v1::EFFECT_NONE;
  std::string error;
  int person = -1;  // of the model
};

class ResidentModel {
 public:
  struct Resident {
    std::string code, number, municipality;
    bool removed = false;
    std::uint32_t last = 0;                                   // highest update number
    std::map<std::uint32_t, std::string> said;                // update number → payload
    std::set<std::pair<std::uint32_t, std::string>> awaited;  // removals: number, municipality
    std::set<std::uint32_t> cancelling;                       // numbers of notices that cancel one
  };

  Verdict Judge(const v1::UpdateNotice& notice, const std::string& issuer) const {
    const std::uint32_t number = notice.update_number();
    int person = Lookup(by_code_, notice.resident_code());
    if (person >= 0) {
      const Resident& known = At(person);
      const auto said = known.said.find(number);
      if (notice.kind() == v1::NOTICE_KIND_REMOVAL && known.awaited.contains({number, issuer})) {
        return {v1::EFFECT_REMOVED_LATE, "", person};
      }
      if (said != known.said.end() && said->second == notice.SerializeAsString()) {
        return {v1::EFFECT_REPEATED, "", person};
      }
      if (known.code != notice.resident_code()) return Refused("resident_code former");
    }
    if (!notice.former_resident_code().empty()) {
      if (person >= 0) return Refused("resident_code in_use");
      person = Lookup(by_code_, notice.former_resident_code());
      if (person < 0 || At(person).code != notice.former_resident_code()) {
        return Refused("former_resident_code unknown");
      }
    }
    const bool entry = notice.kind() == v1::NOTICE_KIND_ENTRY;
    if (person < 0) {
      if (!entry) return Refused("resident_code unknown");
      if (number != 1) return Expected(1);
      return NumberJudged({v1::EFFECT_ENTERED, "", -1}, notice);
    }
    const Resident& known = At(person);
    Verdict out{v1::EFFECT_NONE, "", person};
    std::uint32_t expected = known.last + 1;
    if (known.removed) {
      if (!entry) return Refused("kind not_resident");
      out.effect = v1::EFFECT_REVIVED;
    } else if (entry) {
      if (known.municipality == issuer || notice.reason() != v1::CHANGE_REASON_MOVE_IN) {
        return Refused("kind already_resident");
      }
      out.effect = v1::EFFECT_MOVED_AHEAD;
      ++expected;
      if (number == expected && known.awaited.size() >= kOutstandingRemovalsMax) {
        return Refused("kind outstanding_removals");
      }
    } else if (known.municipality != issuer) {
      return Refused("resident_code issuer");
    } else {
      out.effect =
          notice.kind() == v1::NOTICE_KIND_REMOVAL ? v1::EFFECT_REMOVED : v1::EFFECT_AMENDED;
    }
    if (number != expected) return Expected(expected);
    return NumberJudged(out, notice);
  }

  // Returns the person.
  int Apply(const Verdict& verdict, const v1::UpdateNotice& notice, const std::string& issuer) {
    int person = verdict.person;
    if (verdict.effect == v1::EFFECT_ENTERED) {
      person = static_cast<int>(residents_.size());
      residents_.emplace_back();
    }
    Resident& after = residents_[static_cast<std::size_t>(person)];
    if (verdict.effect == v1::EFFECT_REPEATED) return person;
    after.said[notice.update_number()] = notice.SerializeAsString();
    if (verdict.effect == v1::EFFECT_REMOVED_LATE) {
      after.awaited.erase({notice.update_number(), issuer});
      return person;
    }
    if (verdict.effect == v1::EFFECT_MOVED_AHEAD)
      after.awaited.insert({after.last + 1, after.municipality});
    if (notice.cancels() != 0) after.cancelling.insert(notice.update_number());
    after.last = notice.update_number();
    after.removed = notice.kind() == v1::NOTICE_KIND_REMOVAL;
    after.municipality = issuer;
    after.code = notice.resident_code();
    after.number = notice.record().individual_number();
    by_code_[after.code] = person;
    if (!after.number.empty()) by_number_[after.number] = person;
    return person;
  }

  const std::vector<Resident>& residents() const { return residents_; }

 private:
  static constexpr std::size_t kOutstandingRemovalsMax = 8;
  const Resident& At(int person) const { return residents_[static_cast<std::size_t>(person)]; }
  static int Lookup(const std::map<std::string, int>& names, const std::string& name) {
    const auto found = names.find(name);
    return found == names.end() ? -1 : found->second;
  }
  static Verdict Refused(std::string error) { return {v1::EFFECT_NONE, std::move(error), -1}; }
  static Verdict Expected(std::uint32_t number) {
    return Refused("update_number update_number " + std::to_string(number));
  }
  // What the notice says of the 個人番号.
  Verdict NumberJudged(const Verdict& verdict, const v1::UpdateNotice& notice) const {
    const std::string& number = notice.record().individual_number();
    const std::string held = verdict.person < 0 ? "" : At(verdict.person).number;
    std::string error;
    const auto add = [&](const char* broken) {
      error += (error.empty() ? "" : "; ") + std::string(broken);
    };
    switch (notice.reason()) {
      case v1::CHANGE_REASON_INDIVIDUAL_NUMBER_ENTRY:
        if (!held.empty()) add("former_individual_number mismatch");
        break;
      case v1::CHANGE_REASON_INDIVIDUAL_NUMBER_CHANGE:
      case v1::CHANGE_REASON_INDIVIDUAL_NUMBER_EX_OFFICIO:
        if (notice.former_individual_number() != held) add("former_individual_number mismatch");
        break;
      default:
        if (verdict.person >= 0 && number != held)
          add("record.individual_number changed_without_reason");
    }
    const int holder = Lookup(by_number_, number);
    if (!number.empty() && number != held && holder >= 0 && holder != verdict.person) {
      add("record.individual_number in_use");
    }
    return error.empty() ? verdict : Refused(error);
  }

  std::vector<Resident> residents_;
  std::map<std::string, int> by_code_, by_number_;
};

// Draws notices of two municipalities about a few persons: most of them follow from what was said,
// the others are near misses. Each obeys CheckNotice.
class RandomNotices {
 public:
  RandomNotices(const ResidentModel& model, std::uint64_t seed, int persons)
      : model_(model), random_(seed), persons_(persons) {}

  struct Drawn {
    std::string issuer;
    v1::UpdateNotice notice;
  };
  Drawn Draw() {
    for (;;) {
      Drawn out = Try();
      if (CheckNotice(out.notice, out.issuer).empty()) return out;
    }
  }
  std::uint64_t Below(std::uint64_t bound) { return random_() % bound; }

 private:
  bool Sometimes(int percent) { return Below(100) < static_cast<std::uint64_t>(percent); }
  template <typename T>
  T OneOf(std::initializer_list<T> values) {
    return values.begin()[Below(values.size())];
  }
  std::string Day(const char* month) { return std::string(month) + "-" + Digits(1 + Below(20), 2); }
  int SomeName() { return static_cast<int>(Below(static_cast<std::uint64_t>(3 * persons_))); }

  Drawn Try() {
    const auto& residents = model_.residents();
    Drawn out;
    out.issuer = OneOf({kMaebashi, kTakasaki});
    if (residents.empty() || (static_cast<int>(residents.size()) < persons_ && Sometimes(20))) {
      Person person(SomeName());
      if (Sometimes(20)) person.number.clear();
      out.notice = Birth(person, out.issuer);
      return out;
    }
    const auto& known = residents[Below(residents.size())];
    if (Sometimes(90)) out.issuer = known.municipality;
    Person person(0);
    person.code = known.code;
    person.number = known.number;
    if (!known.awaited.empty() && Sometimes(30)) {
      const auto& [number, municipality] = *known.awaited.begin();
      out.issuer = municipality;
      out.notice = MoveOut(person, number, municipality);
      return out;
    }
    if (Sometimes(10)) {
      const auto said = std::next(known.said.begin(), static_cast<long>(Below(known.said.size())));
      EXPECT_TRUE(out.notice.ParseFromString(said->second));
      out.issuer = out.notice.record().address().municipality();
      if (Sometimes(30)) out.notice.mutable_record()->set_kana("べつじん");
      return out;
    }
    if (Sometimes(5)) person.code = CodeOf(SomeName());
    if (Sometimes(5)) person.number = NumberOf(SomeName());
    out.notice = Next(person, known, out.issuer);
    if (Sometimes(10))
      out.notice.set_update_number(static_cast<std::uint32_t>(1 + Below(known.last + 3)));
    return out;
  }

  v1::UpdateNotice Next(Person person, const ResidentModel::Resident& known, std::string& issuer) {
    const std::uint32_t next = known.last + 1;
    if (known.removed && Sometimes(90)) {
      issuer = OneOf({kMaebashi, kTakasaki});
      return Notice(person, OneOf({v1::CHANGE_REASON_MOVE_IN, v1::CHANGE_REASON_EX_OFFICIO_ENTRY}),
                    next, issuer, Day("2026-11"));
    }
    switch (Below(10)) {
      case 0:
        return Notice(person, v1::CHANGE_REASON_DEATH, next, issuer, Day("2026-10"));
      case 1:
        return Notice(person, v1::CHANGE_REASON_MOVE_OUT, next, issuer, Day("2026-12"));
      case 2:
        issuer = known.municipality == kMaebashi ? kTakasaki : kMaebashi;
        return Notice(person, v1::CHANGE_REASON_MOVE_IN, next + 1, issuer, Day("2026-11"));
      case 3:
        return CodeChange(person, SomeName(), next, issuer);
      case 4:
        return NumberChange(person, SomeName(), next, issuer);
      case 5: {
        v1::UpdateNotice notice =
            Notice(person, v1::CHANGE_REASON_EX_OFFICIO_AMENDMENT, next, issuer, "2026-11-23");
        const auto cancels =
            Sometimes(50) ? known.last : static_cast<std::uint32_t>(1 + Below(known.last));
        if (!known.cancelling.contains(cancels)) notice.set_cancels(cancels);
        return notice;
      }
      default:
        return Notice(person, v1::CHANGE_REASON_ADDRESS_CHANGE, next, issuer, Day("2026-11"));
    }
  }

  const ResidentModel& model_;
  std::mt19937_64 random_;
  int persons_;
};

}  // namespace daicho
