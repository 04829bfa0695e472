"""Rates as people write them: `200/s`, `12000/min`, `5/h`, or a number, which is a second's."""

from __future__ import annotations

import re

from streamflow.errors import Rejected

_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_RATE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(?:/(s|min|h|d))?")


def parse_rate(text: str) -> float:
    """How many a second `text` means. Raises Rejected (`rate_invalid`)."""
    found = _RATE.fullmatch(text.strip())
    per_s = float(found[1]) / _SECONDS[found[2] or "s"] if found else 0.0
    if per_s <= 0:
        raise Rejected(
            "rate_invalid", f"{text[:50]!r} is not a rate. Write a number above zero such as 200/s or 5000/h."
        )
    return per_s
