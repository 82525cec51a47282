// daicho kikou: 機構. The node's end (set, notify, inquire), and a stand-in for 機構 (init, simulate, drift).
#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "consumers/cli.h"
#include "consumers/copy_file.h"
#include "consumers/kikou_drift.h"
#include "consumers/kikou_inquiring.h"
#include "consumers/kikou_line.h"
#include "consumers/kikou_others.h"
#include "consumers/kikou_stand_in.h"
#include "consumers/notice_json.h"
#include "consumers/operator_act.h"
#include "events/dates.h"
#include "ledger/files.h"
#include "projections/copy_fingerprint.h"

namespace daicho {
namespace kikou_commands {

using nlohmann::ordered_json;

struct Arguments {
  explicit Arguments(Cli& shared) : cli(shared) {}
  Cli& cli;
  // Of the node's end.
  std::string url, public_key, ca_file;
  std::string reference, basis, duty, purpose, operator_id, operator_key, terminal;
  std::string resident_code, individual_number, name, kana, birth, sex, address, municipality;
  std::vector<std::string> fields;
  // Of the stand-in.
  std::string dir, listen = "127.0.0.1:0", certificate, key, others, kind, out, copy_key, sketch;
  std::vector<std::string> prefecture_keys, bases;
  std::uint64_t count = 1, seed = 1;
};

// --- the node's end ----------------------------------------------------------------------------------------------

int SetPeer(const Arguments& a) {
  auto home = OpenHome(a.cli.home);
  if (!home.ok()) return Fail(home.status());
  KikouPeer peer;
  peer.url = a.url;
  while (peer.url.ends_with('/')) peer.url.pop_back();
  if (Status status = CheckHttpUrl(peer.url); !status.ok()) return Fail(status.With("--url"));
  auto key = ReadPublicKeyFile(a.public_key);
  if (!key.ok()) return Fail(key.status().With("--public-key"));
  peer.public_key = *key;
  if (!a.ca_file.empty()) {
    if (!FileExists(a.ca_file)) return Fail(NotFound("--ca-file: " + a.ca_file + " is not there"));
    peer.ca_file = std::filesystem::absolute(a.ca_file).string();
  }
  // What 機構 is to know of the prefecture.
  const std::string own = home->Path("kikou.pub");
  Status written = WriteFileDurably(own, ToHex(View(home->kikou.public_key())) + "\n", 0644);
  if (written.ok()) written = WriteKikouPeer(*home, peer);
  if (!written.ok()) return Fail(written);
  if (a.cli.json) {
    std::cout << ordered_json({{"url", peer.url}, {"public_key", own}}).dump() << "\n";
  } else {
    fmt::print("機構との接続を設定しました: {}\n  県の公開鍵  {}（機構に渡してください）\n", peer.url, own);
  }
  return 0;
}

int Notify(const Arguments& a) {
  auto node = NodeAccess::Open(a.cli.home);
  if (!node.ok()) return Fail(node.status());
  node::Request request;
  request.mutable_notify_kikou();
  const auto response = node->Call(request);
  if (!response.ok()) return Fail(response.status());
  if (a.cli.json) {
    std::cout << response->json() << "\n";
    return 0;
  }
  const auto state = ordered_json::parse(response->json());
  fmt::print("位置 {} まで機構に通知済みです\n", state["position"].dump());
  return 0;
}

Result<v1::InquiryAsked> OrderOf(const Arguments& a) {
  v1::InquiryAsked order;
  order.set_reference(a.reference.empty() ? "q-" + ToHex(View(RandomArray<8>())) : a.reference);
  order.set_basis(a.basis);
  order.set_duty(a.duty);
  order.set_purpose(a.purpose);
  for (const std::string& field : a.fields) order.add_fields(field);
  v1::SearchCondition& condition = *order.mutable_condition();
  condition.set_resident_code(a.resident_code);
  condition.set_individual_number(a.individual_number);
  condition.set_name(a.name);
  condition.set_kana(a.kana);
  if (!a.birth.empty()) {
    const auto birth = ParsePersonLenientDate(a.birth);
    if (!birth.ok()) return birth.status().With("--birth");
    condition.set_birth(a.birth);
  }
  if (const auto sex = SexFromName(a.sex)) condition.set_sex(*sex);
  condition.set_address(a.address);
  condition.set_municipality(a.municipality);
  return order;
}

Result<ordered_json> SendInquiry(const Arguments& a) {
  ASSIGN_OR_RETURN(const v1::InquiryAsked order, OrderOf(a));
  ASSIGN_OR_RETURN(NodeAccess node, NodeAccess::Open(a.cli.home));
  ASSIGN_OR_RETURN(const SigningKey key, ReadOperatorKey(node.home(), a.operator_id, a.operator_key));
  node::Request request;
  node::Inquire& inquire = *request.mutable_inquire();
  inquire.set_event(order.SerializeAsString());
  ASSIGN_OR_RETURN(const v1::OperatorAct act,
                   SignAct(a.operator_id, key, a.terminal, kInquireTag, Sha256Of({inquire.event()}), SystemClock().Now()));
  inquire.set_operator_act(act.SerializeAsString());
  ASSIGN_OR_RETURN(const node::Response response, node.Call(request));
  ordered_json out = {{"reference", order.reference()}};
  out.update(ordered_json::parse(response.json()));
  return out;
}

int Inquire(const Arguments& a) {
  const auto told = SendInquiry(a);
  if (!told.ok()) return Fail(told.status());
  const std::string outcome = (*told)["outcome"];
  if (a.cli.json) {
    std::cout << told->dump() << "\n";
  } else if (outcome == "found") {
    fmt::print("該当（{}）\n{}\n", (*told)["status"] == "removed" ? "消除" : "記載", (*told)["record"].dump(2));
  } else if (outcome == "multiple") {
    fmt::print("複数該当 {}人。条件を加えてください\n", (*told)["matches"].dump());
  } else if (outcome == "none") {
    fmt::print("非該当\n");
  } else {
    fmt::print(stderr, "daicho: {}: {}\n", outcome == "refused" ? "機構が拒否しました" : "機構の回答がありません",
               (*told)["reason"].get<std::string>());
  }
  if (outcome == "refused") return 4;
  if (outcome == "unanswered") return 3;
  return outcome == "found" ? 0 : 1;
}

void AddNodeEnd(Cli& cli, CLI::App* kikou) {
  auto a = std::make_shared<Arguments>(cli);
  CLI::App* set = cli.Command(kikou, "set", "機構との接続を設定する", [a] { return SetPeer(*a); });
  cli.TakesHome(set);
  set->add_option("--url", a->url, "https://HOST[:PORT]（ループバックに限り http://）")->required();
  set->add_option("--public-key", a->public_key, "機構の公開鍵のファイル（16進）")->required();
  set->add_option("--ca-file", a->ca_file, "機構の TLS 証明書を検証する CA（PEM。既定はシステムのもの）");

  CLI::App* notify = cli.Command(kikou, "notify", "まだ機構に通知していない更新を今通知する", [a] { return Notify(*a); });
  cli.TakesHome(notify);

  CLI::App* inquire =
      cli.Command(kikou, "inquire", "機構に照会する（照会も回答も、記録が先）", [a] { return Inquire(*a); });
  cli.TakesHome(inquire);
  inquire->add_option("--operator", a->operator_id, "操作者ID")->required();
  inquire->add_option("--operator-key", a->operator_key, "操作者の鍵（既定 HOME/operators/ID.key）");
  inquire->add_option("--terminal", a->terminal, "操作端末ID");
  inquire->add_option("--duty", a->duty, "事務コード")->required();
  inquire->add_option("--basis", a->basis, "根拠")->required();
  inquire->add_option("--purpose", a->purpose, "目的（文書番号など）")->required();
  inquire->add_option("--reference", a->reference, "照会の番号（既定は新しい番号）");
  inquire->add_option("--fields", a->fields, "求める項目（コンマ区切り）")->delimiter(',')->required();
  inquire->add_option("--resident-code", a->resident_code, "住民票コード");
  inquire->add_option("--individual-number", a->individual_number, "個人番号");
  inquire->add_option("--name", a->name, "氏名");
  inquire->add_option("--kana", a->kana, "振り仮名");
  inquire->add_option("--birth", a->birth, "生年月日");
  inquire->add_option("--sex", a->sex, "性別")->check(CLI::IsMember({"male", "female"}));
  inquire->add_option("--address", a->address, "住所（市町村名の後）");
  inquire->add_option("--municipality", a->municipality, "市町村コード");
}

// --- the stand-in ------------------------------------------------------------------------------------------------

std::string ListenFile(const Arguments& a) { return a.dir + "/listen"; }

int InitStandIn(const Arguments& a) {
  const auto key = KikouStandIn::Create(a.dir);
  if (!key.ok()) return Fail(key.status());
  fmt::print("{}\n", *key);
  return 0;
}

Status HoldOthers(const Arguments& a, KikouHolding& holding) {
  if (a.others.empty()) return {};
  if (std::ranges::all_of(a.others, [](char c) { return c >= '0' && c <= '9'; }) && a.others.size() <= 8) {
    return holding.ReplaceOthers(a.others + " seed " + std::to_string(a.seed), [&]() -> Result<std::vector<v1::HeldCopy>> {
      return MakeOthers(std::stoull(a.others), a.seed);
    });
  }
  ASSIGN_OR_RETURN(CopyFile file, CopyFile::Read(a.others, {.directory = a.dir}));
  if (!file.errors().empty()) {
    const FileError& first = file.errors().front();
    return Invalid(fmt::format("{}: line {}, {}: {}", a.others, first.line, first.field, first.message));
  }
  return holding.ReplaceOthers(ToHex(View(file.digest())), [&]() -> Result<std::vector<v1::HeldCopy>> {
    std::vector<v1::HeldCopy> rows;
    RETURN_IF_ERROR(file.Rewind());
    for (v1::HeldCopy row;;) {
      ASSIGN_OR_RETURN(const bool more, file.Next(row));
      if (!more) return rows;
      rows.push_back(row);
    }
  });
}

int Simulate(const Arguments& a) {
  const SystemClock clock;
  auto stand_in = KikouStandIn::Open({a.dir, a.prefecture_keys, a.bases, &clock, a.copy_key});
  if (!stand_in.ok()) return Fail(stand_in.status());
  if (const Status held = HoldOthers(a, (*stand_in)->holding()); !held.ok()) return Fail(held.With("--others"));
  HttpServerOptions options;
  options.listen = a.listen;
  options.certificate_file = a.certificate;
  options.key_file = a.key;
  options.limits.body_bytes_max = kKikouBodyBytesMax;
  options.limits.read_timeout = std::chrono::seconds(30);
  options.handler = [&](const HttpRequest& request) { return (*stand_in)->Handle(request); };
  const auto server = HttpServer::Listen(std::move(options));
  if (!server.ok()) return Fail(server.status());
  const std::string url = (a.certificate.empty() ? "http://" : "https://") + a.listen.substr(0, a.listen.rfind(':')) + ":" +
                          std::to_string((*server)->port());
  if (const Status told = WriteFileDurably(ListenFile(a), url + "\n", 0644); !told.ok()) return Fail(told);
  fmt::print(stderr, "daicho: stand-in for 機構 listens on {}\n", url);
  while (!StopRequested()) ::poll(nullptr, 0, 200);
  return RemoveFile(ListenFile(a)).ok() ? 0 : 3;
}

// What it holds, as the copy file that 機構 would hand over; of a stand-in that does not run.
int CopyStandIn(const Arguments& a) {
  const SystemClock clock;
  auto stand_in = KikouStandIn::Open({a.dir, {}, {}, &clock});
  if (!stand_in.ok()) return Fail(stand_in.status());
  const KikouHolding& holding = (*stand_in)->holding();
  const KikouHolding::Counts counts = holding.counts();
  const std::uint64_t rows = counts.residents + counts.removed;
  if (!a.out.empty()) {
    auto file = CopyFileWriter::Create(a.out, {"kikou", FormatTimestamp(clock.Now()), rows}, CopyCompression::kNone);
    if (!file.ok()) return Fail(file.status());
    Status status = holding.ForEach([&](const v1::HeldCopy& row) { return file->Append(row); });
    if (status.ok()) status = file->Commit();
    if (!status.ok()) return Fail(status);
  }
  if (!a.sketch.empty()) {
    auto copy = holding.TakeCopy();
    if (!copy.ok()) return Fail(copy.status());
    const auto sketch = SketchOf(*copy, a.cli.long_sketch);
    if (!sketch.ok()) return Fail(sketch.status());
    if (const Status status = WriteFileDurably(a.sketch, *sketch); !status.ok()) return Fail(status);
  }
  const auto messages = holding.messages();
  if (!messages.ok()) return Fail(messages.status());
  const ordered_json told = {{"residents", counts.residents},
                             {"removed", counts.removed},
                             {"position", holding.next().value()},
                             {"messages", *messages}};
  if (a.cli.json) {
    std::cout << told.dump() << "\n";
  } else {
    fmt::print("住民 {}  消除 {}  位置 {} まで  通知 {} 通\n", counts.residents, counts.removed, holding.next().value(), *messages);
  }
  return 0;
}

// Of the running stand-in, or of its directory.
Result<std::string> SendDrift(const Arguments& a) {
  kikou::Drift drift;
  drift.set_kind(a.kind);
  drift.set_count(a.count);
  drift.set_seed(a.seed);
  const SystemClock clock;
  auto alone = KikouStandIn::Open({a.dir, {}, {}, &clock});
  if (alone.ok()) return ApplyDrift((*alone)->holding(), drift);
  if (alone.status().code() != Code::kUnavailable) return alone.status();
  ASSIGN_OR_RETURN(std::string url, ReadFile(ListenFile(a)));
  while (url.ends_with('\n')) url.pop_back();
  ASSIGN_OR_RETURN(const SigningKey key, ReadSigningKey(a.dir + "/keys/kikou.key"));
  HttpCallOptions call;
  call.url = url + kKikouDriftPath;
  call.method = "POST";
  ASSIGN_OR_RETURN(call.body, SignForKikou(kKikouDriftTag, drift.SerializeAsString(), key));
  call.content_type = kKikouContentType;
  call.timeout = std::chrono::minutes(5);
  call.ca_file = a.ca_file;
  call.response_bytes_max = kKikouBodyBytesMax;
  ASSIGN_OR_RETURN(HttpResponse response, HttpCall(call));
  if (response.status == 200) return std::move(response.body);
  return response.status == 400 ? Invalid(response.body) : Unavailable(response.body);
}

int DriftStandIn(const Arguments& a) {
  const auto lines = SendDrift(a);
  if (!lines.ok()) return Fail(lines.status());
  std::cout << *lines;
  return 0;
}

void AddStandIn(Cli& cli, CLI::App* kikou) {
  auto a = std::make_shared<Arguments>(cli);
  CLI::App* init = cli.Command(kikou, "init", "模擬の機構の鍵を作る", [a] { return InitStandIn(*a); });
  init->add_option("--dir", a->dir, "模擬の機構のディレクトリ")->required();

  CLI::App* simulate = cli.Command(kikou, "simulate", "模擬の機構（試験用）", [a] { return Simulate(*a); });
  simulate->add_option("--dir", a->dir, "模擬の機構のディレクトリ")->required();
  simulate->add_option("--listen", a->listen, "アドレス:ポート");
  simulate->add_option("--tls-cert", a->certificate, "TLS 証明書 (PEM)");
  simulate->add_option("--tls-key", a->key, "その秘密鍵 (PEM)");
  simulate->add_option("--prefecture-key", a->prefecture_keys, "県の公開鍵のファイル（既定は前に指定したもの）");
  simulate->add_option("--basis", a->bases, "照会に応じる根拠（既定はすべて）");
  simulate->add_option("--copy-key", a->copy_key, "整合性確認の鍵のファイル（既定は前に指定したもの）");
  simulate->add_option("--others", a->others, "他県の住民: 写しのファイル (daicho-copy/1)、または作る人数");
  simulate->add_option("--seed", a->seed, "他県の住民を作る乱数の種");

  CLI::App* copy = cli.Command(kikou, "copy", "模擬の機構が持つ写しを書き出す（止めてから）", [a] { return CopyStandIn(*a); });
  copy->add_option("--dir", a->dir, "模擬の機構のディレクトリ")->required();
  copy->add_option("--out", a->out, "写しのファイル (daicho-copy/1)");
  copy->add_option("--sketch", a->sketch, "写しの要約のファイル（整合性確認の鍵による）");
  cli.TakesLongSketch(copy);

  CLI::App* drift = cli.Command(kikou, "drift", "模擬の機構の記録をずらす。誰がどうずれたかを1行ずつ出す", [a] { return DriftStandIn(*a); });
  drift->add_option("--dir", a->dir, "模擬の機構のディレクトリ")->required();
  drift->add_option("--kind", a->kind, "drop、lose、duplicate、delay、release、alter、glyph、reorder、removed、retention")->required();
  drift->add_option("--count", a->count, "人数");
  drift->add_option("--seed", a->seed, "乱数の種");
  drift->add_option("--ca-file", a->ca_file, "動いている模擬の機構の TLS 証明書を検証する CA (PEM)");
}

}  // namespace kikou_commands

void AddKikouCommands(Cli& cli) {
  using namespace kikou_commands;
  CLI::App* kikou = cli.Group("kikou", "機構（地方公共団体情報システム機構）");
  AddNodeEnd(cli, kikou);
  AddStandIn(cli, kikou);
}

}  // namespace daicho
