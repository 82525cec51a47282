// The whole way of a load, stage by stage, on either log, with the limit of each stage measured in the same
// run on the same bytes:
//
//   gateway     notice files → signed, sealed submissions in the inboxes          (one thread)
//   admission   inboxes → ledger: decode, verify, judge, seal, append             against raw-append
//   raw-append  the ledger's own records, 10,000 per atomic append, nothing else
//   rebuild-records  ledger → record file without the search index, every entry verified   against raw-read
//   rebuild     … with the search index
//   raw-read    the ledger's records read and dropped
//
// pipeline --log local:DIR|kafka://HOST:PORT --notices DIR --work DIR [--dump FILE] [--per-submission N]
// prints one RESULT line per stage; FILE gets the ledger's records for bench/peers. WORK must not exist yet and the
// log must hold no ledger. WORK/home with an operator's key, and WORK/issuers with the municipalities', are left: the
// ledger can go on.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "bench/cpu_time.h"
#include "consumers/home.h"
#include "consumers/node.h"
#include "consumers/notice_file.h"
#include "events/codes.h"
#include "events/merkle.h"
#include "events/topics.h"
#include "events/tree_head.h"
#include "ledger/sequencer.h"
#include "projections/projector.h"

namespace daicho {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t kRecordsPerAppend = 10'000;

class Stopwatch {
 public:
  double Seconds() const { return std::chrono::duration<double>(steady_clock::now() - begun_).count(); }

 private:
  steady_clock::time_point begun_ = steady_clock::now();
};

// Resets the peak, so that each stage shows its own.
void ResetPeakMemory() { std::ofstream("/proc/self/clear_refs") << "5"; }

std::uint64_t PeakMemoryKiB() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6));
  }
  return 0;
}

void Report(const char* stage, std::uint64_t events, double seconds, double cpu) {
  fmt::print("RESULT stage={} events={} seconds={:.2f} rate={:.0f} cpu_us_per_event={:.2f} peak_mib={}\n", stage,
             events, seconds, static_cast<double>(events) / seconds, cpu * 1e6 / static_cast<double>(events),
             PeakMemoryKiB() / 1024);
  std::fflush(stdout);
}

struct Issuer {
  SigningKey key = SigningKey::Generate();
  MerkleEdge tree;
};

class Pipeline {
 public:
  Pipeline(std::string log, std::string notices, std::string work, const std::string& dump, std::size_t per_submission)
      : log_name_(std::move(log)),
        notices_(std::move(notices)),
        work_(std::move(work)),
        per_submission_(per_submission) {
    if (!dump.empty()) dump_.open(dump, std::ios::binary);
  }

  Status Run() {
    RETURN_IF_ERROR(Open());
    RETURN_IF_ERROR(FillInboxes());
    RETURN_IF_ERROR(Admit());
    RETURN_IF_ERROR(AppendRaw());
    RETURN_IF_ERROR(ReadRaw());
    RETURN_IF_ERROR(Rebuild("rebuild-records", false));
    return Rebuild("rebuild", true);
  }

 private:
  Status Open() {
    ASSIGN_OR_RETURN(home_, CreateHome(work_ + "/home", 10, log_name_, "", ""));
    const SigningKey key = SigningKey::Generate();
    std::filesystem::create_directories(home_.Path("operators"));
    RETURN_IF_ERROR(WriteSigningKey(home_.Path("operators/op1.key"), key));
    RETURN_IF_ERROR(Found(home_, {{"op1", key.public_key()}}));
    NodeOptions options;
    options.roles = {"sequencer"};
    ASSIGN_OR_RETURN(auto node, Node::Start(home_, options));
    std::filesystem::create_directories(work_ + "/issuers");
    for (const Municipality& municipality : kMunicipalities) {
      const std::string issuer(municipality.code);
      RETURN_IF_ERROR(WriteSigningKey(work_ + "/issuers/" + issuer + ".key", issuers_[issuer].key));
      v1::IssuerRegistered registered;
      registered.set_issuer(issuer);
      registered.set_public_key(std::string(View(issuers_[issuer].key.public_key())));
      registered.set_role(v1::ISSUER_ROLE_MUNICIPALITY);
      RETURN_IF_ERROR(node->Administer(v1::EVENT_KIND_ISSUER_REGISTERED, registered.SerializeAsString()));
    }
    node.reset();
    ASSIGN_OR_RETURN(log_, OpenLog(home_.log, ""));
    return {};
  }

  // As the gateways do, but without waiting for receipts: every submission is admissible. That holds for a first
  // load alone (generate --years 0): a later notice must not overtake another municipality's about the same person.
  Status FillInboxes() {
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(notices_)) {
      if (entry.path().extension() == ".ndjson") files.push_back(entry.path().string());
    }
    std::sort(files.begin(), files.end());
    const Stopwatch watch;
    const double cpu = CpuSeconds();
    for (const std::string& path : files) {
      ASSIGN_OR_RETURN(NoticeFileReading reading, ReadNoticeFile(path));
      if (!reading.errors.empty()) return Invalid(path + ": " + reading.errors[0].message);
      std::span<std::string> rest(reading.file.payloads);
      while (!rest.empty()) {
        const std::size_t size = std::min(rest.size(), per_submission_);
        RETURN_IF_ERROR(Submit(reading.file.issuer, rest.first(size)));
        rest = rest.subspan(size);
      }
    }
    Report("gateway", events_, watch.Seconds(), CpuSeconds() - cpu);
    return {};
  }

  Status Submit(const std::string& name, std::span<std::string> payloads) {
    Issuer& issuer = issuers_[name];
    v1::SubmissionBody body;
    for (std::string& payload : payloads) {
      DraftEvent event{v1::EVENT_KIND_UPDATE, v1::RETENTION_CLASS_NOTICE, std::move(payload), {}, false};
      *body.add_drafts() = MakeDraft(event, name, Sequence(issuer.tree.size() + 1));
      issuer.tree.Append(LeafHash(body.drafts().rbegin()->header()));
      ++events_;
    }
    TreeHead head{IssuerOrigin(10, name), issuer.tree.size(), issuer.tree.Root(), std::string(View(home_.ledger)),
                  SystemClock().Now()};
    Record record;
    ASSIGN_OR_RETURN(record.value, SealSubmission(body, SignTreeHead(head, issuer.key), home_.intake.public_key,
                                                  home_.ledger));
    return log_->Append(topics_.Inbox(name), record);
  }

  Status Admit() {
    ResetPeakMemory();
    ASSIGN_OR_RETURN(const auto holder, OpenHolder(home_));
    ASSIGN_OR_RETURN(auto keys, KeyStore::Open(home_.Path("keystore"), KeyStore::Mode::kWrite, holder.get()));
    SequencerOptions options;
    options.at_rest = holder.get();
    options.prefecture = 10;
    options.ledger = home_.ledger;
    options.registrar_public_key = home_.root;
    options.ledger_keys = [this]() -> Result<LedgerKeys> { return LedgerKeys{{home_.receipts}, {home_.intake}}; };
    options.state_dir = home_.Path("sequencer");
    options.log = log_.get();
    options.keys = keys.get();
    options.clock = &clock_;
    ASSIGN_OR_RETURN(auto sequencer, Sequencer::Open(std::move(options)));
    const std::uint64_t before = sequencer->position().value();
    const Stopwatch watch;
    const double cpu = CpuSeconds();
    Status status;
    std::jthread running([&](std::stop_token stop) { status = sequencer->Run(stop); });
    while (sequencer->position().value() < before + events_ && sequencer->counters().rejected == 0) {
      std::this_thread::sleep_for(milliseconds(2));
    }
    Report("admission", sequencer->position().value() - before, watch.Seconds(), CpuSeconds() - cpu);
    running.request_stop();
    running.join();
    RETURN_IF_ERROR(status);
    return sequencer->counters().rejected > 0 ? Rejection() : Status();
  }

  // The earliest refusal: those after it may be its consequence.
  Status Rejection() {
    ASSIGN_OR_RETURN(const VerifyingKey key, VerifyingKey::From(home_.receipts.public_key()));
    std::optional<v1::Receipt> first;
    for (const auto& [issuer, state] : issuers_) {
      RETURN_IF_ERROR(ForEachRun(topics_.Receipt(issuer), 1'000, [&](std::vector<Received>& received) -> Status {
        for (const Received& record : received) {
          ASSIGN_OR_RETURN(v1::Receipt receipt, VerifyReceipt(record.value, key));
          if (receipt.violations().empty()) continue;
          if (!first || receipt.decided_at() < first->decided_at()) first = std::move(receipt);
        }
        return {};
      }));
    }
    if (!first) return Invalid("a submission was rejected");
    const v1::Violation& violation = first->violations(0);
    return Invalid("a submission of issuer " + first->issuer() + " was rejected: item " +
                   std::to_string(violation.item()) + " " + violation.field() + " " + violation.rule());
  }

  // Reads a topic from its start in runs of `records` and hands each run to `take`.
  Status ForEachRun(const std::string& topic, std::size_t records, const std::function<Status(std::vector<Received>&)>& take) {
    ASSIGN_OR_RETURN(const Bounds bounds, log_->GetBounds(topic));
    ASSIGN_OR_RETURN(auto reader, log_->OpenReader());
    RETURN_IF_ERROR(reader->Assign(topic, bounds.first).status());
    while (reader->Next(0) < bounds.end) {
      ASSIGN_OR_RETURN(auto received, reader->Poll(records, milliseconds(100)));
      RETURN_IF_ERROR(take(received));
    }
    return {};
  }

  Status AppendRaw() {
    ResetPeakMemory();
    const std::string topic = topics_.Prefix() + "raw";
    RETURN_IF_ERROR(log_->CreateTopic(topic));
    ASSIGN_OR_RETURN(auto writer, log_->OpenWriter(topics_.Prefix() + "raw"));
    std::vector<TopicRecord> run;
    double seconds = 0, cpu = 0;
    std::uint64_t appended = 0;
    const auto flush = [&]() -> Status {
      const Stopwatch watch;
      const double before = CpuSeconds();
      RETURN_IF_ERROR(writer->Append(run));
      seconds += watch.Seconds();
      cpu += CpuSeconds() - before;
      appended += run.size();
      run.clear();
      return {};
    };
    RETURN_IF_ERROR(ForEachRun(topics_.Ledger(), kRecordsPerAppend, [&](std::vector<Received>& received) -> Status {
      for (Received& record : received) {
        if (dump_.is_open()) Dump(record);
        TopicRecord out;
        out.topic = topic;
        out.record.key = std::move(record.key);
        out.record.value = std::move(record.value);
        out.record.headers = {{"ce_specversion", "1.0"},
                              {"ce_id", std::to_string(record.cursor.value())},
                              {"ce_source", "/daicho/10/ledger"},
                              {"ce_type", "jp.daicho.update.v1"},
                              {"ce_time", "2026-11-23T09:12:03.123456+09:00"},
                              {"content-type", "application/protobuf"}};
        run.push_back(std::move(out));
        if (run.size() == kRecordsPerAppend) RETURN_IF_ERROR(flush());
      }
      return {};
    }));
    if (!run.empty()) RETURN_IF_ERROR(flush());
    Report("raw-append", appended, seconds, cpu);
    return {};
  }

  // key length u16 ‖ key ‖ value length u32 ‖ value, big-endian
  void Dump(const Received& record) {
    std::string head;
    AppendU32(head, static_cast<std::uint32_t>(record.key.size()));
    dump_ << std::string_view(head).substr(2) << record.key;
    head.clear();
    AppendU32(head, static_cast<std::uint32_t>(record.value.size()));
    dump_ << head << record.value;
  }

  Status ReadRaw() {
    ResetPeakMemory();
    std::uint64_t records = 0;
    const Stopwatch watch;
    const double cpu = CpuSeconds();
    RETURN_IF_ERROR(ForEachRun(topics_.Ledger(), 5'000, [&](std::vector<Received>& received) -> Status {
      records += received.size();
      return {};
    }));
    Report("raw-read", records, watch.Seconds(), CpuSeconds() - cpu);
    return {};
  }

  Status Rebuild(const char* stage, bool index) {
    ResetPeakMemory();
    ASSIGN_OR_RETURN(const auto holder, OpenHolder(home_));
    ASSIGN_OR_RETURN(auto keys, KeyStore::Open(home_.Path("keystore"), KeyStore::Mode::kRead, holder.get()));
    ProjectorOptions options;
    if (index) options.matching = Matching::Shipped();
    options.prefecture = 10;
    options.ledger = home_.ledger;
    options.registrar_public_key = home_.root;
    options.dir = work_ + "/" + stage;
    options.log = log_.get();
    options.keys = keys.get();
    const Stopwatch watch;
    const double cpu = CpuSeconds();
    ASSIGN_OR_RETURN(auto projector, Projector::Open(std::move(options)));
    RETURN_IF_ERROR(projector->CatchUp());
    RETURN_IF_ERROR(projector->store().Flush());
    Report(stage, projector->position().value(), watch.Seconds(), CpuSeconds() - cpu);
    ASSIGN_OR_RETURN(const Digest digest, projector->file().ContentDigest());
    fmt::print("RESULT digest={} record_file_mib={}\n", ToHex(View(digest)),
               projector->store().SizeBytes() >> 20);
    return {};
  }

  std::string log_name_, notices_, work_;
  std::size_t per_submission_;
  std::ofstream dump_;
  Topics topics_{10};
  SystemClock clock_;
  Home home_;
  std::unique_ptr<Log> log_;
  std::map<std::string, Issuer> issuers_;
  std::uint64_t events_ = 0;
};

}  // namespace
}  // namespace daicho

int main(int argc, char** argv) {
  CLI::App app{"The way of a load, stage by stage"};
  std::string log, notices, work, dump;
  std::size_t per_submission = daicho::kEventsPerSubmissionMax;
  app.add_option("--log", log)->required();
  app.add_option("--notices", notices)->required();
  app.add_option("--work", work)->required();
  app.add_option("--dump", dump);
  app.add_option("--per-submission", per_submission)->check(CLI::Range(std::size_t{1}, daicho::kEventsPerSubmissionMax));
  CLI11_PARSE(app, argc, argv);
  const daicho::Status status = daicho::Pipeline(log, notices, work, dump, per_submission).Run();
  if (!status.ok()) fmt::print(stderr, "pipeline: {}\n", status.ToString());
  return status.ok() ? 0 : 1;
}
