"""A change together with its account: the records of `access` and `audit` that are written at once. Pure."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from streamflow.access.audit import Actor, Entry, entry, head_of
from streamflow.access.changes import Change
from streamflow.access.directory import Directory
from streamflow.access.records import HEAD, encode

Make = Callable[[Directory, int], Change]
"""A change that is made of what the directory says when it is written, and the time then (epoch milliseconds)."""


class Access(Protocol):
    """Access control, as a process knows it."""

    @property
    def directory(self) -> Directory:
        """What the topic says; never changed in place. Raises OperationError when that is not known."""

    def submit(self, actor: Actor, make: Make) -> Future[Change]:
        """What `make` makes, once it is written. The future raises what `make` raises, and OperationError."""

    def audit(self, fits: Callable[[Entry], bool], newest: int) -> list[Entry]:
        """The newest so many entries of the audit that `fits` is true of, newest first. Blocks. Raises
        OperationError."""

    def close(self) -> None:
        """Ends what runs in the background."""


@dataclass(frozen=True, slots=True)
class Accounted:
    """A change as it is written: records of `access` by key (None deletes), and the entry of `audit` if it has one."""

    change: Change
    records: dict[str, bytes | None]
    entry: Entry | None


def account(directory: Directory, actor: Actor, make: Make, now_ms: int) -> Accounted:
    """Makes a change of `directory`, which has it afterwards. Raises what `make` raises; nothing is changed then."""
    change = make(directory, now_ms)
    values = dict(change.records)
    made: Entry | None = None
    if change.action:
        made = entry(
            directory.head,
            actor,
            at_ms=now_ms,
            action=change.action,
            target=change.target,
            before=change.before,
            after=change.after,
        )
        values[HEAD] = head_of(made)
    records = {key: None if value is None else encode(value) for key, value in values.items()}
    for key, value in records.items():
        directory.take(key, value)
    return Accounted(change, records, made)
