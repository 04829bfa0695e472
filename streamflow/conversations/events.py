"""What happens in a conversation. Pure."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

Mode = Literal["ask", "plan", "edit"]
"""`ask` explains and changes nothing, `plan` says what it understood, `edit` also proposes operations."""

Cause = Literal["done", "waiting", "cancelled", "interrupted", "failed", "unrepaired", "limit"]
"""Why a turn ended: it is done; it waits for a person; a person cancelled it; its process ended; the model or the
broker failed; its proposals still had problems after the last repair; it took all that it may."""

RULES = "rules"
"""The name of the rule-based drafter instead of a model's."""


class _Event(Struct, frozen=True, kw_only=True, tag_field="type"):
    pass


class ConversationStarted(_Event, frozen=True, kw_only=True, tag="conversation_started"):
    """A conversation and its first revision."""

    title: str
    """For lists."""

    text: str
    """The draft that it begins with, which may have no steps yet."""

    sha: str
    """The sha256 of `text`."""

    catalog: str | None = None
    """The catalog as its author wrote it; None: the events and operations that are published."""


class MessageSent(_Event, frozen=True, kw_only=True, tag="message_sent"):
    """A person said something."""

    text: str
    """In their words; of an answer, the sentence of the choice, or its words."""

    question: int | None = None
    """Which of the open questions it answers, counted from 0."""

    choice: int | None = None
    """Which of its choices, counted from 0."""


class TurnStarted(_Event, frozen=True, kw_only=True, tag="turn_started"):
    """The assistant begins to answer."""

    turn: str
    """Its id."""

    mode: Mode
    """What it may do."""

    model: str
    """The name of the model in the settings, or `rules`."""

    message: int
    """The number of the message that it answers."""

    base: int
    """The revision that it sees."""

    holder: str
    """The process that works on it."""

    until_ms: int
    """When it counts as interrupted unless something is heard of it, in epoch milliseconds."""

    confirmed: bool = False
    """Whether a person has said yes to what was understood."""


class TurnHeld(_Event, frozen=True, kw_only=True, tag="turn_held"):
    """The process still works on the turn."""

    turn: str
    """Its id."""

    until_ms: int
    """As in `TurnStarted`."""


class TextAdded(_Event, frozen=True, kw_only=True, tag="text"):
    """The next part of the assistant's text."""

    turn: str
    """Its turn."""

    text: str
    """The part."""


class Understood(_Event, frozen=True, kw_only=True, tag="understood"):
    """What the assistant understood, and what it asks."""

    turn: str
    """Its turn."""

    statements: list[dict[str, Any]]
    """Numbered statements: `number`, `origin` (`said`, `assumed`, `missing`), `text`, `addresses`."""

    questions: list[dict[str, Any]] = []
    """At most three, the most important first, each with `text` and `choices`."""


class Confirmed(_Event, frozen=True, kw_only=True, tag="confirmed"):
    """A person said yes to what was understood."""

    turn: str
    """The turn that understood it."""


class GapsSettled(_Event, frozen=True, kw_only=True, tag="gaps_settled"):
    """Gaps of the draft are to be left as they are."""

    gaps: list[str]
    """Their keys."""


class ToolCalled(_Event, frozen=True, kw_only=True, tag="tool_called"):
    """The assistant used a tool."""

    turn: str
    """Its turn."""

    tool: str
    """The tool's name, as the model wrote it."""

    failed: bool
    """Whether the call was refused."""

    result: str
    """What the tool answered, shortened."""


class OperationsProposed(_Event, frozen=True, kw_only=True, tag="operations_proposed"):
    """Operations that a person may accept, all or some."""

    proposal: str
    """Its id."""

    turn: str
    """The turn that made it; empty: the answer to a question did."""

    base: int
    """The revision for which they were made."""

    operations: list[dict[str, Any]]
    """Typed operations, in the order in which they are applied."""

    sentences: list[str]
    """What they change, in English, as the server computed it."""

    problems: list[dict[str, Any]] = []
    """Problems that the draft would have and has not now."""

    settles: list[str] = []
    """Keys of gaps that it decides about."""


class OperationsRejected(_Event, frozen=True, kw_only=True, tag="operations_rejected"):
    """A person said no to operations of a proposal."""

    proposal: str
    """Its id."""

    operations: list[int]
    """Which, counted from 0."""


class Revised(_Event, frozen=True, kw_only=True, tag="revision"):
    """A new revision of the draft, which becomes the current one. Its number is that of its entry."""

    parent: int
    """The revision that was changed."""

    text: str
    """The whole draft."""

    sha: str
    """The sha256 of `text`."""

    authors: list[str]
    """Everybody who wrote it or a revision before it, and `assistant` if the assistant did."""

    operations: list[dict[str, Any]] = []
    """What was applied; none: the text was given as a whole."""

    sentences: list[str] = []
    """What changed, in English."""

    problems: list[dict[str, Any]] = []
    """Problems that are new."""

    proposal: str | None = None
    """The proposal that was accepted."""

    accepted: list[int] = []
    """Which of its operations, counted from 0; the others of those that were open were not applied."""


class Moved(_Event, frozen=True, kw_only=True, tag="moved"):
    """Another revision is the current one."""

    how: Literal["undone", "redone", "branched"]
    """By which command."""

    revision: int
    """The current one from now on."""


class ScenariosKept(_Event, frozen=True, kw_only=True, tag="scenarios_kept"):
    """The scenarios of the draft, instead of those that it had."""

    scenarios: dict[str, Any]
    """As `scenarios.yaml` has them; empty: there are none any more."""


class ScenariosPlayed(_Event, frozen=True, kw_only=True, tag="scenarios_played"):
    """The scenarios were played on a revision."""

    revision: int
    """Which."""

    count: int
    """How many there are."""

    different: list[dict[str, Any]] = []
    """Those that did not go as they expect: `name`, `told` (sentences), and `is_new`: the time before it went as
    expected."""

    trouble: str = ""
    """Why they cannot be played on this revision."""


class Commented(_Event, frozen=True, kw_only=True, tag="comment"):
    """A person wrote a comment."""

    revision: int
    """The revision that it is about."""

    text: str
    """The comment."""

    address: str | None = None
    """The place that it is about, such as `/steps/paid`."""


class Shared(_Event, frozen=True, kw_only=True, tag="shared"):
    """A link was made by which the conversation can be read without rights."""

    token_sha: str
    """The sha256 of its token, which is not kept."""

    until_ms: int
    """When it ends, in epoch milliseconds."""


class Unshared(_Event, frozen=True, kw_only=True, tag="unshared"):
    """No link is valid from now on."""


class Renamed(_Event, frozen=True, kw_only=True, tag="renamed"):
    """The conversation has another title."""

    title: str
    """From now on."""


class Spent(_Event, frozen=True, kw_only=True, tag="spent"):
    """What one answer of a model took."""

    turn: str
    """The turn that it belongs to."""

    person: str
    """Who pays."""

    day: str
    """When, as a date in UTC."""

    model: str
    """The model's name in the settings."""

    input_tokens: int
    """Neither read from the provider's cache nor written to it."""

    cached_input_tokens: int
    """Read from the cache."""

    cache_write_tokens: int
    """Written to the cache."""

    output_tokens: int
    """Of the answer."""

    estimated: bool
    """Whether the tokens were counted here."""

    money: str | None
    """The price as a decimal; None: not known."""


class TurnEnded(_Event, frozen=True, kw_only=True, tag="turn_ended"):
    """The assistant's answer has ended."""

    turn: str
    """Its turn."""

    cause: Cause
    """Why."""

    code: str = ""
    """The code of the error, if there was one."""

    message: str = ""
    """The error for people."""


Event = (
    ConversationStarted
    | MessageSent
    | TurnStarted
    | TurnHeld
    | TextAdded
    | Understood
    | Confirmed
    | GapsSettled
    | ToolCalled
    | OperationsProposed
    | OperationsRejected
    | Revised
    | Moved
    | ScenariosKept
    | ScenariosPlayed
    | Commented
    | Shared
    | Unshared
    | Renamed
    | Spent
    | TurnEnded
)
