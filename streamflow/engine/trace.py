"""Trace context: the place of something in a trace (W3C Trace Context, level 1), as commands, tasks and state carry it.

The id of a span is a hash of its trace and of what the span is for, never drawn. So a decision that is made again
passes on the same ids (law identical-replay), and a span that is exported twice is known as one. Nothing here makes
spans: hosts do, from what a decision passes on (docs/design.md#metrics-and-tracing).
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import NamedTuple

from msgspec import Struct

from streamflow.ids import command_place

CORRELATION_CHARS = 200  # of a correlation id
STATE_CHARS = 512  # of a tracestate: what the specification has every program pass on at least
_SAMPLED = 1  # of the flags
# version, trace id, span id, flags; what a later version adds behind them is not passed on
_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII | re.DOTALL)
_PRINTABLE = re.compile(r"[\x20-\x7e]*", re.ASCII)
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


class Trace(Struct, frozen=True, gc=False, omit_defaults=True):
    """The span that led to something."""

    parent: str  # W3C traceparent: `00-<trace id>-<span id>-<flags>`
    state: str = ""  # W3C tracestate, passed on as it came
    recorded: bool = False  # whether each hop makes a span of its own; if not, the parent is passed on as it came

    @property
    def trace_id(self) -> str:
        """The id of the whole trace, 32 hex digits."""
        return self.parent[3:35]

    @property
    def span_id(self) -> str:
        """The id of the span, 16 hex digits."""
        return self.parent[36:52]

    @property
    def is_sampled(self) -> bool:
        """Whether the origin of the trace wants it recorded."""
        return bool(int(self.parent[53:55], 16) & _SAMPLED)

    def at(self, place: str) -> Trace:
        """The span at `place`, which is unique in the trace, as a child of this one; this one itself where no spans
        are made."""
        if not self.recorded:
            return self
        return Trace(f"00-{self.trace_id}-{span_id(self.trace_id, place)}-{self.parent[53:55]}", self.state, True)


class RunTrace(NamedTuple):
    """What one decision does in one run, as a place in a trace."""

    trace: Trace  # passed on by everything that the decision does in the run
    parent: Trace  # of which it is the child; the same where no spans are made
    links: tuple[Trace, ...] = ()  # spans of other traces that meet in it


class RunTraces:
    """What one command does in each run that is in a trace. `came` is the span that led to the command, which is at
    `offset` of a partition of the topic with `topic_id`."""

    __slots__ = ("_came", "_offset", "_partition", "_topic_id", "by_run")

    def __init__(self, came: Trace | None, topic_id: str, partition: int, offset: int) -> None:
        self._came = came
        self._topic_id = topic_id
        self._partition = partition
        self._offset = offset
        self.by_run: dict[str, RunTrace] = {}

    def of(self, run: str, started: Trace | None) -> Trace | None:
        """The span of what the command does in `run`, which was started in the span `started` (None: in none, or by
        this command). It is the child of what led to the command, unless only the run is recorded: then of its
        start."""
        parent = self._came
        if parent is None and started is None:
            return None
        if (known := self.by_run.get(run)) is not None:
            return known.trace
        if parent is None or (started is not None and started.recorded and not parent.recorded):
            parent = started
        assert parent is not None
        made = parent.at(f"{command_place(self._topic_id, self._partition, self._offset)}/{run}")
        self.by_run[run] = RunTrace(made, parent)
        self.link(run, started)
        return made

    def link(self, run: str, other: Trace | None) -> None:
        """Note that a span of another trace meets in what the command does in `run`."""
        known = self.by_run.get(run)
        if known is None or other is None or not other.recorded or other.trace_id == known.trace.trace_id:
            return
        self.by_run[run] = known._replace(links=(*known.links, other))


def span_id(trace_id: str, place: str) -> str:
    """The id of the span at `place` in a trace, 16 hex digits, not all of them 0."""
    found = blake2b(f"{trace_id}/{place}".encode(), digest_size=8).hexdigest()
    return found if found != _NO_SPAN else _NO_SPAN[:-1] + "1"


def begun_trace(place: str) -> str:
    """The traceparent of a trace that begins at `place`, which is unique in all the world. It is sampled."""
    trace_id = blake2b(place.encode(), digest_size=16).hexdigest()
    return f"00-{trace_id}-{span_id(trace_id, place)}-01"


def read_trace(parent: str | None, state: str | None = None) -> Trace | None:
    """The context in the headers `traceparent` and `tracestate`; None if the first is no such, as the specification
    has it. A tracestate that is too long, or is none, is left out."""
    if parent is None or (found := _PARENT.fullmatch(parent)) is None:
        return None
    version, trace_id, span, flags, rest = found.groups()
    if version == "ff" or trace_id == _NO_TRACE or span == _NO_SPAN or (version == "00" and rest is not None):
        return None
    if state and (len(state) > STATE_CHARS or _PRINTABLE.fullmatch(state) is None):
        state = ""
    return Trace(f"00-{trace_id}-{span}-{flags}", state or "")


def read_correlation(text: str | None) -> str:
    """A correlation id as a caller gave it; empty if there is none, or if it is too long or not printable ASCII."""
    if not text or len(text) > CORRELATION_CHARS or _PRINTABLE.fullmatch(text) is None:
        return ""
    return text


def identifiers(trace: Trace | None, correlation_id: str) -> dict[str, str]:
    """What log lines are searched by, as their fields `trace_id` and `correlation_id`."""
    found = {} if trace is None else {"trace_id": trace.trace_id}
    return found | {"correlation_id": correlation_id} if correlation_id else found


class Sampling(Struct, frozen=True):
    """Which traces are recorded, where they enter: as the caller's flag says, or a share of those that begin here."""

    ratio: float  # of the traces that begin here, 0 to 1

    def enter(self, came: Trace | None, place: str) -> Trace | None:
        """The span that is made at `place`, which is unique in all the world, for something that came with the context
        `came`: its child, or the first of a new trace. What is not recorded passes on what came."""
        if came is not None:
            return Trace(came.parent, came.state, True).at(place) if came.is_sampled else came
        if not self.ratio:
            return None
        parent = begun_trace(place)
        return Trace(parent, recorded=True) if int(parent[3:11], 16) < self.ratio * 2**32 else None
