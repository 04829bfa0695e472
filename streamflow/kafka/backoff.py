"""How long writers that fence each other wait before they try again."""

from __future__ import annotations

import random
from collections.abc import Iterator

_FACTOR = 1.5


def pauses(first_s: float, longest_s: float) -> Iterator[float]:
    """Seconds to wait before each further attempt, without end: longer each time, with jitter, because two writers that
    fence each other in step would do so for ever."""
    backoff = first_s
    while True:
        yield backoff * random.uniform(0.5, 1.5)
        backoff = min(backoff * _FACTOR, longest_s)
