// The rules a notice must obey by itself, whatever the ledger holds. Rules that need the ledger's
// state (更新順番号 in order, no removal of who is not there) belong to the sequencer.
//
// Thread-safe. The table of rules with their sources is in events/README.md.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "events/resident.pb.h"

namespace daicho {

namespace v1 = ::daicho::events::v1;

// One broken rule. Never carries personal data.
struct RuleBreak {
  std::string field;    // JSON path within the notice: "record.individual_number"; "" is the whole
  std::string rule;     // "check_digit"
  std::string message;  // for people, in Japanese
  friend bool operator==(const RuleBreak&, const RuleBreak&) = default;
};

inline constexpr int kExternalGlyphsMax = 20;               // per notice
inline constexpr std::size_t kGlyphImageBytesMax = 65'536;  // each

// The 異動区分 a reason belongs to; NOTICE_KIND_UNSPECIFIED for an unknown reason.
v1::NoticeKind KindOf(v1::ChangeReason reason);

// The reasons by which a notice gives its resident another 住民票コード, another 個人番号.
bool ChangesCode(v1::ChangeReason reason);
bool ChangesNumber(v1::ChangeReason reason);

// Every rule that the notice breaks, all at once; empty: none. Allocates only for what it reports.
// `issuer` is the 市町村コード in whose name the notice comes; it may speak for its own residents
// only.
std::vector<RuleBreak> CheckNotice(const v1::UpdateNotice& notice, std::string_view issuer);

}  // namespace daicho
