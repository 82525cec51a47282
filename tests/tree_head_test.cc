// Signed tree heads. Method: one head is signed; then every byte of the note is flipped, its text
// is told in other ways that mean the same, and its signatures are taken away, exchanged and joined
// by others. One text per head, and one key that counts.
#include "events/tree_head.h"

#include <gtest/gtest.h>

namespace daicho {
namespace {

class TreeHeadTest : public ::testing::Test {
 protected:
  static TreeHead Head() {
    TreeHead head;
    head.origin = IssuerOrigin(10, "102016");
    head.size = 812;
    head.root = Sha256Of({"root"});
    head.ledger = FromHex("6f2c00112233445566778899aabbccdd").value();
    head.time = TimeMicros(1'795'000'000'000'000);
    return head;
  }
  Code CodeOf(std::string_view note) const {
    return VerifyTreeHead(note, verifier_).status().code();
  }
  // The note with this in place of that; signed anew, so that its form alone is at fault.
  std::string Told(const std::string& that, const std::string& instead) const {
    std::string body = note_.substr(0, note_.find("\n\n") + 1);
    EXPECT_NE(body.find(that), std::string::npos) << that;
    body.replace(body.find(that), that.size(), instead);
    return body + "\n\xe2\x80\x94 " + Head().origin + " " +
           ToBase64(NoteKeyId(Head().origin, key_.public_key()) + key_.Sign(body)) + "\n";
  }

  const SigningKey key_ = SigningKey::Generate();
  const VerifyingKey verifier_ = VerifyingKey::From(key_.public_key()).value();
  const std::string note_ = SignTreeHead(Head(), key_);
};

TEST_F(TreeHeadTest, ASignedHeadReadsAsItWasAndIsTheDocumentedText) {
  EXPECT_EQ(VerifyTreeHead(note_, verifier_).value(), Head());
  EXPECT_EQ(ParseTreeHead(note_).value(), Head());
  EXPECT_EQ(note_.substr(0, note_.find("\n\n")),
            "daicho/10/issuer/102016\n812\n" + ToBase64(View(Head().root)) +
                "\nledger 6f2c00112233445566778899aabbccdd\ntime 1795000000000000");
  EXPECT_EQ(LedgerOrigin(10), "daicho/10/ledger");
}

// Of golang.org/x/mod/sumdb/note's documentation: the key
// "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".
TEST_F(TreeHeadTest, AKeyIdIsThatOfC2spSignedNotes) {
  const std::string key = FromBase64("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").value();
  EXPECT_EQ(ToHex(NoteKeyId("PeterNeumann", ToArray<32>(key.substr(1)).value())), "c74f20a3");
}

TEST_F(TreeHeadTest, AnotherKeyOrNameDoesNotVerify) {
  const SigningKey other = SigningKey::Generate();
  EXPECT_EQ(VerifyTreeHead(note_, VerifyingKey::From(other.public_key()).value()).status().code(),
            Code::kTampered);
  EXPECT_EQ(CodeOf(SignTreeHead(Head(), other)), Code::kTampered);
}

TEST_F(TreeHeadTest, EveryFlippedByteIsRefused) {
  for (std::size_t at = 0; at < note_.size(); ++at) {
    std::string damaged = note_;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    const Code code = CodeOf(damaged);
    EXPECT_TRUE(code == Code::kTampered || code == Code::kCorrupt) << "byte " << at;
  }
}

TEST_F(TreeHeadTest, EveryCutIsRefused) {
  for (std::size_t size = 0; size < note_.size(); ++size) {
    EXPECT_NE(CodeOf(note_.substr(0, size)), Code::kOk) << size;
  }
}

TEST_F(TreeHeadTest, ASecondTextOfTheSameHeadIsRefusedThoughSigned) {
  EXPECT_EQ(CodeOf(Told("812", "812")), Code::kOk);
  for (const char* size :
       {"0812", "+812", " 812", "812 ", "0x32c", "-812", "", "18446744073709551616"}) {
    EXPECT_EQ(CodeOf(Told("812", size)), Code::kCorrupt) << size;
  }
  EXPECT_EQ(CodeOf(Told("6f2c", "6F2C")), Code::kCorrupt);
  EXPECT_EQ(CodeOf(Told("ccdd", "cc")), Code::kCorrupt);
  EXPECT_EQ(CodeOf(Told("ledger ", "ledger  ")), Code::kCorrupt);
  EXPECT_EQ(CodeOf(Told("time 1", "time 01")), Code::kCorrupt);
  EXPECT_EQ(CodeOf(Told("\ntime", "\nmore\ntime")), Code::kCorrupt);
  EXPECT_EQ(CodeOf(Told("000000\n", "000000\nmore 1\n")), Code::kCorrupt);
  EXPECT_EQ(CodeOf(Told("=\n", "\n")), Code::kCorrupt);
}

TEST_F(TreeHeadTest, ANoteWithoutASignatureIsRefused) {
  const std::string body = note_.substr(0, note_.find("\n\n") + 2);
  EXPECT_EQ(CodeOf(body), Code::kCorrupt);
  EXPECT_EQ(ParseTreeHead(body).status().code(), Code::kCorrupt);
  EXPECT_EQ(CodeOf(body.substr(0, body.size() - 1)), Code::kCorrupt);
}

TEST_F(TreeHeadTest, OtherSignersLinesAreSkipped) {
  const std::size_t signatures = note_.find("\n\n") + 2;
  const std::string body = note_.substr(0, signatures), own = note_.substr(signatures);
  const std::string witness =
      "\xe2\x80\x94 witness.example " + ToBase64("not for us to judge") + "\n";
  const std::string rotated = SignTreeHead(Head(), SigningKey::Generate()).substr(signatures);
  EXPECT_EQ(CodeOf(body + witness + own), Code::kOk);
  EXPECT_EQ(CodeOf(body + own + witness), Code::kOk);
  EXPECT_EQ(CodeOf(body + rotated + own), Code::kOk) << "same name, another key";
  EXPECT_EQ(CodeOf(body + witness + rotated), Code::kTampered);
}

TEST_F(TreeHeadTest, ANoteLongerThanTheBoundIsRefused) {
  std::string note = note_;
  while (note.size() <= kSignedHeadBytesMax) note += "\xe2\x80\x94 witness.example AAAA\n";
  EXPECT_EQ(CodeOf(note), Code::kCorrupt);
}

TEST_F(TreeHeadTest, DetachedAndAttachedAgainItIsTheSameNote) {
  const SigningKey second = SigningKey::Generate();
  const std::string body = note_.substr(0, note_.find("\n\n") + 1);
  const std::string both =
      note_ + SignatureLine(Head().origin, NoteKeyId(Head().origin, second.public_key()), second.Sign(body) + "longer");
  TreeHead without_time = Head();
  without_time.time = {};
  for (const std::string& note : {note_, both}) {
    const std::string detached = DetachHead(note).value();
    EXPECT_EQ(detached.size(), note == note_ ? 8 + 72 : 8 + 72 + 78);
    EXPECT_TRUE(IsDetachedHead(detached));
    EXPECT_EQ(AttachHead(without_time, detached).value(), note);
    EXPECT_EQ(DetachHead(AttachHead(without_time, detached).value()).value(), detached);
  }
  const std::string line = SignatureLine("another", "1234", std::string(64, 's'));
  EXPECT_EQ(DetachHead(note_ + line).status().code(), Code::kCorrupt);
}

TEST_F(TreeHeadTest, NoCutOfADetachedHeadIsOne) {
  const std::string detached = DetachHead(note_).value();
  for (std::size_t size = 0; size < detached.size(); ++size) {
    EXPECT_FALSE(IsDetachedHead(detached.substr(0, size))) << size;
    EXPECT_EQ(AttachHead(Head(), detached.substr(0, size)).status().code(), Code::kCorrupt) << size;
  }
}

}  // namespace
}  // namespace daicho
