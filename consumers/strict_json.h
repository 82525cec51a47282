// Reads one JSON object straight into typed objects, by a table of the fields it may have. Strict:
// an unknown or repeated key, a wrong type, a missing required field, a byte order mark, damaged
// UTF-8 or anything after the object is an error, and all errors are reported, not just the first.
//
//   constexpr JsonField kAddressFields[] = {
//       JsonText<&v1::Address::mutable_municipality>("municipality", kRequired),
//       JsonText<&v1::Address::mutable_town>("town", kOptional)};
//   constexpr JsonSchema kAddressSchema = {kAddressFields};
//   JsonReading reading = ReadJson(line, kAddressSchema, &address);
//
// Works on nlohmann's SAX events: no document is built, memory is bounded by the text itself.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "events/notice_rules.h"

namespace daicho {

// Further errors of one object are not collected.
inline constexpr std::size_t kJsonBreaksMax = 100;
inline constexpr std::size_t kJsonDepthMax = 8;

// Why a value is refused; no rule: accepted. Both are literals.
struct JsonFault {
  std::string_view rule;
  std::string_view message;
};

struct JsonSchema;

enum JsonPresence : bool { kOptional = false, kRequired = true };

// One key of an object. Of the four functions the one that is set is the type of the value.
struct JsonField {
  std::string_view name;
  JsonPresence presence = kOptional;
  JsonFault (*text)(void* object, const std::string& value) = nullptr;
  JsonFault (*number)(void* object, std::uint64_t value) = nullptr;
  JsonFault (*boolean)(void* object, bool value) = nullptr;
  void* (*child)(void* object) =
      nullptr;  // where the value, an object with `schema`, is to be read
  const JsonSchema* schema = nullptr;
  bool array = false;  // an array of such objects or texts: `child` or `text` is called for each
};

struct JsonSchema {
  std::span<const JsonField> fields;  // at most 32
};

struct JsonReading {
  bool complete = false;          // the text was one JSON object, read to its end
  std::vector<RuleBreak> breaks;  // empty and complete: `object` holds all of it
};

// Fills `object`, which must be of the type the schema's functions expect.
JsonReading ReadJson(std::string_view text, const JsonSchema& schema, void* object);

// Appends `text` as a JSON string: only what JSON demands is escaped. Requires: valid UTF-8.
void AppendJsonString(std::string& out, std::string_view text);

// RFC 4648 with padding; decoding refuses every other form of the same bytes.
std::string Base64Encode(std::string_view bytes);
bool Base64Decode(std::string_view text, std::string& bytes);

// --- The table's building blocks. A member is a data member or a member function: `std::string*
// f()`, `void f(number)`, `Child* f()`.

template <typename C, typename R, typename... A>
C JsonClassOf(R (C::*)(A...));
template <typename C, typename T>
  requires std::is_object_v<T>
C JsonClassOf(T C::*);
template <auto Member>
using JsonClass = decltype(JsonClassOf(Member));

template <typename C, typename A>
A JsonArgumentOf(void (C::*)(A));

template <auto Member>
std::string& JsonTextIn(void* object) {
  auto& typed = *static_cast<JsonClass<Member>*>(object);
  if constexpr (std::is_member_object_pointer_v<decltype(Member)>) {
    return typed.*Member;
  } else {
    return *(typed.*Member)();
  }
}

template <auto Member>
constexpr JsonField JsonText(std::string_view name, JsonPresence presence) {
  return {.name = name, .presence = presence, .text = [](void* object, const std::string& value) {
            JsonTextIn<Member>(object) = value;
            return JsonFault{};
          }};
}

// An array of texts, into a std::vector<std::string>.
template <auto Member>
constexpr JsonField JsonTexts(std::string_view name, JsonPresence presence) {
  return {.name = name, .presence = presence, .text = [](void* object, const std::string& value) {
            (static_cast<JsonClass<Member>*>(object)->*Member).push_back(value);
            return JsonFault{};
          }, .array = true};
}

template <auto Member>
constexpr JsonField JsonBase64(std::string_view name, JsonPresence presence) {
  return {.name = name, .presence = presence, .text = [](void* object, const std::string& value) {
            if (Base64Decode(value, JsonTextIn<Member>(object))) return JsonFault{};
            return JsonFault{"base64", "Base64（RFC 4648、詰め文字付き）ではありません"};
          }};
}

// A word that `Parse` (std::optional<T>(std::string_view)) turns into a value.
template <auto Set, auto Parse>
constexpr JsonField JsonWord(std::string_view name, JsonPresence presence) {
  return {.name = name, .presence = presence, .text = [](void* object, const std::string& value) {
            const auto parsed = Parse(value);
            if (!parsed) return JsonFault{"unknown_value", "定められた値のいずれでもありません"};
            (static_cast<JsonClass<Set>*>(object)->*Set)(*parsed);
            return JsonFault{};
          }};
}

// A whole number from `min` to what the member can hold.
template <auto Set, std::uint64_t min = 0>
constexpr JsonField JsonNumber(std::string_view name, JsonPresence presence) {
  return {.name = name, .presence = presence, .number = [](void* object, std::uint64_t value) {
            auto& typed = *static_cast<JsonClass<Set>*>(object);
            const auto in_range = [&](auto max) { return value >= min && value <= max; };
            const JsonFault out_of_range{"range", "数値が範囲外です"};
            if constexpr (std::is_member_object_pointer_v<decltype(Set)>) {
              using T = std::remove_reference_t<decltype(typed.*Set)>;
              if (!in_range(std::numeric_limits<T>::max())) return out_of_range;
              typed.*Set = static_cast<T>(value);
            } else {
              using T = decltype(JsonArgumentOf(Set));
              if (!in_range(std::numeric_limits<T>::max())) return out_of_range;
              (typed.*Set)(static_cast<T>(value));
            }
            return JsonFault{};
          }};
}

template <auto Set>
constexpr JsonField JsonBool(std::string_view name, JsonPresence presence) {
  return {.name = name, .presence = presence, .boolean = [](void* object, bool value) {
            (static_cast<JsonClass<Set>*>(object)->*Set)(value);
            return JsonFault{};
          }};
}

template <auto Member>
constexpr JsonField JsonObject(std::string_view name, JsonPresence presence,
                               const JsonSchema& schema) {
  return {.name = name,
          .presence = presence,
          .child = [](void* object) -> void* {
            return (static_cast<JsonClass<Member>*>(object)->*Member)();
          },
          .schema = &schema};
}

template <auto Add>
constexpr JsonField JsonObjects(std::string_view name, JsonPresence presence,
                                const JsonSchema& schema) {
  JsonField field = JsonObject<Add>(name, presence, schema);
  field.array = true;
  return field;
}

}  // namespace daicho
