// The ledger as any reader of transparency logs reads it: C2SP tlog-tiles over HTTP. Nothing here needs a
// key or reveals a person: entries are leaves, whose contents are commitments and sealed elsewhere.
//
//   /checkpoint                  the newest signed head, with the cosignatures it has
//   /tile/<L>/<N>[.p/<W>]        256 (W) hashes of 32 bytes: nodes N·256 … of level 8·L
//   /tile/entries/<N>[.p/<W>]    256 (W) entries from N·256 on: length(2, big-endian) ‖ EntryLeaf, each
//   /healthz                     "ok"
//
// N is written in groups of three digits, all but the last with an x: 1234067 is x001/x234/067.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "consumers/http.h"
#include "ledger/log.h"

namespace daicho {

inline constexpr unsigned kTileWidth = 256;

struct TilePath {
  bool entries = false;
  int level = 0;
  std::uint64_t index = 0;
  unsigned width = kTileWidth;  // 1 to 255: a partial tile
  friend bool operator==(const TilePath&, const TilePath&) = default;
};
// Of "tile/0/x001/234.p/5". Errors: kInvalid for anything but the one way to write it.
Result<TilePath> ParseTilePath(std::string_view path);
std::string FormatTilePath(const TilePath& tile);

struct TlogSource {
  // The newest checkpoint. Errors: kNotFound before the first.
  std::function<Result<std::string>()> checkpoint;
  // `width` hashes. Errors: kNotFound when the published tree does not have them.
  std::function<Result<std::string>(int level, std::uint64_t index, unsigned width)> tile;
  Log* log = nullptr;  // borrowed
  std::string ledger_topic;
};

// `width` entries from `index`·256 on, as a bundle. Errors: kNotFound when the log has them not; kTampered,
// kCorrupt.
Result<std::string> ReadEntryBundle(Log& log, const std::string& topic, std::uint64_t index, unsigned width);

// None for a path that is not of these.
std::optional<HttpResponse> AnswerTlog(const TlogSource& source, const HttpRequest& request);

}  // namespace daicho
