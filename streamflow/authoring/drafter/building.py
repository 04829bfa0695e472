"""A process as steps of a definition: what comes after what, under which outcome."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from streamflow.authoring.addresses import step_address
from streamflow.authoring.drafter.fields import Field, fields_of, quoted
from streamflow.authoring.drafter.notes import Notes
from streamflow.authoring.drafter.outcomes import ASKED
from streamflow.authoring.drafter.outputs import fields_of_steps, outcome_of
from streamflow.authoring.drafter.process import (
    Always,
    Ask,
    Await,
    Decide,
    Do,
    Fail,
    Node,
    Pause,
    Say,
    Stop,
)
from streamflow.authoring.drafter.reasons import otherwise, reason_of
from streamflow.authoring.drafter.values import Known, fill
from streamflow.authoring.drafter.vocabulary import Entry
from streamflow.authoring.gaps import GapKind
from streamflow.authoring.question import PhraseKind
from streamflow.definition.catalog import EventSpec

_TITLE = 200
KEEP = "1h"  # how long before its run an event of another topic counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """A way on: the need that a next step has, and what is known there."""

    need: str | None  # None: the start of the run
    known: frozenset[str]  # ids of steps whose output is there
    reason: str  # the condition that led here, as it was said


@dataclass(frozen=True, slots=True)
class Exits:
    """The ways on from a step or block: as it was meant to go, and otherwise (a limit, a no, a failure)."""

    good: tuple[Exit, ...] = ()
    other: tuple[Exit, ...] = ()


class Builder:
    """Makes the steps of a process that the event `entry` starts. `shown` are fields that people are shown who are
    asked, `reason` says in words what starts it."""

    def __init__(self, notes: Notes, entry: Entry, shown: Sequence[Field], reason: str) -> None:
        assert isinstance(entry.spec, EventSpec)
        self.notes, self.entry, self.reason, self.shown = notes, entry, reason, shown
        self.spec = entry.spec
        self.steps: list[dict[str, Any]] = []
        self._nodes: dict[str, Node] = {}
        self._trigger = fields_of("trigger", self.spec.schema_, entry.stems)
        self._awaited: set[str] = set()
        path = self.spec.key.path if self.spec.key is not None else None
        subject = self.entry.name.split(".")[0].lower()
        key = path.split(".")[-1].removesuffix("_id") if path else subject
        self._key_names = frozenset({key, f"{key}_id"} if key != "id" else {"id", subject, f"{subject}_id"})

    def build(self, block: Sequence[Node]) -> None:
        """The steps of the whole process."""
        self._block(block, (Exit(need=None, known=frozenset(), reason=self.reason),))

    def resume(self, nodes: Sequence[Node], block: Sequence[Node], entries: tuple[Exit, ...]) -> Exits:
        """The steps of `block`, which continues from `entries` in a draft with the steps `nodes`; the ways on."""
        self._nodes = {node.id: node for node in nodes}
        self._awaited = {event.name for node in nodes if isinstance(node, Await) for event in node.events}
        return self._block(block, entries)

    def _block(self, block: Sequence[Node], entries: tuple[Exit, ...]) -> Exits:
        ways, other = entries, tuple[Exit, ...]()
        for node in block:
            if isinstance(node, Always):
                ways, other = (*ways, *other), ()
                continue
            if isinstance(node, Stop):
                if node.ends:
                    return Exits((), other)
                continue
            if not ways:
                said = self.notes.sentence[slice(*node.said)]
                text = f"`{said}` is never done, because every way before it has ended. When should it be done?"
                self.notes.ask("not_understood", text, node.said)
                break
            if other:
                self._warn_of_others(node)
            found = self._node(node, ways)
            ways, other = found.good, (*other, *found.other)
        return Exits(ways, other)

    def _node(self, node: Node, entries: tuple[Exit, ...]) -> Exits:
        self._nodes[node.id] = node
        if isinstance(node, Ask):
            return self._ask(node, entries)
        if isinstance(node, Await):
            return self._await(node, entries)
        if isinstance(node, Decide):
            return self._decide(node, entries)
        if isinstance(node, Do):
            return self._do(node, entries)
        if isinstance(node, Pause):
            self._step(node, entries, "delay", {"for": node.length}, f"Waits {node.length}.")
        elif isinstance(node, Say):
            self._step(node, entries, "print", {"text": quoted(node.text)}, f"Logs `{node.text}`.")
        elif isinstance(node, Fail):
            reason = node.reason or _common_reason(entries) or self.reason
            self._step(node, entries, "fail", {"reason": quoted(reason)}, f"Ends the run as failed: `{reason}`.")
            return Exits()
        return Exits((self._exit(node, entries, node.id),))

    # -- kinds of steps

    def _ask(self, node: Ask, entries: tuple[Exit, ...]) -> Exits:
        limit: dict[str, Any] = {"within": node.within} if node.within else {"forever": True}
        who = " or ".join(node.who)
        sentence = f"Asks {who}" + (f", for at most {node.within}." if node.within else ", without a limit.")
        self._step(node, entries, "approval", {"text": self._asked(node), "who": node.who, **limit}, sentence)
        self.notes.state_of(
            node.id, "assumed", f"Those who may decide are `{who}`, a name or a group that your installation knows."
        )
        ways = {
            outcome: self._exit(node, entries, f"{node.id}.{outcome}", done=outcome != "timeout")
            for outcome in sorted(ASKED if node.within else ASKED - {"timeout"})
        }
        self._gaps(node, ways, node.within, node.forever)
        return self._followed(node, ways, good={"approved"})

    def _await(self, node: Await, entries: tuple[Exit, ...]) -> Exits:
        wait: dict[str, Any] = {"events": [{"id": outcome_of(event), "event": event.name} for event in node.events]}
        wait |= {"within": node.within} if node.within else {"forever": True}
        names = [event.name for event in node.events]
        if self._awaited.intersection(names):
            wait["since"] = "run"
        topics = [set(event.spec.topics) for event in node.events if isinstance(event.spec, EventSpec)]
        if any(not there & set(self.spec.topics) for there in topics):
            wait["keep"] = KEEP
            text = f"One that came up to {KEEP} before `{self.spec.name}` counts, because it is in another topic."
            self.notes.state_of(node.id, "assumed", text, node.said)
        self._awaited.update(names)
        sentence = f"Waits for {' or '.join(f'`{name}`' for name in names)}"
        sentence += f", for at most {node.within}." if node.within else ", without a limit."
        self._step(node, entries, "wait", wait, sentence)
        ways = {outcome_of(event): self._exit(node, entries, f"{node.id}.{outcome_of(event)}") for event in node.events}
        good = set(ways)
        if node.within:
            ways["timeout"] = self._exit(node, entries, f"{node.id}.timeout", done=False)
        self._gaps(node, ways, node.within, node.forever)
        return self._followed(node, ways, good=good)

    def _decide(self, node: Decide, entries: tuple[Exit, ...]) -> Exits:
        ways = [way for way in node.ways if way.expr]
        rest = [way for way in node.ways if not way.expr]
        ids = [f"way_{number}" if len(ways) > 1 else "yes" for number in range(1, len(ways) + 1)]
        branches: list[dict[str, str]] = [{"id": id_, "if": way.expr} for id_, way in zip(ids, ways, strict=True)]
        branches.append({"id": "otherwise"})
        sentence = "Goes on by the first that holds: " + "; ".join(f"{way.reason} ({way.expr})" for way in ways) + "."
        self._step(node, entries, "choose", branches, sentence)
        good, other = list[Exit](), list[Exit]()
        for id_, way in [*zip(ids, ways, strict=True), *(("otherwise", way) for way in rest[:1])]:
            reason = way.reason if way.expr else otherwise([one.reason for one in ways])
            found = self._block(way.block, (self._exit(node, entries, f"{node.id}.{id_}", done=False, reason=reason),))
            good += found.good
            other += found.other
        if not rest:
            good.append(self._exit(node, entries, f"{node.id}.otherwise", done=False))
        return Exits(tuple(good), tuple(other))

    def _do(self, node: Do, entries: tuple[Exit, ...]) -> Exits:
        known = frozenset.intersection(*(one.known for one in entries))
        filled = fill(node, self._known(known, entries), self.notes)
        if filled.missing:
            return Exits(entries)  # asked; the step is left out
        if node.entry.kind == "event":
            work = {"event": node.entry.name, **({"data": filled.fields} if filled.fields else {})}
            self._step(node, entries, "emit", work, f"Publishes `{node.entry.name}`{_shown(filled.fields)}.")
            return Exits((self._exit(node, entries, node.id),))
        call: dict[str, Any] = {"operation": node.entry.name, **({"with": filled.fields} if filled.fields else {})}
        limits = f", at most {node.attempts} times" if node.attempts is not None else ""
        limits += f", for at most {node.within}" if node.within is not None else ""
        call |= {"retry": {"attempts": node.attempts}} if node.attempts is not None else {}
        call |= {"within": node.within} if node.within is not None else {}
        self._step(node, entries, "call", call, f"Calls `{node.entry.name}`{_shown(filled.fields)}{limits}.")
        ways = {
            "done": self._exit(node, entries, node.id),
            "failure": self._exit(node, entries, f"{node.id}.failure", done=False),
        }
        return self._followed(node, ways, good={"done"}, quiet={"failure"})

    def _known(self, known: frozenset[str], entries: tuple[Exit, ...]) -> Known:
        nodes = [node for id_, node in reversed(self._nodes.items()) if id_ in known]
        decided = next((node.id for node in nodes if isinstance(node, Ask)), None)
        return Known(
            fields=[*fields_of_steps(nodes), *self._trigger],
            key_names=self._key_names,
            decided=decided,
            reason=_common_reason(entries) or self.reason,
        )

    # -- ways

    def _followed(self, node: Node, ways: dict[str, Exit], *, good: set[str], quiet: Iterable[str] = ()) -> Exits:
        """The ways on after what is done for outcomes. `quiet` are outcomes that are no way where nothing needs
        them."""
        on, other = list[Exit](), list[Exit]()
        handled: set[str] = set()
        for handler in node.handlers:
            there = handler.outcomes.intersection(ways)
            reason = handler.reason or (reason_of(there, node) if handler.rest else "")
            entries = tuple(replace(ways[one], reason=reason or ways[one].reason) for one in sorted(there))
            handled |= handler.outcomes
            if not entries:
                continue
            found = self._block(handler.block, entries)
            if handler.outcomes & good or handler.rejoins:
                on += found.good
                other += found.other
            else:
                other += [*found.good, *found.other]
        left = [outcome for outcome in ways if outcome not in handled]
        on += [ways[outcome] for outcome in left if outcome in good]
        other += [ways[outcome] for outcome in left if outcome not in good and outcome not in quiet]
        return Exits(tuple(on), tuple(other))

    def _exit(
        self, node: Node, entries: tuple[Exit, ...], need: str, *, done: bool = True, reason: str | None = None
    ) -> Exit:
        known = frozenset.intersection(*(one.known for one in entries))
        return Exit(
            need=need,
            known=known | {node.id} if done else known,
            reason=reason if reason is not None else _common_reason(entries),
        )

    def _step(self, node: Node, entries: tuple[Exit, ...], kind: str, work: Any, sentence: str) -> None:
        needs = list(dict.fromkeys(one.need for one in entries if one.need is not None))
        step: dict[str, Any] = {"id": node.id}
        said = " ".join(self.notes.sentence[slice(*node.said)].split())
        if said:
            step["title"] = said[:_TITLE]
        if needs and all(one.need is not None for one in entries):
            step["needs"] = needs
            if len(needs) > 1:
                step["join"] = "any"
        step[kind] = work
        self.steps.append(step)
        self.notes.state_of(node.id, "said", sentence, node.said if said else None)

    def _asked(self, node: Ask) -> str:
        """The text that people are asked, as an expression."""
        subject = self.entry.name.split(".")[0].replace("_", " ").replace("-", " ")
        about = self.notes.said(node.about)
        plain = {"decide", "decides", "approve", "approves", "look", "looks", "check", "checks", "for", "review"}
        if not about or (node.about[0].is_in(plain) and len(node.about) < 4) or about == "to approve it":
            about = "approve it"
        about = about.removeprefix("to ")
        shown = "".join(
            f" + {quoted(f', {one.name} ')} + string({one.expr})" for one in self.shown if one.required and _plain(one)
        )
        return f"{quoted(subject.capitalize() + ' ')} + run.key{shown} + {quoted(f': {about}?')}"

    # -- what was not said

    def _gaps(self, node: Ask | Await, ways: dict[str, Exit], within: str | None, forever: bool) -> None:
        handled = frozenset[str]().union(*(handler.outcomes for handler in node.handlers))
        asked = isinstance(node, Ask)
        if within is None and (not forever or "timeout" in handled):
            said = self.notes.sentence[slice(*node.said)]
            end = node.said[1]
            labels = ["within 1 hour", "within 1 day"]
            if "timeout" not in handled:
                labels.append("for as long as it takes")
            choices = [self.notes.instead((end, end), f" {label}", label) for label in labels]
            kind: PhraseKind | GapKind = "value" if "timeout" in handled else "no_time_limit"
            text = f"How long is the limit of `{said}`?"
            self.notes.ask(kind, text, node.said, choices, [step_address(node.id)])
        if asked and "rejected" not in handled:
            place = f"{step_address(node.id)}/rejected"
            self._open("unreachable_branch", node, place, "they reject it", "What is done if they say no?")
        if "timeout" in ways and "timeout" not in handled:
            clause = "nobody answers" if asked else "nothing comes"
            question = f"What is done if {clause} within {within}?"
            self._open("nobody_answers", node, step_address(node.id), clause, question)

    def _open(self, gap: GapKind, node: Node, address: str, clause: str, question: str) -> None:
        done = [
            " ".join(self.notes.sentence[slice(*other.said)].split())
            for handler in node.handlers
            for other in handler.block[:1]
            if isinstance(other, Do | Fail) and not handler.outcomes & {"approved"}
        ]
        labels = [*dict.fromkeys(done), "fail", "do nothing"]
        choices = [self.notes.also(f"if {clause}, {label}", label) for label in labels]
        self.notes.ask(gap, question, node.said, choices, [address])

    def _warn_of_others(self, node: Node) -> None:
        if node.id:
            text = "It is done only if what comes before it went well: people agreed, the event came, the call worked."
            self.notes.state_of(node.id, "assumed", text, node.said)


def _common_reason(entries: tuple[Exit, ...]) -> str:
    reasons = list(dict.fromkeys(one.reason for one in entries))
    return reasons[0] if len(reasons) == 1 else ""


def _plain(one: Field) -> bool:
    return len(one.types) == 1 and one.types <= {"string", "integer", "number", "boolean"}


def _shown(fields: list[dict[str, str]]) -> str:
    return " with " + ", ".join(f"{one['name']} = {one['expr']}" for one in fields) if fields else ""
