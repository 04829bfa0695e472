"""What a notification says: what happened, and where to look."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.notifications.text import LINES, composed
from tests.notifications import EVERY, RUN, notice

URL = "https://flow.example.org"


def test_several_things_are_one_message_with_links() -> None:
    made = composed([notice(kind, 1) for kind in EVERY], "prod", URL)

    assert made.title == ("Streamflow prod: 1 approval waits, 1 step is parked, 1 dead letter, 1 partition is stalled")
    assert made.text.splitlines() == [
        "orders: approval step1 waits for you",
        f"{URL}/inbox",
        "orders: step step1 is parked (http_timeout)",
        f"{URL}/runs/{RUN}",
        "orders: a dead letter (bad_json)",
        f"{URL}/trouble?kind=dead_letter",
        "Partition 1 of commands has records that nothing works on",
        f"{URL}/workers",
    ]
    assert made.severity == "warning"


def test_an_approval_alone_is_no_warning() -> None:
    made = composed([notice("approval", 1)], "main", None)
    assert (made.severity, made.text) == ("info", "orders: approval step1 waits for you")


def test_many_are_counted() -> None:
    made = composed([notice("parked", 1, n) for n in range(1000)], "main", URL)
    assert made.title == "Streamflow main: 1000 steps are parked"
    assert made.text.endswith(f"\nand {1000 - LINES} more")
    assert len(made.text) < 4000


@pytest.mark.parametrize(
    "text",
    ["<script>alert(1)</script>", "@everyone", "call +49 900 1234 now", "https://evil.example/", "a" * 500, "x\ny", ""],
)
@pytest.mark.parametrize("field", ["definition", "step", "code", "run"])
def test_texts_of_strangers_are_not_passed_on(field: str, text: str) -> None:
    changes: dict[str, Any] = {field: text}
    for kind in EVERY:
        made = composed([notice(kind, 1, **changes)], "main", URL)
        if text:
            assert text not in made.text
            assert text not in made.title
        assert len(made.text.splitlines()) == 2
