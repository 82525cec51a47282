// The signature within a PDF, judged by poppler's pdfsig (NSS), which shares no code with what made it.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <tuple>

#include "consumers/letter.h"
#include "events/crypto_pades.h"

namespace daicho {
namespace {

namespace fs = std::filesystem;

constexpr TimeMicros kNow{1'795'658'400'000'000};  // 2026-11-26 11:00 in Japan

class PadesTest : public ::testing::Test {
 protected:
  PadesTest() {
    std::string name = (fs::temp_directory_path() / "daicho-pades-XXXXXX").string();
    dir_ = mkdtemp(name.data());
    Letter letter;
    letter.title = "標題";
    letter.paragraphs = {"本文"};
    pdf_ = LetterPdf(letter).value();
  }
  ~PadesTest() override { fs::remove_all(dir_); }

  std::string Judged(const std::string& pdf) {
    std::ofstream(dir_ + "/signed.pdf", std::ios::binary) << pdf;
    std::ignore = std::system(("pdfsig -nocert " + dir_ + "/signed.pdf >" + dir_ + "/verdict 2>&1").c_str());
    std::ifstream in(dir_ + "/verdict");
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }

  std::string dir_;
  std::string pdf_;
  const CertifiedKey seal_ = MakeSealKey("群馬県知事", 365, kNow);
};

TEST_F(PadesTest, IsValidAndCoversTheWholeDocument) {
  const auto sealed = SignPdf(pdf_, seal_, kNow);
  ASSERT_TRUE(sealed.ok()) << sealed.status().ToString();
  EXPECT_TRUE(sealed->starts_with(pdf_)) << "an incremental update leaves what is there";
  const std::string verdict = Judged(*sealed);
  EXPECT_NE(verdict.find("Signature is Valid."), std::string::npos) << verdict;
  EXPECT_NE(verdict.find("Total document signed"), std::string::npos) << verdict;
  EXPECT_NE(verdict.find("ETSI.CAdES.detached"), std::string::npos) << verdict;
  EXPECT_NE(verdict.find("群馬県知事"), std::string::npos) << verdict;
}

TEST_F(PadesTest, OneChangedByteAnywhereMakesItInvalid) {
  const std::string sealed = SignPdf(pdf_, seal_, kNow).value();
  for (const std::size_t at : {pdf_.find("/Title") + 9, sealed.find("/M (D:") + 8, sealed.size() - 12}) {
    std::string changed = sealed;
    changed[at] = changed[at] == '1' ? '2' : '1';
    EXPECT_EQ(Judged(changed).find("Signature is Valid."), std::string::npos) << at;
  }
}

TEST_F(PadesTest, RefusesWhatIsNoSuchPdfAndNoSeal) {
  EXPECT_EQ(SignPdf("", seal_, kNow).status().code(), Code::kInvalid);
  EXPECT_EQ(SignPdf("%PDF-1.5\nstartxref\n99999\n", seal_, kNow).status().code(), Code::kInvalid);
  EXPECT_EQ(SignPdf(SignPdf(pdf_, seal_, kNow).value(), seal_, kNow).status().code(), Code::kInvalid);
  for (std::size_t size = 0; size < pdf_.size(); size += 97) {
    EXPECT_EQ(SignPdf(std::string_view(pdf_).substr(0, size), seal_, kNow).status().code(), Code::kInvalid) << size;
  }
  EXPECT_EQ(SignPdf(pdf_, {"", seal_.certificate}, kNow).status().code(), Code::kInvalid);
  const CertifiedKey other = MakeSealKey("別の知事", 365, kNow);
  EXPECT_EQ(SignPdf(pdf_, {other.private_key, seal_.certificate}, kNow).status().code(), Code::kInvalid);
}

}  // namespace
}  // namespace daicho
