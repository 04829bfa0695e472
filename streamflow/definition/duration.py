"""Lengths of time as authors write them: `30s`, `24h`, `1h30m`, `7d`, `500ms`."""

from __future__ import annotations

import re

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
PATTERN = r"^([0-9]+(ms|s|m|h|d|w))+$"


def parse_ms(text: str) -> int:
    """Milliseconds in `text`. Raises ValueError, naming what was expected, when it is no duration."""
    if not re.fullmatch(PATTERN, text):
        raise ValueError(
            f"expected a duration such as 30s, 24h or 1h30m but found {text!r}. Write a number and one of "
            f"{', '.join(_UNITS_MS)}."
        )
    return sum(int(number) * _UNITS_MS[unit] for number, unit in re.findall(r"([0-9]+)(ms|s|m|h|d|w)", text))


def format_ms(ms: int) -> str:
    """The shortest spelling of `ms` milliseconds, for messages and diagrams: 5400000 -> `1h30m`."""
    parts, rest = [], ms
    for unit in ("w", "d", "h", "m", "s", "ms"):
        count, rest = divmod(rest, _UNITS_MS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
