"""Events that wait for a user's topic: kept in cuts until they are acknowledged, in their order, and bounded."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.core import outbox as module
from streamflow.core.outbox import PREFIX, Entry, Outbox, Written, unsent_of, usable_topic
from streamflow.engine.effects import PublishEvent
from streamflow.engine.trace import Trace
from streamflow.errors import Rejected
from streamflow.ids import partition_of
from streamflow.simulation.store import MemoryStore
from streamflow.wire.codec import DecodeError
from streamflow.wire.transitions import encode_event


def an_event(number: int = 0, key: str = "k1", topic: str = "shipped", data: Any = None) -> PublishEvent:
    return PublishEvent(
        key=key,
        id=f"run/{number}",
        type=f"order.{topic}",
        at_ms=1000 + number,
        data={"n": number} if data is None else data,
        definition="order",
        run="run",
        trace=Trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=b"),
        correlation_id="ours",
    )


def topic_of(event: str) -> str:
    return event.removeprefix("order.")


def an_outbox(*events: PublishEvent, store: MemoryStore | None = None) -> Outbox:
    made = Outbox(store or MemoryStore(), topic_of, 0.0)
    for offset, event in enumerate(events):
        made.add(offset, 0, unsent_of(event), 0.0)
    return made


def ids(entries: list[Entry]) -> list[str]:
    return [entry.unsent.id for entry in entries]


def batch_of(outbox: Outbox, topic: str = "shipped", partitions: int = 1, busy: tuple[int, ...] = ()) -> list[Entry]:
    batch = outbox.next(topic, partitions, busy)
    return [] if batch is None else batch.entries


@pytest.mark.parametrize("data", [{"n": 2**63, "low": -(2**63), "tiny": 5e-324, "zero": -0.0, "text": "grüße \u2028"}])
def test_a_copy_from_the_outbox_of_a_lost_owner_has_the_same_bytes(data: Any) -> None:
    event = an_event(data=data)
    store = MemoryStore()
    store.write(an_outbox(event).capture())
    (entry,) = batch_of(Outbox(store, topic_of, 0.0))
    key, value, headers = encode_event(event)
    assert entry.record() == (key, value, tuple(headers))


def test_the_next_owner_sends_events_in_the_order_of_their_commands_and_places() -> None:
    first = an_outbox()
    for offset, nth, number in ((9, 0, 1), (10, 0, 2), (10, 1, 3), (100, 0, 4)):
        first.add(offset, nth, unsent_of(an_event(number)), 0.0)
    store = MemoryStore()
    store.write(first.capture())
    assert ids(batch_of(Outbox(store, topic_of, 0.0))) == ["run/1", "run/2", "run/3", "run/4"]


def test_an_event_acknowledged_before_the_next_cut_is_never_written() -> None:
    outbox = an_outbox(an_event())
    outbox.sent(batch_of(outbox), 1.0)
    assert outbox.capture() == {}
    assert not outbox.dirty


def test_an_event_is_written_once_and_deleted_by_the_first_cut_after_its_acknowledgement() -> None:
    outbox = an_outbox(an_event())
    (place,) = outbox.capture()
    assert place == f"{PREFIX}{0:015d}/00000"
    assert outbox.capture() == {}
    outbox.sent(batch_of(outbox), 1.0)
    assert outbox.dirty
    assert outbox.capture() == {place: None}
    assert outbox.capture() == {}


def test_what_an_earlier_owner_left_is_deleted_once_it_is_acknowledged() -> None:
    store = MemoryStore()
    store.write(an_outbox(an_event()).capture())
    heir = Outbox(store, topic_of, 0.0)
    assert heir.capture() == {}
    heir.sent(batch_of(heir), 1.0)
    assert list(heir.capture().values()) == [None]


def test_events_for_a_busy_partition_wait_and_those_for_others_do_not() -> None:
    keys = [f"k{number}" for number in range(12)]
    outbox = an_outbox(*(an_event(number, key) for number, key in enumerate(keys)))
    first = outbox.next("shipped", 3)
    assert first is not None
    assert ids(first.entries) == [f"run/{n}" for n, key in enumerate(keys) if partition_of(key, 3) == first.partition]
    second = outbox.next("shipped", 3, {first.partition})
    assert second is not None
    assert second.partition != first.partition
    outbox.put_back(first.entries)
    again = outbox.next("shipped", 3, {second.partition})
    assert again == first


def test_the_topic_of_an_event_is_asked_for_by_its_name_and_again_by_the_next_owner() -> None:
    store = MemoryStore()
    first = Outbox(store, lambda event: f"first.{event}", 0.0)
    first.add(0, 0, unsent_of(an_event()), 0.0)
    assert first.depths() == {"first.order.shipped": 1}
    store.write(first.capture())
    assert Outbox(store, lambda event: f"second.{event}", 0.0).depths() == {"second.order.shipped": 1}


def test_a_topic_without_an_acknowledgement_stalls_once_and_recovers_with_the_next_one() -> None:
    outbox = an_outbox(an_event(1), an_event(2), an_event(3, topic="other"))
    outbox.sent(batch_of(outbox, "other"), 5.0)
    assert outbox.look(module.STALLED_S) == {}
    assert outbox.look(module.STALLED_S + 0.1) == {"shipped": True}
    assert outbox.look(1000.0) == {}
    outbox.sent(batch_of(outbox)[:1], 1000.5)
    assert outbox.look(1001.0) == {"shipped": False}


def test_a_slow_topic_is_waited_for_and_a_stalled_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOPIC_EVENTS", 4)
    outbox = an_outbox(*map(an_event, range(6)))
    assert outbox.congested()
    assert outbox.overflow() == []
    outbox.look(module.STALLED_S + 1)
    assert not outbox.congested()
    assert ids(outbox.overflow()) == ["run/0", "run/1"]


def test_what_is_on_its_way_is_not_given_up_at_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOPIC_EVENTS", 2)
    monkeypatch.setattr(module, "BATCH_EVENTS", 2)
    outbox = an_outbox(*map(an_event, range(5)))
    assert ids(batch_of(outbox)) == ["run/0", "run/1"]
    outbox.look(module.STALLED_S + 1)
    assert ids(outbox.overflow()) == ["run/2", "run/3", "run/4"]


def test_bytes_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOPIC_BYTES", 250)
    outbox = an_outbox(*(an_event(number, data={"x": "y" * 90}) for number in range(4)))
    assert outbox.congested()
    outbox.look(module.STALLED_S + 1)
    assert len(outbox.overflow()) == 2


def test_an_event_is_late_after_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = an_outbox(an_event())
    entries = batch_of(outbox)
    assert outbox.late(entries, module.GIVE_UP_S) == []
    assert outbox.late(entries, module.GIVE_UP_S + 1) == entries


@pytest.mark.parametrize(("topic", "own", "code"), [(None, False, "event_unbound"), ("x", True, "topic_reserved")])
def test_an_event_without_a_usable_topic_is_set_apart_with_the_reason(topic: str | None, own: bool, code: str) -> None:
    outbox = Outbox(MemoryStore(), lambda event: usable_topic(event, topic, own=own), 0.0)
    outbox.add(0, 0, unsent_of(an_event()), 0.0)
    (entry,) = outbox.unbound()
    with pytest.raises(Rejected) as caught:
        usable_topic("order.shipped", topic, own=own)
    assert (caught.value.code, caught.value.message) == (code, entry.problem)


def test_an_event_with_a_schema_is_sent_as_it_is_written_and_kept_as_json() -> None:
    def write(payload: bytes) -> bytes:
        return b"\0\0\0\0\7" + payload.upper()

    written = Written(write, (("content-type", "application/avro"), ("ce_dataschema", "http://r/7")))
    store = MemoryStore()
    outbox = Outbox(store, topic_of, 0.0, lambda event: written)
    outbox.add(0, 0, unsent_of(an_event()), 0.0)

    (entry,) = batch_of(outbox)
    key, value, headers = entry.record()
    assert (key, value) == (entry.plain()[0], b'\0\0\0\0\7{"N":0}')
    assert dict(headers)["content-type"] == b"application/avro"
    assert dict(headers)["ce_dataschema"] == b"http://r/7"
    assert len(dict(headers)) == len(headers)
    assert entry.plain()[1] == b'{"n":0}'
    store.write(outbox.capture())
    (heir,) = batch_of(Outbox(store, topic_of, 0.0, lambda event: written))
    assert heir.record() == entry.record()
    (plain,) = batch_of(Outbox(store, topic_of, 0.0))
    assert plain.record() == entry.plain()


def test_an_event_that_cannot_be_written_has_no_topic_and_says_why() -> None:
    def refuse(payload: bytes) -> bytes:
        raise DecodeError("schema_encode_failed", "It does not fit.")

    outbox = Outbox(MemoryStore(), topic_of, 0.0, lambda event: Written(refuse, ()))
    outbox.add(0, 0, unsent_of(an_event()), 0.0)

    assert batch_of(outbox) == []
    assert [entry.problem for entry in outbox.unbound()] == ["It does not fit."]
