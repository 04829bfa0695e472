"""What a place for objects is, whatever keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from streamflow.errors import OperationError


@dataclass(frozen=True, slots=True)
class Found:
    """What is under a key: size in bytes, the store's mark, the sha256 of the content if it is known, and its media
    type."""

    size: int
    etag: str
    sha256: str | None
    content_type: str


@dataclass(frozen=True, slots=True)
class Body:
    """What is put: the content with its sha256, its media type, and the idempotency key of the attempt that puts it."""

    content: bytes
    sha256: str
    content_type: str
    idempotency_key: str


class Bucket(Protocol):
    """Where objects are. All raise OperationError with one of the declared codes; a key has been checked by
    `checked_key`."""

    async def create(self, key: str, body: Body) -> str | None:
        """Writes the object if there is none under `key`: its etag, or None if there is one."""

    async def replace(self, key: str, body: Body) -> str:
        """Writes the object, whatever is there: its etag."""

    async def find(self, key: str) -> Found | None:
        """What is under `key`, or None."""

    async def read(self, key: str, most: int) -> tuple[bytes, Found]:
        """The content under `key`. Raises OperationError (`object_missing`, `object_too_large` when it has more than
        `most` bytes)."""

    def url(self, key: str) -> str:
        """Where the object is."""

    async def close(self) -> None:
        """Lets go of connections."""


def object_missing(key: str) -> OperationError:
    """There is nothing under `key`."""
    return OperationError(
        "object_missing",
        f"expected an object under {key} but there is none. Put it first, or correct the key.",
        retryable=False,
    )


def object_too_large(key: str, size: int, most: int) -> OperationError:
    """What is under `key` has more than `most` bytes."""
    message = (
        f"expected at most {most} bytes under {key} but there are {size}. Raise max_bytes, or leave the "
        "content in the store."
    )
    return OperationError("object_too_large", message, retryable=False)


def bucket_missing(bucket: str, connection: str) -> OperationError:
    """The connection called `connection` has no `bucket`."""
    message = f"expected the bucket {bucket} in {connection} but there is none. Create it or correct its name."
    return OperationError("bucket_missing", message, retryable=False, connection=connection)


def key_refused(key: str, why: str) -> OperationError:
    """The store takes no object under `key`."""
    return OperationError(
        "key_refused",
        f"expected a key that the store accepts but {why}. Choose another than {key[:100]!r}.",
        retryable=False,
    )
