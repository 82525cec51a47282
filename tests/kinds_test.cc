// The catalogue of kinds against the schemas. A kind without a row would be refused at admission, a row
// without a message could not be read, and a type that two kinds share would be routed wrongly; so the
// catalogue is compared with the generated pool in both directions.
#include "events/kinds.h"

#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <bit>
#include <set>
#include <string>

namespace daicho {
namespace {

using namespace events::v1;  // NOLINT

TEST(Kinds, EveryEventKindHasExactlyOneRow) {
  const auto* values = EventKind_descriptor();
  for (int i = 0; i < values->value_count(); ++i) {
    const auto kind = static_cast<EventKind>(values->value(i)->number());
    if (kind == EVENT_KIND_UNSPECIFIED) continue;
    ASSERT_NE(FindKind(kind), nullptr) << values->value(i)->name();
    EXPECT_EQ(FindKind(kind)->kind, kind);
  }
  EXPECT_EQ(Kinds().size(), static_cast<std::size_t>(values->value_count() - 1));
}

TEST(Kinds, EveryMessageIsInTheGeneratedPool) {
  const auto* pool = google::protobuf::DescriptorPool::generated_pool();
  for (const auto& row : Kinds()) {
    EXPECT_EQ(pool->FindMessageTypeByName(std::string(row.message)), row.descriptor())
        << row.message;
    EXPECT_EQ(row.descriptor()->full_name(), row.message);
  }
}

TEST(Kinds, TypesAreUniqueAndVersioned) {
  std::set<std::string_view> types;
  for (const auto& row : Kinds()) {
    EXPECT_TRUE(types.insert(row.type).second) << row.type;
    EXPECT_TRUE(row.type.starts_with("jp.daicho.") && row.type.ends_with(".v1")) << row.type;
    EXPECT_EQ(FindKind(row.type), &row);
  }
}

TEST(Kinds, UnknownKindsTypesAndRolesAreRefused) {
  EXPECT_EQ(FindKind(EVENT_KIND_UNSPECIFIED), nullptr);
  EXPECT_EQ(FindKind(static_cast<EventKind>(9999)), nullptr);
  EXPECT_EQ(FindKind("jp.daicho.update.v2"), nullptr);
  EXPECT_FALSE(MayIssue(ISSUER_ROLE_REGISTRAR, static_cast<EventKind>(9999)));
  for (const auto& row : Kinds()) {
    EXPECT_FALSE(MayIssue(ISSUER_ROLE_UNSPECIFIED, row.kind)) << row.english;
    EXPECT_FALSE(MayIssue(static_cast<IssuerRole>(31), row.kind)) << row.english;
    EXPECT_FALSE(MayIssue(static_cast<IssuerRole>(99), row.kind)) << row.english;
  }
}

TEST(Kinds, OnlyMunicipalitiesChangeRecordsAndTheyDoNothingElse) {
  for (const auto& row : Kinds()) {
    const bool update = row.kind == EVENT_KIND_UPDATE;
    EXPECT_EQ(MayIssue(ISSUER_ROLE_MUNICIPALITY, row.kind), update) << row.english;
    EXPECT_EQ(MayIssue(ISSUER_ROLE_REGISTRAR, row.kind) && update, false) << row.english;
  }
}

TEST(Kinds, EveryKindHasOneIssuerRoleAndEveryRoleAKind) {
  std::uint32_t all = 0;
  for (const auto& row : Kinds()) {
    EXPECT_EQ(std::popcount(row.issuers), 1) << row.english;
    all |= row.issuers;
  }
  const auto* roles = IssuerRole_descriptor();
  for (int i = 0; i < roles->value_count(); ++i) {
    const int role = roles->value(i)->number();
    EXPECT_EQ((all >> role & 1u) != 0, role != ISSUER_ROLE_UNSPECIFIED) << roles->value(i)->name();
  }
}

// A clear part has no key that could be destroyed, so it must be of the class that is never erased;
// and whatever is of that class is needed to verify the ledger, so it must be readable.
TEST(Kinds, ClearMeansKeptAsLongAsTheLedger) {
  for (const auto& row : Kinds()) {
    EXPECT_EQ(row.clear, row.retention == RETENTION_CLASS_ADMINISTRATION) << row.english;
    EXPECT_NE(row.retention, RETENTION_CLASS_UNSPECIFIED) << row.english;
  }
}

// Whether `message` or a message within it has a field that names a resident.
bool NamesAResident(const google::protobuf::Descriptor* message,
                    std::set<const google::protobuf::Descriptor*>& seen) {
  if (!seen.insert(message).second) return false;
  for (int i = 0; i < message->field_count(); ++i) {
    const auto* field = message->field(i);
    if (field->name() == "resident_code" || field->name() == "individual_number") return true;
    if (field->message_type() != nullptr && NamesAResident(field->message_type(), seen)) return true;
  }
  return false;
}

TEST(Kinds, NoClearKindCanNameAResident) {
  int sealed_with_residents = 0;
  for (const auto& row : Kinds()) {
    std::set<const google::protobuf::Descriptor*> seen;
    const bool names = NamesAResident(row.descriptor(), seen);
    EXPECT_FALSE(names && row.clear) << row.english;
    sealed_with_residents += names;
  }
  EXPECT_GE(sealed_with_residents, 4);  // update, search, disclosure, difference: the check bites
}

// Part 0 of an event of several parts is sealed under a key of its own, not under a person's: it must
// be about nobody.
TEST(Kinds, FirstPartOfManyNamesNobody) {
  for (const auto& row : Kinds()) {
    if (row.part_descriptor == nullptr) continue;
    std::set<const google::protobuf::Descriptor*> first, further;
    EXPECT_FALSE(NamesAResident(row.descriptor(), first)) << row.english;
    EXPECT_TRUE(NamesAResident(row.part_descriptor(), further)) << row.english;
  }
}

}  // namespace
}  // namespace daicho
