"""PostgreSQL: a cluster of its own with passwords, in a temporary folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.servers.process import Process, ServerMissing, accepts, free_port, remove_folder, temporary_folder

USER = "streamflow"
PASSWORD = "postgres secret"
DATABASE = "streamflow"

# Quick, and still real; a killed server recovers from its log, which is why fsync is left alone in effect: the machine
# does not crash here.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "shared_buffers": "32MB",
    "max_connections": "50",
    "lc_messages": "C",
}


class PostgresServer:
    """A running PostgreSQL. `url` has no secrets; `dsn` has them."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.user = USER
        self.password = PASSWORD
        self.url = f"postgresql://127.0.0.1:{self.port}/{DATABASE}"
        self.dsn = f"postgresql://{USER}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.port}/{DATABASE}"
        self._folder = folder
        self._binaries = binaries()
        data = folder / "data"
        options = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        command = [
            *_as_owner(),
            str(self._binaries / "postgres"),
            "-D",
            str(data),
            "-p",
            str(self.port),
            "-k",
            str(folder),
            *options,
        ]
        # SIGQUIT is PostgreSQL's immediate stop: no farewell, and recovery at the next start.
        self._process = Process(command, folder / "log", self._is_ready, stop_signal=signal.SIGQUIT)
        self._make()

    def start(self) -> None:
        """Starts it, on the same port and data each time."""
        self._process.start()

    def kill(self) -> None:
        """Ends it at once, whatever is under way."""
        self._process.end(signal.SIGQUIT)

    def run(self, sql: str) -> str:
        """What `psql` writes for `sql`, one row a line, columns with `|` between; by a connection of its own."""
        command = [str(self._binaries / "psql"), "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-d", self.dsn, "-c", sql]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()

    def _is_ready(self) -> bool:
        return (
            accepts(self.port)
            and subprocess.run(
                [str(self._binaries / "pg_isready"), "-q", "-d", self.url], check=False, timeout=10
            ).returncode
            == 0
        )

    def _make(self) -> None:
        password = self._folder / "password"
        password.write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (self._folder, password):
                shutil.chown(path, "postgres", "postgres")
        command = [
            *_as_owner(),
            str(self._binaries / "initdb"),
            "-D",
            str(self._folder / "data"),
            "-U",
            USER,
            "--auth=scram-sha-256",
        ]
        command += [f"--pwfile={password}", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=self._folder)
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")


@contextlib.contextmanager
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL with a user and an empty database `streamflow`. Raises ServerMissing."""
    binaries()
    folder = temporary_folder("postgres")
    try:
        server = PostgresServer(folder)
        server.start()
        try:
            server_database = server.dsn.rsplit("/", 1)[0] + "/postgres"
            subprocess.run(
                [str(binaries() / "psql"), "-X", "-q", "-d", server_database, "-c", f"CREATE DATABASE {DATABASE}"],
                check=True,
                timeout=30,
            )
            yield server
        finally:
            server.kill()
    finally:
        remove_folder(folder)


def binaries() -> Path:
    """The folder of PostgreSQL's programs. Raises ServerMissing."""
    installed = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3].split(".")[0])
    )
    on_path = shutil.which("postgres")
    found = Path(on_path).resolve() if on_path else installed[-1] if installed else None
    if found is None:
        raise ServerMissing("PostgreSQL is not installed. Run: make servers.")
    if os.geteuid() == 0 and not _postgres_user_exists():
        raise ServerMissing("PostgreSQL refuses to run as root and there is no user postgres. Run: make servers.")
    return found.parent


def _postgres_user_exists() -> bool:
    return subprocess.run(["id", "-u", "postgres"], capture_output=True, check=False).returncode == 0


def _as_owner() -> list[str]:
    """What makes a command run as the user postgres, if we are root."""
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
