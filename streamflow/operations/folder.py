"""A folder of this machine as a bucket. An object appears under its name complete and on the disk, or not at all, and
never outside the folder.

Every name is opened relative to the open folder above it, and no link is followed (openat with O_NOFOLLOW), so a folder
that is replaced by a link between two steps changes nothing. The connection's own folder may be reached by links: it is
the operator's.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import mimetypes
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from streamflow.errors import OperationError
from streamflow.operations.bucket import Body, Found, bucket_missing, key_refused, object_missing, object_too_large
from streamflow.operations.connections import invalid
from streamflow.settings import Connection

_UNFINISHED = ".streamflow-"  # files that are not complete begin with it
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_WRONG_KEY = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EEXIST)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_CHUNK_BYTES = 1 << 20


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
        path = unquote(url.path) if url.scheme else connection.url
        if "\0" in path:
            raise invalid(name, "the path of a folder", "it holds U+0000")
        self._connection = name
        self._bucket = bucket
        self._root = Path(path).expanduser().absolute()
        self._folder = self._root / bucket if bucket else self._root
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
        with self._errors(key), self._parent(key, make=True) as (parent, name):
            if parent is None:
                message = f"A folder of {self._connection} was removed while an object was written. Try again."
                raise OperationError("store_unavailable", message, connection=self._connection)
            _check_kind(key, name, parent)
            unfinished = _UNFINISHED + secrets.token_hex(8)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(unfinished, flags, 0o600, dir_fd=parent)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(body.content)
                    file.flush()
                    os.fsync(file.fileno())
                    os.fchmod(file.fileno(), 0o644)
                # Either takes the name itself: what a link or another name of a file leads to is not written.
                if new:
                    try:
                        os.link(unfinished, name, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)
                    except FileExistsError:
                        return None
                else:
                    os.replace(unfinished, name, src_dir_fd=parent, dst_dir_fd=parent)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(unfinished, dir_fd=parent)
            os.fsync(parent)
        return _etag(body.sha256)

    def _find(self, key: str) -> Found | None:
        with self._errors(key), self._opened(key) as file:
            return None if file is None else _found(_content(file), key)

    def _read(self, key: str, most: int) -> tuple[bytes, Found]:
        with self._errors(key), self._opened(key) as file:
            if file is None:
                raise object_missing(key)
            if (size := os.fstat(file).st_size) > most:
                raise object_too_large(key, size, most)
            content = _content(file)
            if len(content) > most:
                raise object_too_large(key, len(content), most)
            return content, _found(content, key)

    @contextlib.contextmanager
    def _opened(self, key: str) -> Iterator[int | None]:
        """The open file under `key`, None if there is none. Raises OperationError if it is not a file."""
        with self._parent(key, make=False) as (parent, name):
            if parent is None:
                yield None
                return
            try:
                _check_kind(key, name, parent)
                file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
            except FileNotFoundError:
                yield None
                return
            except OSError as error:
                raise _linked(key) if error.errno == errno.ELOOP else error from None
            try:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    raise key_refused(key, "it is not a file")
                yield file
            finally:
                os.close(file)

    @contextlib.contextmanager
    def _parent(self, key: str, *, make: bool) -> Iterator[tuple[int | None, str]]:
        """The open folder that the object is in, and its name there; None for a folder that is not there. With `make`
        missing folders are made."""
        *folders, name = key.split("/")
        if any(part.startswith(_UNFINISHED) for part in (*folders, name)):
            raise key_refused(key, f"names that begin with {_UNFINISHED} are unfinished objects")
        if any(part in ("", ".", "..") or "\0" in part for part in (*folders, name)):
            raise key_refused(key, "it has an empty name, . or .., or U+0000 in it")
        opened = self._open_folder()
        try:
            for part in folders:
                inner = _step(key, part, opened, make=make)
                if inner is None:
                    yield None, name
                    return
                os.close(opened)
                opened = inner
            yield opened, name
        finally:
            os.close(opened)

    def _open_folder(self) -> int:
        """The bucket's folder, open. Raises OperationError when it is not there, or is a link."""
        if self._create:
            self._root.mkdir(parents=True, exist_ok=True)
        try:
            root = os.open(self._root, _FOLDER)
        except (FileNotFoundError, NotADirectoryError):
            raise bucket_missing(str(self._root), self._connection) from None
        if not self._bucket:
            return root
        try:
            if self._create:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(self._bucket, dir_fd=root)
            return os.open(self._bucket, _FOLDER | os.O_NOFOLLOW, dir_fd=root)
        except (FileNotFoundError, NotADirectoryError):  # a link is no folder
            raise bucket_missing(self._bucket, self._connection) from None
        finally:
            os.close(root)

    @contextlib.contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            why = error.strerror or type(error).__name__
            if error.errno in _WRONG_KEY:
                raise key_refused(key, f"it cannot be a file here ({why})") from error
            if isinstance(error, PermissionError):
                message = (
                    f"expected to use the folder of {self._connection} but {why}. Grant the right to the worker's user."
                )
                raise OperationError("access_denied", message, retryable=False, connection=self._connection) from error
            message = f"expected to use the folder of {self._connection} but {why}. Try again when it is available."
            raise OperationError("store_unavailable", message, connection=self._connection) from error


def _step(key: str, name: str, above: int, *, make: bool) -> int | None:
    """The folder `name` in the open folder `above`, open, or None if it is not there. Raises OperationError for a
    link."""
    if make:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=above)
            os.fsync(above)
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=above)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        if stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
            raise _linked(key) from None
        raise


def _check_kind(key: str, name: str, parent: int) -> None:
    """Raises OperationError if `name` is there and is no file. What opens it looks again."""
    try:
        mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(mode):
        raise _linked(key)
    if stat.S_ISDIR(mode):
        raise key_refused(key, "it is a folder of other objects")
    if not stat.S_ISREG(mode):
        raise key_refused(key, "it is not a file")


def _linked(key: str) -> OperationError:
    return key_refused(key, "there is a link, which may lead out of the folder")


def _content(file: int) -> bytes:
    parts = []
    while part := os.read(file, _CHUNK_BYTES):
        parts.append(part)
    return b"".join(parts)


def _found(content: bytes, key: str) -> Found:
    sha256 = hashlib.sha256(content).hexdigest()
    return Found(len(content), _etag(sha256), sha256, mimetypes.guess_type(key)[0] or "application/octet-stream")


def _etag(sha256: str) -> str:
    return f'"{sha256[:32]}"'
