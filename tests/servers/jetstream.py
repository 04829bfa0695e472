"""NATS with JetStream and a password."""

from __future__ import annotations

import contextlib
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.servers.process import Process, ServerMissing, free_port, remove_folder, temporary_folder

USER = "streamflow"
PASSWORD = "nats-secret"

# The second user may publish nowhere.
_CONFIGURATION = """
listen: 127.0.0.1:{port}
http: 127.0.0.1:{monitor}
max_payload: 65536
jetstream {{ store_dir: "{folder}/jetstream", max_mem: 64M, max_file: 256M }}
authorization {{ users: [
  {{ user: {user}, password: "{password}" }}
  {{ user: reader, password: "{password}", permissions: {{ publish: {{ deny: ">" }} }} }}
] }}
"""


class NatsServer:
    """A running NATS server."""

    def __init__(self, folder: Path) -> None:
        self.port, self._monitor = free_port(), free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.user = USER
        self.password = PASSWORD
        configuration = folder / "nats.conf"
        configuration.write_text(
            _CONFIGURATION.format(port=self.port, monitor=self._monitor, folder=folder, user=USER, password=PASSWORD)
        )
        self._process = Process([program(), "-c", str(configuration)], folder / "log", self._is_ready)

    def start(self) -> None:
        """Starts it, on the same port and data each time."""
        self._process.start()

    def stop(self) -> None:
        """Ends it."""
        self._process.stop()

    def _is_ready(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self._monitor}/healthz", timeout=2).close()
        except (urllib.error.URLError, OSError):
            return False
        return True


@contextlib.contextmanager
def nats() -> Iterator[NatsServer]:
    """A NATS server. Raises ServerMissing."""
    program()
    folder = temporary_folder("nats")
    try:
        server = NatsServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        remove_folder(folder)


def program() -> str:
    """The server's program. Raises ServerMissing."""
    # Debian's lies where only administrators look.
    found = shutil.which(
        "nats-server", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    )
    if found is None:
        raise ServerMissing("nats-server is not installed. Run: make servers.")
    return found
