// The one definition of what is the same in two copies: every class by the smallest change that makes it, their
// precedence, and the merge against the obvious over maps. Then all of it together: what the fingerprints name is
// what the merge names.
#include "projections/copy_difference.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "events/codes.h"
#include "projections/copy_reconcile.h"

namespace daicho {
namespace {

using Fields = std::vector<std::string>;

std::string Code(std::uint64_t ten_digits) {
  std::string text = CodeText(ten_digits * 10);
  text.back() = ResidentCodeCheckDigit(std::string_view(text).substr(0, 10));
  return text;
}

std::string Number(std::uint64_t eleven_digits) {
  std::string text = CodeText(eleven_digits);
  return text += IndividualNumberCheckDigit(text);
}

v1::HeldCopy Row(std::uint64_t person = 1) {
  v1::HeldCopy row;
  row.set_resident_code(Code(person));
  row.set_update_number(7);
  v1::ResidentRecord& record = *row.mutable_record();
  record.set_name("渡辺 花子");
  record.set_kana("わたなべ はなこ");
  record.mutable_alias()->set_name("沢 花子");
  record.set_birth("1988-02-29");
  record.set_sex(v1::SEX_FEMALE);
  record.mutable_address()->set_municipality("102016");
  record.mutable_address()->set_text("大手町一丁目１番１号");
  record.set_individual_number(Number(person));
  return row;
}

void AddGlyph(v1::HeldCopy& row, const char* field, std::uint32_t index, const char* image = "png") {
  v1::ExternalGlyph& glyph = *row.mutable_record()->add_external_glyphs();
  glyph.set_field(field);
  glyph.set_index(index);
  glyph.set_image_png(image);
}

std::optional<RowDifference> Compare(const v1::HeldCopy& here, const v1::HeldCopy& there) {
  return CompareRows(&here, &there, *VariantTable::Shipped());
}

// Row() here against Row() after `change` there, and the other way round.
void ExpectDifference(v1::DifferenceClass expected, const Fields& fields,
                      const std::function<void(v1::HeldCopy&)>& change) {
  v1::HeldCopy changed = Row();
  change(changed);
  for (const bool there : {true, false}) {
    const auto found = there ? Compare(Row(), changed) : Compare(changed, Row());
    ASSERT_TRUE(found.has_value()) << changed.DebugString();
    EXPECT_EQ(found->difference_class, expected) << changed.DebugString();
    EXPECT_EQ(found->fields, fields);
  }
}

TEST(CompareRows, SameIsSame) { EXPECT_EQ(Compare(Row(), Row()), std::nullopt); }

TEST(CompareRows, AMissingRowIsMissing) {
  const v1::HeldCopy row = Row();
  const VariantTable& variants = *VariantTable::Shipped();
  EXPECT_EQ(CompareRows(&row, nullptr, variants)->difference_class, v1::DIFFERENCE_CLASS_MISSING_THERE);
  EXPECT_EQ(CompareRows(nullptr, &row, variants)->difference_class, v1::DIFFERENCE_CLASS_MISSING_HERE);
}

TEST(CompareRows, EveryFieldIsCompared) {
  const std::map<std::string, std::function<void(v1::ResidentRecord&)>> changes = {
      {"name", [](auto& r) { r.set_name("渡辺 花"); }},
      {"kana", [](auto& r) { r.set_kana("ワタナベ ハナコ"); }},
      {"kana_certified", [](auto& r) { r.set_kana_certified(true); }},
      {"former_name", [](auto& r) { r.mutable_former_name()->set_name("佐藤"); }},
      {"alias", [](auto& r) { r.mutable_alias()->set_kana("さわ"); }},
      {"latin_name", [](auto& r) { r.set_latin_name("HANAKO"); }},
      {"birth", [](auto& r) { r.set_birth("1988-02-28"); }},
      {"sex", [](auto& r) { r.set_sex(v1::SEX_MALE); }},
      {"address", [](auto& r) { r.mutable_address()->set_postal_code("3710026"); }},
      {"individual_number", [](auto& r) { r.clear_individual_number(); }},
  };
  for (const auto& [field, change] : changes) {
    ExpectDifference(v1::DIFFERENCE_CLASS_FIELD, {field}, [&](v1::HeldCopy& row) { change(*row.mutable_record()); });
  }
  // external_glyphs alone is a difference of how it is written; with them every field has been compared.
  EXPECT_EQ(changes.size() + 1, static_cast<std::size_t>(v1::ResidentRecord::descriptor()->field_count()));
}

TEST(CompareRows, HowCharactersAreWrittenIsAClassOfItsOwn) {
  const auto expect_glyph = [](const Fields& fields, const std::function<void(v1::HeldCopy&)>& change) {
    ExpectDifference(v1::DIFFERENCE_CLASS_GLYPH, fields, change);
  };
  expect_glyph({"name"}, [](auto& row) { row.mutable_record()->set_name("渡邊 花子"); });            // 異体字
  expect_glyph({"name"}, [](auto& row) { row.mutable_record()->set_name("渡邊󠄀 花子"); });           // with a selector
  expect_glyph({"name"}, [](auto& row) { row.mutable_record()->set_name("渡辺 花󠄀子"); });           // a selector alone
  expect_glyph({"alias"}, [](auto& row) { row.mutable_record()->mutable_alias()->set_name("澤 花子"); });
  expect_glyph({"address"}, [](auto& row) { row.mutable_record()->mutable_address()->set_text("大手町一󠄀丁目１番１号"); });
  expect_glyph({"external_glyphs"}, [](auto& row) { AddGlyph(row, "name", 1); });
  expect_glyph({"name", "external_glyphs"}, [](auto& row) {  // 外字
    row.mutable_record()->set_name("渡〓 花子");
    AddGlyph(row, "name", 1);
  });
}

TEST(CompareRows, WhatIsMoreThanHowCharactersAreWrittenIsAField) {
  const auto expect_field = [](const Fields& fields, const std::function<void(v1::HeldCopy&)>& change) {
    ExpectDifference(v1::DIFFERENCE_CLASS_FIELD, fields, change);
  };
  expect_field({"name"}, [](auto& row) { row.mutable_record()->set_name("渡部 花子"); });
  expect_field({"name"}, [](auto& row) { row.mutable_record()->set_name("渡辺花子"); });  // the space counts
  expect_field({"name"}, [](auto& row) { row.mutable_record()->set_name("渡辺 花子󠄀󠄀一"); });
  expect_field({"address"}, [](auto& row) { row.mutable_record()->mutable_address()->set_text("大手町一丁目1番１号"); });
  expect_field({"name", "birth"}, [](auto& row) {
    row.mutable_record()->set_name("渡邊 花子");
    row.mutable_record()->set_birth("1988-02-28");
  });
  expect_field({"name", "external_glyphs"}, [](auto& row) {  // the image is of another character
    row.mutable_record()->set_name("渡〓 花子");
    AddGlyph(row, "name", 0);
  });
  expect_field({"name", "external_glyphs"}, [](auto& row) {
    row.mutable_record()->set_name("渡〓 花子");
    AddGlyph(row, "kana", 1);
  });
}

TEST(CompareRows, OrderComesBeforeFieldsAndTheStateBeforeOrder) {
  ExpectDifference(v1::DIFFERENCE_CLASS_ORDER, {"update_number"}, [](auto& row) { row.set_update_number(6); });
  ExpectDifference(v1::DIFFERENCE_CLASS_ORDER, {"name", "birth", "update_number"}, [](auto& row) {
    row.set_update_number(8);
    row.mutable_record()->set_name("渡邊 花子");
    row.mutable_record()->set_birth("1988-02-28");
  });
  ExpectDifference(v1::DIFFERENCE_CLASS_REMOVED_STATE, {"status"}, [](auto& row) { row.set_removed(true); });
  ExpectDifference(v1::DIFFERENCE_CLASS_REMOVED_STATE, {"kana", "update_number", "status"}, [](auto& row) {
    row.set_removed(true);
    row.set_update_number(8);
    row.mutable_record()->set_kana("わたべ");
  });
}

TEST(CompareRows, TheRetentionFlagIsComparedWhereItIsNotWhatTheStateAsksFor) {
  ExpectDifference(v1::DIFFERENCE_CLASS_ANCILLARY, {"retention"},
                   [](auto& row) { row.set_retention(v1::RETENTION_START_RECEIVED); });
  ExpectDifference(v1::DIFFERENCE_CLASS_ANCILLARY, {"name", "retention"}, [](auto& row) {
    row.mutable_record()->set_name("渡邊 花子");
    row.set_retention(v1::RETENTION_START_RECEIVED);
  });
  ExpectDifference(v1::DIFFERENCE_CLASS_FIELD, {"birth", "retention"}, [](auto& row) {
    row.mutable_record()->set_birth("1988-02-28");
    row.set_retention(v1::RETENTION_START_RECEIVED);
  });
  ExpectDifference(v1::DIFFERENCE_CLASS_REMOVED_STATE, {"status", "retention"}, [](auto& row) {
    row.set_removed(true);
    row.set_retention(v1::RETENTION_START_SUPERSEDED);
  });
  ExpectDifference(v1::DIFFERENCE_CLASS_REMOVED_STATE, {"status"}, [](auto& row) {
    row.set_removed(true);
    row.set_retention(v1::RETENTION_START_RECEIVED);
  });
  v1::HeldCopy said = Row();
  said.set_retention(v1::RETENTION_START_SUPERSEDED);
  const v1::HeldCopy row = Row();
  EXPECT_EQ(CompareRows(&row, &said, *VariantTable::Shipped()), std::nullopt);
  EXPECT_EQ(StatedRetention(said), v1::RETENTION_START_UNSPECIFIED);
}

TEST(DifferingFields, KeepsThoseFieldsAndWhoItIs) {
  v1::HeldCopy kept = DifferingFields(Row(), {"birth", "update_number"});
  v1::HeldCopy expected;
  expected.set_resident_code(Row().resident_code());
  expected.set_update_number(7);
  expected.mutable_record()->set_birth("1988-02-29");
  EXPECT_EQ(kept.SerializeAsString(), expected.SerializeAsString());
  EXPECT_EQ(DifferingFields(Row(), {}).SerializeAsString(), Row().SerializeAsString());
}

TEST(NumberClashes, AreOfOneNumberAndTwoCodes) {
  NumberClashes clashes;
  v1::HeldCopy other = Row(2), without = Row(3);
  other.mutable_record()->set_individual_number(Number(4));
  without.mutable_record()->clear_individual_number();
  for (const v1::HeldCopy& row : {Row(1), Row(1), other, Row(4), Row(5), without, without}) clashes.Take(row);
  clashes.Close();
  EXPECT_TRUE(clashes.Has(Number(4)));
  for (const std::string& number : {Number(1), Number(5), Number(9), std::string(), std::string("x")}) {
    EXPECT_FALSE(clashes.Has(number));
  }
}

// --- Two copies ------------------------------------------------------------------------------------

using Rows = std::vector<v1::HeldCopy>;
using Found = std::map<std::string, std::pair<v1::DifferenceClass, Fields>>;

Found Compare(const Rows& here, const Rows& there) {
  NumberClashes clashes;
  std::map<std::string, std::pair<const v1::HeldCopy*, Rows>> codes;
  for (const v1::HeldCopy& row : here) {
    clashes.Take(row);
    codes[row.resident_code()].first = &row;
  }
  for (const v1::HeldCopy& row : there) {
    clashes.Take(row);
    codes[row.resident_code()].second.push_back(row);
  }
  clashes.Close();
  Found found;
  for (const auto& [code, rows] : codes) {
    const auto difference = CompareCopies(rows.first, rows.second, clashes, *VariantTable::Shipped());
    if (difference) found[code] = {difference->difference_class, difference->fields};
  }
  return found;
}

TEST(CompareCopies, DuplicatesComeBeforeAllElse) {
  v1::HeldCopy taken = Row(5);
  taken.mutable_record()->set_individual_number(Number(4));
  const Rows here = {Row(1), Row(3), Row(4)};
  const Rows there = {Row(1), Row(3), Row(3), Row(4), taken, Row(6), Row(7), Row(7)};
  const Found expected = {
      {Code(3), {v1::DIFFERENCE_CLASS_DUPLICATE, {"resident_code"}}},
      {Code(4), {v1::DIFFERENCE_CLASS_DUPLICATE, {"individual_number"}}},
      {Code(5), {v1::DIFFERENCE_CLASS_DUPLICATE, {"individual_number"}}},
      {Code(6), {v1::DIFFERENCE_CLASS_MISSING_HERE, {}}},
      {Code(7), {v1::DIFFERENCE_CLASS_DUPLICATE, {"resident_code"}}},
  };
  EXPECT_EQ(Compare(here, there), expected);
}

// Random differences of all kinds: all and only those are found, and the fingerprints of the same rows name the same
// persons.
TEST(CompareCopies, FindsWhatTheFingerprintsFind) {
  const auto keying = std::make_shared<CopyKeying>(CopyKey{.epoch = 1, .secret = {9}});
  for (unsigned seed = 1; seed <= 5; ++seed) {
    std::mt19937_64 random(seed);
    Rows here, there;
    Found expected;
    for (std::uint64_t person = 1; person <= 2'000; ++person) {
      v1::HeldCopy ours = Row(person * 4'000'000), theirs = ours;
      const std::string& code = ours.resident_code();
      switch (random() % 20) {
        case 0:
          theirs.mutable_record()->set_birth("1911-02-29");
          expected[code] = {v1::DIFFERENCE_CLASS_FIELD, {"birth"}};
          break;
        case 1:
          theirs.set_update_number(6);
          expected[code] = {v1::DIFFERENCE_CLASS_ORDER, {"update_number"}};
          break;
        case 2:
          ours.set_removed(true);
          expected[code] = {v1::DIFFERENCE_CLASS_REMOVED_STATE, {"status"}};
          break;
        case 3:
          theirs.mutable_record()->set_name("渡邊 花子");
          expected[code] = {v1::DIFFERENCE_CLASS_GLYPH, {"name"}};
          break;
        case 4:
          expected[code] = {v1::DIFFERENCE_CLASS_MISSING_THERE, {}};
          here.push_back(ours);
          continue;
        case 5:
          expected[code] = {v1::DIFFERENCE_CLASS_MISSING_HERE, {}};
          there.push_back(theirs);
          continue;
        case 6:
          theirs.set_retention(v1::RETENTION_START_RECEIVED);
          expected[code] = {v1::DIFFERENCE_CLASS_ANCILLARY, {"retention"}};
          break;
        case 7:
          theirs.set_retention(v1::RETENTION_START_SUPERSEDED);  // what the state asks for, said
          break;
        default:
          break;
      }
      here.push_back(ours);
      there.push_back(theirs);
    }
    EXPECT_EQ(Compare(here, there), expected) << seed;

    CopyFingerprint ours(keying), theirs(keying);
    for (const v1::HeldCopy& row : here) ours.Add(keying->Item(row));
    for (const v1::HeldCopy& row : there) theirs.Add(keying->Item(row));
    const SketchComparison named = CompareSketchFile(ours, Position(1), WriteSketchFile(theirs, Position(1))).value();
    ASSERT_TRUE(named.complete);
    std::map<std::string, int> codes;
    for (const CopyName& name : named.difference.here) ++codes[CodeText(name.code)];
    for (const CopyName& name : named.difference.there) ++codes[CodeText(name.code)];
    EXPECT_TRUE(std::ranges::equal(codes, expected, {}, [](const auto& a) { return a.first; },
                                   [](const auto& b) { return b.first; }))
        << seed;
  }
}

}  // namespace
}  // namespace daicho
