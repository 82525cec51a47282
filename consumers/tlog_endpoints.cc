#include "consumers/tlog_endpoints.h"

namespace daicho {
namespace {

constexpr const char* kForever = "public, max-age=31536000, immutable";

HttpResponse Text(int status, std::string body, const char* cache_control) {
  return {status, "text/plain; charset=utf-8", std::move(body), {{"Cache-Control", cache_control}}};
}

HttpResponse Refuse(const Status& status) {
  const int code = status.code() == Code::kInvalid    ? 400
                   : status.code() == Code::kNotFound ? 404
                                                      : 503;
  // What is wrong inside is told in the node's own log, not to whoever asks.
  return Text(code, (code == 503 ? "the ledger cannot be read now" : status.message()) + "\n",
              "no-store");
}

Result<std::string> Newest(const Notary& notary) {
  std::string note = notary.checkpoint();
  return note.empty() ? Result<std::string>(NotFound("no checkpoint has been published yet"))
                      : std::move(note);
}

// Nothing beyond the newest checkpoint: what is not signed yet nobody can verify.
Result<std::string> ReadTile(const Notary& notary, std::string_view path) {
  ASSIGN_OR_RETURN(const TilePath tile, ParseTilePath(path));
  ASSIGN_OR_RETURN(const std::string note, Newest(notary));
  ASSIGN_OR_RETURN(const TreeHead head, ParseTreeHead(note));
  const int shift = 8 * tile.level;  // 0 of entries
  const std::uint64_t nodes = shift < 64 ? head.size >> shift : 0;
  if (tile.index > nodes / kTileWidth || tile.index * kTileWidth + tile.width > nodes) {
    return NotFound("beyond the newest checkpoint, which is of " + std::to_string(head.size) +
                    " entries");
  }
  if (tile.entries) return notary.EntryBundle(tile.index, tile.width);
  return notary.trees().Tile(kLedgerTree, tile.level, tile.index, tile.width);
}

}  // namespace

std::optional<HttpResponse> AnswerTlog(const Notary& notary, const HttpRequest& request) {
  const std::string path = request.target.substr(0, request.target.find('?'));
  if (path != "/healthz" && path != "/checkpoint" && !path.starts_with("/tile/"))
    return std::nullopt;
  if (request.method != "GET")
    return HttpResponse{405, "text/plain", "GET only\n", {{"Allow", "GET, HEAD"}}};
  if (path == "/healthz") return Text(200, "ok\n", "no-store");
  if (path == "/checkpoint") {
    auto note = Newest(notary);
    return note.ok() ? Text(200, std::move(*note), "no-cache") : Refuse(note.status());
  }
  auto bytes = ReadTile(notary, std::string_view(path).substr(1));
  if (!bytes.ok()) return Refuse(bytes.status());
  return HttpResponse{
      200, "application/octet-stream", std::move(*bytes), {{"Cache-Control", kForever}}};
}

}  // namespace daicho
