#include "events/bytes.h"

namespace daicho {
namespace {

constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// Of each character its digit; -1: none.
constexpr std::array<std::int8_t, 256> kBase64Digits = [] {
  std::array<std::int8_t, 256> out;
  out.fill(-1);
  for (std::size_t i = 0; i < kBase64.size(); ++i) {
    out[static_cast<std::uint8_t>(kBase64[i])] = static_cast<std::int8_t>(i);
  }
  return out;
}();

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string ToHex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out(bytes.size() * 2, '\0');
  char* to = out.data();
  for (const char c : bytes) {
    *to++ = kDigits[static_cast<std::uint8_t>(c) >> 4];
    *to++ = kDigits[static_cast<std::uint8_t>(c) & 15];
  }
  return out;
}

Result<std::string> FromHex(std::string_view hex) {
  if (hex.size() % 2 != 0) return Invalid("hex text has an odd length");
  std::string out(hex.size() / 2, '\0');
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    const int high = HexDigit(hex[i]), low = HexDigit(hex[i + 1]);
    if (high < 0 || low < 0) return Invalid("not a hexadecimal digit");
    out[i / 2] = static_cast<char>(high << 4 | low);
  }
  return out;
}

std::string ToBase64(std::string_view bytes) {
  std::string out((bytes.size() + 2) / 3 * 4, '=');
  char* to = out.data();
  for (std::size_t i = 0; i < bytes.size(); i += 3, to += 4) {
    std::uint32_t group = 0;
    const std::size_t n = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8 | (k < n ? static_cast<std::uint8_t>(bytes[i + k]) : 0u);
    }
    for (std::size_t k = 0; k <= n; ++k) to[k] = kBase64[group >> (18 - 6 * k) & 63];
  }
  return out;
}

Result<std::string> FromBase64(std::string_view text) {
  if (text.size() % 4 != 0) return Invalid("base64 text has the wrong length");
  std::string out(text.size() / 4 * 3, '\0');
  char* to = out.data();
  std::uint32_t group = 0;
  std::size_t padding = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int digit = kBase64Digits[static_cast<std::uint8_t>(text[i])];
    const bool pad = text[i] == '=' && i + 2 >= text.size();
    if ((digit < 0 && !pad) || (padding > 0 && !pad)) return Invalid("not base64 text");
    padding += pad;
    group = group << 6 | (pad ? 0u : static_cast<std::uint32_t>(digit));
    if (i % 4 == 3) {
      for (std::size_t k = 0; k < 3 - padding; ++k) *to++ = static_cast<char>(group >> (16 - 8 * k));
      // The bits behind the last byte: any but 0 would be a second text of the same bytes.
      if (padding > 0 && (group & ((1u << 8 * padding) - 1)) != 0) return Invalid("base64 text is not canonical");
      group = 0;
    }
  }
  out.resize(out.size() - padding);
  return out;
}

}  // namespace daicho
