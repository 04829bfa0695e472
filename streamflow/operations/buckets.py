"""The buckets that a worker's attempts have named, each with its client, and how their connections fare."""

from __future__ import annotations

import contextlib
from urllib.parse import urlsplit

from streamflow.errors import OperationError
from streamflow.operations.bucket import Bucket
from streamflow.operations.connections import (
    ClientCache,
    ConnectionHealth,
    connection_of,
    invalid,
    only_options,
    secret_of,
)
from streamflow.operations.contract import Attempt
from streamflow.operations.dialling import dialled_addresses
from streamflow.operations.folder import FolderBucket
from streamflow.operations.s3 import S3Bucket
from streamflow.settings import Connection, Settings

_TROUBLE = frozenset(
    {
        "store_unavailable",
        "credentials_refused",
        "access_denied",
        "bucket_missing",
        "connection_invalid",
        "secret_missing",
        "extra_missing",
    }
)


class Buckets:
    """The buckets that attempts have named, shared by both operations."""

    def __init__(self, settings: Settings) -> None:
        self._clients: ClientCache[Bucket] = ClientCache(lambda bucket: bucket.close())
        self.condition = ConnectionHealth(settings, "objects", {"s3": "obstore", "folder": None})

    async def bucket(self, name: str, bucket: str | None, attempt: Attempt) -> tuple[Bucket, str, Connection]:
        """The bucket called `bucket` (or the connection's own) of the connection called `name`: itself, its name and
        the connection's settings."""
        connection = connection_of(attempt, name, "s3", "folder")
        password = await secret_of(attempt, connection)
        bucket = bucket or connection.options.get("bucket", "")

        async def make() -> Bucket:
            if connection.kind == "folder":
                only_options(name, connection, "bucket", "create", "max_bytes")
                return FolderBucket(name, connection, bucket)
            only_options(name, connection, "bucket", "region", "virtual_hosted", "max_bytes")
            if not bucket:
                raise invalid(name, "a bucket in the input, or as the connection's option bucket", "there is none")
            return S3Bucket(name, connection, password, bucket)

        if connection.kind == "s3":
            # The client resolves the name again, as nothing else can be told it: this is as near as can be.
            with contextlib.suppress(OSError):  # it says that better itself
                await dialled_addresses(name, urlsplit(connection.url), 443)
        return await self._clients.get(f"{name}/{bucket}", (connection, password), make), bucket, connection

    def note(self, name: str, error: OperationError | None) -> None:
        """Remembers how the connection called `name` fared."""
        if error is None:
            self.condition.worked(name)
        elif error.code in _TROUBLE:
            self.condition.failed(name, error)

    async def close(self) -> None:
        """Lets go of all connections."""
        await self._clients.close()
