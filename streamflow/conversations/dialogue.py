"""The assistant's turn with a language model: what it says is shown as it comes, what it calls is checked here, and
what it proposes waits for a person. A turn that goes wrong changes nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any

from streamflow.authoring.draft import Draft
from streamflow.authoring.operations import Refusal, apply
from streamflow.authoring.problems import problems_of
from streamflow.conversations import drafting
from streamflow.conversations.conversation import Conversation
from streamflow.conversations.events import (
    Cause,
    Event,
    MessageSent,
    TextAdded,
    ToolCalled,
    TurnEnded,
    TurnStarted,
    Understood,
)
from streamflow.conversations.lookup import entries, search
from streamflow.conversations.toolbox import APPLY, LOOK_UP, SEARCH, UNDERSTAND, read_understood, tools_of
from streamflow.definition.catalog import Catalog
from streamflow.models.conversation import Conversation as Exchange
from streamflow.models.conversation import Material, Message, ToolResult, UserMessage, well_formed
from streamflow.models.metered import MeteredModel
from streamflow.models.prompts import prompt
from streamflow.models.protocol import Event as Piece
from streamflow.models.protocol import Limits, Stop, StopReason, Text, ToolCall, message_of

ANSWERS = 10  # of the model in one turn
REPAIRS = 3  # times that operations with new problems may be corrected
TURN_S = 180.0
_TEXT = 40_000  # characters that one turn may say
_SHOWN = 600  # characters of a tool's answer that are kept in the conversation
_CATALOG = 40_000  # characters of a catalog that is given as a whole
_REMEMBERED = 6  # messages that are given again
_FLUSH_S = 0.15

Add = Callable[..., Coroutine[Any, Any, None]]
"""Writes events of the turn. Raises TurnOver when it has ended elsewhere."""


class Dialogue:
    """One turn. What `apply` took is tried on a copy of the draft, and offered at the end. `pay` writes what the last
    answer took."""

    def __init__(
        self,
        *,
        state: Conversation,
        turn: TurnStarted,
        own: Catalog,
        whole: Catalog,
        system: str,
        add: Add,
        pay: Callable[[], Awaitable[None]],
    ) -> None:
        self._state, self._turn = state, turn
        self._own, self._whole, self._system, self._add, self._pay = own, whole, system, add, pay
        self._base = Draft.parse(state.revision.text)
        self._tried = self._base
        self._operations: list[dict[str, Any]] = []
        self._understood: Understood | None = None
        self._failures = 0
        self._said = 0
        self._problems: list[str] = []

    async def run(self, model: MeteredModel, limits: Limits) -> None:
        """The whole turn; its end is the last that it adds. Raises OperationError and Rejected of the model, and what
        `add` raises."""
        try:
            async with asyncio.timeout(TURN_S):
                cause, message = await self._answers(model, limits)
        except TimeoutError:
            cause, message = "limit", f"The answer took longer than {TURN_S:g} s. Ask for less at once."
        await self._finish(cause, message)

    async def _answers(self, model: MeteredModel, limits: Limits) -> tuple[Cause, str]:
        tools = tools_of(self._turn.mode)
        messages: list[Message] = self._messages()
        for _ in range(ANSWERS):
            pieces, stop = await self._hear(model, messages, tools, limits)
            await self._pay()
            calls = [piece for piece in pieces if isinstance(piece, ToolCall)]
            if stop is StopReason.REFUSED:
                return "failed", "The model or its provider refused to answer. Say it in another way."
            if stop in (StopReason.LENGTH, StopReason.CALLS):
                return "limit", "The answer was cut at its limit, so none of it was applied. Ask for less at a time."
            if not calls:
                return self._rest(), ""
            messages.append(message_of(pieces))
            for call in calls:
                failed, text = await self._call(call)
                messages.append(ToolResult(call.id, text, failed))
                await self._add(
                    ToolCalled(
                        turn=self._turn.turn, tool=well_formed(call.name)[:100], failed=failed, result=text[:_SHOWN]
                    )
                )
            if self._failures > REPAIRS:
                problems = " ".join(self._problems[:3])
                return "unrepaired", f"After {REPAIRS} corrections there still are problems: {problems} Say what to do."
            if self._understood is not None and (self._turn.mode != "edit" or self._understood.questions):
                return "waiting", ""
        return (
            "limit",
            f"The model was asked {ANSWERS} times, which is the limit of a turn. Send a message to continue.",
        )

    async def _hear(
        self, model: MeteredModel, messages: list[Message], tools: Any, limits: Limits
    ) -> tuple[list[Piece], StopReason]:
        """One answer of the model; its text is written as it comes."""
        exchange = Exchange(
            instructions=(prompt("author").text, prompt("data").text, self._system),
            messages=tuple(messages),
            materials=(Material("catalog", self._catalog_text()),),
        )
        pieces: list[Piece] = []
        waiting: list[str] = []
        stop, flushed = StopReason.END, 0.0
        loop = asyncio.get_running_loop()
        try:
            async with aclosing(model.stream(exchange, tools, limits)) as events:
                async for event in events:
                    pieces.append(event)
                    if isinstance(event, Stop):
                        stop = event.reason
                    if isinstance(event, Text):
                        waiting.append(event.text)
                        if loop.time() - flushed >= _FLUSH_S:
                            await self._say(waiting)
                            flushed = loop.time()
        finally:
            if waiting and not _is_cancelled():
                await self._say(waiting)
        return pieces, stop

    async def _say(self, waiting: list[str]) -> None:
        text = well_formed("".join(waiting))[: max(0, _TEXT - self._said)]
        waiting.clear()
        self._said += len(text)
        if text:
            await self._add(TextAdded(turn=self._turn.turn, text=text))

    async def _call(self, call: ToolCall) -> tuple[bool, str]:
        """Does a call: whether it failed, and the answer for the model."""
        if call.problem is not None:
            if call.name == APPLY:
                self._failed([call.problem])
            return True, well_formed(call.problem)
        given = call.arguments
        match call.name:
            case name if name == SEARCH:
                return False, search(self._whole, str(given["text"]))
            case name if name == LOOK_UP:
                return False, entries(self._whole, [str(one) for one in given["names"]])
            case name if name == UNDERSTAND:
                self._understood = read_understood(self._turn.turn, given, self._base)
                await self._add(self._understood)
                return False, "Shown to the person."
            case name if name == APPLY and self._turn.mode == "edit":
                return self._apply(given["operations"])
        return True, f"There is no tool {well_formed(call.name)[:100]!r} here."

    def _apply(self, operations: Any) -> tuple[bool, str]:
        if self._understood is None and not self._turn.confirmed:
            return True, "Nothing was applied. Call understand first, so that the person sees what you understood."
        found = apply(self._tried, operations, self._whole)
        if isinstance(found, Refusal):
            self._failed([found.message])
            return True, f"Nothing was applied. {well_formed(found.message)}"
        wrong = [one for one in found.new_problems if one.severity == "error"]
        if wrong:
            self._failed([str(one) for one in wrong])
            problems = json.dumps(found.facts()["new_problems"][:10], ensure_ascii=True)
            return True, f"Nothing was kept, because of new problems. Send all operations again, corrected. {problems}"
        self._tried = found.draft
        self._operations += [one.model_dump(mode="json", by_alias=True, exclude_unset=True) for one in found.operations]
        problems = json.dumps(found.facts()["new_problems"][:10], ensure_ascii=True)
        return False, "\n".join([*found.difference.sentences, f"New warnings: {problems}"])

    def _failed(self, problems: list[str]) -> None:
        self._failures += 1
        self._problems = [well_formed(one)[:300] for one in problems]

    def _rest(self) -> Cause:
        return "waiting" if self._operations or self._understood is not None else "done"

    async def _finish(self, cause: Cause, message: str) -> None:
        """Offers what was applied, as one proposal, and ends the turn. Of a turn that did not end well nothing is
        offered."""
        events: list[Event] = []
        if self._operations and cause in ("done", "waiting"):
            made = drafting.applied(self._state.revision, self._operations, self._whole)
            turn = self._turn.turn
            events.append(drafting.proposed(made, proposal=turn, turn=turn, base=self._turn.base))
        code = {"limit": "turn_limit", "unrepaired": "turn_unrepaired", "failed": "model_refused"}.get(cause, "")
        await self._add(*events, TurnEnded(turn=self._turn.turn, cause=cause, code=code, message=message))

    def _messages(self) -> list[Message]:
        """What was said before, then the message with the draft as it is: the draft is the memory, not the talk."""
        before = [one for one in self._state.messages if one.seq < self._turn.message][-_REMEMBERED:]
        earlier = [f"{one.by}: {one.event.text}" for one in before if isinstance(one.event, MessageSent)]
        sent = next(one.event for one in self._state.messages if one.seq == self._turn.message)
        assert isinstance(sent, MessageSent)
        problems = [str(one) for one in problems_of(self._base, self._whole)]
        materials = [Material("draft", self._base.text)]
        if problems and self._base.definition.steps:
            materials.append(Material("problems of the draft", "\n".join(problems[:20])))
        if earlier:
            materials.append(Material("earlier messages", "\n".join(earlier)))
        yes = " (The person has said yes to what was understood. Apply it now.)" if self._turn.confirmed else ""
        return [UserMessage(sent.text + yes, tuple(materials))]

    def _catalog_text(self) -> str:
        text = json.dumps(
            self._own.model_dump(mode="json", by_alias=True, exclude_unset=True), ensure_ascii=False, sort_keys=True
        )
        return text if len(text) <= _CATALOG else search(self._own, "")


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
