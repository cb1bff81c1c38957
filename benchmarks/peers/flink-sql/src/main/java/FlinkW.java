import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.StatementSet;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;

/**
 * Workload W on Flink SQL in a local cluster of its own: three window aggregates into one topic,
 * mini-batches and two-phase aggregation on, two slots.
 *
 * <p>Arguments: broker, source topic, target topic. The source is bounded by the topic's end, at
 * which every window closes; prints the seconds from the first record read until the job is done.
 */
public final class FlinkW {
  private static final String SOURCE =
      "CREATE TABLE events (`type` STRING, `at` BIGINT, region STRING, channel STRING,"
          + " employee STRING, amount DOUBLE, response_seconds DOUBLE, score DOUBLE,"
          + " ts AS TO_TIMESTAMP_LTZ(`at`, 3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) WITH ("
          + "'connector'='kafka','topic'='%2$s','properties.bootstrap.servers'='%1$s',"
          + "'properties.group.id'='%3$s-flink','scan.startup.mode'='earliest-offset',"
          + "'scan.bounded.mode'='latest-offset','format'='json')";
  private static final String TARGET =
      "CREATE TABLE totals (kind STRING, series STRING, start_ms BIGINT, n BIGINT, total DOUBLE,"
          + " low DOUBLE, high DOUBLE) WITH ('connector'='kafka','topic'='%2$s',"
          + "'properties.bootstrap.servers'='%1$s','format'='json')";

  private static String insert(String type, String value, String series) {
    return String.format("INSERT INTO totals SELECT '%1$s', %3$s,"
        + " UNIX_TIMESTAMP(DATE_FORMAT(window_start, 'yyyy-MM-dd HH:mm:ss')) * 1000, COUNT(*), SUM(%2$s), MIN(%2$s),"
        + " MAX(%2$s) FROM TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '60' SECOND)"
        + " WHERE `type` = '%1$s' GROUP BY window_start, window_end, %4$s",
        type, value, series, series.contains("||") ? "region, channel" : series);
  }

  public static void main(String[] args) throws Exception {
    Configuration c = new Configuration();
    c.setString("table.exec.mini-batch.enabled", "true");
    c.setString("table.exec.mini-batch.allow-latency", "1 s");
    c.setString("table.exec.mini-batch.size", "50000");
    c.setString("table.optimizer.agg-phase-strategy", "TWO_PHASE");
    c.setString("table.local-time-zone", "UTC");
    c.setString("parallelism.default", "2");
    c.setString("metrics.reporter.first.factory.class", "FirstRecord$Factory");
    StreamExecutionEnvironment env = StreamExecutionEnvironment.createLocalEnvironment(2, c);
    StreamTableEnvironment table = StreamTableEnvironment.create(env);
    table.executeSql(String.format(SOURCE, args[0], args[1], args[2]));
    table.executeSql(String.format(TARGET, args[0], args[2]));
    StatementSet all = table.createStatementSet();
    all.addInsertSql(insert("order.completed", "amount", "region || '|' || channel"));
    all.addInsertSql(insert("ticket.answered", "response_seconds", "region"));
    all.addInsertSql(insert("feedback.submitted", "score", "employee"));
    all.execute().await();
    long ended = System.nanoTime();
    System.out.printf("{\"seconds\": %.3f}%n", (ended - FirstRecord.at()) / 1e9);
    System.exit(0);
  }
}
