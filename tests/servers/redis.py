"""A Redis of the system's package, on loopback, with a password and nothing on disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import redis

from tests.servers.certificates import Authority
from tests.servers.process import Process, ServerMissing, free_port, remove_folder, temporary_folder

PASSWORD = "redis-secret: /+%"


class RedisServer:
    """A running Redis. `url` is its address with the password; with `secure` it is one of TLS alone, and names the
    authority that signed the server's certificate."""

    def __init__(self, folder: Path, *, secure: bool = False) -> None:
        self.port = free_port()
        place = f":{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/0"
        command = [program(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--requirepass", PASSWORD]
        command += ["--dir", str(folder)]
        if secure:
            authority = Authority(folder / "certificates")
            certificate = authority.issue("redis")
            command += ["--port", "0", "--tls-port", str(self.port), "--tls-cert-file", str(certificate)]
            command += ["--tls-key-file", str(certificate.with_suffix(".key")), "--tls-auth-clients", "no"]
            command += ["--tls-ca-cert-file", str(authority.certificate)]
            self.url = f"rediss://{place}?ssl_ca_certs={authority.certificate}"
        else:
            command += ["--port", str(self.port)]
            self.url = f"redis://{place}"
        self._process = Process(command, folder / "log", self._is_ready)

    def start(self) -> None:
        """Starts it, on the same port each time. It has forgotten everything."""
        self._process.start()

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

    def client(self) -> redis.Redis:
        """What asks it."""
        return redis.Redis.from_url(self.url, socket_timeout=5, decode_responses=True)

    def _is_ready(self) -> bool:
        with self.client() as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False


@contextlib.contextmanager
def redis_server(*, secure: bool = False) -> Iterator[RedisServer]:
    """A Redis. Raises ServerMissing."""
    program()
    folder = temporary_folder("redis")
    try:
        server = RedisServer(folder, secure=secure)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        remove_folder(folder)


def program() -> str:
    """The server's program. Raises ServerMissing."""
    found = shutil.which("redis-server")
    if found is None:
        raise ServerMissing("redis-server is not installed. Run: make servers.")
    return found
