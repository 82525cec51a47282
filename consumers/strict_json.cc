#include "consumers/strict_json.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "events/characters.h"
#include "events/result.h"

namespace daicho {
namespace {

using Json = nlohmann::json;

// A key as it may be repeated in an error: keys come from outside and could be anything.
std::string Printable(std::string_view key) {
  constexpr std::size_t kShownMax = 40;
  if (key.empty() || key.size() > kShownMax) return "?";
  for (const char c : key) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!plain) return "?";
  }
  return std::string(key);
}

// Receives the parser's events. Each returns false to stop the parser.
class Reader {
 public:
  Reader(const JsonSchema& schema, void* object, JsonReading& reading)
      : schema_(schema), object_(object), reading_(reading) {}

  bool null() { return Scalar(nullptr, nullptr); }
  bool boolean(bool value) {
    return Scalar([](const JsonField& f) { return f.boolean != nullptr; },
                  [&](const JsonField& f, void* object) { return f.boolean(object, value); });
  }
  bool number_unsigned(Json::number_unsigned_t value) {
    return Scalar([](const JsonField& f) { return f.number != nullptr; },
                  [&](const JsonField& f, void* object) { return f.number(object, value); });
  }
  bool number_integer(Json::number_integer_t) {
    // Only negative numbers come here.
    return Scalar([](const JsonField& f) { return f.number != nullptr; },
                  [](const JsonField&, void*) { return JsonFault{"range", "数値が範囲外です"}; });
  }
  bool number_float(Json::number_float_t, const std::string&) { return Scalar(nullptr, nullptr); }
  bool string(std::string& value) {
    return Scalar([](const JsonField& f) { return f.text != nullptr; },
                  [&](const JsonField& f, void* object) { return f.text(object, value); });
  }
  bool binary(Json::binary_t&) { return Scalar(nullptr, nullptr); }  // never in JSON text

  bool start_object(std::size_t) {
    if (skipped_depth_ > 0) return Skip();
    if (depth_ == 0) return Push(schema_, object_);
    const Frame& frame = Top();
    if (frame.field == nullptr) return Skip();
    if (frame.field->child == nullptr || frame.field->array != frame.in_array) {
      return WrongType() && Skip();
    }
    return Push(*frame.field->schema, frame.field->child(frame.object));
  }

  bool key(std::string& name) {
    if (skipped_depth_ > 0) return true;
    Frame& frame = Top();
    frame.field = nullptr;
    const std::span<const JsonField> fields = frame.schema->fields;
    // Writers keep an order, mostly ours: the search begins after the field before.
    for (std::size_t tried = 0; tried < fields.size(); ++tried) {
      const std::size_t at = frame.next + tried < fields.size()
                                 ? frame.next + tried
                                 : frame.next + tried - fields.size();
      if (fields[at].name != name) continue;
      frame.next = at + 1;
      if ((frame.seen & Bit(at)) != 0) {
        return Break(PathOf(name), "duplicate", "同じ項目が二度あります");
      }
      frame.seen |= Bit(at);
      frame.field = &fields[at];
      return true;
    }
    return Break(PathOf(Printable(name)), "unknown_field", "定められていない項目です");
  }

  bool end_object() {
    if (skipped_depth_ > 0) return Unskip();
    const Frame frame = Top();
    for (std::size_t at = 0; at < frame.schema->fields.size(); ++at) {
      const JsonField& field = frame.schema->fields[at];
      if (field.presence == kRequired && (frame.seen & Bit(at)) == 0 &&
          !Break(PathOf(field.name), "required", "必須の項目がありません")) {
        return false;
      }
    }
    --depth_;
    if (depth_ > 0 && Top().in_array) ++Top().index;
    return true;
  }

  bool start_array(std::size_t) {
    if (skipped_depth_ > 0) return Skip();
    if (depth_ == 0) return WrongType() && Skip();
    Frame& frame = Top();
    if (frame.field == nullptr) return Skip();
    if (!frame.field->array || frame.in_array) return WrongType() && Skip();
    frame.in_array = true;
    frame.index = 0;
    return true;
  }

  bool end_array() {
    if (skipped_depth_ > 0) return Unskip();
    Top().in_array = false;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const Json::exception&) {
    // What was found before is unsure in a text that is no JSON.
    reading_.breaks.clear();
    Break("", "json", "JSONとして読めません（" + std::to_string(position) + "バイト目）");
    return false;
  }

 private:
  // An object being read.
  struct Frame {
    const JsonSchema* schema = nullptr;
    void* object = nullptr;
    const JsonField* field = nullptr;  // whose value comes next; null: the value is to be skipped
    std::uint32_t seen = 0;            // bit per field
    std::size_t next = 0;
    bool in_array = false;  // inside the array that is `field`'s value
    std::size_t index = 0;  // of the array's next element
  };

  static constexpr std::uint32_t Bit(std::size_t at) { return std::uint32_t{1} << at; }

  Frame& Top() { return frames_[depth_ - 1]; }

  bool Push(const JsonSchema& schema, void* object) {
    CHECK(depth_ < frames_.size());  // schemas are ours and not that deep
    CHECK(schema.fields.size() <= 32);
    frames_[depth_++] = Frame{.schema = &schema, .object = object};
    return true;
  }

  bool Skip() {
    ++skipped_depth_;
    return true;
  }
  bool Unskip() {
    --skipped_depth_;
    return true;
  }

  // A value that is no object or array. `fits` tells whether the field takes its type.
  template <typename Fits, typename Set>
  bool Scalar(Fits fits, Set set) {
    if (skipped_depth_ > 0) return true;
    if (depth_ == 0) return WrongType();
    Frame& frame = Top();
    if (frame.field == nullptr) return true;
    if constexpr (std::is_null_pointer_v<Fits>) {
      return WrongType();
    } else {
      if (frame.in_array != frame.field->array || !fits(*frame.field)) return WrongType();
      const JsonFault fault = set(*frame.field, frame.object);
      if (frame.in_array) ++frame.index;
      return fault.rule.empty() || Break(PathOf(frame.field->name), fault.rule, fault.message);
    }
  }

  bool WrongType() {
    if (depth_ == 0) return Break("", "type", "一つのJSONオブジェクトではありません");
    Frame& frame = Top();
    std::string path = PathOf(frame.field->name);
    if (frame.in_array) {
      // An empty element takes its place, so that the elements after it keep their numbers.
      if (frame.field->child != nullptr) frame.field->child(frame.object);
      path += "[" + std::to_string(frame.index++) + "]";
    }
    return Break(std::move(path), "type", "値の型が違います");
  }

  // Path of a key of the innermost object: "record.external_glyphs[0].index".
  std::string PathOf(std::string_view name) {
    std::string path;
    for (std::size_t i = 0; i + 1 < depth_; ++i) {
      path += frames_[i].field->name;
      if (frames_[i].in_array) path += "[" + std::to_string(frames_[i].index) + "]";
      path += '.';
    }
    return path += name;
  }

  bool Break(std::string field, std::string_view rule, std::string message) {
    reading_.breaks.push_back({std::move(field), std::string(rule), std::move(message)});
    return reading_.breaks.size() < kJsonBreaksMax;
  }
  bool Break(std::string field, std::string_view rule, std::string_view message) {
    return Break(std::move(field), rule, std::string(message));
  }
  bool Break(std::string field, std::string_view rule, const char* message) {
    return Break(std::move(field), rule, std::string(message));
  }

  const JsonSchema& schema_;
  void* object_;
  JsonReading& reading_;
  std::array<Frame, kJsonDepthMax> frames_;
  std::size_t depth_ = 0;
  std::size_t skipped_depth_ = 0;  // how deep we are in a value that is not read
};

constexpr std::string_view kBase64Alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<std::int8_t, 256> kBase64Values = [] {
  std::array<std::int8_t, 256> values{};
  values.fill(-1);
  for (std::size_t i = 0; i < kBase64Alphabet.size(); ++i) {
    values[static_cast<unsigned char>(kBase64Alphabet[i])] = static_cast<std::int8_t>(i);
  }
  return values;
}();

}  // namespace

JsonReading ReadJson(std::string_view text, const JsonSchema& schema, void* object) {
  JsonReading reading;
  const auto refuse = [&](std::string_view rule, std::string_view message) {
    reading.breaks.push_back({"", std::string(rule), std::string(message)});
    return reading;
  };
  // Three things that nlohmann's lexer would let pass or call something else: it skips a byte order
  // mark, takes U+0000 for the end of the text, and reports damaged UTF-8 as any syntax error.
  if (text.starts_with("\xEF\xBB\xBF")) return refuse("bom", "バイト順マーク（BOM）は使えません");
  if (!IsValidUtf8(text)) return refuse("utf8", "UTF-8として正しくありません");
  if (text.find('\0') != std::string_view::npos) {
    return refuse("json", "JSONとして読めません（U+0000）");
  }
  Reader reader(schema, object, reading);
  reading.complete = Json::sax_parse(text.data(), text.data() + text.size(), &reader);
  return reading;
}

void AppendJsonString(std::string& out, std::string_view text) {
  out += '"';
  std::size_t plain = 0;  // start of what needs no escape
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out.append(text, plain, i - plain);
    plain = i + 1;
    if (c >= 0x20) {
      (out += '\\') += text[i];
    } else {
      constexpr std::string_view kHex = "0123456789abcdef";
      out += "\\u00";
      (out += kHex[c >> 4]) += kHex[c & 15];
    }
  }
  out.append(text, plain);
  out += '"';
}

std::string Base64Encode(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8 | (k < count ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      out += k <= count ? kBase64Alphabet[group >> (18 - 6 * k) & 63] : '=';
    }
  }
  return out;
}

bool Base64Decode(std::string_view text, std::string& bytes) {
  bytes.clear();
  if (text.size() % 4 != 0) return false;
  bytes.reserve(text.size() / 4 * 3);
  for (std::size_t i = 0; i < text.size(); i += 4) {
    const bool last = i + 4 == text.size();
    const std::size_t padding = !last || text[i + 3] != '=' ? 0 : text[i + 2] != '=' ? 1 : 2;
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      const int value =
          k >= 4 - padding ? 0 : kBase64Values[static_cast<unsigned char>(text[i + k])];
      if (value < 0) return false;
      group = group << 6 | static_cast<std::uint32_t>(value);
    }
    // Bits that padding leaves over must be zero, or two texts would mean the same bytes.
    if ((group & ((1u << (8 * padding)) - 1)) != 0) return false;
    for (std::size_t k = 0; k < 3 - padding; ++k) {
      bytes += static_cast<char>(group >> (16 - 8 * k) & 0xFF);
    }
  }
  return true;
}

}  // namespace daicho
