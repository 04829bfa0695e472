"""Transitions of calls, child runs and lists: their attempts, and their results.

They are facts like all others: see `transitions`.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class ItemsListed(Struct, frozen=True, gc=False, omit_defaults=True):
    """The step's work is done for each item of a list."""

    items: tuple[Any, ...]
    """The items."""

    deadline_ms: int | None
    """The end of the step as a whole, in epoch milliseconds; None: no limit."""

    inputs_not_ready: tuple[str, ...] = ()
    """Steps that its input names and that have not ended: no attempt sees their outputs."""


class CallRequested(Struct, frozen=True, gc=False, omit_defaults=True):
    """An attempt of a call is on its way to a task worker. The transition's `attempt` is its number. Times are epoch
    milliseconds."""

    operation: str
    """The operation that is called."""

    lane: str
    """The lane whose workers do it."""

    input: Any
    """The operation's input."""

    due_ms: int
    """When the attempt counts as lost unless there was an answer."""

    deadline_ms: int | None = None
    """The end of the step as a whole; None: no limit."""

    attempts_before_retry: int = 0
    """The number of the last attempt before a person's retry."""

    item: int | None = None
    """The item of a list that it is for."""

    armed_ms: int | None = None
    """Of an item: the timer that this ends."""

    inputs_not_ready: tuple[str, ...] = ()
    """Of a first attempt: steps that its input names and that have not ended. Later attempts do not see their outputs
    either, so that all attempts get the same input."""


class ChildRequested(Struct, frozen=True, gc=False, omit_defaults=True):
    """A child run is requested. The transition's `attempt` is the number of the request."""

    child: str
    """The id of the child run."""

    definition: str
    """The name of its definition."""

    version: str
    """The version of its definition."""

    key: str
    """Its business key."""

    input: Any
    """Its input."""

    due_ms: int | None = None
    """When the step is given up, in epoch milliseconds; None: never."""

    attempts_before_retry: int = 0
    """The number of the last attempt before a person's retry."""

    item: int | None = None
    """The item of a list that it is for."""

    inputs_not_ready: tuple[str, ...] = ()
    """Of a first attempt: steps that its input names and that have not ended. Later attempts do not see their outputs
    either."""


class AttemptSuspended(Struct, frozen=True, gc=False, omit_defaults=True):
    """The attempt was handed to an outside party, which answers with a callback."""

    due_ms: int
    """When the attempt is given up unless there was a callback, in epoch milliseconds."""

    item: int | None = None
    """The item of a list that it is for."""

    armed_ms: int | None = None
    """Of an item: the timer that this ends."""

    attempts_before_retry: int = 0
    """Of an item: the number of its last attempt before a person's retry."""


class AttemptSucceeded(Struct, frozen=True, gc=False, omit_defaults=True):
    """The attempt has had its effect."""

    output: Any
    """What it gave."""

    item: int | None = None
    """The item of a list that it was for."""

    armed_ms: int | None = None
    """Of an item: the timer that this ends."""

    output_bytes: int = 0
    """Of an item whose output is read: the encoded bytes of the output."""


class AttemptFailed(Struct, frozen=True, gc=False, omit_defaults=True):
    """The attempt failed. It is retried; or the step ends; or the step is parked by the next transition; or, of a list,
    this item has failed."""

    code: str
    """What kind of error it was."""

    message: str
    """The error, for people."""

    retry_ms: int | None = None
    """When the next attempt is made (or the step given up for its deadline), in epoch milliseconds; None: no more."""

    outcome: str | None = None
    """`failure` or `timeout` when the step ends."""

    item: int | None = None
    """The item of a list that it was for."""

    armed_ms: int | None = None
    """Of an item: the timer that this ends."""

    attempts_before_retry: int = 0
    """Of an item: the number of its last attempt before a person's retry."""


class ItemsEnded(Struct, frozen=True, gc=False):
    """All items of a list have ended."""

    total: int
    """How many items it has."""

    failed: int
    """How many of them failed."""

    outcome: str | None
    """`done`, `failure` or `timeout`; None when the step is parked by the next transition."""
