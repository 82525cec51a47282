import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.LongAdder;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.RocksDBConfigSetter;
import org.apache.kafka.streams.state.Stores;
import org.rocksdb.BlockBasedTableConfig;
import org.rocksdb.BloomFilter;
import org.rocksdb.Cache;
import org.rocksdb.CompressionType;
import org.rocksdb.LRUCache;
import org.rocksdb.Options;
import org.rocksdb.RocksDB;

/**
 * A record file in Kafka Streams: the newest value of every key and one secondary index, as a team
 * would write it that projects a topic with the framework instead of Daichō.
 *
 * <p>Reads a topic from its beginning until nothing is left and prints one RESULT line. For every event:
 * read the current value, write the new one, move the index entry where it changed. Both stores are
 * RocksDB with a changelog topic each, as the framework keeps them; record caching is off, so that every
 * event is written, as in Daichō's projector.
 *
 * <p>Comparable with Daichō's projection of the same events: one upsert, one index, the same RocksDB
 * budget. In Daichō's figure and not in this one: signatures, hashing, decryption, every earlier version
 * kept, searches over more than one index. In this one only: the changelog topics.
 *
 * <p>Options, as system properties: brokers, topic, events, guarantee (at_least_once or
 * exactly_once_v2), threads, commitMs, state.
 */
public final class StreamsPeer {
  private static final String BROKERS = System.getProperty("brokers", "127.0.0.1:9092");
  private static final String TOPIC = System.getProperty("topic", "events");
  private static final long EVENTS = Long.getLong("events", 0);
  private static final String GUARANTEE = System.getProperty("guarantee", "at_least_once");
  private static final int THREADS = Integer.getInteger("threads", 1);
  private static final int COMMIT_MS = Integer.getInteger("commitMs", 10_000);
  private static final String STATE = System.getProperty("state", "streams-state");
  private static final String APPLICATION = "streams-peer-" + ProcessHandle.current().pid();

  private static final LongAdder processed = new LongAdder();
  private static final LongAdder subjects = new LongAdder();
  private static volatile long first;
  private static volatile long last;

  /** The same budget as Daichō's stores: a bounded cache, Bloom filters, LZ4. */
  public static final class Rocks implements RocksDBConfigSetter {
    static {
      RocksDB.loadLibrary();
    }

    private static final Cache CACHE = new LRUCache(512L << 20);
    private static final BloomFilter FILTER = new BloomFilter(10);

    @Override
    public void setConfig(String store, Options options, Map<String, Object> configs) {
      BlockBasedTableConfig table = (BlockBasedTableConfig) options.tableFormatConfig();
      table.setBlockCache(CACHE);
      table.setFilterPolicy(FILTER);
      table.setBlockSize(8192);
      table.setCacheIndexAndFilterBlocks(false);
      options.setTableFormatConfig(table);
      options.setWriteBufferSize(64L << 20);
      options.setMaxWriteBufferNumber(4);
      options.setMinWriteBufferNumberToMerge(1);
      options.setLevel0FileNumCompactionTrigger(8);
      options.setMaxBytesForLevelBase(256L << 20);
      options.setCompressionType(CompressionType.LZ4_COMPRESSION);
      options.setIncreaseParallelism(2);
    }

    @Override
    public void close(String store, Options options) {}
  }

  private static final class Upsert implements Processor<byte[], byte[], Void, Void> {
    private static final byte[] NOTHING = new byte[0];
    private KeyValueStore<Bytes, byte[]> current;
    private KeyValueStore<Bytes, byte[]> byName;

    @Override
    public void init(ProcessorContext<Void, Void> context) {
      current = context.getStateStore("current");
      byName = context.getStateStore("byname");
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
      if (first == 0) {
        first = System.nanoTime();
      }
      Bytes key = Bytes.wrap(record.key());
      byte[] old = current.get(key);
      Bytes name = indexKey(record.key(), record.value());
      if (old == null) {
        subjects.increment();
        byName.put(name, NOTHING);
      } else {
        Bytes before = indexKey(record.key(), old);
        if (!before.equals(name)) {
          byName.delete(before);
          byName.put(name, NOTHING);
        }
      }
      current.put(key, record.value());
      processed.increment();
      last = System.nanoTime();
    }
  }

  /** A name of 24 bytes and the key. One value in twenty has a name of its own: a change of name. */
  private static Bytes indexKey(byte[] key, byte[] value) {
    int said = Arrays.hashCode(value);
    long name = mix(Arrays.hashCode(key) + (said % 20 == 0 ? (long) said << 32 : 0));
    ByteBuffer bytes = ByteBuffer.allocate(24 + key.length);
    bytes.putLong(name).putLong(mix(name + 1)).putLong(mix(name + 2)).put(key);
    return Bytes.wrap(bytes.array());
  }

  private static long mix(long x) {
    x += 0x9e3779b97f4a7c15L;
    x = (x ^ (x >>> 30)) * 0xbf58476d1ce4e5b9L;
    x = (x ^ (x >>> 27)) * 0x94d049bb133111ebL;
    return x ^ (x >>> 31);
  }

  private static Topology topology() {
    Topology topology = new Topology();
    topology.addSource("events", new ByteArrayDeserializer(), new ByteArrayDeserializer(), TOPIC);
    topology.addProcessor("upsert", Upsert::new, "events");
    for (String store : List.of("current", "byname")) {
      topology.addStateStore(
          Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(store), Serdes.Bytes(), Serdes.ByteArray())
              .withCachingDisabled(),
          "upsert");
    }
    return topology;
  }

  private static Properties settings() {
    Properties p = new Properties();
    p.put(StreamsConfig.APPLICATION_ID_CONFIG, APPLICATION);
    p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, BROKERS);
    p.put(StreamsConfig.STATE_DIR_CONFIG, STATE);
    p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, THREADS);
    p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, GUARANTEE);
    p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, COMMIT_MS);
    p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0L);
    p.put(StreamsConfig.ROCKSDB_CONFIG_SETTER_CLASS_CONFIG, Rocks.class.getName());
    // Large fetches and batches: the framework at its best, not at its defaults.
    p.put("main.consumer.auto.offset.reset", "earliest");
    p.put("main.consumer.isolation.level", "read_committed");
    p.put("main.consumer.max.poll.records", 5000);
    p.put("main.consumer.max.partition.fetch.bytes", 4 << 20);
    p.put("main.consumer.fetch.max.bytes", 32 << 20);
    p.put("buffered.records.per.partition", 10_000);
    p.put("input.buffer.max.bytes", 256L << 20);
    p.put("producer.linger.ms", 20);
    p.put("producer.batch.size", 256 << 10);
    p.put("producer.buffer.memory", 128L << 20);
    p.put("producer.compression.type", "lz4");
    p.put("producer.acks", "all");
    p.put("producer.transaction.timeout.ms", 120_000);
    return p;
  }

  private static void removeState() throws Exception {
    if (Files.exists(Path.of(STATE))) {
      try (Stream<Path> paths = Files.walk(Path.of(STATE))) {
        paths.sorted(Comparator.reverseOrder()).forEach(path -> path.toFile().delete());
      }
    }
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", BROKERS))) {
      List<String> own =
          admin.listTopics().names().get().stream().filter(t -> t.startsWith(APPLICATION + "-")).toList();
      admin.deleteTopics(own).all().get();
    }
  }

  private static double processorSeconds() {
    var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    return system.getProcessCpuTime() / 1e9;
  }

  public static void main(String[] arguments) throws Exception {
    KafkaStreams streams = new KafkaStreams(topology(), settings());
    CountDownLatch running = new CountDownLatch(1);
    streams.setStateListener(
        (now, before) -> {
          if (now == KafkaStreams.State.RUNNING) {
            running.countDown();
          }
        });
    streams.setUncaughtExceptionHandler(
        failure -> {
          failure.printStackTrace();
          Runtime.getRuntime().halt(1);
          return StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
        });
    streams.start();
    running.await();
    double cpu = processorSeconds();
    while (processed.sum() < EVENTS) {
      Thread.sleep(20);
    }
    long done = last;
    // Closing commits: what is processed is then kept for good.
    streams.close(Duration.ofMinutes(5));
    double seconds = (done - first) / 1e9;
    double committed = (System.nanoTime() - first) / 1e9;
    long events = processed.sum();
    System.out.printf(
        "RESULT streams %s threads=%d commit_ms=%d events=%d subjects=%d seconds=%.2f rate=%.0f"
            + " committed_seconds=%.2f committed_rate=%.0f client_cpu_us_per_event=%.2f%n",
        GUARANTEE, THREADS, COMMIT_MS, events, subjects.sum(), seconds, events / seconds, committed,
        events / committed, (processorSeconds() - cpu) / events * 1e6);
    removeState();
  }
}
