"""The environment of the `streamflow dev` of a folder: its Kafka, prefix and name, stored so that later commands in
that folder use the same; and its sidecar, for its workers."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from streamflow.settings import Settings


def _file(settings: Settings) -> Path:
    return settings.broker_dir / "dev.json"


class Remembered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the `dev` of a folder speaks to, or the last one spoke to."""

    prefix: str  # of the topics
    environment: str  # its name
    bootstrap_servers: str | None = None  # None: a Kafka of its own, which ended with it
    own: bool  # whether the Kafka is its own
    pid: int | None = None  # of the `dev`, while it runs

    def over(self, given: Settings) -> Settings:
        """`given` with what is remembered instead of what nobody set. The address, the prefix and the environment
        belong together: where another address is set nothing is taken, where another prefix is set the environment is
        not."""
        if given.kafka.bootstrap_servers not in (None, self.bootstrap_servers):
            return given
        found = given
        if self.bootstrap_servers is not None:
            found = _updated(found, kafka={"bootstrap_servers": self.bootstrap_servers})
        if "prefix" not in given.topics.model_fields_set:
            found = _updated(found, topics={"prefix": self.prefix})
        if found.topics.prefix == self.prefix and "environment" not in given.model_fields_set:
            found = found.model_copy(update={"environment": self.environment})
        return found


def _updated(settings: Settings, **sections: dict[str, str]) -> Settings:
    return settings.model_copy(
        update={name: getattr(settings, name).model_copy(update=values) for name, values in sections.items()}
    )


@contextlib.contextmanager
def announced(settings: Settings, bootstrap: str) -> Iterator[None]:
    """Remembers in this folder what `settings` speak to, for good, and that a `dev` runs at `bootstrap`, as long as the
    block lasts."""
    own = settings.kafka.bootstrap_servers is None
    kept = Remembered(
        prefix=settings.topics.prefix,
        environment=settings.environment,
        bootstrap_servers=bootstrap,
        own=own,
        pid=os.getpid(),
    )
    _remember(settings, kept)
    try:
        yield
    finally:
        _remember(settings, msgspec.structs.replace(kept, pid=None, bootstrap_servers=None if own else bootstrap))


def _remember(settings: Settings, kept: Remembered) -> None:
    file = _file(settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.encode(kept))


def remembered(settings: Settings) -> Remembered | None:
    """What the `dev` of this folder speaks to, or the last one spoke to; None when there was none. The Kafka that a
    `dev` started is named only while that `dev` runs."""
    try:
        kept = msgspec.json.decode(_file(settings).read_bytes(), type=Remembered)
    except (OSError, msgspec.DecodeError):
        return None
    if kept.pid is not None and not _lives(kept.pid):
        kept = msgspec.structs.replace(kept, pid=None, bootstrap_servers=None if kept.own else kept.bootstrap_servers)
    return kept


def remembered_for_dev(given: Settings) -> Settings:
    """The settings of a new `dev`: as `given`, and where nobody set another prefix or environment those of the last one
    on the same Kafka. Without an address a Kafka of its own is meant, never a remembered one."""
    kept = remembered(given)
    if kept is None or kept.own != (given.kafka.bootstrap_servers is None):
        return given
    return kept.over(given) if not kept.own else msgspec.structs.replace(kept, bootstrap_servers=None).over(given)


def running(settings: Settings) -> str | None:
    """The bootstrap servers of the `dev` that runs here, if one does."""
    kept = remembered(settings)
    return None if kept is None or kept.pid is None else kept.bootstrap_servers


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError):
        return False
    return True


class SidecarPlace:
    """Where the sidecar of a `dev` listens: the port of the settings, or a free one if another process has it. Its
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
            told["STREAMFLOW_TASKS__CALLBACK_SECRET"] = f"file:{self._key('callback').absolute()}"
        if self._settings.access.signing_key is None:
            told["STREAMFLOW_ACCESS__SIGNING_KEY"] = f"file:{self._key('access').absolute()}"
        return told

    def _key(self, name: str) -> Path:
        return _kept(self._settings.broker_dir / f"{name}.key", lambda: secrets.token_hex(32))


def approval_key(settings: Settings) -> dict[str, str]:
    """What the processes of a `dev` are told of approvals, so that a draft can be approved without any setting: they
    are signed with a key of this folder. Nothing where the settings name a key, or require approvals."""
    if settings.approvals.signing_key is not None or settings.approvals.required:
        return {}
    from streamflow.approvals.signing import new_private_key, public_text, read_private_key  # with cryptography

    reference = f"file:{_kept(settings.broker_dir / 'approvals.pem', new_private_key).absolute()}"
    trusted = [*settings.approvals.trusted_keys, public_text(read_private_key(reference).public_key())]
    return {
        "STREAMFLOW_APPROVALS__SIGNING_KEY": reference,
        "STREAMFLOW_APPROVALS__TRUSTED_KEYS": json.dumps(trusted),
    }


def _kept(file: Path, make: Callable[[], str]) -> Path:
    """The file, with what `make` gives if it is not there; nobody else may read it."""
    with contextlib.suppress(FileExistsError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as written:
            written.write(make())
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
