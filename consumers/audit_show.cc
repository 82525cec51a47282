#include "consumers/audit_show.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/descriptor_database.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/util/json_util.h>

#include <nlohmann/json.hpp>

#include "events/event.h"
#include "events/kinds.h"
#include "events/topics.h"

namespace daicho {
namespace {

using google::protobuf::Message;
using nlohmann::ordered_json;

constexpr std::size_t kPollRecords = 1'000;
constexpr char kEntry[] = "daicho.events.v1.Entry";
constexpr char kLeaf[] = "daicho.events.v1.EntryLeaf";
constexpr char kHeader[] = "daicho.events.v1.EventHeader";

Status EachRecord(Log& log, int prefecture, const std::function<Result<bool>(const Received&)>& visit) {
  const std::string topic = Topics{prefecture}.Ledger();
  ASSIGN_OR_RETURN(const Bounds bounds, log.GetBounds(topic));
  ASSIGN_OR_RETURN(auto reader, log.OpenReader());
  RETURN_IF_ERROR(reader->Assign(topic, bounds.first).status());
  while (reader->Next(0) < bounds.end) {
    ASSIGN_OR_RETURN(const auto records, reader->Poll(kPollRecords, std::chrono::milliseconds(100)));
    for (const Received& record : records) {
      ASSIGN_OR_RETURN(const bool more, visit(record));
      if (!more) return {};
    }
  }
  return {};
}

// The messages whose schemas the ledger has registered.
class Schemas {
 public:
  void Add(const google::protobuf::FileDescriptorSet& set) {
    for (const auto& file : set.file()) {
      google::protobuf::FileDescriptorProto known;
      if (!database_.FindFileByName(file.name(), &known)) database_.Add(file);
    }
  }
  // Null when the ledger carries no schema of it.
  const google::protobuf::Descriptor* Find(const std::string& name) const { return pool_.FindMessageTypeByName(name); }
  std::unique_ptr<Message> Parse(const std::string& name, std::string_view bytes) {
    const auto* descriptor = Find(name);
    if (descriptor == nullptr) return nullptr;
    std::unique_ptr<Message> message(factory_.GetPrototype(descriptor)->New());
    if (!message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return nullptr;
    return message;
  }

 private:
  google::protobuf::SimpleDescriptorDatabase database_;
  google::protobuf::DescriptorPool pool_{&database_};
  google::protobuf::DynamicMessageFactory factory_{&pool_};
};

ordered_json JsonOf(const Message* message) {
  if (message == nullptr) return nullptr;
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(*message, &text, options).ok()) return nullptr;
  return ordered_json::parse(text, nullptr, false);
}

std::string BytesOf(const Message& message, const char* field) {
  const auto* descriptor = message.GetDescriptor()->FindFieldByName(field);
  return descriptor == nullptr ? std::string() : message.GetReflection()->GetString(message, descriptor);
}

class Shower {
 public:
  Shower(Log& log, int prefecture) : log_(log), prefecture_(prefecture) {}

  // A schema is in an entry that it takes schemas to read: this much is read with those of the program.
  Status LoadSchemas() {
    EntryView entry;
    v1::EntryLeaf leaf;
    v1::EventHeader header;
    RETURN_IF_ERROR(EachRecord(log_, prefecture_, [&](const Received& record) -> Result<bool> {
      RETURN_IF_ERROR(ParseEntry(record.value, entry));
      RETURN_IF_ERROR(ParseLeafInto(entry.leaf, leaf));
      RETURN_IF_ERROR(ParseHeaderInto(leaf.header(), header));
      if (header.kind() != v1::EVENT_KIND_SCHEMA_REGISTERED || entry.parts.empty()) return true;
      ASSIGN_OR_RETURN(const std::string payload, OpenClearPart(entry.parts[0], header.commitments(0)));
      v1::SchemaRegistered schema;
      google::protobuf::FileDescriptorSet set;
      if (!schema.ParseFromString(payload) || !set.ParseFromString(schema.file_descriptor_set())) {
        return Corrupt("a registered schema cannot be decoded");
      }
      schemas_.Add(set);
      return true;
    }));
    return schemas_.Find(kEntry) == nullptr ? NotFound("the ledger carries no schema of its envelope") : Status();
  }

  Status Show(std::optional<Position> position, const std::function<void(const std::string&)>& line) {
    bool shown = false;
    std::uint64_t at = 0;
    RETURN_IF_ERROR(EachRecord(log_, prefecture_, [&](const Received& record) -> Result<bool> {
      const bool wanted = !position || position->value() == at;
      ++at;
      if (!wanted) return true;
      shown = true;
      line(LineOf(record.value));
      return !position;
    }));
    return position && !shown ? NotFound("the ledger does not reach that position") : Status();
  }

 private:
  std::string LineOf(const std::string& record) {
    const auto entry = schemas_.Parse(kEntry, record);
    const auto leaf = entry == nullptr ? nullptr : schemas_.Parse(kLeaf, BytesOf(*entry, "leaf"));
    const auto header = leaf == nullptr ? nullptr : schemas_.Parse(kHeader, BytesOf(*leaf, "header"));
    if (header == nullptr) return ordered_json({{"error", "cannot be decoded"}}).dump();
    ordered_json out = {{"leaf", JsonOf(leaf.get())}, {"header", JsonOf(header.get())}};
    out["leaf"].erase("header");
    out["leaf"].erase("part_digests");
    out["parts"] = Parts(*entry, *header);
    return out.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  }

  ordered_json Parts(const Message& entry, const Message& header) {
    const auto* kind_field = header.GetDescriptor()->FindFieldByName("kind");
    const int number = header.GetReflection()->GetEnumValue(header, kind_field);
    const KindInfo* kind = FindKind(static_cast<v1::EventKind>(number));
    const auto* parts = entry.GetDescriptor()->FindFieldByName("parts");
    ordered_json out = ordered_json::array();
    for (int i = 0; i < entry.GetReflection()->FieldSize(entry, parts); ++i) {
      const std::string part = entry.GetReflection()->GetRepeatedString(entry, parts, i);
      if (part.empty()) {
        out.push_back({{"erased", true}});
      } else if (kind == nullptr || !kind->clear || i > 0 || part.size() < sizeof(Salt)) {
        out.push_back({{"sealed_bytes", part.size()}});
      } else {
        const auto payload = schemas_.Parse(std::string(kind->message), std::string_view(part).substr(sizeof(Salt)));
        out.push_back({{"message", kind->message}, {"payload", JsonOf(payload.get())}});
      }
    }
    return out;
  }

  Log& log_;
  int prefecture_;
  Schemas schemas_;
};

}  // namespace

Status ShowEntries(Log& log, int prefecture, std::optional<Position> position,
                   const std::function<void(const std::string& line)>& line) {
  Shower shower(log, prefecture);
  RETURN_IF_ERROR(shower.LoadSchemas());
  return shower.Show(position, line);
}

}  // namespace daicho
