// The prefecture's side of a comparison with 機構's copy, over the line (kikou_line.proto, 整合性確認): one session at a time,
// begun by the first question that can begin one. An object belongs to one thread at a time.
//
// A session that 機構 has no longer is kNotFound, and forgotten here: what was asked of it goes for nothing, and the next
// comparison is of another moment. What does not belong to the question is kTampered.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "consumers/kikou_line.h"
#include "projections/copy_reconcile.h"

namespace daicho {

class KikouCopy : public CopyHolder {
 public:
  // `ledger`: the 16 bytes of the prefecture's own. Borrowed: client.
  KikouCopy(const KikouClient& client, std::string ledger) : client_(client), ledger_(std::move(ledger)) {}

  // The question of totals begins a session when there is none, any other is kNotFound then. Errors: those of KikouClient.
  Result<std::string> Ask(std::string_view question) override;
  // The rows that there are of these, in their order. Requires: ascending, below kCopyCodeEnd; a session.
  Result<std::vector<v1::HeldCopy>> Rows(std::span<const std::uint64_t> codes);
  // Every row by ascending 住民票コード, until `take` fails. Begins a session when there is none.
  Status AllRows(const std::function<Status(const v1::HeldCopy&)>& take);
  // Nothing when there is no session.
  Status Close();

  // Sets version and ledger. The answer accounts for every notice and absent code, or it is kTampered. Needs no session.
  Result<kikou::Corrected> Correct(kikou::Corrections corrections);

  // Whole bodies, of what was answered.
  std::uint64_t bytes_sent() const { return bytes_sent_; }
  std::uint64_t bytes_received() const { return bytes_received_; }

 private:
  Result<kikou::CopyAnswer> Exchange(kikou::CopyQuestion question);
  // The verified message of a reply to `message`.
  Result<std::string> Call(const char* path, std::string_view tag, const std::string& message, std::string_view answer_tag);

  const KikouClient& client_;
  std::string ledger_;
  std::string session_;  // empty: none
  std::uint64_t bytes_sent_ = 0, bytes_received_ = 0;
};

}  // namespace daicho
