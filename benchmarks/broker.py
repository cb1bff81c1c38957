"""A real Kafka on this machine: one broker in KRaft mode, from the jars in `.cache/kafka/libs`.

`.ci/install-kafka.sh` fetches the jars from Maven.

    python -m benchmarks.broker          # run one until Ctrl-C; says its address
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

ROOT = Path(__file__).resolve().parent.parent
LIBS = ROOT / ".cache" / "kafka" / "libs"
HEAP = "1g"
START_SECONDS = 60.0
STOP_SECONDS = 20.0
CLUSTER_ID = "kpiAgentBenchmark00000"  # KRaft wants 22 characters of base64

CONFIG = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=true
num.partitions=4
log.retention.hours=-1
"""


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def kafka() -> Iterator[str]:
    """A fresh broker while the block runs; gives `host:port`. Its data is deleted at the end."""
    if not LIBS.is_dir():
        raise SystemExit("Kafka's jars are not there; run: .ci/install-kafka.sh")
    # Ended from outside, still end what was started here.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="bench-kafka-"))
    process: subprocess.Popen[bytes] | None = None
    try:
        port = free_port()
        config = folder / "server.properties"
        config.write_text(CONFIG.format(port=port, controller=free_port(), folder=folder))
        java = ["java", "-cp", f"{LIBS}/*"]
        storage = [*java, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(config)]
        subprocess.run(storage, check=True, capture_output=True)
        with (folder / "kafka.log").open("wb") as log:
            process = subprocess.Popen(
                ["java", f"-Xms{HEAP}", f"-Xmx{HEAP}", *java[1:], "kafka.Kafka", str(config)],
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        address = f"127.0.0.1:{port}"
        _wait(address, process, folder)
        yield address
    finally:
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(address: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit("Kafka did not start:\n" + (folder / "kafka.log").read_text()[-2000:])
        try:
            admin.list_topics(timeout=2)
            return
        except KafkaException:
            time.sleep(0.2)
    raise SystemExit(f"Kafka did not answer within {START_SECONDS:.0f} s")


def main() -> None:
    """Run a broker until Ctrl-C."""
    with kafka() as address:
        print(address, flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
