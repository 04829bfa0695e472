"""Keycloak, a provider of OpenID Connect: by Maven as Kafka, on a file database. Only `make test-full` needs it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from streamflow.kafka.embedded.jars import cache_folder, locked, say
from tests.servers.process import Process, ServerMissing, free_port, remove_folder, temporary_folder

VERSION = "26.7.3"
ADMIN = "admin"
PASSWORD = "keycloak-admin"
_FETCH_S = 900
_READY_S = 240.0  # a start takes 20 s on a machine that does nothing else

_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"> <modelVersion>4.0.0</modelVersion>
<groupId>streamflow</groupId><artifactId>keycloak</artifactId><version>1</version><packaging>pom</packaging>
<dependencies><dependency><groupId>org.keycloak</groupId><artifactId>keycloak-quarkus-dist</artifactId>
<version>{VERSION}</version><type>zip</type><exclusions>
<exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion>
</exclusions></dependency></dependencies></project> """
_JAVA = ["-Xmx384m", "-XX:MaxMetaspaceSize=256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
_JAVA += [
    "-Djava.util.concurrent.ForkJoinPool.common.threadFactory="
    "io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory"
]
for _package in ("java.util", "java.util.concurrent", "java.security", "java.lang"):
    _JAVA.append(f"--add-opens=java.base/{_package}=ALL-UNNAMED")


class Keycloak:
    """A running Keycloak with one realm, imported at its first start. What changes there outlives `stop`."""

    def __init__(self, distribution: Path, folder: Path, realm: dict[str, Any]) -> None:
        self.port = free_port()
        self.realm = str(realm["realm"])
        self.address = f"http://127.0.0.1:{self.port}"
        self.issuer = f"{self.address}/realms/{self.realm}"
        for name in ("lib", "conf", "providers", "themes"):
            (folder / name).symlink_to(distribution / name)
        given = folder / "data" / "import"
        given.mkdir(parents=True)
        (given / f"{self.realm}.json").write_text(json.dumps(realm))
        tables = distribution / "template"
        if tables.is_dir():  # the tables of a first start, which take a minute
            shutil.copytree(tables, folder / "data" / "h2")
        command = ["java", *_JAVA, f"-Dkc.home.dir={folder}", "-cp", str(folder / "lib" / "quarkus-run.jar")]
        command += ["io.quarkus.bootstrap.runner.QuarkusEntryPoint", "start", "--optimized", "--import-realm"]
        command += ["--http-enabled=true", "--http-host=127.0.0.1", f"--http-port={self.port}"]
        command += [f"--hostname={self.address}", "--cache=local"]
        self._process = Process(command, folder / "log", self._is_ready, ready_s=_READY_S)

    def start(self) -> None:
        """Starts it, on the same port and database each time."""
        self._process.start({"KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN, "KC_BOOTSTRAP_ADMIN_PASSWORD": PASSWORD})

    def stop(self) -> None:
        """Ends it."""
        self._process.stop()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Takes requests and answers none."""
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What the API for admins of the realm answers; None where that is empty. Raises HTTPError."""
        form = {"grant_type": "password", "client_id": "admin-cli", "username": ADMIN, "password": PASSWORD}
        place = f"{self.address}/realms/master/protocol/openid-connect/token"
        token = _answer(urllib.request.Request(place, urllib.parse.urlencode(form).encode()))["access_token"]
        request = urllib.request.Request(
            f"{self.address}/admin/realms/{self.realm}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            method=method,
        )
        return _answer(request)

    def user(self, name: str) -> dict[str, Any]:
        """A user of the realm."""
        found: list[dict[str, Any]] = self.ask("GET", f"/users?exact=true&username={urllib.parse.quote(name)}")
        return found[0]

    def _is_ready(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.issuer}/.well-known/openid-configuration", timeout=2).close()
        except OSError:
            return False
        return True


def _answer(request: urllib.request.Request) -> Any:
    with urllib.request.urlopen(request, timeout=60) as answer:
        content = answer.read()
    return json.loads(content) if content else None


@contextlib.contextmanager
def keycloak_server(realm: dict[str, Any]) -> Iterator[Keycloak]:
    """A Keycloak with `realm`, as Keycloak exports and imports them. Raises ServerMissing."""
    with _started(installed(), realm) as running:
        yield running


@contextlib.contextmanager
def _started(distribution: Path, realm: dict[str, Any]) -> Iterator[Keycloak]:
    folder = temporary_folder("keycloak")
    try:
        made = Keycloak(distribution, folder, realm)
        try:
            made.start()
            yield made
        finally:
            made.stop()
    finally:
        remove_folder(folder)


def installed() -> Path:
    """The folder of Keycloak. Raises ServerMissing."""
    if shutil.which("java") is None:
        raise ServerMissing("Keycloak needs Java 17 or newer. Install it.")
    folder = _folder()
    if not folder.is_dir():
        raise ServerMissing("Keycloak is not installed. Run: STREAMFLOW_TEST_ALL=1 make servers.")
    return folder


def fetch(progress: Callable[[str], None] = say) -> None:
    """Fetches Keycloak with Maven into the cache folder, and makes it ready to start quickly, once (minutes). Raises
    ServerMissing."""
    folder = _folder()
    if folder.is_dir():
        return
    if shutil.which("mvn") is None:
        raise ServerMissing("fetching Keycloak for tests needs Maven. Install it.")
    with locked(folder.with_name(folder.name + ".lock"), progress, "another process fetches Keycloak for tests"):
        if folder.is_dir():
            return
        progress(f"fetching Keycloak {VERSION} with Maven, and building it (about 180 MB and some minutes, once)")
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=folder.name + ".") as name:
            pom = Path(name) / "pom.xml"
            pom.write_text(_POM)
            command = ["mvn", "--batch-mode", "--quiet", "--strict-checksums", "-f", str(pom)]
            _run([*command, "dependency:unpack-dependencies", f"-DoutputDirectory={name}"])
            made = Path(name) / f"keycloak-{VERSION}"
            _run(["sh", str(made / "bin" / "kc.sh"), "build", "--db=dev-file"])
            made.rename(folder)
        try:
            _make_tables(folder)
        except BaseException:
            remove_folder(folder)
            raise


def _make_tables(folder: Path) -> None:
    """Keeps the database of a first start, in which nothing is yet."""
    place = temporary_folder("keycloak")
    try:
        made = Keycloak(folder, place, {"realm": "first", "enabled": True})
        try:
            made.start()
            made.ask("DELETE", "")
        finally:
            made.stop()
        shutil.copytree(place / "data" / "h2", folder / "template")
    except (RuntimeError, OSError) as error:
        raise ServerMissing(f"Keycloak for tests does not start: {error}") from error
    finally:
        remove_folder(place)


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=_FETCH_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerMissing(f"Keycloak for tests cannot be fetched: {error}") from error
    if done.returncode:
        said = (done.stdout + done.stderr)[-2000:]
        raise ServerMissing(f"Keycloak for tests could not be fetched. Its last output, then try again:\n{said}")


def is_wanted() -> bool:
    """Whether all tests are to run: nobody else needs so much."""
    return bool(os.environ.get("STREAMFLOW_TEST_ALL"))


def _folder() -> Path:
    return cache_folder().with_name(f"keycloak-{VERSION}")
