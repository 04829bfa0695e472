"""Three brokers that are controllers too, each a process: for what one broker cannot show, an election under load."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streamflow.kafka.embedded.broker import JVM, EmbeddedBroker
from streamflow.kafka.embedded.jars import distribution
from streamflow.kafka.embedded.node import Ports, free_ports, properties, write_properties
from tests.proof.world import Failed, _die_with_parent

NODES = (1, 2, 3)
_READY_S = 120.0
_REPLICATED = {
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "unclean.leader.election.enable": "false",
}


class Cluster:
    """A context manager. `start`, `kill` and `running` are of the cluster as a whole, so that it can stand where one
    broker does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kafka = distribution(lambda text: None)
        # makes the formatted folder, if it is not there
        EmbeddedBroker(folder / "first", progress=lambda text: None).start().stop()
        self._ports = {node: free_ports() for node in NODES}
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        for node in NODES:
            self._format(node)

    def __enter__(self) -> Cluster:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(f"127.0.0.1:{ports.client}" for ports in self._ports.values())

    @property
    def running(self) -> bool:
        return all(node in self._processes and self._processes[node].poll() is None for node in NODES)

    def start(self) -> Cluster:
        """Starts every node that is down; returns when all are there."""
        for node in NODES:
            self.start_node(node)
        try:
            self._wait_ready()
        except Failed:
            self.kill()
            raise
        return self

    def kill(self) -> None:
        for node in list(self._processes):
            self.kill_node(node)

    def start_node(self, node: int) -> None:
        """Starts one node on its folder; returns at once."""
        if node in self._processes:
            return
        kafka, place = self._kafka, self.folder / str(node)
        java = [kafka.java, *JVM, f"-Dlog4j2.configurationFile={kafka.logging}"]
        if kafka.archive.exists():
            java.append(f"-XX:SharedArchiveFile={kafka.archive}")
        environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        with (place / "broker.log").open("ab") as log:
            self._processes[node] = subprocess.Popen(
                [*java, "-cp", kafka.classpath, "kafka.Kafka", str(place / "server.properties")],
                env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_die_with_parent,
            )  # fmt: skip

    def kill_node(self, node: int) -> None:
        process = self._processes.pop(node)
        process.kill()
        process.wait()

    def leader(self, topic: str, partition: int) -> int:
        """The node that leads a partition."""
        found = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0}).list_topics(
            topic, timeout=10
        )
        return int(found.topics[topic].partitions[partition].leader)

    def _format(self, node: int) -> None:
        place, ports = self.folder / str(node), self._ports[node]
        data = place / "data"
        shutil.copytree(self._kafka.formatted, data)
        meta = (self._kafka.formatted / "meta.properties").read_text()
        directory = re.search(r"(?m)^directory\.id=(.*)$", meta)
        assert directory is not None
        own = "ABC"[node - 1] + directory[1][1:]
        meta = re.sub(
            r"(?m)^directory\.id=.*$", f"directory.id={own}", re.sub(r"(?m)^node\.id=.*$", f"node.id={node}", meta)
        )
        (data / "meta.properties").write_text(meta)
        voters = ",".join(f"{number}@127.0.0.1:{one.controller}" for number, one in self._ports.items())
        values = properties(
            data,
            Ports(ports.client, ports.controller),
            {"node.id": str(node), "controller.quorum.voters": voters, **_REPLICATED},
        )
        write_properties(place / "server.properties", values)

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + _READY_S
        while True:
            for node, process in self._processes.items():
                if process.poll() is not None:
                    raise Failed(f"broker {node} ended: {(self.folder / str(node) / 'broker.log').read_text()[-2000:]}")
            listening = all(_answers(ports.client) for ports in self._ports.values())
            if listening:
                with contextlib.suppress(KafkaException):
                    admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
                    if len(admin.list_topics(timeout=2).brokers) == len(NODES):
                        return
            if time.monotonic() > deadline:
                raise Failed("expected three brokers to come up")
            time.sleep(0.1)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
    except OSError:
        return False
    return True
