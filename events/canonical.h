// EventHeader and EntryLeaf read by hand, several times faster than by Protobuf: a replay of the ledger parses
// both for every entry. Taken are only the bytes that Protobuf's own serialiser writes: each field at most once
// and in the order of its number, varints of minimal length and below 2^63, no default written out, no unknown
// field, issuers in ASCII. Everything else is Protobuf's to judge.
#pragma once

#include <string_view>

#include "events/envelope.pb.h"

namespace daicho {

// True: `out` is what Protobuf parses of `bytes`, and is written as these bytes. False: nothing is said, and
// `out` is undefined. Its storage is reused.
bool ReadCanonical(std::string_view bytes, events::v1::EventHeader& out);
bool ReadCanonical(std::string_view bytes, events::v1::EntryLeaf& out);

}  // namespace daicho
