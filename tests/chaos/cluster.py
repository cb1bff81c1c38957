"""One or three real brokers in KRaft mode, each behind a proxy for the agents."""

from __future__ import annotations

import subprocess
from pathlib import Path

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from tests.chaos.proxy import Proxy
from tests.integration.broker import CLUSTER_ID, LIBS, LOG_CONFIG
from tests.integration.waiting import Process, free_port, until

START_SECONDS = 90

CONFIG = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
listeners=PLAIN://127.0.0.1:{plain},AGENTS://127.0.0.1:{agents},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAIN://127.0.0.1:{plain},AGENTS://127.0.0.1:{proxy}
listener.security.protocol.map=PLAIN:PLAINTEXT,AGENTS:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.num.partitions=4
offsets.topic.replication.factor={replicas}
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
"""


class Node(Process):
    """One broker that keeps its ports and data over stop and start."""

    def __init__(self, number: int, folder: Path) -> None:
        super().__init__(f"kafka-{number}", folder / f"kafka-{number}.log")
        self.number = number
        self.plain, self.agents, self.controller = free_port(), free_port(), free_port()
        self.proxy = Proxy(free_port(), self.agents)
        self._folder = folder
        self._config = folder / f"server-{number}.properties"

    def configure(self, nodes: list[Node]) -> None:
        """Write the configuration, and format the data folder."""
        several = len(nodes) > 1
        text = CONFIG.format(
            node=self.number,
            voters=",".join(f"{n.number}@127.0.0.1:{n.controller}" for n in nodes),
            plain=self.plain,
            agents=self.agents,
            proxy=self.proxy.port,
            controller=self.controller,
            data=self._folder / f"data-{self.number}",
            replicas=3 if several else 1,
            in_sync=2 if several else 1,
        )
        self._config.write_text(text)
        (self._folder / "log4j.properties").write_text(LOG_CONFIG)
        command = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self._config)]
        done = subprocess.run(
            self._java(*command), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Start it, without waiting."""
        self.launch(self._java("kafka.Kafka", str(self._config)))

    def _java(self, *command: str) -> list[str]:
        return [
            *("java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            f"-Dlog4j.configuration=file:{self._folder / 'log4j.properties'}",
            *("-cp", f"{LIBS}/*", *command),
        ]


class Cluster:
    """The brokers. `address` goes straight to them, `agents_address` through the proxies."""

    def __init__(self, folder: Path, brokers: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.nodes = [Node(number, folder) for number in range(1, brokers + 1)]
        for node in self.nodes:
            node.configure(self.nodes)
        self.address = ",".join(f"127.0.0.1:{n.plain}" for n in self.nodes)
        self.agents_address = ",".join(f"127.0.0.1:{n.proxy.port}" for n in self.nodes)

    def start(self) -> None:
        """Start all brokers, and wait until they answer."""
        for node in self.nodes:
            node.start()
        until(self.answers, START_SECONDS, self.nodes[0].last_words)

    def answers(self) -> bool:
        """Whether every running broker is known to the cluster."""
        try:
            brokers = self._admin().list_topics(timeout=2).brokers
        except KafkaException:
            return False
        return len(brokers) >= sum(node.running for node in self.nodes)

    def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic with as many replicas as there are brokers."""
        admin = self._admin()  # to be kept until the future is done
        made = admin.create_topics([NewTopic(name, partitions, len(self.nodes))])
        made[name].result(START_SECONDS)

    def leader(self, topic: str, partition: int) -> Node:
        """The broker that leads a partition."""
        metadata = self._admin().list_topics(topic, timeout=10).topics[topic]
        number = metadata.partitions[partition].leader
        return next(node for node in self.nodes if node.number == number)

    def end(self, topic: str, partition: int) -> int:
        """How many records a partition has, of a topic that nothing was deleted from."""
        admin = self._admin()  # to be kept until the future is done
        place = TopicPartition(topic, partition)
        offsets = admin.list_offsets({place: OffsetSpec.latest()})
        return int(offsets[place].result(START_SECONDS).offset)

    def cut(self) -> None:
        """Cut the agents off from all brokers."""
        for node in self.nodes:
            node.proxy.cut()

    def mend(self) -> None:
        """Let the agents reach the brokers again."""
        for node in self.nodes:
            node.proxy.mend()

    def clean_up(self) -> None:
        """End everything."""
        for node in self.nodes:
            node.clean_up()
            node.proxy.close()

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.address, "log_level": 0})
