"""From the parts of a provider's answer to events: limits of time and size, complete and checked calls, one usage and
one end.

Calls are given when the answer has ended as it should. Of an answer that breaks off none is given, so that nobody acts
on half of what the model meant.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from streamflow.errors import OperationError
from streamflow.models.endpoint import CallPart, Finished, Part, Reported, TextPart, Thinking
from streamflow.models.envelope import EnvelopeReader
from streamflow.models.failures import broken_off
from streamflow.models.protocol import (
    Event,
    Limits,
    Stop,
    StopReason,
    Text,
    ToolCall,
    Usage,
    estimated_tokens,
)
from streamflow.models.tools import Tool, checked

_CHARS_PER_TOKEN = 16  # more than any text has; a provider that goes beyond does not keep the limit it was given
_REST_S = 2.0  # what may still follow an end: usage, and the end of the connection


@dataclass(slots=True)
class Tally:
    """What one request took so far: as the provider reports it, else estimated."""

    input_chars: int
    output_chars: int = 0
    reported: Usage | None = None
    complete: bool = False  # the answer ended, so what was reported is all

    def usage(self) -> Usage:
        """The usage, with an estimate where nothing (or not the end) was reported."""
        output = estimated_tokens(self.output_chars)
        if self.reported is None or self.reported.tokens == 0:
            return Usage(input_tokens=estimated_tokens(self.input_chars), output_tokens=output, estimated=True)
        if self.complete or self.reported.output_tokens >= output:
            return self.reported
        return Usage(
            input_tokens=self.reported.input_tokens,
            cached_input_tokens=self.reported.cached_input_tokens,
            cache_write_tokens=self.reported.cache_write_tokens,
            output_tokens=output,
            estimated=True,
        )


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class AnswerReader:
    """Reads one answer. `place` names the endpoint in messages, `deadline` is a time of the event loop."""

    def __init__(
        self,
        parts: AsyncGenerator[Part, None],
        *,
        tools: Sequence[Tool],
        limits: Limits,
        tally: Tally,
        deadline: float,
        place: str,
        strict: bool = False,
        envelope: bool = False,
    ) -> None:
        self._parts, self._tools, self._limits = parts, tools, limits
        self._tally, self._deadline, self._place = tally, deadline, place
        self._strict = strict
        self._envelope = EnvelopeReader() if envelope else None
        self._calls: dict[int, _Call] = {}
        self._end: StopReason | None = None
        self._came = False

    async def events(self) -> AsyncGenerator[Event, None]:
        """`Text` as it comes, then calls, and `Stop`. Raises OperationError, as `Model.stream`."""
        loop = asyncio.get_running_loop()
        limit, kind = loop.time() + self._limits.first_token_s, "first token"
        while (part := await self._next(limit, kind)) is not None:
            if isinstance(part, TextPart | CallPart | Thinking):
                self._came = True
                limit, kind = loop.time() + self._limits.between_tokens_s, "next token"
            if isinstance(part, Finished):
                limit = loop.time() + _REST_S
            if text := self._take(part):
                yield Text(text)
            if self._end in (StopReason.CALLS, StopReason.LENGTH) and not isinstance(part, Finished | Reported):
                break  # a limit of ours: what follows is not read
        else:
            self._tally.complete = self._end is not None
        if self._end is None:
            raise broken_off(self._place, "it has no end")
        rest, calls = self._called()
        if rest:
            yield Text(rest)
        for call in calls:
            yield call
        if self._end is StopReason.END and calls:
            self._end = StopReason.TOOLS
        elif self._end is StopReason.TOOLS and not calls:
            self._end = StopReason.END
        yield Stop(self._end)

    async def _next(self, limit: float, kind: str) -> Part | None:
        whole = self._deadline <= limit
        try:
            async with asyncio.timeout_at(min(limit, self._deadline)):
                return await anext(self._parts, None)
        except TimeoutError:
            if self._end is not None:
                return None  # the answer is whole; only its connection stays open
            seconds = self._limits.first_token_s if not self._came else self._limits.between_tokens_s
            text = (
                f"The answer of {self._place} took longer than {self._limits.whole_s:g} s as a whole"
                if whole
                else f"No {kind} of {self._place} came within {seconds:g} s"
            )
            message = f"{text}. Try again, or raise the time limits of models."
            raise OperationError("model_timeout", message, limit="whole" if whole else kind) from None

    def _take(self, part: Part) -> str:
        match part:
            case TextPart(text):
                self._count(len(text))
                return text if self._envelope is None else self._envelope.feed(text)
            case CallPart(place, id, name, arguments):
                if place not in self._calls and len(self._calls) >= self._limits.calls:
                    self._end = StopReason.CALLS
                    return ""
                call = self._calls.setdefault(place, _Call())
                call.id, call.name = call.id or id, call.name or name
                call.arguments.append(arguments)
                self._count(len(name) + len(arguments))
            case Thinking(chars):
                self._count(chars)
            case Reported(usage):
                self._tally.reported = usage
            case Finished(reason):
                self._end = self._end or reason
        return ""

    def _count(self, chars: int) -> None:
        self._tally.output_chars += chars
        most = min(self._limits.answer_chars, self._limits.max_output_tokens * _CHARS_PER_TOKEN)
        if self._tally.output_chars > most:
            self._end = StopReason.LENGTH

    def _called(self) -> tuple[str, list[ToolCall]]:
        """The text that was held back, and the calls."""
        rest, made = "", list(self._calls.values())
        if self._envelope is not None:
            rest, found = self._envelope.finish()
            made += [_Call(name=name, arguments=[arguments]) for name, arguments in found]
        if len(made) > self._limits.calls:
            made, self._end = made[: self._limits.calls], StopReason.CALLS
        taken: set[str] = set()
        calls = []
        for number, call in enumerate(made, 1):
            id = call.id if call.id and call.id not in taken else f"call_{number}"
            taken.add(id)
            raw = "".join(call.arguments)
            arguments, problem = checked(call.name, raw, self._tools, nulls_are_absent=self._strict)
            calls.append(ToolCall(id=id, name=call.name, arguments=arguments, raw=raw, problem=problem))
        return rest, calls
