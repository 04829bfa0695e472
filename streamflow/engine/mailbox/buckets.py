"""Which buckets of a partition's memory are not empty."""

from __future__ import annotations

from msgspec import Struct


class Buckets(Struct, frozen=True, gc=False, omit_defaults=True):
    """The buckets of one memory that are not empty."""

    starts_ms: tuple[int, ...] = ()  # when each begins, oldest first
    swept: str = ""  # the key after which the sweep of the oldest one resumes


class Memories(Struct, frozen=True, gc=False, omit_defaults=True):
    """The buckets of both memories of a partition."""

    seen: Buckets = Buckets()
    trail: Buckets = Buckets()
    erased_ms: int = 0  # when a business key was erased last; what is known of its events lies under another name
