// A prefecture in a temporary directory, for tests: a log, a real sequencer, its registrar and two
// municipalities, and the notices they send. Submissions go through Submitter, or are forged by
// hand.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <map>
#include <random>
#include <thread>

#include "consumers/submitter.h"
#include "events/codes.h"
#include "events/dates.h"
#include "events/notice_rules.h"
#include "events/topics.h"
#include "ledger/local_log.h"
#include "ledger/replay.h"
#include "ledger/sequencer.h"

namespace daicho {

inline constexpr char kMaebashi[] = "102016";
inline constexpr char kTakasaki[] = "102024";

// DAICHO_SEED, or a fresh one; printed, so that a failure can be had again.
inline std::uint64_t Seed() {
  const char* given = std::getenv("DAICHO_SEED");
  const std::uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::cout << "DAICHO_SEED=" << seed << "\n";
  return seed;
}

// A directory that is gone with the object.
class TemporaryDirectory {
 public:
  TemporaryDirectory() : path_(::testing::TempDir() + "/daicho-" + ToHex(View(RandomArray<8>()))) {
    std::filesystem::create_directories(path_);
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// --- notices
// ---------------------------------------------------------------------------------------

inline std::string Digits(std::uint64_t number, std::size_t width) {
  const std::string digits = std::to_string(number);
  return std::string(width - digits.size(), '0') + digits;
}
inline std::string CodeOf(int n) {
  const std::string digits = Digits(1'000'000'000ull + static_cast<std::uint64_t>(n), 10);
  return digits + ResidentCodeCheckDigit(digits);
}
inline std::string NumberOf(int n) {
  const std::string digits = Digits(20'000'000'000ull + static_cast<std::uint64_t>(n), 11);
  return digits + IndividualNumberCheckDigit(digits);
}

struct Person {
  explicit Person(int n) : code(CodeOf(n)), number(NumberOf(n)) {}
  std::string code;    // 住民票コード
  std::string number;  // 個人番号; empty: none yet
};

// A good notice of `municipality` about its resident, with the person's numbers.
inline v1::UpdateNotice Notice(const Person& person, v1::ChangeReason reason, std::uint32_t number,
                               const std::string& municipality,
                               const std::string& changed_on = "2026-11-20") {
  v1::UpdateNotice notice;
  notice.set_resident_code(person.code);
  notice.set_update_number(number);
  notice.set_kind(KindOf(reason));
  notice.set_reason(reason);
  notice.set_changed_on(changed_on);
  notice.set_notified_at("2026-11-24T09:12:03+09:00");
  v1::ResidentRecord& record = *notice.mutable_record();
  record.set_name("渡邊 花子");
  record.set_kana("わたなべ はなこ");
  record.set_birth("1988-02-29");
  record.set_sex(v1::SEX_FEMALE);
  record.mutable_address()->set_municipality(municipality);
  record.mutable_address()->set_text("大手町" + std::to_string(number) + "番地");
  record.set_individual_number(person.number);
  return notice;
}
inline v1::UpdateNotice Birth(const Person& person, const std::string& municipality) {
  return Notice(person, v1::CHANGE_REASON_BIRTH, 1, municipality);
}
inline v1::UpdateNotice AddressChange(const Person& person, std::uint32_t number,
                                      const std::string& municipality) {
  return Notice(person, v1::CHANGE_REASON_ADDRESS_CHANGE, number, municipality);
}
inline v1::UpdateNotice MoveOut(const Person& person, std::uint32_t number,
                                const std::string& municipality) {
  return Notice(person, v1::CHANGE_REASON_MOVE_OUT, number, municipality);
}
inline v1::UpdateNotice MoveIn(const Person& person, std::uint32_t number,
                               const std::string& municipality) {
  return Notice(person, v1::CHANGE_REASON_MOVE_IN, number, municipality);
}
// The person takes a new 住民票コード.
inline v1::UpdateNotice CodeChange(Person& person, int new_code, std::uint32_t number,
                                   const std::string& municipality) {
  const std::string former = person.code;
  person.code = CodeOf(new_code);
  v1::UpdateNotice notice =
      Notice(person, v1::CHANGE_REASON_RESIDENT_CODE_CHANGE, number, municipality);
  notice.set_former_resident_code(former);
  return notice;
}
// The person takes a new 個人番号, or its first one.
inline v1::UpdateNotice NumberChange(Person& person, int new_number, std::uint32_t number,
                                     const std::string& municipality) {
  const std::string former = person.number;
  person.number = NumberOf(new_number);
  v1::UpdateNotice notice = Notice(person,
                                   former.empty() ? v1::CHANGE_REASON_INDIVIDUAL_NUMBER_ENTRY
                                                  : v1::CHANGE_REASON_INDIVIDUAL_NUMBER_CHANGE,
                                   number, municipality);
  notice.set_former_individual_number(former);
  return notice;
}

inline DraftEvent Update(const std::string& payload) {
  DraftEvent event;
  event.kind = v1::EVENT_KIND_UPDATE;
  event.retention = v1::RETENTION_CLASS_NOTICE;
  event.payload = payload;
  return event;
}
inline DraftEvent Update(const v1::UpdateNotice& notice) {
  return Update(notice.SerializeAsString());
}
inline DraftEvent Administration(v1::EventKind kind, const std::string& payload) {
  DraftEvent event;
  event.kind = kind;
  event.retention = v1::RETENTION_CLASS_ADMINISTRATION;
  event.payload = payload;
  event.clear = true;
  return event;
}

// "1 record.individual_number check_digit; 2 update_number update_number 4": item, field, rule, and
// the number expected if there is one.
inline std::string ErrorsOf(const v1::Receipt& receipt) {
  std::string out;
  for (const v1::Violation& violation : receipt.violations()) {
    EXPECT_FALSE(violation.message().empty());
    if (!out.empty()) out += "; ";
    out += std::to_string(violation.item()) + " " + violation.field() + " " + violation.rule();
    if (violation.expected() != 0) out += " " + std::to_string(violation.expected());
  }
  return out;
}

// --- submissions made by hand
// ----------------------------------------------------------------------

// A submission as its issuer would make it, until it is changed.
struct Forgery {
  std::string issuer;
  int prefecture = 0;
  MerkleEdge before;  // the tree that it continues
  std::vector<v1::Draft> drafts;
  SigningKey key;
  Key256 intake{};
  LedgerId ledger{};
  TimeMicros time;
  std::function<void(TreeHead&)> change_head = [](TreeHead&) {};

  MerkleEdge After() const {
    MerkleEdge tree = before;
    for (const v1::Draft& draft : drafts) tree.Append(LeafHash(draft.header()));
    return tree;
  }
  std::string Seal() const {
    TreeHead head;
    head.origin = IssuerOrigin(prefecture, issuer);
    head.size = After().size();
    head.root = After().Root();
    head.ledger = View(ledger);
    head.time = time;
    change_head(head);
    v1::SubmissionBody body;
    for (const v1::Draft& draft : drafts) *body.add_drafts() = draft;
    return SealSubmission(body, SignTreeHead(head, key), intake, ledger).value();
  }
};

// --- the prefecture
// --------------------------------------------------------------------------------

using OpenLogFunction = std::function<std::unique_ptr<Log>(const std::string& dir)>;

inline std::unique_ptr<Log> OpenLocal(const std::string& dir) {
  return LocalLog::Open(dir).value();
}

class Prefecture {
 public:
  explicit Prefecture(OpenLogFunction open_log = OpenLocal) : open_log_(std::move(open_log)) {
    OpenStores();
    EXPECT_TRUE(CreateLedgerTopics(*log_, kNumber).ok());
    for (const char* issuer : {kMaebashi, kTakasaki}) keys_of_[issuer] = SigningKey::Generate();
    keys_of_[Registrar()] = registrar_key_;
  }
  ~Prefecture() { EXPECT_TRUE(Stop().ok()); }

  static constexpr int kNumber = 10;
  static std::string Registrar() { return RoleIssuer(kNumber, "registrar"); }
  static std::string Inbox(const std::string& issuer) { return Topics{kNumber}.Inbox(issuer); }
  static std::string LedgerTopic() { return Topics{kNumber}.Ledger(); }

  // Starts the sequencer; opens the ledger and registers the municipalities.
  void Found() {
    Start();
    Submit(Registrar(), {Opening()});
    for (const char* issuer : {kMaebashi, kTakasaki}) {
      const v1::Receipt receipt = Submit(Registrar(), {Registration(issuer)});
      EXPECT_EQ(receipt.outcome(), v1::OUTCOME_ADMITTED) << ErrorsOf(receipt);
    }
  }
  DraftEvent Opening() const {
    v1::LedgerOpened opened;
    opened.set_prefecture(kNumber);
    opened.set_ledger(std::string(View(ledger_id_)));
    opened.set_registrar_public_key(std::string(View(registrar_key_.public_key())));
    opened.set_sequencer_public_key(std::string(View(receipt_key_.public_key())));
    opened.set_intake_public_key(std::string(View(intake_.public_key)));
    *opened.mutable_algorithms() = OwnAlgorithms();
    return Administration(v1::EVENT_KIND_LEDGER_OPENED, opened.SerializeAsString());
  }
  DraftEvent Registration(const std::string& issuer,
                          v1::IssuerRole role = v1::ISSUER_ROLE_MUNICIPALITY) {
    if (!keys_of_.contains(issuer)) keys_of_[issuer] = SigningKey::Generate();
    v1::IssuerRegistered registered;
    registered.set_issuer(issuer);
    registered.set_public_key(std::string(View(keys_of_[issuer].public_key())));
    registered.set_role(role);
    return Administration(v1::EVENT_KIND_ISSUER_REGISTERED, registered.SerializeAsString());
  }

  // --- keys

  // What the sequencer's node holds; a new key is put first.
  const LedgerKeys& held() const { return held_; }
  // The sequencer may be reading them.
  void ChangeHeld(const std::function<void(LedgerKeys&)>& change) {
    const std::lock_guard lock(held_mutex_);
    change(held_);
  }
  SigningKey& KeyOf(const std::string& issuer) { return keys_of_[issuer]; }
  Registry RegistryNow() {
    LedgerReplay replay = NewReplay();
    Entries(&replay);
    return replay.registry();
  }
  // Of the key in force.
  v1::KeyChanged Change(v1::KeyUse use, const std::string& holder, v1::KeyAction action) {
    v1::KeyChanged out;
    out.set_use(use);
    out.set_holder(holder);
    out.set_action(action);
    if (const auto current = RegistryNow().CurrentKey(use, holder); current.ok()) out.set_old_key_id(current->key_id);
    out.set_reason("by plan");
    return out;
  }
  DraftEvent Give(v1::KeyUse use, const std::string& holder, const Key256& key,
                  v1::KeyAction action = v1::KEY_ACTION_ROTATE) {
    v1::KeyChanged out = Change(use, holder, action);
    out.set_new_public_key(std::string(View(key)));
    out.set_new_key_id(RegistryNow().KeyIdOf(use, holder, out.new_public_key()));
    out.set_algorithm(use == v1::KEY_USE_INTAKE ? "x25519" : "ed25519");
    return Administration(v1::EVENT_KIND_KEY_CHANGED, out.SerializeAsString());
  }
  DraftEvent Revoke(v1::KeyUse use, const std::string& holder) {
    return Administration(v1::EVENT_KIND_KEY_CHANGED,
                          Change(use, holder, v1::KEY_ACTION_REVOKE).SerializeAsString());
  }
  void RotateIntake() {
    ChangeHeld([](LedgerKeys& held) { held.intake.insert(held.intake.begin(), HpkeKeyPair::Generate()); });
    EXPECT_EQ(Submit(Registrar(), {Give(v1::KEY_USE_INTAKE, "", held_.intake.front().public_key)}).outcome(),
              v1::OUTCOME_ADMITTED);
  }
  void RotateSequencerKey(const SigningKey& to = SigningKey::Generate()) {
    ChangeHeld([&](LedgerKeys& held) { held.receipts.insert(held.receipts.begin(), to); });
    EXPECT_EQ(Submit(Registrar(), {Give(v1::KEY_USE_SEQUENCER, "", held_.receipts.front().public_key())}).outcome(),
              v1::OUTCOME_ADMITTED);
  }

  // --- the sequencer

  Sequencer& sequencer() { return *sequencer_; }
  SequencerOptions SequencerWith(KeyStore& keys) {
    SequencerOptions o;
    o.prefecture = kNumber;
    o.ledger = ledger_id_;
    o.registrar_public_key = registrar_key_.public_key();
    o.ledger_keys = [this]() -> Result<LedgerKeys> {
      const std::lock_guard lock(held_mutex_);
      return held_;
    };
    o.state_dir = Path("state");
    o.log = sequencer_log_ != nullptr ? sequencer_log_ : log_.get();
    o.keys = &keys;
    o.clock = &clock_;
    return o;
  }
  // The sequencer's log from its next start on, in place of that of the issuers. Borrowed.
  void GiveSequencer(Log* log) { sequencer_log_ = log; }
  void Start() {
    auto sequencer = Sequencer::Open(SequencerWith(*key_store_));
    ASSERT_TRUE(sequencer.ok()) << sequencer.status().ToString();
    sequencer_ = std::move(*sequencer);
    running_ = std::jthread([this](std::stop_token stop) { ended_ = sequencer_->Run(stop); });
  }
  // How it ended; OK also when none runs.
  Status Stop() {
    running_.request_stop();
    return End();
  }
  // Waits until it ends by itself.
  Status End() {
    if (running_.joinable()) running_.join();
    sequencer_.reset();
    return std::exchange(ended_, Status());
  }
  void Restart() {
    EXPECT_TRUE(Stop().ok());
    CloseStores();
    OpenStores();
    Start();
  }
  void LoseState() {
    EXPECT_TRUE(Stop().ok());
    std::filesystem::remove_all(Path("state"));
    Start();
  }

  // --- what issuers do

  // Through the issuer's Submitter.
  v1::Receipt Submit(const std::string& issuer, const std::vector<DraftEvent>& events) {
    clock_.Advance(std::chrono::minutes(1));
    auto receipt = SubmitterOf(issuer).Submit(events);
    EXPECT_TRUE(receipt.ok()) << receipt.status().ToString();
    return receipt.ok() ? *receipt : v1::Receipt();
  }
  v1::Receipt Notify(const std::string& issuer, const std::vector<v1::UpdateNotice>& notices) {
    std::vector<DraftEvent> events;
    for (const auto& notice : notices) events.push_back(Update(notice));
    return Submit(issuer, events);
  }
  Submitter& SubmitterOf(const std::string& issuer) {
    auto& submitter = submitters_[issuer];
    if (submitter != nullptr) return *submitter;
    auto options = SubmitterFor(issuer);
    // The registrar cannot be welcomed before the ledger is open.
    if (issuer == Registrar()) {
      options.pin = {ledger_id_, held_.intake.front().public_key, held_.receipts.front().public_key()};
    }
    auto opened = Submitter::Open(options);
    submitter = std::move(opened).value();
    return *submitter;
  }
  SubmitterOptions SubmitterFor(const std::string& issuer) {
    SubmitterOptions o;
    o.dir = Path("outbox/" + issuer);
    o.issuer = issuer;
    o.prefecture = kNumber;
    o.key = keys_of_[issuer];
    o.log = log_.get();
    o.clock = &clock_;
    o.receipt_wait = std::chrono::seconds(20);
    return o;
  }

  // A submission that continues what the issuer has in the ledger.
  Forgery Forge(const std::string& issuer, const std::vector<DraftEvent>& events) {
    return Forge(issuer, events, TreeOf(issuer));
  }
  Forgery Forge(const std::string& issuer, const std::vector<DraftEvent>& events,
                const MerkleEdge& before) {
    Forgery out{issuer,     kNumber,     before, {}, keys_of_[issuer], held_.intake.front().public_key,
                ledger_id_, clock_.Now()};
    for (std::size_t i = 0; i < events.size(); ++i) {
      out.drafts.push_back(MakeDraft(events[i], issuer, Sequence(before.size() + i + 1)));
    }
    return out;
  }
  // Puts a record into the inbox.
  void Deliver(const std::string& issuer, const std::string& record) {
    ASSERT_TRUE(log_->Append(Inbox(issuer), Record{issuer, record, {}}).ok());
  }
  // Puts a record into the inbox and waits for what the sequencer answers.
  v1::Receipt Answer(const std::string& issuer, const std::string& record) {
    const std::size_t before = Receipts(issuer).size();
    Deliver(issuer, record);
    return AwaitReceipts(issuer, before + 1).back();
  }

  // Every verified receipt of the issuer, its welcome left out.
  std::vector<v1::Receipt> Receipts(const std::string& issuer) {
    std::vector<v1::Receipt> out;
    for (const Received& record : ReadTopic(Topics{kNumber}.Receipt(issuer))) {
      Result<v1::Receipt> receipt = Tampered("the ledger has no key");
      for (std::size_t i = 0; i < held_.receipts.size() && !receipt.ok(); ++i) {
        receipt = VerifyReceipt(record.value, VerifyingKey::From(held_.receipts[i].public_key()).value());
      }
      EXPECT_TRUE(receipt.ok()) << receipt.status().ToString();
      if (receipt.ok() && receipt->outcome() != v1::OUTCOME_REGISTERED) out.push_back(*receipt);
    }
    return out;
  }
  // Waits until there are as many.
  std::vector<v1::Receipt> AwaitReceipts(const std::string& issuer, std::size_t count) {
    auto reader = log_->OpenReader().value();
    const std::string topic = Topics{kNumber}.Receipt(issuer);
    EXPECT_TRUE(reader->Assign(topic, Cursor(0)).ok());
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    std::vector<v1::Receipt> receipts = Receipts(issuer);
    while (receipts.size() < count && std::chrono::steady_clock::now() < deadline) {
      EXPECT_TRUE(reader->Poll(1000, std::chrono::milliseconds(200)).ok());
      receipts = Receipts(issuer);
    }
    EXPECT_GE(receipts.size(), count) << "receipts of " << issuer;
    receipts.resize(std::max(count, receipts.size()));
    return receipts;
  }

  // --- what stands in the ledger

  std::vector<Received> ReadTopic(const std::string& topic) {
    std::vector<Received> out;
    auto reader = log_->OpenReader().value();
    EXPECT_TRUE(reader->Assign(topic, Cursor(0)).ok());
    const Cursor end = log_->GetBounds(topic).value().end;
    while (reader->Next(0) < end) {
      auto records = reader->Poll(1000, std::chrono::milliseconds(1000));
      if (!records.ok()) {
        ADD_FAILURE() << records.status().ToString();
        break;
      }
      for (Received& record : *records) out.push_back(std::move(record));
    }
    return out;
  }
  std::vector<std::string> Records() {
    std::vector<std::string> out;
    for (Received& record : ReadTopic(LedgerTopic())) out.push_back(std::move(record.value));
    return out;
  }
  LedgerReplay NewReplay() const { return LedgerReplay(ledger_id_, registrar_key_.public_key()); }
  // An entry that passed replay, with a life of its own.
  struct Entry {
    Position position;
    v1::EntryLeaf leaf;
    v1::EventHeader header;
    std::string record;
    bool ends_submission = false;
  };
  // Every entry, verified.
  std::vector<Entry> Entries(LedgerReplay* end = nullptr) {
    LedgerReplay replay = NewReplay();
    std::vector<Entry> out;
    for (const std::string& record : Records()) {
      auto entry = replay.Next(record);
      EXPECT_TRUE(entry.ok()) << entry.status().ToString();
      if (!entry.ok()) break;
      out.push_back({entry->position, entry->leaf, entry->header, record, entry->ends_submission});
    }
    EXPECT_TRUE(replay.between_submissions());
    EXPECT_TRUE(replay.VerifyHeads().ok());
    if (end != nullptr) *end = std::move(replay);
    return out;
  }
  std::uint64_t Size() { return Entries().size(); }
  MerkleEdge TreeOf(const std::string& issuer) {
    LedgerReplay replay = NewReplay();
    Entries(&replay);
    const IssuerState* state = replay.FindIssuer(issuer);
    return state == nullptr ? MerkleEdge() : state->tree;
  }
  Result<std::string> Open(const Entry& entry) {
    PreparedEntry prepared;
    PrepareEntry(entry.record, prepared);
    RETURN_IF_ERROR(prepared.status);
    return OpenPart(prepared, 0, *key_store_);
  }
  // The notice at that position, opened.
  v1::UpdateNotice NoticeAt(const Entry& entry) {
    v1::UpdateNotice notice;
    auto payload = Open(entry);
    EXPECT_TRUE(payload.ok()) << payload.status().ToString();
    EXPECT_TRUE(payload.ok() && notice.ParseFromString(*payload));
    return notice;
  }

  Log& log() { return *log_; }
  KeyStore& key_store() { return *key_store_; }
  SimulatedClock& clock() { return clock_; }
  const LedgerId& ledger_id() const { return ledger_id_; }
  const SigningKey& registrar_key() const { return registrar_key_; }
  const SigningKey& ledger_key() const { return receipt_key_; }
  std::string Path(const std::string& name) const { return directory_ / name; }

 private:
  void OpenStores() {
    log_ = open_log_(Path("log"));
    key_store_ = KeyStore::Open(Path("keys"), KeyStore::Mode::kWrite).value();
  }
  void CloseStores() {
    submitters_.clear();
    key_store_.reset();
    log_.reset();
  }

  TemporaryDirectory directory_;
  OpenLogFunction open_log_;
  const LedgerId ledger_id_ = RandomArray<16>();
  const SigningKey registrar_key_ = SigningKey::Generate();
  const SigningKey receipt_key_ = SigningKey::Generate();
  const HpkeKeyPair intake_ = HpkeKeyPair::Generate();
  std::mutex held_mutex_;
  LedgerKeys held_{{receipt_key_}, {intake_}};
  SimulatedClock clock_{ParseTimestamp("2026-11-24T10:00:00+09:00").value()};
  std::map<std::string, SigningKey> keys_of_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<KeyStore> key_store_;
  std::unique_ptr<Sequencer> sequencer_;
  std::map<std::string, std::unique_ptr<Submitter>> submitters_;
  Log* sequencer_log_ = nullptr;
  Status ended_;
  std::jthread running_;
};

}  // namespace daicho
