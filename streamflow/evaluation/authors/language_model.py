"""A language model as an author: it edits a draft by typed operations, as in a conversation, without a person."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from streamflow.authoring.draft import Draft
from streamflow.authoring.operations import Refusal, apply, apply_tool
from streamflow.definition.catalog import Catalog
from streamflow.errors import OperationError, Rejected
from streamflow.evaluation.author import Answer, Task
from streamflow.models.conversation import Conversation, Material, Message, ToolResult, UserMessage
from streamflow.models.meter import Charge
from streamflow.models.prompts import prompt
from streamflow.models.protocol import Event, Limits, Model, StopReason, ToolCall, message_of
from streamflow.models.protocol import Stop as Stopped
from streamflow.models.tools import Tool

REPAIRS = 3  # how often a model may correct what it did
_ANSWERS = 12  # of one request at most, so that a model that never ends does not
_PROBLEMS = 8  # that a model is given at once

_ASK = Tool(
    "ask",
    "Ask the person at most three questions, and change nothing until they are answered.",
    {
        "type": "object",
        "properties": {
            "questions": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3},
        },
        "required": ["questions"],
        "additionalProperties": False,
    },
)

Open = Callable[[Task, Callable[[Charge], None]], Model]


@dataclass(slots=True)
class _Turn:
    """One request while it is worked on."""

    draft: Draft
    catalog: Catalog
    changed: bool = False
    repairs: int = 0
    wrong: bool = False  # whether the last edit failed, or left new errors
    questions: list[str] = field(default_factory=list)

    def call(self, call: ToolCall) -> ToolResult:
        """Does one call of a tool."""
        if call.problem is not None:
            self.wrong = True
            return ToolResult(call.id, call.problem, failed=True)
        if call.name == _ASK.name:
            self.questions += call.arguments["questions"]
            return ToolResult(call.id, "asked")
        revision = apply(self.draft, list(call.arguments["operations"]), self.catalog)
        if isinstance(revision, Refusal):
            self.wrong = True
            return ToolResult(call.id, f"{revision.code}: {revision.message}", failed=True)
        self.draft, self.changed = revision.draft, True
        errors = [one for one in revision.new_problems if one.severity == "error"]
        self.wrong = bool(errors)
        lines = [*revision.difference.sentences, *(f"new problem: {one}" for one in errors[:_PROBLEMS])]
        return ToolResult(call.id, "\n".join(lines), failed=bool(errors))


class Modelled:
    """A language model with the tools of drafts. `open_model` gives the model for a request, and reports each
    charge."""

    def __init__(self, name: str, open_model: Open, limits: Limits, *, instructions: str = "") -> None:
        self.name = f"model:{name}"
        self._open, self._limits, self._instructions = open_model, limits, instructions
        schema: dict[str, Any] = apply_tool()
        self._tools = (Tool(schema["name"], schema["description"], schema["parameters"]), _ASK)

    async def answer(self, task: Task) -> Answer:
        """What the model makes of the request: a definition, or its questions. After three rounds of repair the draft
        is taken as it is; if the model fails in between, there is none.

        Raises as `Model.stream`, and Rejected (`budget_exhausted`), if that is before anything had to be paid for."""
        charges: list[Charge] = []
        turn = _Turn(Draft.new("draft") if task.draft is None else task.draft, task.catalog)
        error = None
        try:
            await self._work(self._open(task, charges.append), task, turn)
        except (OperationError, Rejected) as failed:
            if not charges:
                raise
            error = f"{failed.code}: {failed.message}"
        money = [one.money for one in charges if one.money is not None]
        return Answer(
            text=turn.draft.text if turn.changed and error is None else None,
            questions=[] if error is not None else turn.questions,
            tokens=sum(one.usage.tokens for one in charges),
            cost=sum(money, Decimal(0)) if money else None,
            repairs=min(turn.repairs, REPAIRS),
            error=error,
        )

    async def _work(self, model: Model, task: Task, turn: _Turn) -> None:
        messages: list[Message] = [self._request(task)]
        for _ in range(_ANSWERS):
            events = await self._answer(model, task, messages)
            calls = [one for one in events if isinstance(one, ToolCall)]
            message = message_of(events)
            if not calls:
                if not turn.changed and "?" in message.text:
                    turn.questions.append(message.text)  # of a model that asks without the tool
                return
            turn.wrong = False
            messages += [message, *map(turn.call, calls)]
            turn.repairs += turn.wrong
            if turn.questions or turn.repairs > REPAIRS or _ended(events):
                return

    async def _answer(self, model: Model, task: Task, messages: list[Message]) -> list[Event]:
        conversation = Conversation(
            instructions=(prompt("evaluation").text, prompt("data").text, self._instructions),
            materials=(Material("catalog", _catalog_text(task.catalog)),),
            messages=tuple(messages),
        )
        async with aclosing(model.stream(conversation, self._tools, self._limits)) as events:
            return [event async for event in events]

    def _request(self, task: Task) -> UserMessage:
        materials = () if task.draft is None else (Material("draft", task.draft.text),)
        return UserMessage(task.request, materials)


def _ended(events: list[Event]) -> bool:
    """Whether the answer was cut, so that more of it would only be cut again."""
    stop = next((one for one in events if isinstance(one, Stopped)), None)
    return stop is not None and stop.reason in (StopReason.LENGTH, StopReason.REFUSED)


def _catalog_text(catalog: Catalog) -> str:
    return catalog.model_dump_json(by_alias=True, exclude_unset=True)
