// Encryption to a certificate. Method: what is made here is opened here and by the openssl command, an implementation
// that knows nothing of ours; its DER is searched for the algorithms promised, since a wrong one (OpenSSL's default
// derives keys by SHA-1) opens just as well; every octet of a message is changed and every end cut off in turn, and all
// must fail alike. A long message goes through a file in memory that does not grow with it.
#include "events/crypto_cms.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "consumers/cms_file.h"
#include "events/bytes.h"
#include "events/crypto.h"
#include "events/crypto_certificate.h"
#include "events/sanitizers.h"
#include "ledger/files.h"

namespace daicho {
namespace {

using namespace std::string_view_literals;

const TimeMicros kNow(1'795'651'200'000'000);
constexpr std::string_view kContent = "{\"format\":\"daicho-answer/1\"}\n{\"id\":\"1\",\"result\":\"none\"}\n";

std::string DerOf(const std::string& pem) {
  std::string base64;
  for (std::size_t at = pem.find('\n') + 1; pem[at] != '-'; ++at) {
    if (pem[at] != '\n') base64.push_back(pem[at]);
  }
  return FromBase64(base64).value();
}

struct Agency {
  CertifiedKey key = MakeCertifiedKey("gunma-boe", 3650, kNow);
  CmsRecipient recipient = CmsRecipient::From(DerOf(key.certificate)).value();
  CmsOpener opener = CmsOpener::From(key.private_key, key.certificate).value();
};

class CmsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = ::testing::TempDir() + "daicho_cms_" + std::to_string(::getpid());
    std::filesystem::create_directories(dir_);
    ASSERT_TRUE(WriteFileDurably(Path("key.pem"), agency_.key.private_key).ok());
    ASSERT_TRUE(WriteFileDurably(Path("certificate.pem"), agency_.key.certificate).ok());
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  std::string Path(const std::string& name) const { return dir_ + "/" + name; }

  // By `openssl cms -decrypt`; "" when it refuses.
  std::string OpenedByOpenssl(const std::string& file) const {
    const std::string command = "openssl cms -decrypt -binary -inform DER -in " + Path(file) + " -inkey " +
                                Path("key.pem") + " -recip " + Path("certificate.pem") + " -out " + Path("opened");
    if (std::system((command + " 2>" + Path("openssl.txt")).c_str()) != 0) return "";
    return ReadFile(Path("opened")).value();
  }

  std::string Streamed(std::initializer_list<std::string_view> pieces) const {
    std::string out;
    CmsStream stream(agency_.recipient, [&](std::string_view bytes) {
      out.append(bytes);
      return Status();
    });
    for (const std::string_view piece : pieces) EXPECT_TRUE(stream.Write(piece).ok());
    EXPECT_TRUE(stream.Finish().ok());
    return out;
  }

  std::string dir_;
  Agency agency_;
};

void ExpectRefused(const Agency& agency, const std::string& cms, const std::string& what) {
  const Result<std::string> opened = agency.opener.Open(cms);
  ASSERT_FALSE(opened.ok()) << what;
  EXPECT_EQ(opened.status().ToString(), "tampered: the encrypted message cannot be opened") << what;
}

TEST_F(CmsTest, OpensWhatItEncrypted) {
  for (const std::size_t size : {0u, 1u, 15u, 16u, 4096u, 4097u, 100'000u}) {
    const std::string content(size, 'x');
    EXPECT_EQ(agency_.opener.Open(agency_.recipient.Encrypt(content)).value(), content);
    EXPECT_EQ(agency_.opener.Open(Streamed({content})).value(), content) << size;
  }
  EXPECT_EQ(agency_.opener.Open(Streamed({"a", "", "bc"})).value(), "abc");
  const std::string once = CmsEncrypt(DerOf(agency_.key.certificate), kContent).value();
  EXPECT_EQ(CmsDecrypt(agency_.key.private_key, agency_.key.certificate, once).value(), kContent);
}

TEST_F(CmsTest, OpensslOpensIt) {
  ASSERT_TRUE(WriteFileDurably(Path("der"), agency_.recipient.Encrypt(kContent)).ok());
  EXPECT_EQ(OpenedByOpenssl("der"), kContent);
  ASSERT_TRUE(WriteFileDurably(Path("ber"), Streamed({kContent, std::string(10'000, '\0')})).ok());
  EXPECT_EQ(OpenedByOpenssl("ber"), std::string(kContent) + std::string(10'000, '\0'));
}

TEST_F(CmsTest, NamesTheAlgorithmsPromisedAndNoWeakerOnes) {
  const auto has = [](const std::string& cms, std::string_view oid) { return cms.find(oid) != std::string::npos; };
  for (const std::string& cms : {agency_.recipient.Encrypt(kContent), Streamed({kContent})}) {
    EXPECT_TRUE(has(cms, "\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x17"sv));  // authEnvelopedData
    EXPECT_TRUE(has(cms, "\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x2e"sv));          // aes256-GCM
    EXPECT_TRUE(has(cms, "\x06\x06\x2b\x81\x04\x01\x0b\x01"sv));                      // dhSinglePass-stdDH-sha256kdf
    EXPECT_TRUE(has(cms, "\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x2d"sv));          // aes256-wrap
    EXPECT_FALSE(has(cms, "\x06\x09\x2b\x81\x05\x10\x86\x48\x3f\x00\x02"sv));         // dhSinglePass-stdDH-sha1kdf
  }
}

TEST_F(CmsTest, EncryptsToACertificateWithoutAKeyIdentifier) {
  const std::string made =
      "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=plain -config /dev/null "
      "-addext subjectKeyIdentifier=none -keyout " + Path("key.pem") + " -out " + Path("certificate.pem");
  ASSERT_EQ(std::system((made + " 2>" + Path("openssl.txt")).c_str()), 0) << ReadFile(Path("openssl.txt")).value();
  const std::string certificate = ReadFile(Path("certificate.pem")).value();
  const std::string cms = CmsEncrypt(DerOf(certificate), kContent).value();
  EXPECT_EQ(CmsDecrypt(ReadFile(Path("key.pem")).value(), certificate, cms).value(), kContent);
  ASSERT_TRUE(WriteFileDurably(Path("der"), cms).ok());
  EXPECT_EQ(OpenedByOpenssl("der"), kContent);
}

TEST_F(CmsTest, ChangingAnyOctetIsFound) {
  for (const std::string& cms : {agency_.recipient.Encrypt(kContent), Streamed({kContent, kContent})}) {
    for (std::size_t at = 0; at < cms.size(); ++at) {
      for (const int bit : {0, 7}) {
        std::string changed = cms;
        changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
        const Result<std::string> opened = agency_.opener.Open(changed);
        // Nothing authenticates the identifiers; what opens all the same is what was meant.
        if (opened.ok()) {
          EXPECT_EQ(opened.value(), agency_.opener.Open(cms).value()) << at;
        } else {
          EXPECT_EQ(opened.status().code(), Code::kTampered) << at;
        }
      }
    }
  }
}

TEST_F(CmsTest, CuttingShortOrAddingIsFound) {
  for (const std::string& cms : {agency_.recipient.Encrypt(kContent), Streamed({kContent})}) {
    for (std::size_t size = 0; size < cms.size(); ++size) {
      ExpectRefused(agency_, cms.substr(0, size), "cut to " + std::to_string(size));
    }
    ExpectRefused(agency_, cms + '\0', "one more");
  }
}

TEST_F(CmsTest, AnotherKeyOpensNothing) {
  const Agency other;
  ExpectRefused(other, agency_.recipient.Encrypt(kContent), "another's");
  ExpectRefused(other, Streamed({kContent}), "another's");
  ExpectRefused(agency_, "", "empty");
  ExpectRefused(agency_, std::string(kContent), "no CMS");
}

TEST_F(CmsTest, RefusesAWeakerForm) {
  // Without authentication, as the openssl command makes it by default, and with SHA-1 beneath.
  ASSERT_TRUE(WriteFileDurably(Path("content"), kContent).ok());
  const std::string command = "openssl cms -encrypt -binary -aes-256-cbc -outform DER -in " + Path("content") +
                              " -out " + Path("cbc") + " -recip " + Path("certificate.pem");
  ASSERT_EQ(std::system(command.c_str()), 0);
  ExpectRefused(agency_, ReadFile(Path("cbc")).value(), "EnvelopedData");
}

TEST_F(CmsTest, RefusesATagCutShort) {
  // The tag is last of a DER message: its length, and that of each that holds it, are put right for 4 octets.
  std::string cms = agency_.recipient.Encrypt(kContent);
  cms.resize(cms.size() - 12);
  ASSERT_EQ(cms[cms.size() - 5], 16);
  cms[cms.size() - 5] = 4;
  // 30 82 LL LL  06 0b …  a0 82 LL LL  30 82 LL LL
  for (const std::size_t length_at : {2u, 19u, 23u}) {
    ASSERT_EQ(cms[length_at - 1], '\x82');
    const unsigned length = static_cast<std::uint8_t>(cms[length_at]) * 256U + static_cast<std::uint8_t>(cms[length_at + 1]);
    cms[length_at] = static_cast<char>((length - 12) >> 8);
    cms[length_at + 1] = static_cast<char>(length - 12);
  }
  ExpectRefused(agency_, cms, "short tag");
}

TEST_F(CmsTest, RefusesKeysThatDoNotBelongTogether) {
  const Agency other;
  EXPECT_EQ(CmsOpener::From(agency_.key.private_key, other.key.certificate).status().code(), Code::kInvalid);
  EXPECT_EQ(CmsOpener::From("", agency_.key.certificate).status().code(), Code::kInvalid);
  EXPECT_EQ(CmsOpener::From(agency_.key.private_key, "").status().code(), Code::kInvalid);
  EXPECT_EQ(CmsRecipient::From("no certificate").status().code(), Code::kInvalid);
}

TEST_F(CmsTest, AnswersTheFailureOfWhatItWritesThrough) {
  int calls = 0;
  CmsStream stream(agency_.recipient, [&](std::string_view) {
    return ++calls < 3 ? Status() : Unavailable("disk full");
  });
  Status status;
  for (int i = 0; i < 100 && status.ok(); ++i) status = stream.Write(std::string(5'000, 'x'));
  EXPECT_EQ(status.message(), "disk full");
  EXPECT_EQ(stream.Finish().message(), "disk full");
  const std::string cms = agency_.recipient.Encrypt(kContent);
  const auto source = [&](std::uint64_t offset, char* out, std::size_t size) -> Result<std::size_t> {
    return offset > 100 ? Result<std::size_t>(Unavailable("unplugged")) : cms.copy(out, size, offset);
  };
  EXPECT_EQ(agency_.opener.Open(source, [](std::string_view) { return Status(); }).message(), "unplugged");
  const auto whole = [&](std::uint64_t offset, char* out, std::size_t size) -> Result<std::size_t> {
    return offset < cms.size() ? cms.copy(out, size, offset) : 0;
  };
  EXPECT_EQ(agency_.opener.Open(whole, [](std::string_view) { return Unavailable("full"); }).message(), "full");
}

// --- Files ---------------------------------------------------------------------------------------------

std::uint64_t PeakKilobytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6));
  }
  return 0;
}

TEST_F(CmsTest, ALongFileTakesNoMoreMemoryThanAShortOne) {
  // 300 MB when DAICHO_CMS_MEGABYTES says so; enough as it is to show in the peak.
  const char* given = std::getenv("DAICHO_CMS_MEGABYTES");
  const int megabytes = given != nullptr ? std::atoi(given) : 40;
  const std::string piece(1 << 20, 'm');
  const std::uint64_t before = PeakKilobytes();
  const std::unique_ptr<CmsFile> file = CmsFile::Create(Path("long"), agency_.recipient).value();
  Sha256 content;
  for (int i = 0; i < megabytes; ++i) {
    ASSERT_TRUE(file->Write(piece).ok());
    content.Update(piece);
  }
  ASSERT_FALSE(FileExists(Path("long")));
  const Digest digest = file->Finish().value();
  ASSERT_TRUE(OpenCmsFile(agency_.opener, Path("long"), Path("out")).ok());
  if (!kAddressSanitizer && !kThreadSanitizer) {
    EXPECT_LT(PeakKilobytes() - before, 8'000);
  }
  EXPECT_EQ(Sha256Of({ReadFile(Path("long")).value()}), digest);
  EXPECT_EQ(Sha256Of({ReadFile(Path("out")).value()}), content.Final());
  EXPECT_EQ(Sha256Of({OpenedByOpenssl("long")}), Sha256Of({ReadFile(Path("out")).value()}));
  struct stat info {};
  ASSERT_EQ(::stat(Path("out").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
}

TEST_F(CmsTest, AFileThatWasTamperedWithLeavesNothingOpened) {
  const std::unique_ptr<CmsFile> file = CmsFile::Create(Path("file"), agency_.recipient).value();
  ASSERT_TRUE(file->Write(std::string(100'000, 'x')).ok());
  ASSERT_TRUE(file->Finish().ok());
  std::string bytes = ReadFile(Path("file")).value();
  bytes[50'000] = static_cast<char>(bytes[50'000] ^ 1);
  ASSERT_TRUE(WriteFileDurably(Path("file"), bytes).ok());
  EXPECT_EQ(OpenCmsFile(agency_.opener, Path("file"), Path("out")).code(), Code::kTampered);
  EXPECT_FALSE(FileExists(Path("out")));
  EXPECT_FALSE(FileExists(Path("out.new")));
  EXPECT_EQ(OpenCmsFile(agency_.opener, Path("absent"), Path("out")).code(), Code::kNotFound);
}

TEST_F(CmsTest, AFileThatIsNotFinishedLeavesNothing) {
  std::unique_ptr<CmsFile> file = CmsFile::Create(Path("file"), agency_.recipient).value();
  ASSERT_TRUE(file->Write(kContent).ok());
  file.reset();
  EXPECT_FALSE(FileExists(Path("file")));
  EXPECT_FALSE(FileExists(Path("file.new")));
}

}  // namespace
}  // namespace daicho
