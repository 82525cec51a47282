// The letters of 開示, 訂正 and 利用停止, as the office writes them: facts in, a Letter out. No I/O, no clock.
//
// Articles are of 住民基本台帳法 (法) in its current numbering; 利用停止 rests on 個人情報保護法 98条 to 102条.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "consumers/letter.h"
#include "events/consistency.pb.h"
#include "events/dates.h"
#include "events/disclosure.pb.h"
#include "projections/record_file.h"

namespace daicho {

// What every letter has.
struct LetterHead {
  std::string number;  // 文書番号
  Date date;
  std::vector<std::string> addressee;  // postal address lines, then the name without 様
  std::string governor;                // name of the 知事; may be empty
  // Images for characters that the font has not, by the character with its selector as the record writes it.
  std::map<std::string, std::string> glyphs;
};

// One provision or transfer of the person's record to somebody: 提供・移転の状況.
struct ProvisionLine {
  Position position;
  TimeMicros at;
  bool transfer = false;            // 移転 within the governor's own offices; else 提供
  std::string recipient;            // name of the agency
  std::string basis;                // legal basis code
  std::string duty;                 // 事務コード
  std::vector<std::string> fields;  // released, of ResidentRecord, or "resident_code"
  bool despite_suspension = false;  // released although 利用停止 was in force
};

struct DisclosedRecord {
  std::string reference;  // of the request
  Date received_on;
  v1::ApplicantCapacity capacity = v1::APPLICANT_CAPACITY_SELF;
  Position evaluated_at;           // as known after the entry at this position
  TimeMicros evaluated_time;       // when that entry was admitted
  std::optional<Version> current;  // absent: the use alone was asked for
  std::vector<Version> history;    // every version in the order of 更新順番号; empty: not asked for
  bool use = false;                // the provisions were asked for
  std::vector<ProvisionLine> provisions;
  bool evidence = false;  // a file by which the ledger's entries can be verified goes with it
};
// 本人確認情報開示決定通知書 (法30条の32第2項), with the record, its history and the provisions as annexes.
Letter DisclosureLetter(const LetterHead& head, const DisclosedRecord& record);

// Why nothing is disclosed.
struct NotDisclosed {
  std::string reference;
  Date received_on;
  Position evaluated_at;
  TimeMicros evaluated_time;
  std::string reason;  // of a refusal, as told to the applicant
};
// 本人確認情報不存在通知書 (法30条の32第1項: 存在しないときにその旨を知らせること).
Letter NotHeldLetter(const LetterHead& head, const NotDisclosed& facts);
// 本人確認情報不開示決定通知書: who asks is not who may, or has not shown it.
Letter RefusalLetter(const LetterHead& head, const NotDisclosed& facts);

struct Extension {
  std::string reference;
  Date received_on, due_on, extended_to;
  std::string reason;
};
// 本人確認情報開示期限延長通知書 (法30条の33第2項).
Letter ExtensionLetter(const LetterHead& head, const Extension& facts);

struct CorrectionAnswer {
  std::string reference;
  Date received_on;
  std::vector<v1::CorrectionItem> items;  // what was asked for
  v1::CorrectionFinding finding = v1::CORRECTION_FINDING_UNSPECIFIED;
  Date investigated_on;
  std::string details;       // of the investigation, as told to the applicant; may be empty
  std::string municipality;  // 市町村コード of who was told (法12条の5), with REGISTER_ERROR
  Date reported_on;          // likewise
};
// 本人確認情報訂正等調査結果通知書 (法30条の35).
Letter CorrectionLetter(const LetterHead& head, const CorrectionAnswer& facts);

struct RegisterError {
  std::string reference;     // of the matter
  std::string municipality;  // 市町村コード; the letter goes to its mayor, the head's addressee is not used
  std::string resident_code;
  std::string name, birth;  // as the prefecture's record has them
  std::vector<v1::CorrectionItem> items;
  std::string details;
};
// 住民票の誤記等に関する通報書 (法12条の5): the prefecture edits nothing, it tells who may.
Letter MunicipalityReportLetter(const LetterHead& head, const RegisterError& facts);

struct SuspensionAnswer {
  std::string reference;
  Date received_on;
  v1::SuspensionResult result = v1::SUSPENSION_RESULT_UNSPECIFIED;
  std::vector<std::string> bases;  // legal basis codes stopped; empty: all
  Date valid_from;
  std::optional<Date> valid_until;
  std::string reason;  // of a refusal or a lifting; of a suspension the article it rests on; may be empty
};
// 利用停止決定通知書, its refusal or its lifting (個人情報保護法101条). Requires: not 取下げ, which is answered by
// nothing.
Letter SuspensionLetter(const LetterHead& head, const SuspensionAnswer& facts);

// "住民基本台帳法第30条の15第2項（別表第6の3の項）" of "30-15-2/6-3". A code of another form stands as it is.
std::string BasisText(std::string_view code);
// "氏名" of "name", of ResidentRecord's fields and "resident_code". An unknown field stands as it is.
std::string FieldText(std::string_view field);

}  // namespace daicho
