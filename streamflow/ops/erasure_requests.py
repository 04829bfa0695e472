"""Asking the engine to erase business keys, and hearing what it did: its accounts in `audit`, its refusals in
`dead-letters`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from confluent_kafka import OFFSET_END

from streamflow.engine.commands import EraseKey
from streamflow.engine.effects import RecordErasure
from streamflow.errors import Rejected
from streamflow.ids import partition_of
from streamflow.kafka.topics import AUDIT, DEAD_LETTERS, topic_name
from streamflow.ops.command_request import append, new_id, producer, refusal
from streamflow.ops.topic_reader import Reading
from streamflow.settings import Settings
from streamflow.wire.codec import DecodeError
from streamflow.wire.erasure import decode_erasure

_Place = tuple[str, str]  # partition and offset of a request in `commands`


class ErasureRequests:
    """Requests, and their answers. Made by `erasure_requests`."""

    def __init__(self, settings: Settings, accounts: Reading, letters: Reading) -> None:
        self._settings = settings
        self._accounts = accounts
        self._letters = letters
        self._producer = producer(settings)
        self._asked: dict[str, str] = {}  # keys by the id of the command that was not answered yet
        self._placed: dict[_Place, str] = {}  # ids of commands

    @property
    def unanswered(self) -> list[str]:
        """The keys whose erasure was asked for, and not answered."""
        return list(self._asked.values())

    def ask(self, key: str, definitions: Sequence[str], reason: str) -> None:
        """Have the engine erase a key. Raises OperationError (`broker_refused`)."""
        command = EraseKey(new_id(), key, tuple(definitions), reason)
        partition = partition_of(key, self._settings.topics.partitions)
        offset = append(self._settings, self._producer, command, key, partition)
        self._asked[command.id] = key
        self._placed[str(partition), str(offset)] = command.id

    def heard(self, wait_s: float) -> Iterator[tuple[str, RecordErasure | Rejected]]:
        """What the engine answered since, within `wait_s` seconds: the key with the account of its erasure, or with
        the refusal. Raises OperationError."""
        for record in self._accounts.follow(wait_s):
            try:
                account = decode_erasure(record.value or b"", record.headers)
            except DecodeError:
                continue  # another kind of record
            if (key := self._answered(account.command_id, None)) is not None:
                yield key, account
        for letter in self._letters.follow(0.0):
            command, place, rejected = refusal(self._settings, letter)
            if (key := self._answered(command, place)) is not None:
                yield key, rejected

    def _answered(self, command: str | None, place: _Place | None) -> str | None:
        """The key of the request that an answer names, which is answered then."""
        if command not in self._asked and place is not None:
            command = self._placed.get(place)
        return self._asked.pop(command or "", None)


@contextmanager
def erasure_requests(settings: Settings) -> Iterator[ErasureRequests]:
    """Requests, with what hears their answers. Raises OperationError."""
    with (
        Reading(settings, topic_name(settings, AUDIT), [0], OFFSET_END) as accounts,
        Reading(settings, topic_name(settings, DEAD_LETTERS), [0], OFFSET_END) as letters,
    ):
        yield ErasureRequests(settings, accounts, letters)
