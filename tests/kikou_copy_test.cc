// Two copies are compared over the line, and what a comparison finds is put right over it, whatever else happens meanwhile.
// Method: the stand-in for 機構 behind a server on loopback; the prefecture's side is a map of its rows and the fingerprint of
// them; what is found is held against both sides read whole. What comes from outside: every question that is none is refused
// with its rule, every answer that is none is found out.
#include "consumers/kikou_copy.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "consumers/kikou_drift.h"
#include "consumers/kikou_stand_in.h"
#include "ledger/files.h"
#include "tests/prefecture.h"

namespace daicho {
namespace {

const CopyKey kKey{.epoch = 3, .secret = Sha256Of({"shared by two"})};
const std::string kLedger(16, 'l');

// The prefecture's side: who stands, by the notice that says so.
class Here {
 public:
  struct Standing {
    std::uint64_t position;
    v1::UpdateNotice notice;
  };

  void Take(std::uint64_t position, const v1::UpdateNotice& notice) {
    if (!notice.former_resident_code().empty()) Drop(notice.former_resident_code());
    Drop(notice.resident_code());
    fingerprint_.Add(fingerprint_.keying().Item(notice));
    rows_[CodeNumber(notice.resident_code()).value()] = {position, notice};
  }
  void Drop(const std::string& code) {
    const auto found = rows_.find(CodeNumber(code).value());
    if (found == rows_.end()) return;
    fingerprint_.Remove(fingerprint_.keying().Item(found->second.notice));
    rows_.erase(found);
  }
  const CopyFingerprint& fingerprint() const { return fingerprint_; }
  const std::map<std::uint64_t, Standing>& rows() const { return rows_; }
  CopyScan Scan() const {
    return [this](std::uint64_t first, std::uint64_t last, const std::function<Status(const CopyItem&)>& take) -> Status {
      for (auto it = rows_.lower_bound(first); it != rows_.end() && it->first < last; ++it) {
        RETURN_IF_ERROR(take(fingerprint_.keying().Item(it->second.notice)));
      }
      return {};
    };
  }

 private:
  std::map<std::uint64_t, Standing> rows_;
  CopyFingerprint fingerprint_{std::make_shared<CopyKeying>(kKey)};
};

class KikouCopyTest : public ::testing::Test {
 protected:
  KikouCopyTest() {
    EXPECT_TRUE(KikouStandIn::Create(Dir()).ok());
    EXPECT_TRUE(WriteFileDurably(directory_ / "known", ToHex(View(key_.public_key()))).ok());
    EXPECT_TRUE(WriteCopyKeyFile(directory_ / "key", kKey).ok());
    Reopen(directory_ / "key");
    HttpServerOptions server;
    server.listen = "127.0.0.1:0";
    server.limits.body_bytes_max = kKikouBodyBytesMax;
    server.handler = [this](const HttpRequest& request) { return Changed(request.target, kikou_->Handle(request)); };
    server_ = HttpServer::Listen(std::move(server)).value();
    client_ = std::make_unique<KikouClient>(Client(key_));
    copy_ = std::make_unique<KikouCopy>(*client_, kLedger);
  }

  std::string Dir() const { return directory_ / "kikou"; }
  void Reopen(const std::string& copy_key = "") {
    kikou_.reset();
    kikou_ = KikouStandIn::Open({Dir(), {directory_ / "known"}, {}, &clock_, copy_key}).value();
  }
  SigningKey KikouKey() const { return ReadSigningKey(Dir() + "/keys/kikou.key").value(); }
  KikouClient Client(const SigningKey& key) const {
    KikouPeer peer;
    peer.url = "http://127.0.0.1:" + std::to_string(server_->port());
    peer.public_key = KikouKey().public_key();
    return {peer, key, std::chrono::seconds(60)};
  }
  HttpResponse Changed(const std::string& path, HttpResponse response) const {
    if (!change_ || path != kKikouCopiesPath || response.status != 200) return response;
    kikou::CopyAnswer answer;
    const SigningKey key = KikouKey();
    EXPECT_TRUE(answer.ParseFromString(OpenFromKikou(kKikouCopyAnswerTag, response.body, {key.public_key()}).value()));
    change_(answer);
    response.body = SignForKikou(kKikouCopyAnswerTag, answer.SerializeAsString(), key).value();
    return response;
  }

  // Admitted, and taken by both sides.
  void Tell(const std::vector<v1::UpdateNotice>& notices) {
    kikou::Notices message;
    message.set_version(1);
    message.set_ledger(kLedger);
    message.set_first_position(next_);
    for (const v1::UpdateNotice& notice : notices) {
      here_.Take(next_, notice);
      *message.add_notices() = Sent(next_++, notice);
    }
    message.set_last_position(next_ - 1);
    const auto reply = client_->Call(kKikouNoticesPath, kKikouNoticesTag, message.SerializeAsString(),
                                     kKikouAcknowledgementTag);
    ASSERT_TRUE(reply.ok()) << reply.status().ToString();
    ASSERT_EQ(reply->status, 200);
  }
  static kikou::Notice Sent(std::uint64_t position, const v1::UpdateNotice& notice) {
    kikou::Notice out;
    out.set_position(position);
    out.set_issuer(kMaebashi);
    out.set_notice(notice.SerializeAsString());
    return out;
  }
  void Enter(int first, int count) {
    std::vector<v1::UpdateNotice> notices;
    for (int i = first; i < first + count; ++i) {
      notices.push_back(Birth(Person(i), kMaebashi));
      if (i % 3 == 0) notices.push_back(AddressChange(Person(i), 2, kMaebashi));
    }
    Tell(notices);
  }
  void Drift(const std::string& kind, std::uint64_t count) {
    kikou::Drift drift;
    drift.set_kind(kind);
    drift.set_count(count);
    drift.set_seed(++seed_);
    const auto lines = ApplyDrift(kikou_->holding(), drift);
    ASSERT_TRUE(lines.ok()) << lines.status().ToString();
  }

  std::map<std::uint64_t, std::string> Held() const {
    std::map<std::uint64_t, std::string> out;
    EXPECT_TRUE(kikou_->holding().ForEach([&](const v1::HeldCopy& row) {
                  out[CodeNumber(row.resident_code()).value()] = row.SerializeAsString();
                  return Status();
                }).ok());
    return out;
  }
  CopyDifference Compare() {
    CopyProgress progress;
    auto found = Reconcile(here_.fingerprint(), Position(next_ - 1), here_.Scan(), *copy_, progress);
    EXPECT_TRUE(found.ok()) << found.status().ToString();
    return found.ok() ? *found : CopyDifference{};
  }
  // What both sides read whole differ in.
  CopyDifference Differing() const {
    CopyDifference out;
    const auto held = Held();
    const auto keying = std::make_shared<CopyKeying>(kKey);
    for (const auto& [code, standing] : here_.rows()) {
      const v1::HeldCopy row = HeldRow(standing.notice);
      if (!held.contains(code) || held.at(code) != row.SerializeAsString()) out.here.push_back(NameOf(keying->Item(row)));
    }
    for (const auto& [code, bytes] : held) {
      const auto found = here_.rows().find(code);
      v1::HeldCopy row;
      EXPECT_TRUE(row.ParseFromString(bytes));
      if (found == here_.rows().end() || HeldRow(found->second.notice).SerializeAsString() != bytes) {
        out.there.push_back(NameOf(keying->Item(row)));
      }
    }
    return out;
  }
  static void ExpectSame(CopyDifference a, CopyDifference b) {
    for (auto* side : {&a.here, &a.there, &b.here, &b.there}) std::ranges::sort(*side);
    EXPECT_EQ(a.here, b.here);
    EXPECT_EQ(a.there, b.there);
  }
  // What puts 機構's copy right.
  kikou::Corrections CorrectionsOf(const CopyDifference& difference) const {
    kikou::Corrections out;
    out.set_position(next_ - 1);
    out.set_run(std::string(16, 'r'));
    for (const CopyName& name : difference.here) {
      const Here::Standing& standing = here_.rows().at(name.code);
      *out.add_notices() = Sent(standing.position, standing.notice);
    }
    for (const CopyName& name : difference.there) {
      if (!here_.rows().contains(name.code)) out.add_absent(CodeText(name.code));
    }
    return out;
  }

  TemporaryDirectory directory_;
  SimulatedClock clock_{TimeMicros(1'000'000)};
  SigningKey key_ = SigningKey::Generate();
  std::unique_ptr<KikouStandIn> kikou_;
  std::function<void(kikou::CopyAnswer&)> change_;  // of what 機構 answers
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<KikouClient> client_;
  std::unique_ptr<KikouCopy> copy_;
  Here here_;
  std::uint64_t next_ = 0;  // in the ledger
  std::uint64_t seed_ = 0;
};

TEST_F(KikouCopyTest, WhatDriftedIsNamedAndPutRight) {
  Enter(10, 600);
  EXPECT_TRUE(Compare().here.empty());
  for (const std::uint64_t count : {1, 7, 60}) {
    for (const char* kind : {"drop", "duplicate", "alter", "glyph", "reorder", "removed"}) {
      SCOPED_TRACE(std::string(kind) + " " + std::to_string(count));
      ASSERT_TRUE(copy_->Close().ok());
      Drift(kind, count);
      const CopyDifference found = Compare();
      EXPECT_GE(found.here.size() + found.there.size(), count);
      ExpectSame(found, Differing());
      const kikou::Corrections corrections = CorrectionsOf(found);
      for (int again = 0; again < 2; ++again) {
        const kikou::Corrected corrected = copy_->Correct(corrections).value();
        EXPECT_EQ(corrected.taken(), static_cast<std::uint64_t>(corrections.notices_size() + corrections.absent_size()));
        ExpectSame({}, Differing());
      }
      ASSERT_TRUE(copy_->Close().ok());
      ExpectSame({}, Compare());
    }
  }
  Reopen();
  ASSERT_TRUE(copy_->Close().ok());
  ExpectSame({}, Compare());
  ExpectSame({}, Differing());
}

TEST_F(KikouCopyTest, TheRowsOfADifferenceAreThoseThatStandThere) {
  Enter(10, 2'500);
  Drift("alter", 1'500);
  Drift("drop", 100);
  const CopyDifference found = Compare();
  std::vector<std::uint64_t> codes;
  for (const CopyName& name : found.here) codes.push_back(name.code);
  std::ranges::sort(codes);
  const auto held = Held();
  std::map<std::uint64_t, std::string> there;
  const std::vector<v1::HeldCopy> rows = copy_->Rows(codes).value();
  for (const v1::HeldCopy& row : rows) {
    there[CodeNumber(row.resident_code()).value()] = row.SerializeAsString();
  }
  EXPECT_EQ(there.size(), found.there.size());
  for (const auto& [code, row] : there) EXPECT_EQ(row, held.at(code));
  EXPECT_GT(copy_->bytes_received(), copy_->bytes_sent());
}

TEST_F(KikouCopyTest, ASessionStaysAtItsMomentWhileNoticesArrive) {
  std::vector<v1::UpdateNotice> notices;
  for (int i = 10; i < 1'510; ++i) {  // three answers' worth
    notices.push_back(Birth(Person(i), kMaebashi));
    notices.back().mutable_record()->mutable_address()->set_text(std::string(6'000, 'x'));
  }
  Tell(notices);
  Drift("drop", 40);
  const auto before = Held();
  const Here then = here_;
  const Position at(next_ - 1);
  const CopyDifference expected = Differing();
  CopyProgress progress;
  // Between two questions there is always a notice, and a row that goes.
  class Meanwhile : public CopyHolder {
   public:
    Meanwhile(CopyHolder& holder, std::function<void()> happens) : holder_(holder), happens_(std::move(happens)) {}
    Result<std::string> Ask(std::string_view question) override {
      auto out = holder_.Ask(question);
      happens_();
      return out;
    }

   private:
    CopyHolder& holder_;
    std::function<void()> happens_;
  };
  int person = 20'000;
  Meanwhile meanwhile(*copy_, [&] {
    Tell({Birth(Person(++person), kMaebashi), MoveOut(Person(11), 2, kMaebashi)});
    Drift("drop", 20);
  });
  const auto found = Reconcile(then.fingerprint(), at, then.Scan(), meanwhile, progress);
  ASSERT_TRUE(found.ok()) << found.status().ToString();
  ExpectSame(*found, expected);
  EXPECT_GT(person, 20'001);
  std::map<std::uint64_t, std::string> all;
  EXPECT_TRUE(copy_->AllRows([&](const v1::HeldCopy& row) {
                if (all.size() % 100 == 0) Tell({Birth(Person(++person), kMaebashi)});
                all[CodeNumber(row.resident_code()).value()] = row.SerializeAsString();
                return all.size() < 1'400 ? Status() : Denied("enough");
              }).code() == Code::kDenied);
  all.clear();
  EXPECT_TRUE(copy_->AllRows([&](const v1::HeldCopy& row) {
                all[CodeNumber(row.resident_code()).value()] = row.SerializeAsString();
                return Status();
              }).ok());
  EXPECT_EQ(all, before);
  EXPECT_NE(Held(), before);
}

TEST_F(KikouCopyTest, WhatIsHeldBackAndWhoIsAnothersAreNotInTheCopy) {
  Enter(10, 20);
  const auto others = []() -> Result<std::vector<v1::HeldCopy>> {
    return std::vector{HeldRow(Birth(Person(900), "131016"))};
  };
  ASSERT_TRUE(kikou_->holding().ReplaceOthers("a", others).ok());
  Drift("delay", 1);
  Drift("lose", 1);
  Tell({Birth(Person(901), kMaebashi), Birth(Person(902), kMaebashi), Birth(Person(903), kMaebashi)});
  const CopyDifference found = Compare();
  EXPECT_EQ(found.here.size(), 2u);
  EXPECT_TRUE(found.there.empty());
  Drift("release", 1);
  ASSERT_TRUE(copy_->Close().ok());
  EXPECT_EQ(Compare().here.size(), 1u);
}

TEST_F(KikouCopyTest, ALostSessionIsToldAndAnotherBegins) {
  Enter(10, 50);
  Drift("drop", 3);
  const std::string cells = std::string("\x02", 1) + std::string(7, '\0') + static_cast<char>(next_ - 1) + '\0' + '\x08';
  EXPECT_EQ(copy_->Ask(cells).status().code(), Code::kNotFound);  // nothing has begun
  const std::vector<std::uint64_t> code = {here_.rows().begin()->first};
  EXPECT_EQ(copy_->Rows(code).status().code(), Code::kNotFound);
  const auto lose = [&](const std::function<void()>& lost) {
    ASSERT_TRUE(copy_->Ask("\x01").ok());
    ASSERT_TRUE(copy_->Ask(cells).ok());
    lost();
    EXPECT_EQ(copy_->Ask(cells).status().code(), Code::kNotFound);
    EXPECT_EQ(copy_->Rows(code).status().code(), Code::kNotFound);
    EXPECT_EQ(Compare().here.size(), 3u);
    EXPECT_TRUE(copy_->Close().ok());
    EXPECT_TRUE(copy_->Close().ok());
  };
  lose([&] { Reopen(); });
  lose([&] { clock_.Advance(std::chrono::minutes(11)); });
  // The fifth session takes the place of the one that was left alone for longest.
  std::vector<std::unique_ptr<KikouCopy>> more;
  lose([&] {
    for (int i = 0; i < 4; ++i) {
      clock_.Advance(std::chrono::seconds(1));
      more.push_back(std::make_unique<KikouCopy>(*client_, kLedger));
      ASSERT_TRUE(more.back()->Ask("\x01").ok());
    }
  });
  // That of a new one here took the first of those.
  EXPECT_EQ(more.front()->Ask(cells).status().code(), Code::kNotFound);
  EXPECT_TRUE(more.back()->Ask(cells).ok());
}

TEST_F(KikouCopyTest, ACopyIsComparedByTheKeyThatWasGiven) {
  Enter(10, 50);
  Drift("alter", 5);
  // What it was without a key for is not missed.
  ASSERT_TRUE(RemoveFile(Dir() + "/copy.key").ok());
  Reopen();
  const auto refused = copy_->Ask("\x01");
  EXPECT_EQ(refused.status().code(), Code::kDenied);
  EXPECT_EQ(refused.status().message(), "no copy is compared here: there is no key for it");
  Enter(100, 5);
  Drift("drop", 2);
  Reopen(directory_ / "key");
  ExpectSame(Compare(), Differing());
  ASSERT_TRUE(copy_->Close().ok());
  // Another key: nothing can be compared, until it is the same again.
  ASSERT_TRUE(WriteCopyKeyFile(directory_ / "other", {.epoch = 4, .secret = kKey.secret}).ok());
  Reopen(directory_ / "other");
  CopyProgress progress;
  EXPECT_EQ(Reconcile(here_.fingerprint(), Position(next_ - 1), here_.Scan(), *copy_, progress).status().code(),
            Code::kConflict);
  ASSERT_TRUE(copy_->Close().ok());
  Reopen(directory_ / "key");
  ExpectSame(Compare(), Differing());
}

TEST_F(KikouCopyTest, ACorrectionStandsWhateverStoodThere) {
  Person hanako(1), taro(2);
  Tell({Birth(hanako, kMaebashi), Birth(taro, kMaebashi), AddressChange(hanako, 5, kMaebashi)});
  const auto correct = [&](const std::vector<v1::UpdateNotice>& notices, const std::vector<std::string>& absent) {
    kikou::Corrections corrections;
    corrections.set_position(next_ - 1);
    corrections.set_run(std::string(16, 'r'));
    for (const v1::UpdateNotice& notice : notices) *corrections.add_notices() = Sent(next_, notice);
    for (const std::string& code : absent) corrections.add_absent(code);
    return copy_->Correct(corrections);
  };
  const auto number = [&](const std::string& code) {
    const auto row = kikou_->holding().Find(code);
    return row.ok() ? static_cast<int>(row->update_number()) : 0;
  };
  // A lower number.
  EXPECT_EQ(correct({AddressChange(hanako, 3, kMaebashi)}, {})->taken(), 1u);
  EXPECT_EQ(number(hanako.code), 3);
  // A change of code takes the former row with it, and a row under the former code stands again.
  const std::string former = hanako.code;
  EXPECT_EQ(correct({CodeChange(hanako, 77, 4, kMaebashi)}, {})->taken(), 1u);
  EXPECT_EQ(number(former), 0);
  EXPECT_EQ(number(hanako.code), 4);
  EXPECT_EQ(correct({AddressChange(Person(1), 2, kMaebashi)}, {hanako.code, CodeOf(500)})->taken(), 3u);
  EXPECT_EQ(number(former), 2);
  EXPECT_EQ(number(hanako.code), 0);
  Tell({AddressChange(Person(1), 6, kMaebashi)});
  EXPECT_EQ(number(former), 6);
  // What cannot be taken is refused by itself.
  v1::UpdateNotice wrong = Birth(taro, kMaebashi);
  wrong.set_resident_code("12345678901");
  const kikou::Corrected corrected = correct({wrong, AddressChange(taro, 2, kMaebashi)}, {}).value();
  EXPECT_EQ(corrected.taken(), 1u);
  ASSERT_EQ(corrected.refused_size(), 1);
  EXPECT_EQ(corrected.refused(0).code(), "check_digit");
  Reopen();
  EXPECT_EQ(number(former), 6);
  EXPECT_EQ(number(taro.code), 2);

  const auto refused = [&](const kikou::Corrections& corrections) {
    const auto reply = client_->Call(kKikouCorrectionsPath, kKikouCorrectionsTag, corrections.SerializeAsString(),
                                     kKikouCorrectedTag);
    EXPECT_EQ(reply.status().code(), Code::kInvalid);
    return reply.status().message();
  };
  kikou::Corrections corrections;
  EXPECT_EQ(refused(corrections), "version: 1 is known here");
  corrections.set_version(1);
  EXPECT_EQ(refused(corrections), "run: 16 bytes");
  corrections.set_run(std::string(16, 'r'));
  EXPECT_EQ(refused(corrections), "ledger: another is known here");
  corrections.set_ledger(kLedger);
  *corrections.add_notices() = Sent(next_, AddressChange(taro, 9, kMaebashi));
  corrections.add_absent("1234");
  EXPECT_EQ(refused(corrections), "absent: a 住民票コード has 11 digits");
  EXPECT_EQ(number(taro.code), 2);
}

TEST_F(KikouCopyTest, ACorrectionTakesNothingBackThatWasNotifiedSinceItsComparison) {
  Person hanako(1), taro(2), jiro(3);
  Tell({Birth(hanako, kMaebashi), Birth(taro, kMaebashi)});
  kikou::Corrections corrections;
  corrections.set_run(std::string(16, 'r'));
  corrections.set_position(next_ - 1);
  *corrections.add_notices() = Sent(0, Birth(hanako, kMaebashi));
  *corrections.add_notices() = Sent(1, Birth(taro, kMaebashi));
  corrections.add_absent(jiro.code);
  const std::string former = taro.code;
  Tell({AddressChange(hanako, 2, kMaebashi), CodeChange(taro, 77, 2, kMaebashi), Birth(jiro, kMaebashi)});
  EXPECT_EQ(copy_->Correct(corrections)->taken(), 3u);
  ExpectSame({}, Differing());
  EXPECT_EQ(kikou_->holding().Find(former).status().code(), Code::kNotFound);
}

TEST_F(KikouCopyTest, AQuestionThatIsNoneIsRefusedWithItsRule) {
  const auto ask = [&](const kikou::CopyQuestion& question, const KikouClient& client) {
    const auto reply = client.Call(kKikouCopiesPath, kKikouCopyQuestionTag, question.SerializeAsString(),
                                   kKikouCopyAnswerTag);
    return reply.ok() ? std::string("answered") : reply.status().ToString();
  };
  kikou::CopyQuestion question;
  question.set_version(1);
  question.set_ledger(kLedger);
  question.set_ask("\x01");
  EXPECT_EQ(ask(question, *client_), "invalid: ledger: none is known here yet");
  Enter(10, 50);
  kikou::CopyAnswer begun;
  ASSERT_TRUE(begun.ParseFromString(client_->Call(kKikouCopiesPath, kKikouCopyQuestionTag, question.SerializeAsString(),
                                                  kKikouCopyAnswerTag)
                                        ->message));
  question.set_session(begun.session());

  const auto refused = [&](const std::function<void(kikou::CopyQuestion&)>& change) {
    kikou::CopyQuestion changed = question;
    change(changed);
    return ask(changed, *client_);
  };
  const std::string at = std::string(7, '\0') + static_cast<char>(next_ - 1);
  const std::string huge = "\xff\xff\xff\xff\xff\xff\xff\xff\x7f";
  const std::map<std::string, std::string> asks = {
      {"", "no question of a copy"},
      {"\x01x", "no question of a copy"},
      {"\x09" + at, "no question of a copy"},
      {"\x02" + at, "cells cannot be read"},
      {"\x02" + at + huge + huge, "no such cells"},
      {"\x02" + at + '\0' + huge, "no such cells"},
      {"\x03" + at + "x", "more bytes than the question has"},
      {"\x03" + std::string(8, '\x07'), "the copy is of another position by now"},
      {"\x04" + at + "\x01", "buckets cannot be read"},
      {"\x04" + at + '\0' + huge, "none or too many buckets asked for"},
      {"\x04" + at + huge + '\x01', "no such buckets"},
  };
  for (const auto& [bytes, rule] : asks) {
    EXPECT_EQ(refused([&](auto& q) { q.set_ask(bytes); }), "invalid: ask: " + rule) << ToHex(bytes);
  }
  EXPECT_EQ(refused([](auto& q) { q.set_version(2); }), "invalid: version: 1 is known here");
  EXPECT_EQ(refused([](auto& q) { q.set_ledger(std::string(16, 'x')); }), "invalid: ledger: another is known here");
  EXPECT_EQ(refused([](auto& q) { q.set_session("short"); }), "invalid: session: 16 bytes, or none");
  EXPECT_EQ(refused([](auto& q) { q.set_session(std::string(16, 's')); }),
            "not found: session: there is no such session; begin another");
  EXPECT_EQ(refused([](auto& q) { q.clear_ask(); }), "invalid: what: ask, rows, rows_from or close");
  EXPECT_EQ(refused([](auto& q) { q.set_close(false); }), "invalid: close: true");
  EXPECT_EQ(refused([](auto& q) { q.set_rows_from(kCopyCodeEnd); }), "invalid: rows_from: a 住民票コード has 11 digits");
  EXPECT_EQ(refused([](auto& q) { q.mutable_rows()->add_resident_codes("no number"); }),
            "invalid: rows.resident_codes: a 住民票コード has 11 digits");
  EXPECT_EQ(refused([](auto& q) {
              for (int i = 0; i < 2; ++i) q.mutable_rows()->add_resident_codes(CodeOf(10));
            }),
            "invalid: rows.resident_codes: ascending");
  EXPECT_EQ(refused([](auto& q) {
              for (int i = 0; i < 1'001; ++i) q.mutable_rows()->add_resident_codes(CodeOf(i));
            }),
            "invalid: rows.resident_codes: at most 1000");
  // Whom nothing says, and whom the prefecture's key does not say it for.
  EXPECT_EQ(ask(question, Client(SigningKey::Generate())), "denied: signature: not of a key that is known here");
  EXPECT_EQ(client_->Call(kKikouCopiesPath, kKikouCopyQuestionTag, "\xff", kKikouCopyAnswerTag).status().code(),
            Code::kInvalid);
  EXPECT_EQ(client_->Call(kKikouCopiesPath, kKikouQuestionTag, question.SerializeAsString(), kKikouCopyAnswerTag)
                .status()
                .code(),
            Code::kDenied);
  // And the session is as it was.
  EXPECT_EQ(ask(question, *client_), "answered");
}

TEST_F(KikouCopyTest, AnAnswerThatIsNoneIsFoundOut) {
  Enter(10, 50);
  std::vector<std::uint64_t> codes;
  for (const auto& [code, standing] : here_.rows()) codes.push_back(code);
  codes.pop_back();
  const auto rows = [&](const std::function<void(kikou::CopyAnswer&)>& change) {
    KikouCopy copy(*client_, kLedger);
    change_ = nullptr;
    EXPECT_TRUE(copy.Ask("\x01").ok());
    change_ = change;
    return copy.Rows(codes).status().message();
  };
  const auto all = [&](const std::function<void(kikou::CopyAnswer&)>& change) {
    KikouCopy copy(*client_, kLedger);
    change_ = change;
    const Status status = copy.AllRows([](const v1::HeldCopy&) { return Status(); });
    EXPECT_EQ(status.code(), Code::kTampered);
    return status.message();
  };
  const std::string last = CodeText(here_.rows().rbegin()->first);
  constexpr char kOthers[] = "rows: not those asked for, in their order";
  EXPECT_EQ(rows([](auto&) {}), "");
  EXPECT_EQ(rows([](auto& a) { a.mutable_rows()->DeleteSubrange(3, 2); }), "");
  EXPECT_EQ(rows([](auto& a) { *a.add_rows() = a.rows(0); }), kOthers);
  EXPECT_EQ(rows([](auto& a) { a.mutable_rows()->SwapElements(0, 1); }), kOthers);
  EXPECT_EQ(rows([&](auto& a) { a.add_rows()->set_resident_code(last); }), kOthers);
  EXPECT_EQ(rows([](auto& a) { a.add_rows()->set_resident_code("12"); }), "rows: a 住民票コード has 11 digits");
  EXPECT_EQ(rows([](auto& a) { a.mutable_question_digest()->back() ^= 1; }),
            "question_digest: the answer is to another message");
  EXPECT_EQ(rows([](auto& a) { a.mutable_session()->back() ^= 1; }), "session: the answer is of another");
  EXPECT_EQ(all([](auto& a) { a.mutable_rows()->SwapElements(0, 1); }), "rows: not ascending");
  EXPECT_EQ(all([](auto& a) { *a.add_rows() = a.rows(a.rows_size() - 1); }), "rows: not ascending");
  EXPECT_EQ(all([](auto& a) { a.set_next(5); }), "next: not behind the rows");
  EXPECT_EQ(all([](auto& a) { a.set_next(kCopyCodeEnd); }), "next: not behind the rows");
  // Rows that never end.
  EXPECT_EQ(all([](auto& a) {
              a.clear_rows();
              a.set_next(5);
            }),
            "next: not behind the rows");
}

TEST_F(KikouCopyTest, TheKeyFileIsWhatWasWrittenOrRefused) {
  const std::string path = directory_ / "a.key";
  ASSERT_TRUE(WriteCopyKeyFile(path, kKey).ok());
  const CopyKey read = ReadCopyKeyFile(path).value();
  EXPECT_EQ(read.epoch, kKey.epoch);
  EXPECT_EQ(read.secret, kKey.secret);
  const std::string hex = ToHex(View(kKey.secret));
  for (const std::string& text :
       {std::string(), hex, ":" + hex, "x:" + hex, "-1:" + hex, "1 :" + hex, "99999999999:" + hex, "1:" + hex + "00",
        "1:" + hex.substr(2), "1:" + hex + "\n\n"}) {
    ASSERT_TRUE(WriteFileDurably(path, text).ok());
    EXPECT_EQ(ReadCopyKeyFile(path).status().code(), Code::kInvalid) << text;
  }
  EXPECT_EQ(ReadCopyKeyFile(directory_ / "none").status().code(), Code::kNotFound);
}

}  // namespace
}  // namespace daicho
