"""A Kafka of one's own: one Apache Kafka process on loopback, for `dev`, `demo` and tests. Not for production.

It ends with the process that started it, by whatever end: streamflow starts a watchdog (watchdog.py) which holds the read end of a pipe whose
only write end is ours. The kernel closes that when we die, so nothing depends on signal handlers, on exit hooks, or on which thread started the broker
(the kernel's parent-death signal follows the *thread* that forked, so we could not use it here; the single-threaded watchdog can).
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streamflow.errors import OperationError
from streamflow.kafka import watchdog
from streamflow.kafka.jars import Distribution, Progress, distribution, locked, say
from streamflow.settings import Settings

_JVM = ("-Xmx256m", "-XX:+UseSerialGC", "-Dfile.encoding=UTF-8")
_START_TIMEOUT_S = 120.0
_STOP_GRACE_S = 20.0
_LOG_TAIL_BYTES = 2048

_CONFIG: dict[str, str] = {
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
    "log.retention.check.interval.ms": "60000",
    "log.cleaner.dedupe.buffer.size": "16777216",
    "log.cleaner.threads": "1",
}


class EmbeddedBroker:
    """One Kafka process with its own data folder; a context manager, or `start()` and `stop()`.

    `config` overrides broker properties. A second start on the same folder keeps data and, while they are free, ports.
    All waits report to `progress`. Errors carry the end of the broker's log."""

    def __init__(self, data_dir: Path, *, config: Mapping[str, str] | None = None, progress: Progress = say, stop_grace_s: float = _STOP_GRACE_S) -> None:
        self.data_dir = data_dir.absolute()
        self.log_file = self.data_dir / "broker.log"
        self.bootstrap_servers = ""
        self._config = dict(config or {})
        self._progress = progress
        self._stop_grace_s = stop_grace_s
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._java_pid = 0
        self._archive_to: Path | None = None

    def __enter__(self) -> EmbeddedBroker:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the broker's process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the Java process."""
        return self._java_pid

    def start(self, timeout_s: float = _START_TIMEOUT_S) -> EmbeddedBroker:
        """Starts the broker and returns once it answers requests for metadata.

        Raises OperationError if Java or Maven are missing, the folder is in use, or the broker does not get ready."""
        if self.running:
            return self
        kafka = distribution(self._progress)
        if self._archive_to is None:
            _prepare(kafka, self._progress)
        self._acquire()
        try:
            self._start_on_free_ports(kafka, timeout_s)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stops the broker in order (2 to 4 s) and returns when its process is gone; by force after the grace time. Harmless when stopped."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._reap()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def kill(self) -> None:
        """Kills the broker as a crash would (kill -9); `start()` begins again on the same data."""
        if self.running:
            os.kill(self._java_pid, signal.SIGKILL)
        self.stop()

    def pause(self) -> None:
        """Stops the broker from running without ending it: connections stay open and nothing answers."""
        os.kill(self._java_pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a paused broker go on."""
        os.kill(self._java_pid, signal.SIGCONT)

    def log_tail(self) -> str:
        """The end of the broker's log, 2 kB at most."""
        if not self.log_file.exists():
            return ""
        with self.log_file.open("rb") as log:
            log.seek(max(0, self.log_file.stat().st_size - _LOG_TAIL_BYTES))
            return log.read().decode(errors="replace")

    def _acquire(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        lock = (self.data_dir / "lock").open("a+")
        deadline = time.monotonic() + self._stop_grace_s + 5
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                lock.seek(0)
                owner = lock.read().strip()
                # The watchdog holds the lock too: after its owner died it is released as soon as the broker has stopped.
                if (owner and _alive(int(owner))) or time.monotonic() > deadline:
                    lock.close()
                    raise OperationError(
                        "broker_folder_in_use",
                        f"expected to have {self.data_dir} alone but process {owner or '(unknown)'} runs a Kafka there; do stop it or choose another broker_dir",
                        retryable=False,
                    ) from None
                time.sleep(0.1)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def _start_on_free_ports(self, kafka: Distribution, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        ports = self._kept_ports() or _free_ports()
        for attempt in range(3):
            self._launch(kafka, ports)
            try:
                self._wait_ready(deadline)
                return
            except OperationError as error:
                # Between our look and the broker's bind somebody else may have taken a port.
                if attempt == 2 or "already in use" not in error.message:
                    raise
                self._reap()
                ports = _free_ports()

    def _launch(self, kafka: Distribution, ports: tuple[int, int]) -> None:
        client, controller = ports
        self.bootstrap_servers = f"127.0.0.1:{client}"
        data = self.data_dir / "data"
        properties = {
            **_CONFIG,
            "listeners": f"PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{client}",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "log.dirs": str(data),
            **self._config,
        }
        server = self.data_dir / "server.properties"
        server.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        (self.data_dir / "ports.json").write_text(json.dumps({"client": client, "controller": controller}))
        if not (data / "meta.properties").exists():
            _copy_format(kafka.formatted, data)
        options = [*_JVM, f"-Dlog4j2.configurationFile={kafka.logging}"]
        if self._archive_to is not None:
            options.append(f"-XX:ArchiveClassesAtExit={self._archive_to}")
        elif kafka.archive.exists():
            options.append(f"-XX:SharedArchiveFile={kafka.archive}")
        command = [sys.executable, "-I", "-S", watchdog.__file__, str(self._stop_grace_s), kafka.java, *options, "-cp", kafka.classpath, "kafka.Kafka", str(server)]
        assert self._lock is not None
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True, pass_fds=(self._lock.fileno(),)
            )
        assert self._process.stdout is not None
        first = self._process.stdout.readline()
        if not first:
            raise OperationError("broker_start_failed", f"expected Kafka to start but its watchdog did not; do read this:\n{self.log_tail()}")
        self._java_pid = int(first)

    def _wait_ready(self, deadline: float) -> None:
        assert self._process is not None
        started, said = time.monotonic(), 0.0
        host, port = self.bootstrap_servers.split(":")
        admin: AdminClient | None = None
        while True:
            if self._process.poll() is not None:
                raise OperationError("broker_start_failed", f"expected Kafka to start but it ended; do read the end of {self.log_file}:\n{self.log_tail()}")
            if admin is None and _answers(host, int(port)):
                admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "client.id": "streamflow-ready", "log_level": 0})
            if admin is not None and _has_brokers(admin):
                return
            waited = time.monotonic() - started
            if time.monotonic() > deadline:
                raise OperationError("broker_start_failed", f"expected Kafka to be ready but it was not after {waited:.0f} s; do read the end of {self.log_file}:\n{self.log_tail()}")
            if waited - said >= 5:
                said = waited
                self._progress(f"waiting for Kafka to start ... {waited:.0f} s")
            time.sleep(0.05)

    def _kept_ports(self) -> tuple[int, int] | None:
        try:
            kept = json.loads((self.data_dir / "ports.json").read_text())
            ports = (int(kept["client"]), int(kept["controller"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return ports if all(_is_free(port) for port in ports) else None

    def _reap(self) -> None:
        if self._process is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(self._stop_grace_s + 10)
        except subprocess.TimeoutExpired:
            # Killing the watchdog makes the kernel kill the broker.
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None


@contextlib.contextmanager
def open_broker(settings: Settings, progress: Progress = say) -> Iterator[str]:
    """The bootstrap servers of the Kafka that the settings name; of one started in `settings.broker_dir` if they name none."""
    if settings.kafka.bootstrap_servers:
        yield settings.kafka.bootstrap_servers
        return
    with EmbeddedBroker(settings.broker_dir, progress=progress) as broker:
        yield broker.bootstrap_servers


def _prepare(kafka: Distribution, progress: Progress) -> None:
    """Makes, once per cache, the formatted metadata folder and the class-data archive (start in 2.3 s instead of 5)."""
    if kafka.archive.exists() and kafka.formatted.exists():
        return
    with locked(kafka.folder.with_name(kafka.folder.name + ".lock"), progress, "another process prepares Kafka's quick start"):
        with tempfile.TemporaryDirectory(dir=kafka.folder, prefix="preparing.") as name:
            work = Path(name)
            if not kafka.formatted.exists():
                _format(kafka, work)
            if not kafka.archive.exists():
                progress("preparing Kafka's quick start (about 10 s, once)")
                made = work / "made.jsa"
                trial = EmbeddedBroker(work / "trial", progress=progress)
                trial._archive_to = made
                with trial:
                    pass
                if made.exists():
                    made.rename(kafka.archive)


def _format(kafka: Distribution, work: Path) -> None:
    data, server = work / "format", work / "format.properties"
    properties = _CONFIG | {
        "listeners": "PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2",
        "controller.quorum.voters": "1@127.0.0.1:2",
        "log.dirs": str(data),
    }
    server.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    command = [kafka.java, "-Xmx128m", f"-Dlog4j2.configurationFile={kafka.logging}", "-cp", kafka.classpath]
    command += ["kafka.tools.StorageTool", "format", "-t", _uuid(), "-c", str(server)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise OperationError("broker_start_failed", f"expected Kafka to format its folder but it failed; do read this:\n{(done.stdout + done.stderr)[-_LOG_TAIL_BYTES:]}")
    data.rename(kafka.formatted)


def _copy_format(formatted: Path, data: Path) -> None:
    """A fresh cluster from the formatted folder: the same files under ids of its own. Written last: the file that marks it as formatted."""
    shutil.copytree(formatted, data, dirs_exist_ok=True, ignore=shutil.ignore_patterns("meta.properties"))
    text = (formatted / "meta.properties").read_text()
    for name in ("cluster.id", "directory.id"):
        text = re.sub(rf"(?m)^{re.escape(name)}=.*$", f"{name}={_uuid()}", text)
    (data / "meta.properties").write_text(text)


def _uuid() -> str:
    """Kafka's way of writing a UUID: url-safe base64 without padding, never beginning with a dash."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()).startswith("-"):
        pass
    return text


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]), int(two.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the broker does it: a port in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=0.5).close()
    except OSError:
        return False
    return True


def _has_brokers(admin: AdminClient) -> bool:
    try:
        return bool(admin.list_topics(timeout=1).brokers)
    except KafkaException:
        return False


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
