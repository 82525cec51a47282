// Any bytes as an Entry: decoding either refuses them, or what it accepts survives being written
// and read again, with its leaf and header decoded in turn.
#include <cstddef>
#include <cstdint>
#include <string>

#include "events/envelope.pb.h"
#include "events/result.h"

using daicho::events::v1::Entry;
using daicho::events::v1::EntryLeaf;
using daicho::events::v1::EventHeader;

namespace {

template <typename Message>
void RoundTrip(const Message& message) {
  const std::string bytes = message.SerializeAsString();
  Message again;
  CHECK(again.ParseFromString(bytes));
  CHECK(again.SerializeAsString() == bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Entry entry;
  if (!entry.ParseFromArray(data, static_cast<int>(size))) return 0;
  RoundTrip(entry);
  EntryLeaf leaf;
  if (!leaf.ParseFromString(entry.leaf())) return 0;
  RoundTrip(leaf);
  EventHeader header;
  if (header.ParseFromString(leaf.header())) RoundTrip(header);
  return 0;
}
