#include "consumers/tlog_endpoints.h"

#include <algorithm>
#include <charconv>

#include "events/event.h"
#include "events/tree_head.h"
#include "ledger/sequencer.h"

namespace daicho {
namespace {

using std::chrono::milliseconds;

constexpr int kLevelMax = 7;  // 8 · 8 = 64: every tree there can be
constexpr std::size_t kEntryBytesMax = 0xffff;
constexpr const char* kForever = "public, max-age=31536000, immutable";

template <typename Number>
bool ToNumber(std::string_view text, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

std::string Digits3(std::uint64_t number) {
  const std::string digits = std::to_string(number);
  return std::string(3 - digits.size(), '0') + digits;
}

std::string FormatIndex(std::uint64_t index) {
  std::string out = Digits3(index % 1000);
  while ((index /= 1000) > 0) out = "x" + Digits3(index % 1000) + "/" + out;
  return out;
}

HttpResponse Refuse(const Status& status) {
  const int code = status.code() == Code::kInvalid ? 400 : status.code() == Code::kNotFound ? 404 : 503;
  // What is wrong inside is told in the node's own log, not to whoever asks.
  return {code, "text/plain; charset=utf-8", (code == 503 ? "the ledger cannot be read now" : status.message()) + "\n",
          {{"Cache-Control", "no-store"}}};
}

Result<std::string> ReadTile(const TlogSource& source, const TilePath& tile) {
  if (!tile.entries) return source.tile(tile.level, tile.index, tile.width);
  ASSIGN_OR_RETURN(const std::string note, source.checkpoint());
  ASSIGN_OR_RETURN(const TreeHead head, ParseTreeHead(note));
  if (tile.index > head.size / kTileWidth || tile.index * kTileWidth + tile.width > head.size) {
    return NotFound("the published ledger has " + std::to_string(head.size) + " entries");
  }
  return ReadEntryBundle(*source.log, source.ledger_topic, tile.index, tile.width);
}

}  // namespace

std::string FormatTilePath(const TilePath& tile) {
  return "tile/" + (tile.entries ? std::string("entries") : std::to_string(tile.level)) + "/" +
         FormatIndex(tile.index) + (tile.width == kTileWidth ? "" : ".p/" + std::to_string(tile.width));
}

Result<TilePath> ParseTilePath(std::string_view path) {
  const Status bad = Invalid("a tile is tile/<level>/<index>[.p/<width>]");
  TilePath out;
  std::string_view rest = path;
  if (!rest.starts_with("tile/")) return bad;
  rest.remove_prefix(5);
  const std::size_t slash = rest.find('/');
  if (slash == std::string_view::npos) return bad;
  out.entries = rest.substr(0, slash) == "entries";
  if (!out.entries && !ToNumber(rest.substr(0, slash), out.level)) return bad;
  rest.remove_prefix(slash + 1);
  if (const std::size_t partial = rest.find(".p/"); partial != std::string_view::npos) {
    if (!ToNumber(rest.substr(partial + 3), out.width)) return bad;
    rest = rest.substr(0, partial);
  }
  std::string digits(rest);
  std::erase_if(digits, [](char c) { return c == 'x' || c == '/'; });
  // Written anew it must be the same: that refuses every other spelling.
  const bool good = ToNumber(digits, out.index) && out.level >= 0 && out.level <= kLevelMax && out.width > 0 &&
                    out.width <= kTileWidth && FormatTilePath(out) == path;
  return good ? Result<TilePath>(out) : bad;
}

Result<std::string> ReadEntryBundle(Log& log, const std::string& topic, std::uint64_t index, unsigned width) {
  const std::uint64_t first = index * kTileWidth;
  ASSIGN_OR_RETURN(const Bounds bounds, log.GetBounds(topic));
  ASSIGN_OR_RETURN(const Cursor from, FindEntry(log, topic, Position(first)));
  ASSIGN_OR_RETURN(auto reader, log.OpenReader());
  RETURN_IF_ERROR(reader->Assign(topic, from).status());
  std::string out;
  unsigned read = 0;
  while (read < width && reader->Next(0) < bounds.end) {
    ASSIGN_OR_RETURN(const auto records, reader->Poll(width - read, milliseconds(100)));
    for (const Received& record : records) {
      EntryView entry;
      RETURN_IF_ERROR(ParseEntry(record.value, entry));
      ASSIGN_OR_RETURN(const v1::EntryLeaf leaf, ParseLeaf(entry.leaf));
      if (leaf.position() != first + read) return Tampered("the ledger's positions have a gap");
      if (entry.leaf.size() > kEntryBytesMax) return Unsupported("an entry is larger than a bundle takes");
      out.push_back(static_cast<char>(entry.leaf.size() >> 8));
      out.push_back(static_cast<char>(entry.leaf.size()));
      out += entry.leaf;
      ++read;
    }
  }
  if (read < width) return NotFound("the ledger ends before");
  return out;
}

std::optional<HttpResponse> AnswerTlog(const TlogSource& source, const HttpRequest& request) {
  const std::string path = request.target.substr(0, request.target.find('?'));
  const bool tile = path.starts_with("/tile/");
  if (path != "/healthz" && path != "/checkpoint" && !tile) return std::nullopt;
  if (request.method != "GET") return HttpResponse{405, "text/plain", "GET only\n", {{"Allow", "GET, HEAD"}}};
  if (path == "/healthz") return HttpResponse{200, "text/plain", "ok\n", {{"Cache-Control", "no-store"}}};
  if (path == "/checkpoint") {
    auto note = source.checkpoint();
    if (!note.ok()) return Refuse(note.status());
    return HttpResponse{200, "text/plain; charset=utf-8", std::move(*note), {{"Cache-Control", "no-cache"}}};
  }
  const auto parsed = ParseTilePath(std::string_view(path).substr(1));
  if (!parsed.ok()) return Refuse(parsed.status());
  auto bytes = ReadTile(source, *parsed);
  if (!bytes.ok()) return Refuse(bytes.status());
  return HttpResponse{200, "application/octet-stream", std::move(*bytes), {{"Cache-Control", kForever}}};
}

}  // namespace daicho
