"""Every reader of a topic of Streamflow's own meets the same hostile records: each is skipped, counted or deleted, and
what is good before and behind it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any, NamedTuple

import msgspec
import pytest
from structlog.testing import capture_logs

from streamflow.access import audit, audit_log
from streamflow.access import records as access
from streamflow.access.audit import encode_entry
from streamflow.access.directory import Directory
from streamflow.access.rights import Role
from streamflow.access.topic import _folded
from streamflow.conversations.entries import Entry
from streamflow.conversations.entries import encode_entry as encode_said
from streamflow.conversations.events import ConversationStarted
from streamflow.conversations.library import Library
from streamflow.definition.catalog import Binding
from streamflow.engine.effects import RecordErasure, Unclaimed
from streamflow.history.log_lines import project_log
from streamflow.history.projection import Changes
from streamflow.kafka.snapshot import Snapshot
from streamflow.ops import deliveries, erasure_requests, jobs_topic
from streamflow.ops.dead_letters import letters_of
from streamflow.ops.deliveries import read_deliveries
from streamflow.ops.erasure_requests import ErasureRequests
from streamflow.ops.history import transitions
from streamflow.ops.jobs import Job, Result, Target
from streamflow.ops.jobs_topic import JobsTopic
from streamflow.ops.unclaimed import unclaimed_events
from streamflow.settings import Settings
from streamflow.wire.dead_letter import dead_letter
from streamflow.wire.decoding import Record
from streamflow.wire.erasure import encode_erasure
from streamflow.wire.run_log import LogLine, encode_line
from streamflow.wire.settlement import Settlement, encode_settlement
from streamflow.wire.transitions import encode_transition
from streamflow.wire.unclaimed import encode_unclaimed
from streamflow.wire.unreadable import UNREADABLE, Unreadable
from tests.hostile_records import DEEP, VALUES
from tests.unit.history.bench import a_history, started

HUGE = b"1" + b"0" * 400
WORDS = {"null": b"null", "a list": b"[[]]", "an object": b'{"a": {}}', "a text": b'"x"', "a number": b"7"}
WORDS |= {"a huge number": HUGE, "a huge float": b"1e400", "deep": DEEP, "bad UTF-8": b'"\xff\xfe"'}
WORDS |= {"half a surrogate": b'"\\ud800"', "below zero": b"-7", "a number of 30 digits": b"9" * 30}


def hostile(good: bytes) -> Iterator[tuple[str, bytes | None]]:
    """What a stranger may write in the place of `good`."""
    yield from VALUES.items()
    fields = msgspec.json.decode(good)
    if isinstance(fields, list):
        for name, word in WORDS.items():
            yield f"{name} in it", b"[" + word + b"]"
        return
    encoded = {name: msgspec.json.encode(value) for name, value in fields.items()}
    for name, word in WORDS.items():
        yield f"{name} in a field of no name", joined(encoded | {"zz": word})
        for field in encoded:
            yield f"{name} in {field}", joined(encoded | {field: word})
    for field in encoded:
        yield f"no {field}", joined({name: word for name, word in encoded.items() if name != field})


def joined(fields: dict[str, bytes]) -> bytes:
    return b"{" + b",".join(b'"%b":%b' % (name.encode(), word) for name, word in fields.items()) + b"}"


Headers = tuple[tuple[str, bytes], ...]


class Good(NamedTuple):
    """A record of ours."""

    key: bytes
    value: bytes
    headers: Headers = ()


class Read(NamedTuple):
    """What a reader found: everything good, and how many records it told of as unreadable."""

    found: list[Any]
    told: int


class Topic(NamedTuple):
    """A reader, and a record that it reads."""

    good: Good
    read: Callable[[list[Record]], Read]
    behind: Good | None = None  # a good record that is no copy of another; None: the same one


class FakeReader:
    """Gives the records that it was made with, once."""

    def __init__(self, records: list[Record]) -> None:
        self._records = records

    def __call__(self, *_: object, **__: object) -> Any:
        return self

    def to_end(self, *_: object) -> Iterable[Record]:
        found, self._records = self._records, []
        return found

    def follow(self, _wait_s: float = 0.0) -> Iterable[Record]:
        return self.to_end()

    def close(self) -> None:
        return None


def read_access(records: list[Record]) -> Read:
    directory = _folded(Directory(), records)
    list(directory.users()), directory.groups(), directory.admins(), directory.permissions("1", ["staff"])
    for key, value in directory.values.items():
        access.encode(value)
        access.shown(value)
        assert access.decode(key, access.encode(value)) == value
    return Read([*directory.values.values()], len(directory.unreadable))


def read_audit(records: list[Record]) -> Read:
    unreadable = Unreadable("audit")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(audit_log, "LogReader", FakeReader(records))
        found = audit_log.read_entries(Settings(), unreadable)
    audit.verify(found, access.AuditHead(0, ""))
    return Read([*found], unreadable.count)


def read_erasures(records: list[Record]) -> Read:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(erasure_requests, "producer", lambda _settings: None)
        patched.setattr(erasure_requests, "append", lambda *_: 0)
        patched.setattr(erasure_requests, "new_id", lambda: "c1")
        requests = ErasureRequests(Settings(), FakeReader(records), FakeReader([]))  # type: ignore[arg-type]
        requests.ask("K-1", ["order"], "why")
        return Read([key for key, _ in requests.heard(0.0)], 1)  # of other records nobody is told


def read_jobs(records: list[Record]) -> Read:
    with pytest.MonkeyPatch.context() as patched, capture_logs() as lines:
        patched.setattr(jobs_topic, "LogReader", FakeReader(records))
        board = JobsTopic(Settings()).read(lambda board: board)
    found = [*board.jobs(), *board.results("j1")]
    for job in board.jobs():
        msgspec.json.encode(job.described())
        msgspec.json.encode(job)
    part = board.next_part("j1")
    told = sum(line["event"] == "job_record_unreadable" for line in lines)
    return Read([*found, *(part[1] if part is not None else [])], told)


def read_authoring(records: list[Record]) -> Read:
    library = Library()
    told = sum(library.take((record.key or b"").decode(), record.value) is None for record in records)
    for one in library.conversations():
        library.entries(one.id, 0, 100)
    return Read([*library._entries], told)


def read_definitions(records: list[Record]) -> Read:
    log = Snapshot()
    for record in records:
        log.read(record.key, record.value, record.offset)
    return Read(
        [
            *(("version", name, one.sha) for name, one in log.versions.items()),
            *(("name", name, one.version) for name, one in log.names.items()),
            *(("event", event.name, tuple(event.topics)) for event in log.catalog().events),
            *(("scenarios", name) for name in log.scenarios),
            ("engine", log.revision, log.environment, log.generations),
            *(("skip", partition, *offsets) for partition, offsets in log.skips.items()),
            *(("served", one.name) for one in log.served()),
            *(("approval", sha) for sha in log.approvals),
        ],
        log.unreadable.count,
    )


def read_unclaimed(records: list[Record]) -> Read:
    unreadable = Unreadable("unclaimed")
    return Read([one.event.id for one in unclaimed_events(records, unreadable)], unreadable.count)


def read_settlements(records: list[Record]) -> Read:
    made = dead_letter(Record("orders", 0, 1, 1, b"k", b"v", ()), "not_json", "m", "ingress")
    letter = Record("dead-letters", 0, 0, 1, *made)
    unreadable = Unreadable("dead-letters")
    return Read([one.state for one in letters_of([letter, *records], unreadable)], unreadable.count)


def read_runs(records: list[Record]) -> Read:
    unreadable = Unreadable("runs")
    return Read([one.run for one in transitions(records, unreadable)], unreadable.count)


def read_logs(records: list[Record]) -> Read:
    changes, told = Changes(), 0
    for record in records:
        try:
            project_log(record, changes)
        except UNREADABLE:
            told += 1
    return Read([row.run for row in changes.logs], told)


def read_tallies(records: list[Record]) -> Read:
    unreadable = Unreadable("state")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(deliveries, "Reading", lambda *_: nullcontext(FakeReader(records)))
        found = read_deliveries(Settings(), unreadable=unreadable)
    return Read([(name, *sorted(counts.items())) for name, counts in found.items()], unreadable.count)


def a_job() -> Job:
    return Job(
        id="j1",
        action="cancel",
        filter={"status": "open"},
        reason="r",
        who="kim",
        user="1",
        groups=("staff",),
        definitions=("order",),
        created_ms=1,
        total=1,
        applied=0,
        ended_ms=None,
        holder="me",
        held_until_ms=1,
    )


def json(value: Any) -> bytes:
    return msgspec.json.encode(value)


def binary(made: tuple[Any, Any, Any]) -> Good:
    return Good(made[0] or b"", made[1] or b"", tuple(made[2]))


USER = access.User(id="1", name="kim", issuer="https://id", subject="s", groups=("staff",), created_ms=1)
ACCESS: dict[str, access.Value] = {
    "user/1": USER,
    "grant/1": access.Grant(id="1", role=Role.ADMIN, user="1", definitions=("order",), created_ms=1),
    "key/1": access.ApiKey(id="1", user="1", name="ci", digest="d", created_ms=1, expires_ms=2),
    "use/1": access.KeyUse(1),
    "family/1": access.Family(id="1", user="1", groups=("staff",), rotated_ms=1, created_ms=1, expires_ms=2),
    "view/1/1": access.View(id="1", name="n", page="runs", query="q"),
    "subscription/1": access.Subscription(user="1", target="t", kinds=("parked",), created_ms=1),
    "audit": access.AuditHead(1, "d"),
}
CONTENT = b'{"catalog": {"events": []}, "definition": {}}'
SHA = hashlib.sha256(CONTENT).hexdigest()
DEFINITIONS: dict[str, Any] = {
    "version/order@1": {"sha": SHA, "published_ms": 1, "retired": False},
    "name/order": {"version": "1", "sha": SHA},
    "event/paid": {"name": "paid", "topics": ["orders"]},
    "binding/paid": msgspec.json.decode(Binding(topics=["orders"]).model_dump_json()),
    "operation/a.b": {"spec": {"name": "a.b"}},
    "serving/default/w": {"lane": "default", "instance": "w"},
    "engine/revision": {"revision": "1"},
    "engine/environment": {"environment": "test"},
    "engine/generations": {"partitions": [12, 24]},
    "engine/limits": {"record_bytes": 5},
    "engine/skip/0/5": {"reason": "r", "asked_ms": 1},
}
ERASED = RecordErasure(command_id="c1", definitions=("order",), reason="r", records=1, events=0, at_ms=1)
ENTRY = audit.entry(access.AuditHead(0, ""), audit.Actor(who="kim"), at_ms=1, action="a.b", target="t", after={"a": 1})
SAID = Entry(seq=1, at_ms=1, by="kim", event=ConversationStarted(title="t", text="x", sha="0"))
UNCLAIMED = Unclaimed(
    definition="order",
    key="K-1",
    event="paid",
    source="/shop",
    id="e-1",
    outcome="unclaimed",
    reason="no_run",
    run=None,
    step=None,
    offset=1,
    arrived_ms=1,
    ended_ms=1,
)
LINE = LogLine(run="r1", at_ms=1, role="tasks", level="info", event="x", fields={"a": 1})
LETTER = dict(dead_letter(Record("orders", 0, 1, 1, b"k", b"v", ()), "not_json", "m", "ingress").headers)
SETTLED = encode_settlement(Settlement(letter=LETTER["streamflow.dlq.id"].decode(), state="dropped", why="w"))
TOPICS: dict[str, Topic] = {
    **{f"access {key}": Topic(Good(key.encode(), access.encode(value)), read_access) for key, value in ACCESS.items()},
    "audit": Topic(binary(encode_entry(ENTRY)), read_audit),
    "audit, erasures": Topic(binary(encode_erasure(ERASED, "T/0/1")), read_erasures),
    "jobs": Topic(Good(b"job/j1", json(a_job())), read_jobs),
    "jobs, targets": Topic(Good(b"targets/j1/0", json([Target("r1", "pay", "order")])), read_jobs),
    "jobs, results": Topic(Good(b"results/j1/0", json([Result("r1", "refused", "c", "m")])), read_jobs),
    "authoring": Topic(Good(b"abcdefgh/1", encode_said(SAID)), read_authoring, Good(b"ijklmnop/1", encode_said(SAID))),
    **{
        f"definitions {key}": Topic(Good(key.encode(), json(value)), read_definitions)
        for key, value in DEFINITIONS.items()
    },
    "unclaimed": Topic(
        binary(encode_unclaimed(UNCLAIMED, "main", "T", 1)),
        read_unclaimed,
        binary(encode_unclaimed(msgspec.structs.replace(UNCLAIMED, offset=2), "main", "T", 1)),
    ),
    "dead-letters, settlements": Topic(binary(tuple(SETTLED)), read_settlements),  # type: ignore[arg-type]
    "runs": Topic(binary(encode_transition(a_history("r1", started())[0], None)), read_runs),
    "logs": Topic(Good(b"r1", encode_line(LINE)), read_logs),
    "state, tallies": Topic(Good(b"tally/order", json({"paid/delivered": 3})), read_tallies),
}


def record(good: Good, offset: int, value: bytes | None) -> Record:
    return Record("own", 0, offset, 1, good.key, value, good.headers)


@pytest.mark.parametrize("name", TOPICS)
def test_a_hostile_record_ends_no_reader_and_hides_nothing_else(name: str) -> None:
    good, read, behind = TOPICS[name]
    behind = behind or good
    expected = read([record(behind, 0, behind.value)])
    assert expected.told in (0, 1)

    for what, value in hostile(good.value):
        read([record(good, 0, value)])
        found = read([record(good, 0, value), record(behind, 1, behind.value)]).found
        assert set(map(repr, expected.found)) <= set(map(repr, found)), what

    everything = [record(good, offset, value) for offset, (_, value) in enumerate(hostile(good.value))]
    all_of_them = read([*everything, record(behind, len(everything), behind.value)])
    assert set(map(repr, expected.found)) <= set(map(repr, all_of_them.found))


UNREADABLE_AS_ANYTHING = ("no JSON", "deep in a field of no name", "deep in it", "bad UTF-8 in it")


@pytest.mark.parametrize("name", TOPICS)
def test_what_cannot_be_read_is_told(name: str) -> None:
    good, read, _ = TOPICS[name]
    for what, value in hostile(good.value):
        if what in UNREADABLE_AS_ANYTHING:
            assert read([record(good, 0, value)]).told >= 1, what
