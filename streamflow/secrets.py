"""Secrets are references in settings, and are resolved where they are used. A message names the reference, never the
value. What was resolved is replaced wherever it would be kept: `Redactor`."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import html
import json
import os
import stat
import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote

import structlog

from streamflow.errors import OperationError

MOST_BYTES = 64 << 10
READ_S = 5.0

REPLACEMENT = "[secret]"
# A secret this long is replaced anywhere in a text; a shorter one would be found in words that have nothing to do with
# it, so it is replaced only where it is the whole text, and not at all below `_LEAST_WHOLE`.
LEAST_INSIDE = 8
LEAST_WHOLE = 4

_MOST_KNOWN = 1000
_CUT_CHARS = 1000
# Kernel interfaces: their files are regular by their mode, and their content is no secret that anybody put there.
_KERNEL = ("/proc", "/sys")

_log = structlog.get_logger(__name__)


def resolve_secret(reference: str, environ: Mapping[str, str] = os.environ) -> str:
    """The secret that `env:NAME` or `file:/path` refers to; a file's last line end is dropped. It is read each time, so
    a rotated secret is used from the next time on.

    A file is a regular one of at most 64 KiB in UTF-8; links to it are followed (Kubernetes mounts secrets as links).
    Raises OperationError (`secret_missing`) if the secret is not there, is empty or cannot be read, or if `reference`
    is none; what is no reference may be a secret and is not repeated."""
    kind, _, place = reference.partition(":")
    if kind == "env" and place:
        if place not in environ:
            raise _missing(f"The environment variable {place} is not set. Set it to the secret.")
        secret = environ[place]
    elif kind == "file" and place.startswith("/"):
        secret = _read(place)
    else:
        raise _missing(
            "A reference to a secret is neither env:NAME nor file:/path (what it is instead is not shown: it may be "
            "the secret). Name the place of the secret."
        )
    if not secret.strip():
        raise _missing(f"The secret {reference} is empty. Provide it.")
    KNOWN.add(secret)
    return secret


async def read_secret(reference: str, environ: Mapping[str, str] = os.environ) -> str:
    """`resolve_secret` off the event loop, for at most `READ_S` seconds: a file may be on a disk that hangs. Attempts
    that need the same file at the same time share one reading.

    Raises OperationError (`secret_missing`), worth another attempt if it took too long."""
    if not reference.startswith("file:"):
        return resolve_secret(reference, environ)
    loop = asyncio.get_running_loop()
    key = (id(loop), reference)
    reading = _readings.get(key)
    if reading is None:
        reading = _readings[key] = loop.create_future()
        threading.Thread(target=_resolve_into, args=(loop, reading, key), name="secret", daemon=True).start()
    try:
        return await asyncio.wait_for(asyncio.shield(reading), READ_S)
    except TimeoutError:
        text = f"The secret {reference} was not read within {READ_S:g} s. Check the disk that it is on."
        raise OperationError("secret_missing", text) from None


_readings: dict[tuple[int, str], asyncio.Future[str]] = {}


def _resolve_into(loop: asyncio.AbstractEventLoop, reading: asyncio.Future[str], key: tuple[int, str]) -> None:
    try:
        secret, error = resolve_secret(key[1]), None
    except OperationError as failed:
        secret, error = "", failed

    def settle() -> None:
        _readings.pop(key, None)
        if reading.done():
            return
        if error is None:
            reading.set_result(secret)
        else:
            reading.set_exception(error)
            reading.exception()  # the waiting caller may be gone

    with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
        loop.call_soon_threadsafe(settle)


def _read(place: str) -> str:
    """The text of a file. A device, pipe or socket is not opened for reading."""
    descriptor = -1
    try:
        # First without opening, which alone can do something to a device.
        if not stat.S_ISREG(Path(place).stat().st_mode):
            raise _unusable(place, "it is not a regular file")
        descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        opened = os.fstat(descriptor)
        if not stat.S_ISREG(opened.st_mode) or opened.st_dev in _kernel_devices():
            raise _unusable(place, "it is not a regular file")
        content = b""
        while len(content) <= MOST_BYTES and (part := os.read(descriptor, MOST_BYTES + 1 - len(content))):
            content += part
        if len(content) > MOST_BYTES:
            raise _unusable(place, f"it has more than {MOST_BYTES} bytes")
        return content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise _unusable(place, "it is not UTF-8") from None
    except (OSError, ValueError) as error:
        raise _unusable(place, getattr(error, "strerror", None) or "its path cannot be used") from error
    finally:
        if descriptor >= 0:
            os.close(descriptor)


@lru_cache(maxsize=1)
def _kernel_devices() -> frozenset[int]:
    found = set()
    for place in _KERNEL:
        with contextlib.suppress(OSError):
            found.add(Path(place).stat().st_dev)
    with contextlib.suppress(OSError):
        found.discard(Path("/").stat().st_dev)  # where they are folders of an ordinary disk
    return frozenset(found)


def _unusable(place: str, why: str) -> OperationError:
    return _missing(
        f"The secret file {place} cannot be used: {why}. Provide a text file of at most {MOST_BYTES} bytes."
    )


def _missing(text: str) -> OperationError:
    return OperationError("secret_missing", text, retryable=False)


class Redactor:
    """Replaces secrets by `[secret]` in what is kept.

    Of each secret these spellings are found: as it is; what follows the scheme of an Authorization header, and for
    Basic the user and password in it; each of these percent-encoded, escaped for JSON or HTML, in hex, and in base64,
    also inside a longer base64 text (such as `user:password`). A spelling of at least `LEAST_INSIDE` characters is
    replaced anywhere in a text, one of at least `LEAST_WHOLE` only where it is the whole text."""

    def __init__(self) -> None:
        self._secrets: dict[str, None] = {}
        self._inside: tuple[str, ...] = ()
        self._written: tuple[str, ...] = ()  # how any of it looks in JSON
        self._whole: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self._inside or self._whole)

    def add(self, secret: str) -> None:
        """Has `secret` replaced from now on. Of very many, the oldest are forgotten."""
        if secret in self._secrets:
            return
        known = dict(self._secrets) | {secret: None}
        while len(known) > _MOST_KNOWN:
            del known[next(iter(known))]
        found = {spelling for one in known for spelling in _spellings(one)}
        # Replaced at once, so that another thread sees all of them or none.
        self._secrets = known
        self._inside = tuple(sorted((one for one in found if len(one) >= LEAST_INSIDE), key=len, reverse=True))
        self._whole = frozenset(one for one in found if len(one) >= LEAST_WHOLE)
        self._written = tuple({_in_json(one) if len(one) >= LEAST_INSIDE else f'"{_in_json(one)}"' for one in found})

    def is_in(self, encoded: str) -> bool:
        """Whether `encoded`, JSON as workers write it, may hold a secret. Much quicker than to look at every text."""
        return any(one in encoded for one in self._written)

    def text(self, text: str) -> str:
        """`text` without secrets."""
        if text in self._whole or text.strip() in self._whole:
            return REPLACEMENT
        for spelling in self._inside:
            if spelling in text:
                text = text.replace(spelling, REPLACEMENT)
        return text

    def message(self, text: str) -> str:
        """`text` without secrets, where it may have been cut: a beginning of a secret at its end goes as well."""
        text = self.text(text)
        for spelling in self._inside:
            for size in range(min(len(spelling) - 1, len(text), _CUT_CHARS), LEAST_INSIDE - 1, -1):
                if text.endswith(spelling[:size]):
                    return text[:-size] + REPLACEMENT
        return text

    def value(self, value: Any) -> Any:
        """A value of JSON without secrets: in texts, names of fields, and numbers that are one."""
        match value:
            case str():
                return self.text(value)
            case dict():
                return {self.text(str(name)): self.value(item) for name, item in value.items()}
            case list():
                return [self.value(item) for item in value]
            case bool() | None:
                return value
            case int() | float() if (written := str(value)) in self._whole and len(written) >= LEAST_INSIDE:
                return REPLACEMENT
        return value


@lru_cache(maxsize=256)
def _spellings(secret: str) -> frozenset[str]:
    bare = {secret, secret.strip()}
    scheme, _, credentials = secret.strip().partition(" ")
    if credentials and scheme.isalnum():
        bare.add(credentials.strip())
    if scheme.lower() == "basic":
        with contextlib.suppress(binascii.Error, ValueError):
            pair = base64.b64decode(credentials.strip() + "==").decode()
            bare |= {pair, pair.partition(":")[2]}
    found = set(bare)
    for one in bare:
        encoded = one.encode(errors="surrogatepass")
        for escaped in (
            quote(one, safe="", errors="replace"),
            quote(one, errors="replace"),
            quote_plus(one, errors="replace"),
        ):
            found |= {escaped, _small_escapes(escaped)}
        found |= {
            json.dumps(one)[1:-1],
            _in_json(one),
            html.escape(one),
            html.escape(one, quote=False),
        }
        found |= {encoded.hex(), encoded.hex().upper()}
        found |= _base64_spellings(encoded)
        found.add(unquote(one))
    return frozenset(one for one in found if len(one) >= LEAST_WHOLE)


def _in_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _small_escapes(text: str) -> str:
    """Percent escapes with small letters, as some write them."""
    head, *parts = text.split("%")
    return "%".join([head, *(part[:2].lower() + part[2:] for part in parts)])


def _base64_spellings(data: bytes) -> set[str]:
    """What is sure to stand in the base64 of any text that holds `data`, at each of the three places where it may
    begin."""
    found = set()
    for before in range(3):
        text = base64.b64encode(b"\0" * before + data)
        first = (before * 8 + 5) // 6  # the first character that `data` alone decides
        last = (before + len(data)) * 8 // 6
        inner = text[first:last].decode()
        if len(inner) >= LEAST_INSIDE:
            found |= {inner, inner.replace("+", "-").replace("/", "_")}
    return found


KNOWN = Redactor()  # what this process has resolved, for its log lines and its health
