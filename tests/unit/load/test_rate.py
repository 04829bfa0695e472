"""Rates are read as people write them, and nothing else is."""

from __future__ import annotations

import pytest

from streamflow.errors import Rejected
from streamflow.load.rate import parse_rate


@pytest.mark.parametrize(
    ("text", "per_s"),
    [("200/s", 200), ("200", 200), (" 0.5/s ", 0.5), ("12000/min", 200), ("7200/h", 2), ("86400/d", 1)],
)
def test_a_rate_is_how_many_a_second(text: str, per_s: float) -> None:
    assert parse_rate(text) == per_s


@pytest.mark.parametrize("text", ["", "0/s", "-1/s", "many", "10/fortnight", "1e3", "NaN", "10 /s", "9999999999/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(Rejected) as refused:
        parse_rate(text)
    assert refused.value.code == "rate_invalid"
