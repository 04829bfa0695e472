"""A Kafka of one's own: one Apache Kafka process on loopback, for `dev`, `demo` and tests. Not for production.

It ends with the process that started it, by whatever end: streamflow starts a watchdog (watchdog.py) that reads from a
pipe whose only write end is ours. The kernel closes that when we die, so nothing depends on signal handlers, on exit
hooks or on the thread that started the broker (the kernel's own parent-death signal follows the *thread* that forked:
the single-threaded watchdog may use it, we could not).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streamflow.errors import OperationError
from streamflow.kafka.embedded import watchdog
from streamflow.kafka.embedded.jars import Distribution, Progress, distribution, locked, say
from streamflow.kafka.embedded.node import (
    Ports,
    answers,
    copy_format,
    format_folder,
    free_ports,
    keep_ports,
    kept_ports,
    properties,
    write_properties,
)
from streamflow.settings import Settings

# the second compiler costs a short life more than it saves
JVM = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8")
_START_TIMEOUT_S = 120.0
_PAUSE_TIMEOUT_S = 5.0
_STOP_GRACE_S = 20.0
_LOG_TAIL_BYTES = 2048


class EmbeddedBroker:
    """One Kafka process with its own data folder; a context manager, or `start()` and `stop()`.

    `config` overrides broker properties. A second start on the same folder keeps its data and, while they are free, its
    ports. All waits report to `progress`. Errors carry the end of the broker's log. `archive_to` makes the class-data
    archive when it stops."""

    def __init__(
        self,
        data_dir: Path,
        *,
        config: Mapping[str, str] | None = None,
        progress: Progress = say,
        stop_grace_s: float = _STOP_GRACE_S,
        archive_to: Path | None = None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.log_file = self.data_dir / "broker.log"
        self.bootstrap_servers = ""
        self._config = dict(config or {})
        self._progress = progress
        self._stop_grace_s = stop_grace_s
        self._archive_to = archive_to
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._java_pid = 0

    def __enter__(self) -> EmbeddedBroker:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the broker's process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the Java process last started; 0 before the first start."""
        return self._java_pid

    def start(self, timeout_s: float = _START_TIMEOUT_S) -> EmbeddedBroker:
        """Starts the broker and returns once it answers requests for metadata.

        Raises OperationError if Java or Maven are missing, the folder is in use, or the broker does not get ready."""
        if self.running:
            return self
        self.stop()
        kafka = distribution(self._progress)
        if self._archive_to is None:
            _prepare(kafka, self._progress)
        self._lock = self._acquire()
        try:
            self._start_on_free_ports(kafka, time.monotonic() + timeout_s)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stops the broker in order (0.5 to 4 s), by force after the grace time; returns when its process has ended.
        Harmless when stopped."""
        self._reap()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def kill(self) -> None:
        """Kills the broker as a crash would (kill -9); `start()` begins again on the same data."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself: a full disk, say
                os.kill(self._java_pid, signal.SIGKILL)
        self.stop()

    def pause(self) -> None:
        """Keeps the broker from running without ending it: connections stay open and nothing answers, from the return
        of this call on."""
        os.kill(self._java_pid, signal.SIGSTOP)
        deadline = time.monotonic() + _PAUSE_TIMEOUT_S
        while not _stopped(self._java_pid) and time.monotonic() < deadline:
            time.sleep(0.01)

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

    def _acquire(self) -> IO[str]:
        """Locks the folder. The watchdog holds the lock too, so it is free only when the broker has stopped, also after
        our own kill -9."""
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
                if (owner and _alive(int(owner))) or time.monotonic() > deadline:
                    lock.close()
                    found = f"process {owner or '(unknown)'} runs a Kafka there"
                    remedy = "do stop that one or choose another broker_dir"
                    raise OperationError(
                        "broker_folder_in_use",
                        f"expected to have {self.data_dir} alone but {found}; {remedy}",
                        retryable=False,
                    ) from None
                time.sleep(0.1)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        return lock

    def _start_on_free_ports(self, kafka: Distribution, deadline: float) -> None:
        ports_file = self.data_dir / "ports.json"
        ports = kept_ports(ports_file) or free_ports()
        for last in (False, False, True):
            log_begins = self.log_file.stat().st_size if self.log_file.exists() else 0
            self._launch(kafka, ports)
            try:
                self._wait_ready(ports, deadline)
            except OperationError:
                # Between our look and the broker's bind another process may have taken a port.
                if last or "Address already in use" not in self._log_from(log_begins):
                    raise
                self._reap()
                ports = free_ports()
            else:
                keep_ports(ports_file, ports)
                return

    def _launch(self, kafka: Distribution, ports: Ports) -> None:
        self.bootstrap_servers = f"127.0.0.1:{ports.client}"
        data, server = self.data_dir / "data", self.data_dir / "server.properties"
        write_properties(server, properties(data, ports, self._config))
        if not (data / "meta.properties").exists():
            copy_format(kafka.formatted, data)
        java = [kafka.java, *JVM, f"-Dlog4j2.configurationFile={kafka.logging}"]
        if self._archive_to is not None:
            java.append(f"-XX:ArchiveClassesAtExit={self._archive_to}")
        elif kafka.archive.exists():
            java.append(f"-XX:SharedArchiveFile={kafka.archive}")
        command = [sys.executable, "-I", "-S", watchdog.__file__, str(self._stop_grace_s)]
        command += [*java, "-cp", kafka.classpath, "kafka.Kafka", str(server)]
        assert self._lock is not None
        pass_fds = (self._lock.fileno(),)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                pass_fds=pass_fds,
            )
        assert self._process.stdout is not None
        first = self._process.stdout.readline()
        if not first:
            raise self._not_started("its watchdog did not")
        self._java_pid = int(first)

    def _wait_ready(self, ports: Ports, deadline: float) -> None:
        assert self._process is not None
        started, said = time.monotonic(), 0.0
        admin: AdminClient | None = None
        while True:
            waited = time.monotonic() - started
            if self._process.poll() is not None:
                raise self._not_started("it ended")
            if admin is None and answers(ports.client):
                admin = AdminClient(
                    {"bootstrap.servers": self.bootstrap_servers, "client.id": "streamflow-ready", "log_level": 0}
                )
            if admin is not None and _has_brokers(admin):
                return
            if time.monotonic() > deadline:
                raise self._not_started(f"it was not ready after {waited:.0f} s")
            if waited - said >= 5:
                said = waited
                self._progress(f"waiting for Kafka to start ... {waited:.0f} s")
            time.sleep(0.05)

    def _not_started(self, what: str) -> OperationError:
        return OperationError(
            "broker_start_failed",
            f"expected Kafka to start but {what}. Read the end of {self.log_file}:\n{self.log_tail()}",
        )

    def _log_from(self, offset: int) -> str:
        with self.log_file.open("rb") as log:
            log.seek(offset)
            return log.read().decode(errors="replace")

    def _reap(self) -> None:
        """Ends the process and waits for it: the end of the watchdog's input makes it stop the broker."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(self._stop_grace_s + 10)
        except subprocess.TimeoutExpired:
            self._progress("Kafka does not stop; killing it")
        finally:
            # Also after an impatient second Ctrl-C. Killing the watchdog makes the kernel kill the broker.
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stdout.close()


@contextlib.contextmanager
def open_broker(settings: Settings, progress: Progress = say) -> Iterator[str]:
    """The bootstrap servers of the Kafka that the settings name; of one started in `settings.broker_dir` if they name
    none.

    Raises OperationError as `EmbeddedBroker.start` does, and `broker_unset` when a secured broker is wanted and none is
    named."""
    if settings.kafka.bootstrap_servers:
        yield settings.kafka.bootstrap_servers
        return
    if settings.kafka.security_protocol != "PLAINTEXT":
        raise OperationError(
            "broker_unset",
            f"The settings say kafka.security_protocol {settings.kafka.security_protocol} but name no broker, and the "
            "Kafka that streamflow starts itself uses PLAINTEXT. Set kafka.bootstrap_servers, or remove the protocol.",
            retryable=False,
        )
    with EmbeddedBroker(settings.broker_dir, progress=progress) as broker:
        yield broker.bootstrap_servers


def _prepare(kafka: Distribution, progress: Progress) -> None:
    """Makes, once per cache, the formatted folder and the class-data archive, with which a start takes 2.3 s instead of
    5."""
    if kafka.archive.exists() and kafka.formatted.exists():
        return
    with (
        locked(
            kafka.folder.with_name(kafka.folder.name + ".lock"),
            progress,
            "another process prepares Kafka's quick start",
        ),
        tempfile.TemporaryDirectory(dir=kafka.folder, prefix="preparing.") as name,
    ):
        work = Path(name)
        if not kafka.formatted.exists():
            format_folder(kafka, work)
        if not kafka.archive.exists():
            progress("preparing Kafka's quick start (about 10 s, once)")
            made = work / "made.jsa"
            with EmbeddedBroker(work / "trial", progress=progress, archive_to=made):
                pass
            # A Java that cannot make one is no error: the broker then starts without.
            if made.exists():
                made.rename(kafka.archive)


def _has_brokers(admin: AdminClient) -> bool:
    try:
        return bool(admin.list_topics(timeout=1).brokers)
    except KafkaException:
        return False


def _stopped(pid: int) -> bool:
    """Whether every thread of a process stands still; the signal reaches them one by one. True where no /proc tells."""
    threads = Path(f"/proc/{pid}/task")
    return all(stat.read_text().rpartition(")")[2].split()[0] in "TZ" for stat in threads.glob("*/stat"))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
