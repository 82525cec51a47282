#include "consumers/generate/notice.h"

#include <zlib.h>

#include <array>
#include <string_view>

#include "events/codes.h"

namespace daicho::generate {
namespace {

constexpr std::array<std::string_view, 3> kKinds = {"entry", "removal", "amend"};
constexpr std::array<std::string_view, 14> kReasons = {
    "move_in",
    "birth",
    "ex_officio_entry",
    "move_out",
    "death",
    "ex_officio_removal",
    "address_change",
    "minor_amendment",
    "ex_officio_amendment",
    "resident_code_change",
    "resident_code_ex_officio",
    "individual_number_change",
    "individual_number_ex_officio",
    "individual_number_entry",
};
constexpr std::array<std::string_view, 10> kKanjiDigits = {"〇", "一", "二", "三", "四",
                                                           "五", "六", "七", "八", "九"};
constexpr std::string_view kGeta = "〓";  // stands where an external glyph's image belongs

void AppendNumber(std::uint64_t value, std::string& out) {
  std::array<char, 20> digits;
  std::size_t at = digits.size();
  do {
    digits[--at] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  out.append(digits.data() + at, digits.size() - at);
}

// Leading zeros up to `width`.
void AppendPadded(std::uint64_t value, std::size_t width, std::string& out) {
  const std::size_t begin = out.size();
  out.append(width, '0');
  for (std::size_t at = begin + width; value != 0; value /= 10) {
    out[--at] = static_cast<char>('0' + value % 10);
  }
}

void AppendWide(unsigned value, std::string& out) {
  std::string narrow;
  AppendNumber(value, narrow);
  for (const char digit : narrow) {
    out += "\xef\xbc";  // U+FF10 … U+FF19
    out += static_cast<char>(0x90 + (digit - '0'));
  }
}

void AppendIndividualNumber(const World& world, std::uint32_t counter, std::string& out) {
  const std::size_t begin = out.size();
  AppendPadded(world.numbers(counter), 11, out);
  out += IndividualNumberCheckDigit(std::string_view(out).substr(begin));
}

const std::string& Form(const World& world, SurnameRef surname) {
  return world.data.surnames[surname.surname].forms[surname.form];
}

void AppendGiven(const World& world, const Person& person, std::string& out) {
  const GivenName& given = world.data.given_names[person.given];
  out += person.given_as_variant ? given.variant : given.name;
}

std::size_t FirstCharacterBytes(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  return lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
}

void AppendSurname(const World& world, const Person& person, std::string& out) {
  std::string_view surname = Form(world, person.surname);
  if (person.glyph == Glyph::kSurname) {
    out += kGeta;
    surname.remove_prefix(FirstCharacterBytes(surname));
    // A variation selector belongs to the character that is gone.
    if (surname.size() >= 4 && surname.substr(0, 2) == "\xf3\xa0") surname.remove_prefix(4);
  }
  out += surname;
}

void AppendForeignName(const World& world, const Person& person, bool latin, std::string& out) {
  const auto& names = world.data.foreign_names;
  const auto part = [&](std::uint16_t index) {
    out += latin ? names[index].latin : names[index].text;
  };
  part(person.foreign_family);
  out += ' ';
  part(person.foreign_given);
  if (person.foreign_middle != 0xffff) {
    out += ' ';
    part(person.foreign_middle);
  }
}

void AppendNames(const World& world, const Person& person, std::string& out) {
  out += "\"name\":\"";
  if (person.foreign) {
    AppendForeignName(world, person, person.name_in_latin, out);
    out += "\",\"kana\":\"";
  } else {
    AppendSurname(world, person, out);
    out += ' ';
    AppendGiven(world, person, out);
    out += "\",\"kana\":\"";
    out += world.data.surnames[person.surname.surname].kana;
    out += ' ';
    out += world.data.given_names[person.given].kana;
  }
  out += person.kana_certified ? "\",\"kana_certified\":true" : "\",\"kana_certified\":false";
  if (person.has_former_name) {
    out += ",\"former_name\":{\"name\":\"";
    out += Form(world, person.birth_surname);
    out += "\",\"kana\":\"";
    out += world.data.surnames[person.birth_surname.surname].kana;
    out += "\"}";
  }
  if (person.has_alias) {
    out += ",\"alias\":{\"name\":\"";
    out += Form(world, person.alias_surname);
    out += ' ';
    AppendGiven(world, person, out);
    out += "\",\"kana\":\"";
    out += world.data.surnames[person.alias_surname.surname].kana;
    out += ' ';
    out += world.data.given_names[person.given].kana;
    out += "\"}";
  }
  if (person.foreign) {
    out += ",\"latin_name\":\"";
    AppendForeignName(world, person, true, out);
    out += '"';
  }
}

void AppendBirth(const Person& person, std::string& out) {
  const std::size_t begin = out.size();
  AppendDate(person.birth, out);
  switch (person.birth_form) {
    case BirthForm::kExact:
      break;
    case BirthForm::kNoDay:
      out.replace(begin + 8, 2, "??");
      break;
    case BirthForm::kNoMonth:
      out.replace(begin + 5, 5,
                  "?"
                  "?-?"
                  "?");
      break;
    case BirthForm::kUnknown:
      out.replace(begin, 10,
                  "?"
                  "?"
                  "?"
                  "?-?"
                  "?-?"
                  "?");
      break;
    case BirthForm::kNotInCalendar:
      out.replace(begin + 5, 5, "02-29");
      break;
  }
}

void AppendAddressText(const World& world, const AddressRef& address, std::string& out) {
  const Town& town = world.data.towns[address.town];
  out += town.name;
  if (address.chome != 0) {
    out += kKanjiDigits[address.chome];
    out += "丁目";
  }
  AppendWide(address.block, out);
  if (town.numbering == Numbering::kBlocks && address.number != 0) {
    out += "番";
    AppendWide(address.number, out);
    out += "号";
  } else {
    out += "番地";
    if (address.number != 0) {
      AppendWide(address.number, out);
    }
  }
  if (address.building == 0xffff) return;
  const auto& heads = world.data.building_heads;
  out += "　";
  out += heads[address.building % heads.size()];
  out += world.data.building_tails[address.building / heads.size()];
  AppendWide(address.room, out);
  out += "号室";
}

void AppendAddress(const World& world, const AddressRef& address, std::string& out) {
  const Town& town = world.data.towns[address.town];
  out += "\"address\":{\"municipality\":\"";
  out += world.data.municipalities[address.municipality].code;
  out += "\",\"town\":\"";
  out += town.code;
  AppendPadded(address.chome, 3, out);
  out += "\",\"text\":\"";
  AppendAddressText(world, address, out);
  if (!town.postal_code.empty()) {
    out += "\",\"postal_code\":\"";
    out += town.postal_code;
  }
  out += "\"}";
}

void AppendBigEndian(std::uint32_t value, std::string& out) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
}

void AppendChunk(std::string_view type, std::string_view body, std::string& out) {
  AppendBigEndian(static_cast<std::uint32_t>(body.size()), out);
  const std::size_t begin = out.size();
  out += type;
  out += body;
  const auto* bytes = reinterpret_cast<const Bytef*>(out.data() + begin);
  AppendBigEndian(
      static_cast<std::uint32_t>(crc32(0, bytes, static_cast<uInt>(type.size() + body.size()))),
      out);
}

// 24 by 24 black on white, strokes drawn from the seed. Stored, not compressed: the bytes must not
// depend on the version of zlib.
std::string GlyphPng(std::uint64_t seed) {
  constexpr unsigned kSide = 24;
  std::string rows;
  Random random(seed);
  const unsigned columns = random.Below(1u << kSide) | 0x201004;
  for (unsigned y = 0; y < kSide; ++y) {
    const bool stroke = y % (3 + random.Below(3)) == 0;
    const unsigned ink = y < 2 || y > 21 ? 0 : stroke ? 0x3ffffc : columns & 0x0c300c;
    const unsigned paper = ~ink;
    rows += '\0';
    for (int shift = 16; shift >= 0; shift -= 8) rows += static_cast<char>(paper >> shift & 0xff);
  }
  const auto length = static_cast<unsigned>(rows.size());
  std::string deflated("\x78\x01\x01", 3);
  for (const unsigned size : {length, ~length}) {
    deflated += static_cast<char>(size & 0xff);
    deflated += static_cast<char>(size >> 8 & 0xff);
  }
  deflated += rows;
  AppendBigEndian(static_cast<std::uint32_t>(adler32(1, reinterpret_cast<const Bytef*>(rows.data()),
                                                     static_cast<uInt>(length))),
                  deflated);
  std::string header;
  AppendBigEndian(kSide, header);
  AppendBigEndian(kSide, header);
  header += std::string_view("\x01\x00\x00\x00\x00", 5);
  std::string png("\x89PNG\r\n\x1a\n");
  AppendChunk("IHDR", header, png);
  AppendChunk("IDAT", deflated, png);
  AppendChunk("IEND", "", png);
  return png;
}

void AppendBase64(std::string_view bytes, std::string& out) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::string_view three = bytes.substr(at, 3);
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      bits = bits << 8 | (i < three.size() ? static_cast<unsigned char>(three[i]) : 0u);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      out += i > three.size() ? '=' : kAlphabet[bits >> (18 - 6 * i) & 0x3f];
    }
  }
}

void AppendRecord(const World& world, const Person& person, std::string& out) {
  out += "\"record\":{";
  AppendNames(world, person, out);
  out += ",\"birth\":\"";
  AppendBirth(person, out);
  out += person.female ? "\",\"sex\":\"female\"," : "\",\"sex\":\"male\",";
  AppendAddress(world, person.address, out);
  out += ",\"individual_number\":\"";
  if (person.number != kNoIndex) AppendIndividualNumber(world, person.number, out);
  out += '"';
  if (!person.foreign && person.glyph == Glyph::kSurname) {
    out += ",\"external_glyphs\":[{\"field\":\"name\",\"index\":0,\"image_png\":\"";
    AppendBase64(GlyphPng(person.surname.surname), out);
    out += "\"}]";
  }
  out += '}';
}

}  // namespace

void AppendResidentCode(const World& world, std::uint32_t counter, std::string& out) {
  const std::size_t begin = out.size();
  AppendPadded(world.codes(counter), 10, out);
  out += ResidentCodeCheckDigit(std::string_view(out).substr(begin));
}

void AppendNotice(const World& world, const Person& person, const Notice& notice,
                  std::string& out) {
  out += "{\"resident_code\":\"";
  AppendResidentCode(world, person.code, out);
  out += "\",\"update_number\":";
  AppendNumber(person.updates, out);
  out += ",\"kind\":\"";
  out += kKinds[static_cast<std::size_t>(notice.kind)];
  out += "\",\"reason\":\"";
  out += kReasons[static_cast<std::size_t>(notice.reason)];
  out += "\",\"changed_on\":\"";
  AppendDate(notice.changed_on, out);
  out += "\",\"notified_at\":\"";
  AppendMoment(notice.notified_at, out);
  out += "\",";
  if (notice.cancels != 0) {
    out += "\"cancels\":";
    AppendNumber(notice.cancels, out);
    out += ',';
  }
  if (notice.former_code != kNoIndex) {
    out += "\"former_resident_code\":\"";
    AppendResidentCode(world, notice.former_code, out);
    out += "\",";
  }
  if (notice.former_number != kNoIndex) {
    out += "\"former_individual_number\":\"";
    AppendIndividualNumber(world, notice.former_number, out);
    out += "\",";
  }
  AppendRecord(world, person, out);
  out += '}';
}

}  // namespace daicho::generate
