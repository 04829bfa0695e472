"""Which step words mean: by its id, by what it does, by whom it asks and by what it says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from streamflow.authoring.drafter.notes import CHOICES, Notes
from streamflow.authoring.drafter.outputs import verbal
from streamflow.authoring.drafter.process import Await, Do
from streamflow.authoring.drafter.remainder import losses
from streamflow.authoring.drafter.stems import alike, content, stem, stems_of
from streamflow.authoring.drafter.tokens import Token, Tokens, wordset
from streamflow.authoring.editor.scene import Scene
from streamflow.definition.catalog import EventSpec, OperationSpec
from streamflow.definition.graph import kind_of
from streamflow.definition.model import Mapping, Step
from streamflow.definition.schema_shape import shape_of, types_of

# Words for each kind of step.
_KINDS = {
    "wait": "wait waiting",
    "choose": "choice choose check condition branch",
    "emit": "publish emit announce report",
    "delay": "delay wait waiting pause",
    "print": "log print",
    "call": "call",
    "run": "run start",
    "approval": "ask question approval decision decide",
    "fail": "fail failure",
    "set": "set",
    "require": "require",
}
_BESIDE = wordset("the step a an it them")
_LIMITING = wordset("or nor if when whenever unless except but without while until each every other another")
_PLAIN = wordset("step steps task part again message information")
_TRIGGER = re.compile(r"\btrigger\.([A-Za-z_]\w*)")
_LITERAL = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")

Fits = Callable[[Step], bool]


@dataclass(frozen=True, slots=True)
class Naming:
    """The steps of a draft by the words for them."""

    scene: Scene
    notes: Notes

    def meant(self, tokens: Tokens, fits: Fits = lambda step: True) -> list[Step]:
        """The steps that `tokens` may mean, among those that `fits` holds for."""
        exact = self._exact(tokens)
        if exact is not None:
            return [exact] if fits(exact) else []
        if any(token.kind == "number" or token.is_in(_LIMITING) for token in tokens):
            return []
        wanted = [stem(part) for token in content(tokens) if not token.is_in(_PLAIN) for part in _words(token)]
        wanted += [stem(token.lower) for token in tokens if token.kind == "quoted"]
        if not wanted:
            return []
        known = [step for step in self.scene.steps.values() if fits(step)]
        found = [step for step in known if self._has(step, wanted)]
        if found:
            return found
        calling = [step for step in known if self._calls(step, wanted)]
        return calling if len(calling) == 1 else []

    def one(self, tokens: Tokens, what: str, fits: Fits = lambda step: True) -> Step | None:
        """The one step that `tokens` mean; None after a question. `what` says in words what is done with it."""
        found = self.meant(tokens, fits)
        if len(found) == 1:
            return found[0]
        said = self.notes.said(tokens)
        known = found or sorted(
            (step for step in self.scene.steps.values() if fits(step)), key=lambda step: -self._hits(step, tokens)
        )
        keeps = bool(tokens) and not losses(tokens)  # no answer drops a negation or a number unsaid
        choices = [self.notes.instead(tokens, step.id) for step in known[:CHOICES]] if keeps else []
        if found:
            self.notes.ask("ambiguous", f"Several steps may be meant by `{said}`. Which one {what}?", tokens, choices)
        else:
            self.notes.ask("unknown", f"The draft has no step for `{said}`. Which one {what}?", tokens, choices)
        return None

    def _hits(self, step: Step, tokens: Tokens) -> int:
        """How many of the words are about the step."""
        own, subject = self.words_of(step)
        return sum(bool(alike(stem(token.lower)) & (own | subject)) for token in content(tokens))

    def words_of(self, step: Step) -> tuple[frozenset[str], frozenset[str]]:
        """The stems by which a step may be meant, and those that only say what the process is about."""
        own = set(stems_of(step.id.replace("_", " "))) | set(stems_of(step.title or ""))
        own |= {stem(word) for word in _KINDS.get(kind_of(step), "").split()}
        node = self.scene.nodes.get(step.id)
        subject = set(self.scene.entry.subject)
        if isinstance(node, Await):
            own |= {one for event in node.events for one in (*event.named, *event.titled, *verbal(event))}
        if step.approval is not None:
            own |= {one for who in step.approval.who for one in stems_of(who.replace("-", " "))}
        if isinstance(node, Do):
            subject |= node.entry.subject
            own |= node.entry.named | (node.entry.titled - node.entry.constants.keys())
            if isinstance(node.entry.spec, OperationSpec):
                own |= node.entry.titled
        texts = [text for part in fields_of(step) for text in _literals(part.expr)]
        if step.fail is not None or step.print is not None:
            texts += _literals((step.fail.reason if step.fail else "") + (step.print.text if step.print else ""))
        own |= {one for text in texts for one in stems_of(text)}
        subject |= {one for name in self._read(step) for one in stems_of(name.replace("_", " "))}
        return frozenset(own), frozenset(subject) | self.scene.entry.named | self.scene.entry.titled

    def _read(self, step: Step) -> Iterable[str]:
        """The fields of the trigger that the data of a step has; one that is true or false would say when, not what."""
        spec = self.scene.entry.spec
        declared = shape_of(spec.schema_).get("properties", {}) if isinstance(spec, EventSpec) else {}
        names = {name for part in fields_of(step) for name in _TRIGGER.findall(part.expr)}
        return [name for name in names if name in declared and types_of(declared[name]) != {"boolean"}]

    def _has(self, step: Step, wanted: list[str]) -> bool:
        """Whether all words are about the step, and one of them not only about the process."""
        own, subject = self.words_of(step)
        hits = [one for one in wanted if alike(one) & own]
        distinct = [one for one in hits if not alike(one) & subject] or (
            hits if all(one in stems_of(step.id.replace("_", " ")) for one in wanted) else []
        )
        if isinstance(self.scene.nodes.get(step.id), Await):
            distinct = [one for one in hits if not alike(one) & self.scene.entry.subject]
        return bool(distinct) and all(alike(one) & (own | subject) for one in wanted)

    def _calls(self, step: Step, wanted: list[str]) -> bool:
        """Whether all words are about the step, and one of them about what it calls, not only about the process."""
        node = self.scene.nodes.get(step.id)
        if not isinstance(node, Do):
            return False
        own, subject = self.words_of(step)
        process = self.scene.entry.named | self.scene.entry.titled
        is_distinct = any(alike(one) & node.entry.stems and not alike(one) & process for one in wanted)
        return is_distinct and all(alike(one) & (own | subject) for one in wanted)

    def _exact(self, tokens: Tokens) -> Step | None:
        """The step whose id is written."""
        plain = [token for token in tokens if token.kind != "mark" and not token.is_in(_BESIDE)]
        if not plain:
            return None
        written = "_".join(token.lower.replace("-", "_").replace(" ", "_") for token in plain)
        return self.scene.steps.get(written)


def _words(token: Token) -> list[str]:
    parts = re.findall(r"[^\W\d_]+", token.lower)
    return parts or [token.lower]


def fields_of(step: Step) -> Sequence[Mapping]:
    """The fields that a step fills: those of the event that it emits, or of the operation's input."""
    if step.emit is not None:
        return step.emit.data
    return step.call.with_ if step.call is not None else ()


def _literals(expr: str) -> list[str]:
    return [one or other for one, other in _LITERAL.findall(expr)]
