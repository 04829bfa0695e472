"""A language model as callers have it: an endpoint with the best form of calls that it is capable of, and attempts that
are repeated as long as nothing of an answer has come."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing

import structlog

from streamflow.errors import OperationError
from streamflow.models.answer import AnswerReader, Tally
from streamflow.models.capabilities import Form
from streamflow.models.conversation import Conversation
from streamflow.models.endpoint import Endpoint, Request
from streamflow.models.envelope import conversation_of, schema_of
from streamflow.models.protocol import NO_USAGE, Event, Limits, Stop, StopReason, Text, ToolCall, Usage
from streamflow.models.tools import Tool, ordered

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 20.0
# Refused before a model saw anything, so nothing is paid for.
_FREE = frozenset(
    {
        *("model_rate_limited", "model_unavailable", "model_unreachable", "model_key_refused", "model_rejected"),
        *("url_refused", "secret_missing", "extra_missing"),
    }
)

# What is tried when the schemas of a form are refused.
_LOWER = {Form.STRICT_TOOLS: Form.TOOLS, Form.JSON_SCHEMA: Form.PLAIN}

_log = structlog.get_logger(__name__)


class LanguageModel:
    """A model of an endpoint. `form` gives how it calls tools; it is asked when tools are first offered. `place` names
    the endpoint in messages."""

    def __init__(self, endpoint: Endpoint, *, form: Callable[[], Awaitable[Form]], place: str) -> None:
        self._endpoint, self._form, self._place = endpoint, form, place
        self._refused: set[Form] = set()

    async def stream(
        self,
        conversation: Conversation,
        tools: Sequence[Tool],
        limits: Limits,
        *,
        spend: Callable[[Usage], None] | None = None,
    ) -> AsyncGenerator[Event, None]:
        """As `Model.stream`. `spend` is called once with what the answer took, also when it fails or is cancelled."""
        deadline = asyncio.get_running_loop().time() + limits.whole_s
        taken = _Taken()
        try:
            form = await self._form() if tools else Form.PLAIN
            if form in self._refused:
                form = _LOWER[form]
            streamed, refused = True, None
            attempt = 1
            while True:
                request = self._request(conversation, tools, limits, form, streamed)
                begun = False
                try:
                    async with aclosing(self._once(request, tools, limits, form, deadline, taken)) as events:
                        stop: Stop | None = None
                        async for event in events:
                            if isinstance(event, Stop):
                                stop = event
                            else:
                                begun = True
                                yield event
                    assert stop is not None
                    if not begun and streamed and request.tools and stop.reason is StopReason.END:
                        # Some servers lose calls when they stream: asked once more without.
                        streamed = False
                        continue
                    if refused is not None:
                        _log.warning("form_refused", model=self._place, form=refused.value, used=form.value)
                        self._refused.add(refused)
                    yield taken.usage()
                    yield stop
                    return
                except OperationError as error:
                    if begun:
                        raise
                    if request.holds_schema and error.code == "model_rejected" and refused is None:
                        # Its grammar may not take these schemas, whatever it can do with others.
                        refused, form = form, _LOWER[form]
                        continue
                    await _wait(error, attempt, limits, deadline)
                    attempt += 1
        finally:
            taken.settle()
            if spend is not None:
                spend(taken.usage())

    async def close(self) -> None:
        """Closes connections."""
        await self._endpoint.close()

    def _request(
        self, conversation: Conversation, tools: Sequence[Tool], limits: Limits, form: Form, streamed: bool
    ) -> Request:
        offered = ordered(tools)
        native = form in (Form.STRICT_TOOLS, Form.TOOLS)
        return Request(
            conversation=conversation_of(conversation, offered) if offered and not native else conversation,
            tools=offered if native else (),
            strict=form is Form.STRICT_TOOLS,
            schema=schema_of(offered) if offered and form is Form.JSON_SCHEMA else None,
            max_output_tokens=limits.max_output_tokens,
            temperature=limits.temperature,
            connect_s=limits.connect_s,
            streamed=streamed,
        )

    async def _once(
        self, request: Request, tools: Sequence[Tool], limits: Limits, form: Form, deadline: float, taken: _Taken
    ) -> AsyncGenerator[Text | ToolCall | Usage | Stop, None]:
        tally = taken.begin(request)
        async with aclosing(self._endpoint.answer(request)) as parts:
            reader = AnswerReader(
                parts,
                tools=tools,
                limits=limits,
                tally=tally,
                deadline=deadline,
                place=self._place,
                strict=form in (Form.STRICT_TOOLS, Form.JSON_SCHEMA),
                envelope=bool(tools) and not request.tools,
            )
            try:
                async with aclosing(reader.events()) as events:
                    async for event in events:
                        yield event
            except OperationError as error:
                if error.code in _FREE and tally.output_chars == 0:
                    taken.forget()
                raise
        taken.settle()


class _Taken:
    """What all requests of one answer took."""

    def __init__(self) -> None:
        self._sum = NO_USAGE
        self._now: Tally | None = None

    def begin(self, request: Request) -> Tally:
        self.settle()
        chars = sum(map(len, request.conversation.texts()))
        chars += sum(len(tool.name) + len(tool.description) + len(str(tool.schema)) for tool in request.tools)
        self._now = Tally(chars)
        return self._now

    def settle(self) -> None:
        if self._now is not None:
            self._sum, self._now = self._sum + self._now.usage(), None

    def forget(self) -> None:
        self._now = None

    def usage(self) -> Usage:
        return self._sum


async def _wait(error: OperationError, attempt: int, limits: Limits, deadline: float) -> None:
    """Waits before the next attempt, as long as the provider asks for, else longer each time. Raises `error` when there
    is none: it would not help, the attempts are used up, or the time would be over."""
    if not error.retryable or attempt >= limits.attempts:
        raise error
    usual = min(_FIRST_WAIT_S * 2 ** (attempt - 1), _LONGEST_WAIT_S) * random.uniform(0.75, 1.25)
    wait_s = usual if error.retry_after_s is None else error.retry_after_s
    if asyncio.get_running_loop().time() + wait_s >= deadline:
        raise error
    _log.info("model_asked_again", code=error.code, attempt=attempt, wait_s=round(wait_s, 3))
    await asyncio.sleep(wait_s)
