"""Readers of shared topics meet records that none of ours wrote: they skip, count and go on. The table of records is
the same for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from streamflow.core.restored import Restored
from streamflow.engine.overlay import encode_record
from streamflow.engine.state import OWN, PartitionState
from streamflow.errors import EngineFault
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.worker_registry import announced
from streamflow.ops.approvals import Approvals
from streamflow.ops.catalog import published_operations
from streamflow.ops.command_request import refusal
from streamflow.ops.dead_letters import letters_of, original_headers
from streamflow.ops.unclaimed import unclaimed_events
from streamflow.settings import Kafka, Settings
from streamflow.wire.dead_letter import dead_letter
from streamflow.wire.decoding import Record
from streamflow.wire.unreadable import Unreadable
from streamflow_check.judge import judge
from streamflow_check.records import Record as Checked
from tests.checker.made import a_world, an_experiment
from tests.hostile_records import DEEP, HEADERS, KEYS, NESTED, VALUES

SETTINGS = Settings(kafka=Kafka(bootstrap_servers="localhost:1"))


def strange(topic: str) -> Iterator[Record]:
    """Records of `topic` with each hostile value, key and set of headers."""
    offset = 0
    for value in VALUES.values():
        for key in KEYS.values():
            yield Record(topic, 1, offset, 0, key, value, ())
            offset += 1
        for headers in HEADERS.values():
            yield Record(topic, 1, offset, 0, b"k", value, headers)
            offset += 1


ALL = len(list(strange("t")))


def test_strange_records_of_unclaimed_are_skipped_and_counted() -> None:
    typed = [
        Record("unclaimed", 0, offset, 0, b"k", value, (("ce_type", b"streamflow.EventUnclaimed"),))
        for offset, value in enumerate(VALUES.values())
    ]
    unreadable = Unreadable("unclaimed")
    assert list(unclaimed_events([*strange("unclaimed"), *typed], unreadable)) == []
    assert unreadable.count == ALL + len(typed)
    assert (unreadable.summary() or "").startswith(f"Skipped {ALL + len(typed)} records that cannot be read.")


def test_strange_dead_letters_are_skipped_counted_or_shown() -> None:
    good = dead_letter(
        Record("orders", 0, 7, 1, b"k", b"v", HEADERS["words of Streamflow"]), "not_json", "No.", "ingress"
    )
    known = Record("dead-letters", 0, 1, 1, good.key, good.value, good.headers)
    unreadable = Unreadable("dead-letters")
    (found,) = letters_of([*strange("dead-letters"), known, known], unreadable)
    assert unreadable.count == ALL
    assert (found.number, found.reason, found.key) == (1, "not_json", b"k")
    assert original_headers(known)["original.streamflow.dlq.reason"] in ("rejected", "a lie")


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("stage", ["ingress", "tasks", "emit"])
def test_headers_of_a_source_record_answer_nobody(headers: Any, stage: str) -> None:
    letter = dead_letter(Record("orders", 0, 0, 1, b"k", b"v", headers), "not_json", "No.", stage)
    record = Record("dead-letters", 0, 1, 1, letter.key, letter.value, letter.headers)
    assert refusal(SETTINGS, record)[:2] == (None, None)
    (told,) = letters_of([record])
    assert (told.reason, told.topic) == ("not_json", "orders")
    assert (told.described()["reason"], told.described()["topic"]) == ("not_json", "orders")


@pytest.mark.parametrize(
    "state",
    [
        b"{broken",
        b"7",
        b"null",
        b"[1]",
        b"\xff",
        DEEP,
        NESTED,
        b'{"code": 1, "message": 2, "self": 3, "run": "r"}',
        b"",
    ],
)
def test_the_state_in_a_letter_breaks_no_answer(state: bytes) -> None:
    record = Record(
        "dead-letters",
        0,
        1,
        1,
        b"k",
        b"v",
        (
            ("streamflow.dlq.stage", b"engine"),
            ("streamflow.dlq.command", b"c1"),
            ("streamflow.dlq.code", b"run_open"),
            ("streamflow.dlq.state", state),
            ("streamflow.dlq.partition", b"x"),
            ("streamflow.dlq.offset", b"\xff"),
        ),
    )
    named, _, rejected = refusal(SETTINGS, record)
    assert (named, rejected.code) == ("c1", "run_open")


def test_strange_announcements_and_registrations_are_left_out() -> None:
    log = Snapshot()
    worker = {
        "lane": "default",
        "instance": "w",
        "client_id": "c",
        "host": "h",
        "pid": 1,
        "since_ms": 0,
        "operations": [],
    }
    strange_ones: dict[str, Any] = {
        "default/other": worker,
        "x" * 30_000 + "/w": worker | {"lane": "x" * 30_000},
        "\0/w": worker | {"lane": "\0"},
        "/w": worker | {"lane": ""},
        "default/w2": {"lane": "default", "instance": "w2"},
        "default/w3": worker | {"instance": "w3", "operations": [7]},
        "default/w4": {},
    }
    log.serving = {"default/w": worker, **strange_ones}
    assert [one.instance for one in announced(log)] == ["w"]
    log.operations = {
        "a": {},
        "b": {"spec": 7},
        "c": {"spec": {"name": "c", "input": {"$ref": "#/nowhere"}}, "plugin": None},
    }
    assert published_operations(log) == []


def test_strange_approvals_are_skipped() -> None:
    approvals = Approvals()
    for value in VALUES.values():
        approvals._take_record(Record("runs", 0, 0, 0, b"k", value, (("ce_type", b"streamflow.ApprovalRequested"),)))
    assert approvals.open() == []
    assert approvals.unreadable.count == len(VALUES)


# -- the changelog is not read so


@pytest.mark.parametrize("key", [OWN, "run/r", "timer/000000000000001/r/s", "mail/b/1", "from the future/x"])
@pytest.mark.parametrize("value", [value for value in VALUES.values() if value is not None])
def test_a_restore_refuses_a_record_that_cannot_be_read(key: str, value: bytes) -> None:
    restored = Restored("state", 3)
    restored.take(key.encode(), value, 17)
    with pytest.raises(EngineFault, match=r"state/3 cannot be read.*without a value") as caught:
        restored.require_readable()
    assert (caught.value.code, caught.value.facts["offset"]) == ("state_unreadable", 17)


@pytest.mark.parametrize("key", [b"", b"\xff\xfe", b"\x1b[2J", b"x" * 20_000, b"run", b"/", b"from the future/1"])
def test_a_deletion_takes_a_strangers_record_back(key: bytes) -> None:
    restored = Restored("state", 0)
    restored.take(key, b"{}", 1)
    with pytest.raises(EngineFault, match="state_unreadable"):
        restored.require_readable()
    restored.take(key, None, 2)
    restored.require_readable()


def test_what_counts_is_the_last_record_of_a_key() -> None:
    restored = Restored("state", 0)
    good = encode_record(PartitionState(topic_id="t"))
    restored.take(OWN.encode(), b"broken", 1)
    assert restored.take(OWN.encode(), good, 2) == OWN
    restored.require_readable()
    restored.take(OWN.encode(), b"broken", 3)
    with pytest.raises(EngineFault):
        restored.require_readable()


def test_marks_of_cuts_and_records_of_the_host_are_restored() -> None:
    restored = Restored("state", 0)
    assert restored.take(b"!cut/0", b"7", 1) == "!cut/0"
    assert restored.take(b"!outbox/1/0", b"{}", 2) == "!outbox/1/0"
    restored.require_readable()


def test_outputs_are_any_json() -> None:
    restored = Restored("state", 0)
    for number, value in enumerate((b"7", b"null", NESTED, b'{"kind": 7}')):
        assert restored.take(f"out/r/{number}".encode(), value, number) is not None
    restored.take(b"out/r/s", DEEP, 9)
    with pytest.raises(EngineFault):
        restored.require_readable()


# -- the checker judges what is there


@pytest.mark.parametrize("topic", sorted(a_world().topics))
def test_the_checker_ends_with_a_verdict_whatever_a_topic_has(topic: str) -> None:
    world = a_world()
    records = world.topics[topic][0]
    for one in strange(topic):
        records.append(
            Checked(topic, 0, len(records), records[-1].at_ms if records else 0, one.key, one.value, one.headers)
        )
    judge(world, an_experiment())
