#include "consumers/kikou_others.h"

#include <array>
#include <cstdio>
#include <set>

#include "consumers/generate/data.h"
#include "events/codes.h"

namespace daicho {
namespace {

struct Capital {
  const char* municipality;
  const char* place;  // how its addresses begin
};
constexpr std::array<Capital, 8> kCapitals = {{{"131016", "丸の内"},
                                               {"011002", "北一条西"},
                                               {"041009", "青葉町"},
                                               {"111007", "高砂"},
                                               {"141003", "本町"},
                                               {"231002", "三の丸"},
                                               {"271004", "中之島"},
                                               {"401307", "天神"}}};

}  // namespace

std::vector<v1::HeldCopy> MakeOthers(std::uint64_t count, std::uint64_t seed) {
  const generate::Data data = generate::LoadData();
  generate::Random random(seed);
  std::vector<v1::HeldCopy> out;
  std::set<std::string> codes;
  const auto below = [&](std::size_t bound) { return static_cast<int>(random.Below(static_cast<std::uint32_t>(bound))); };
  char text[64];
  while (out.size() < count) {
    std::string code = std::to_string(1'000'000'000ull + random.Next() % 9'000'000'000ull);
    code += ResidentCodeCheckDigit(code);
    if (!codes.insert(code).second) continue;
    v1::HeldCopy& row = out.emplace_back();
    row.set_resident_code(code);
    row.set_update_number(1);
    v1::ResidentRecord& record = *row.mutable_record();
    const int decade = below(generate::kDecadeCount);
    const bool female = random.Chance(500'000);
    const generate::Surname& surname = data.surnames[data.surname_weights.Draw(random)];
    const generate::GivenGroup& group = data.given[female ? 1 : 0][static_cast<std::size_t>(decade)];
    const generate::GivenName& given = data.given_names[group.names[group.weights.Draw(random)]];
    record.set_name(surname.forms.front() + " " + given.name);
    record.set_kana(surname.kana + " " + given.kana);
    record.set_kana_certified(true);
    const int year = generate::kDecadeFirst + 10 * decade + below(5);
    const int month = 1 + below(12);
    std::snprintf(text, sizeof text, "%04d-%02d-%02d", year, month, 1 + below(28));
    record.set_birth(text);
    record.set_sex(female ? v1::SEX_FEMALE : v1::SEX_MALE);
    const Capital& capital = kCapitals[static_cast<std::size_t>(below(kCapitals.size()))];
    record.mutable_address()->set_municipality(capital.municipality);
    const int block = 1 + below(40);
    record.mutable_address()->set_text(capital.place + std::to_string(block) + "番地" + std::to_string(1 + below(30)));
    std::string number = std::to_string(10'000'000'000ull + random.Next() % 90'000'000'000ull);
    number += IndividualNumberCheckDigit(number);
    record.set_individual_number(number);
  }
  return out;
}

}  // namespace daicho
