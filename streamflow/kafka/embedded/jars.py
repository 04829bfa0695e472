"""Apache Kafka's jars, fetched once per user with Maven, with what makes a broker start quickly beside them.

The cache folder is keyed by Kafka's version and complete or absent: it is built under a lock in a temporary folder and
renamed. It holds `lib/` (the jars), `format/` (a formatted, empty metadata folder to copy) and `<java version>.jsa`
(the class-data archive).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from streamflow.errors import OperationError

KAFKA_VERSION = "4.3.1"
_JAVA_AT_LEAST = 17
_MAVEN_AT_LEAST = (3, 6)
_FETCH_TIMEOUT_S = 900.0

Progress = Callable[[str], None]


def say(text: str) -> None:
    """Writes one line of progress to stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


@dataclass(frozen=True, slots=True)
class Distribution:
    """A Kafka that can be started: where its cache folder is, and with which Java."""

    folder: Path
    java: str
    java_version: str

    @property
    def classpath(self) -> str:
        """All jars, in an order that stays the same: the class-data archive fits one classpath only."""
        return os.pathsep.join(str(jar) for jar in sorted((self.folder / "lib").glob("*.jar")))

    @property
    def archive(self) -> Path:
        """The class-data archive of this Java, which may not exist yet."""
        return self.folder / f"java-{self.java_version}.jsa"

    @property
    def logging(self) -> Path:
        """The broker's logging configuration."""
        return self.folder / "log4j2.properties"

    @property
    def formatted(self) -> Path:
        """An empty formatted metadata folder, which may not exist yet."""
        return self.folder / "format"


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The per-user folder of this Kafka version: below `STREAMFLOW_CACHE`, else `XDG_CACHE_HOME`, else `~/.cache`."""
    own = environ.get("STREAMFLOW_CACHE")
    root = Path(own) if own else Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "streamflow"
    return root.expanduser().absolute() / f"kafka-{KAFKA_VERSION}"


def distribution(progress: Progress = say) -> Distribution:
    """A Kafka that can be started, fetched if it is not in the cache yet (about 45 MB, once).

    Raises OperationError if Java or Maven is missing or too old, or the download fails."""
    java, java_version = _java()
    folder = cache_folder()
    if not (folder / "lib").is_dir():
        with locked(folder.with_name(folder.name + ".lock"), progress, "another process fetches Apache Kafka"):
            if not (folder / "lib").is_dir():
                _fetch(folder, progress)
    return Distribution(folder, java, java_version)


@contextlib.contextmanager
def locked(path: Path, progress: Progress, waiting_for: str) -> Iterator[None]:
    """Holds an exclusive lock on `path`, shared by all processes of this machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"waiting: {waiting_for}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(folder: Path, progress: Progress) -> None:
    maven = _maven()
    progress(f"fetching Apache Kafka {KAFKA_VERSION} with Maven into {folder} (about 45 MB, once)")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=folder.name + ".") as name:
        building = Path(name) / "kafka"
        building.mkdir()
        for file in ("pom.xml", "log4j2.properties"):
            (building / file).write_bytes(resources.files("streamflow.kafka").joinpath(file).read_bytes())
        command = [maven, "--batch-mode", "--quiet", "--strict-checksums", "-f", str(building / "pom.xml")]
        command += ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={building / 'lib'}"]
        _run(command, "kafka_fetch_failed", "expected Maven to fetch Apache Kafka", _FETCH_TIMEOUT_S, progress)
        if not any((building / "lib").glob("kafka_2.13-*.jar")):
            raise OperationError(
                "kafka_fetch_failed", "expected Maven to copy Kafka's jars but none is there. Run it again."
            )
        if folder.exists():
            shutil.rmtree(folder)
        building.rename(folder)


def _run(command: list[str], code: str, expected: str, timeout_s: float, progress: Progress) -> None:
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            while True:
                try:
                    process.wait(10)
                    break
                except subprocess.TimeoutExpired:
                    waited = time.monotonic() - started
                    if waited > timeout_s:
                        found = f"it did not within {timeout_s:.0f} s"
                        raise OperationError(
                            code, f"{expected} but {found}. Check the network and try again."
                        ) from None
                    progress(f"  ... {waited:.0f} s")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode:
            output.seek(0)
            tail = output.read()[-2000:].decode(errors="replace")
            raise OperationError(
                code,
                f"{expected} but it ended with {process.returncode}. Its last output, then try again:\n{tail}",
            )


def _java() -> tuple[str, str]:
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin") if home else None
    java = java or shutil.which("java")
    remedy = (
        f"do install Java {_JAVA_AT_LEAST} or newer, or name a running Kafka in STREAMFLOW_KAFKA__BOOTSTRAP_SERVERS"
    )
    if java is None:
        raise OperationError(
            "java_missing",
            f"expected Java to start Kafka with but found no `java` on the PATH; {remedy}",
            retryable=False,
        )
    text = _version_text([java, "-version"])
    named = re.search(r'version "((\d+)[^"]*)"', text)
    version = named.group(1) if named else ""
    if named is None or int(named.group(2)) < _JAVA_AT_LEAST:
        found = f"{java} is {version or text.strip()!r}"
        raise OperationError(
            "java_too_old", f"expected Java {_JAVA_AT_LEAST} or newer but {found}; {remedy}", retryable=False
        )
    return java, version


def _maven() -> str:
    maven = shutil.which("mvn")
    remedy = "do install Maven 3.6 or newer, or name a running Kafka in STREAMFLOW_KAFKA__BOOTSTRAP_SERVERS"
    if maven is None:
        raise OperationError(
            "maven_missing",
            f"expected Maven to fetch Kafka with but found no `mvn` on the PATH; {remedy}",
            retryable=False,
        )
    named = re.search(r"Apache Maven (\d+)\.(\d+)", _version_text([maven, "--version"]))
    if named is None or (int(named.group(1)), int(named.group(2))) < _MAVEN_AT_LEAST:
        found = named.group() if named else "an unknown one"
        raise OperationError(
            "maven_too_old", f"expected Maven 3.6 or newer but found {found}; {remedy}", retryable=False
        )
    return maven


def _version_text(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        asked = f"expected `{' '.join(command)}` to answer"
        raise OperationError(
            "java_broken", f"{asked} but {error}. Repair the installation.", retryable=False
        ) from error
    return done.stdout + done.stderr
