// The three numbers that identify a person or a municipality, their check digits, and the tables of
// Gunma's municipalities and 郡. A check digit filters typing errors; it proves nothing about existence.
#pragma once

#include <array>
#include <string_view>

namespace daicho {

inline constexpr std::size_t kIndividualNumberDigits = 12;  // 個人番号
inline constexpr std::size_t kResidentCodeDigits = 11;      // 住民票コード
inline constexpr std::size_t kMunicipalityCodeDigits = 6;   // 全国地方公共団体コード

// True if `text` is exactly `count` ASCII digits.
bool IsDigits(std::string_view text, std::size_t count);

// Right length, digits only, check digit agrees.
bool IsValidIndividualNumber(std::string_view number);
bool IsValidResidentCode(std::string_view code);
bool IsValidMunicipalityCode(std::string_view code);

// The digit that completes a number, '0' to '9'.
// Requires: exactly the digits before it (11, 10 and 5).
char IndividualNumberCheckDigit(std::string_view first_digits);  // 平26総務省令85号5条
char ResidentCodeCheckDigit(std::string_view first_digits);      // 規則1条, 総務大臣告示
char MunicipalityCodeCheckDigit(std::string_view first_digits);

struct Municipality {
  std::string_view code;
  std::string_view name;  // 漢字
  std::string_view kana;  // with the reading of 市, 町 or 村
};

inline constexpr std::string_view kPrefectureNumber = "10";
inline constexpr std::string_view kPrefectureCode = "100005";  // 群馬県

// In ascending order of code.
inline constexpr std::array<Municipality, 35> kMunicipalities = {{
    {"102016", "前橋市", "まえばしし"},
    {"102024", "高崎市", "たかさきし"},
    {"102032", "桐生市", "きりゅうし"},
    {"102041", "伊勢崎市", "いせさきし"},
    {"102059", "太田市", "おおたし"},
    {"102067", "沼田市", "ぬまたし"},
    {"102075", "館林市", "たてばやしし"},
    {"102083", "渋川市", "しぶかわし"},
    {"102091", "藤岡市", "ふじおかし"},
    {"102105", "富岡市", "とみおかし"},
    {"102113", "安中市", "あんなかし"},
    {"102121", "みどり市", "みどりし"},
    {"103446", "榛東村", "しんとうむら"},
    {"103454", "吉岡町", "よしおかまち"},
    {"103667", "上野村", "うえのむら"},
    {"103675", "神流町", "かんなまち"},
    {"103829", "下仁田町", "しもにたまち"},
    {"103837", "南牧村", "なんもくむら"},
    {"103845", "甘楽町", "かんらまち"},
    {"104213", "中之条町", "なかのじょうまち"},
    {"104248", "長野原町", "ながのはらまち"},
    {"104256", "嬬恋村", "つまごいむら"},
    {"104264", "草津町", "くさつまち"},
    {"104281", "高山村", "たかやまむら"},
    {"104299", "東吾妻町", "ひがしあがつままち"},
    {"104434", "片品村", "かたしなむら"},
    {"104442", "川場村", "かわばむら"},
    {"104485", "昭和村", "しょうわむら"},
    {"104493", "みなかみ町", "みなかみまち"},
    {"104647", "玉村町", "たまむらまち"},
    {"105210", "板倉町", "いたくらまち"},
    {"105228", "明和町", "めいわまち"},
    {"105236", "千代田町", "ちよだまち"},
    {"105244", "大泉町", "おおいずみまち"},
    {"105252", "邑楽町", "おうらまち"},
}};

// 郡 of Gunma. Those of one 郡 stand together in kMunicipalities.
struct District {
  std::string_view name;
  std::string_view first;  // code of its first municipality
  std::string_view last;

  constexpr bool Has(std::string_view code) const { return first <= code && code <= last; }
};
inline constexpr std::array<District, 7> kDistricts = {{
    {"北群馬郡", "103446", "103454"},
    {"多野郡", "103667", "103675"},
    {"甘楽郡", "103829", "103845"},
    {"吾妻郡", "104213", "104299"},
    {"利根郡", "104434", "104493"},
    {"佐波郡", "104647", "104647"},
    {"邑楽郡", "105210", "105252"},
}};

// The municipality with that code, or null.
const Municipality* FindMunicipality(std::string_view code);

}  // namespace daicho
