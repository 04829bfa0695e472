"""An S3 server that checks signatures: S3Proxy, by Maven as Kafka, on a folder."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from streamflow.kafka.embedded.jars import cache_folder, locked, say
from tests.servers.process import Process, ServerMissing, free_port, remove_folder, temporary_folder

VERSION = "3.0.0"
USER = "streamflow"
PASSWORD = "object-store-secret"
BUCKET = "streamflow"

# Without the clients of other stores: 25 MB and a hundred downloads that a folder does not need.
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"> <modelVersion>4.0.0</modelVersion>
<groupId>streamflow</groupId><artifactId>object-store</artifactId><version>1</version><packaging>pom</packaging>
<dependencies><dependency><groupId>org.gaul</groupId><artifactId>s3proxy</artifactId><version>{VERSION}</version><exclusions>
<exclusion><groupId>com.amazonaws</groupId><artifactId>*</artifactId></exclusion>
<exclusion><groupId>com.azure</groupId><artifactId>*</artifactId></exclusion>
<exclusion><groupId>io.opentelemetry</groupId><artifactId>*</artifactId></exclusion>
<exclusion><groupId>software.amazon.awssdk</groupId><artifactId>*</artifactId></exclusion>
</exclusions></dependency></dependencies></project> """
_LOGGING = (
    '<configuration><appender name="C" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>%d %p %c: '
    "%m%n</pattern></encoder></appender>"
)
_LOGGING += '<root level="WARN"><appender-ref ref="C"/></root></configuration>\n'
_PROPERTIES = """s3proxy.authorization=aws-v2-or-v4
s3proxy.endpoint=http://127.0.0.1:{port}
s3proxy.identity={user}
s3proxy.credential={password}
jclouds.provider=filesystem-nio2
jclouds.identity=unused
jclouds.credential=unused
jclouds.filesystem.basedir={folder}
"""


class ObjectStore:
    """A running S3 server. `folder` holds its buckets as folders."""

    def __init__(self, folder: Path) -> None:
        jars = installed()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.user = USER
        self.password = PASSWORD
        self.region = "us-east-1"
        self.bucket = BUCKET
        self.folder = folder / "buckets"
        self.folder.mkdir()
        self.make_bucket(BUCKET)
        properties, logging = folder / "s3proxy.conf", folder / "logback.xml"
        properties.write_text(_PROPERTIES.format(port=self.port, user=USER, password=PASSWORD, folder=self.folder))
        logging.write_text(_LOGGING)
        command = [
            "java",
            "-Xmx128m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            f"-Dlogback.configurationFile={logging}",
        ]
        command += ["-cp", f"{jars}/*", "org.gaul.s3proxy.Main", "--properties", str(properties)]
        self._process = Process(command, folder / "log", self._is_ready)

    def make_bucket(self, name: str) -> None:
        """Adds a bucket."""
        (self.folder / name).mkdir(exist_ok=True)

    def start(self) -> None:
        """Starts it, on the same port and buckets each time."""
        self._process.start()

    def stop(self) -> None:
        """Ends it."""
        self._process.stop()

    def _is_ready(self) -> bool:
        try:
            urllib.request.urlopen(self.url, timeout=2).close()
        except urllib.error.HTTPError as answer:
            answer.close()
            return True
        except OSError:
            return False
        return True


@contextlib.contextmanager
def object_store(*buckets: str) -> Iterator[ObjectStore]:
    """An S3 server with the bucket `streamflow`, and `buckets`. Raises ServerMissing."""
    installed()
    folder = temporary_folder("objects")
    try:
        store = ObjectStore(folder)
        for bucket in buckets:
            store.make_bucket(bucket)
        store.start()
        try:
            yield store
        finally:
            store.stop()
    finally:
        remove_folder(folder)


def installed() -> Path:
    """The folder of the server's jars. Raises ServerMissing."""
    if shutil.which("java") is None:
        raise ServerMissing("the object store for tests needs Java 17 or newer. Install it.")
    folder = _folder()
    if not folder.is_dir():
        raise ServerMissing("the object store for tests is not installed. Run: make servers.")
    return folder


def fetch(progress: Callable[[str], None] = say) -> None:
    """Fetches the server with Maven into the cache folder, once."""
    folder = _folder()
    if folder.is_dir():
        return
    if shutil.which("mvn") is None:
        raise ServerMissing("fetching the object store for tests needs Maven. Install it.")
    with locked(
        folder.with_name(folder.name + ".lock"), progress, "another process fetches the object store for tests"
    ):
        if folder.is_dir():
            return
        progress(f"fetching S3Proxy {VERSION} with Maven (about 17 MB, once)")
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=folder.name + ".") as name:
            pom, jars = Path(name) / "pom.xml", Path(name) / "jars"
            pom.write_text(_POM)
            command = [
                "mvn",
                "--batch-mode",
                "--quiet",
                "--strict-checksums",
                "-f",
                str(pom),
                "dependency:copy-dependencies",
            ]
            command += ["-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=900
            )
            if done.returncode:
                raise ServerMissing(
                    "Maven could not fetch the object store for tests. Its last output, then try "
                    "again:\n{done.stdout[-2000:]}"
                )
            jars.rename(folder)


def _folder() -> Path:
    return cache_folder().with_name(f"s3proxy-{VERSION}")
