// C2SP signed notes, checkpoints and cosignatures. Method: published notes first, the one of
// golang.org/x/mod/sumdb/note and a checkpoint of a public log with its witnesses, then notes of
// our own with every byte flipped and every part told in another way.
#include "events/note.h"

#include <gtest/gtest.h>

namespace daicho {
namespace {

constexpr char kDash[] = "\xe2\x80\x94 ";

// --- published -----------------------------------------------------------------------------------

constexpr char kNeumannKey[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
constexpr char kNeumannSeed[] = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";  // algorithm ‖ seed
constexpr char kNeumannText[] =
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n";
constexpr char kNeumannLine[] =
    "\xe2\x80\x94 PeterNeumann "
    "x08go/ZJkuBS9UG/"
    "SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const std::string kNeumannNote = std::string(kNeumannText) + "\n" + kNeumannLine;

// Of a staging log, from a time when it also carried the signature of static-ct-api (0x05).
constexpr char kPublicLogKey[] =
    "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f";
constexpr const char* kPublicWitnessKeys[] = {
    "transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/"
    "MwYaGX4CPdiVEPM",
    "witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO",
    "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv"};
constexpr char kPublicCheckpoint[] =
    R"(arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
— transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
— witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==
— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==
)";

TEST(Note, ThePublishedExampleVerifiesAndIsMadeAgainByItsKey) {
  const NoteKey key = ParseNoteKey(kNeumannKey).value();
  const Note note = ParseNote(kNeumannNote).value();
  EXPECT_EQ(note.text, kNeumannText);
  ASSERT_EQ(note.signatures.size(), 1u);
  EXPECT_EQ(note.signatures[0].name, "PeterNeumann");
  EXPECT_EQ(ToHex(note.signatures[0].key_id), "c74f20a3");
  EXPECT_TRUE(VerifyNote(note, key).ok());
  const std::string seed = FromBase64(kNeumannSeed).value().substr(1);
  const SigningKey signer = SigningKey::FromSeed(ToArray<32>(seed).value());
  EXPECT_EQ(SignNote(kNeumannText, "PeterNeumann", signer), kNeumannNote);
}

TEST(Note, APublicLogsCheckpointVerifiesWithItsLogsAndItsWitnessesKeys) {
  const Note note = ParseNote(kPublicCheckpoint).value();
  ASSERT_EQ(note.signatures.size(), 6u);
  EXPECT_TRUE(VerifyNote(note, ParseNoteKey(kPublicLogKey).value()).ok());
  for (const char* text : kPublicWitnessKeys) {
    const auto time = VerifyCosignature(note, ParseNoteKey(text).value());
    ASSERT_TRUE(time.ok()) << text << ": " << time.status().ToString();
    EXPECT_EQ(time->value(), 0x6a122120 * std::int64_t{1'000'000}) << text;
  }
  const Checkpoint checkpoint = ParseCheckpoint(note.text).value();
  EXPECT_EQ(checkpoint.origin, "arche2025h1.staging.ct.transparency.dev");
  EXPECT_EQ(checkpoint.size, 1'432'088'532u);
  EXPECT_EQ(ToBase64(View(checkpoint.root)), "U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=");
  EXPECT_TRUE(checkpoint.extensions.empty());
}

TEST(Note, APublicLogsCheckpointOfAnotherSizeVerifiesWithNone) {
  std::string other = kPublicCheckpoint;
  other.replace(other.find("1432088532"), 10, "1432088533");
  const Note note = ParseNote(other).value();
  EXPECT_EQ(VerifyNote(note, ParseNoteKey(kPublicLogKey).value()).code(), Code::kTampered);
  for (const char* text : kPublicWitnessKeys) {
    EXPECT_EQ(VerifyCosignature(note, ParseNoteKey(text).value()).status().code(), Code::kTampered);
  }
}

// --- keys ----------------------------------------------------------------------------------------

TEST(NoteKey, IsWrittenAsItWasRead) {
  for (const char* text :
       {kNeumannKey, "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop",
        "TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", kPublicLogKey,
        kPublicWitnessKeys[0], kPublicWitnessKeys[2]}) {
    const auto key = ParseNoteKey(text);
    ASSERT_TRUE(key.ok()) << text << ": " << key.status().ToString();
    EXPECT_EQ(FormatNoteKey(*key), text);
  }
}

TEST(NoteKey, OtherSpellingsAreRefused) {
  const std::string good = kNeumannKey;
  const auto with = [&](std::size_t at, std::size_t count, const std::string& instead) {
    return std::string(good).replace(at, count, instead);
  };
  for (const std::string& text :
       {std::string(), std::string("PeterNeumann"), std::string("PeterNeumann+c74f20a3"),
        with(0, 12, ""), with(5, 1, " "), with(5, 0, "\xc2\xa0"), with(5, 0, "\xff"),
        with(0, 1, "p"), with(13, 1, "d"), with(13, 1, "C"), with(13, 8, ""),
        with(13, 8, "0c74f20a3"), with(30, 1, "!"), good + "A", good + "\n",
        with(good.size() - 4, 4, "")}) {
    EXPECT_EQ(ParseNoteKey(text).status().code(), Code::kInvalid) << text;
  }
}

TEST(NoteKey, AnAlgorithmThatIsNotKnownIsRefused) {
  for (const char algorithm : {'\x00', '\x02', '\x05', '\x06', '\xff'}) {
    const std::string text =
        "witness.example+00000000+" + ToBase64(std::string(1, algorithm) + std::string(1312, 'k'));
    EXPECT_EQ(ParseNoteKey(text).status().code(), Code::kUnsupported) << int{algorithm};
  }
}

TEST(NoteKey, AKeyOfOneUseDoesNotServeAnother) {
  const NoteKey log = ParseNoteKey(kPublicLogKey).value();
  const NoteKey witness = ParseNoteKey(kPublicWitnessKeys[0]).value();
  const Note note = ParseNote(kPublicCheckpoint).value();
  EXPECT_EQ(VerifyNote(note, witness).code(), Code::kUnsupported);
  EXPECT_EQ(VerifyCosignature(note, log).status().code(), Code::kUnsupported);
}

// --- notes ---------------------------------------------------------------------------------------

TEST(Note, EveryFlippedByteAndEveryCutIsRefused) {
  const NoteKey key = ParseNoteKey(kNeumannKey).value();
  const auto opens = [&](const std::string& bytes) {
    const auto note = ParseNote(bytes);
    return note.ok() && VerifyNote(*note, key).ok();
  };
  ASSERT_TRUE(opens(kNeumannNote));
  for (std::size_t at = 0; at < kNeumannNote.size(); ++at) {
    std::string damaged = kNeumannNote;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    EXPECT_FALSE(opens(damaged)) << "byte " << at;
    EXPECT_FALSE(opens(kNeumannNote.substr(0, at))) << "cut at " << at;
  }
}

TEST(Note, TheTextReachesToTheLastEmptyLine) {
  const SigningKey key = SigningKey::Generate();
  const std::string text = "first\n\n\nlast\n";
  const std::string bytes = SignNote(text, "a", key);
  const Note note = ParseNote(bytes).value();
  EXPECT_EQ(note.text, text);
  EXPECT_TRUE(
      VerifyNote(note, {"a", NoteAlgorithm::kEd25519, VerifyingKey::From(key.public_key()).value()})
          .ok());
}

TEST(Note, WhatIsNoNoteIsRefused) {
  const std::string text = kNeumannText, line = kNeumannLine;
  for (const std::string& bytes : {std::string(),
                                   std::string("\n"),
                                   text,
                                   text + "\n",
                                   text + line,
                                   text + "\n" + line + "\n",
                                   text + "\n" + line + "x",
                                   text + "\nx\n" + line,
                                   text + "\n" + kDash + "a AAAA\n",  // no signature
                                   text + "\n" + kDash + "a AAAAAA\n",
                                   text + "\n" + kDash + " AAAAAAAA\n",
                                   text + "\n" + kDash + "a  AAAAAAAA\n",
                                   text + "\n" + kDash + "a AAAAAAAA \n",
                                   text + "\n" + kDash + "a+b AAAAAAAA\n",
                                   text + "\n" + kDash + "a AAAAAAB=\n",
                                   text + "\n- a AAAAAAAA\n",
                                   "\t" + text + "\n" + line,
                                   "a\r\n" + text + "\n" + line,
                                   "\xff" + text + "\n" + line,
                                   std::string(1, '\0') + text + "\n" + line}) {
    EXPECT_EQ(ParseNote(bytes).status().code(), Code::kCorrupt) << bytes;
  }
}

TEST(Note, SizeAndSignaturesAreBounded) {
  std::string note = kNeumannNote;
  for (std::size_t i = 1; i < kNoteSignaturesMax; ++i) note += std::string(kDash) + "a AAAAAAAA\n";
  EXPECT_EQ(ParseNote(note).value().signatures.size(), kNoteSignaturesMax);
  EXPECT_EQ(ParseNote(note + kDash + "a AAAAAAAA\n").status().code(), Code::kCorrupt);
  EXPECT_TRUE(ParseNote(std::string(kNoteBytesMax - kNeumannNote.size(), 'x') + kNeumannNote).ok());
  EXPECT_EQ(ParseNote(std::string(kNoteBytesMax, 'x') + kNeumannNote).status().code(),
            Code::kCorrupt);
}

TEST(Note, LinesOfUnknownKeysArePassedOver) {
  const NoteKey key = ParseNoteKey(kNeumannKey).value();
  const std::string larger =
      SignatureLine("PeterNeumann", "\x01\x02\x03\x04", std::string(2420, 'm'));
  const std::string witness = SignatureLine("witness.example", "\x05\x06\x07\x08", "w");
  const std::string note =
      std::string(kNeumannText) + "\n" + larger + witness + kNeumannLine + witness;
  EXPECT_TRUE(VerifyNote(ParseNote(note).value(), key).ok());
  const std::string without = std::string(kNeumannText) + "\n" + larger + witness;
  EXPECT_EQ(VerifyNote(ParseNote(without).value(), key).code(), Code::kNotFound);
}

TEST(Note, ALineOfAKnownKeyThatDoesNotVerifyDecides) {
  const NoteKey key = ParseNoteKey(kNeumannKey).value();
  const std::string forged = SignatureLine("PeterNeumann", key.id(), std::string(64, 'f'));
  const std::string note = std::string(kNeumannText) + "\n" + forged + kNeumannLine;
  EXPECT_EQ(VerifyNote(ParseNote(note).value(), key).code(), Code::kTampered);
}

// --- checkpoints ---------------------------------------------------------------------------------

TEST(Checkpoint, HasOneText) {
  const std::string root = ToBase64(View(Digest{}));
  EXPECT_TRUE(ParseCheckpoint("o\n0\n" + root + "\n").ok());
  EXPECT_EQ(ParseCheckpoint("o\n18446744073709551615\n" + root + "\n").value().size,
            ~std::uint64_t{0});
  EXPECT_EQ(ParseCheckpoint("o\n7\n" + root + "\nmore 1\nmore 2\n").value().extensions.size(), 2u);
  for (const std::string& text :
       {std::string(), std::string("\n\n\n"), "o\n7\n" + root, "\n7\n" + root + "\n",
        "o\n07\n" + root + "\n", "o\n+7\n" + root + "\n", "o\n-7\n" + root + "\n",
        "o\n7 \n" + root + "\n", "o\n\n" + root + "\n", "o\n18446744073709551616\n" + root + "\n",
        "o\n7\n" + root.substr(4) + "\n", "o\n7\n" + root + " \n", "o\n7\n" + root + "\n\nmore\n",
        "o\n7\n" + root + "\nmore"}) {
    EXPECT_EQ(ParseCheckpoint(text).status().code(), Code::kCorrupt) << text;
  }
}

// --- cosignatures --------------------------------------------------------------------------------

class CosignatureTest : public ::testing::Test {
 protected:
  static constexpr char kName[] = "witness/102016";

  std::string With(const std::string& line) const { return note_ + line; }
  Code CodeOf(const std::string& note) const {
    const auto parsed = ParseNote(note);
    return parsed.ok() ? VerifyCosignature(*parsed, key_).status().code() : parsed.status().code();
  }

  const SigningKey witness_ = SigningKey::FromSeed(Key256{0x21});
  const NoteKey key_{kName, NoteAlgorithm::kCosignatureV1,
                     VerifyingKey::From(witness_.public_key()).value()};
  const std::string note_ =
      SignNote("daicho/10/ledger\n7\n" + ToBase64(View(Digest{0x42})) + "\nmore\n",
               "daicho/10/ledger", SigningKey::FromSeed(Key256{0x11}));
  const std::string line_ =
      Cosign(note_, kName, witness_, TimeMicros(1'795'479'125'999'999)).value();
};

TEST_F(CosignatureTest, TellsItsTimeInWholeSeconds) {
  const std::string note = With(line_);
  EXPECT_EQ(VerifyCosignature(ParseNote(note).value(), key_).value(),
            TimeMicros(1'795'479'125'000'000));
}

TEST_F(CosignatureTest, SignsTheDocumentedBytes) {
  const std::string cosigned = With(line_);
  const Note note = ParseNote(cosigned).value();
  const NoteSignature& line = note.signatures[1];
  EXPECT_EQ(line.key_id,
            View(Sha256Of({kName, "\n\x04", View(witness_.public_key())})).substr(0, 4));
  ASSERT_EQ(line.bytes.size(), 72u);
  EXPECT_EQ(ReadU64(line.bytes), 1'795'479'125u);
  EXPECT_EQ(line.bytes.substr(8),
            witness_.Sign("cosignature/v1\ntime 1795479125\n" + std::string(note.text)));
}

TEST_F(CosignatureTest, EveryFlippedByteIsRefused) {
  const std::string cosigned = With(line_);
  for (std::size_t at = 0; at < cosigned.size(); ++at) {
    if (at >= note_.find("\n\n") && at < note_.size()) continue;  // the log's own line
    std::string damaged = cosigned;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    EXPECT_NE(CodeOf(damaged), Code::kOk) << "byte " << at;
  }
}

TEST_F(CosignatureTest, OfAnotherKeyNameOrUseDoesNotCount) {
  const TimeMicros time(1);
  EXPECT_EQ(CodeOf(note_), Code::kNotFound);
  EXPECT_EQ(CodeOf(With(Cosign(note_, kName, SigningKey::Generate(), time).value())),
            Code::kNotFound);
  EXPECT_EQ(CodeOf(With(Cosign(note_, "witness/102024", witness_, time).value())), Code::kNotFound);
  const std::string plain = SignNote(ParseNote(note_).value().text, kName, witness_);
  EXPECT_EQ(CodeOf(plain), Code::kNotFound) << "a note's signature is no cosignature";
}

TEST_F(CosignatureTest, OfAnotherLengthOrBeyondTimeIsRefused) {
  EXPECT_EQ(CodeOf(With(SignatureLine(kName, key_.id(), std::string(71, 'x')))), Code::kTampered);
  EXPECT_EQ(CodeOf(With(SignatureLine(kName, key_.id(), std::string(73, 'x')))), Code::kTampered);
  std::string late;
  AppendU64(late, std::uint64_t{1} << 63);
  late += witness_.Sign("cosignature/v1\ntime 9223372036854775808\n" +
                        std::string(ParseNote(note_).value().text));
  EXPECT_EQ(CodeOf(With(SignatureLine(kName, key_.id(), late))), Code::kTampered);
}

TEST_F(CosignatureTest, IsOnlyForCheckpoints) {
  EXPECT_EQ(Cosign(kNeumannNote, kName, witness_, TimeMicros(1)).status().code(), Code::kCorrupt);
}

}  // namespace
}  // namespace daicho
