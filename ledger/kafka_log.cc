#include "ledger/kafka_log.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "events/deleter.h"
#include "ledger/recent_appends.h"

namespace daicho {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using Settings = std::vector<std::pair<std::string, std::string>>;

using ConfPtr = std::unique_ptr<rd_kafka_conf_t, Deleter<rd_kafka_conf_destroy>>;
using KafkaPtr = std::unique_ptr<rd_kafka_t, Deleter<rd_kafka_destroy>>;
using TopicPtr = std::unique_ptr<rd_kafka_topic_t, Deleter<rd_kafka_topic_destroy>>;
using QueuePtr = std::unique_ptr<rd_kafka_queue_t, Deleter<rd_kafka_queue_destroy>>;
using EventPtr = std::unique_ptr<rd_kafka_event_t, Deleter<rd_kafka_event_destroy>>;
using ErrorPtr = std::unique_ptr<rd_kafka_error_t, Deleter<rd_kafka_error_destroy>>;
using ListPtr = std::unique_ptr<rd_kafka_topic_partition_list_t,
                                Deleter<rd_kafka_topic_partition_list_destroy>>;
using NewTopicPtr = std::unique_ptr<rd_kafka_NewTopic_t, Deleter<rd_kafka_NewTopic_destroy>>;
using AdminOptionsPtr =
    std::unique_ptr<rd_kafka_AdminOptions_t, Deleter<rd_kafka_AdminOptions_destroy>>;
using MetadataPtr = std::unique_ptr<const rd_kafka_metadata_t, Deleter<rd_kafka_metadata_destroy>>;

// A record in its batch, beside key, value and headers.
constexpr std::size_t kBatchBytesMax = kRecordBytesMax + (1u << 20);
constexpr int kQueueMessagesMax = 200'000;
// Of keys and values that wait in a reader; with what librdkafka keeps of each, records of the usual size take twice
// as much.
constexpr std::size_t kReadQueueBytesMax = 8u << 20;
constexpr std::size_t kPollRecordsMax = 10'000;
constexpr milliseconds kRetryPause{20};
constexpr milliseconds kWakeWait{100};
// The broker closes a transaction a moment after its commit has returned. Who begins the next one
// before that is turned away, and librdkafka asks again after 20 ms only.
constexpr milliseconds kCommitSettles{2};
// A topic that was so often in a row read from the reader's own process is not fetched, until nothing came for a while.
constexpr int kRecentInRow = 8;
constexpr milliseconds kFetchAgain{200};
constexpr std::int32_t kPartition = 0;

int Millis(milliseconds ms) {
  return static_cast<int>(std::clamp<long long>(ms.count(), 0, 1 << 30));
}

class Deadline {
 public:
  explicit Deadline(milliseconds wait)
      : at_(Clock::now() + std::min<milliseconds>(wait, std::chrono::hours(24))) {}
  bool passed() const { return Clock::now() >= at_; }
  int left_ms() const { return Millis(std::chrono::ceil<milliseconds>(at_ - Clock::now())); }

 private:
  Clock::time_point at_;
};

Code CodeOf(rd_kafka_resp_err_t error) {
  switch (error) {
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
      return Code::kNotFound;
    case RD_KAFKA_RESP_ERR__FENCED:
    case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
      return Code::kConflict;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
      return Code::kDenied;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
      return Code::kInvalid;
    // A checksum disagrees, or offsets that were there are gone.
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
      return Code::kCorrupt;
    default:
      return Code::kUnavailable;
  }
}

// One librdkafka instance, and what it said last went wrong.
class Client {
 public:
  // Settings of `tuned` give way to the options', those of `fixed` do not.
  static Result<std::unique_ptr<Client>> Open(rd_kafka_type_t type, const KafkaLogOptions& options,
                                              const Settings& tuned, const Settings& fixed);
  rd_kafka_t* get() const { return kafka_.get(); }
  // `detail` says more than the code's own name.
  Status Error(rd_kafka_resp_err_t code, std::string_view doing, const char* detail = nullptr);
  // True once since the last call in which no broker could be reached.
  bool TakeBrokersDown() { return std::exchange(Locked()->brokers_down, false); }

 private:
  struct State {
    std::string last_error;
    bool brokers_down = false;
  };
  struct LockedState {
    std::unique_lock<std::mutex> lock;
    State* state;
    State* operator->() const { return state; }
  };
  LockedState Locked() { return {std::unique_lock(mutex_), &state_}; }
  static void OnError(rd_kafka_t*, int code, const char* reason, void* self);
  static void OnDelivery(rd_kafka_t*, const rd_kafka_message_t* message, void*);

  std::string brokers_;
  std::mutex mutex_;
  State state_;
  KafkaPtr kafka_;  // last: its callbacks use all above
};

// What becomes of a message, which carries the address.
class Delivery {
 public:
  virtual ~Delivery() = default;
  virtual void Set(rd_kafka_resp_err_t error, Cursor cursor) = 0;
};

// Of a single append.
class AwaitedDelivery : public Delivery {
 public:
  void Set(rd_kafka_resp_err_t error, Cursor cursor) override {
    std::lock_guard lock(mutex_);
    error_ = error;
    cursor_ = cursor;
    done_.notify_one();
  }
  rd_kafka_resp_err_t Wait() {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return error_.has_value(); });
    return *error_;
  }
  Cursor cursor() const { return cursor_; }  // after Wait

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  std::optional<rd_kafka_resp_err_t> error_;
  Cursor cursor_;
};

// Of a record of a transaction, which succeeds or fails as a whole.
class PlacedDelivery : public Delivery {
 public:
  void Set(rd_kafka_resp_err_t error, Cursor cursor) override {
    error_ = error;
    cursor_ = cursor;
  }
  rd_kafka_resp_err_t error() const { return error_; }
  Cursor cursor() const { return cursor_; }

 private:
  rd_kafka_resp_err_t error_ = RD_KAFKA_RESP_ERR_NO_ERROR;
  Cursor cursor_ = RecentAppends::kUnknown;
};

Result<std::unique_ptr<Client>> Client::Open(rd_kafka_type_t type, const KafkaLogOptions& options,
                                             const Settings& tuned, const Settings& fixed) {
  auto client = std::make_unique<Client>();
  client->brokers_ = options.brokers;
  ConfPtr conf(rd_kafka_conf_new());
  std::array<char, 512> why{};
  const Settings common = {{"bootstrap.servers", options.brokers}, {"client.id", "daicho"}};
  for (const auto* settings : {&tuned, &options.config, &common, &fixed})
    for (const auto& [name, value] : *settings)
      if (rd_kafka_conf_set(conf.get(), name.c_str(), value.c_str(), why.data(), why.size()) !=
          RD_KAFKA_CONF_OK)
        return Invalid("the Kafka setting " + name + ": " + why.data());
  rd_kafka_conf_set_opaque(conf.get(), client.get());
  rd_kafka_conf_set_error_cb(conf.get(), OnError);
  rd_kafka_conf_set_log_cb(conf.get(), nullptr);
  if (type == RD_KAFKA_PRODUCER) rd_kafka_conf_set_dr_msg_cb(conf.get(), OnDelivery);
  client->kafka_.reset(rd_kafka_new(type, conf.get(), why.data(), why.size()));
  if (!client->kafka_) return Invalid("the Kafka settings: " + std::string(why.data()));
  static_cast<void>(conf.release());  // rd_kafka_new took it
  return client;
}

void Client::OnError(rd_kafka_t*, int code, const char* reason, void* self) {
  auto state = static_cast<Client*>(self)->Locked();
  if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
    state->brokers_down = true;
  else
    state->last_error = reason;
}

void Client::OnDelivery(rd_kafka_t*, const rd_kafka_message_t* message, void*) {
  const Cursor cursor = message->offset < 0 ? RecentAppends::kUnknown : Cursor(static_cast<std::uint64_t>(message->offset));
  static_cast<Delivery*>(message->_private)->Set(message->err, cursor);
}

Status Client::Error(rd_kafka_resp_err_t code, std::string_view doing, const char* detail) {
  rd_kafka_poll(kafka_.get(), 0);  // brings the errors
  std::string message = "kafka " + brokers_ + ": " + std::string(doing) + ": " +
                        (detail != nullptr ? detail : rd_kafka_err2str(code));
  if (auto state = Locked(); !state->last_error.empty()) message += " (" + state->last_error + ")";
  return {CodeOf(code), std::move(message)};
}

Settings ProducerTuning(const KafkaLogOptions& options, const char* linger_ms) {
  // Delivery reports of all messages, not of the failed alone: without them librdkafka notices only
  // every 10 ms that a transaction has been delivered.
  return {{"linger.ms", linger_ms},
          {"compression.codec", options.compression},
          {"batch.size", std::to_string(1 << 20)},
          {"batch.num.messages", "10000"},
          {"retry.backoff.ms", "20"},
          {"socket.nagle.disable", "true"}};
}

const Settings kProducerFixed = {
    {"enable.idempotence", "true"},
    {"acks", "all"},
    {"message.max.bytes", std::to_string(kBatchBytesMax)},
    {"queue.buffering.max.kbytes", std::to_string((kAppendBytesMax + kBatchBytesMax) >> 10)},
    {"queue.buffering.max.messages", std::to_string(kQueueMessagesMax)},
    // Reads no records but may be asked for bounds, which are of all that was written.
    {"isolation.level", "read_uncommitted"},
};

const Settings kConsumerTuning = {
    {"fetch.error.backoff.ms", "100"},
    {"queued.min.messages", "1000000"},
    {"queued.max.messages.kbytes", std::to_string(kReadQueueBytesMax >> 10)},
    {"socket.nagle.disable", "true"},
};

Settings ConsumerFixed(const char* isolation) {
  return {{"isolation.level", isolation},
          {"enable.auto.commit", "false"},
          {"enable.auto.offset.store", "false"},
          {"enable.partition.eof", "true"},
          {"check.crcs", "true"},
          {"auto.offset.reset", "error"},
          {"allow.auto.create.topics", "false"},
          // A broker sends a batch above the fetch sizes when it stands first.
          {"receive.message.max.bytes", std::to_string(2 * kBatchBytesMax)}};
}

// What librdkafka is told about one record, without copies: it reads key, value and headers in
// place, or in copies of its own.
class Arguments {
 public:
  std::span<const rd_kafka_vu_t> Of(rd_kafka_topic_t* topic, const Record& record, void* delivery) {
    list_.resize(5);
    list_[0].vtype = RD_KAFKA_VTYPE_RKT;
    list_[0].u.rkt = topic;
    list_[1].vtype = RD_KAFKA_VTYPE_PARTITION;
    list_[1].u.i32 = kPartition;
    list_[2].vtype = RD_KAFKA_VTYPE_VALUE;
    list_[2].u.mem = {const_cast<char*>(record.value.data()), record.value.size()};
    list_[3].vtype = RD_KAFKA_VTYPE_KEY;
    list_[3].u.mem = {const_cast<char*>(record.key.data()), record.key.size()};
    list_[4].vtype = RD_KAFKA_VTYPE_OPAQUE;
    list_[4].u.ptr = delivery;
    for (const auto& [name, text] : record.headers) {
      rd_kafka_vu_t& header = list_.emplace_back();
      header.vtype = RD_KAFKA_VTYPE_HEADER;
      header.u.header = {name, text.data(), static_cast<ssize_t>(text.size())};
    }
    return list_;
  }

 private:
  std::vector<rd_kafka_vu_t> list_;
};

// Queues one record; waits while the queue is full. The record must live until it is delivered.
Status Produce(Client& client, rd_kafka_topic_t* topic, const Record& record, Delivery* delivery,
               Arguments& arguments, const Deadline& deadline) {
  const auto list = arguments.Of(topic, record, delivery);
  for (;;) {
    const ErrorPtr error(rd_kafka_produceva(client.get(), list.data(), list.size()));
    if (!error) return {};
    const rd_kafka_resp_err_t code = rd_kafka_error_code(error.get());
    if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL || deadline.passed())
      return client.Error(code, "queueing a record");
    rd_kafka_poll(client.get(), 5);
  }
}

Settings operator+(Settings a, const Settings& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace

// What log, readers and writers share.
class KafkaLog::Core {
 public:
  explicit Core(const KafkaLogOptions& options) : options_(options) {}

  Status Open();
  const KafkaLogOptions& options() const { return options_; }
  Status CreateTopic(const std::string& topic);
  // Errors: kNotFound.
  Status CheckTopic(const std::string& topic);
  Status Append(const std::string& topic, const Record& record);
  Result<Bounds> GetBounds(const std::string& topic);
  RecentAppends& recent() { return recent_; }

 private:
  // The shared producer of single appends, with the thread that brings its delivery reports.
  struct Producer {
    explicit Producer(std::unique_ptr<Client> opened)
        : client(std::move(opened)),
          reports(rd_kafka_queue_get_main(client->get())),
          poller([this](std::stop_token stop) {
            while (!stop.stop_requested()) rd_kafka_poll(client->get(), 100);
          }) {}
    ~Producer() {
      poller.request_stop();
      rd_kafka_queue_yield(reports.get());  // out of its wait
    }

    std::unique_ptr<Client> client;
    QueuePtr reports;
    std::jthread poller;
  };

  Result<MetadataPtr> Metadata(const std::string* topic, const Deadline& deadline);
  Result<NewTopicPtr> DescribeTopic(const std::string& topic);
  Status WaitForTopic(const std::string& topic);
  Result<Cursor> AskOffset(const std::string& topic, std::int64_t which);
  Result<std::shared_ptr<Producer>> SharedProducer();

  const KafkaLogOptions options_;
  RecentAppends recent_;
  std::shared_ptr<Client> query_;
  std::mutex mutex_;  // guards all below
  std::set<std::string> known_topics_;
  // Shared: a fatal error replaces it while appends of other threads still wait for the old one.
  std::shared_ptr<Producer> producer_;
};

Status KafkaLog::Core::Open() {
  if (options_.appends_soon) {
    // Who appends once has no time for a client more.
    ASSIGN_OR_RETURN(const std::shared_ptr<Producer> producer, SharedProducer());
    query_ = {producer, producer->client.get()};
    return {};  // it connects while the caller prepares what to append
  }
  ASSIGN_OR_RETURN(query_, Client::Open(RD_KAFKA_CONSUMER, options_, kConsumerTuning,
                                        ConsumerFixed("read_uncommitted")));
  return Metadata(nullptr, Deadline(options_.timeout)).status();
}

// Of one topic, or of the brokers alone.
Result<MetadataPtr> KafkaLog::Core::Metadata(const std::string* topic, const Deadline& deadline) {
  TopicPtr handle;
  if (topic != nullptr) handle.reset(rd_kafka_topic_new(query_->get(), topic->c_str(), nullptr));
  const rd_kafka_metadata_t* metadata = nullptr;
  const auto error =
      rd_kafka_metadata(query_->get(), 0, handle.get(), &metadata, std::max(1, deadline.left_ms()));
  if (error) return query_->Error(error, "asking for metadata");
  return MetadataPtr(metadata);
}

Status KafkaLog::Core::CheckTopic(const std::string& topic) {
  RETURN_IF_ERROR(CheckLogName(topic));
  {
    std::lock_guard lock(mutex_);
    if (known_topics_.contains(topic)) return {};
  }
  ASSIGN_OR_RETURN(const MetadataPtr metadata, Metadata(&topic, Deadline(options_.timeout)));
  if (metadata->topic_cnt != 1) return NotFound("no topic '" + topic + "'");
  const auto& found = metadata->topics[0];
  if (CodeOf(found.err) == Code::kNotFound) return NotFound("no topic '" + topic + "'");
  if (found.err) return query_->Error(found.err, "looking for the topic " + topic);
  if (found.partition_cnt != 1)
    return Invalid("the topic '" + topic + "' has " + std::to_string(found.partition_cnt) +
                   " partitions and must have one");
  if (found.partitions[0].err)
    return query_->Error(found.partitions[0].err, "finding the leader of " + topic);
  std::lock_guard lock(mutex_);
  known_topics_.insert(topic);
  return {};
}

Result<NewTopicPtr> KafkaLog::Core::DescribeTopic(const std::string& topic) {
  ASSIGN_OR_RETURN(const MetadataPtr metadata, Metadata(nullptr, Deadline(options_.timeout)));
  const int factor = options_.replication_factor > 0 ? options_.replication_factor
                                                     : std::min(3, metadata->broker_cnt);
  std::array<char, 512> why{};
  NewTopicPtr made(rd_kafka_NewTopic_new(topic.c_str(), 1, factor, why.data(), why.size()));
  if (!made) return Invalid("the topic '" + topic + "': " + why.data());
  Settings config = {{"max.message.bytes", std::to_string(kBatchBytesMax)},
                     {"retention.ms", "-1"},
                     {"retention.bytes", "-1"},
                     {"cleanup.policy", "delete"}};
  // An append survives the loss of a broker, and goes on without it.
  if (factor >= 3) config.emplace_back("min.insync.replicas", "2");
  for (const auto& [name, value] : config)
    CHECK(!rd_kafka_NewTopic_set_config(made.get(), name.c_str(), value.c_str()));
  return made;
}

Status KafkaLog::Core::CreateTopic(const std::string& topic) {
  const Status found = CheckTopic(topic);
  if (found.code() != Code::kNotFound) return found;
  ASSIGN_OR_RETURN(const NewTopicPtr made, DescribeTopic(topic));
  const AdminOptionsPtr how(
      rd_kafka_AdminOptions_new(query_->get(), RD_KAFKA_ADMIN_OP_CREATETOPICS));
  const int timeout_ms = Millis(options_.timeout);
  rd_kafka_AdminOptions_set_request_timeout(how.get(), timeout_ms, nullptr, 0);
  rd_kafka_AdminOptions_set_operation_timeout(how.get(), timeout_ms, nullptr, 0);
  const QueuePtr queue(rd_kafka_queue_new(query_->get()));
  std::array<rd_kafka_NewTopic_t*, 1> topics = {made.get()};
  rd_kafka_CreateTopics(query_->get(), topics.data(), topics.size(), how.get(), queue.get());
  const EventPtr event(rd_kafka_queue_poll(queue.get(), timeout_ms + 1000));
  const std::string doing = "creating the topic " + topic;
  if (!event) return query_->Error(RD_KAFKA_RESP_ERR__TIMED_OUT, doing);
  if (const auto error = rd_kafka_event_error(event.get())) return query_->Error(error, doing);
  std::size_t count = 0;
  const auto* results =
      rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event.get()), &count);
  CHECK(count == 1);
  const auto error = rd_kafka_topic_result_error(results[0]);
  if (error && error != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) return query_->Error(error, doing);
  return WaitForTopic(topic);
}

// The controller answers before every broker knows of the topic.
Status KafkaLog::Core::WaitForTopic(const std::string& topic) {
  const Deadline deadline(options_.timeout);
  for (;;) {
    const Status found = CheckTopic(topic);
    const bool again = found.code() == Code::kNotFound || found.retriable();
    if (!again || deadline.passed()) return found;
    std::this_thread::sleep_for(kRetryPause);
  }
}

Result<Bounds> KafkaLog::Core::GetBounds(const std::string& topic) {
  RETURN_IF_ERROR(CheckTopic(topic));
  Bounds bounds;
  ASSIGN_OR_RETURN(bounds.first, AskOffset(topic, RD_KAFKA_OFFSET_BEGINNING));
  ASSIGN_OR_RETURN(bounds.end, AskOffset(topic, RD_KAFKA_OFFSET_END));
  return bounds;
}

// By "offsets for times", where the two ends are times of their own:
// rd_kafka_query_watermark_offsets does not heed its timeout while a broker hangs.
Result<Cursor> KafkaLog::Core::AskOffset(const std::string& topic, std::int64_t which) {
  const ListPtr list(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_t& asked =
      *rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), kPartition);
  asked.offset = which;
  auto error = rd_kafka_offsets_for_times(query_->get(), list.get(), Millis(options_.timeout));
  if (!error) error = list->elems[0].err;
  if (error) return query_->Error(error, "asking for the bounds of " + topic);
  return Cursor(static_cast<std::uint64_t>(list->elems[0].offset));
}

Result<std::shared_ptr<KafkaLog::Core::Producer>> KafkaLog::Core::SharedProducer() {
  std::lock_guard lock(mutex_);
  // librdkafka 2.0.2 may lose step with the broker for good; a new producer starts afresh.
  if (producer_ && rd_kafka_fatal_error(producer_->client->get(), nullptr, 0)) producer_.reset();
  if (producer_) return producer_;
  ASSIGN_OR_RETURN(
      auto client,
      Client::Open(RD_KAFKA_PRODUCER, options_, ProducerTuning(options_, "0"),
                   kProducerFixed +
                       Settings{{"message.timeout.ms",
                                 std::to_string(std::max(1, Millis(options_.append_timeout)))}}));
  producer_ = std::make_shared<Producer>(std::move(client));
  return producer_;
}

Status KafkaLog::Core::Append(const std::string& topic, const Record& record) {
  RETURN_IF_ERROR(CheckTopic(topic));
  ASSIGN_OR_RETURN(const std::shared_ptr<Producer> producer, SharedProducer());
  const TopicPtr handle(rd_kafka_topic_new(producer->client->get(), topic.c_str(), nullptr));
  AwaitedDelivery delivery;
  Arguments arguments;
  RETURN_IF_ERROR(Produce(*producer->client, handle.get(), record, &delivery, arguments,
                          Deadline(options_.append_timeout)));
  // Comes at the latest when message.timeout.ms has passed.
  if (const auto error = delivery.Wait())
    return producer->client->Error(error, "appending to " + topic);
  const RecentAppends::Appended appended{topic, record, delivery.cursor()};
  recent_.Add({&appended, 1}, "");
  return {};
}

class KafkaLog::Writer : public LogWriter {
 public:
  Writer(Core& core, std::string name) : core_(core), name_(std::move(name)) {}

  Status Open() {
    const Settings fixed = {{"transactional.id", name_}, {"transaction.timeout.ms", "60000"}};
    // Batches fill up; the commit sends what is left without lingering.
    ASSIGN_OR_RETURN(client_,
                     Client::Open(RD_KAFKA_PRODUCER, core_.options(),
                                  ProducerTuning(core_.options(), "20"), kProducerFixed + fixed));
    const Deadline deadline(core_.options().timeout);
    for (;;) {
      const ErrorPtr error(
          rd_kafka_init_transactions(client_->get(), std::max(1, deadline.left_ms())));
      if (!error) return {};
      if (!rd_kafka_error_is_retriable(error.get()) || deadline.passed())
        return client_->Error(rd_kafka_error_code(error.get()), "opening the writer " + name_,
                              rd_kafka_error_string(error.get()));
      std::this_thread::sleep_for(kRetryPause);
    }
  }

  Status Append(std::span<const TopicRecord> records) override {
    RETURN_IF_ERROR(CheckAppend(records));
    if (!final_.ok()) return final_;
    if (records.empty()) return {};
    for (const auto& [topic, record] : records) RETURN_IF_ERROR(FindTopic(topic).status());
    const Deadline deadline(core_.options().append_timeout);
    std::this_thread::sleep_until(committed_at_ + kCommitSettles);
    if (const ErrorPtr error(rd_kafka_begin_transaction(client_->get())); error)
      return Fail(error.get(), "beginning a transaction");
    Arguments arguments;
    deliveries_.assign(records.size(), {});
    auto delivery = deliveries_.begin();
    for (const auto& [topic, record] : records) {
      Status queued = Produce(*client_, topics_[topic].get(), record, &*delivery++, arguments, deadline);
      if (!queued.ok()) return Abort(std::move(queued));
    }
    const ErrorPtr error(
        rd_kafka_commit_transaction(client_->get(), std::max(1, deadline.left_ms())));
    if (error) return Fail(error.get(), "committing");
    committed_at_ = Clock::now();
    std::vector<RecentAppends::Appended> appended;
    appended.reserve(records.size());
    for (std::size_t i = 0; i < records.size(); ++i) {
      appended.push_back({records[i].topic, records[i].record, deliveries_[i].cursor()});
    }
    core_.recent().Add(appended, name_);
    return {};
  }

 private:
  Result<rd_kafka_topic_t*> FindTopic(const std::string& name) {
    if (const auto it = topics_.find(name); it != topics_.end()) return it->second.get();
    RETURN_IF_ERROR(core_.CheckTopic(name));
    TopicPtr& topic = topics_[name];
    topic.reset(rd_kafka_topic_new(client_->get(), name.c_str(), nullptr));
    return topic.get();
  }

  Status Fail(const rd_kafka_error_t* error, std::string_view doing) {
    Status why = client_->Error(rd_kafka_error_code(error), doing, rd_kafka_error_string(error));
    const auto failed = std::ranges::find_if(deliveries_, &PlacedDelivery::error);
    if (failed != deliveries_.end()) why = why.With(rd_kafka_err2str(failed->error()));
    if (rd_kafka_error_txn_requires_abort(error)) return Abort(std::move(why));
    return Discard(std::move(why));
  }

  Status Abort(Status why) {
    const ErrorPtr error(
        rd_kafka_abort_transaction(client_->get(), Millis(core_.options().timeout)));
    return Discard(std::move(why), error ? kOutcomeUnknown : "nothing was appended: ");
  }

  // librdkafka reads the records where they stand, so it must be gone before the caller gets them
  // back.
  Status Discard(Status why, std::string_view outcome = kOutcomeUnknown) {
    const bool fenced = why.code() == Code::kConflict ||
                        CodeOf(rd_kafka_fatal_error(client_->get(), nullptr, 0)) == Code::kConflict;
    final_ = fenced ? Conflict(why.message()) : Unavailable(std::string(outcome) + why.message());
    topics_.clear();
    client_.reset();
    return final_;
  }

  static constexpr std::string_view kOutcomeUnknown = "outcome unknown: ";

  Core& core_;
  const std::string name_;
  std::vector<PlacedDelivery> deliveries_;  // of the records of an append; before client_, which holds their addresses
  std::unique_ptr<Client> client_;
  std::map<std::string, TopicPtr, std::less<>> topics_;  // after client_: destroyed before it
  Clock::time_point committed_at_{};
  Status final_;  // why there is no client any more
};

namespace {

// librdkafka 2.0 stops fetching when its queue is full, and looks at it again when something else wakes the broker's
// thread, or after up to a second: longer than it takes to read the queue. A request to the broker wakes it. On a
// thread of its own, since the answer may come late.
class Waker {
 public:
  explicit Waker(Client& client) : client_(client), thread_([this](std::stop_token stop) { Run(stop); }) {}
  // Those that lead the topics.
  void Wake(std::vector<std::string> topics) {
    const std::lock_guard lock(mutex_);
    topics_ = std::move(topics);
    changed_.notify_one();
  }

 private:
  void Run(std::stop_token stop) {
    std::unique_lock lock(mutex_);
    while (changed_.wait(lock, stop, [&] { return !topics_.empty(); })) {
      const auto topics = std::exchange(topics_, {});
      lock.unlock();
      for (const std::string& topic : topics) {
        const ListPtr asked(rd_kafka_topic_partition_list_new(1));
        rd_kafka_topic_partition_list_add(asked.get(), topic.c_str(), kPartition)->offset = RD_KAFKA_OFFSET_END;
        rd_kafka_offsets_for_times(client_.get(), asked.get(), Millis(kWakeWait));
      }
      lock.lock();
    }
  }

  Client& client_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<std::string> topics_;  // guarded by mutex_
  std::jthread thread_;              // last: it uses all above
};

}  // namespace

// Uses the consumer without a group: each source starts for itself and disturbs no other, and no
// coordinator takes part.
class KafkaLog::Reader : public LogReader {
 public:
  explicit Reader(Core& core) : core_(core) {}
  ~Reader() override {
    for (const auto& source : sources_)
      if (source.fetching) rd_kafka_consume_stop(source.topic.get(), kPartition);
  }

  Status Open(milliseconds end_wait) {
    const Settings tuned = kConsumerTuning + Settings{{"fetch.wait.max.ms", std::to_string(Millis(end_wait))}};
    ASSIGN_OR_RETURN(client_, Client::Open(RD_KAFKA_CONSUMER, core_.options(), tuned,
                                           ConsumerFixed("read_committed")));
    queue_.reset(rd_kafka_queue_new(client_->get()));
    return {};
  }

  Result<std::uint32_t> Assign(const std::string& topic, Cursor from) override {
    ASSIGN_OR_RETURN(const Bounds bounds, core_.GetBounds(topic));
    if (from > bounds.end) return Invalid("reading '" + topic + "' from past its end");
    for (const auto& source : sources_)
      if (source.name == topic) return Invalid("'" + topic + "' is being read already");
    const Cursor start = std::max(from, bounds.first);
    TopicPtr handle(rd_kafka_topic_new(client_->get(), topic.c_str(), nullptr));
    auto wake = [queue = queue_.get()] { rd_kafka_queue_yield(queue); };
    auto recent = std::make_unique<RecentAppends::Follower>(core_.recent(), topic, std::move(wake));
    Source source{topic, std::move(handle), start, std::move(recent)};
    RETURN_IF_ERROR(Fetch(source));
    sources_.push_back(std::move(source));
    return static_cast<std::uint32_t>(sources_.size() - 1);
  }

  Result<std::vector<Received>> Poll(std::size_t records_max, milliseconds wait) override {
    ASSIGN_OR_RETURN(const ReceivedInPlace polled, PollInPlace(records_max, wait));
    std::vector<Received> out;
    out.reserve(polled.records.size());
    for (const auto& r : polled.records) {
      out.push_back({r.source, r.cursor, r.next, std::string(r.key), std::string(r.value)});
    }
    return out;
  }

  Result<ReceivedInPlace> PollInPlace(std::size_t records_max, milliseconds wait) override {
    ReceivedInPlace out;
    const auto storage = std::make_shared<Storage>();
    out.storage = storage;
    const std::size_t most = std::clamp<std::size_t>(records_max, 1, kPollRecordsMax);
    const Deadline deadline(wait);
    bool moved = false;  // a source went past a marker
    while (failed_.ok() && out.records.empty() && !moved) {
      RETURN_IF_ERROR(CheckBrokers());
      // Half, so that a busy topic of this process does not keep the others waiting.
      TakeRecent((most + 1) / 2, &out.records, storage->recent);
      RETURN_IF_ERROR(FetchAgain());
      const int wait_ms = out.records.empty() ? std::min(deadline.left_ms(), Millis(kFetchAgain)) : 0;
      if (out.records.size() < most) moved = Drain(most - out.records.size(), wait_ms, &out.records, storage->messages);
      KeepFetching();
      if (deadline.passed()) break;
    }
    // What came before a failure is returned before it.
    if (!failed_.ok() && out.records.empty()) return failed_;
    return out;
  }

  Cursor Next(std::uint32_t source) const override {
    CHECK(source < sources_.size());
    return sources_[source].next;
  }

 private:
  struct Source {
    std::string name;
    TopicPtr topic;
    Cursor next;
    std::unique_ptr<RecentAppends::Follower> recent;
    bool fetching = false;
    int recent_in_row = 0;  // times that it was read from there
    Clock::time_point recent_at{};
    std::optional<std::int32_t> broker = {};  // that records were taken from since the last wake
  };

  // What was taken from a queue; librdkafka keeps its bytes until this is gone.
  class Messages {
   public:
    Messages() = default;
    ~Messages() {
      for (rd_kafka_message_t* message : list_) rd_kafka_message_destroy(message);
    }
    Messages(const Messages&) = delete;
    // Waits for the first only, as librdkafka would wait for all it may return. What is there until the next call.
    std::span<rd_kafka_message_t* const> Take(rd_kafka_queue_t* queue, std::size_t most, int wait_ms) {
      const std::size_t before = list_.size();
      rd_kafka_message_t* const first = rd_kafka_consume_queue(queue, wait_ms);
      if (first == nullptr) return {};
      list_.resize(before + most);
      list_[before] = first;
      std::size_t count = 1;
      if (most > 1) {
        const auto more = rd_kafka_consume_batch_queue(queue, 0, list_.data() + before + 1, most - 1);
        count += static_cast<std::size_t>(std::max<ssize_t>(more, 0));
      }
      list_.resize(before + count);
      return std::span(list_).subspan(before);
    }

   private:
    std::vector<rd_kafka_message_t*> list_;
  };

  using Recent = std::vector<std::shared_ptr<const RecentAppends::Kept>>;
  // Of what a poll returns.
  struct Storage {
    Recent recent;
    Messages messages;
  };

  // After a lost connection: is it back? If not, say so; a later Poll finds out again.
  Status CheckBrokers() {
    rd_kafka_poll(client_->get(), 0);
    if (sources_.empty() || !(down_ = client_->TakeBrokersDown() || down_)) return {};
    RETURN_IF_ERROR(core_.GetBounds(sources_.front().name).status());
    down_ = false;
    return {};
  }

  // When half of what was queued is read, the queue may have been full.
  void KeepFetching() {
    const std::size_t queued = rd_kafka_queue_length(queue_.get());
    queued_most_ = std::max(queued_most_, queued);
    if (taken_bytes_ < kReadQueueBytesMax / 2 || queued > queued_most_ / 2) return;
    std::set<std::int32_t> brokers;
    std::vector<std::string> topics;
    for (Source& source : sources_) {
      const auto broker = std::exchange(source.broker, std::nullopt);
      if (broker && brokers.insert(*broker).second) topics.push_back(source.name);
    }
    if (waker_ == nullptr) waker_ = std::make_unique<Waker>(*client_);
    waker_->Wake(std::move(topics));
    taken_bytes_ = 0;
    queued_most_ = queued;
  }

  Status Fetch(Source& source) {
    const auto start = static_cast<std::int64_t>(source.next.value());
    if (rd_kafka_consume_start_queue(source.topic.get(), kPartition, start, queue_.get()) != 0)
      return client_->Error(rd_kafka_last_error(), "reading " + source.name);
    source.fetching = true;
    source.recent_in_row = 0;
    return {};
  }

  // A topic that this process alone appends to, all the time, is not fetched meanwhile.
  Status FetchAgain() {
    const auto now = Clock::now();
    for (Source& source : sources_) {
      if (source.fetching || (now - source.recent_at < kFetchAgain && !source.recent->Lacks(source.next))) continue;
      RETURN_IF_ERROR(Fetch(source));
    }
    return {};
  }

  // Takes what this process appended itself. Records that librdkafka brings of it later are passed over.
  void TakeRecent(std::size_t most, std::vector<ReceivedInPlace::One>* out, Recent& storage) {
    for (std::size_t i = 0; i < sources_.size() && out->size() < most; ++i) {
      Source& source = sources_[i];
      Recent taken = source.recent->From(source.next, most - out->size());
      if (taken.empty()) continue;
      for (auto& kept : taken) {
        source.next = kept->cursor.Next();
        out->push_back({static_cast<std::uint32_t>(i), kept->cursor, source.next, kept->key, kept->value});
        storage.push_back(std::move(kept));
      }
      const auto before = std::exchange(source.recent_at, Clock::now());
      source.recent_in_row = source.recent_at - before < kFetchAgain ? source.recent_in_row + 1 : 0;
      if (source.fetching && source.recent_in_row >= kRecentInRow) {
        rd_kafka_consume_stop(source.topic.get(), kPartition);
        source.fetching = false;
      }
    }
  }

  // Takes what is queued. True if a source moved without a record.
  bool Drain(std::size_t most, int wait_ms, std::vector<ReceivedInPlace::One>* out, Messages& messages) {
    bool moved = false;
    const auto taken = messages.Take(queue_.get(), most, wait_ms);
    out->reserve(out->size() + taken.size());
    for (const rd_kafka_message_t* message : taken) {
      if (failed_.ok()) moved |= Take(*message, out);
    }
    return moved;
  }

  bool Take(const rd_kafka_message_t& message, std::vector<ReceivedInPlace::One>* out) {
    const auto it = std::ranges::find_if(
        sources_, [&](const Source& s) { return s.topic.get() == message.rkt; });
    if (it == sources_.end()) return false;
    const Cursor offset(static_cast<std::uint64_t>(std::max<std::int64_t>(message.offset, 0)));
    if (message.err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
      if (offset <= it->next) return false;
      it->next = offset;
      return true;
    }
    if (message.err) {
      Fail(message, *it);
      return false;
    }
    if (offset < it->next)
      return false;  // librdkafka 2.0.2 may repeat records after a retried fetch
    it->next = offset.Next();
    it->recent_in_row = 0;
    if (!it->broker) it->broker = rd_kafka_message_broker_id(&message);
    taken_bytes_ += message.len + message.key_len;
    out->push_back({static_cast<std::uint32_t>(it - sources_.begin()), offset, it->next,
                    std::string_view(static_cast<const char*>(message.key), message.key_len),
                    std::string_view(static_cast<const char*>(message.payload), message.len)});
    return false;
  }

  // librdkafka goes on by itself after what may pass; after damage it would skip.
  void Fail(const rd_kafka_message_t& message, const Source& source) {
    if (CodeOf(message.err) == Code::kUnavailable) return;
    failed_ = client_->Error(
        message.err, "reading " + source.name + " at " + std::to_string(source.next.value()),
        rd_kafka_message_errstr(&message));
  }

  Core& core_;
  std::unique_ptr<Client> client_;
  QueuePtr queue_;
  std::vector<Source> sources_;
  std::size_t taken_bytes_ = 0, queued_most_ = 0;  // since the last wake
  std::unique_ptr<Waker> waker_;                   // after client_; once there was much to read
  bool down_ = false;
  Status failed_;
};

KafkaLog::KafkaLog(std::unique_ptr<Core> core) : core_(std::move(core)) {}
KafkaLog::~KafkaLog() = default;

Result<std::unique_ptr<KafkaLog>> KafkaLog::Open(const KafkaLogOptions& options) {
  auto core = std::make_unique<Core>(options);
  RETURN_IF_ERROR(core->Open());
  return std::unique_ptr<KafkaLog>(new KafkaLog(std::move(core)));
}

Status KafkaLog::CreateTopic(const std::string& topic) { return core_->CreateTopic(topic); }

Status KafkaLog::Append(const std::string& topic, const Record& record) {
  RETURN_IF_ERROR(CheckRecord(record));
  return core_->Append(topic, record);
}

Result<std::unique_ptr<LogWriter>> KafkaLog::OpenWriter(const std::string& name) {
  RETURN_IF_ERROR(CheckLogName(name));
  auto writer = std::make_unique<Writer>(*core_, name);
  RETURN_IF_ERROR(writer->Open());
  return std::unique_ptr<LogWriter>(std::move(writer));
}

Result<std::unique_ptr<LogReader>> KafkaLog::OpenReader() {
  auto reader = std::make_unique<Reader>(*core_);
  RETURN_IF_ERROR(reader->Open(core_->options().end_wait));
  return std::unique_ptr<LogReader>(std::move(reader));
}

Result<Bounds> KafkaLog::GetBounds(const std::string& topic) { return core_->GetBounds(topic); }

// Walks back from the end until there is a record: markers and aborted records may stand last.
Result<Received> KafkaLog::ReadLast(const std::string& topic) {
  ASSIGN_OR_RETURN(const Bounds bounds, GetBounds(topic));
  for (std::uint64_t distance = 4;; distance *= 4) {
    const std::uint64_t end = bounds.end.value();
    const Cursor from = std::max(bounds.first, Cursor(end > distance ? end - distance : 0));
    Reader reader(*core_);
    RETURN_IF_ERROR(reader.Open(kReadToEndWait));
    ASSIGN_OR_RETURN(const std::uint32_t source, reader.Assign(topic, from));
    std::optional<Received> last;
    const Deadline deadline(core_->options().timeout);
    while (reader.Next(source) < bounds.end) {
      if (deadline.passed()) return Unavailable("a transaction on '" + topic + "' stays open");
      ASSIGN_OR_RETURN(auto records, reader.Poll(kPollRecordsMax, milliseconds(100)));
      if (!records.empty()) last = std::move(records.back());
    }
    if (last) return std::move(*last);
    if (from == bounds.first) return NotFound("the topic '" + topic + "' holds no record");
  }
}

}  // namespace daicho
