// The schemas against tests/golden/schemas.txt. The ledger keeps every message for 150 years, so a field
// or a value, once there, keeps its number, type and name for good; new ones are only added. The golden
// file lists them one per line. To add: run with DAICHO_UPDATE_GOLDEN=1 and commit the grown file.
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "events/kinds.h"

namespace daicho {
namespace {

namespace pb = google::protobuf;

using Lines = std::set<std::string>;
using Files = std::set<const pb::FileDescriptor*>;

void AddWithImports(const pb::FileDescriptor* file, Files& files) {
  if (!files.insert(file).second) return;
  for (int i = 0; i < file->dependency_count(); ++i) AddWithImports(file->dependency(i), files);
}

Files AllFiles() {
  Files files;
  for (const auto& row : Kinds()) AddWithImports(row.descriptor()->file(), files);
  return files;
}

std::string TypeOf(const pb::FieldDescriptor& field) {
  std::string type = field.is_repeated() ? "repeated " : "";
  if (field.message_type() != nullptr) return type + field.message_type()->full_name();
  if (field.enum_type() != nullptr) return type + field.enum_type()->full_name();
  return type + field.type_name();
}

void Describe(const pb::EnumDescriptor& type, Lines& lines) {
  for (int i = 0; i < type.value_count(); ++i) {
    const auto& value = *type.value(i);
    lines.insert(type.full_name() + " " + std::to_string(value.number()) + " " + value.name());
  }
}

void Describe(const pb::Descriptor& type, Lines& lines) {
  for (int i = 0; i < type.field_count(); ++i) {
    const auto& field = *type.field(i);
    lines.insert(type.full_name() + " " + std::to_string(field.number()) + " " + field.name() + " " +
                 TypeOf(field));
  }
  for (int i = 0; i < type.nested_type_count(); ++i) Describe(*type.nested_type(i), lines);
  for (int i = 0; i < type.enum_type_count(); ++i) Describe(*type.enum_type(i), lines);
}

Lines Current() {
  Lines lines;
  for (const auto* file : AllFiles()) {
    for (int i = 0; i < file->message_type_count(); ++i) Describe(*file->message_type(i), lines);
    for (int i = 0; i < file->enum_type_count(); ++i) Describe(*file->enum_type(i), lines);
  }
  return lines;
}

Lines Golden() {
  std::ifstream in(DAICHO_GOLDEN);
  Lines lines;
  for (std::string line; std::getline(in, line);) lines.insert(line);
  return lines;
}

std::string MissingFrom(const Lines& superset, const Lines& subset) {
  std::string missing;
  for (const auto& line : subset) {
    if (!superset.contains(line)) missing += line + "\n";
  }
  return missing;
}

TEST(Schema, NothingThatWasEverThereHasChangedOrGone) {
  EXPECT_GT(Golden().size(), 100u) << "cannot read " << DAICHO_GOLDEN;
  EXPECT_EQ(MissingFrom(Current(), Golden()), "");
}

TEST(Schema, EveryAdditionIsInTheGoldenFile) {
  if (std::getenv("DAICHO_UPDATE_GOLDEN") != nullptr) {
    Lines all = Golden();
    all.merge(Current());  // grows only: a change still fails the test above
    std::ofstream out(DAICHO_GOLDEN);
    for (const auto& line : all) out << line << "\n";
  }
  EXPECT_EQ(MissingFrom(Golden(), Current()), "");
}

// A field left out reads as zero; zero must not mean anything. Effect's zero says so in another word.
TEST(Schema, ZeroOfEveryEnumMeansUnspecified) {
  for (const auto* file : AllFiles()) {
    for (int i = 0; i < file->enum_type_count(); ++i) {
      const auto& zero = *file->enum_type(i)->FindValueByNumber(0);
      EXPECT_TRUE(zero.name().ends_with("_UNSPECIFIED") || zero.name() == "EFFECT_NONE")
          << zero.full_name();
    }
  }
}

// Every name between backticks in events/README.md.
Lines Glossary() {
  std::ifstream in(DAICHO_GLOSSARY);
  Lines names;
  std::string text;
  for (bool inside = false; std::getline(in, text, '`'); inside = !inside) {
    if (inside) names.insert(text);
  }
  return names;
}

// "EVENT_KIND_UPDATE" of EventKind is "UPDATE".
std::string ShortName(const pb::EnumValueDescriptor& value) {
  const std::string zero = value.type()->value(0)->name();
  return value.name().substr(zero.rfind(zero.ends_with("_NONE") ? "NONE" : "UNSPECIFIED"));
}

Lines Identifiers() {
  Lines names;
  for (const auto* file : AllFiles()) {
    for (int i = 0; i < file->message_type_count(); ++i) {
      const auto& message = *file->message_type(i);
      names.insert(message.name());
      for (int j = 0; j < message.field_count(); ++j) names.insert(message.field(j)->name());
    }
    for (int i = 0; i < file->enum_type_count(); ++i) {
      const auto& type = *file->enum_type(i);
      names.insert(type.name());
      for (int j = 1; j < type.value_count(); ++j) names.insert(ShortName(*type.value(j)));
    }
  }
  return names;
}

TEST(Schema, EveryIdentifierIsInTheGlossary) {
  EXPECT_EQ(MissingFrom(Glossary(), Identifiers()), "");
}

}  // namespace
}  // namespace daicho
