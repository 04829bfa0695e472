"""The protocol of language models: what a caller gives, and the events that it gets. Pure.

`Model.stream` gives events in this order: `Text` and `ToolCall` as they come, then one `Usage`, then one `Stop`. An
answer without a `Stop` did not end: an error was raised, or the caller has left.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from streamflow.models.conversation import AssistantMessage, Conversation, MadeCall, well_formed
from streamflow.models.tools import Tool


@dataclass(frozen=True, slots=True)
class Text:
    """The next part of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A complete call of a tool, checked. A call with a `problem` must not be done: the caller gives the problem back
    as the result of the call, so that the model can correct it."""

    id: str  # the provider's, or ours where it gives none; unique within the answer
    name: str  # as the model wrote it, which may be no tool at all
    arguments: Mapping[str, Any]  # fit the tool's schema; empty if there is a problem
    raw: str  # the arguments as the model wrote them
    problem: str | None = None  # why it cannot be done, as a sentence for the model


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one answer, with those of attempts that were repeated."""

    input_tokens: int  # not from the provider's cache, and not written to it
    cached_input_tokens: int = 0  # read from the provider's cache
    cache_write_tokens: int = 0  # written to the provider's cache
    output_tokens: int = 0
    estimated: bool = False  # counted here from the size of the texts, where the provider reported nothing

    @property
    def tokens(self) -> int:
        """All tokens."""
        return self.input_tokens + self.cached_input_tokens + self.cache_write_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            cached_input_tokens=self.cached_input_tokens + other.cached_input_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            estimated=self.estimated or other.estimated,
        )


NO_USAGE = Usage(input_tokens=0)


class StopReason(StrEnum):
    """Why an answer ended."""

    END = "end"  # the model is done
    TOOLS = "tools"  # it waits for the results of its calls
    LENGTH = "length"  # the limit of tokens or characters was reached: the answer is incomplete
    CALLS = "calls"  # the limit of calls was reached: further ones were not read
    REFUSED = "refused"  # the model or the provider's filter refused


@dataclass(frozen=True, slots=True)
class Stop:
    """The end of an answer."""

    reason: StopReason


Event = Text | ToolCall | Usage | Stop


def message_of(events: Iterable[Event]) -> AssistantMessage:
    """The message that `events` of one answer are in the continued conversation."""
    texts: list[str] = []
    calls: list[MadeCall] = []
    for event in events:
        if isinstance(event, Text):
            texts.append(event.text)
        elif isinstance(event, ToolCall):
            calls.append(MadeCall(event.id, event.name, event.raw))
    return AssistantMessage(well_formed("".join(texts)), tuple(calls))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one answer may take. Times are in seconds."""

    max_output_tokens: int = 4096  # asked of the provider
    temperature: float | None = None  # None: the provider's default
    connect_s: float = 10.0  # until a connection stands
    first_token_s: float = 60.0  # from the request to the first text, call or sign of thinking
    between_tokens_s: float = 30.0  # between two of these; a provider's keep-alives do not count
    whole_s: float = 120.0  # the answer with all attempts
    attempts: int = 3  # requests that are made, as long as nothing of an answer has come
    answer_chars: int = 400_000  # text and arguments of one answer
    calls: int = 32  # calls of tools in one answer


class Model(Protocol):
    """A language model that can be asked."""

    def stream(self, conversation: Conversation, tools: Sequence[Tool], limits: Limits) -> AsyncGenerator[Event, None]:
        """The model's answer to `conversation`, as it comes. To cancel, close the generator or cancel the task that
        reads it: the connection is closed within a second.

        Raises OperationError: `model_unreachable`, `model_timeout`, `model_rate_limited`, `model_unavailable`,
        `model_key_refused`, `model_rejected`, `model_broken_off`, `model_response_invalid`, `url_refused`,
        `secret_missing`, `extra_missing`. What was given before the error is incomplete, but every `ToolCall` is
        whole."""
        ...

    async def close(self) -> None:
        """Closes connections."""
        ...


def estimated_tokens(chars: int) -> int:
    """An estimate of the tokens of a text of `chars` characters, on the high side for English, YAML and JSON (about 4
    characters a token)."""
    return -(-chars // 3)
