"""The steps of a foreign process, one by one: each a call of an operation, or a reason why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streamflow.definition.json_pointer import pointer
from streamflow.definition.syntax import nearest
from streamflow.importing.conditions import condition
from streamflow.importing.names import field_name as legal
from streamflow.importing.names import operation_name, words
from streamflow.importing.policies import length, retry
from streamflow.importing.report import Refused, Report
from streamflow.importing.templates import Names, has_template

NEEDS = ("dependsOn", "depends_on", "needs", "after")
_INPUTS = ("inputs", "input", "config", "params", "with")
_PLUGIN = ("plugin", "uses")
_RETRY = ("retries", "retry")
_TIMEOUT = ("timeout", "timeoutMs", "timeout_ms")
_CONDITION = ("condition", "if", "when")
_TEXT = ("title", "description")
_SILENT = frozenset(
    {"comment", "comments", "notes", "metadata", "meta", "position", "ui", "tags", "labels", "color", "$comment"}
)
_NAMED = frozenset({"id", "name"})
_ERRORS = frozenset(
    {"onError", "on_error", "onFailure", "on_failure", "continueOnError", "continue_on_error", "fallback", "catch"}
)
_LONGEST = 4000  # characters of an expression
_TITLE = 200
_PASSWORDS = frozenset({"password", "passwd", "secret", "token", "authorization", "apikey", "credentials"})
_KEYS = frozenset({("api", "key"), ("access", "key"), ("private", "key"), ("secret", "key")})


@dataclass(frozen=True, slots=True)
class Plugin:
    """The operation that stands for a plugin, and the names that its inputs have there."""

    operation: str
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class StepImport:
    """One step on its way. `built` is it as a definition has it; `refused` when it cannot be had at all."""

    source: Mapping[str, Any]
    at: tuple[str | int, ...]
    id: str
    names: Names
    plugins: Mapping[str, Plugin]
    report: Report
    built: dict[str, Any] = field(default_factory=dict)
    refused: bool = False
    _call: dict[str, Any] = field(default_factory=dict)

    def run(self) -> None:
        """Imports every field of the step, needs excepted: those depend on all steps."""
        title = next(
            (
                str(self.source[name])
                for name in ("title", "name", "description")
                if isinstance(self.source.get(name), str)
            ),
            "",
        )
        self.built["id"] = self.id
        if title and title != self.id:
            self.built["title"] = " ".join(title.split())[:_TITLE]
        for name in (name for name in ("name", *_TEXT) if name in self.source):
            self.report.mapped(
                pointer((*self.at, name)),
                "for people." if str(self.source[name]) == title else "left out: a step has one title.",
            )
        self._operation()
        for name, value in self.source.items():
            if name in _NAMED | set(NEEDS) | set(_PLUGIN) | set(_TEXT):
                continue
            try:
                self._field(name, value)
            except Refused as refusal:
                self._refuse(name, refusal)
        if not any(name in self.source for name in _RETRY):
            self.report.approximated(
                pointer(self.at), "it has no retries, so the operation's own hold.", self._became("call/retry")
            )
        self.built["call"] = self._call

    def _became(self, part: str) -> str:
        return f"steps/{self.id}/{part}"

    def _refuse(self, name: str, refusal: Refused, *, whole: bool = False) -> None:
        self.refused = self.refused or whole
        self.report.refused(pointer((*self.at, name)), refusal.reason, refusal.fix)

    def _operation(self) -> None:
        name = next((name for name in _PLUGIN if name in self.source), None)
        value = self.source.get(name) if name else None
        if name is None or not isinstance(value, str) or not value.strip():
            self.refused = True
            where = pointer((*self.at, name) if name else self.at)
            self.report.refused(
                where,
                "the step has no plugin, so there is no work in it.",
                "Name a plugin, or write the step by hand after the import.",
            )
            return
        known = self.plugins.get(value)
        operation = known.operation if known is not None else operation_name(value.rpartition("@")[0] or value)
        self._call["operation"] = operation
        if known is not None or operation == value:
            self.report.mapped(pointer((*self.at, name)), "the operation of this step.", operation)
        else:
            fix = "Register the operation under this name, or give the names of plugins with --plugins."
            self.report.approximated(
                pointer((*self.at, name)), f"the plugin `{value}` has no legal name.", operation, fix
            )

    def _field(self, name: str, value: Any) -> None:
        at = pointer((*self.at, name))
        if name in _INPUTS:
            self._inputs(name, value)
        elif name in _RETRY:
            found, notes = retry(value)
            if found:
                self._call["retry"] = found
            self._noted(at, "attempts and pauses.", self._became("call/retry"), notes)
        elif name in _TIMEOUT:
            self._call["timeout"] = length(value)
            self.report.mapped(at, "the limit of one attempt.", self._became("call/timeout"))
        elif name in _CONDITION:
            self._condition(at, value)
        elif name == "type" and value in ("plugin", "task", "step"):
            self.report.mapped(at, "every step with a plugin is a call.")
        elif (name == "enabled" and value is True) or (name == "disabled" and value is False):
            self.report.mapped(at, "every step that is there is enabled.")
        elif name in ("enabled", "disabled"):
            raise Refused("a step cannot be switched off.", "Remove the step, and what depends on it.")
        elif name in _SILENT:
            self.report.approximated(at, "left out: it changes nothing in a run.")
        elif name in _ERRORS:
            raise Refused(
                "what happens after a failure is a separate step.",
                f"After the import add a step with needs: [{self.id}.failure].",
            )
        else:
            near = nearest(name, (*_PLUGIN, *NEEDS, *_INPUTS, *_RETRY, *_TIMEOUT, *_CONDITION))
            raise Refused(
                f"`{name}` is no field of a step that is known here.",
                f"Did you mean `{near}`?" if near else "Remove it, or write it by hand.",
            )

    def _noted(self, at: str, reason: str, became: str, notes: list[str]) -> None:
        if notes:
            self.report.approximated(at, " ".join([reason, *(note[:1].upper() + note[1:] for note in notes)]), became)
        else:
            self.report.mapped(at, reason, became)

    def _condition(self, at: str, value: Any) -> None:
        found = condition(value, self.names)
        if found == "true":
            self.report.mapped(at, "always true, so it is left out.")
            return
        self.built["if"] = _short(found)
        reason = (
            "a missing value, or another than true or false, parks the run; what needs a skipped step is skipped too."
        )
        self.report.approximated(at, reason, self._became("if"))

    def _inputs(self, name: str, value: Any) -> None:
        if not isinstance(value, Mapping):
            raise Refused("the inputs are not fields with names.", "Write them as an object, one name for each.")
        if any(other in self.source for other in _INPUTS[: _INPUTS.index(name)]):
            raise Refused("the step has inputs under two names.", "Put them together in one.")
        renames = self._renames()
        taken: set[str] = set()
        mappings = []
        for field_name, item in value.items():
            target = renames.get(field_name, field_name)
            at = pointer((*self.at, name, field_name))
            self.names.notes = []
            try:
                target = legal(target)
                if target in taken:
                    raise Refused(
                        f"another input is already called `{target}`.", "Correct the names given with --plugins."
                    )
                _no_secret(field_name, item)
                expression = _short(self.names.value(item))
            except Refused as refusal:
                self.report.refused(at, refusal.reason, refusal.fix)
                continue
            taken.add(target)
            mappings.append({"name": target, "expr": expression})
            self._noted(
                at,
                "an input." if has_template(item) else "a fixed input.",
                self._became(f"call/with/{target}"),
                self.names.notes,
            )
        if mappings:
            self._call["with"] = mappings
        if not value:
            self.report.mapped(pointer((*self.at, name)), "no inputs.")

    def _renames(self) -> Mapping[str, str]:
        plugin = self.plugins.get(str(self.source.get("plugin", self.source.get("uses"))))
        return plugin.inputs if plugin is not None else {}


def _short(expression: str) -> str:
    if len(expression) > _LONGEST:
        raise Refused(
            f"the expression has {len(expression)} characters, more than {_LONGEST}.",
            "Compute parts of it in a `set` step, or shorten the text.",
        )
    return expression


def _no_secret(name: str, value: Any) -> None:
    """Raises Refused for a literal that is called like a secret, at any depth."""
    found = words(name)
    secret = bool(found) and (found[-1] in _PASSWORDS or tuple(found[-2:]) in _KEYS)
    if isinstance(value, str) and value and secret and not has_template(value):
        fix = (
            "Have the operation resolve it: name a connection of the task worker's settings (tasks.connections), "
            "whose password is a reference."
        )
        raise Refused(f"`{name}` looks like a secret, and definitions are kept in Kafka.", fix)
    if isinstance(value, Mapping):
        for inner, item in value.items():
            _no_secret(inner, item)
    elif isinstance(value, list):
        for item in value:
            _no_secret(name, item)
