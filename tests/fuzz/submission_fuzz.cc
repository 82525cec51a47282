// Any bytes as a record of an inbox; the same within a body that is sealed and headed as it should
// be (a fuzzer finds no HPKE), as its drafts and as the payload of one. Whatever comes in: no
// crash, and either all of it is good or there is a bounded list of violations that names rules.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "events/merkle.h"
#include "ledger/submission.h"

namespace daicho {
namespace {

constexpr LedgerId kLedger = {1, 2, 3};
const std::string kIssuer = "102016";

const HpkeKeyPair& Intake() {
  static const HpkeKeyPair pair = HpkeKeyPair::FromPrivate(Key256{9});
  return pair;
}

PreparedSubmission Prepare(const std::string& record) {
  PreparedSubmission out = PrepareSubmission(record, kIssuer, 10, kLedger, std::span(&Intake(), 1));
  CHECK(out.violations.size() <= kViolationsMax);
  for (const v1::Violation& violation : out.violations) {
    CHECK(!violation.rule().empty());
    CHECK(!violation.message().empty());
    CHECK(!out.readable || violation.item() < out.events.size());
  }
  CHECK(out.readable || !out.violations.empty());
  if (out.violations.empty()) {
    for (const PreparedEvent& event : out.events)
      CHECK(event.kind != nullptr && !event.parts.empty());
  }
  return out;
}

std::string Sealed(const std::string& body, std::uint64_t size) {
  static const SigningKey key = SigningKey::FromSeed(Key256{7});
  v1::Submission submission;
  submission.set_version(kSubmissionVersion);
  submission.set_head(SignTreeHead(
      {IssuerOrigin(10, kIssuer), size, Digest{}, std::string(View(kLedger)), TimeMicros(1)}, key));
  submission.set_sealed_body(
      HpkeSeal(Intake().public_key, IntakeInfo(kLedger), submission.head(), body).value());
  return submission.SerializeAsString();
}

}  // namespace
}  // namespace daicho

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace daicho;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  static_cast<void>(Prepare(bytes));

  v1::SubmissionBody body;
  const bool drafts = body.ParseFromString(bytes);
  static_cast<void>(
      Prepare(Sealed(bytes, drafts ? static_cast<std::uint64_t>(body.drafts_size()) : 1)));

  for (const KindInfo* kind :
       {FindKind(v1::EVENT_KIND_UPDATE), FindKind(v1::EVENT_KIND_POLICY_SET)}) {
    const DraftEvent event{kind->kind, kind->retention, bytes, "", kind->clear};
    body.Clear();
    *body.add_drafts() = MakeDraft(event, kIssuer, Sequence(1));
    const PreparedSubmission prepared = Prepare(Sealed(body.SerializeAsString(), 1));
    CHECK(prepared.readable);
    CHECK(prepared.events[0].leaf_hash == LeafHash(body.drafts(0).header()));
  }
  return 0;
}
