#include "consumers/generate.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>
#include <vector>

#include "consumers/generate/calendar.h"
#include "consumers/generate/data.h"
#include "consumers/generate/life.h"
#include "consumers/generate/notice.h"
#include "consumers/generate/output.h"
#include "consumers/generate/recorder.h"
#include "consumers/generate/world.h"

namespace daicho {
namespace generate {
namespace {

constexpr int kLastYear = 2026;
constexpr int kLastMonth = 11;
constexpr std::uint64_t kProgressEvery = 8192;

// Notices per resident and year, for the estimate of the total only.
constexpr std::uint64_t kYearlyPerMille = 135;

constexpr Day kNetworkOpened = DayOf(Civil{2002, 8, 5});     // 住基ネット 第1次稼働
constexpr Day kForeignersJoined = DayOf(Civil{2013, 7, 8});  // 外国人住民の適用

// Residents by municipality, in proportion: largest remainder, earlier municipality first.
std::vector<std::uint64_t> Apportion(const Data& data, std::uint64_t residents) {
  const std::uint64_t total = data.municipality_weights.total();
  std::vector<std::uint64_t> shares;
  std::vector<std::pair<std::uint64_t, std::size_t>> remainders;
  std::uint64_t given = 0;
  for (const Municipality& m : data.municipalities) {
    shares.push_back(residents * m.population / total);
    given += shares.back();
    remainders.emplace_back(residents * m.population % total, remainders.size());
  }
  std::stable_sort(remainders.begin(), remainders.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  for (std::size_t i = 0; given < residents; ++i, ++given) ++shares[remainders[i].second];
  return shares;
}

class Generator {
 public:
  Generator(const GenerateOptions& options, NoticeFiles files, Data data)
      : options_(options),
        files_(std::move(files)),
        world_(options.seed, std::move(data)),
        recorder_(world_),
        last_round_(1 + 12 * options.years),
        total_(options.residents +
               options.residents * static_cast<std::uint64_t>(options.years) * kYearlyPerMille /
                   1000 +
               (options.years > 0 ? options.residents / 2 : 0)) {}

  Result<GenerateSummary> Run() {
    world_.persons.reserve(options_.residents * (100 + 4 * static_cast<unsigned>(options_.years)) /
                           100);
    world_.households.reserve(world_.persons.capacity() * 55 / 100);
    RETURN_IF_ERROR(InitialLoad());
    Life life(world_, recorder_, options_.residents, last_round_);
    for (int round = 2; round <= last_round_; ++round) {
      const int months = kLastYear * 12 + kLastMonth - 1 - (last_round_ - round);
      const Period period(months / 12, months % 12 + 1);
      life.LiveMonth(round, period);
      RETURN_IF_ERROR(files_.BeginRound(round));
      RETURN_IF_ERROR(recorder_.WriteTo(files_));
      RETURN_IF_ERROR(FinishRound(round, period.last()));
    }
    CountPersons();
    RETURN_IF_ERROR(files_.WriteManifest(Manifest()));
    if (options_.progress) options_.progress(summary_.notices, summary_.notices);
    return summary_;
  }

 private:
  Status InitialLoad() {
    const Day today = DayOf(Civil{kLastYear - options_.years, kLastMonth, 20});
    const std::vector<std::uint64_t> shares = Apportion(world_.data, options_.residents);
    RETURN_IF_ERROR(files_.BeginRound(1));
    for (std::size_t m = 0; m < shares.size(); ++m) {
      std::uint64_t left = shares[m];
      while (left > 0) {
        const std::uint32_t id =
            MakeHousehold(world_, static_cast<std::uint8_t>(m), today, Arrival::kSettled,
                          static_cast<int>(std::min<std::uint64_t>(left, kHouseholdMembersMax)));
        const Household& household = world_.households[id];
        left -= household.size;
        for (std::size_t i = 0; i < household.size; ++i) Enter(household.members[i], today);
        if (recorder_.size() >= kProgressEvery) RETURN_IF_ERROR(Write());
      }
    }
    RETURN_IF_ERROR(Write());
    return FinishRound(1, today);
  }

  Status Write() {
    RETURN_IF_ERROR(recorder_.WriteTo(files_));
    if (options_.progress) options_.progress(world_.persons.size(), total_);
    return {};
  }

  // The first notice of who is resident when the ledger begins.
  void Enter(std::uint32_t id, Day today) {
    Person& person = world_.persons[id];
    if (!famous_ && !person.foreign && today - person.birth > 95 * 365) {
      famous_ = true;
      person.birth = DayOf(Civil{1911, 2, 28});
      person.birth_form = BirthForm::kNotInCalendar;
    }
    Random& random = world_.random;
    const Day birth = person.birth;
    Notice notice{Kind::kEntry, Reason::kExOfficioEntry, std::max(kNetworkOpened, birth), 0};
    if (person.foreign) {
      notice.changed_on = std::max(kForeignersJoined, birth);
      if (random.Chance(700'000)) MoveIn(std::max(notice.changed_on, today - 3650), today, notice);
    } else if (birth >= kNetworkOpened && random.Chance(680'000)) {
      notice.reason = Reason::kBirth;
      notice.changed_on = birth;
    } else if (random.Chance(450'000)) {
      MoveIn(notice.changed_on, today, notice);
    }
    // All in one night, in the order in which they are made.
    notice.notified_at =
        StartOf(today) + 3600 + static_cast<Moment>(std::uint64_t{id} * 72000 / options_.residents);
    recorder_.Emit(id, notice);
  }

  void MoveIn(Day first, Day today, Notice& notice) {
    notice.reason = Reason::kMoveIn;
    notice.changed_on = world_.random.Between(first, std::max(first, today - 1));
  }

  Status FinishRound(int round, Day last) {
    ASSIGN_OR_RETURN(const RoundTotals totals, files_.EndRound());
    ++summary_.rounds;
    summary_.files += totals.files;
    summary_.notices += totals.notices;
    summary_.bytes += totals.bytes;
    CountPersons();
    std::string until;
    AppendDate(last, until);
    rounds_ += fmt::format(
        "{}    {{\"round\": \"{:04}\", \"until\": \"{}\", \"files\": {}, \"notices\": {}, "
        "\"residents\": {}, \"removed\": {}}}",
        round == 1 ? "" : ",\n", round, until, totals.files, totals.notices, summary_.residents,
        summary_.removed);
    if (options_.progress) options_.progress(summary_.notices, std::max(total_, summary_.notices));
    return {};
  }

  void CountPersons() {
    summary_.residents = static_cast<std::uint64_t>(
        std::count_if(world_.persons.begin(), world_.persons.end(),
                      [](const Person& person) { return person.resident; }));
    summary_.removed = world_.persons.size() - summary_.residents;
  }

  // The person with the longest history of those whom `wanted` accepts.
  template <typename Wanted>
  void AppendExample(std::string_view what, Wanted wanted, std::string& out) const {
    const Person* best = nullptr;
    for (const Person& person : world_.persons) {
      if (wanted(person) && (best == nullptr || person.updates > best->updates)) best = &person;
    }
    if (best == nullptr) return;
    out += fmt::format("{}    {{\"description\": \"{}\", \"notices\": {}, \"resident_code\": \"",
                       out.empty() ? "" : ",\n", what, best->updates);
    AppendResidentCode(world_, best->code, out);
    out += "\"}";
  }

  std::string Examples() const {
    std::string out;
    AppendExample("longest history", [](const Person&) { return true; }, out);
    AppendExample(
        "moved between municipalities of the prefecture, resident",
        [](const Person& p) { return p.moved_between && p.resident; }, out);
    AppendExample(
        "resident code changed, resident",
        [](const Person& p) { return p.code_changed && p.resident; }, out);
    AppendExample(
        "foreign resident with an alias",
        [](const Person& p) { return p.foreign && p.has_alias && p.resident; }, out);
    AppendExample(
        "former name recorded", [](const Person& p) { return p.has_former_name && p.resident; },
        out);
    AppendExample(
        "external glyph in the name",
        [](const Person& p) { return p.glyph != Glyph::kNone && p.resident; }, out);
    AppendExample(
        "birth on a day that is in no calendar",
        [](const Person& p) { return p.birth_form == BirthForm::kNotInCalendar; }, out);
    AppendExample("died", [](const Person& p) { return p.dead; }, out);
    AppendExample("removed, not dead", [](const Person& p) { return !p.resident && !p.dead; }, out);
    return out;
  }

  std::string Manifest() const {
    return fmt::format(
        "{{\n  \"format\": \"daicho-generated/1\",\n  \"seed\": {},\n  \"residents\": {},\n"
        "  \"years\": {},\n  \"rounds\": [\n{}\n  ],\n"
        "  \"final\": {{\"residents\": {}, \"removed\": {}, \"notices\": {}, \"files\": {}, "
        "\"bytes\": {}}},\n  \"examples\": [\n{}\n  ]\n}}",
        options_.seed, options_.residents, options_.years, rounds_, summary_.residents,
        summary_.removed, summary_.notices, summary_.files, summary_.bytes, Examples());
  }

  const GenerateOptions& options_;
  NoticeFiles files_;
  World world_;
  Recorder recorder_;
  const int last_round_;
  const std::uint64_t total_;
  bool famous_ = false;
  std::string rounds_;
  GenerateSummary summary_;
};

}  // namespace
}  // namespace generate

Result<GenerateSummary> Generate(const GenerateOptions& options) {
  if (options.residents < 1 || options.residents > kGenerateResidentsMax) {
    return Invalid(fmt::format("residents must be 1 to {}", kGenerateResidentsMax));
  }
  if (options.years < 0 || options.years > kGenerateYearsMax) {
    return Invalid(fmt::format("years must be 0 to {}", kGenerateYearsMax));
  }
  if (options.out.empty()) return Invalid("no directory to write to");
  generate::Data data = generate::LoadData();
  std::vector<std::string> issuers;
  for (const generate::Municipality& m : data.municipalities) issuers.push_back(m.code);
  ASSIGN_OR_RETURN(generate::NoticeFiles files,
                   generate::NoticeFiles::Create(options.out, std::move(issuers)));
  return generate::Generator(options, std::move(files), std::move(data)).Run();
}

}  // namespace daicho
