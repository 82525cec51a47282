// daicho agency: the agency's end. Its registration with the prefecture is in cli_keys.cc.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>

#include "consumers/agency.h"
#include "consumers/cli.h"
#include "consumers/cms_file.h"
#include "consumers/notice_json.h"
#include "consumers/provision_request.h"
#include "events/topics.h"
#include "ledger/files.h"

namespace daicho {
namespace agency_commands {

using nlohmann::ordered_json;
using std::chrono::milliseconds;

struct Arguments {
  explicit Arguments(Cli& shared) : cli(shared) {}
  Cli& cli;
  std::string agency, ledger_file, request, mode, sex, out, checkpoint, ca_file;
  RequestHeader header;
  ProvisionRequestReader::Line line;
  std::vector<std::string> files;
  int days = 1'825, wait_seconds = 0;
  bool follow = false, reply = false, signing = false, take = false;
};

Result<AgencyHome> OpenHomeOf(const Arguments& a) {
  if (!a.ledger_file.empty()) RETURN_IF_ERROR(PinLedger(a.cli.home, a.ledger_file));
  return OpenAgencyHome(a.cli.home);
}

int AgencyInit(const Arguments& a) {
  auto key = CreateAgencyHome(a.cli.home, a.agency, a.days, SystemClock().Now());
  if (!key.ok()) return Fail(key.status());
  if (!a.ledger_file.empty()) {
    if (Status status = PinLedger(a.cli.home, a.ledger_file); !status.ok()) return Fail(status);
  }
  if (a.cli.json) {
    const std::string certificate = a.cli.home + "/agency.pem", public_key = a.cli.home + "/agency.pub";
    fmt::print("{}\n", ordered_json({{"agency", a.agency}, {"public_key", public_key}, {"certificate", certificate}}).dump());
  } else {
    fmt::print("{}\n", ToHex(View(*key)));
  }
  return 0;
}

// Keys are given to the prefecture by daicho agency rotate.
int AgencyRenew(const Arguments& a) {
  if (a.take) {
    if (Status status = TakeSigningKey(a.cli.home); !status.ok()) return Fail(status);
    fmt::print("新しい鍵で署名します\n");
    return 0;
  }
  if (a.signing) {
    const auto key = PrepareSigningKey(a.cli.home);
    if (!key.ok()) return Fail(key.status());
    fmt::print("新しい署名の公開鍵: {}（{}/agency.next.pub）\n", ToHex(View(*key)), a.cli.home);
    return 0;
  }
  if (Status status = RenewCertificate(a.cli.home, a.days, SystemClock().Now()); !status.ok()) return Fail(status);
  fmt::print("新しい証明書: {}/agency.pem\n", a.cli.home);
  return 0;
}

// --- asking --------------------------------------------------------------------------------------

int AgencySign(const Arguments& a) {
  auto home = OpenHomeOf(a);
  if (!home.ok()) return Fail(home.status());
  auto request = ReadFile(a.request);
  if (!request.ok()) return Fail(request.status());
  auto signature = SignRequest(*home, *request);
  if (!signature.ok()) return Fail(signature.status());
  const std::string path = a.request + ".sig";
  if (Status status = WriteFileDurably(path, ToHex(*signature) + "\n", 0644); !status.ok()) return Fail(status);
  const std::string digest = ToHex(View(Sha256Of({*request})));
  if (a.cli.json) {
    std::cout << ordered_json({{"signature", path}, {"request_digest", digest}}).dump() << "\n";
  } else {
    fmt::print("署名: {}\n", path);
  }
  return 0;
}

// The request of what was typed, or the file.
Result<std::string> RequestText(const Arguments& a, const AgencyHome& home) {
  if (!a.request.empty()) return ReadFile(a.request);
  RequestHeader header = a.header;
  if (header.basis.empty() || header.duty.empty() || header.reference.empty()) {
    return Invalid("basis, duty, reference: --request がなければ必要です");
  }
  header.agency = home.agency;
  header.mode = *ModeFromName(a.mode);
  header.requested_at = SystemClock().Now().value();
  if (header.ends) return WriteRequest(header, "");
  header.count = 1;
  ProvisionRequestReader::Line line = a.line;
  line.id = "1";
  if (!a.sex.empty()) line.condition.set_sex(*SexFromName(a.sex));
  return WriteRequest(header, RequestLine(line));
}

ordered_json Describe(const AgencyAnswer& answer) {
  const v1::Provision& p = answer.provision;
  ordered_json out = {{"reference", answer.header.reference}, {"mode", answer.header.mode},
                      {"chunk", answer.header.chunk},         {"chunk_count", answer.header.chunk_count},
                      {"evaluated_at", p.evaluated_at()},     {"count", p.result_count()},
                      {"found", p.found_count()},             {"none", p.none_count()},
                      {"multiple", p.multiple_count()},       {"refused", p.refused_count()}};
  if (answer.header.cause != 0) out["cause"] = answer.header.cause;
  if (!answer.header.refusal.empty()) {
    out["refusal"] = answer.header.refusal;
    out["message"] = answer.header.message;
  }
  return out;
}

ordered_json Answers(std::string_view content) {
  ordered_json out = ordered_json::array();
  for (std::size_t begin = content.find('\n') + 1; begin < content.size();) {
    const std::size_t end = content.find('\n', begin);
    out.push_back(ordered_json::parse(content.substr(begin, end - begin), nullptr, false));
    begin = end + 1;
  }
  return out;
}

// `position` and what is known of its event only where there is one.
void Show(const Arguments& a, const AgencyAnswer& answer, const Delivery* delivery, const std::string& file) {
  if (a.cli.json) {
    ordered_json out = Describe(answer);
    if (delivery != nullptr) {
      out["position"] = delivery->position.value();
      out["proven"] = delivery->proven;
    }
    if (file.empty()) {
      out["answers"] = Answers(answer.content);
    } else {
      out["file"] = file;
    }
    std::cout << out.dump(-1, ' ', false, ordered_json::error_handler_t::replace) << std::endl;
    return;
  }
  const v1::Provision& p = answer.provision;
  fmt::print("{} {}/{}", answer.header.reference, answer.header.chunk + 1, answer.header.chunk_count);
  if (answer.header.cause != 0) fmt::print("  位置 {} の更新による", answer.header.cause);
  if (answer.header.refusal.empty()) {
    fmt::print("  該当 {}、非該当 {}、複数該当 {}、拒否 {}", p.found_count(), p.none_count(), p.multiple_count(),
               p.refused_count());
  } else {
    fmt::print("  拒否（{}）: {}", answer.header.refusal, answer.header.message);
  }
  if (delivery != nullptr) {
    fmt::print("  記録の位置 {}{}", delivery->position.value(), delivery->proven ? "（台帳と照合済み）" : "");
  }
  if (file.empty()) {
    fmt::print("\n{}", std::string_view(answer.content).substr(answer.content.find('\n') + 1));
  } else {
    fmt::print("  {}\n", file);
  }
  std::fflush(stdout);
}

int AgencyAsk(const Arguments& a) {
  auto home = OpenHomeOf(a);
  if (!home.ok()) return Fail(home.status());
  auto request = RequestText(a, *home);
  if (!request.ok()) return Fail(request.status());
  auto log = OpenServedLog(a.cli.log, a.cli.kafka_config, LogUse::kAppend);
  if (!log.ok()) return Fail(log.status());
  Cursor from;
  if (a.wait_seconds > 0) {
    const auto bounds = (*log)->GetBounds(Topics{home->ledger.prefecture}.Provision(home->agency));
    if (!bounds.ok()) return Fail(bounds.status());
    from = bounds->end;
  }
  auto digest = AskByLine(*home, **log, *request);
  if (!digest.ok()) return Fail(digest.status());
  const std::string reference = ProvisionRequestReader::Open(*request)->header().reference;
  if (a.wait_seconds == 0) {
    if (a.cli.json) {
      std::cout << ordered_json({{"reference", reference}, {"request_digest", ToHex(View(*digest))}}).dump() << "\n";
    } else {
      fmt::print("照会 {} を送りました\n", reference);
    }
    return 0;
  }
  bool refused = false;
  const Status status = AwaitAnswers(*home, **log, from, reference, milliseconds(1'000 * a.wait_seconds), StopRequested,
                                     [&](const Delivery& delivery) {
                                       Show(a, delivery.answer, &delivery, "");
                                       refused = refused || !delivery.answer.header.refusal.empty();
                                     });
  if (!status.ok()) return Fail(status);
  return refused ? 1 : 0;
}

// --- receiving -----------------------------------------------------------------------------------

class Receiving {
 public:
  Receiving(const Arguments& a, const AgencyHome& home) : a_(a), home_(home) {
    options_.out = a.out;
    options_.wait = milliseconds(a.follow ? 1'000 : 200);
    options_.received = [&a](const Delivery& delivery) {
      Show(a, delivery.answer, &delivery, delivery.file);
      return Status();
    };
    options_.refused = [this](const Status& status, const std::string& path) {
      fmt::print(stderr, "daicho: {}; 受け取らず {} に置きました\n", status.ToString(), path);
      any_refused_ = true;
    };
  }

  Status Run() {
    if (!a_.checkpoint.empty()) RETURN_IF_ERROR(FollowLedger());
    for (;;) {
      const Status status = Once();
      if (status.ok() || !a_.follow || !status.retriable() || StopRequested()) return status;
      fmt::print(stderr, "daicho: {}; trying again\n", status.ToString());
      std::this_thread::sleep_for(std::chrono::seconds(1));
    }
  }

  bool any_refused() const { return any_refused_; }

 private:
  Status FollowLedger() {
    ledger_.emplace(home_.ledger, a_.checkpoint, a_.ca_file);
    options_.ledger = &*ledger_;
    const auto kept = ReadFile(home_.Path("checkpoint"));
    if (kept.status().code() == Code::kNotFound) return {};
    RETURN_IF_ERROR(kept.status());
    return ledger_->Remember(*kept);
  }

  Status Once() {
    ASSIGN_OR_RETURN(const auto log, OpenServedLog(a_.cli.log, a_.cli.kafka_config, a_.reply ? LogUse::kAppend : LogUse::kFollow));
    const SystemClock clock;
    ASSIGN_OR_RETURN(const auto inbox, AgencyInbox::Open(home_, *log, clock));
    while (!StopRequested()) {
      RETURN_IF_ERROR(inbox->Receive(options_).status());
      if (a_.reply) RETURN_IF_ERROR(inbox->Reply().status());
      if (!a_.follow && inbox->AtEnd()) break;
    }
    return {};
  }

  const Arguments& a_;
  const AgencyHome& home_;
  std::optional<TlogClient> ledger_;
  ReceiveOptions options_;
  bool any_refused_ = false;
};

int AgencyReceive(const Arguments& a) {
  auto home = OpenHomeOf(a);
  if (!home.ok()) return Fail(home.status());
  Receiving receiving(a, *home);
  if (Status status = receiving.Run(); !status.ok()) return Fail(status);
  return receiving.any_refused() ? 1 : 0;
}

int AgencyReply(const Arguments& a) {
  auto home = OpenHomeOf(a);
  if (!home.ok()) return Fail(home.status());
  auto log = OpenServedLog(a.cli.log, a.cli.kafka_config, LogUse::kAppend);
  if (!log.ok()) return Fail(log.status());
  const SystemClock clock;
  auto inbox = AgencyInbox::Open(*home, **log, clock);
  if (!inbox.ok()) return Fail(inbox.status());
  auto sent = (*inbox)->Reply();
  if (!sent.ok()) return Fail(sent.status());
  if (a.cli.json) {
    std::cout << ordered_json({{"sent", *sent}}).dump() << "\n";
  } else {
    fmt::print("受領を {} 件返しました\n", *sent);
  }
  return 0;
}

// --- media ---------------------------------------------------------------------------------------

// The one file of all answers to a request, of any length. Its header and the number of its answers.
Result<AnswerHeader> CheckFile(const AgencyHome& home, const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string line;
  std::getline(in, line);
  ASSIGN_OR_RETURN(AnswerHeader header, ReadAnswerHeader(line, home));
  std::uint64_t lines = 0;
  while (std::getline(in, line)) ++lines;
  if (lines != header.count) return Tampered("answer: not as many answers as it says");
  return header;
}

Status OpenOne(const Arguments& a, const AgencyHome& home, const std::string& path) {
  const std::string name = std::filesystem::path(path).filename().string() + ".ndjson";
  const std::string out = a.out.empty() ? path + ".ndjson" : a.out + "/" + name;
  if (!a.out.empty()) RETURN_IF_ERROR(MakeDirectories(a.out));
  Status opened;
  for (const CmsOpener& opener : home.openers) {
    opened = OpenCmsFile(opener, path, out);
    if (opened.code() != Code::kTampered) break;
  }
  RETURN_IF_ERROR(opened);
  const auto header = CheckFile(home, out);
  if (!header.ok()) {
    RETURN_IF_ERROR(DestroyFile(out));
    return header.status();
  }
  if (!header->provision.empty()) {  // an answer message by itself
    ASSIGN_OR_RETURN(const std::string cms, ReadFile(path));
    ASSIGN_OR_RETURN(const AgencyAnswer answer, OpenAnswer(home, cms));
    Show(a, answer, nullptr, out);
  } else if (a.cli.json) {
    std::cout << ordered_json({{"reference", header->reference}, {"count", header->count}, {"file", out}}).dump() << "\n";
  } else {
    fmt::print("{}  {} 件  {}\n", header->reference, header->count, out);
  }
  return {};
}

int AgencyOpen(const Arguments& a) {
  auto home = OpenHomeOf(a);
  if (!home.ok()) return Fail(home.status());
  for (const std::string& path : a.files) {
    if (Status status = OpenOne(a, *home, path); !status.ok()) return Fail(status.With(path));
  }
  return 0;
}

using Shared = std::shared_ptr<Arguments>;

void AddAskCommand(Cli& cli, CLI::App* ask, const Shared& a) {
  cli.TakesLog(ask);
  CLI::Option* request = ask->add_option("--request", a->request, "照会のファイル（なければ次の一件から作る）");
  ask->add_option("--basis", a->header.basis, "根拠")->excludes(request);
  ask->add_option("--duty", a->header.duty, "事務コード")->excludes(request);
  ask->add_option("--reference", a->header.reference, "照会の番号（機関で一度だけ使う）")->excludes(request);
  ask->add_option("--mode", a->mode, "immediate 即時、batch 一括、standing 継続（既定 immediate）")
      ->check(CLI::IsMember({"immediate", "batch", "standing"}))
      ->default_val("immediate")
      ->excludes(request);
  ask->add_flag("--elsewhere", a->header.elsewhere, "該当する県民がいないとき、機構に照会することを求める")->excludes(request);
  ask->add_flag("--ends", a->header.ends, "この番号の継続の照会を終える")->excludes(request);
  ask->add_option("--field", a->header.fields, "求める項目（なければ根拠が認めるすべて）")->excludes(request);
  v1::SearchCondition& condition = a->line.condition;
  ask->add_option("--individual-number", *condition.mutable_individual_number(), "個人番号")->excludes(request);
  ask->add_option("--resident-code", *condition.mutable_resident_code(), "住民票コード")->excludes(request);
  ask->add_option("--name", *condition.mutable_name(), "氏名")->excludes(request);
  ask->add_option("--kana", *condition.mutable_kana(), "ふりがな")->excludes(request);
  ask->add_option("--birth", *condition.mutable_birth(), "生年月日")->excludes(request);
  ask->add_option("--sex", a->sex, "male、female")->check(CLI::IsMember({"male", "female"}))->excludes(request);
  ask->add_option("--address", *condition.mutable_address(), "住所")->excludes(request);
  ask->add_option("--municipality", *condition.mutable_municipality(), "市町村コード")->excludes(request);
  ask->add_option("--consent", a->line.consent, "本人同意の番号")->excludes(request);
  ask->add_flag("--wait{60}", a->wait_seconds, "答えを待って表示（既定 60 秒まで。--wait=秒）");
}

}  // namespace agency_commands

void AddAgencyCommands(Cli& cli) {
  using namespace agency_commands;
  auto a = std::make_shared<Arguments>(cli);
  CLI::App* group = cli.Group("agency", "利用機関の管理");
  const auto command = [&](const char* name, const char* what, int (*run)(const Arguments&)) {
    CLI::App* out = cli.Command(group, name, what, [a, run] { return run(*a); });
    cli.TakesHome(out);
    out->add_option("--ledger", a->ledger_file, "台帳の ledger.pub.json（一度与えれば覚える）");
    return out;
  };
  CLI::App* init = command("init", "利用機関の鍵と証明書を作り、署名の公開鍵を表示", AgencyInit);
  init->add_option("--agency", a->agency, "利用機関の名（a-z 0-9 -）")->required();
  init->add_option("--days", a->days, "証明書の日数");
  command("sign", "照会のファイルに署名（FILE.sig）", AgencySign)
      ->add_option("--request", a->request, "照会のファイル")
      ->required();
  CLI::App* renew = command("renew", "新しい証明書を作る。--signing は署名の鍵、--take はその使用開始", AgencyRenew);
  renew->add_option("--days", a->days, "証明書の日数");
  CLI::Option* signing = renew->add_flag("--signing", a->signing, "新しい署名の鍵を作る（agency.next.pub を県が登録する）");
  renew->add_flag("--take", a->take, "県が登録した、その新しい鍵で署名を始める")->needs(signing);
  AddAskCommand(cli, command("ask", "回線で照会する", AgencyAsk), a);
  CLI::App* receive = command("receive", "答えを受け取り、確かめ、復号して置く", AgencyReceive);
  cli.TakesLog(receive);
  receive->add_option("--out", a->out, "答えを置くディレクトリ（なければ表示する）");
  receive->add_option("--checkpoint", a->checkpoint, "台帳の HTTP の URL（答えを台帳と照合する）");
  receive->add_option("--ca", a->ca_file, "その TLS の認証局（PEM）");
  receive->add_flag("--follow", a->follow, "受け取り続ける");
  receive->add_flag("--reply", a->reply, "受け取ったつど受領を返す");
  cli.TakesLog(command("reply", "受け取ってまだ返していない受領に署名して返す", AgencyReply));
  CLI::App* open = command("open", "媒体などで届いた答えのファイルを開く", AgencyOpen);
  open->add_option("files", a->files, "暗号化されたファイル")->required();
  open->add_option("--out", a->out, "答えを置くディレクトリ（なければ同じ所に FILE.ndjson）");
}

}  // namespace daicho
