#include "bench/search_live.h"

#include <chrono>
#include <map>
#include <random>
#include <thread>

#include "bench/search_home.h"
#include "bench/search_measure.h"
#include "events/clock.h"
#include "events/codes.h"
#include "events/topics.h"
#include "events/tree_head.h"
#include "ledger/sequencer.h"

namespace daicho::search_bench {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr std::size_t kMovers = 20'000;
constexpr std::size_t kMovesPerSubmission = 10;
constexpr milliseconds kBetweenSubmissions{10};
constexpr seconds kApplying{20};
constexpr seconds kQuiet{10};
constexpr std::size_t kAlone = 300;
constexpr std::size_t kTogether = 500;  // of each municipality

// Municipalities that send notices of moves within them, as their gateways do.
class Movers {
 public:
  explicit Movers(OpenedHome& home) : home_(home) {}

  // `keys`: the issuers' keys, a file each.
  Status Open(const std::string& keys) {
    for (const Municipality& municipality : kMunicipalities) {
      const std::string issuer(municipality.code);
      ASSIGN_OR_RETURN(issuers_[issuer].key, ReadSigningKey(keys + "/" + issuer + ".key"));
      issuers_[issuer].tree = home_.projector().IssuerTree(issuer);
      issuers_[issuer].chance.seed(issuers_.size());
    }
    ASSIGN_OR_RETURN(const RecordCounts counts, home_.projector().file().Counts());
    const std::uint64_t every = std::max<std::uint64_t>(1, counts.residents / kMovers);
    std::uint64_t seen = 0;
    return home_.ForEachResident([&](KeySlot, const Version& version) {
      if (seen++ % every != 0) return;
      const std::string& town = version.notice.record().address().municipality();
      issuers_[town].residents.push_back(version.notice);
      towns_.push_back(town);
    });
  }

  // One submission of `count` moves within one municipality, drawn by its size.
  Status Submit(std::size_t count) { return Submit(towns_[chance_() % towns_.size()], count); }

  // Different municipalities' may be sent at once.
  Status Submit(const std::string& name, std::size_t count) {
    Issuer& issuer = issuers_.at(name);
    v1::SubmissionBody body;
    for (std::size_t i = 0; i < count; ++i) {
      DraftEvent event{v1::EVENT_KIND_UPDATE, v1::RETENTION_CLASS_NOTICE, Move(issuer), {}, false};
      *body.add_drafts() = MakeDraft(event, name, Sequence(issuer.tree.size() + 1));
      issuer.tree.Append(LeafHash(body.drafts().rbegin()->header()));
    }
    const TreeHead head{IssuerOrigin(home_.home().prefecture, name), issuer.tree.size(), issuer.tree.Root(),
                        std::string(View(home_.home().ledger)), clock_.Now()};
    Record record;
    ASSIGN_OR_RETURN(record.value, SealSubmission(body, SignTreeHead(head, issuer.key),
                                                  home_.home().intake.public_key, home_.home().ledger));
    return home_.log().Append(Topics{home_.home().prefecture}.Inbox(name), record);
  }

  // Whether all that the municipality has sent can be found.
  bool IsFound(const std::string& name) const {
    return home_.projector().IssuerTree(name).size() >= issuers_.at(name).tree.size();
  }

 private:
  struct Issuer {
    SigningKey key;
    MerkleEdge tree;
    std::vector<v1::UpdateNotice> residents;
    std::mt19937_64 chance;
  };

  // Somebody goes to live where somebody else does.
  std::string Move(Issuer& issuer) {
    const auto any = [&]() -> v1::UpdateNotice& { return issuer.residents[issuer.chance() % issuer.residents.size()]; };
    v1::UpdateNotice& notice = any();
    const v1::Address place = any().record().address();
    notice.set_update_number(notice.update_number() + 1);
    notice.set_kind(v1::NOTICE_KIND_AMEND);
    notice.set_reason(v1::CHANGE_REASON_ADDRESS_CHANGE);
    notice.set_changed_on(FormatDate(JapanDate(clock_.Now())));
    notice.set_notified_at(FormatTimestamp(clock_.Now()));
    *notice.mutable_record()->mutable_address() = place;
    return notice.SerializeAsString();
  }

  OpenedHome& home_;
  SystemClock clock_;
  std::map<std::string, Issuer> issuers_;
  std::vector<std::string> towns_;  // of each resident
  std::mt19937_64 chance_{3};
};

// The mix again and again until `done`.
Result<Measured> AskUntil(Side& side, const Questions& questions, const std::function<bool()>& done) {
  Measured out;
  for (std::uint64_t seed = 1; !done(); ++seed) {
    constexpr std::size_t kAskedBetween = 2'000;
    ASSIGN_OR_RETURN(const Measured part, MeasureMix(side, questions, seed, kAskedBetween));
    out.Add(part);
  }
  return out;
}

Result<Measured> AskWhileApplying(OpenedHome& home, Movers& movers, Side& side, const Questions& questions) {
  const std::uint64_t before = home.projector().position().value();
  Status sent;
  std::atomic<bool> done = false;
  std::jthread sending([&] {
    const auto begun = steady_clock::now();
    for (auto next = begun; sent.ok() && next < begun + kApplying; next += kBetweenSubmissions) {
      std::this_thread::sleep_until(next);
      sent = movers.Submit(kMovesPerSubmission);
    }
    done = true;
  });
  ASSIGN_OR_RETURN(Measured out, AskUntil(side, questions, [&] { return done.load(); }));
  const std::uint64_t applied = home.projector().position().value() - before;
  sending.join();
  RETURN_IF_ERROR(sent);
  const auto expected = static_cast<std::uint64_t>(kApplying / kBetweenSubmissions) * kMovesPerSubmission;
  if (applied < expected * 9 / 10) return Unavailable("the changes were not applied as fast as they came");
  if (!home.projector().WaitFor(Position(before + expected), seconds(30))) return Unavailable("changes were refused");
  return out;
}

Result<Measured> MoveAlone(OpenedHome& home, Movers& movers) {
  Measured out;
  for (std::size_t i = 0; i < kAlone; ++i) {
    const Position next = home.projector().position().Next();
    const auto before = steady_clock::now();
    RETURN_IF_ERROR(movers.Submit(1));
    if (!home.projector().WaitFor(next, seconds(30))) return Unavailable("a change was not applied");
    const auto took = steady_clock::now() - before;
    out.micros.push_back(std::chrono::duration<double, std::micro>(took).count());
    out.seconds += out.micros.back() / 1e6;
  }
  return out;
}

// As many at once as there are municipalities, each waiting until its own can be found.
Result<Measured> MoveTogether(OpenedHome& home, Movers& movers) {
  std::vector<Status> failed(std::size(kMunicipalities));
  std::vector<Measured> took(std::size(kMunicipalities));
  const auto begun = steady_clock::now();
  {
    std::vector<std::jthread> municipalities;
    for (std::size_t i = 0; i < took.size(); ++i) {
      municipalities.emplace_back([&, i, name = std::string(kMunicipalities[i].code)] {
        for (std::size_t n = 0; n < kTogether && failed[i].ok(); ++n) {
          const auto before = steady_clock::now();
          failed[i] = movers.Submit(name, 1);
          for (Position next = home.projector().position(); failed[i].ok() && !movers.IsFound(name); next = next.Next()) {
            if (!home.projector().WaitFor(next, seconds(30))) failed[i] = Unavailable("a change was not applied");
          }
          took[i].micros.push_back(std::chrono::duration<double, std::micro>(steady_clock::now() - before).count());
        }
      });
    }
  }
  Measured out;
  for (std::size_t i = 0; i < took.size(); ++i) {
    RETURN_IF_ERROR(failed[i]);
    out.Add(took[i]);
  }
  out.seconds = std::chrono::duration<double>(steady_clock::now() - begun).count();
  return out;
}

Status Measure(OpenedHome& home, Movers& movers, const Questions& questions) {
  Inside inside(home);
  const auto ask_in_quiet = [&] {
    const auto until = steady_clock::now() + kQuiet;
    return AskUntil(inside, questions, [until] { return steady_clock::now() > until; });
  };
  RETURN_IF_ERROR(ask_in_quiet().status());  // warms
  ASSIGN_OR_RETURN(const Measured quiet, ask_in_quiet());
  Report("inside", "stage=quiet", quiet);
  ASSIGN_OR_RETURN(const Measured applying, AskWhileApplying(home, movers, inside, questions));
  Report("inside", "stage=applying", applying);
  ASSIGN_OR_RETURN(const Measured alone, MoveAlone(home, movers));
  Report("daicho", "stage=update-alone", alone);
  ASSIGN_OR_RETURN(const Measured together, MoveTogether(home, movers));
  Report("daicho", "stage=update-together", together);
  return {};
}

}  // namespace

Status Live(const std::string& work, const std::string& data) {
  ASSIGN_OR_RETURN(const Questions questions, ReadQuestions(data));
  ASSIGN_OR_RETURN(const auto home, OpenedHome::Open(work, KeyStore::Mode::kWrite));
  RETURN_IF_ERROR(home->projector().CatchUp());
  const SystemClock clock;
  SequencerOptions options;
  options.prefecture = home->home().prefecture;
  options.ledger = home->home().ledger;
  options.registrar_public_key = home->home().registrar.public_key();
  options.ledger_keys = [&]() -> Result<LedgerKeys> { return LedgerKeys{{home->home().receipts}, {home->home().intake}}; };
  options.state_dir = home->home().Path("sequencer");
  options.log = &home->log();
  options.keys = &home->keys();
  options.at_rest = &home->holder();
  options.clock = &clock;
  ASSIGN_OR_RETURN(const auto sequencer, Sequencer::Open(std::move(options)));
  Movers movers(*home);
  RETURN_IF_ERROR(movers.Open(work + "/issuers"));
  Status sequenced, projected;
  Status measured;
  {
    std::jthread sequencing([&](std::stop_token stop) { sequenced = sequencer->Run(stop); });
    std::jthread projecting([&](std::stop_token stop) { projected = home->projector().Run(stop); });
    measured = Measure(*home, movers, questions);
  }
  RETURN_IF_ERROR(sequenced);
  RETURN_IF_ERROR(projected);
  if (sequencer->counters().rejected > 0) return Invalid("a move was rejected");
  return measured;
}

}  // namespace daicho::search_bench
