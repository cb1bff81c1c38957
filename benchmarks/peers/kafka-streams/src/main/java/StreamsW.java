import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Function;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.processor.TimestampExtractor;
import org.apache.kafka.streams.state.WindowStore;

/**
 * Workload W on Kafka Streams, two threads, at-least-once: three windowed aggregates into one topic.
 *
 * <p>Windows have an hour of grace: after the repartitioning, which reads source partitions at
 * different speeds, less of it drops events as late in such a catch-up. Arguments: broker, source
 * topic, target topic, application id, number of events. Ends when every event was aggregated and
 * what was aggregated is flushed; prints the seconds from the first event read until then.
 */
public final class StreamsW {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final AtomicLong FIRST = new AtomicLong();
  private static final AtomicLong DONE = new AtomicLong();

  /** An event with what its aggregate needs. */
  record Event(String type, long at, String region, String channel, String employee, double value) {}

  /** Count, sum, least and greatest. */
  record Total(long count, double sum, double min, double max) {
    Total plus(double value) {
      DONE.incrementAndGet();
      return new Total(count + 1, sum + value, Math.min(min, value), Math.max(max, value));
    }
  }

  private static <T> Serde<T> serde(Function<T, byte[]> write, Function<byte[], T> read) {
    Serializer<T> out = (topic, value) -> value == null ? null : write.apply(value);
    Deserializer<T> in = (topic, bytes) -> bytes == null ? null : read.apply(bytes);
    return Serdes.serdeFrom(out, in);
  }

  private static byte[] bytes(Event e) {
    return String.join("\t", e.type, "" + e.at, e.region, e.channel, e.employee, "" + e.value)
        .getBytes(java.nio.charset.StandardCharsets.UTF_8);
  }

  private static Event event(byte[] bytes) {
    String[] p = new String(bytes, java.nio.charset.StandardCharsets.UTF_8).split("\t");
    return new Event(p[0], Long.parseLong(p[1]), p[2], p[3], p[4], Double.parseDouble(p[5]));
  }

  private static Event parse(byte[] bytes) {
    FIRST.compareAndSet(0, System.nanoTime());
    try {
      JsonNode n = JSON.readTree(bytes);
      double value =
          n.path("amount").asDouble(n.path("response_seconds").asDouble(n.path("score").asDouble()));
      return new Event(n.path("type").asText(), n.path("at").asLong(), n.path("region").asText(),
          n.path("channel").asText(), n.path("employee").asText(), value);
    } catch (java.io.IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  private static byte[] bytes(Total t) {
    return java.nio.ByteBuffer.allocate(32)
        .putLong(t.count).putDouble(t.sum).putDouble(t.min).putDouble(t.max).array();
  }

  private static Total total(byte[] bytes) {
    java.nio.ByteBuffer b = java.nio.ByteBuffer.wrap(bytes);
    return new Total(b.getLong(), b.getDouble(), b.getDouble(), b.getDouble());
  }

  /** Event time is in the events. */
  public static final class AtExtractor implements TimestampExtractor {
    @Override
    public long extract(ConsumerRecord<Object, Object> record, long partitionTime) {
      return record.value() instanceof Event e ? e.at : record.timestamp();
    }
  }

  public static void main(String[] args) throws Exception {
    String target = args[2];
    long events = Long.parseLong(args[4]);
    Serde<Event> eventSerde = serde(StreamsW::bytes, StreamsW::event);
    Serde<Event> jsonSerde = serde(StreamsW::bytes, StreamsW::parse);
    Serde<Total> totalSerde = serde(StreamsW::bytes, StreamsW::total);
    StreamsBuilder builder = new StreamsBuilder();
    KStream<String, Event> source =
        builder.stream(args[1], Consumed.with(Serdes.String(), jsonSerde));
    aggregate(source, "order.completed", e -> e.region + "|" + e.channel, target, eventSerde, totalSerde);
    aggregate(source, "ticket.answered", Event::region, target, eventSerde, totalSerde);
    aggregate(source, "feedback.submitted", Event::employee, target, eventSerde, totalSerde);
    Properties p = new Properties();
    p.put(StreamsConfig.APPLICATION_ID_CONFIG, args[3]);
    p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
    p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
    p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1000);
    p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L * 1024 * 1024);
    p.put(StreamsConfig.DEFAULT_TIMESTAMP_EXTRACTOR_CLASS_CONFIG, AtExtractor.class);
    p.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.OPTIMIZE);
    p.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    p.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
    p.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), "20");
    p.put(StreamsConfig.STATE_DIR_CONFIG, System.getProperty("state.dir"));
    KafkaStreams streams = new KafkaStreams(builder.build(p), p);
    streams.start();
    long deadline = System.nanoTime() + Duration.ofMinutes(10).toNanos();
    while (DONE.get() < events && System.nanoTime() < deadline) {
      Thread.sleep(5);
    }
    long seen = DONE.get();
    streams.close(Duration.ofSeconds(60)); // commits: what the caches hold goes to the topic
    long ended = System.nanoTime();
    System.out.printf("{\"seconds\": %.3f, \"aggregated\": %d}%n", (ended - FIRST.get()) / 1e9, seen);
    System.exit(seen >= events ? 0 : 1);
  }

  private static void aggregate(KStream<String, Event> source, String type,
      Function<Event, String> key, String target, Serde<Event> events, Serde<Total> totals) {
    source
        .filter((k, e) -> e.type.equals(type))
        .groupBy((k, e) -> type + "|" + key.apply(e), Grouped.with(Serdes.String(), events))
        .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofSeconds(60), Duration.ofHours(1)))
        .aggregate(() -> new Total(0, 0, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY),
            (k, e, t) -> t.plus(e.value),
            Materialized.<String, Total, WindowStore<Bytes, byte[]>>with(Serdes.String(), totals))
        .toStream()
        .map((w, t) -> KeyValue.pair(w.key() + "|" + w.window().start(),
            t.count + "|" + t.sum + "|" + t.min + "|" + t.max))
        .to(target, Produced.with(Serdes.String(), Serdes.String()));
  }
}
