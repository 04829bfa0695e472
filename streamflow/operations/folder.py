"""A folder of this machine as a bucket. An object appears under its name complete and on the disk, or not at all, and
never outside the folder."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import mimetypes
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from streamflow.errors import OperationError
from streamflow.operations.bucket import Body, Found, bucket_missing, key_refused, object_missing, object_too_large
from streamflow.operations.stores import invalid
from streamflow.settings import Connection

_UNFINISHED = ".streamflow-"  # files that are not complete begin with it
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_WRONG_KEY = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EINVAL)


class FolderBucket:
    """The folder that the connection names, or the folder `bucket` in it. It must be there (a disk that is not mounted
    is no empty folder), unless the option `create` is `true`."""

    def __init__(self, name: str, connection: Connection, bucket: str) -> None:
        if bucket and not _BUCKET.fullmatch(bucket):
            raise bucket_missing(bucket, name)
        create = connection.options.get("create", "false")
        if create not in ("true", "false"):
            raise invalid(name, "true or false as its option create", f"it is {create!r}")
        url = urlsplit(connection.url)
        if url.scheme not in ("", "file") or url.netloc not in ("", "localhost"):
            raise invalid(
                name, "the path of a folder, or file:///path", f"its url begins with {url.scheme}://{url.netloc}"
            )
        folder = Path(unquote(url.path) if url.scheme else connection.url).expanduser().absolute()
        self._connection = name
        self._bucket = bucket
        self._folder = folder / bucket if bucket else folder
        self._create = create == "true"

    async def create(self, key: str, body: Body) -> str | None:
        """Writes the object if there is none under `key`: its etag, or None if there is one."""
        return await asyncio.to_thread(self._write, key, body, True)

    async def replace(self, key: str, body: Body) -> str:
        """Writes the object, whatever is there: its etag."""
        etag = await asyncio.to_thread(self._write, key, body, False)
        assert etag is not None
        return etag

    async def find(self, key: str) -> Found | None:
        """What is under `key`, or None."""
        return await asyncio.to_thread(self._find, key)

    async def read(self, key: str, most: int) -> tuple[bytes, Found]:
        """The content under `key`. Raises OperationError."""
        return await asyncio.to_thread(self._read, key, most)

    def url(self, key: str) -> str:
        """The file's address."""
        return (self._folder / key).as_uri()

    async def close(self) -> None:
        """Nothing is held."""

    def _write(self, key: str, body: Body, new: bool) -> str | None:
        with self._errors(key):
            path = self._path(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise key_refused(key, "it is a folder of other objects")
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=_UNFINISHED)
            unfinished = Path(name)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(body.content)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.chmod(0o644)
                if new:
                    try:
                        path.hardlink_to(unfinished)
                    except FileExistsError:
                        return None
                else:
                    unfinished.replace(path)
            finally:
                unfinished.unlink(missing_ok=True)
            _sync(path.parent)
        return _etag(body.sha256)

    def _find(self, key: str) -> Found | None:
        with self._errors(key):
            try:
                content = self._path(key).read_bytes()
            except FileNotFoundError:
                return None
            return _found(content, key)

    def _read(self, key: str, most: int) -> tuple[bytes, Found]:
        with self._errors(key):
            path = self._path(key)
            try:
                if (size := path.stat().st_size) > most and path.is_file():
                    raise object_too_large(key, size, most)
                content = path.read_bytes()
            except FileNotFoundError:
                raise object_missing(key) from None
            return content, _found(content, key)

    def _path(self, key: str) -> Path:
        """Where the object is. Raises OperationError when the folder is not there, or `key` leads out of it."""
        if not self._folder.is_dir():
            if not self._create:
                raise bucket_missing(self._bucket or str(self._folder), self._connection)
            self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / key
        if any(part.startswith(_UNFINISHED) for part in key.split("/")):
            raise key_refused(key, f"names that begin with {_UNFINISHED} are unfinished objects")
        # A link in the folder may lead anywhere.
        if path.is_symlink() or not path.parent.resolve().is_relative_to(self._folder.resolve()):
            raise key_refused(key, "it leads out of the folder")
        return path

    @contextlib.contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            why = error.strerror or type(error).__name__
            if error.errno in _WRONG_KEY or isinstance(error, FileExistsError):
                raise key_refused(key, f"it cannot be a file here ({why})") from error
            if isinstance(error, PermissionError):
                message = (
                    f"expected to use the folder of {self._connection} but {why}; do give the worker's user the right"
                )
                raise OperationError("access_denied", message, retryable=False, connection=self._connection) from error
            message = f"expected to use the folder of {self._connection} but {why}; do try again when it is well"
            raise OperationError("store_unavailable", message, connection=self._connection) from error


def _found(content: bytes, key: str) -> Found:
    sha256 = hashlib.sha256(content).hexdigest()
    return Found(len(content), _etag(sha256), sha256, mimetypes.guess_type(key)[0] or "application/octet-stream")


def _etag(sha256: str) -> str:
    return f'"{sha256[:32]}"'


def _sync(folder: Path) -> None:
    """Has the disk keep the names in `folder`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
