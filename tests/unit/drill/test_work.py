"""The events of a drill: the same from the same seed, with duplicates, disorder, rubbish and what concerns nobody."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice

import pytest

from streamflow.definition.syntax import parse_definition
from streamflow.drill.definitions import PLACED, STARTED, texts
from streamflow.drill.work import EVENTS_PER_ORDER, LATEST_S, Sending, drawn


def sendings(seed: int, orders: int = 400) -> list[Sending]:
    return [sending for order in islice(drawn(seed, 10.0), orders) for sending in order]


def test_a_seed_gives_the_same_events_and_another_seed_others() -> None:
    assert sendings(1) == sendings(1)
    assert sendings(1) != sendings(2)


def test_there_are_duplicates_disorder_rubbish_and_strangers() -> None:
    found = sendings(1)

    assert max(Counter(sending.id for sending in found if sending.id).values()) == 3
    assert found != sorted(found, key=lambda sending: sending.at_s)
    assert any(sending.dead for sending in found)
    assert any(sending.ignored for sending in found)


def test_every_order_starts_what_it_has_to_and_nothing_is_years_late() -> None:
    for number, order in enumerate(islice(drawn(3, 10.0), 200)):
        assert next(sending.starts for sending in order if sending.topic == PLACED and sending.id)[:3] == STARTED
        assert all(sending.at_s - number / 10.0 < LATEST_S for sending in order)


def test_the_rate_is_about_what_is_asked_for() -> None:
    assert len(sendings(5)) / 400 == pytest.approx(EVENTS_PER_ORDER, rel=0.1)


def test_copies_of_an_event_are_the_same_bytes() -> None:
    values: dict[str, set[bytes]] = {}
    for sending in sendings(1):
        values.setdefault(sending.id, set()).add(sending.value)
    values.pop("")

    assert all(len(of) == 1 for of in values.values() if json.loads(next(iter(of)))["type"] != "other")


def test_every_definition_can_be_read() -> None:
    names = [parse_definition(text).name for text in texts("http://127.0.0.1:1")]

    assert set(STARTED) < set(names)
    assert not [text for text in texts("http://127.0.0.1:1") if "CALL:" in text or "RETRY" in text or "LEDGER" in text]
