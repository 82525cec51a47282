#include "ledger/entry_stream.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace daicho {

Result<Position> LedgerEnd(Log& log, const std::string& topic) {
  const auto last = log.ReadLast(topic);
  if (last.status().code() == Code::kNotFound) return Position(0);
  RETURN_IF_ERROR(last.status());
  EntryView entry;
  RETURN_IF_ERROR(ParseEntry(last->value, entry));
  ASSIGN_OR_RETURN(const v1::EntryLeaf leaf, ParseLeaf(entry.leaf));
  return Position(leaf.position() + 1);
}
namespace {

constexpr std::size_t kBatchRecords = 1'000;
constexpr std::size_t kBatchesMax = 8;
constexpr std::size_t kQueuedBytesMax = 16u << 20;
constexpr std::chrono::milliseconds kPollWait{100};
constexpr std::string_view kNobody("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);

}  // namespace

struct EntryStream::Impl {
  enum class State { kRead, kPreparing, kReady };
  struct Queued {
    Batch batch;
    State state = State::kRead;
    std::size_t bytes = 0;
  };

  EntryStreamOptions options;
  std::unique_ptr<LogReader> reader;

  std::mutex mutex;
  std::condition_variable changed;
  // All guarded by mutex; a batch's content belongs to who reads, prepares or consumes it.
  std::deque<std::unique_ptr<Queued>> queue;
  std::vector<std::unique_ptr<Queued>> unused;
  std::size_t bytes = 0;
  bool read_all = false, stopping = false;
  Status failure;

  std::unique_ptr<Queued> current;  // the caller's
  std::vector<std::jthread> threads;

  ~Impl() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
      changed.notify_all();
    }
    threads.clear();
  }

  void Start() {
    unsigned workers = options.workers;
    if (workers == 0) workers = std::max(2u, std::thread::hardware_concurrency()) - 1;
    threads.emplace_back([this] { Read(); });
    for (unsigned i = 0; i < workers; ++i) threads.emplace_back([this] { Work(); });
  }

  void Read() {
    while (reader->Next(0) < options.end) {
      auto polled = reader->PollInPlace(kBatchRecords, kPollWait);
      std::unique_lock lock(mutex);
      if (!polled.ok()) failure = polled.status();
      if (!polled.ok() || stopping) break;
      std::erase_if(polled->records, [&](const auto& r) { return r.cursor >= options.end; });
      if (!polled->records.empty() && !Push(lock, std::move(*polled))) break;
    }
    const std::lock_guard lock(mutex);
    read_all = true;
    changed.notify_all();
  }

  bool Push(std::unique_lock<std::mutex>& lock, ReceivedInPlace polled) {
    changed.wait(lock, [&] {
      return stopping || (queue.size() < kBatchesMax && (bytes < kQueuedBytesMax || queue.empty()));
    });
    if (stopping) return false;
    std::unique_ptr<Queued> next;
    if (unused.empty()) {
      next = std::make_unique<Queued>();
    } else {
      next = std::move(unused.back());
      unused.pop_back();
    }
    next->state = State::kRead;
    next->bytes = 0;
    for (const auto& record : polled.records) next->bytes += record.value.size() + record.key.size();
    next->batch.records = std::move(polled.records);
    next->batch.storage = std::move(polled.storage);
    bytes += next->bytes;
    queue.push_back(std::move(next));
    changed.notify_all();
    return true;
  }

  static void Prepare(Batch& batch) {
    if (batch.prepared.size() < batch.records.size()) batch.prepared.resize(batch.records.size());
    std::vector<std::string_view> values;
    values.reserve(batch.records.size());
    for (const auto& record : batch.records) values.push_back(record.value);
    PrepareEntries(values, std::span(batch.prepared).first(values.size()));
    for (std::size_t i = 0; i < values.size(); ++i) {
      PreparedEntry& prepared = batch.prepared[i];
      const std::string_view subject =
          prepared.readable && !prepared.leaf.keys().empty() ? prepared.leaf.keys(0).subject() : kNobody;
      prepared.keyed = batch.records[i].key == subject;
    }
  }

  // The oldest batch that nobody prepares yet.
  Queued* Take() {
    const auto found =
        std::find_if(queue.begin(), queue.end(), [](const auto& queued) { return queued->state == State::kRead; });
    if (found == queue.end()) return nullptr;
    (*found)->state = State::kPreparing;
    return found->get();
  }

  void Work() {
    std::unique_lock lock(mutex);
    for (;;) {
      Queued* taken = nullptr;
      changed.wait(lock, [&] { return stopping || (taken = Take()) != nullptr || read_all; });
      if (stopping || taken == nullptr) return;
      lock.unlock();
      Prepare(taken->batch);
      lock.lock();
      taken->state = State::kReady;
      changed.notify_all();
    }
  }

  Result<const Batch*> Next() {
    if (current != nullptr) current->batch.storage.reset();
    std::unique_lock lock(mutex);
    if (current != nullptr) {
      bytes -= current->bytes;
      unused.push_back(std::move(current));
      changed.notify_all();
    }
    changed.wait(lock, [&] { return !queue.empty() || read_all; });
    if (queue.empty()) {
      if (!failure.ok()) return failure;
      return static_cast<const Batch*>(nullptr);
    }
    if (queue.front()->state == State::kRead) {
      queue.front()->state = State::kPreparing;
      Queued* mine = queue.front().get();
      lock.unlock();
      Prepare(mine->batch);
      lock.lock();
      mine->state = State::kReady;
    }
    changed.wait(lock, [&] { return queue.front()->state == State::kReady; });
    current = std::move(queue.front());
    queue.pop_front();
    return const_cast<const Batch*>(&current->batch);
  }
};

EntryStream::EntryStream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
EntryStream::~EntryStream() = default;

Result<std::unique_ptr<EntryStream>> EntryStream::Open(EntryStreamOptions options) {
  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  ASSIGN_OR_RETURN(impl->reader, impl->options.log->OpenReader());
  RETURN_IF_ERROR(impl->reader->Assign(impl->options.topic, impl->options.from).status());
  impl->Start();
  return std::unique_ptr<EntryStream>(new EntryStream(std::move(impl)));
}

Result<const EntryStream::Batch*> EntryStream::Next() { return impl_->Next(); }

}  // namespace daicho
