// raw_txn: what librdkafka alone does with a ledger's records, as the ceiling for KafkaLog.
//
//   raw_txn generate FILE EVENTS          stand-ins for ledger entries, the same for everyone
//   raw_txn create TOPIC [PARTITIONS [NAME=VALUE…]]
//   raw_txn write FILE TOPIC [NAME=VALUE…]     transactions of --per events, one after the other
//   raw_txn read TOPIC EVENTS [NAME=VALUE…]    read_committed, from the beginning
//
// NAME=VALUE are librdkafka's settings. A dump file holds records [u16 keylen][key][u32
// len][value], big-endian. Each number is printed as one RESULT line.
//
// Comparable with Daichō's admission: the same records, headers, transaction size, codec and
// broker. Not included here: checking, sealing, hashing and signing, and the wait for what arrives.
#include <fcntl.h>
#include <fmt/format.h>
#include <librdkafka/rdkafka.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

constexpr int kTimeoutMs = 60'000;
constexpr int kQueueMessagesMax = 200'000;
constexpr std::size_t kReadBatchMax = 10'000;

[[noreturn]] void Fail(std::string_view doing, std::string_view why) {
  fmt::print(stderr, "raw_txn: {}: {}\n", doing, why);
  std::exit(1);
}

void Check(std::string_view doing, rd_kafka_resp_err_t error) {
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) Fail(doing, rd_kafka_err2str(error));
}

void Check(std::string_view doing, rd_kafka_error_t* error) {
  if (error != nullptr) Fail(doing, rd_kafka_error_string(error));
}

// Wall clock and processor time since it was made.
class Stopwatch {
 public:
  void Print(std::string_view what, std::uint64_t events, std::uint64_t bytes) const {
    const double seconds = std::chrono::duration<double>(Steady::now() - started_).count();
    const auto count = static_cast<double>(events);
    fmt::print(
        "RESULT {} events={} seconds={:.2f} rate={:.0f} megabytes_per_second={:.1f} "
        "client_cpu_us_per_event={:.2f}\n",
        what, events, seconds, count / seconds, static_cast<double>(bytes) / seconds / 1e6,
        (Processor() - processor_) / count * 1e6);
  }

 private:
  using Steady = std::chrono::steady_clock;
  static double Processor() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
  }
  Steady::time_point started_ = Steady::now();
  double processor_ = Processor();
};

// Records of a dump file, in order.
class Dump {
 public:
  struct Record {
    std::string_view key;
    std::string_view value;
  };

  explicit Dump(const std::string& path) {
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status{};
    if (file < 0 || fstat(file, &status) != 0 || status.st_size == 0)
      Fail("open " + path, "no dump");
    const auto size = static_cast<std::size_t>(status.st_size);
    void* const bytes = mmap(nullptr, size, PROT_READ, MAP_SHARED | MAP_POPULATE, file, 0);
    if (bytes == MAP_FAILED) Fail("open " + path, "cannot map it");
    close(file);
    left_ = {static_cast<const char*>(bytes), size};
  }
  bool Next(Record& record) {
    if (left_.empty()) return false;
    record.key = Take(Number(2));
    record.value = Take(Number(4));
    return true;
  }

 private:
  std::string_view Take(std::size_t size) {
    if (size > left_.size()) Fail("read the dump", "it ends within a record");
    const std::string_view taken = left_.substr(0, size);
    left_.remove_prefix(size);
    return taken;
  }
  std::size_t Number(std::size_t width) {
    std::size_t number = 0;
    for (const char byte : Take(width)) number = number << 8 | static_cast<unsigned char>(byte);
    return number;
  }

  std::string_view left_;
};

// 16-byte keys over half as many subjects as events; values of 500 to 600 bytes, of which the last
// 400 are noise, as ciphertext is: a codec can do no more with them than with sealed entries.
void Generate(const std::string& path, std::uint64_t events) {
  std::FILE* const file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) Fail("write " + path, "cannot open it");
  std::mt19937_64 random(10);
  const auto number = [&](std::uint64_t value, int width) {
    for (int shift = 8 * (width - 1); shift >= 0; shift -= 8) {
      std::fputc(static_cast<int>(value >> shift & 0xff), file);
    }
  };
  for (std::uint64_t i = 0; i < events; ++i) {
    std::mt19937_64 subject(i < events / 2 ? i : random() % (events / 2 + 1));
    number(16, 2);
    number(subject(), 8);
    number(subject(), 8);
    const std::uint64_t clear = 100 + random() % 101;
    std::string text = fmt::format("position={} issuer=102016 kind=update ", i);
    text.resize(clear, '.');
    number(clear + 400, 4);
    std::fwrite(text.data(), 1, text.size(), file);
    for (int word = 0; word < 50; ++word) number(random(), 8);
  }
  if (std::fclose(file) != 0) Fail("write " + path, "disk full?");
}

void OnDelivery(rd_kafka_t*, const rd_kafka_message_t* message, void*) {
  Check("deliver", message->err);
}

rd_kafka_t* Open(rd_kafka_type_t type, const Settings& settings) {
  rd_kafka_conf_t* const conf = rd_kafka_conf_new();
  std::array<char, 512> why{};
  for (const auto& [name, value] : settings) {
    if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), why.data(), why.size()) !=
        RD_KAFKA_CONF_OK) {
      Fail("configure", why.data());
    }
  }
  if (type == RD_KAFKA_PRODUCER) rd_kafka_conf_set_dr_msg_cb(conf, OnDelivery);
  rd_kafka_t* const kafka = rd_kafka_new(type, conf, why.data(), why.size());
  if (kafka == nullptr) Fail("open", why.data());
  return kafka;
}

void Create(const Settings& settings, const std::string& topic, int partitions) {
  rd_kafka_t* const kafka = Open(RD_KAFKA_PRODUCER, settings);
  rd_kafka_queue_t* const queue = rd_kafka_queue_new(kafka);
  std::array<char, 512> why{};
  rd_kafka_NewTopic_t* fresh =
      rd_kafka_NewTopic_new(topic.c_str(), partitions, 1, why.data(), why.size());
  if (fresh == nullptr) Fail("create " + topic, why.data());
  rd_kafka_CreateTopics(kafka, &fresh, 1, nullptr, queue);
  rd_kafka_event_t* const event = rd_kafka_queue_poll(queue, kTimeoutMs);
  Check("create " + topic,
        event == nullptr ? RD_KAFKA_RESP_ERR__TIMED_OUT : rd_kafka_event_error(event));
  std::size_t count = 0;
  const auto* const results =
      rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
  for (std::size_t i = 0; i < count; ++i) {
    Check("create " + topic, rd_kafka_topic_result_error(results[i]));
  }
  rd_kafka_event_destroy(event);
  rd_kafka_NewTopic_destroy(fresh);
  rd_kafka_queue_destroy(queue);
  rd_kafka_destroy(kafka);
}

// What Daichō puts on every ledger record.
rd_kafka_headers_t* CloudEventHeaders() {
  rd_kafka_headers_t* const headers = rd_kafka_headers_new(6);
  for (const auto& [name, value] : Settings{{"ce_specversion", "1.0"},
                                            {"ce_id", "daicho/10/ledger/1234567"},
                                            {"ce_source", "daicho:10:issuer:102016"},
                                            {"ce_type", "jp.daicho.update.v1"},
                                            {"ce_time", "2026-11-20T09:12:03.000000Z"},
                                            {"content-type", "application/protobuf"}}) {
    Check("headers", rd_kafka_header_add(headers, name.c_str(), -1, value.c_str(), -1));
  }
  return headers;
}

void Produce(rd_kafka_t* kafka, const std::string& topic, const Dump::Record& record,
             const rd_kafka_headers_t* constant) {
  while (true) {
    rd_kafka_headers_t* const headers = rd_kafka_headers_copy(constant);
    const rd_kafka_resp_err_t error = rd_kafka_producev(
        kafka, RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_PARTITION(RD_KAFKA_PARTITION_UA),
        RD_KAFKA_V_KEY(record.key.data(), record.key.size()),
        RD_KAFKA_V_VALUE(const_cast<char*>(record.value.data()), record.value.size()),
        RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return;
    rd_kafka_headers_destroy(headers);
    if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL) Check("produce", error);
    rd_kafka_poll(kafka, 5);
  }
}

void Write(const Settings& settings, const std::string& path, const std::string& topic,
           std::uint64_t per) {
  Dump dump(path);
  rd_kafka_t* const kafka = Open(RD_KAFKA_PRODUCER, settings);
  Check("init transactions", rd_kafka_init_transactions(kafka, kTimeoutMs));
  rd_kafka_headers_t* const headers = CloudEventHeaders();
  std::uint64_t events = 0;
  std::uint64_t bytes = 0;
  const Stopwatch watch;
  for (Dump::Record record; dump.Next(record); ++events) {
    if (events % per == 0) {
      if (events > 0) Check("commit", rd_kafka_commit_transaction(kafka, kTimeoutMs));
      Check("begin", rd_kafka_begin_transaction(kafka));
    }
    Produce(kafka, topic, record, headers);
    bytes += record.key.size() + record.value.size();
    if (events % 1000 == 0) rd_kafka_poll(kafka, 0);
  }
  Check("commit", rd_kafka_commit_transaction(kafka, kTimeoutMs));
  watch.Print("raw-txn", events, bytes);
  rd_kafka_headers_destroy(headers);
  rd_kafka_destroy(kafka);
}

rd_kafka_topic_partition_list_t* AllPartitions(rd_kafka_t* kafka, const std::string& topic) {
  rd_kafka_topic_t* const handle = rd_kafka_topic_new(kafka, topic.c_str(), nullptr);
  const rd_kafka_metadata_t* metadata = nullptr;
  Check("metadata", rd_kafka_metadata(kafka, 0, handle, &metadata, kTimeoutMs));
  const rd_kafka_metadata_topic& found = metadata->topics[0];
  Check("metadata of " + topic, found.err);
  rd_kafka_topic_partition_list_t* const list =
      rd_kafka_topic_partition_list_new(found.partition_cnt);
  for (int i = 0; i < found.partition_cnt; ++i) {
    rd_kafka_topic_partition_list_add(list, topic.c_str(), found.partitions[i].id)->offset =
        RD_KAFKA_OFFSET_BEGINNING;
  }
  rd_kafka_metadata_destroy(metadata);
  rd_kafka_topic_destroy(handle);
  return list;
}

// The clock starts at the first record: connecting is not reading.
void ReadBack(const Settings& settings, const std::string& topic, std::uint64_t wanted) {
  rd_kafka_t* const kafka = Open(RD_KAFKA_CONSUMER, settings);
  rd_kafka_poll_set_consumer(kafka);
  rd_kafka_topic_partition_list_t* const list = AllPartitions(kafka, topic);
  Check("assign", rd_kafka_assign(kafka, list));
  rd_kafka_queue_t* const queue = rd_kafka_queue_get_consumer(kafka);
  std::vector<rd_kafka_message_t*> batch(kReadBatchMax);
  std::uint64_t events = 0;
  std::uint64_t bytes = 0;
  std::unique_ptr<Stopwatch> watch;
  while (events < wanted) {
    // It waits until it has as many as asked for: never for more than there are.
    const std::size_t most = watch ? std::min<std::size_t>(batch.size(), wanted - events) : 1;
    const auto count = rd_kafka_consume_batch_queue(queue, kTimeoutMs, batch.data(), most);
    if (count <= 0) Fail("read", fmt::format("only {} of {} events", events, wanted));
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      Check("read", batch[i]->err);
      bytes += batch[i]->len + batch[i]->key_len;
      ++events;
      rd_kafka_message_destroy(batch[i]);
    }
    if (!watch) watch = std::make_unique<Stopwatch>();
  }
  watch->Print("raw-read", events, bytes);
  rd_kafka_queue_destroy(queue);
  rd_kafka_topic_partition_list_destroy(list);
  rd_kafka_consumer_close(kafka);
  rd_kafka_destroy(kafka);
}

// `defaults`, then what the command line says.
Settings Merge(Settings defaults, const std::string& brokers,
               const std::vector<std::string>& given) {
  defaults.emplace_back("bootstrap.servers", brokers);
  defaults.emplace_back("log_level", "3");
  for (const std::string& text : given) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos) Fail(text, "a setting is NAME=VALUE");
    defaults.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return defaults;
}

const Settings kWriteDefaults = {
    {"transactional.id", "daicho-bench-raw-txn"},
    {"compression.codec", "lz4"},
    {"linger.ms", "5"},
    {"batch.size", "1000000"},
    {"batch.num.messages", "10000"},
    {"queue.buffering.max.messages", std::to_string(kQueueMessagesMax)},
    {"queue.buffering.max.kbytes", "1000000"}};
const Settings kReadDefaults = {
    {"group.id", "daicho-bench-raw-read"},   {"isolation.level", "read_committed"},
    {"enable.auto.commit", "false"},         {"check.crcs", "true"},
    {"fetch.message.max.bytes", "4194304"},  {"queued.min.messages", "500000"},
    {"queued.max.messages.kbytes", "262144"}};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("librdkafka alone, on a ledger's records");
  app.require_subcommand(1);
  std::string brokers = "127.0.0.1:9092";
  std::string file;
  std::string topic;
  std::uint64_t events = 0;
  std::uint64_t per = 10'000;
  int partitions = 1;
  std::vector<std::string> settings;
  app.add_option("--brokers", brokers);

  CLI::App* const generate = app.add_subcommand("generate");
  generate->add_option("FILE", file)->required();
  generate->add_option("EVENTS", events)->required();

  CLI::App* const create = app.add_subcommand("create");
  create->add_option("TOPIC", topic)->required();
  create->add_option("PARTITIONS", partitions);
  create->add_option("SETTINGS", settings);

  CLI::App* const write = app.add_subcommand("write");
  write->add_option("--per", per, "events in a transaction")->check(CLI::PositiveNumber);
  write->add_option("FILE", file)->required();
  write->add_option("TOPIC", topic)->required();
  write->add_option("SETTINGS", settings);

  CLI::App* const read = app.add_subcommand("read");
  read->add_option("TOPIC", topic)->required();
  read->add_option("EVENTS", events)->required();
  read->add_option("SETTINGS", settings);

  CLI11_PARSE(app, argc, argv);
  if (*generate) Generate(file, events);
  if (*create) Create(Merge({}, brokers, settings), topic, partitions);
  if (*write) Write(Merge(kWriteDefaults, brokers, settings), file, topic, per);
  if (*read) ReadBack(Merge(kReadDefaults, brokers, settings), topic, events);
  return 0;
}
