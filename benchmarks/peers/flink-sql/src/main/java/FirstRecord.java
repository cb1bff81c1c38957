import java.util.Properties;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.Metric;
import org.apache.flink.metrics.MetricConfig;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.metrics.reporter.MetricReporter;
import org.apache.flink.metrics.reporter.MetricReporterFactory;

/** Notes when the first operator has read its first record, by looking at Flink's own counters. */
public final class FirstRecord implements MetricReporter {
  private static final ConcurrentLinkedQueue<Counter> COUNTERS = new ConcurrentLinkedQueue<>();
  private static final AtomicLong AT = new AtomicLong();

  /** Made by Flink. */
  public static final class Factory implements MetricReporterFactory {
    @Override
    public MetricReporter createMetricReporter(Properties properties) {
      return new FirstRecord();
    }
  }

  /** The moment (nanoTime); the poll is every 2 ms. */
  static long at() {
    return AT.get();
  }

  @Override
  public void open(MetricConfig config) {
    Thread watch = new Thread(() -> {
      while (AT.get() == 0) {
        for (Counter counter : COUNTERS) {
          if (counter.getCount() > 0) {
            AT.compareAndSet(0, System.nanoTime());
          }
        }
        try {
          Thread.sleep(2);
        } catch (InterruptedException e) {
          return;
        }
      }
    });
    watch.setDaemon(true);
    watch.start();
  }

  @Override
  public void close() {}

  @Override
  public void notifyOfAddedMetric(Metric metric, String name, MetricGroup group) {
    if (metric instanceof Counter counter && name.startsWith("numRecords")) {
      COUNTERS.add(counter);
    }
  }

  @Override
  public void notifyOfRemovedMetric(Metric metric, String name, MetricGroup group) {}
}
