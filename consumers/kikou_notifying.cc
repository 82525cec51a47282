#include "consumers/kikou_notifying.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "events/dates.h"
#include "events/kikou.pb.h"
#include "events/topics.h"
#include "ledger/entry_stream.h"
#include "ledger/replay.h"
#include "projections/kikou_register.h"

namespace daicho {
namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t kVersion = 1;
constexpr milliseconds kVisibleWait{60'000};
constexpr milliseconds kLook{100};   // how long the ledger is waited for at a time
constexpr milliseconds kIdle{1'000};  // how often it is asked whether somebody is known as 機構
constexpr std::size_t kPollRecords = 1'000;

// What goes to 機構 at once.
struct Message {
  kikou::Notices notices;
  Position next;          // behind the last entry that was looked at
  bool erased = false;    // a notice among them is erased: it is not told any more

  bool empty() const { return notices.notices_size() == 0; }
};

}  // namespace

struct KikouNotifying::Impl {
  explicit Impl(KikouNotifyingOptions o) : options(std::move(o)), topic(Topics{options.prefecture}.Ledger()) {}

  KikouNotifyingOptions options;
  std::string topic;

  // Of whoever notifies, one at a time.
  std::mutex notifying;
  bool settled = false;
  Position recorded;  // the ledger has it that everything below is with 機構
  Position sending;   // where the next message begins: below `recorded` where 機構 has lost some of it
  Position looked;    // no update from `sending` to here
  std::unique_ptr<LogReader> reader;
  std::deque<Received> read_ahead;
  Position reading;   // of the next entry that is read
  std::string record;  // that `prepared` refers to
  PreparedEntry prepared;

  mutable std::mutex mutex;
  std::condition_variable changed;
  bool stopping = false;  // guarded by mutex, like all below
  Position with_kikou;
  std::string error;

  std::jthread following;

  // --- where it stands ---------------------------------------------------------------------------

  // After a start or a failure: what was left on its way is in the ledger, or is not, and the register says how far
  // it had come.
  Status Settle() {
    if (settled) return {};
    ASSIGN_OR_RETURN(Position end, LedgerEnd(*options.log, topic));
    RETURN_IF_ERROR(AwaitVisible(end));
    RETURN_IF_ERROR(options.prepare());
    ASSIGN_OR_RETURN(const std::optional<Position> behind, options.settle());
    ASSIGN_OR_RETURN(end, LedgerEnd(*options.log, topic));
    RETURN_IF_ERROR(AwaitVisible(std::max(end, behind.value_or(end))));
    const std::shared_ptr<const Projector> projector = options.projector();
    const Position visible = projector->position();
    if (visible == Position(0)) return Unavailable("the ledger holds nothing yet");
    ASSIGN_OR_RETURN(const auto last, KikouRegister(projector->store()).Last(Position(visible.value() - 1)));
    recorded = last ? Position(last->event.last_position() + 1) : Position(0);
    sending = looked = recorded;
    settled = true;
    return {};
  }

  Status AwaitVisible(Position end) {
    for (milliseconds waited{0}; waited < kVisibleWait && !Stopping(); waited += kLook) {
      if (options.projector()->WaitFor(end, kLook)) return {};
    }
    return Unavailable("the record file is behind the ledger");
  }

  // --- reading -----------------------------------------------------------------------------------

  // The entry at `from`, which is in the ledger, into `prepared`.
  Status ReadEntry(Position from) {
    if (reader == nullptr || reading != from) {
      ASSIGN_OR_RETURN(const Bounds bounds, options.log->GetBounds(topic));
      ASSIGN_OR_RETURN(reader, options.log->OpenReader());
      // A record's cursor is not below its position.
      RETURN_IF_ERROR(reader->Assign(topic, std::max(bounds.first, Cursor(from.value()))).status());
      read_ahead.clear();
      reading = from;
    }
    for (;;) {
      if (read_ahead.empty()) {
        auto records = reader->Poll(kPollRecords, kLook);
        if (!records.ok()) {
          reader.reset();
          return records.status();
        }
        for (Received& each : *records) read_ahead.push_back(std::move(each));
        if (read_ahead.empty() && Stopping()) return Unavailable("the node is stopping");
        continue;
      }
      record = std::move(read_ahead.front().value);
      read_ahead.pop_front();
      PrepareEntry(record, prepared);
      RETURN_IF_ERROR(prepared.status);
      if (prepared.leaf.position() < from.value()) continue;
      if (prepared.leaf.position() > from.value()) {
        return Tampered("the ledger lacks position " + std::to_string(from.value()));
      }
      reading = from.Next();
      return {};
    }
  }
  // The updates from `from` on: of those below `end`, at most a message full.
  Result<Message> Collect(Position first, Position from, Position end, bool whole) {
    Message out;
    out.next = from;
    out.notices.set_version(kVersion);
    out.notices.set_prefecture(static_cast<std::uint32_t>(options.prefecture));
    out.notices.set_ledger(std::string(View(options.ledger)));
    out.notices.set_first_position(first.value());
    std::size_t bytes = 0;
    while (out.next < end) {
      const auto notices = static_cast<std::size_t>(out.notices.notices_size());
      const bool full = notices >= options.notices_max || bytes >= options.bytes_max;
      if (full && !whole) break;
      RETURN_IF_ERROR(ReadEntry(out.next));
      const v1::Effect effect = prepared.leaf.effect();
      out.next = out.next.Next();
      if (prepared.header.kind() != v1::EVENT_KIND_UPDATE || effect == v1::EFFECT_REPEATED) continue;
      auto payload = OpenPart(prepared, 0, *options.keys);
      if (payload.status().code() == Code::kErased) {
        out.erased = true;
        continue;
      }
      RETURN_IF_ERROR(payload.status());
      kikou::Notice& notice = *out.notices.add_notices();
      notice.set_position(prepared.leaf.position());
      notice.set_issuer(prepared.header.issuer());
      bytes += payload->size();
      notice.set_notice(*std::move(payload));
      out.notices.set_last_position(notice.position());
    }
    return out;
  }

  // --- telling -----------------------------------------------------------------------------------

  static Status FromKikou(const Status& status) { return Unavailable("機構: " + status.message()); }

  // Whether something was passed on.
  Result<bool> Step(const KikouPeer& peer) {
    RETURN_IF_ERROR(Settle());
    const Position visible = options.projector()->position();
    // What 機構 has lost is told again, and not recorded again.
    const Position end = sending < recorded ? recorded : visible;
    ASSIGN_OR_RETURN(const Message message, Collect(sending, looked, end, false));
    if (message.empty()) {
      looked = message.next;
      if (sending < recorded) sending = looked;
      const std::lock_guard lock(mutex);
      with_kikou = std::max(looked, recorded);
      return sending < recorded;
    }
    const TimeMicros sent_at = options.clock->Now();
    const std::string bytes = message.notices.SerializeAsString();
    const KikouClient client(peer, options.key(), options.timeout);
    const auto reply = client.Call(kKikouNoticesPath, kKikouNoticesTag, bytes, kKikouAcknowledgementTag);
    if (!reply.ok()) return FromKikou(reply.status());
    const Digest digest = Sha256Of({bytes});
    if (reply->status == 409) {
      RETURN_IF_ERROR(GoBack(reply->message, digest));
      return true;
    }
    kikou::Acknowledgement ack;
    if (!ack.ParseFromString(reply->message)) return Unavailable("機構: 受領を読み取れません");
    RETURN_IF_ERROR(CheckAcknowledgement(ack, message, digest));
    const Position behind(ack.last_position() + 1);
    if (sending >= recorded) RETURN_IF_ERROR(Record(ack, reply->body, sent_at));
    sending = behind;
    recorded = std::max(recorded, behind);
    looked = behind == Position(message.notices.last_position() + 1) ? message.next : behind;
    const std::lock_guard lock(mutex);
    with_kikou = std::max(looked, recorded);
    return true;
  }

  // 機構 is elsewhere than the ledger says.
  Status GoBack(const std::string& message, const Digest& digest) {
    kikou::Expected expected;
    if (!expected.ParseFromString(message) || expected.message_digest() != View(digest) ||
        expected.ledger() != View(options.ledger)) {
      return Unavailable("機構: 応答がこの通知のものではありません");
    }
    if (expected.position() >= sending.value()) {
      return Unavailable("機構: 位置 " + std::to_string(expected.position()) +
                         " の前まで受領済みといいますが、その受領が台帳にありません");
    }
    sending = looked = Position(expected.position());
    return {};
  }

  // It is of what was sent: now, or before a crash with another end.
  Status CheckAcknowledgement(const kikou::Acknowledgement& ack, const Message& sent, const Digest& digest) {
    const Status foreign = Unavailable("機構: 受領が送った通知のものではありません");
    if (ack.version() != kVersion || ack.ledger() != View(options.ledger) ||
        ack.first_position() != sent.notices.first_position() || ack.last_position() < ack.first_position()) {
      return foreign;
    }
    if (ack.message_digest() == View(digest)) {
      return ack.last_position() == sent.notices.last_position() ? Status() : foreign;
    }
    if (ack.last_position() >= options.projector()->position().value()) return foreign;
    ASSIGN_OR_RETURN(const Message then,
                     Collect(sending, looked, Position(ack.last_position() + 1), true));
    const bool same = ack.message_digest() == View(Sha256Of({then.notices.SerializeAsString()}));
    return same || then.erased ? Status() : foreign;
  }

  Status Record(const kikou::Acknowledgement& ack, const std::string& body, TimeMicros sent_at) {
    v1::KikouNotified event;
    event.set_first_position(ack.first_position());
    event.set_last_position(ack.last_position());
    event.set_notice_count(ack.notice_count());
    event.set_message_digest(ack.message_digest());
    event.set_sent_at(sent_at.value());
    event.set_acknowledgement(body);
    event.set_acknowledged_at(options.clock->Now().value());
    for (const kikou::Refusal& refusal : ack.refused()) {
      v1::KikouRefusal& out = *event.add_refused();
      out.set_position(refusal.position());
      out.set_code(refusal.code());
      out.set_message(refusal.message());
    }
    DraftEvent draft;
    draft.kind = v1::EVENT_KIND_KIKOU_NOTIFIED;
    draft.retention = v1::RETENTION_CLASS_OPERATION;
    draft.payload = event.SerializeAsString();
    settled = false;
    ASSIGN_OR_RETURN(const v1::Receipt receipt, options.submit({draft}));
    if (receipt.outcome() == v1::OUTCOME_REJECTED) {
      return Internal("the event of a notification was rejected: " +
                      (receipt.violations_size() > 0 ? receipt.violations(0).rule() : ""));
    }
    settled = true;
    return {};
  }

  // --- all the time ------------------------------------------------------------------------------

  bool Stopping() const {
    const std::lock_guard lock(mutex);
    return stopping;
  }
  void Pause(milliseconds wait) {
    std::unique_lock lock(mutex);
    changed.wait_for(lock, wait, [&] { return stopping; });
  }
  void Tell(const Status& status) {
    const std::lock_guard lock(mutex);
    error = status.ok() ? "" : status.message();
  }

  // Until all below `until` is with 機構, or one that failed.
  Status NotifyUntil(const KikouPeer& peer, Position until) {
    const std::lock_guard lock(notifying);
    for (;;) {
      ASSIGN_OR_RETURN(const bool more, Step(peer));
      if (Stopping()) return Unavailable("the node is stopping");
      if (!more && looked >= until) return {};
      if (!more) RETURN_IF_ERROR(AwaitVisible(until));
    }
  }

  void Follow() {
    milliseconds wait = options.backoff_min;
    while (!Stopping()) {
      const auto peer = options.peer();
      Status status = peer.status();
      if (status.ok() && !*peer) {
        Pause(kIdle);
        continue;
      }
      const std::shared_ptr<const Projector> projector = options.projector();
      if (status.ok()) status = NotifyUntil(**peer, projector->position());
      Tell(status);
      if (status.ok()) {
        wait = options.backoff_min;
        projector->WaitFor(projector->position().Next(), kLook);
        continue;
      }
      if (Stopping()) return;
      // Settings that cannot be read may be put right; everything else that does not pass fails the role.
      if (!status.retriable() && peer.ok()) return options.failed(status.With("kikou"));
      Pause(wait);
      wait = std::min(2 * wait, options.backoff_max);
    }
  }
};

KikouNotifying::KikouNotifying(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

KikouNotifying::~KikouNotifying() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
    impl_->changed.notify_all();
  }
  if (impl_->following.joinable()) impl_->following.join();
}

Result<std::unique_ptr<KikouNotifying>> KikouNotifying::Start(KikouNotifyingOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  Impl& started = *impl;
  if (started.options.follow) started.following = std::jthread([&started] { started.Follow(); });
  return std::unique_ptr<KikouNotifying>(new KikouNotifying(std::move(impl)));
}

Status KikouNotifying::Notify() {
  ASSIGN_OR_RETURN(const auto peer, impl_->options.peer());
  if (!peer) return Invalid("kikou: 機構との接続が設定されていません（daicho kikou set）");
  ASSIGN_OR_RETURN(const Position end, LedgerEnd(*impl_->options.log, impl_->topic));
  const Status status = impl_->NotifyUntil(*peer, end);
  impl_->Tell(status);
  return status;
}

std::string KikouNotifying::StatusJson() const {
  const auto peer = impl_->options.peer();
  nlohmann::ordered_json out = {{"configured", peer.ok() && peer->has_value()}};
  if (peer.ok() && *peer) out["url"] = (*peer)->url;
  const std::shared_ptr<const Projector> projector = impl_->options.projector();
  const Position visible = projector->position();
  std::optional<KikouRegister::Notified> last;
  if (visible > Position(0)) {
    auto found = KikouRegister(projector->store()).Last(Position(visible.value() - 1));
    if (found.ok()) last = *std::move(found);
  }
  const std::lock_guard lock(impl_->mutex);
  const std::uint64_t position = std::max(impl_->with_kikou.value(), last ? last->event.last_position() + 1 : 0);
  out["position"] = position;
  out["lag"] = visible.value() > position ? visible.value() - position : 0;
  if (last) {
    out["notified_at"] = FormatTimestamp(TimeMicros(last->event.acknowledged_at()));
    if (last->event.refused_size() > 0) out["refused"] = last->event.refused_size();
  }
  const std::string error = peer.ok() ? impl_->error : peer.status().message();
  if (!error.empty()) out["error"] = error;
  return out.dump();
}

}  // namespace daicho
