"""The stores that examples use: real servers, each with the connection by which operations name it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers import nats, object_store, postgres
from tests.servers.jetstream import NatsServer
from tests.servers.postgresql import PostgresServer
from tests.servers.s3proxy import ObjectStore


@dataclass(frozen=True, slots=True)
class Reached:
    """How a server is reached: a connection of the settings, and the secrets that it refers to."""

    connection: dict[str, Any]
    secrets: dict[str, str]


def database(stack: contextlib.ExitStack, tables: Path) -> tuple[PostgresServer, Reached]:
    """PostgreSQL with these tables. Raises ServerMissing."""
    server = stack.enter_context(postgres())
    server.run(tables.read_text())
    return server, _reached("postgres", server.url, server.user, server.password, "EXAMPLE_DATABASE_PASSWORD")


def objects(stack: contextlib.ExitStack) -> tuple[ObjectStore, Reached]:
    """An object store with a bucket. Raises ServerMissing."""
    server = stack.enter_context(object_store())
    return server, _reached(
        "s3",
        server.url,
        server.user,
        server.password,
        "EXAMPLE_OBJECTS_SECRET",
        bucket=server.bucket,
        region=server.region,
    )


def messages(stack: contextlib.ExitStack) -> tuple[NatsServer, Reached]:
    """NATS. Raises ServerMissing."""
    server = stack.enter_context(nats())
    return server, _reached("nats", server.url, server.user, server.password, "EXAMPLE_MESSAGES_PASSWORD")


def _reached(kind: str, url: str, user: str, password: str, secret: str, **options: str) -> Reached:
    connection: dict[str, Any] = {"kind": kind, "url": url, "user": user, "password": f"env:{secret}"}
    return Reached(connection | ({"options": options} if options else {}), {secret: password})
