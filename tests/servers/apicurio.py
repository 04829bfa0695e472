"""A schema registry: Apicurio, by Maven as Kafka, in memory. Its API is that of Confluent's."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from streamflow.kafka.embedded.jars import cache_folder, locked, say
from tests.servers.process import Process, ServerMissing, free_port, remove_folder, temporary_folder

VERSION = "3.3.3"
_ARTIFACT = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
_JAVA_AT_LEAST = 21

# Confluent's serializers ask for associations first, which Apicurio does not have: of a few hundred requests for a path
# that it does not know it leaves one without an answer.
BY_TOPIC = {"subject.name.strategy.type": "TOPIC"}
_OPTIONS = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+AutoCreateSharedArchive")
_JVMS = Path("/usr/lib/jvm")  # where packages of Debian, Ubuntu and Fedora put Java


class SchemaRegistry:
    """A running registry; `url` is its API. What is registered is gone when it ends."""

    def __init__(self, folder: Path) -> None:
        program, java = installed(), _java()
        self.port, self._management = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}/apis/ccompat/v7"
        archive = f"-XX:SharedArchiveFile={program.with_name(program.name + '.jsa')}"
        command = [java, *_OPTIONS, archive, "-jar", str(program / "quarkus-run.jar")]
        self._process = Process(command, folder / "log", self._is_ready)

    def start(self) -> None:
        """Starts it, on the same port each time, and empty."""
        self._process.start(
            {
                "QUARKUS_HTTP_HOST": "127.0.0.1",
                "QUARKUS_HTTP_PORT": str(self.port),
                "QUARKUS_MANAGEMENT_HOST": "127.0.0.1",
                "QUARKUS_MANAGEMENT_PORT": str(self._management),
                "APICURIO_DATASOURCE_URL": f"jdbc:h2:mem:registry-{self.port}",
            }
        )

    def stop(self) -> None:
        """Ends it."""
        self._process.stop()

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/subjects", timeout=2) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as answer:
            answer.close()
            return False
        except OSError:
            return False


@contextlib.contextmanager
def schema_registry() -> Iterator[SchemaRegistry]:
    """An empty registry. Raises ServerMissing."""
    installed()
    folder = temporary_folder("registry")
    try:
        registry = SchemaRegistry(folder)
        registry.start()
        try:
            yield registry
        finally:
            registry.stop()
    finally:
        remove_folder(folder)


def installed() -> Path:
    """The folder of the program. Raises ServerMissing."""
    _java()
    folder = _folder()
    if not folder.is_dir():
        raise ServerMissing("the schema registry for tests is not installed. Run: make servers.")
    return folder


def fetch(progress: Callable[[str], None] = say) -> None:
    """Fetches the program with Maven into the cache folder, once. Raises ServerMissing."""
    folder = _folder()
    if folder.is_dir():
        return
    _java()
    if shutil.which("mvn") is None:
        raise ServerMissing("fetching the schema registry for tests needs Maven. Install it.")
    lock = folder.with_name(folder.name + ".lock")
    with locked(lock, progress, "another process fetches the schema registry for tests"):
        if folder.is_dir():
            return
        progress(f"fetching Apicurio Registry {VERSION} with Maven (about 160 MB, once)")
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=folder.name + ".") as name:
            packed, program = Path(name) / "packed", Path(name) / "program"
            command = ["mvn", "--batch-mode", "--quiet", "--strict-checksums", "dependency:copy"]
            command += [f"-Dartifact={_ARTIFACT}", f"-DoutputDirectory={packed}"]
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=900
            )
            found = next(packed.glob("*.tar.gz"), None) if packed.is_dir() else None
            if done.returncode or found is None:
                raise ServerMissing(
                    "Maven could not fetch the schema registry for tests. Read its last words and try "
                    f"again:\n{done.stdout[-2000:]}"
                )
            with tarfile.open(found) as archive:
                archive.extractall(program, filter="data")
            (next(program.rglob("quarkus-run.jar")).parent).rename(folder)


def _java() -> str:
    """A Java that is new enough. Raises ServerMissing."""
    home = os.environ.get("JAVA_HOME")
    places = [f"{home}/bin/java"] if home else []
    places += filter(None, [shutil.which("java")])
    places += sorted(map(str, _JVMS.glob("*/bin/java")), reverse=True)
    for place in places:
        if _version(place) >= _JAVA_AT_LEAST:
            return place
    raise ServerMissing(f"the schema registry for tests needs Java {_JAVA_AT_LEAST} or newer. Install it.")


def _version(java: str) -> int:
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    named = re.search(r'version "(\d+)', done.stderr)
    return int(named[1]) if named else 0


def _folder() -> Path:
    return cache_folder().with_name(f"apicurio-{VERSION}")
