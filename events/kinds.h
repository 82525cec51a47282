// The catalogue of kinds: for each EventKind its CloudEvents type, its words, its message, how long and
// how it is kept, and who may issue it. The sequencer admits by it, the projections dispatch by it.
// What is not in it is refused. Constant: safe from any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "events/administration.pb.h"
#include "events/envelope.pb.h"

namespace daicho {

struct KindInfo {
  events::v1::EventKind kind;
  std::string_view type;      // CloudEvents type. On the wire. Never change.
  std::string_view english;
  std::string_view japanese;
  std::string_view message;   // full name of part 0's message
  const google::protobuf::Descriptor* (*descriptor)();
  // Message of each part after the first; null: the event has one part only.
  const google::protobuf::Descriptor* (*part_descriptor)();
  events::v1::RetentionClass retention;
  bool clear;                 // part 0 stays readable in the ledger; else sealed
  std::uint32_t issuers;      // bit IssuerRole: that role may issue it
};

// All kinds, ascending by EventKind.
std::span<const KindInfo> Kinds();

// Null if there is no such kind: refuse the event.
const KindInfo* FindKind(events::v1::EventKind kind);
const KindInfo* FindKind(std::string_view type);

// The schema of a kind's messages, or of one message: a serialised google.protobuf.FileDescriptorSet, each
// file after those it imports.
std::string EncodeSchema(const KindInfo& kind);
std::string EncodeSchema(const google::protobuf::Descriptor& message);

// False also for an unknown kind or role.
bool MayIssue(events::v1::IssuerRole role, events::v1::EventKind kind);

}  // namespace daicho
