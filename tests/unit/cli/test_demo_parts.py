"""The customers of the demo are the same every time, and the example can ship and give up."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from streamflow.cli import definition_files
from streamflow.cli.demo_orders import wave

EXAMPLE = Path(__file__).parents[3] / "definitions" / "order-fulfilment"


def test_a_wave_is_the_same_every_time() -> None:
    catalog = definition_files.read_catalog(EXAMPLE)

    assert wave(catalog, "A", 20) == wave(catalog, "A", 20)


def test_every_order_is_placed_once_and_paid_at_most_once() -> None:
    sent = wave(definition_files.read_catalog(EXAMPLE), "A", 40)

    placed = Counter(json.loads(due.record.value or b"")["order"] for due in sent.due if due.topic == "orders")
    paid = Counter(
        json.loads(due.record.value or b"")["order"]
        for due in (*sent.due, *sent.reminded.values())
        if due.topic == "payments"
    )
    assert set(placed) == set(sent.ends)
    assert set(placed.values()) == {1}
    assert {order for order, step in sent.ends.items() if step == "ship"} == set(paid)
    assert max(paid.values()) == 1
    assert sent.reminded
    assert set(sent.ends.values()) == {"ship", "give_up"}


def test_a_wave_is_sent_in_the_order_of_time() -> None:
    times = [due.at_s for due in wave(definition_files.read_catalog(EXAMPLE), "A", 40).due]

    assert times == sorted(times)
