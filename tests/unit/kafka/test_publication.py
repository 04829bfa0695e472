"""What a publication writes: contents, bindings beside them, the environment; and what it leaves as it is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from streamflow.definition.catalog import Binding, TopicEnds
from streamflow.errors import OperationError
from streamflow.kafka.definitions import VersionRecord, require_environment
from streamflow.kafka.engine_records import fix_limits
from streamflow.kafka.publication import Published, publish, retire
from streamflow.settings import Settings
from tests.approvals import an_approval
from tests.unit.kafka.logs import MemoryLog

SETTINGS = Settings()


def published(version: str = "1", content: bytes = b"{}", **topics: list[str]) -> Published:
    events: dict[str, dict[str, Any]] = {
        name: {"name": name, "title": f"The {name}", "topics": found, "start": "now"} for name, found in topics.items()
    }
    return publish(SETTINGS, name="loan", version=version, content=content, events=events)


def test_a_publication_binds_its_events_beside_the_content(memory_log: MemoryLog) -> None:
    done = published(paid=["payments"], placed=["orders", "orders.old"])

    log = memory_log.snapshot
    assert log.events["paid"] == {"name": "paid", "title": "The paid"}
    assert {name: binding.topics for name, binding in log.bindings.items()} == {
        "paid": ["payments"],
        "placed": ["orders", "orders.old"],
    }
    assert [(spec.name, spec.topics) for spec in log.catalog().events] == [
        ("paid", ["payments"]),
        ("placed", ["orders", "orders.old"]),
    ]
    assert (done.already, done.rebound) == (False, ())


def test_whoever_has_read_a_content_has_read_the_bindings_of_its_events(memory_log: MemoryLog) -> None:
    done = published(paid=["payments"], placed=["orders"])
    content = memory_log.written.index(f"definition/{done.sha}")
    assert done.offset == content
    assert {"binding/paid", "binding/placed"} < set(memory_log.written[: content + 1])


def test_the_same_version_with_other_topics_changes_the_bindings_alone(memory_log: MemoryLog) -> None:
    first = published(paid=["payments"], placed=["orders"])
    memory_log.written.clear()

    again = published(paid=["payments"], placed=["prod.orders"])

    assert memory_log.written == ["binding/placed"]
    assert (again.already, again.rebound, again.sha, again.offset) == (True, ("placed",), first.sha, first.offset)
    assert memory_log.snapshot.bindings["placed"].topics == ["prod.orders"]


def test_a_binding_is_written_again_only_when_it_says_something_else(memory_log: MemoryLog) -> None:
    published(paid=["payments"])
    before = memory_log.snapshot.bindings["paid"]
    memory_log.written.clear()

    assert published(version="2", content=b"[]", paid=["payments"]).rebound == ()

    assert "binding/paid" not in memory_log.written
    assert memory_log.snapshot.bindings["paid"] is before


def test_a_publication_remembers_where_topics_ended_and_by_the_brokers_time_when_it_was(memory_log: MemoryLog) -> None:
    old, new = TopicEnds(id="A", offsets={"0": 5, "1": 7}), TopicEnds(id="A", offsets={"0": 50, "1": 70})
    memory_log.ends, memory_log.now_ms = {"payments": old}, 1000
    published(paid=["payments"])
    assert memory_log.snapshot.bindings["paid"].ends == {"payments": old}
    assert memory_log.snapshot.bindings["paid"].bound_ms == 1000
    assert memory_log.snapshot.versions["loan", "1"].published_ms == 1000

    memory_log.ends, memory_log.now_ms = {"payments": new, "more": new}, 2000
    done = published(version="2", content=b"[]", paid=["payments", "more", "unknown"])
    assert memory_log.snapshot.bindings["paid"].ends == {"payments": old, "more": new}
    assert done.ends_unknown == {"unknown": "TOPIC_AUTHORIZATION_FAILED"}

    retire(SETTINGS, name="loan", version="1")
    assert memory_log.snapshot.versions["loan", "1"].retired
    assert memory_log.snapshot.versions["loan", "1"].published_ms == 1000


def test_an_event_without_topics_keeps_the_binding_that_it_has(memory_log: MemoryLog) -> None:
    published(paid=["payments"])
    published(version="2", content=b"[]", paid=[])
    assert memory_log.snapshot.bindings["paid"].topics == ["payments"]


def test_a_version_has_a_place_for_its_approval_which_retiring_keeps(memory_log: MemoryLog) -> None:
    done = published()
    assert memory_log.snapshot.versions["loan", "1"].approval is None
    approved = an_approval(sha256=done.sha, note="looks right")
    record = {"sha": done.sha, "published_ms": 5, "retired": False, "approval": approved}
    memory_log.snapshot.read(b"version/loan@1", msgspec.json.encode(record), 9)
    assert memory_log.snapshot.versions["loan", "1"] == VersionRecord(done.sha, False, 5, 9, approved)

    retire(SETTINGS, name="loan", version="1")

    retired = memory_log.snapshot.versions["loan", "1"]
    assert (retired.retired, retired.approval) == (True, approved)


def test_the_environment_is_fixed_with_the_topics(memory_log: MemoryLog) -> None:
    prod, test = (SETTINGS.model_copy(update={"environment": name}) for name in ("prod", "test"))
    assert memory_log.snapshot.environment == "main"

    fix_limits(prod)
    fix_limits(prod)

    assert memory_log.snapshot.environment == "prod"
    with pytest.raises(OperationError) as caught:
        fix_limits(test)
    assert (caught.value.code, caught.value.retryable) == ("environment_differs", False)
    require_environment(prod, memory_log.snapshot.environment)
    with pytest.raises(OperationError, match="belong to prod"):
        require_environment(SETTINGS, memory_log.snapshot.environment)


def test_a_binding_that_cannot_be_understood_is_left_out(memory_log: MemoryLog) -> None:
    log = memory_log.snapshot
    log.read(b"binding/paid", b'{"topics": ["payments"], "bound_ms": 3}', 0)
    log.read(b"binding/paid", b'{"topics": []}', 1)
    log.read(b"binding/placed", b'{"topics": ["no topic"]}', 2)

    assert log.unreadable.count == 2
    assert log.bindings == {"paid": Binding(topics=["payments"], bound_ms=3)}
    log.read(b"binding/paid", None, 3)
    assert log.bindings == {}
