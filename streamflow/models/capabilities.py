"""What a model's endpoint is capable of, found by asking it a few small questions, once.

The ladder, best first: tools held to their schema, an answer held to a schema, tools without that, and plain text in
which a JSON object is asked for. Documentation says little: the same server differs by model and version, and some
accept a field and ignore it. So each rung is tried.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

import jsonschema_rs
import structlog

from streamflow.errors import OperationError
from streamflow.models.conversation import Conversation, UserMessage
from streamflow.models.endpoint import CallPart, Endpoint, Finished, Reported, Request, TextPart
from streamflow.models.prompts import prompt
from streamflow.models.tools import Tool, checked

_log = structlog.get_logger(__name__)

_TOKENS = 400
_TOOL = Tool(
    name="report_colour",
    description="Reports a colour.",
    schema={
        "type": "object",
        "properties": {"colour": {"type": "string", "enum": ["red", "green"]}},
        "required": ["colour"],
        "additionalProperties": False,
    },
)
_TOOL_QUESTION = "Call the tool report_colour with the colour green."
_SCHEMA_QUESTION = "Report the colour green as a JSON object with the field colour."
_PLAIN_QUESTION = "Answer with the word: ready"


class Form(StrEnum):
    """How a model is given tools, best first."""

    STRICT_TOOLS = "strict_tools"  # the provider holds arguments to the schema
    JSON_SCHEMA = "json_schema"  # the provider holds the whole answer to a schema, in which calls stand
    TOOLS = "tools"  # arguments may be anything, and are checked here
    PLAIN = "plain"  # JSON is asked for in words


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What was found."""

    strict_tools: bool
    json_schema: bool
    tools: bool
    streams: bool  # text comes in more than one part
    reports_usage: bool  # tokens are counted by the provider
    first_token_ms: int  # of the plain question
    reasons: Mapping[str, str]  # why a rung is missing, by its name

    @property
    def form(self) -> Form:
        """The best form there is."""
        return next((form for form in Form if form is Form.PLAIN or getattr(self, form.value)), Form.PLAIN)


async def probe(endpoint: Endpoint, *, connect_s: float, timeout_s: float) -> Capabilities:
    """Asks `endpoint` four small questions, each for at most `timeout_s` seconds. Raises OperationError, as
    `Model.stream`, if the plain one has no answer: then nothing is known."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    plain = await _asked(endpoint, _PLAIN_QUESTION, connect_s, timeout_s)
    reasons: dict[str, str] = {}

    async def has(form: Form) -> bool:
        try:
            reason = await _rung(endpoint, form, connect_s, timeout_s)
        except OperationError as error:
            if error.code not in ("model_rejected", "model_response_invalid", "model_broken_off", "model_timeout"):
                raise
            reason = error.message
        if reason:
            reasons[form.value] = reason
        return not reason

    return Capabilities(
        strict_tools=await has(Form.STRICT_TOOLS),
        json_schema=await has(Form.JSON_SCHEMA),
        tools=await has(Form.TOOLS),
        streams=plain.texts > 1,
        reports_usage=plain.usage,
        first_token_ms=round(((plain.first or loop.time()) - began) * 1000),
        reasons=reasons,
    )


@dataclass(slots=True)
class _Answer:
    text: str = ""
    texts: int = 0
    name: str = ""
    arguments: str = ""
    usage: bool = False
    first: float | None = None
    finished: bool = False


async def _rung(endpoint: Endpoint, form: Form, connect_s: float, timeout_s: float) -> str:
    """Why the rung is missing; empty if it is there."""
    if form is Form.JSON_SCHEMA:
        answer = await _asked(endpoint, _SCHEMA_QUESTION, connect_s, timeout_s, schema=_TOOL.schema)
        try:
            value = json.loads(answer.text)
        except (ValueError, RecursionError):
            return "the answer is not JSON"
        return "" if jsonschema_rs.is_valid(dict(_TOOL.schema), value) else "the answer does not fit the schema"
    strict = form is Form.STRICT_TOOLS
    answer = await _asked(endpoint, _TOOL_QUESTION, connect_s, timeout_s, tool=_TOOL, strict=strict)
    if not answer.name:
        return "the tool was not called"
    return checked(answer.name, answer.arguments, [_TOOL], nulls_are_absent=strict)[1] or ""


async def _asked(
    endpoint: Endpoint,
    question: str,
    connect_s: float,
    timeout_s: float,
    *,
    tool: Tool | None = None,
    strict: bool = False,
    schema: Mapping[str, Any] | None = None,
) -> _Answer:
    request = Request(
        conversation=Conversation(instructions=(prompt("probe").text,), messages=(UserMessage(question),)),
        tools=() if tool is None else (tool,),
        strict=strict,
        schema=schema,
        max_output_tokens=_TOKENS,
        temperature=None,
        connect_s=connect_s,
    )
    answer = _Answer()
    try:
        async with asyncio.timeout(timeout_s), aclosing(endpoint.answer(request)) as parts:
            async for part in parts:
                if isinstance(part, TextPart | CallPart) and answer.first is None:
                    answer.first = asyncio.get_running_loop().time()
                match part:
                    case TextPart(text):
                        answer.text += text
                        answer.texts += 1
                    case CallPart(0 | 1, _, name, arguments):
                        answer.name, answer.arguments = answer.name or name, answer.arguments + arguments
                    case Reported(usage):
                        answer.usage = answer.usage or usage.tokens > 0
                    case Finished():
                        answer.finished = True
                if len(answer.text) + len(answer.arguments) > _TOKENS * 16:
                    break
    except TimeoutError:
        text = f"The question of a probe had no answer within {timeout_s:g} s. Try later."
        raise OperationError("model_timeout", text, limit="whole") from None
    if not answer.finished:
        raise OperationError("model_broken_off", "The answer to a probe was cut off. Try again.")
    return answer


class CapabilityFile:
    """What probes found, kept in a folder: a file for each endpoint, model and reference to a key. It may be deleted;
    then they are asked again."""

    def __init__(self, folder: Path, *, provider: str, url: str, model: str, key: str | None) -> None:
        known = json.dumps([provider, url, model, key, prompt("probe").sha, _TOOL_QUESTION, _SCHEMA_QUESTION])
        self.path = folder / "models" / f"{sha256(known.encode()).hexdigest()[:32]}.json"

    def read(self) -> Capabilities | None:
        """What was found, or None: nothing, or nothing that can be read."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            if set(found) != {field.name for field in fields(Capabilities)}:
                return None
            return Capabilities(**found)
        except (OSError, ValueError, TypeError):
            return None

    def write(self, capabilities: Capabilities) -> None:
        """Keeps `capabilities`. A folder that cannot be written costs a probe in the next process, no more."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            written = self.path.with_suffix(".new")
            written.write_text(json.dumps(asdict(capabilities), sort_keys=True), encoding="utf-8")
            written.replace(self.path)
        except OSError as error:
            _log.warning("capabilities_not_kept", path=str(self.path), error=str(error))
