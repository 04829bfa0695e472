"""A dead letter is sent again only while everything that consumed its event remembers it."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import pytest

from streamflow.definition.content import canonical, sha256_of
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.kafka.snapshot import Snapshot
from streamflow.ops import replay
from streamflow.ops.dead_letters import letters_of
from streamflow.ops.event_memory import EventMemory, Memory
from streamflow.ops.replay import Prepared, Replay
from streamflow.settings import Settings
from streamflow.wire.dead_letter import dead_letter
from streamflow.wire.decoding import Record

HOUR_MS = 3_600_000
WEEK_MS = 168 * HOUR_MS
CATALOG = """events:
  - {name: paid, topics: [orders], key: {path: k}, id: {path: id}, match: {path: type, equals: paid}}
  - {name: sent, topics: [orders], key: {path: k}, id: {path: id}, match: {path: type, equals: sent}}
"""


def text(name: str, event: str = "paid", window: str | None = None, version: str = "1") -> str:
    lines = (
        f"name: {name}",
        f'version: "{version}"',
        "" if window is None else f"window: {window}",
        f"on: [{{id: go, event: {event}}}]",
        """steps: [{id: x, print: {text: "'x'"}}]""",
    )
    return "\n".join(lines)


WAITING = """name: ship
version: "1"
window: 2h
on: [{id: go, event: sent}]
steps: [{id: w, wait: {events: [{id: a, event: paid}], within: 1d}}]
"""


def published(*texts: str) -> Snapshot:
    """Definitions that were published an hour after each other, from 0 on."""
    log = Snapshot()
    for number, made in enumerate(texts):
        definition, catalog = parse_definition(made), parse_catalog(CATALOG)
        content = canonical(definition, catalog)
        sha, name = sha256_of(content), definition.name
        version = f"{name}@{definition.version}"
        facts = {"sha": sha, "published_ms": 1 + number * HOUR_MS}
        log.read(f"definition/{sha}".encode(), content, log.position)
        log.read(f"version/{version}".encode(), msgspec.json.encode(facts), log.position)
        pointer = {"version": definition.version, "sha": sha}
        log.read(f"name/{name}".encode(), msgspec.json.encode(pointer), log.position)
    for event in parse_catalog(CATALOG).events:
        log.read(f"event/{event.name}".encode(), event.model_dump_json(by_alias=True).encode(), log.position)
    assert log.unreadable.count == 0
    return log


def shortest(log: Snapshot, *events: str, since_ms: int = 100 * HOUR_MS) -> Memory:
    return EventMemory(log, WEEK_MS).shortest(events, since_ms)


def prepared(monkeypatch: pytest.MonkeyPatch, log: Snapshot, age_ms: int, *, as_new: bool = False) -> Prepared:
    """What is made of a letter of that age, of an event `paid`."""
    at_ms = 100 * HOUR_MS
    source = Record("orders", 0, 7, at_ms, b"x", b'{"type": "paid", "k": "a", "id": "1"}', ())
    made = dead_letter(source, "key_missing", "m", "ingress", topic_id="T", definition="bill", event="paid")
    record = Record("dead-letters", 0, 0, at_ms, made.key, made.value, made.headers)
    (letter,) = letters_of([record])
    topics = {"orders": SimpleNamespace(name="orders", id="T", partitions=1)}
    monkeypatch.setattr(replay, "Admin", lambda _settings: SimpleNamespace(describe=lambda *_, **__: topics))
    return Replay(Settings(), lambda: log, now_ms=at_ms + age_ms, as_new=as_new).prepare(letter, record)


def code_of(found: Prepared) -> str | None:
    return found.problem[0] if found.problem is not None else None


def test_the_shortest_window_of_those_that_take_the_event_counts() -> None:
    log = published(text("bill"), text("ship", window="1h"), text("note", "sent", window="1m"))
    assert shortest(log, "paid") == Memory(HOUR_MS, "ship")
    assert shortest(log, "paid", "sent") == Memory(60_000, "note")
    assert shortest(published(text("bill")), "paid") == Memory(WEEK_MS, "bill")


def test_a_wait_takes_events_too() -> None:
    assert shortest(published(WAITING), "paid") == Memory(2 * HOUR_MS, "ship")


def test_a_longer_window_than_that_of_the_settings_counts() -> None:
    assert shortest(published(text("ship", window="30d")), "paid") == Memory(30 * 24 * HOUR_MS, "ship")


def test_of_an_event_that_nothing_takes_the_settings_say_it() -> None:
    assert shortest(published(text("ship", window="1h")), "sent") == Memory(WEEK_MS, "")


def test_a_window_that_was_replaced_before_does_not_count() -> None:
    log = published(text("ship", window="1h"), text("ship", window="2d", version="2"))
    assert shortest(log, "paid", since_ms=2 * HOUR_MS) == Memory(48 * HOUR_MS, "ship")
    assert shortest(log, "paid", since_ms=HOUR_MS // 2) == Memory(HOUR_MS, "ship")  # version 1 was the newest then


@pytest.mark.parametrize(("hours", "problem"), [(2, "memory_over"), (4, None)])
def test_the_window_is_the_one_that_was_fixed_with_the_topics(
    monkeypatch: pytest.MonkeyPatch, hours: int, problem: str | None
) -> None:
    log = published(text("bill"))
    log.read(b"engine/limits", msgspec.json.encode({"window_hours": hours}), log.position)
    assert code_of(prepared(monkeypatch, log, 3 * HOUR_MS)) == problem


def test_a_version_that_cannot_be_read_takes_no_event() -> None:
    log = published(text("bill"), text("ship", window="1h"))
    sha = log.versions["ship", "1"].sha
    log.read(f"definition/{sha}".encode(), None, log.position)
    assert shortest(log, "paid") == Memory(WEEK_MS, "bill")


@pytest.mark.parametrize(
    ("age_ms", "as_new", "problem"),
    [
        (HOUR_MS - 1000, False, None),
        (3 * HOUR_MS, False, "memory_over"),
        (3 * HOUR_MS, True, None),
    ],
)
def test_a_letter_whose_event_another_definition_may_have_forgotten_is_not_sent(
    monkeypatch: pytest.MonkeyPatch, age_ms: int, as_new: bool, problem: str | None
) -> None:
    """`bill` made the letter; `ship`, which remembers for an hour, consumed the event."""
    log = published(text("bill"), text("ship", window="1h"))

    found = prepared(monkeypatch, log, age_ms, as_new=as_new)

    assert code_of(found) == problem
    assert (found.record is None) == (problem is not None)
    if found.problem is not None:
        assert "1h for which ship remembers" in found.problem[1]
