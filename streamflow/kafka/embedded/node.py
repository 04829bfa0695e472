"""What an embedded Kafka node needs before it starts: its properties, ports and a formatted folder of its own."""

from __future__ import annotations

import base64
import json
import re
import shutil
import socket
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from streamflow.errors import OperationError
from streamflow.kafka.embedded.jars import Distribution

_FORMAT_TIMEOUT_S = 120

_PROPERTIES: dict[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "num.partitions": "4",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "auto.create.topics.enable": "false",
    # After a kill the controller refuses the broker until its last session has ended (9 s by default).
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",
    # A record of nothing in the metadata log, by default twice a second: half of what an idle broker costs.
    "metadata.max.idle.interval.ms": "10000",
    "log.retention.check.interval.ms": "60000",
    "log.cleaner.dedupe.buffer.size": "16777216",
    "log.cleaner.threads": "1",
}


@dataclass(frozen=True, slots=True)
class Ports:
    """The two ports of a node on loopback: for clients, and for the controller in the same process."""

    client: int
    controller: int


def properties(data: Path, ports: Ports, own: Mapping[str, str]) -> dict[str, str]:
    """A node's whole configuration; `own` overrides anything."""
    return {
        **_PROPERTIES,
        "listeners": f"PLAINTEXT://127.0.0.1:{ports.client},CONTROLLER://127.0.0.1:{ports.controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{ports.client}",
        # Static voters: a controller that comes back on another port needs no other quorum than its configuration.
        "controller.quorum.voters": f"1@127.0.0.1:{ports.controller}",
        "log.dirs": str(data),
        **own,
    }


def write_properties(path: Path, values: Mapping[str, str]) -> None:
    """Writes a Java properties file."""
    path.write_text("".join(f"{name}={value}\n" for name, value in values.items()))


def format_folder(kafka: Distribution, work: Path) -> None:
    """Has Kafka format an empty folder, once per cache, as `kafka.formatted`: nodes copy it, which saves each a Java
    start.

    Raises OperationError."""
    data, server = work / "format", work / "format.properties"
    write_properties(server, properties(data, Ports(1, 2), {}))
    command = [kafka.java, "-Xmx128m", f"-Dlog4j2.configurationFile={kafka.logging}", "-cp", kafka.classpath]
    command += ["kafka.tools.StorageTool", "format", "-t", _uuid(), "-c", str(server)]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_FORMAT_TIMEOUT_S, check=False
    )
    if done.returncode:
        tail = (done.stdout + done.stderr)[-2000:]
        raise OperationError(
            "broker_start_failed", f"expected Kafka to format its folder but it failed. Its output:\n{tail}"
        )
    data.rename(kafka.formatted)


def copy_format(formatted: Path, data: Path) -> None:
    """Makes `data` a fresh cluster: the files of the formatted folder under ids of its own."""
    shutil.copytree(formatted, data, dirs_exist_ok=True, ignore=shutil.ignore_patterns("meta.properties"))
    text = (formatted / "meta.properties").read_text()
    for name in ("cluster.id", "directory.id"):
        text = re.sub(rf"(?m)^{re.escape(name)}=.*$", f"{name}={_uuid()}", text)
    # Last: it marks the folder as formatted.
    (data / "meta.properties").write_text(text)


def free_ports() -> Ports:
    """Two ports that were free a moment ago."""
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return Ports(int(one.getsockname()[1]), int(two.getsockname()[1]))


def kept_ports(path: Path) -> Ports | None:
    """The ports that `keep_ports` wrote, if both are free now."""
    try:
        ports = Ports(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return ports if _is_free(ports.client) and _is_free(ports.controller) else None


def keep_ports(path: Path, ports: Ports) -> None:
    """Remembers the ports for the next start on the same folder."""
    path.write_text(json.dumps({"client": ports.client, "controller": ports.controller}))


def answers(port: int) -> bool:
    """Whether something accepts connections on this port of loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
    except OSError:
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the broker binds it: a port in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _uuid() -> str:
    """Kafka's way of writing a UUID: url-safe base64 without padding, never beginning with a dash."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()).startswith("-"):
        pass
    return text
