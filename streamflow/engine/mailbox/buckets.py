"""Which buckets of a partition's memory are not empty."""

from __future__ import annotations

from msgspec import Struct


class Buckets(Struct, frozen=True, gc=False, omit_defaults=True):
    """The buckets of one memory that are not empty."""

    ends_ms: tuple[int, ...] = ()  # when each is over, oldest first
    swept: str = ""  # the key after which the sweep of the oldest one resumes


class Memories(Struct, frozen=True, gc=False, omit_defaults=True):
    """The buckets of both memories of a partition."""

    seen: Buckets = Buckets()
    trail: Buckets = Buckets()
    # the end of the last bucket with events of an erased business key, which lie under another name
    erased_ms: int = 0
