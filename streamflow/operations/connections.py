"""Connections of operations: found by name, with one client for each, and the health of what they connect to."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from collections.abc import Awaitable, Callable, Mapping
from types import ModuleType
from typing import Any, Generic, TypeVar

import structlog

from streamflow.definition.catalog import OperationError as DeclaredError
from streamflow.errors import OperationError
from streamflow.operations.contract import Attempt, Health
from streamflow.secrets import KNOWN
from streamflow.settings import Connection, Settings

_log = structlog.get_logger(__name__)

C = TypeVar("C")

_MOST_CLIENTS = 100

# What any operation on a connection may end with, before it speaks to anybody.
CONNECTION_ERRORS = (
    DeclaredError(id="connection_unknown", title="no connection of that name is configured", retryable=False),
    DeclaredError(
        id="connection_invalid",
        title="the connection is of another kind, or its settings cannot be used",
        retryable=False,
    ),
    DeclaredError(id="secret_missing", title="the secret that the connection refers to is not there", retryable=False),
    DeclaredError(id="credentials_refused", title="the user or the password is not accepted", retryable=False),
    DeclaredError(id="access_denied", title="the user may not do this", retryable=False),
)
EXTRA_MISSING = DeclaredError(id="extra_missing", title="the worker has no client for this", retryable=False)

CONNECTION_INPUT: dict[str, Any] = {
    "type": "string",
    "minLength": 1,
    "description": "name of the connection in `tasks.connections`",
}


def connection_of(attempt: Attempt, name: str, *kinds: str) -> Connection:
    """The settings of the connection called `name`, which is one of `kinds`. Raises OperationError
    (`connection_unknown`, `connection_invalid`)."""
    found: Connection = attempt.connection(name)
    if found.kind not in kinds:
        raise invalid(name, f"a connection of kind {' or '.join(kinds)}", f"it is one of kind {found.kind}")
    return found


def invalid(name: str, expected: str, found: str) -> OperationError:
    """The settings of the connection called `name` cannot be used."""
    message = f"expected {expected} under the name {name} but {found}. Correct tasks.connections.{name}."
    return OperationError("connection_invalid", message, retryable=False, connection=name)


def only_options(name: str, connection: Connection, *known: str) -> Mapping[str, str]:
    """The connection's options, none of which is unknown. Raises OperationError (`connection_invalid`)."""
    if unknown := sorted(connection.options.keys() - set(known)):
        raise invalid(name, f"no options but {', '.join(known)}", f"there is {', '.join(unknown)}")
    return connection.options


def whole_option(name: str, connection: Connection, option: str, default: int) -> int:
    """An option that is a whole number above zero. Raises OperationError (`connection_invalid`)."""
    text = connection.options.get(option)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise invalid(name, f"a whole number above zero as its option {option}", f"it is {text!r}")
    return int(text)


async def secret_of(attempt: Attempt, connection: Connection) -> str | None:
    """The connection's password, if it has one. Raises OperationError (`secret_missing`)."""
    return None if connection.password is None else await attempt.secret(connection.password)


def client_module(module: str, extra: str) -> ModuleType:
    """The client library `module`, imported when it is first needed. Raises OperationError (`extra_missing`) when it is
    not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        message = (
            f"expected the extra {extra} in this worker but {module} cannot be imported. Install the wheel with the "
            f"extra {extra}, as README.md shows under extras."
        )
        raise OperationError("extra_missing", message, retryable=False) from error


class ClientCache(Generic[C]):
    """One client for each of several keys (such as a connection's name), made when it is first needed. Made again when
    the settings it was made from are others, or after `drop`. Several attempts that need it at once wait for one making
    of it. Of very many, the oldest are closed."""

    def __init__(self, close: Callable[[C], Awaitable[None]]) -> None:
        self._close = close
        self._made: dict[str, tuple[object, C]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, key: str, settings: object, make: Callable[[], Awaitable[C]]) -> C:
        """The client under `key`; raises whatever `make` raises."""
        async with self._locks.setdefault(key, asyncio.Lock()):
            made = self._made.get(key)
            if made is not None and made[0] == settings:
                return made[1]
            if made is not None:
                await self.drop(made[1])
            client = await make()
            self._made[key] = (settings, client)
            if len(self._made) > _MOST_CLIENTS:
                await self.drop(next(iter(self._made.values()))[1])
            return client

    async def drop(self, client: C) -> None:
        """Closes `client`, which is not given again. One that does not close is logged."""
        for key in [key for key, made in self._made.items() if made[1] is client]:
            del self._made[key]
        try:
            await self._close(client)
        except Exception:  # noqa: BLE001 - it is given up, whatever it still has to say
            _log.exception("client_not_closed")

    async def close(self) -> None:
        """Closes all of them."""
        for _, client in list(self._made.values()):
            await self.drop(client)


class ConnectionHealth:
    """How operations on connections of some kinds fare in this worker: whether the client library of each is installed
    (`modules`, by kind), and what went wrong last."""

    def __init__(self, settings: Settings, extra: str, modules: Mapping[str, str | None]) -> None:
        # There are none when only the contracts are wanted.
        tasks = getattr(settings, "tasks", None)
        self._modules = modules
        self._used = {one.kind for one in (tasks.connections if tasks else {}).values() if one.kind in modules}
        self._extra = extra
        self._trouble: dict[str, str] = {}

    def failed(self, name: str, error: OperationError) -> None:
        """Remembers that the connection called `name` could not be used."""
        self._trouble[name] = KNOWN.message(error.message)

    def worked(self, name: str) -> None:
        """The connection called `name` can be used again."""
        self._trouble.pop(name, None)

    def health(self) -> Health:
        """What stands in the way, without asking anybody."""
        if not self._used:
            return Health(ok=False, detail=f"no connection of kind {' or '.join(self._modules)} is configured")
        if any(
            module is not None and importlib.util.find_spec(module) is None
            for kind, module in self._modules.items()
            if kind in self._used
        ):
            return Health(
                ok=False,
                detail=f"its client is not installed. Install the wheel with the extra {self._extra}, as "
                "README.md shows under extras.",
            )
        if self._trouble:
            return Health(
                ok=False, detail="; ".join(f"{name}: {self._trouble[name]}" for name in sorted(self._trouble))
            )
        return Health(ok=True)
