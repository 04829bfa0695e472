"""Records that cannot be read, of every kind: each concerns only itself."""

from __future__ import annotations

import json

import pytest
import structlog

from streamflow.definition.content import canonical, sha256_of
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.engine.transitions import RunStarted, Transition
from streamflow.errors import OperationError
from streamflow.kafka.definitions import Snapshot
from streamflow.ops.approvals import Approvals
from streamflow.ops.catalog import published_definitions
from streamflow.ops.history import transitions
from streamflow.ops.lag import source_topics
from streamflow.wire.decoding import Record
from streamflow.wire.transitions import encode_transition
from streamflow.wire.unreadable import Unreadable
from tests.builders import an_event
from tests.hostile_records import DEEP, KEYS, VALUES

CONTENT = canonical(
    parse_definition(
        'name: order\nversion: "1"\non: [{id: placed, event: placed}]\nsteps: [{id: a, print: {text: "\'x\'"}}]\n'
    ),
    parse_catalog("events: [{name: placed, topics: [orders]}]\n"),
)


def a_log() -> Snapshot:
    """A log with one version that can be read."""
    log, sha = Snapshot(), sha256_of(CONTENT)
    log.read(b"binding/placed", b'{"topics": ["orders"]}', 0)
    log.read(f"definition/{sha}".encode(), CONTENT, 1)
    log.read(b"version/order@1", json.dumps({"sha": sha}).encode(), 2)
    log.read(b"name/order", json.dumps({"version": "1", "sha": sha}).encode(), 3)
    assert log.unreadable.count == 0
    return log


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize(
    "kind", ["definition", "version", "name", "event", "binding", "operation", "serving", "engine", "from the future"]
)
def test_a_strange_record_of_definitions_stops_no_reader(kind: str, value: bytes) -> None:
    log = a_log()
    log.read(f"{kind}/strange@1".encode(), value, 4)
    log.read(kind.encode(), value, 5)

    assert log.position == 6
    assert [one.name for one in log.served()] == ["order"]
    assert [spec.name for spec in published_definitions(log)] == ["order"]
    assert source_topics(log) == {"orders"}
    assert log.catalog().event("placed") is None  # its entry was never published
    assert log.newest("order") == "1"


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_a_strange_key_of_definitions_stops_no_reader(key: bytes | None) -> None:
    log = a_log()
    for value in VALUES.values():
        for prefix in (b"", b"definition/", b"version/", b"event/", b"binding/", b"engine/", b"engine/skip/"):
            log.read(None if key is None else prefix + key, value, log.position)
    assert log.position == 4 + 7 * len(VALUES)
    assert log.unreadable.count > 0
    assert [one.name for one in log.served()] == ["order"]
    assert log.skips.get(0, {}) == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"engine/limits", b'{"record_bytes": "large"}'),
        (b"engine/limits", b'{"record_bytes": null}'),
        (b"engine/revision", b'{"revision": ["4"]}'),
        (b"engine/revision", b"{}"),
        (b"engine/environment", b'{"environment": 7}'),
        (b"engine/skip/0/1", b'{"why": "an old form"}'),
        (b"engine/skip/0", b'{"reason": "no offset"}'),
        (b"engine/skip/x/y", b'{"reason": "no numbers"}'),
    ],
)
def test_what_is_fixed_for_the_engine_is_not_taken_from_a_record_of_another_form(key: bytes, value: bytes) -> None:
    log = a_log()
    before = dict(log.engine), log.revision, log.environment
    log.read(key, value, 4)
    assert log.unreadable.count == 1
    assert (dict(log.engine), log.revision, log.environment) == before
    assert not any(log.skips.values())


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_version_whose_content_cannot_be_read_concerns_only_itself(value: bytes | None) -> None:
    log, value = a_log(), value or b""
    log.read(f"definition/{sha256_of(value)}".encode(), value, 4)
    log.read(b"version/broken@1", json.dumps({"sha": sha256_of(value)}).encode(), 5)
    log.read(b"version/lost@1", json.dumps({"sha": "0" * 64}).encode(), 6)

    assert [one.name for one in log.served()] == ["order"]
    assert source_topics(log) == {"orders"}
    for name in ("broken", "lost"):
        with pytest.raises(OperationError, match=f"{name}@1 cannot be read") as caught:
            log.read_version(name, "1")
        assert caught.value.code == "version_unreadable"


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_strange_record_of_runs_stops_no_reader(value: bytes) -> None:
    fact = RunStarted(trigger="placed", event=an_event("placed", "e1", {}), sha="s", revision="4")
    known = Transition(
        run="r", definition="order", version="1", key="k", seq=1, at_ms=1, cause="c", data=fact, step=None, attempt=None
    )
    key, encoded, headers = encode_transition(known, None)
    strange = Record("runs", 3, 17, 0, key, value, tuple(headers))
    unreadable = Unreadable("runs")

    read = list(transitions([strange, Record("runs", 3, 18, 0, key, encoded, tuple(headers))], unreadable))

    assert [one.run for one in read] == ["r"]
    assert unreadable.count == 1
    assert (unreadable.summary() or "").startswith("Skipped 1 record that cannot be read: runs/3 at offset 17 (")


def test_a_strange_approval_stops_no_reader() -> None:
    approvals = Approvals()
    asked = (("ce_type", b"streamflow.ApprovalRequested"),)
    approvals._take_record(Record("runs", 0, 5, 0, b"k", DEEP, asked))
    assert approvals.open() == []
    assert approvals.unreadable.count == 1


def test_many_strange_records_are_counted_and_not_all_logged() -> None:
    unreadable = Unreadable("runs")
    with structlog.testing.capture_logs() as logged:
        for offset in range(3000):
            unreadable.skip(0, offset, ValueError("no"))
    assert unreadable.count == 3000
    assert len(logged) == 13  # ten, and one in a thousand
    assert Unreadable("runs").summary() is None
