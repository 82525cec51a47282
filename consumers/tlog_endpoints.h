// The ledger as any reader of transparency logs reads it: C2SP tlog-tiles over HTTP. Nothing here
// needs a key or reveals a person: entries are leaves, whose contents are commitments, and sealed
// elsewhere.
//
//   /checkpoint                  the newest signed head, with the cosignatures it has
//   /tile/<L>/<N>[.p/<W>]        256 (W) hashes of 32 bytes: nodes N·256 … of level 8·L
//   /tile/entries/<N>[.p/<W>]    256 (W) entries: length(2, big-endian) ‖ EntryLeaf, each
//   /healthz                     "ok"
#pragma once

#include <optional>

#include "consumers/http.h"
#include "ledger/notary.h"

namespace daicho {

// None for a path that is not of these. Any thread.
std::optional<HttpResponse> AnswerTlog(const Notary& notary, const HttpRequest& request);

}  // namespace daicho
