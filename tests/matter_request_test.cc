// The office's document of a matter: what it must say, who may ask, and the clock that begins with it.
#include "consumers/matter_request.h"

#include <gtest/gtest.h>

namespace daicho {
namespace {

const std::string kWho = R"("received_on":"令和8年11月2日","capacity":"self","documents":["passport"],)"
                         R"("applicant":{"name":"群馬　花子","address":["前橋市大手町"]})";

std::string Disclosure(const std::string& more = R"("condition":{"birth":"昭和63年2月29日","name":"群馬"},"scope":["record","use"])") {
  return R"({"format":"daicho-disclosure/1","reference":"開-1",)" + kWho + "," + more + "}";
}

std::string Refusal(const std::string& json) {
  const auto read = ReadMatterRequest(json);
  EXPECT_EQ(read.status().code(), Code::kInvalid) << json;
  return read.status().message();
}

std::string Replaced(std::string text, const std::string& what, const std::string& with) {
  const std::size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return text.replace(at, what.size(), with);
}

TEST(MatterRequest, IsReadAsTheOfficeWroteIt) {
  const auto read = ReadMatterRequest(Disclosure());
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(read->applicant.received_on(), "2026-11-02");
  EXPECT_EQ(read->condition.birth(), "1988-02-29");
  EXPECT_TRUE(read->record && read->use && !read->history);
  EXPECT_EQ(read->name, "群馬　花子");
}

TEST(MatterRequest, RefusesWhatItsFormatDoesNotHave) {
  EXPECT_EQ(Refusal(Disclosure(R"("scope":["record"])")), "condition: 請求に係る者を指定してください");
  EXPECT_EQ(Refusal(Disclosure(R"("condition":{"name":"群馬"})")), "scope: record、history、use のいずれかが要ります");
  EXPECT_EQ(Refusal(Disclosure(R"("condition":{"name":"群馬"},"scope":["all"])")), "scope: record、history、use のいずれかです");
  EXPECT_EQ(Refusal(Disclosure(R"("condition":{"name":"群馬"},"scope":["use"],"grounds":"x")")), "grounds: この形式にはない項目です");
  EXPECT_EQ(Refusal(Replaced(Disclosure(), "disclosure/1", "disclosure/2")), "format: 知らない形式です");
  EXPECT_EQ(Refusal(Replaced(Disclosure(), "開-1", "../1")), "reference: 60バイトまでで、/と制御文字を含まず、.で始まらないものです");
  Refusal("");
  Refusal("{}");
  Refusal(Replaced(Disclosure(), "passport", "library_card"));
}

TEST(Applicant, ShowsWhoTheyAreAndForWhomTheyAct) {
  const auto check = [](v1::ApplicantCapacity capacity, std::initializer_list<v1::IdentityDocument> documents,
                        bool record = true) {
    v1::Applicant applicant;
    applicant.set_capacity(capacity);
    applicant.set_received_on("2026-11-02");
    for (const v1::IdentityDocument document : documents) applicant.add_identity_documents(document);
    return CheckApplicant(applicant, record).ok();
  };
  EXPECT_TRUE(check(v1::APPLICANT_CAPACITY_SELF, {v1::IDENTITY_DOCUMENT_DRIVING_LICENCE}));
  EXPECT_FALSE(check(v1::APPLICANT_CAPACITY_SELF, {}));
  EXPECT_FALSE(check(v1::APPLICANT_CAPACITY_SELF, {v1::IDENTITY_DOCUMENT_HEALTH_INSURANCE}));
  EXPECT_TRUE(check(v1::APPLICANT_CAPACITY_SELF, {v1::IDENTITY_DOCUMENT_HEALTH_INSURANCE, v1::IDENTITY_DOCUMENT_OTHER}));
  EXPECT_FALSE(check(v1::APPLICANT_CAPACITY_SELF, {v1::IDENTITY_DOCUMENT_REPRESENTATION, v1::IDENTITY_DOCUMENT_OTHER}));
  EXPECT_FALSE(check(v1::APPLICANT_CAPACITY_LEGAL_REPRESENTATIVE, {v1::IDENTITY_DOCUMENT_PASSPORT}));
  EXPECT_TRUE(check(v1::APPLICANT_CAPACITY_LEGAL_REPRESENTATIVE,
                    {v1::IDENTITY_DOCUMENT_PASSPORT, v1::IDENTITY_DOCUMENT_REPRESENTATION}));
  const auto agent = {v1::IDENTITY_DOCUMENT_PASSPORT, v1::IDENTITY_DOCUMENT_REPRESENTATION};
  EXPECT_FALSE(check(v1::APPLICANT_CAPACITY_AGENT, agent));
  EXPECT_TRUE(check(v1::APPLICANT_CAPACITY_AGENT, agent, false));
  EXPECT_FALSE(check(v1::APPLICANT_CAPACITY_UNSPECIFIED, agent));
}

TEST(DisclosureClock, CountsTheDayOfReceiptAsTheFirst) {
  EXPECT_EQ(FormatDate(DisclosureDue({2026, 11, 2})), "2026-12-01");
  EXPECT_EQ(FormatDate(DisclosureDue({2026, 1, 31})), "2026-03-01");
  EXPECT_EQ(FormatDate(DisclosureDue({2028, 1, 31})), "2028-02-29");
  EXPECT_EQ(FormatDate(DisclosureDue({2026, 12, 3})), "2027-01-01");
}

}  // namespace
}  // namespace daicho
