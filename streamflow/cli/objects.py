"""Objects that a run has stored: found in its outputs, and downloaded as the operation `object.get` reads them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from streamflow.engine.attempt_transitions import CallRequested
from streamflow.engine.transitions import Transition
from streamflow.errors import OperationError
from streamflow.operations.contract import Attempt, Pending
from streamflow.secrets import read_secret
from streamflow.settings import Connection, Settings

_LARGEST_BYTES = 10_000_000  # what `object.get` gives at most
_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as an output names it: of which step, and through which connection it was stored, if that is known."""

    step: str
    connection: str | None
    bucket: str
    key: str
    url: str

    def facts(self) -> dict[str, Any]:
        """The object as JSON data."""
        return asdict(self)


def found_in(outputs: Mapping[str, Any], history: Sequence[Transition]) -> list[StoredObject]:
    """The objects that `outputs` (by step) name anywhere in them, each once: values with a bucket, a key and a url."""
    connections = {
        (one.address): one.data.input.get("connection")
        for one in history
        if isinstance(one.data, CallRequested) and isinstance(one.data.input, dict)
    }
    found: dict[str, StoredObject] = {}
    # Those who stored an object come first: they know the connection.
    for step, value in sorted(outputs.items(), key=lambda one: one[0] not in connections):
        for place in _references(value):
            named = connections.get(step)
            one = StoredObject(
                step, named if isinstance(named, str) else None, place["bucket"], place["key"], place["url"]
            )
            found.setdefault(one.url, one)
    return list(found.values())


def _references(value: Any) -> Iterator[dict[str, str]]:
    if isinstance(value, dict):
        if all(isinstance(value.get(name), str) for name in ("bucket", "key", "url")):
            yield value
            return
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _references(part)


def fetch(settings: Settings, places: Sequence[StoredObject], folder: Path) -> dict[str, Path]:
    """Downloads objects into `folder`, each under its key (under bucket and key if two share one): the files by url.
    Files that are there are replaced.

    Raises OperationError: what `object.get` ends with, `connection_unknown`, or `file_unwritable`."""
    shared = len({place.key for place in places}) < len(places)
    return asyncio.run(
        _fetch(settings, {place: folder / (f"{place.bucket}/{place.key}" if shared else place.key) for place in places})
    )


async def _fetch(settings: Settings, files: Mapping[StoredObject, Path]) -> dict[str, Path]:
    from streamflow.operations.objects import checked_key, operations  # with its client: a quarter of a second

    offered = operations(settings)
    get = next(one for one in offered if one.spec.name == "object.get")
    try:
        written = {}
        for place, file in files.items():
            checked_key(place.key)
            asked = {
                "connection": _connection_of(settings, place),
                "key": place.key,
                "as": "base64",
                "max_bytes": _LARGEST_BYTES,
            }
            if place.bucket:
                asked["bucket"] = place.bucket
            given = await asyncio.wait_for(get.run(asked, _attempt(settings, place)), _TIMEOUT_S)
            assert not isinstance(given, Pending)
            written[place.url] = _write(file, base64.b64decode(given["base64"]))
        return written
    except TimeoutError as error:
        text = f"expected the store to return the object within {_TIMEOUT_S:.0f} s but it did not. Check it."
        raise OperationError("store_unavailable", text) from error
    finally:
        for one in offered:
            await one.close()


def _write(file: Path, content: bytes) -> Path:
    part = file.with_name(f".{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise OperationError(
            "file_unwritable", f"expected to write {file} but {error.strerror}. Check the folder.", retryable=False
        ) from error
    return file


def _connection_of(settings: Settings, place: StoredObject) -> str:
    """The connection that the object was stored through; else the only one there is."""
    if place.connection is not None:
        return place.connection
    known = [name for name, one in settings.tasks.connections.items() if one.kind in ("s3", "folder")]
    if len(known) == 1:
        return known[0]
    found = ", ".join(known) or "none"
    text = (
        f"expected one connection to an object store in the settings but there is {found}. Name the connection of "
        f"{place.key} in the step's output."
    )
    raise OperationError("connection_unknown", text, retryable=False)


def _attempt(settings: Settings, place: StoredObject) -> Attempt:
    def connection(name: str) -> Connection:
        known = settings.tasks.connections
        if name not in known:
            text = (
                f"expected the connection {name} in the settings but they have {', '.join(known) or 'none'}. "
                f"Add tasks.connections.{name}."
            )
            raise OperationError("connection_unknown", text, retryable=False)
        return known[name]

    name = f"fetch/{place.url}"
    return Attempt(
        name, name, "", "", "", "", place.step, 1, None, _TIMEOUT_S, None, _no_callback, read_secret, connection
    )


def _no_callback(for_s: float) -> NoReturn:
    raise OperationError(
        "callbacks_off", f"expected no callback within {for_s:g} s of a download but one was asked for", retryable=False
    )
