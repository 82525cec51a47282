#include "consumers/disclosure_letters.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "events/codes.h"
#include "events/utf8.h"

namespace daicho {
namespace {

using Pair = std::pair<std::string_view, std::string_view>;

constexpr std::string_view kNone = "（記録なし）";

constexpr std::array<Pair, 12> kFields = {{{"name", "氏名"},
                                           {"kana", "氏名の振り仮名"},
                                           {"kana_certified", "振り仮名の公証"},
                                           {"former_name", "旧氏"},
                                           {"alias", "通称"},
                                           {"latin_name", "ローマ字氏名"},
                                           {"birth", "生年月日"},
                                           {"sex", "性別"},
                                           {"address", "住所"},
                                           {"individual_number", "個人番号"},
                                           {"external_glyphs", "外字"},
                                           {"resident_code", "住民票コード"}}};

std::string_view KindText(v1::NoticeKind kind) {
  switch (kind) {
    case v1::NOTICE_KIND_ENTRY:
      return "記載";
    case v1::NOTICE_KIND_REMOVAL:
      return "消除";
    case v1::NOTICE_KIND_AMEND:
      return "修正";
    default:
      return "不明";
  }
}

std::string_view ReasonText(v1::ChangeReason reason) {
  switch (reason) {
    case v1::CHANGE_REASON_MOVE_IN:
      return "転入等";
    case v1::CHANGE_REASON_BIRTH:
      return "出生";
    case v1::CHANGE_REASON_EX_OFFICIO_ENTRY:
      return "職権記載等";
    case v1::CHANGE_REASON_MOVE_OUT:
      return "転出";
    case v1::CHANGE_REASON_DEATH:
      return "死亡";
    case v1::CHANGE_REASON_EX_OFFICIO_REMOVAL:
      return "職権消除等";
    case v1::CHANGE_REASON_ADDRESS_CHANGE:
      return "転居";
    case v1::CHANGE_REASON_MINOR_AMENDMENT:
      return "軽微な修正";
    case v1::CHANGE_REASON_EX_OFFICIO_AMENDMENT:
      return "職権修正等";
    case v1::CHANGE_REASON_RESIDENT_CODE_CHANGE:
      return "住民票コードの記載の変更請求";
    case v1::CHANGE_REASON_RESIDENT_CODE_EX_OFFICIO:
      return "住民票コードの職権記載等";
    case v1::CHANGE_REASON_INDIVIDUAL_NUMBER_CHANGE:
      return "個人番号の変更請求";
    case v1::CHANGE_REASON_INDIVIDUAL_NUMBER_EX_OFFICIO:
      return "個人番号の職権修正";
    case v1::CHANGE_REASON_INDIVIDUAL_NUMBER_ENTRY:
      return "個人番号の職権記載";
    default:
      return "不明";
  }
}

std::string_view CapacityText(v1::ApplicantCapacity capacity) {
  switch (capacity) {
    case v1::APPLICANT_CAPACITY_SELF:
      return "本人";
    case v1::APPLICANT_CAPACITY_LEGAL_REPRESENTATIVE:
      return "法定代理人";
    case v1::APPLICANT_CAPACITY_EMPOWERED_GUARDIAN:
      return "代理権を有する保佐人又は補助人";
    case v1::APPLICANT_CAPACITY_AGENT:
      return "任意代理人";
    default:
      return "不明";
  }
}

std::string MunicipalityText(std::string_view code) {
  const Municipality* found = FindMunicipality(code);
  return found == nullptr ? "市町村コード" + std::string(code) : std::string(found->name);
}

// "群馬県" with 郡, 市町村.
std::string PlaceText(std::string_view code) {
  const Municipality* found = FindMunicipality(code);
  if (found == nullptr) return "";
  const auto district = std::ranges::find_if(kDistricts, [&](const District& d) { return d.Has(code); });
  return "群馬県" + (district == kDistricts.end() ? "" : std::string(district->name)) + std::string(found->name);
}

// A date of the record or the ledger; what is none stands as it is.
std::string DateText(const std::string& date) {
  const auto lenient = ParseLenientDate(date);
  return lenient ? FormatEraDate(*lenient) : date;
}

// "令和8年11月26日 10時05分"
std::string TimeText(TimeMicros time) {
  const std::string stamp = FormatTimestamp(time);
  return FormatEraDate(JapanDate(time)) + " " + stamp.substr(11, 2) + "時" + stamp.substr(14, 2) + "分";
}

std::string Joined(const std::vector<std::string>& parts, std::string_view between = "、") {
  std::string out;
  for (const std::string& part : parts) {
    if (!out.empty()) out += between;
    out += part;
  }
  return out;
}

// --- Letters in common ---------------------------------------------------------------------------------------

void Replace(std::string& text, std::string_view what, std::string_view with) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size()) {
    text.replace(at, what.size(), with);
  }
}

// Puts images in the place of characters that the font has not.
Letter WithGlyphs(Letter letter, const std::map<std::string, std::string>& glyphs) {
  for (const auto& [character, png] : glyphs) {
    const std::string stand_in = letter.StandIn(png);
    const auto replace = [&](std::string& text) { Replace(text, character, stand_in); };
    std::ranges::for_each(letter.addressee, replace);
    std::ranges::for_each(letter.sender, replace);
    std::ranges::for_each(letter.paragraphs, replace);
    for (LetterItem& item : letter.items) replace(item.text);
    for (LetterAnnex& annex : letter.annexes) {
      std::ranges::for_each(annex.paragraphs, replace);
      for (LetterTable& table : annex.tables) {
        replace(table.caption);
        for (auto& row : table.rows) std::ranges::for_each(row, replace);
      }
    }
  }
  return letter;
}

const std::string kSealed =
    "この文書は、群馬県知事の電子署名を付した電子文書です。署名は、ＰＤＦを表示するソフトウェアで検証することができます"
    "。";

// 教示 (行政不服審査法82条, 行政事件訴訟法46条).
const std::string kRemedy =
    "（教示）この決定に不服があるときは、この決定があったことを知った日の翌日から起算して３か月以内に、群馬県知事に対し"
    "て審査請求を"
    "することができます。また、この決定があったことを知った日の翌日から起算して６か月以内に、群馬県を被告として（訴訟に"
    "おいて"
    "群馬県を代表する者は群馬県知事となります。）、決定の取消しの訴えを提起することができます。";

Letter Begin(const LetterHead& head, std::string title) {
  Letter letter;
  letter.number = head.number;
  letter.date = FormatEraDate(head.date);
  letter.addressee = head.addressee;
  if (!letter.addressee.empty()) letter.addressee.back() += "　様";
  letter.sender = {head.governor.empty() ? "群馬県知事" : "群馬県知事　" + head.governor};
  letter.title = std::move(title);
  letter.contact = {"担当　群馬県総務部市町村課行政係"};
  letter.made_at = StartOfDay(head.date);
  return letter;
}

// --- 開示 ----------------------------------------------------------------------------------------------------

// A field's text with its external glyphs drawn in.
std::string WithImages(const std::string& text, const v1::ResidentRecord& record, std::string_view field,
                       Letter& letter) {
  std::string out;
  std::string_view rest = text;
  for (std::uint32_t index = 0; !rest.empty(); ++index) {
    const char32_t c = TakeCodePoint(rest);
    if (c == kDamaged) return text;
    const auto glyph = std::ranges::find_if(
        record.external_glyphs(), [&](const v1::ExternalGlyph& g) { return g.field() == field && g.index() == index; });
    if (glyph == record.external_glyphs().end()) {
      AppendUtf8(out, c);
    } else {
      out += letter.StandIn(glyph->image_png());
    }
  }
  return out;
}

using Rows = std::vector<std::pair<std::string, std::string>>;

// Every item of 本人確認情報 (法30条の6第1項) and of the notice that brought it.
Rows RowsOf(const Version& version, Letter& letter) {
  const v1::UpdateNotice& notice = version.notice;
  const v1::ResidentRecord& record = notice.record();
  const auto text = [&](const std::string& value, std::string_view field) {
    return value.empty() ? std::string(kNone) : WithImages(value, record, field, letter);
  };
  const auto plain = [](const std::string& value) { return value.empty() ? std::string(kNone) : value; };
  const v1::Address& address = record.address();
  Rows rows = {
      {"住民票コード", plain(notice.resident_code())},
      {"氏名", text(record.name(), "name")},
      {"氏名の振り仮名", text(record.kana(), "kana")},
      {"振り仮名の公証", record.kana().empty()     ? std::string(kNone)
                         : record.kana_certified() ? "公証済みのもの"
                                                   : "便宜上保有しているもの"},
      {"旧氏", text(record.former_name().name(), "former_name")},
      {"旧氏の振り仮名", plain(record.former_name().kana())},
      {"通称", text(record.alias().name(), "alias")},
      {"通称の振り仮名", plain(record.alias().kana())},
      {"ローマ字氏名", plain(record.latin_name())},
      {"生年月日", DateText(record.birth())},
      {"性別", record.sex() == v1::SEX_MALE     ? "男"
               : record.sex() == v1::SEX_FEMALE ? "女"
                                                : "不明"},
      {"住所", PlaceText(address.municipality()) + text(address.text(), "address")},
      {"郵便番号", plain(address.postal_code())},
      {"市町村コード", plain(address.municipality())},
      {"大字・字コード", plain(address.town())},
      {"個人番号", plain(record.individual_number())},
      {"外字の数", std::to_string(record.external_glyphs_size())},
      {"状態", notice.kind() == v1::NOTICE_KIND_REMOVAL ? "消除された者" : "住民"},
      {"異動区分", std::string(KindText(notice.kind()))},
      {"異動事由", std::string(ReasonText(notice.reason()))},
      {"異動年月日", DateText(notice.changed_on())},
      {"修正前の住民票コード", plain(notice.former_resident_code())},
      {"変更前の個人番号", plain(notice.former_individual_number())},
      {"更新順番号", std::to_string(notice.update_number())},
  };
  if (notice.cancels() != 0) {
    rows.emplace_back("異動の取消し", fmt::format("更新順番号{}の異動を取り消すもの", notice.cancels()));
  }
  rows.emplace_back("通知した市町村", MunicipalityText(version.issuer));
  rows.emplace_back("通知の受領", TimeText(version.admitted_at));
  rows.emplace_back("台帳の記録番号", std::to_string(version.position.value()));
  return rows;
}

LetterTable TableOf(const Rows& rows) {
  LetterTable table;
  table.widths = {1, 3};
  table.headings = {"項目", "内容"};
  table.first_is_heading = true;
  for (const auto& [item, value] : rows) table.rows.push_back({item, value});
  return table;
}

// The version, and which of its items say something else than the version before.
LetterTable HistoryTable(const Version& version, const Rows& rows, const Rows& before) {
  LetterTable table;
  table.caption =
      fmt::format("更新順番号{}　{}（{}）　{}", version.notice.update_number(), ReasonText(version.notice.reason()),
                  KindText(version.notice.kind()), DateText(version.notice.changed_on()));
  table.widths = {4, 11, 2};
  table.headings = {"項目", "内容", "前回との差"};
  table.first_is_heading = true;
  static constexpr std::array<std::string_view, 8> kOfTheNotice = {"異動区分",   "異動事由",      "異動年月日",
                                                                   "更新順番号", "異動の取消し",  "通知した市町村",
                                                                   "通知の受領", "台帳の記録番号"};
  for (const auto& [item, value] : rows) {
    const auto earlier = std::ranges::find(before, item, [](const auto& row) { return row.first; });
    const bool changed = !before.empty() && std::ranges::count(kOfTheNotice, item) == 0 &&
                         (earlier == before.end() || earlier->second != value);
    if (value == kNone && !changed) continue;
    table.rows.push_back({item, value, changed ? "変更" : ""});
  }
  return table;
}

LetterAnnex HistoryAnnex(const std::vector<Version>& history, Letter& letter) {
  LetterAnnex annex;
  annex.title = "異動の履歴";
  annex.paragraphs = {
      fmt::format("保存している全ての通知を、更新順番号の順に{}件記載しています。記録のない項目は省略しています。",
                  history.size())};
  Rows before;
  for (const Version& version : history) {
    Rows rows = RowsOf(version, letter);
    annex.tables.push_back(HistoryTable(version, rows, before));
    before = std::move(rows);
  }
  return annex;
}

LetterAnnex ProvisionAnnex(const std::vector<ProvisionLine>& provisions) {
  LetterAnnex annex;
  annex.title = "提供及び移転の状況";
  annex.paragraphs = {
      "あなたの本人確認情報の提供及び移転の全てについて、相手方、根拠及び提供した項目を日時の順に記載しています。"
      "「提供」は知事以外の機関に対するもの、「移転」は知事の他の部署に対するものです。"};
  if (provisions.empty()) {
    annex.paragraphs.push_back("提供及び移転の記録は、ありません。");
    return annex;
  }
  LetterTable table;
  table.caption = fmt::format("記録　{}件", provisions.size());
  table.widths = {20, 22, 26, 13, 30, 10};
  table.headings = {"日時・区分", "提供先・移転先", "根拠", "事務", "提供した項目", "記録番号"};
  for (const ProvisionLine& line : provisions) {
    std::vector<std::string> fields;
    for (const std::string& field : line.fields) fields.push_back(FieldText(field));
    std::string items = Joined(fields);
    if (items.empty()) items = "提供した項目なし";
    if (line.despite_suspension) items += "\n（利用停止中であるが、法令の定めにより提供）";
    std::string at = TimeText(line.at);
    at[at.find(' ')] = '\n';
    table.rows.push_back({at + "\n" + (line.transfer ? "移転" : "提供"), line.recipient, BasisText(line.basis),
                          line.duty, items, std::to_string(line.position.value())});
  }
  annex.tables.push_back(std::move(table));
  return annex;
}

std::string AsOfText(Position at, TimeMicros time) {
  return fmt::format("{}現在（台帳の記録番号{}まで）", TimeText(time), at.value());
}

// --- 訂正 ----------------------------------------------------------------------------------------------------

std::string_view CorrectionKindText(v1::CorrectionKind kind) {
  switch (kind) {
    case v1::CORRECTION_KIND_CORRECT:
      return "訂正";
    case v1::CORRECTION_KIND_ADD:
      return "追加";
    case v1::CORRECTION_KIND_DELETE:
      return "削除";
    default:
      return "不明";
  }
}

LetterAnnex ClaimAnnex(const std::vector<v1::CorrectionItem>& items) {
  LetterAnnex annex;
  annex.title = "申出の内容";
  LetterTable table;
  table.widths = {1, 2, 5};
  table.headings = {"区分", "項目", "申出に係る内容"};
  for (const v1::CorrectionItem& item : items) {
    const std::string claimed = item.field() == "birth" ? DateText(item.claimed()) : item.claimed();
    table.rows.push_back({std::string(CorrectionKindText(item.kind())), FieldText(item.field()),
                          claimed.empty() ? "（削除）" : claimed});
  }
  annex.tables.push_back(std::move(table));
  return annex;
}

}  // namespace

std::string FieldText(std::string_view field) {
  const auto found = std::ranges::find(kFields, field, &Pair::first);
  return std::string(found == kFields.end() ? field : found->second);
}

std::string BasisText(std::string_view code) {
  const std::string_view article = code.substr(0, code.find('/'));
  std::vector<std::string_view> parts;
  for (std::string_view rest = article; !rest.empty();) {
    const std::size_t end = std::min(rest.find('-'), rest.size());
    parts.push_back(rest.substr(0, end));
    if (!IsDigits(parts.back(), end)) return std::string(code);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (parts.size() < 2 || parts.size() > 4) return std::string(code);
  std::string out = fmt::format("住民基本台帳法第{}条の{}", parts[0], parts[1]);
  if (parts.size() > 2) out += fmt::format("第{}項", parts[2]);
  if (parts.size() > 3) out += fmt::format("第{}号", parts[3]);
  if (article.size() == code.size()) return out;
  const std::string_view table = code.substr(article.size() + 1);
  const std::size_t dash = table.find('-');
  if (table.starts_with("o-")) return out + fmt::format("（条例で定める事務{}）", table.substr(2));
  if (dash == std::string_view::npos || !IsDigits(table.substr(0, dash), dash)) return std::string(code);
  const std::string_view item = table.substr(dash + 1);
  if (item == "tax") return out + fmt::format("（別表第{} 地方税に関する項）", table.substr(0, dash));
  return out + fmt::format("（別表第{}の{}の項）", table.substr(0, dash), item);
}

Letter DisclosureLetter(const LetterHead& head, const DisclosedRecord& record) {
  Letter letter = Begin(head, "本人確認情報開示決定通知書");
  letter.paragraphs = {
      fmt::format("{}"
                  "付けで受理した自己に係る都道府県知事保存本人確認情報の開示の請求について、住民基本台帳法第30条の32第"
                  "2項の規定により、"
                  "下記のとおり開示することを決定したので、通知します。",
                  FormatEraDate(record.received_on))};
  std::vector<std::pair<std::string, LetterAnnex>> annexes;
  if (record.current) {
    LetterAnnex annex;
    annex.title = "開示する本人確認情報";
    annex.paragraphs = {AsOfText(record.evaluated_at, record.evaluated_time)};
    annex.tables.push_back(TableOf(RowsOf(*record.current, letter)));
    annexes.emplace_back("開示する本人確認情報", std::move(annex));
  }
  if (!record.history.empty()) annexes.emplace_back("異動の履歴", HistoryAnnex(record.history, letter));
  if (record.use) annexes.emplace_back("提供及び移転の状況", ProvisionAnnex(record.provisions));

  letter.items = {{"請求の受付番号", record.reference}, {"請求の資格", std::string(CapacityText(record.capacity))}};
  for (auto& [label, annex] : annexes) {
    letter.annexes.push_back(std::move(annex));
    letter.items.push_back({label, fmt::format("別紙{}のとおり", letter.annexes.size())});
  }
  letter.items.push_back({"開示の基準", AsOfText(record.evaluated_at, record.evaluated_time)});
  letter.items.push_back({"開示の方法", "書面の交付"});
  letter.remarks = {
      kSealed,
      "開示を受けた本人確認情報の内容の全部又は一部について訂正、追加又は削除を求めるときは、住民基本台帳法第30条の35の"
      "規定により、書面により申し出ることができます。"};
  if (record.evidence) {
    letter.remarks.push_back(
        "別に交付する証拠ファイルにより、開示した記録が台帳に記録されたものであることを、群馬県に照会することなく"
        "検証することができます。");
  }
  return WithGlyphs(std::move(letter), head.glyphs);
}

Letter NotHeldLetter(const LetterHead& head, const NotDisclosed& facts) {
  Letter letter = Begin(head, "本人確認情報不存在通知書");
  letter.paragraphs = {fmt::format(
      "{}付けで受理した自己に係る都道府県知事保存本人確認情報の開示の請求について調査した結果、請求に係る本人確認情報は"
      "存在しないので、住民基本台帳法第30条の32の規定により、下記のとおり通知します。",
      FormatEraDate(facts.received_on))};
  letter.items = {
      {"請求の受付番号", facts.reference},
      {"調査の基準", AsOfText(facts.evaluated_at, facts.evaluated_time)},
      {"調査の結果", "請求に係る者の本人確認情報は、都道府県知事保存本人確認情報ファイルに記録されていません。"}};
  letter.remarks = {kSealed, kRemedy};
  return WithGlyphs(std::move(letter), head.glyphs);
}

Letter RefusalLetter(const LetterHead& head, const NotDisclosed& facts) {
  Letter letter = Begin(head, "本人確認情報不開示決定通知書");
  letter.paragraphs = {
      fmt::format("{}"
                  "付けで受理した都道府県知事保存本人確認情報の開示の請求については、住民基本台帳法第30条の32第1項に規"
                  "定する自己に係る"
                  "本人確認情報の開示の請求と認められないので、下記のとおり開示しないことを決定したので、通知します。",
                  FormatEraDate(facts.received_on))};
  letter.items = {{"請求の受付番号", facts.reference}, {"開示しない理由", facts.reason}};
  letter.remarks = {kSealed, kRemedy};
  return WithGlyphs(std::move(letter), head.glyphs);
}

Letter ExtensionLetter(const LetterHead& head, const Extension& facts) {
  Letter letter = Begin(head, "本人確認情報開示期限延長通知書");
  letter.paragraphs = {
      fmt::format("{}"
                  "付けで受理した自己に係る都道府県知事保存本人確認情報の開示の請求については、住民基本台帳法第30条の33"
                  "第1項に規定する"
                  "期間内に開示をすることができないので、同条第2項の規定により、下記のとおり通知します。",
                  FormatEraDate(facts.received_on))};
  letter.items = {{"請求の受付番号", facts.reference},
                  {"延長前の開示の期限", FormatEraDate(facts.due_on)},
                  {"延長後の開示の期限", FormatEraDate(facts.extended_to)},
                  {"延長の理由", facts.reason}};
  letter.remarks = {kSealed};
  return WithGlyphs(std::move(letter), head.glyphs);
}

Letter CorrectionLetter(const LetterHead& head, const CorrectionAnswer& facts) {
  Letter letter = Begin(head, "本人確認情報の訂正等に係る調査結果通知書");
  letter.paragraphs = {fmt::format(
      "{}付けで申出のあった本人確認情報の訂正、追加又は削除について調査したので、住民基本台帳法第30条の35の規定により、"
      "その結果を下記のとおり通知します。",
      FormatEraDate(facts.received_on))};
  std::string result, measure;
  switch (facts.finding) {
    case v1::CORRECTION_FINDING_COPY_ERROR:
      result = "住民票の記載に誤りはありませんが、群馬県知事が保存する本人確認情報がこれと相違していました。";
      measure = fmt::format("{}長に本人確認情報の通知を改めて求め、通知を受けて本人確認情報を訂正します。",
                            MunicipalityText(facts.municipality));
      break;
    case v1::CORRECTION_FINDING_REGISTER_ERROR:
      result = "住民票に誤記又は記載漏れがあると認められました。";
      measure = fmt::format(
          "住民基本台帳法第12条の5の規定により、{}に{}"
          "長に通報しました。群馬県知事は住民票の記載を修正することができません。"
          "当該修正に係る通知を受けたときに、群馬県知事が保存する本人確認情報も修正されます。",
          FormatEraDate(facts.reported_on), MunicipalityText(facts.municipality));
      break;
    default:
      result = "住民票の記載及び群馬県知事が保存する本人確認情報のいずれにも誤りは認められませんでした。";
      measure = "訂正、追加又は削除は行いません。";
  }
  letter.items = {{"申出の受付番号", facts.reference},
                  {"申出の内容", "別紙1のとおり"},
                  {"調査の結果", result},
                  {"講じた措置", measure},
                  {"調査を終えた日", FormatEraDate(facts.investigated_on)}};
  if (!facts.details.empty()) letter.items.push_back({"調査の経緯", facts.details});
  letter.remarks = {kSealed};
  letter.annexes = {ClaimAnnex(facts.items)};
  return WithGlyphs(std::move(letter), head.glyphs);
}

Letter MunicipalityReportLetter(const LetterHead& head, const RegisterError& facts) {
  LetterHead to_mayor = head;
  to_mayor.addressee = {MunicipalityText(facts.municipality) + "長"};
  Letter letter = Begin(to_mayor, "住民票の誤記等に関する通報書");
  letter.paragraphs = {
      "貴職の備える住民基本台帳に、下記のとおり誤記又は記載漏れがあると認められるので、住民基本台帳法第12条の5の規定に"
      "より通報します。",
      "ついては、事実を確認の上、必要な修正を行い、同法第30条の6第1項の規定による通知をされるようお願いします。"};
  letter.items = {{"受付番号", facts.reference},
                  {"住民票コード", facts.resident_code},
                  {"氏名", facts.name},
                  {"生年月日", DateText(facts.birth)},
                  {"誤記等の内容", "別紙1のとおり"}};
  if (!facts.details.empty()) letter.items.push_back({"調査の経緯", facts.details});
  letter.remarks = {kSealed};
  letter.annexes = {ClaimAnnex(facts.items)};
  letter.annexes[0].title = "誤記等と認められる内容";
  return WithGlyphs(std::move(letter), head.glyphs);
}

Letter SuspensionLetter(const LetterHead& head, const SuspensionAnswer& facts) {
  const std::string request = fmt::format("{}付けで請求のあった", FormatEraDate(facts.received_on));
  std::vector<std::string> bases;
  for (const std::string& basis : facts.bases) bases.push_back(BasisText(basis));
  const std::string scope = bases.empty() ? "全ての提供及び移転" : Joined(bases) + "に係る提供及び移転";
  Letter letter;
  if (facts.result == v1::SUSPENSION_RESULT_SUSPENDED) {
    letter = Begin(head, "本人確認情報利用停止決定通知書");
    letter.paragraphs = {request +
                         "あなたの本人確認情報の利用停止について、個人情報の保護に関する法律第101条第1項の規定により、"
                         "下記のとおり利用停止をすることを決定したので、通知します。"};
    letter.items = {
        {"請求の受付番号", facts.reference},
        {"利用停止をする範囲", scope},
        {"利用停止の期間", FormatEraDate(facts.valid_from) + "から" +
                               (facts.valid_until ? FormatEraDate(*facts.valid_until) + "まで" : "解除するまで")}};
    if (!facts.reason.empty()) letter.items.push_back({"利用停止の理由", facts.reason});
    letter.items.push_back(
        {"利用停止の効果",
         "上記の範囲の照会には、利用停止中であるとして回答しません。ただし、他の法令の定めにより"
         "提供しなければならないものを除きます。その提供は、利用停止中に提供したものとして記録します。"});
  } else if (facts.result == v1::SUSPENSION_RESULT_LIFTED) {
    letter = Begin(head, "本人確認情報利用停止解除通知書");
    letter.paragraphs = {"あなたの本人確認情報の利用停止を下記のとおり解除したので、通知します。"};
    letter.items = {
        {"請求の受付番号", facts.reference}, {"解除する範囲", scope}, {"解除の日", FormatEraDate(facts.valid_from)}};
    if (!facts.reason.empty()) letter.items.push_back({"解除の理由", facts.reason});
  } else {
    letter = Begin(head, "本人確認情報利用停止をしない旨の決定通知書");
    letter.paragraphs = {request +
                         "あなたの本人確認情報の利用停止について、個人情報の保護に関する法律第101条第2項の規定により、"
                         "下記のとおり利用停止をしないことを決定したので、通知します。"};
    letter.items = {{"請求の受付番号", facts.reference}, {"利用停止をしない理由", facts.reason}};
  }
  letter.remarks = {kSealed, kRemedy};
  return WithGlyphs(std::move(letter), head.glyphs);
}

}  // namespace daicho
