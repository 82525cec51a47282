#include "consumers/audit_diff.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "ledger/files.h"

namespace daicho {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

// The record file of a replay: what was built last, where an erasure has come between two of them.
Result<std::string> NewestGeneration(const std::string& dir) {
  std::string newest;
  std::uint64_t newest_erased = 0;
  std::error_code error;
  for (const auto& each : fs::directory_iterator(dir, error)) {
    const std::string name = each.path().filename().string();
    std::uint64_t erased = 0;
    const auto read = std::from_chars(name.data(), name.data() + name.size(), erased);
    if (read.ec != std::errc() || !each.is_directory()) continue;
    if (newest.empty() || erased > newest_erased) {
      newest = each.path().string();
      newest_erased = erased;
    }
  }
  if (newest.empty()) return NotFound(dir + ": no record file");
  return newest;
}

template <std::size_t kSize>
Result<std::array<std::uint8_t, kSize>> HexField(const ordered_json& document, const char* field) {
  ASSIGN_OR_RETURN(const std::string bytes, FromHex(document.value(field, "")));
  return ToArray<kSize>(bytes);
}

CopyKeying KeyingOf(const Key256& key) { return CopyKeying(CopyKey{0, key}); }

}  // namespace

Result<DiffSide> SideOfReplay(const std::string& dir) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(dir + "/state.json"));
  const auto declared = ordered_json::parse(text, nullptr, false);
  if (!declared.is_object() || declared.value("format", "") != "daicho-state/1" || !declared.contains("size") ||
      !declared["size"].is_number_unsigned()) {
    return Invalid(dir + ": not the state of a replay");
  }
  DiffSide side;
  side.name = dir;
  side.state.next = Position(declared["size"].get<std::uint64_t>());
  ASSIGN_OR_RETURN(side.state.ledger, HexField<16>(declared, "ledger"));
  ASSIGN_OR_RETURN(side.state.content, HexField<32>(declared, "digest"));
  StoreOptions options;
  options.families = RecordFile::Families();
  options.read_only = true;
  ASSIGN_OR_RETURN(options.path, NewestGeneration(dir + "/record_file"));
  ASSIGN_OR_RETURN(std::shared_ptr<const Store> store, Store::Open(options));
  ASSIGN_OR_RETURN(const RecordFileState stored, StateOf(*store));
  if (stored.next != side.state.next || stored.ledger != side.state.ledger) {
    return Tampered(dir + ": the record file is not the one that state.json tells of");
  }
  side.page = [store](const Key256& key, KeySlot from, Position at) {
    return ReadVersionPage(*store, KeyingOf(key), from, at);
  };
  return side;
}

Result<DiffSide> SideOfNode(const std::string& name,
                            std::function<Result<node::Response>(const node::Request&)> call) {
  node::Request request;
  request.mutable_record_file_state();
  ASSIGN_OR_RETURN(const node::Response answer, call(request));
  const auto declared = ordered_json::parse(answer.json());
  DiffSide side;
  side.name = name;
  side.state.next = Position(declared["next"].get<std::uint64_t>());
  ASSIGN_OR_RETURN(side.state.ledger, HexField<16>(declared, "ledger"));
  ASSIGN_OR_RETURN(side.state.content, HexField<32>(declared, "content"));
  side.page = [call = std::move(call), name, generation = answer.first()](const Key256& key, KeySlot from,
                                                                        Position at) -> Result<VersionPage> {
    node::Request asked;
    asked.mutable_mark_versions()->set_key(std::string(View(key)));
    asked.mutable_mark_versions()->set_from(from.value());
    asked.mutable_mark_versions()->set_at(at.value());
    ASSIGN_OR_RETURN(const node::Response page, call(asked));
    if (page.first() != generation) return Conflict(name + ": 比較の間に消去が行われました。もう一度比較してください");
    if (page.blobs_size() != 1) return Corrupt(name + ": the node answered no page");
    return VersionPage::Decode(page.blobs(0));
  };
  return side;
}

namespace {

node::Response Failed(const Status& status) {
  node::Response out;
  out.set_code(static_cast<std::int32_t>(status.code()));
  out.set_message(status.message());
  return out;
}

}  // namespace

node::Response AnswerRecordFileState(const Projector& projector) {
  const auto state = StateOf(projector.store());
  if (!state.ok()) return Failed(state.status());
  node::Response out;
  out.set_first(projector.built_under().value());
  out.set_json(ordered_json({{"ledger", ToHex(View(state->ledger))},
                             {"next", state->next.value()},
                             {"content", ToHex(View(state->content))}})
                   .dump());
  return out;
}

node::Response AnswerMarkVersions(const Projector& projector, const node::MarkVersions& asked) {
  const auto key = ToArray<32>(asked.key());
  if (!key.ok()) return Failed(Invalid("key: 32 bytes"));
  const auto page = ReadVersionPage(projector.store(), KeyingOf(*key), KeySlot(asked.from()), Position(asked.at()));
  if (!page.ok()) return Failed(page.status());
  node::Response out;
  out.set_first(projector.built_under().value());
  out.add_blobs(page->Encode());
  return out;
}

Result<DiffResult> Diff(const DiffSide& first, const DiffSide& second, const VersionSink& sink) {
  const DiffSide* sides[] = {&first, &second};
  if (first.state.ledger != second.state.ledger) {
    return Invalid("別の台帳の記録です。位置も住民のハンドルも台帳ごとのもので、並べて比べられません");
  }
  const Position next = std::min(first.state.next, second.state.next);
  if (next == Position(0)) return NotFound("the record file holds nothing yet");
  DiffResult out;
  out.at = Position(next.value() - 1);
  const auto key = RandomArray<32>();
  const auto pages = [&](const DiffSide& side) {
    return VersionPages([&](KeySlot from) { return side.page(key, from, out.at); });
  };
  ASSIGN_OR_RETURN(out.compared, CompareVersions(pages(first), pages(second), sink));
  const VersionComparison::Side* compared[] = {&out.compared.first, &out.compared.second};
  for (int i = 0; i < 2; ++i) {
    out.names[i] = sides[i]->name;
    out.positions[i] = Position(sides[i]->state.next.value() - 1);
    out.contents[i] = compared[i]->content.Fingerprint();
    out.declared[i] = sides[i]->state.next != next || sides[i]->state.content == out.contents[i];
  }
  return out;
}

namespace {

const char* WhatWord(VersionDifference::What what) {
  switch (what) {
    case VersionDifference::What::kOnlyFirst: return "only_a";
    case VersionDifference::What::kOnlySecond: return "only_b";
    case VersionDifference::What::kBytes: return "bytes";
  }
  return "";
}

const char* WhatInJapanese(VersionDifference::What what) {
  switch (what) {
    case VersionDifference::What::kOnlyFirst: return "A だけにある";
    case VersionDifference::What::kOnlySecond: return "B だけにある";
    case VersionDifference::What::kBytes: return "内容が異なる";
  }
  return "";
}

}  // namespace

std::string DifferenceJson(const VersionDifference& difference) {
  return ordered_json({{"handle", ToHex(View(difference.handle))},
                       {"position", difference.position.value()},
                       {"what", WhatWord(difference.what)},
                       {"erased", difference.erased},
                       {"standing", difference.standing}})
      .dump();
}

std::string DifferenceText(const VersionDifference& difference) {
  return fmt::format("  住民 {}  位置 {:>8}  {}{}{}", ToHex(View(difference.handle)), difference.position.value(),
                     WhatInJapanese(difference.what), difference.erased ? "（他方では消去）" : "",
                     difference.standing ? "  現在の記録も異なる" : "");
}

std::string DiffJson(const DiffResult& result) {
  const auto side = [&](int i, const VersionComparison::Side& compared) {
    return ordered_json({{"name", result.names[i]},
                         {"position", result.positions[i].value()},
                         {"content", ToHex(View(result.contents[i]))},
                         {"as_declared", result.declared[i]},
                         {"residents", compared.subjects},
                         {"versions", compared.versions},
                         {"only", compared.only},
                         {"only_erased", compared.only_erased}});
  };
  const VersionComparison& compared = result.compared;
  return ordered_json({{"format", "daicho-diff/1"},
                       {"same", result.same()},
                       {"at", result.at.value()},
                       {"a", side(0, compared.first)},
                       {"b", side(1, compared.second)},
                       {"bytes", compared.bytes_differ},
                       {"residents", compared.subjects},
                       {"standing", compared.standing}})
      .dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string DiffText(const DiffResult& result) {
  const VersionComparison& compared = result.compared;
  std::string out;
  const VersionComparison::Side* sides[] = {&compared.first, &compared.second};
  for (int i = 0; i < 2; ++i) {
    out += fmt::format("{}  {}\n   位置 {} まで適用済み  住民 {} 人  版 {} 件\n   照合値 {}\n", i == 0 ? "A" : "B", result.names[i],
                       result.positions[i].value(), sides[i]->subjects, sides[i]->versions, ToHex(View(result.contents[i])));
    if (!result.declared[i]) out += "   注意: 記録ファイルの中身は、それ自身が示す照合値と一致しません\n";
  }
  out += fmt::format("位置 {} までの状態を比較しました\n", result.at.value());
  if (result.same()) return out + "結果  同じ状態です\n";
  if (compared.same()) return out + "結果  版は一致しますが、示された照合値と異なります\n";
  const auto only = [&](const char* where, const VersionComparison::Side& side) {
    out += fmt::format("  {} だけにある版  {} 件", where, side.only);
    out += side.only_erased > 0 ? fmt::format("（うち他方で消去された住民のもの {} 件）\n", side.only_erased) : "\n";
  };
  only("A", compared.first);
  only("B", compared.second);
  out += fmt::format("  内容が異なる版    {} 件\n結果  異なります: 住民 {} 人（うち現在の記録も異なる者 {} 人）\n",
                     compared.bytes_differ, compared.subjects, compared.standing);
  return out;
}

}  // namespace daicho
