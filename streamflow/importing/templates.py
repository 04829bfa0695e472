"""Templates such as `{{fetch.body.id}}` as CEL. A template that is a whole text keeps its type; among other text it is
joined to it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from streamflow.definition.graph_check import RESERVED
from streamflow.definition.syntax import nearest
from streamflow.importing.report import Refused

Parts = tuple[str | int, ...]

_ROOT = re.compile(r"[A-Za-z_$][\w$-]*|\d[\w$]*-[\w$-]*")
_MEMBER = re.compile(
    r"""\.(?P<name>[A-Za-z_$][\w$-]*)|\.(?P<number>\d+)(?![\w$-])|\[\s*(?:(?P<index>\d+)|'(?P<single>[^'\\]*)'|"(?P<double>[^"\\]*)")\s*\]"""
)
_SECRET = frozenset({"env", "process", "secret", "secrets", "vault", "credentials"})
_INPUT = frozenset({"input", "inputs", "trigger", "event", "payload", "params"})
_WRAPPERS = frozenset({"output", "outputs", "result"})
_BLOCKS = {
    "#": "a block",
    "/": "the end of a block",
    ">": "a partial",
    "!": "a comment",
    "^": "a block",
    "&": "an unescaped value",
}
_LARGEST = 2**63
LONGEST = 4000  # characters of an expression


@dataclass(slots=True)
class Names:
    """What templates may name: `steps` maps a step, as the source calls it, to its id. `reads` and `inputs` collect
    what was named."""

    steps: Mapping[str, str]
    reads: dict[str, None] = field(default_factory=dict)
    inputs: dict[str, None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def path(self, text: str) -> str:
        """The CEL expression of a path such as `fetch.body[0].id`. Raises Refused."""
        parts = _parts(text)
        if not parts:
            fix = (
                "Compute it in a `set` step, in CEL, after the import." if text.strip() else "Write its value instead."
            )
            raise Refused(f"the template {_shown(text)} is more than a path to a value.", fix)
        root, rest = str(parts[0]), parts[1:]
        if root in self.steps:
            return self._step(root, rest, spelled=True)
        if root == "steps" and rest and str(rest[0]) in self.steps:
            return self._step(str(rest[0]), rest[1:], spelled=False)
        if root in _SECRET:
            raise Refused(
                f"{_shown(text)} reads the environment or a secret, and what a run reads is kept in Kafka.",
                "Have the operation resolve it: name a connection of the task worker's settings (tasks.connections), "
                "whose password is a reference.",
            )
        if root == "workflow" and rest and str(rest[0]) in _INPUT:
            return self._input(rest[1:])
        if (
            root in ("workflow", "run", "execution")
            and len(rest) == 1
            and str(rest[0]) in ("id", "runId", "executionId")
        ):
            return "run.id"
        if root in _INPUT:
            return self._input(rest)
        near = nearest(root, self.steps)
        raise Refused(
            f"{_shown(text)} names `{root}`, which is no step of this process.",
            f"Did you mean `{near}`?" if near else "Name a step, or `input`.",
        )

    def _step(self, name: str, rest: Parts, *, spelled: bool) -> str:
        id_ = self.steps[name]
        self.reads[id_] = None
        if not spelled and rest and rest[0] in _WRAPPERS:
            self.notes.append(f"`steps.{name}.{rest[0]}` is taken for the whole output of the step.")
            rest = rest[1:]
        return f"steps.{id_}" + _members(rest)

    def _input(self, rest: Parts) -> str:
        if rest and isinstance(rest[0], str):
            self.inputs[rest[0]] = None
        return "trigger" + _members(rest)

    def text(self, text: str) -> str:
        """The CEL expression of a text with templates in it, or of plain text. Raises Refused."""
        require_length(text)
        pieces: list[str] = []
        end = 0
        for begins, ends, written in _templates(text):
            if begins > end:
                pieces.append(_literal(text[end:begins]))
            inner = written.strip()
            if inner[:1] in _BLOCKS:
                raise Refused(
                    f"the template {_shown(inner)} is {_BLOCKS[inner[:1]]}, not a value.",
                    "Use a step's `if`, or `each` for lists.",
                )
            pieces.append(self.path(inner))
            if (begins, ends) == (0, len(text)):
                return pieces[0]
            pieces[-1] = f"string({pieces[-1]})"
            end = ends
        rest = text[end:]
        if "{{" in rest:
            raise Refused(f"the template in {_shown(text)} has no end.", "Add the missing }}.")
        if "${" in rest:
            self.notes.append("`${` is kept unchanged: only {{...}} is read as a template.")
        if rest or not pieces:
            pieces.append(_literal(rest))
        if end:
            self.notes.append(
                "joined to text with string(): a list, an object or null parks the run, where JavaScript writes "
                "something."
            )
        return " + ".join(pieces)

    def value(self, value: Any) -> str:
        """The CEL expression of a JSON value with templates in it. Raises Refused."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return "{" + ", ".join(f"{_key(name)}: {self.value(item)}" for name, item in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(self.value(item) for item in value) + "]"
        if isinstance(value, int) and not isinstance(value, bool) and not -_LARGEST < value < _LARGEST:
            raise Refused(f"the number {str(value)[:40]} is too large.", "Write it as a text.")
        return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)


def _templates(text: str) -> Iterator[tuple[int, int, str]]:
    """The templates in `text`, `{{{...}}}` or `{{...}}`: where each begins and ends, and what is in it. Looks at every
    character once."""
    at, triple = 0, True
    while (begins := text.find("{{", at)) >= 0:
        if triple and text.startswith("{{{", begins):
            ends = text.find("}}}", begins + 3)
            if ends >= 0:
                at = ends + 3
                yield begins, at, text[begins + 3 : ends]
                continue
            triple = False  # there is no such end further on either
        ends = text.find("}}", begins + 2)
        if ends < 0:
            return
        at = ends + 2
        yield begins, at, text[begins + 2 : ends]


def require_length(text: str) -> None:
    """Raises Refused if `text` is longer than any expression may be."""
    if len(text) > LONGEST:
        raise Refused(
            f"the text {_shown(text[:100])} has {len(text)} characters, and an expression has at most {LONGEST}.",
            "Keep it outside and name where it is, or shorten it.",
        )


def has_template(value: Any) -> bool:
    """Whether a text in `value` has a template in it."""
    if isinstance(value, str):
        return next(_templates(value), None) is not None
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return any(has_template(item) for item in items)


def _parts(text: str) -> Parts:
    """The parts of a path, or nothing if `text` is no path."""
    text = text.strip()
    root = _ROOT.match(text)
    if root is None:
        return ()
    found: list[str | int] = [root[0]]
    end = root.end()
    while end < len(text):
        part = _MEMBER.match(text, end)
        if part is None:
            return ()
        number, name = (
            part["number"] or part["index"],
            next((part[kind] for kind in ("name", "single", "double") if part[kind] is not None), ""),
        )
        found.append(int(number) if number else name)
        end = part.end()
    return tuple(found)


def _members(parts: Parts) -> str:
    plain = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
    return "".join(
        f"[{part}]"
        if isinstance(part, int)
        else f".{part}"
        if plain.fullmatch(part) and part not in RESERVED
        else f"[{_literal(part)}]"
        for part in parts
    )


def _key(name: str) -> str:
    if has_template(name):
        raise Refused(f"the name {_shown(name)} is a template; names of fields are fixed.", "Write the name out.")
    return _literal(name)


def _literal(text: str) -> str:
    """`text` as a CEL literal, on one line."""
    escapes = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return (
        "'"
        + "".join(escapes.get(letter) or (letter if letter.isprintable() else _escaped(letter)) for letter in text)
        + "'"
    )


def _escaped(letter: str) -> str:
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}"


def _shown(text: str) -> str:
    shown = " ".join(text.split())
    return f"`{shown if len(shown) <= 60 else shown[:57] + '...'}`"
