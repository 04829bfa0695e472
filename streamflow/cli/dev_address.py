"""Where the `streamflow dev` of a folder has its Kafka, so that other terminals in that folder need not be told; and
its sidecar, for its workers."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

from streamflow.settings import Settings


def _file(settings: Settings) -> Path:
    return settings.broker_dir / "dev.json"


@contextlib.contextmanager
def announced(settings: Settings, bootstrap: str) -> Iterator[None]:
    """Tells `running` in the same folder, as long as the block lasts."""
    file = _file(settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"bootstrap_servers": bootstrap, "pid": os.getpid()}))
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def running(settings: Settings) -> str | None:
    """The bootstrap servers of the `dev` that runs here, if one does."""
    try:
        said = json.loads(_file(settings).read_text())
        os.kill(int(said["pid"]), 0)
        return str(said["bootstrap_servers"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


class SidecarPlace:
    """Where the sidecar of a `dev` listens: the port of the settings, or a free one if somebody else has it. Its
    workers make callbacks for it, signed with a key of this folder, so that those given out before a restart are good
    after it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._port = _free_port(settings.sidecar.host, settings.sidecar.port)
        host = settings.sidecar.host
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self._port}"

    def environment(self) -> dict[str, str]:
        """What its processes are told, beyond the settings that are given."""
        told = {"STREAMFLOW_SIDECAR__PORT": str(self._port)}
        if self._settings.tasks.callback_url is None:
            told["STREAMFLOW_TASKS__CALLBACK_URL"] = self.url
        if self._settings.tasks.callback_secret is None:
            told["STREAMFLOW_TASKS__CALLBACK_SECRET"] = f"file:{self._key().absolute()}"
        return told

    def _key(self) -> Path:
        file = self._settings.broker_dir / "callback.key"
        with contextlib.suppress(FileExistsError):
            file.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as written:
                written.write(secrets.token_hex(32))
        return file


def _free_port(host: str, wanted: int) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in (wanted, 0):
        try:
            with socket.create_server((host, port), family=family) as tried:
                found: int = tried.getsockname()[1]
                return found
        except OSError:
            continue
    return wanted  # not a place to listen at all; the sidecar says so
