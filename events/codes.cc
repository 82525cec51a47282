#include "events/codes.h"

#include <algorithm>

#include "events/result.h"

namespace daicho {
namespace {

// Σ digit × weight, the weights running 2, 3, 4 … from the right and starting again after `last`.
unsigned WeightedSum(std::string_view digits, unsigned last) {
  unsigned sum = 0;
  unsigned weight = 2;
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit) {
    sum += static_cast<unsigned>(*digit - '0') * weight;
    weight = weight == last ? 2 : weight + 1;
  }
  return sum;
}

// 個人番号 and 住民票コード share the scheme: remainders 0 and 1 both give 0.
char PersonCheckDigit(std::string_view digits) {
  const unsigned remainder = WeightedSum(digits, 7) % 11;
  return static_cast<char>('0' + (remainder <= 1 ? 0 : 11 - remainder));
}

}  // namespace

bool IsDigits(std::string_view text, std::size_t count) {
  return text.size() == count &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

char IndividualNumberCheckDigit(std::string_view first_digits) {
  CHECK(IsDigits(first_digits, kIndividualNumberDigits - 1));
  return PersonCheckDigit(first_digits);
}

char ResidentCodeCheckDigit(std::string_view first_digits) {
  CHECK(IsDigits(first_digits, kResidentCodeDigits - 1));
  return PersonCheckDigit(first_digits);
}

char MunicipalityCodeCheckDigit(std::string_view first_digits) {
  CHECK(IsDigits(first_digits, kMunicipalityCodeDigits - 1));
  return static_cast<char>('0' + (11 - WeightedSum(first_digits, 6) % 11) % 10);
}

bool IsValidIndividualNumber(std::string_view number) {
  return IsDigits(number, kIndividualNumberDigits) &&
         number.back() == PersonCheckDigit(number.substr(0, kIndividualNumberDigits - 1));
}

bool IsValidResidentCode(std::string_view code) {
  return IsDigits(code, kResidentCodeDigits) &&
         code.back() == PersonCheckDigit(code.substr(0, kResidentCodeDigits - 1));
}

bool IsValidMunicipalityCode(std::string_view code) {
  return IsDigits(code, kMunicipalityCodeDigits) &&
         code.back() == MunicipalityCodeCheckDigit(code.substr(0, kMunicipalityCodeDigits - 1));
}

const Municipality* FindMunicipality(std::string_view code) {
  const auto found = std::lower_bound(
      kMunicipalities.begin(), kMunicipalities.end(), code,
      [](const Municipality& municipality, std::string_view c) { return municipality.code < c; });
  return found != kMunicipalities.end() && found->code == code ? found : nullptr;
}

}  // namespace daicho
