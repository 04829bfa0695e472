"""Real servers for tests, on loopback: `postgres()`, `object_store()`, `nats()`, `redis_server()`, `schema_registry()`,
`openid_provider(...)` and `keycloak_server(...)` are context managers that start one and say how to reach it.

Each has its own temporary folder and free port, and ends with the process that started it. `python -m tests.servers
install` installs what is missing, `python -m tests.servers run` runs all of them until Ctrl-C."""

from __future__ import annotations

from tests.servers.apicurio import schema_registry
from tests.servers.jetstream import nats
from tests.servers.keycloak import keycloak_server
from tests.servers.openid import openid_provider
from tests.servers.postgresql import postgres
from tests.servers.process import ServerMissing
from tests.servers.redis import redis_server
from tests.servers.s3proxy import object_store

__all__ = [
    "ServerMissing",
    "keycloak_server",
    "nats",
    "object_store",
    "openid_provider",
    "postgres",
    "redis_server",
    "schema_registry",
]
