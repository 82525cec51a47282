// Check digits against every published example we know, and what a check digit can and cannot
// catch.
#include "events/codes.h"

#include <gtest/gtest.h>

#include <string>

namespace daicho {
namespace {

TEST(IndividualNumber, AcceptsPublishedExamples) {
  for (const char* number :
       {"123456789018", "379474484458", "454972364860", "507957100721", "983205673214"}) {
    EXPECT_TRUE(IsValidIndividualNumber(number)) << number;
  }
}

TEST(ResidentCode, AcceptsPublishedExamples) {
  for (const char* code : {"24727059608", "24846016224", "25208017643", "12345678903"}) {
    EXPECT_TRUE(IsValidResidentCode(code)) << code;
  }
}

TEST(ResidentCode, RefusesPublishedCounterexamples) {
  for (const char* code : {"25208017644", "12345678901"}) {
    EXPECT_FALSE(IsValidResidentCode(code)) << code;
  }
}

TEST(MunicipalityCode, AcceptsGunmaAndItsMunicipalities) {
  EXPECT_TRUE(IsValidMunicipalityCode(kPrefectureCode));
  for (const Municipality& municipality : kMunicipalities) {
    EXPECT_TRUE(IsValidMunicipalityCode(municipality.code)) << municipality.name;
    EXPECT_TRUE(municipality.code.starts_with(kPrefectureNumber));
  }
}

TEST(MunicipalityCode, AcceptsRemaindersThatWrapAround) {
  EXPECT_TRUE(IsValidMunicipalityCode("131016"));       // 千代田区
  EXPECT_EQ(MunicipalityCodeCheckDigit("10204"), '1');  // remainder 10
  EXPECT_EQ(MunicipalityCodeCheckDigit("00000"), '1');  // remainder 0
}

TEST(Codes, RefuseWrongLengthsAndCharacters) {
  EXPECT_FALSE(IsValidIndividualNumber(""));
  EXPECT_FALSE(IsValidIndividualNumber("12345678901"));
  EXPECT_FALSE(IsValidIndividualNumber("1234567890180"));
  EXPECT_FALSE(IsValidIndividualNumber("12345678901a"));
  EXPECT_FALSE(IsValidIndividualNumber(" 23456789018"));
  EXPECT_FALSE(IsValidIndividualNumber("１23456789018"));
  EXPECT_FALSE(IsValidResidentCode("2472705960"));
  EXPECT_FALSE(IsValidResidentCode("-4727059608"));
  EXPECT_FALSE(IsValidMunicipalityCode("10201"));
  EXPECT_FALSE(IsValidMunicipalityCode("10201x"));
}

// Remainders 0 and 1 share a check digit, so a change between just these two escapes; everything
// else is caught. The classes are recomputed here from the published formula.
TEST(IndividualNumber, CatchesEverySingleDigitErrorButTheKnownClass) {
  const std::string good = "123456789018";
  const auto remainder = [](const std::string& number) {
    int sum = 0;
    for (int n = 1; n <= 11; ++n) {
      sum += (number[static_cast<std::size_t>(11 - n)] - '0') * (n <= 6 ? n + 1 : n - 5);
    }
    return sum % 11;
  };
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (char digit = '0'; digit <= '9'; ++digit) {
      std::string bad = good;
      bad[at] = digit;
      if (bad == good) continue;
      const bool escapes = at < 11 && remainder(bad) <= 1 && remainder(good) <= 1;
      EXPECT_EQ(IsValidIndividualNumber(bad), escapes) << bad;
    }
  }
}

TEST(Codes, CompleteWhatTheyThenAccept) {
  for (unsigned i = 0; i < 2000; ++i) {
    const std::string digits = std::to_string(30'000'000'000 + i * 7'654'321ull);
    const std::string eleven = digits.substr(0, 11);
    EXPECT_TRUE(IsValidIndividualNumber(eleven + IndividualNumberCheckDigit(eleven)));
    const std::string ten = digits.substr(0, 10);
    EXPECT_TRUE(IsValidResidentCode(ten + ResidentCodeCheckDigit(ten)));
    const std::string five = digits.substr(6, 5);
    EXPECT_TRUE(IsValidMunicipalityCode(five + MunicipalityCodeCheckDigit(five)));
  }
}

TEST(Municipalities, AreFoundByCodeOnly) {
  for (const Municipality& municipality : kMunicipalities) {
    EXPECT_EQ(FindMunicipality(municipality.code), &municipality);
  }
  EXPECT_EQ(FindMunicipality("103837")->kana, "なんもくむら");
  EXPECT_EQ(FindMunicipality(kPrefectureCode), nullptr);
  EXPECT_EQ(FindMunicipality("131016"), nullptr);
  EXPECT_EQ(FindMunicipality(""), nullptr);
}

}  // namespace
}  // namespace daicho
