#include "consumers/agency.h"

#include <fcntl.h>
#include <sys/file.h>

#include <charconv>
#include <set>
#include <thread>

#include "consumers/provision_request.h"
#include "events/topics.h"
#include "ledger/files.h"

namespace daicho {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t kBatch = 500;
constexpr std::size_t kReplyBatch = 1'000;
constexpr milliseconds kCheckpointPoll{200};

Status Unregistered(const Status& status) {
  return status.code() == Code::kNotFound ? Denied("the agency is not registered with this ledger") : status;
}

Result<Position> PositionOf(const std::string& key) {
  std::uint64_t out = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), out);
  if (error != std::errc() || end != key.data() + key.size() || std::to_string(out) != key) {
    return Tampered("provision: the record's key is no position");
  }
  return Position(out);
}

}  // namespace

Result<std::string> SignRequest(const AgencyHome& home, std::string_view request) {
  return home.signing.TrySign(std::string(kRequestTag) + std::string(View(Sha256Of({request}))));
}

Result<Digest> AskByLine(const AgencyHome& home, Log& log, std::string_view request) {
  ASSIGN_OR_RETURN(const ProvisionRequestReader reader, ProvisionRequestReader::Open(request));
  if (reader.header().agency != home.agency) return Invalid("agency: この機関の照会ではありません");
  if (const auto errors = reader.Check(); !errors.empty()) {
    const FileError& first = errors.front();
    return Invalid(std::to_string(first.line) + "行目 " + first.field + ": " + first.message);
  }
  ASSIGN_OR_RETURN(std::string value, SignRequest(home, request));
  value += request;
  if (value.size() > kRecordBytesMax) return Invalid("request: 回線で送れるのは64MiBまでです");
  RETURN_IF_ERROR(Unregistered(log.Append(Topics{home.ledger.prefecture}.Request(home.agency),
                                          {reader.header().reference, std::move(value), {}})));
  return Sha256Of({request});
}

struct AgencyInbox::Impl {
  Impl(const AgencyHome& at, Log& from, const Clock& by) : home(at), log(from), clock(by) {}

  const AgencyHome home;
  Log& log;
  const Clock& clock;
  const Topics topics{home.ledger.prefecture};
  Descriptor lock;
  std::unique_ptr<LogReader> reader;
  Cursor end;  // of the topic, when it was opened
  Cursor next;
  std::vector<std::string> receipts;  // not sent yet

  Status Open() {
    lock = Descriptor(::open(home.Path("lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (lock.get() < 0) return ErrnoStatus("opening " + home.Path("lock"));
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return Unavailable("another process receives for this agency");
    auto state = ReadFile(home.Path("state"));
    if (state.ok()) {
      RETURN_IF_ERROR(Decode(*state));
    } else if (state.status().code() != Code::kNotFound) {
      return state.status();
    }
    RETURN_IF_ERROR(Follow());
    ASSIGN_OR_RETURN(const Bounds bounds, log.GetBounds(topics.Provision(home.agency)));
    end = bounds.end;
    return {};
  }

  Status Follow() {
    if (reader != nullptr) return {};
    ASSIGN_OR_RETURN(auto opened, log.OpenReader());
    RETURN_IF_ERROR(Unregistered(opened->Assign(topics.Provision(home.agency), next).status()));
    reader = std::move(opened);
    return {};
  }

  Status Decode(std::string_view bytes) {
    const Status damaged = Corrupt(home.Path("state") + " is damaged");
    if (bytes.size() < 8) return damaged;
    next = Cursor(ReadU64(bytes));
    bytes.remove_prefix(8);
    while (!bytes.empty()) {
      if (bytes.size() < 4 || bytes.size() - 4 < ReadU32(bytes)) return damaged;
      receipts.emplace_back(bytes.substr(4, ReadU32(bytes)));
      bytes.remove_prefix(4 + receipts.back().size());
    }
    return {};
  }

  Status Save() const {
    std::string out;
    AppendU64(out, next.value());
    for (const std::string& receipt : receipts) {
      AppendU32(out, static_cast<std::uint32_t>(receipt.size()));
      out += receipt;
    }
    return WriteFileDurably(home.Path("state"), out);
  }

  std::string ReceiptFor(const Delivery& delivery) const {
    v1::AgencyReceipt receipt;
    receipt.set_version(1);
    receipt.set_ledger(std::string(View(home.ledger.ledger)));
    receipt.set_agency(home.agency);
    receipt.set_reference(delivery.answer.header.reference);
    receipt.set_chunk(delivery.answer.provision.chunk());
    receipt.set_provision_position(delivery.position.value());
    receipt.set_delivered_digest(std::string(View(delivery.answer.delivered)));
    receipt.set_result_count(delivery.answer.header.count);
    receipt.set_received_at(clock.Now().value());
    return receipt.SerializeAsString();
  }

  // The ledger's entry there, once a checkpoint covers it.
  static Result<std::string> ProvenLeaf(const ReceiveOptions& options, Position position) {
    TlogClient& ledger = *options.ledger;
    const auto deadline = steady_clock::now() + options.proof_wait;
    while (ledger.head().size <= position.value()) {
      RETURN_IF_ERROR(ledger.Refresh());
      if (ledger.head().size > position.value()) break;
      if (steady_clock::now() > deadline) {
        return Unavailable("no checkpoint covers position " + std::to_string(position.value()) + " yet");
      }
      std::this_thread::sleep_for(kCheckpointPoll);
    }
    return ledger.Leaf(position);
  }

  Status WriteAnswer(const std::string& dir, Delivery& delivery) const {
    RETURN_IF_ERROR(MakeDirectories(dir));
    const AnswerHeader& header = delivery.answer.header;
    const std::string stem = dir + "/" + header.reference + "." + std::to_string(header.chunk);
    delivery.file = stem + ".ndjson";
    if (const auto there = ReadFile(delivery.file); there.ok()) {
      if (*there == delivery.answer.content) return {};
      delivery.file = stem + "." + std::to_string(delivery.position.value()) + ".ndjson";
    } else if (there.status().code() != Code::kNotFound) {
      return there.status();
    }
    return WriteFileDurably(delivery.file, delivery.answer.content);
  }

  // A message that proves to be wrong is put aside: it must neither be believed nor stop those behind it.
  Status PutAside(const ReceiveOptions& options, const Received& record, const Status& why) const {
    const std::string path = home.Path("refused/" + std::to_string(record.cursor.value()) + ".cms");
    RETURN_IF_ERROR(MakeDirectories(home.Path("refused")));
    RETURN_IF_ERROR(WriteFileDurably(path, record.value));
    if (options.refused) options.refused(why, path);
    return {};
  }

  Status Take(const ReceiveOptions& options, const Received& record) {
    Delivery delivery;
    const Result<Position> position = PositionOf(record.key);
    if (!position.ok()) return PutAside(options, record, position.status());
    Result<AgencyAnswer> answer = OpenAnswer(home, record.value);
    if (!answer.ok()) return PutAside(options, record, answer.status());
    delivery.position = *position;
    delivery.answer = std::move(*answer);
    if (options.ledger != nullptr) {
      // A ledger that proves nothing says nothing of the message: what it is, remains to be seen.
      ASSIGN_OR_RETURN(const std::string leaf, ProvenLeaf(options, delivery.position));
      const Status entry = CheckEntry(delivery.answer, home, delivery.position, leaf);
      if (!entry.ok()) return PutAside(options, record, entry);
      delivery.proven = true;
    }
    if (!options.out.empty()) RETURN_IF_ERROR(WriteAnswer(options.out, delivery));
    if (options.received) RETURN_IF_ERROR(options.received(delivery));
    receipts.push_back(ReceiptFor(delivery));
    return {};
  }

  Status SendReceipt(const std::string& bytes) const {
    v1::AgencyReceipt receipt;
    if (!receipt.ParseFromString(bytes)) return Corrupt(home.Path("state") + " is damaged");
    v1::DeliveryReceived received;
    received.set_receipt(bytes);
    ASSIGN_OR_RETURN(*received.mutable_signature(), home.signing.TrySign(std::string(kAgencyReceiptTag) + bytes));
    received.set_key_id(home.key_id());
    return Unregistered(log.Append(topics.Reply(home.agency), {std::to_string(receipt.provision_position()),
                                                               received.SerializeAsString(), {}}));
  }
};

AgencyInbox::AgencyInbox(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AgencyInbox::~AgencyInbox() = default;

Result<std::unique_ptr<AgencyInbox>> AgencyInbox::Open(const AgencyHome& home, Log& log, const Clock& clock) {
  auto impl = std::make_unique<Impl>(home, log, clock);
  RETURN_IF_ERROR(impl->Open());
  return std::unique_ptr<AgencyInbox>(new AgencyInbox(std::move(impl)));
}

Result<std::size_t> AgencyInbox::Receive(const ReceiveOptions& options) {
  Impl& impl = *impl_;
  RETURN_IF_ERROR(impl.Follow());
  ASSIGN_OR_RETURN(const auto records, impl.reader->Poll(kBatch, options.wait));
  for (const Received& record : records) {
    Status taken = impl.Take(options, record);
    if (taken.ok()) {
      impl.next = record.next;
      continue;
    }
    // Those before it are received; the reader has gone past it.
    impl.reader.reset();
    RETURN_IF_ERROR(impl.Save());
    return taken;
  }
  impl.next = impl.reader->Next(0);
  if (records.empty()) return std::size_t{0};
  RETURN_IF_ERROR(impl.Save());
  if (options.ledger != nullptr && !options.ledger->checkpoint().empty()) {
    RETURN_IF_ERROR(WriteFileDurably(impl.home.Path("checkpoint"), options.ledger->checkpoint()));
  }
  return records.size();
}

bool AgencyInbox::AtEnd() const { return impl_->next >= impl_->end; }

Result<std::size_t> AgencyInbox::Reply() {
  Impl& impl = *impl_;
  std::size_t sent = 0;
  while (!impl.receipts.empty()) {
    const std::size_t batch = std::min(kReplyBatch, impl.receipts.size());
    for (std::size_t i = 0; i < batch; ++i) RETURN_IF_ERROR(impl.SendReceipt(impl.receipts[i]));
    impl.receipts.erase(impl.receipts.begin(), impl.receipts.begin() + static_cast<std::ptrdiff_t>(batch));
    RETURN_IF_ERROR(impl.Save());
    sent += batch;
  }
  return sent;
}

Status AwaitAnswers(const AgencyHome& home, Log& log, Cursor from, const std::string& reference, milliseconds wait,
                    const std::function<bool()>& stop, const std::function<void(const Delivery&)>& each) {
  ASSIGN_OR_RETURN(const auto reader, log.OpenReader());
  RETURN_IF_ERROR(Unregistered(reader->Assign(Topics{home.ledger.prefecture}.Provision(home.agency), from).status()));
  std::set<std::uint64_t> chunks;
  const auto deadline = steady_clock::now() + wait;
  while (!stop()) {
    ASSIGN_OR_RETURN(const auto records, reader->Poll(kBatch, milliseconds(200)));
    for (const Received& record : records) {
      Delivery delivery;
      ASSIGN_OR_RETURN(delivery.position, PositionOf(record.key));
      ASSIGN_OR_RETURN(delivery.answer, OpenAnswer(home, record.value));
      const AnswerHeader& header = delivery.answer.header;
      if (header.reference != reference || header.cause != 0) continue;
      chunks.insert(header.chunk);
      each(delivery);
      if (chunks.size() >= header.chunk_count) return {};
    }
    if (steady_clock::now() > deadline) break;
  }
  return Unavailable("no answer to " + reference + " yet; daicho agency receive takes it when it comes");
}

}  // namespace daicho
