"""A few connections to each PostgreSQL database, and transactions on them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from streamflow.errors import OperationError
from streamflow.operations.connections import (
    ClientCache,
    ConnectionHealth,
    connection_of,
    invalid,
    only_options,
    secret_of,
    whole_option,
)
from streamflow.operations.contract import Attempt
from streamflow.operations.dialling import check_dialled
from streamflow.operations.postgres_errors import operation_error
from streamflow.operations.postgres_values import keep_texts
from streamflow.settings import Connection, Settings

if TYPE_CHECKING:
    import psycopg

_POOL = 4
_PORT = 5432
_CONNECT_S = 10.0
_IDLE_S = 60.0  # an idle connection is not trusted for longer: firewalls and servers forget it
_SHARE = 0.95  # of what is left of the attempt; so the server ends a statement before the worker does, and says why
# All rows of a cursor are wanted, not the first ones soon.
_SETTINGS = (
    "SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'; SET LOCAL IntervalStyle = 'postgres'; "
    "SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex'; SET LOCAL cursor_tuple_fraction = 1"
)


class Database:
    """At most `size` connections to one database. A connection on which anything but a statement's own error happened
    is closed, and so are the idle ones, which the same outage may have taken."""

    def __init__(self, name: str, connection: Connection, password: str | None) -> None:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict

        only_options(name, connection, "pool")
        try:
            parts = conninfo_to_dict(connection.url)
        except ProgrammingError as error:
            raise invalid(name, "a url such as postgresql://host:5432/database", "it is none") from error
        if "password" in parts:
            raise invalid(name, "a url without a password", "there is one in it")
        self.name = name
        self._settings = connection
        self._password = password
        self._free = asyncio.Semaphore(whole_option(name, connection, "pool", _POOL))
        self._idle: list[tuple[psycopg.AsyncConnection[Any], float]] = []
        self._closed = False

    @contextlib.asynccontextmanager
    async def transaction(self, timeout_s: float, *, read_only: bool) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A connection in a transaction whose statements end after `timeout_s`. Committed at the end, and rolled back
        when an error is raised. Raises OperationError for every error of the database."""
        import psycopg

        until = asyncio.get_running_loop().time() + timeout_s * _SHARE
        async with self._free:
            connection: psycopg.AsyncConnection[Any] | None = None
            try:
                connection = await self._take(timeout_s)
                left_ms = max(1, int((until - asyncio.get_running_loop().time()) * 1000))
                await connection.execute(
                    f"BEGIN {'READ ONLY' if read_only else 'READ WRITE'}; SET LOCAL statement_timeout = {left_ms}; "
                    f"{_SETTINGS}"
                )
                yield connection
                await connection.execute("COMMIT")
            except psycopg.Error as error:
                lost = connection is None or connection.closed or not await _rolled_back(connection)
                await self._give_back(connection, lost=lost)
                raise operation_error(error, self.name, connecting=connection is None, lost=lost) from error
            except OperationError:
                await self._give_back(connection, lost=connection is None or not await _rolled_back(connection))
                raise
            except BaseException:
                if connection is not None:
                    await connection.close()
                raise
            else:
                await self._give_back(connection, lost=False)

    async def _take(self, timeout_s: float) -> psycopg.AsyncConnection[Any]:
        import psycopg

        now = asyncio.get_running_loop().time()
        while self._idle:
            connection, since = self._idle.pop()
            if now - since <= _IDLE_S and not connection.closed:
                return connection
            await connection.close()
        given: dict[str, Any] = {"user": self._settings.user, "password": self._password}
        connection = await psycopg.AsyncConnection.connect(
            await self._dialled(),
            autocommit=True,  # transactions begin and end by statements of ours
            cursor_factory=psycopg.AsyncRawCursor,
            connect_timeout=max(2, int(min(_CONNECT_S, timeout_s * _SHARE))),
            application_name="streamflow",
            **{key: value for key, value in given.items() if value is not None},
        )
        keep_texts(connection)
        return connection

    async def _dialled(self) -> str:
        """The url as a conninfo whose names are resolved, each address judged: the client dials exactly these. Raises
        OperationError (`connection_invalid`)."""
        from psycopg.conninfo import conninfo_attempts_async, conninfo_to_dict, make_conninfo

        parts = conninfo_to_dict(self._settings.url)
        attempts = await conninfo_attempts_async(parts)
        for one in attempts:
            if address := one.get("hostaddr"):
                check_dialled(self.name, str(one.get("host") or address), int(one.get("port") or _PORT), str(address))
        if not all(one.get("host") and one.get("hostaddr") for one in attempts):
            return self._settings.url  # sockets of this machine, and what libpq finds by itself
        given = {
            part: ",".join(str(one.get(part) or _PORT) for one in attempts) for part in ("host", "hostaddr", "port")
        }
        return make_conninfo("", **(parts | given))

    async def _give_back(self, connection: psycopg.AsyncConnection[Any] | None, *, lost: bool) -> None:
        if connection is not None and (lost or self._closed):
            await connection.close()
        elif connection is not None:
            self._idle.append((connection, asyncio.get_running_loop().time()))
        if lost:
            await self._close_idle()

    async def close(self) -> None:
        """Closes the connections that nobody uses now, and the others when they are given back."""
        self._closed = True
        await self._close_idle()

    async def _close_idle(self) -> None:
        idle, self._idle = self._idle, []
        for connection, _ in idle:
            await connection.close()


async def _rolled_back(connection: psycopg.AsyncConnection[Any]) -> bool:
    import psycopg

    try:
        await connection.execute("ROLLBACK")
    except psycopg.Error:
        return False  # the connection is lost with its transaction; the error that led here is the one to report
    return True


class Databases:
    """The databases that attempts have named, shared by both operations."""

    def __init__(self, settings: Settings) -> None:
        self._clients: ClientCache[Database] = ClientCache(Database.close)
        self.condition = ConnectionHealth(settings, "postgres", {"postgres": "psycopg"})

    @contextlib.asynccontextmanager
    async def transaction(
        self, name: str, attempt: Attempt, *, read_only: bool
    ) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A transaction on the connection called `name`. Raises OperationError."""
        database: Database | None = None
        try:
            connection = connection_of(attempt, name, "postgres")
            password = await secret_of(attempt, connection)

            async def make() -> Database:
                return Database(name, connection, password)

            database = await self._clients.get(name, (connection, password), make)
            async with database.transaction(attempt.timeout_s, read_only=read_only) as opened:
                yield opened
        except OperationError as error:
            if error.code in (
                "database_unavailable",
                "database_missing",
                "credentials_refused",
                "connection_invalid",
                "secret_missing",
            ):
                self.condition.failed(name, error)
            raise
        else:
            self.condition.worked(name)

    async def close(self) -> None:
        """Closes all connections."""
        await self._clients.close()
