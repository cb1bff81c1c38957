"""A real Kafka: one KRaft node from the jars that `.ci/install-kafka.sh` fetches."""

from __future__ import annotations

import subprocess
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from .waiting import Process, free_port, until

LIBS = Path(__file__).parents[2] / ".cache" / "kafka" / "libs"
CLUSTER_ID = "a3BpLWFnZW50LXRlc3RzMQ"  # 16 bytes in URL-safe base 64, as Kafka wants
USER, PASSWORD = "reporter", "right-horse-battery"
START_SECONDS = 60

CONFIG = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
listeners=PLAIN://127.0.0.1:{plain},SECURE://127.0.0.1:{secure},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAIN://127.0.0.1:{plain},SECURE://127.0.0.1:{secure}
listener.security.protocol.map=PLAIN:PLAINTEXT,SECURE:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.secure.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
log.dirs={data}
auto.create.topics.enable=false
num.partitions=4
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
"""

LOG_CONFIG = """\
log4j.rootLogger=WARN, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d{HH:mm:ss} %p %c: %m%n
"""


class Broker(Process):
    """One broker that keeps its ports and its data over stop and start."""

    def __init__(self, folder: Path) -> None:
        super().__init__("kafka", folder / "kafka.log")
        self._config = folder / "server.properties"
        self._log_config = folder / "log4j.properties"
        plain, secure, controller = free_port(), free_port(), free_port()
        self.address = f"127.0.0.1:{plain}"
        self.secure_address = f"127.0.0.1:{secure}"
        self._config.write_text(
            CONFIG.format(plain=plain, secure=secure, controller=controller, data=folder / "data")
        )
        self._log_config.write_text(LOG_CONFIG)
        self._format()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.launch(self._java("kafka.Kafka", str(self._config)))
        until(self._answers, START_SECONDS, lambda: f"kafka answers\n{self.last_words()}")

    def create_topics(self, names: list[str], partitions: int) -> None:
        """Create topics, and wait until they are there."""
        admin = AdminClient({"bootstrap.servers": self.address})
        made = admin.create_topics([NewTopic(name, partitions, 1) for name in names])
        for future in made.values():
            future.result(START_SECONDS)

    def _format(self) -> None:
        scram = f"SCRAM-SHA-256=[name={USER},password={PASSWORD}]"
        done = subprocess.run(
            self._java(
                *("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID),
                *("-c", str(self._config), "--add-scram", scram),
            ),
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _java(self, *command: str) -> list[str]:
        return [
            *("java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            *(f"-Dlog4j.configuration=file:{self._log_config}", "-cp", f"{LIBS}/*"),
            *command,
        ]

    def _answers(self) -> bool:
        self.check_runs()
        try:
            admin = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
            return bool(admin.list_topics(timeout=2).brokers)
        except KafkaException:
            return False
