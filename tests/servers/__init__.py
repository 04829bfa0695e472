"""Real servers for tests, on loopback: `postgres()`, `object_store()`, `nats()`, `schema_registry()` and
`openid_provider(...)` are context managers that start one and say how to reach it.

Each has its own temporary folder and free port, and ends with the process that started it. `python -m tests.servers
install` installs what is missing, `python -m tests.servers run` runs all of them until Ctrl-C."""

from __future__ import annotations

from tests.servers.apicurio import schema_registry
from tests.servers.jetstream import nats
from tests.servers.openid import openid_provider
from tests.servers.postgresql import postgres
from tests.servers.process import ServerMissing
from tests.servers.s3proxy import object_store

__all__ = ["ServerMissing", "nats", "object_store", "openid_provider", "postgres", "schema_registry"]
