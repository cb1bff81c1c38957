"""A real Kafka: one KRaft node from the jars that `.ci/install-kafka.sh` fetches."""

from __future__ import annotations

import subprocess
from pathlib import Path

import trustme
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from .waiting import Process, free_port, until

LIBS = Path(__file__).parents[2] / ".cache" / "kafka" / "libs"
CLUSTER_ID = "a3BpLWFnZW50LXRlc3RzMQ"  # 16 bytes in URL-safe base 64, as Kafka wants
USER, PASSWORD = "reporter", "right-horse-battery"
START_SECONDS = 60
REAUTHENTICATE_MS = 3000
"""A connection by a token is ended after so long, unless the client shows another one."""

CONFIG = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
listeners=PLAIN://127.0.0.1:{plain},SECURE://127.0.0.1:{secure},TLS://localhost:{tls},\
MUTUAL://localhost:{mutual},TOKEN://127.0.0.1:{token},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAIN://127.0.0.1:{plain},SECURE://127.0.0.1:{secure},\
TLS://localhost:{tls},MUTUAL://localhost:{mutual},TOKEN://127.0.0.1:{token}
listener.security.protocol.map=\
PLAIN:PLAINTEXT,SECURE:SASL_PLAINTEXT,TLS:SASL_SSL,MUTUAL:SSL,TOKEN:SASL_PLAINTEXT,\
CONTROLLER:PLAINTEXT
listener.name.token.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.token.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
unsecuredLoginStringClaim_sub="broker";
listener.name.token.oauthbearer.connections.max.reauth.ms={reauthenticate_ms}
sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.secure.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.tls.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.mutual.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location={certificates}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={certificates}/authority.pem
log.dirs={data}
auto.create.topics.enable={auto_create}
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

    def __init__(self, folder: Path, *, auto_create: bool = False) -> None:
        super().__init__("kafka", folder / "kafka.log")
        self._config = folder / "server.properties"
        self._log_config = folder / "log4j.properties"
        self.certificates = folder / "certificates"
        self._certify()
        plain, secure, controller = free_port(), free_port(), free_port()
        tls, mutual, token = free_port(), free_port(), free_port()
        self.address = f"127.0.0.1:{plain}"
        self.secure_address = f"127.0.0.1:{secure}"
        self.tls_address = f"localhost:{tls}"
        self.mutual_address = f"localhost:{mutual}"
        self.token_address = f"127.0.0.1:{token}"
        self._config.write_text(
            CONFIG.format(
                plain=plain, secure=secure, tls=tls, mutual=mutual, token=token,
                reauthenticate_ms=REAUTHENTICATE_MS,
                controller=controller, certificates=self.certificates, data=folder / "data",
                auto_create=str(auto_create).lower(),
            )
        )  # fmt: skip
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

    def _certify(self) -> None:
        """An authority, and certificates by it for the broker and for one client."""
        self.certificates.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.certificates / "authority.pem"))
        broker, client = authority.issue_cert("localhost"), authority.issue_cert("kpi-agent.test")
        # Java reads keys as PKCS #8 alone.
        key = load_pem_private_key(broker.private_key_pem.bytes(), None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        chain = b"".join(pem.bytes() for pem in broker.cert_chain_pems)
        (self.certificates / "broker.pem").write_bytes(key + chain)
        client.private_key_pem.write_to_path(str(self.certificates / "client.key"))
        client.cert_chain_pems[0].write_to_path(str(self.certificates / "client.pem"))

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
