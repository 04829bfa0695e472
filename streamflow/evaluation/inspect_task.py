"""The cases as a task of Inspect (`inspect-ai`), for who compares models there. Needs the extra `inspect`, and nothing
else imports this module.

A sample is a case with all its rounds. The solver is an author of ours: the model that Inspect runs, with the
operations on drafts as its tools, or the rules. The scorer gives the scores of `streamflow eval`.
"""

from __future__ import annotations

import fnmatch
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import msgspec
from inspect_ai import Task as InspectTask
from inspect_ai import task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageTool,
    ChatMessageUser,
    GenerateConfig,
    get_model,
)
from inspect_ai.model import Model as InspectModel
from inspect_ai.scorer import Score, Target, mean, scorer, stderr
from inspect_ai.solver import Generate, TaskState, solver
from inspect_ai.tool import ToolCall as InspectCall
from inspect_ai.tool import ToolCallError, ToolInfo, ToolParams

from streamflow.evaluation.author import Author, Task
from streamflow.evaluation.authors.language_model import Modelled
from streamflow.evaluation.authors.rules import Rules
from streamflow.evaluation.case import Case, cases
from streamflow.evaluation.evaluation import evaluate
from streamflow.evaluation.report import Result
from streamflow.evaluation.scoring import SCORES
from streamflow.models.conversation import AssistantMessage, Conversation, UserMessage
from streamflow.models.meter import Account, Charge
from streamflow.models.protocol import Event, Limits, Stop, StopReason, Text, ToolCall, Usage
from streamflow.models.tools import Tool, checked

AUTHORS = ("model", "rules")
_RESULTS = "streamflow_results"  # in the metadata of a sample's state
_REASONS = {
    "stop": StopReason.END,
    "tool_calls": StopReason.TOOLS,
    "max_tokens": StopReason.LENGTH,
    "model_length": StopReason.LENGTH,
    "content_filter": StopReason.REFUSED,
}


@task
def definitions(case: str = "*", author: str = "model") -> InspectTask:
    """The cases whose name matches `case` (a part of it, or `*` and `?`), for the model of Inspect or, with
    `author=rules`, for the rules. Raises ValueError for another author, or where no case matches."""
    wanted = case if set(case) & set("*?[") else f"*{case}*"
    found = cases(lambda name: fnmatch.fnmatchcase(name, wanted))
    if not found:
        raise ValueError(f"There is no case {case}. See the names with `streamflow eval --each`.")
    return InspectTask(
        dataset=MemoryDataset([_sample(one) for one in found], name="streamflow"),
        solver=drafts(author),
        scorer=scores(),
    )


@solver
def drafts(author: str = "model") -> Callable[[TaskState, Generate], Any]:
    """Answers all rounds of a case, each on the draft that its own last answer left."""
    if author not in AUTHORS:
        raise ValueError(f"There is no author {author}. Name one of {', '.join(AUTHORS)}.")

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        del generate  # a round is several messages, with tools of ours
        (one,) = cases(lambda name: name == state.sample_id)
        writer: Author = Rules() if author == "rules" else Modelled(state.model.name, _opened, Limits())
        report = await evaluate(writer, [one])
        state.metadata[_RESULTS] = msgspec.to_builtins(report.results)
        state.output.completion = "\n---\n".join(_shown(result) for result in report.results)
        return state

    return solve


@scorer(metrics={"*": [mean(), stderr()]})
def scores() -> Callable[[TaskState, Target], Any]:
    """The mean of each score over the rounds that it applies to (not a number where there are none), and the share of
    the rounds that are solved."""

    async def score(state: TaskState, target: Target) -> Score:
        del target  # what is right is in the case
        results = msgspec.convert(state.metadata.get(_RESULTS, []), list[Result])
        value = {name: _mean([one.scores.get(name) for one in results]) for name in SCORES}
        value["solved"] = _mean([float(one.solved) for one in results])
        faults = [f"{one.place}: {fault}" for one in results for fault in one.faults]
        questions = [f"{one.place} asked: {text}" for one in results for text in one.questions]
        return Score(value=value, answer=state.output.completion, explanation="\n".join([*faults, *questions]))

    return score


class AskedThroughInspect:
    """The model that Inspect runs, behind our protocol. Retries, timeouts and budgets are Inspect's."""

    def __init__(self, model: InspectModel, account: Account, charged: Callable[[Charge], None]) -> None:
        self._model, self._account, self._charged = model, account, charged

    async def stream(
        self, conversation: Conversation, tools: Sequence[Tool], limits: Limits
    ) -> AsyncGenerator[Event, None]:
        """The answer, in one piece. Raises what Inspect raises."""
        config = GenerateConfig(max_tokens=limits.max_output_tokens, temperature=limits.temperature)
        offered = [_offered(tool) for tool in tools]
        answer = await self._model.generate(_messages(conversation), tools=offered, config=config)
        message = answer.choices[0].message
        if message.text:
            yield Text(message.text)
        for call in message.tool_calls or ():
            raw = msgspec.json.encode(call.arguments).decode()
            arguments, problem = checked(call.function, raw, tools, nulls_are_absent=True)
            problem = call.parse_error or problem
            yield ToolCall(id=call.id, name=call.function, arguments=arguments, raw=raw, problem=problem)
        usage = _usage(answer.usage)
        self._charged(Charge(account=self._account, model=self._model.name, usage=usage, money=None))
        yield usage
        yield Stop(_REASONS.get(answer.stop_reason, StopReason.END))

    async def close(self) -> None:
        """Nothing: connections are Inspect's."""


def _opened(request: Task, charged: Callable[[Charge], None]) -> AskedThroughInspect:
    account = Account(turn=str(request.round), conversation=request.case, person="inspect", day="")
    return AskedThroughInspect(get_model(), account, charged)


def _sample(case: Case) -> Sample:
    return Sample(id=case.name, input="\n".join(one.request for one in case.rounds), metadata={"edits": case.edits})


def _messages(conversation: Conversation) -> list[ChatMessage]:
    found: list[ChatMessage] = [ChatMessageSystem(content=conversation.system())]
    if conversation.materials:
        found.append(ChatMessageUser(content=conversation.material()))
    for message in conversation.messages:
        if isinstance(message, UserMessage):
            found.append(ChatMessageUser(content=message.content()))
        elif isinstance(message, AssistantMessage):
            calls = [InspectCall(id=one.id, function=one.name, arguments=one.parsed()) for one in message.calls]
            found.append(ChatMessageAssistant(content=message.text, tool_calls=calls or None))
        else:
            error = ToolCallError("unknown", message.text) if message.failed else None
            found.append(ChatMessageTool(content=message.content(), tool_call_id=message.id, error=error))
    return found


def _offered(tool: Tool) -> ToolInfo:
    schema = _inlined(tool.schema, tool.schema.get("$defs", {}))
    return ToolInfo(
        name=tool.name,
        description=tool.description,
        parameters=ToolParams(properties=schema.get("properties", {}), required=schema.get("required", [])),
    )


def _inlined(schema: Any, shared: Any) -> Any:
    """`schema` without references and constants, which Inspect's schemas do not have; ours refer to nothing that refers
    to itself."""
    if isinstance(schema, list):
        return [_inlined(one, shared) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(shared[schema["$ref"].rpartition("/")[2]], shared)
    found = {name: _inlined(part, shared) for name, part in schema.items() if name not in ("$defs", "const")}
    if "properties" in schema:  # the names in it are not those of the schema's own words
        found["properties"] = {name: _inlined(part, shared) for name, part in schema["properties"].items()}
    if "oneOf" in found:
        found["anyOf"] = found.pop("oneOf")
    return found | ({"enum": [schema["const"]]} if isinstance(schema.get("const"), str) else {})


def _usage(usage: Any) -> Usage:
    if usage is None:
        return Usage(input_tokens=0, estimated=True)
    return Usage(
        input_tokens=usage.input_tokens,
        cached_input_tokens=usage.input_tokens_cache_read or 0,
        cache_write_tokens=usage.input_tokens_cache_write or 0,
        output_tokens=usage.output_tokens,
    )


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else float("nan")


def _shown(result: Result) -> str:
    return "\n".join([*([result.text] if result.text is not None else []), *result.questions])
