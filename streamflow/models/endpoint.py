"""What an adapter to a provider does: one request, and the parts of its answer as they come. Pure.

Adapters translate and nothing else. Limits, checks of calls, retries and budgets are the same for all of them and stand
elsewhere.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from streamflow.models.conversation import Conversation
from streamflow.models.protocol import StopReason, Usage
from streamflow.models.tools import Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to a provider."""

    conversation: Conversation
    tools: tuple[Tool, ...] = ()  # offered natively, in this order
    strict: bool = False  # tools that have a strict schema are sent with it
    schema: Mapping[str, Any] | None = None  # the answer must be JSON of this schema
    max_output_tokens: int
    temperature: float | None
    connect_s: float
    streamed: bool = True  # otherwise the answer comes as a whole

    @property
    def holds_schema(self) -> bool:
        """Whether the provider is asked to hold the answer to a schema."""
        return self.schema is not None or (self.strict and bool(self.tools))


@dataclass(frozen=True, slots=True)
class TextPart:
    """The next text."""

    text: str


@dataclass(frozen=True, slots=True)
class CallPart:
    """A piece of the call at `place` in the answer: what is known of its id and name, and the next of its arguments."""

    place: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Thinking:
    """The model works and shows nothing of it; `chars` are counted when usage has to be estimated."""

    chars: int = 0


@dataclass(frozen=True, slots=True)
class Reported:
    """Tokens as the provider counts them, of the whole answer so far."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Finished:
    """The provider ended the answer."""

    reason: StopReason


Part = TextPart | CallPart | Thinking | Reported | Finished


class Endpoint(Protocol):
    """A provider's model behind its own API."""

    def answer(self, request: Request) -> AsyncGenerator[Part, None]:
        """The parts of the answer. Raises OperationError, as `Model.stream`."""
        ...

    async def close(self) -> None:
        """Closes connections."""
        ...
