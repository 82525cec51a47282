// Notifying 機構 (法30条の7): follows the ledger and passes every update on, in order, as soon as it is there.
//
//   ledger ─► updates behind the last that 機構 has ─► message ─► 機構 ─► acknowledgement ─► ledger (KikouNotified)
//                                                    signed            signed, kept
//
// How far it is stands in the ledger alone: a KikouNotified begins behind the one before. What a crash leaves between
// 機構 and the ledger is sent again and acknowledged as it was then, so that each update is with 機構 once and in the
// ledger as notified once. A message holds what has come while the one before was on its way: no event per update
// under load, and none where there is no update.
//
// 機構 out of reach keeps nobody waiting but this role, which tries again, less and less often. Any thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "consumers/kikou_line.h"
#include "events/clock.h"
#include "events/event.h"
#include "ledger/key_store.h"
#include "ledger/log.h"
#include "projections/projector.h"

namespace daicho {

struct KikouNotifyingOptions {
  int prefecture = 0;
  LedgerId ledger{};
  // Borrowed, all three.
  Log* log = nullptr;
  const KeyStore* keys = nullptr;
  const Clock* clock = nullptr;
  std::function<std::shared_ptr<const Projector>()> projector;  // the one that serves
  // Whom the node knows as 機構 at this moment; none: nobody yet.
  std::function<Result<std::optional<KikouPeer>>()> peer;
  std::function<SigningKey()> key;  // of the role
  // Once the record file has caught up, before anything is submitted: makes sure that the role is registered.
  std::function<Status()> prepare;
  // Under the role's key. An error leaves it open whether the event is in the ledger; `settle` finds out, and answers
  // the position behind the last that it admitted, if any was left.
  std::function<Result<v1::Receipt>(const std::vector<DraftEvent>&)> submit;
  std::function<Result<std::optional<Position>>()> settle;
  bool follow = false;  // notify all the time; else only when Notify is called
  std::function<void(const Status&)> failed;  // of any thread, when it has stopped for good
  std::size_t notices_max = 5'000;            // of one message
  std::size_t bytes_max = 8u << 20;
  std::chrono::milliseconds timeout{30'000};  // of one message
  std::chrono::milliseconds backoff_min{500}, backoff_max{30'000};
};

class KikouNotifying {
 public:
  static Result<std::unique_ptr<KikouNotifying>> Start(KikouNotifyingOptions options);
  ~KikouNotifying();
  KikouNotifying(const KikouNotifying&) = delete;

  // Passes on all that the ledger holds at this moment. Errors: kInvalid while nobody is known as 機構, kUnavailable
  // when it is out of reach or refuses.
  Status Notify();

  // {"configured","url","position","lag","notified_at","refused","error"}: everything below `position` is with 機構;
  // `lag`, entries behind it; of the last event the time and how many notices 機構 refused; of the last try what went
  // wrong.
  std::string StatusJson() const;

 private:
  struct Impl;
  explicit KikouNotifying(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace daicho
