// Any bytes as an encrypted message, and as what an agency finds in one: each is refused in the same words or taken, and
// what is taken agrees with itself.
#include <cstddef>
#include <cstdint>
#include <string>

#include "consumers/agency_answer.h"
#include "events/bytes.h"
#include "events/crypto_certificate.h"

namespace daicho {
namespace {

struct Fixture {
  Fixture() {
    const CertifiedKey key = MakeCertifiedKey("gunma-boe", 3650, TimeMicros(1'795'651'200'000'000));
    home.agency = "gunma-boe";
    home.openers = {CmsOpener::From(key.private_key, key.certificate).value()};
    std::string base64;
    for (std::size_t at = key.certificate.find('\n') + 1; key.certificate[at] != '-'; ++at) {
      if (key.certificate[at] != '\n') base64.push_back(key.certificate[at]);
    }
    recipient = CmsRecipient::From(FromBase64(base64).value()).value();
  }
  AgencyHome home;
  CmsRecipient recipient;
};

void OpenMessage(const Fixture& fixture, std::string_view bytes) {
  const auto opened = fixture.home.Open(bytes);
  CHECK(!opened.ok() && opened.status().ToString() == "tampered: the encrypted message cannot be opened");
}

void OpenContent(const Fixture& fixture, std::string_view bytes) {
  const auto header = ReadAnswerHeader(bytes.substr(0, bytes.find('\n')), fixture.home);
  const auto answer = OpenAnswer(fixture.home, fixture.recipient.Encrypt(bytes));
  CHECK(answer.ok() ? header.ok() : answer.status().code() == Code::kTampered);
  if (answer.ok()) CHECK(answer->content == bytes && answer->provision.agency() == answer->header.agency);
}

}  // namespace
}  // namespace daicho

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const daicho::Fixture fixture;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  daicho::OpenMessage(fixture, bytes);
  daicho::OpenContent(fixture, bytes);
  return 0;
}
