"""What to ask a person about a draft: at most a few questions, the most important first, each with choices and the
operations that a choice would apply. Made from the gaps alone, without a language model."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from streamflow.authoring.draft import Draft
from streamflow.authoring.gaps import Gap, GapKind, gaps
from streamflow.authoring.operations import Revision, apply, read_operations
from streamflow.authoring.problems import problems_of
from streamflow.authoring.question import MOST, Choice, Question
from streamflow.authoring.wording import limit_words
from streamflow.definition.catalog import Catalog
from streamflow.definition.model import Step
from streamflow.definition.plan import NO_OUTCOME
from streamflow.errors import Problem

_KEY_NAME = re.compile(r"(^|_|-)(id|key|number|no)$|Id$|Key$", re.ASCII)
_KEYS = 3  # fields that are offered as the key
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def questions(
    draft: Draft, catalog: Catalog, *, settled: Collection[str] = (), most: int = MOST
) -> tuple[Question, ...]:
    """At most `most` questions about `draft`, one for each kind of gap, ranked as `gaps` ranks them. `settled` are the
    keys of gaps that were decided to be left as they are. Each has at least two choices, all of which can be applied to
    the draft and make no new error."""
    known = problems_of(draft, catalog)
    found: list[Question] = []
    for kind, group in groupby(gaps(draft, catalog, settled=settled), key=lambda gap: gap.kind):
        if len(found) == most:
            break
        same = tuple(group)
        offered = _ASK[kind](_Draft(draft, catalog), same)
        choices = tuple(choice for choice in offered if _is_harmless(draft, choice, catalog, known))
        if len(choices) > 1:
            addresses = tuple(gap.address for gap in same)
            text = _text(kind, same)
            found.append(Question(kind=kind, text=text, addresses=addresses, gaps=same, choices=choices))
    return tuple(found)


_TEXTS: dict[GapKind, str] = {
    "missing_key": "Which field says whose run it is, for {}?",
    "no_failure_path": "What happens when {} fails?",
    "nobody_answers": "What happens when nobody answers at {} in time?",
    "no_way_out": "What happens when none of the conditions of {} holds?",
    "unreachable_branch": "What happens after {}?",
    "no_time_limit": "How long may {} take at most?",
    "early_event": "May an event that {} waits for come before what starts the run?",
    "duplicate": "What happens when another {} comes for the same key while a run is open?",
    "late_event": "What happens with an event that comes after {} has stopped waiting?",
}


def _text(kind: GapKind, group: Sequence[Gap]) -> str:
    subjects = list(dict.fromkeys(gap.subject for gap in group))
    return _TEXTS[kind].format(" or ".join([", ".join(subjects[:-1]), subjects[-1]] if len(subjects) > 1 else subjects))


def _is_harmless(draft: Draft, choice: Choice, catalog: Catalog, known: Sequence[Problem]) -> bool:
    """Whether the choice can be applied, and makes no error."""
    if not choice.operations:
        return True
    found = apply(draft, choice.operations, catalog, known=known)
    return isinstance(found, Revision) and all(problem.severity != "error" for problem in found.new_problems)


class _Draft:
    """What the choices are made from."""

    def __init__(self, draft: Draft, catalog: Catalog) -> None:
        self.catalog = catalog
        self.steps = {step.id: step for step in reversed(draft.definition.steps)}
        self.definition = draft.definition
        self._taken = set(self.steps) | {trigger.id for trigger in draft.definition.on}

    def free_id(self, wanted: str) -> str:
        """An id that nothing has yet, for a step."""
        base = wanted[:60]
        names = [base, *(f"{base}_{number}" for number in range(2, 999))]
        found = next(name for name in names if name not in self._taken)
        self._taken.add(found)
        return found

    def followers(self, need: str) -> list[Step]:
        """The steps that have this need."""
        return [step for step in self.steps.values() if need in step.needs]

    def also(self, need: str, added: str) -> list[dict[str, Any]] | None:
        """The operations by which all that follows `need` follows `added` too; None if there is nothing that does, or
        if one of them needs more than that."""
        following = self.followers(need)
        if not following or any(step.needs != [need] and step.join != "any" for step in following):
            return None
        return [one for step in following for one in _also(step, added)]


def _also(step: Step, added: str) -> Iterator[dict[str, Any]]:
    yield {"op": "set_field", "step": step.id, "field": "needs", "value": [*step.needs, added]}
    if step.join != "any":
        yield {"op": "set_field", "step": step.id, "field": "join", "value": "any"}


def _choice(text: str, operations: Iterable[dict[str, Any]] = ()) -> Choice:
    given = list(operations)
    return Choice(text=text, operations=read_operations(given) if given else ())


def _run_fails(draft: _Draft, step: str, outcome: str, reason: str) -> dict[str, Any]:
    """The operation by which the run fails when a step ends with an outcome."""
    failed = {"id": draft.free_id(f"{step}_{outcome}"), "needs": [f"{step}.{outcome}"], "fail": {"reason": reason}}
    return {"op": "add_step", "step": failed}


def _key(draft: _Draft, group: Sequence[Gap]) -> Iterator[Choice]:
    yield _choice("The key of the Kafka record, unchanged.")
    triggers = [trigger for trigger in draft.definition.on if f"/on/{trigger.id}" in {gap.address for gap in group}]
    fields = [set(_key_fields(draft.catalog, trigger.event)) for trigger in triggers]
    shared = set.intersection(*fields) if fields else set()
    for name in sorted(shared, key=lambda name: (name != "id", len(name), name))[:_KEYS]:
        path = f"event.{name}" if _NAME.fullmatch(name) else f'event["{name}"]'
        yield _choice(
            f"The field `{name}`.",
            (
                {
                    "op": "set_trigger",
                    "trigger": trigger.model_dump(by_alias=True, exclude_unset=True) | {"key": path},
                }
                for trigger in triggers
            ),
        )
    if not triggers:
        yield _choice("A field that the catalog does not name yet. Add it there first.")


def _key_fields(catalog: Catalog, event: str) -> Iterator[str]:
    spec = catalog.event(event)
    properties = spec.schema_.get("properties") if spec is not None else None
    for name, schema in properties.items() if isinstance(properties, dict) else ():
        if isinstance(schema, dict) and schema.get("type") in ("string", "integer") and _KEY_NAME.search(name):
            yield name


def _failure(draft: _Draft, group: Sequence[Gap]) -> Iterator[Choice]:
    yield _choice("A person decides: the run is parked until then.")
    undone = any(step.undo is not None for step in draft.steps.values())
    yield _choice(
        "The run fails, and what was done is undone."
        if undone
        else "The run fails. Nothing is undone, because no step has an `undo`.",
        (_run_fails(draft, gap.step, "failure", f"errors.{gap.step}.message") for gap in group if gap.step is not None),
    )


def _answer(draft: _Draft, group: Sequence[Gap]) -> Iterator[Choice]:
    steps = [gap.step for gap in group if gap.step is not None]
    yield _choice("Nothing: the way ends there.")
    yield _choice(
        "The run fails.", (_run_fails(draft, step, "timeout", f"'nobody answered at {step}'") for step in steps)
    )
    ways = [draft.also(f"{step}.rejected", f"{step}.timeout") for step in steps]
    if ways and all(way is not None for way in ways):
        yield _choice("It counts as rejected.", (one for way in ways for one in way or ()))


def _way_out(draft: _Draft, group: Sequence[Gap]) -> Iterator[Choice]:
    yield _choice("Nothing: the way ends there.")
    failing: list[dict[str, Any]] = []
    last: list[dict[str, Any]] = []
    for gap in group:
        step = draft.steps[gap.step or ""]
        branches = [branch.id for branch in step.choose or ()]
        other = next(name for name in ("otherwise", "none_of_them", "no_other") if name not in branches)
        failing += [
            {"op": "set_field", "step": step.id, "field": f"choose.{other}", "value": {"id": other}},
            _run_fails(draft, step.id, other, f"'none of the conditions of {step.id} holds'"),
        ]
        last.append({"op": "set_field", "step": step.id, "field": f"choose.{branches[-1]}.if", "value": None})
    yield _choice("The run fails.", failing)
    yield _choice("The last branch is taken.", last)


def _branch(draft: _Draft, group: Sequence[Gap]) -> Iterator[Choice]:
    yield _choice("Nothing: the way ends there.")
    failing, alike, removed = [], [], []
    for gap in group:
        step = draft.steps[gap.step or ""]
        outcome = gap.address.rpartition("/")[2]
        failing.append(_run_fails(draft, step.id, outcome, f"'{step.id} ended with {outcome}'"))
        followed = [
            need
            for other in draft.steps.values()
            for need in other.needs
            if need.startswith(f"{step.id}.") and need.partition(".")[2] not in NO_OUTCOME
        ]
        way = draft.also(followed[0], f"{step.id}.{outcome}") if len(set(followed)) == 1 else None
        alike.append((followed[0], way) if way is not None else None)
        if step.choose is not None:
            removed.append({"op": "set_field", "step": step.id, "field": f"choose.{outcome}", "value": None})
    yield _choice("The run fails.", failing)
    if len(alike) == 1 and alike[0] is not None:
        yield _choice(f"The same as after `{alike[0][0]}`.", alike[0][1])
    if len(removed) == len(group):
        yield _choice("It is not needed: the branch goes.", removed)


def _limit(draft: _Draft, group: Sequence[Gap]) -> Iterator[Choice]:
    for length in ("1h", "1d", "7d"):
        operations: list[dict[str, Any]] = []
        for gap in group:
            step = draft.steps[gap.step or ""]
            field = "wait" if step.wait else "approval" if step.approval else "call" if step.call else "run"
            operations.append({"op": "set_field", "step": step.id, "field": f"{field}.within", "value": length})
            if (step.wait or step.approval) is not None:
                operations.append({"op": "set_field", "step": step.id, "field": f"{field}.forever", "value": None})
        yield _choice(f"At most {limit_words(length)}.", operations)
    yield _choice("As long as it takes.")


def _early(draft: _Draft, group: Sequence[Gap]) -> Iterator[Choice]:
    for length in ("1h", "1d"):
        yield _choice(
            f"Yes, up to {limit_words(length)} before.",
            ({"op": "set_field", "step": gap.step, "field": "wait.keep", "value": length} for gap in group),
        )
    yield _choice("No: one that came before does not count.")


def _duplicate(draft: _Draft, group: Sequence[Gap]) -> Iterator[Choice]:
    for word, text in (
        ("many", "Another run starts."),
        ("one", "It starts nothing, and is counted as refused."),
        ("join", "It is offered to the open run."),
    ):
        yield _choice(text, [{"op": "set_field", "field": "runs", "value": word}])


def _late(draft: _Draft, group: Sequence[Gap]) -> Iterator[Choice]:
    yield _choice("Nothing: it is recorded as unclaimed.")
    operations: list[dict[str, Any]] = []
    for gap in group:
        step = draft.steps[gap.step or ""]
        assert step.wait is not None
        ways = [draft.also(f"{step.id}.{clause.id}", "") for clause in step.wait.events]
        if any(way is None for way in ways) or not draft.followers(f"{step.id}.timeout"):
            return
        again = draft.free_id(f"{step.id}_late")
        wait = step.wait.model_dump(mode="json", by_alias=True, exclude_unset=True) | {"since": "run"}
        operations.append(
            {
                "op": "insert_between",
                "step": {"id": again, "wait": wait},
                "after": f"{step.id}.timeout",
                "outcome": "timeout",
            }
        )
        for clause in step.wait.events:
            operations += draft.also(f"{step.id}.{clause.id}", f"{again}.{clause.id}") or ()
    yield _choice("The run waits for it again, for the same time.", operations)


_ASK: dict[GapKind, Callable[[_Draft, Sequence[Gap]], Iterator[Choice]]] = {
    "missing_key": _key,
    "no_failure_path": _failure,
    "nobody_answers": _answer,
    "no_way_out": _way_out,
    "unreachable_branch": _branch,
    "no_time_limit": _limit,
    "early_event": _early,
    "duplicate": _duplicate,
    "late_event": _late,
}
