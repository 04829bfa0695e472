"""What changed between two drafts: one typed change for each difference, in English, and as a colour for each step."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from streamflow.authoring.draft import Draft, Sketch
from streamflow.authoring.language import LENGTHS
from streamflow.authoring.renaming import named_outcomes, originals, rename_outcome, rename_step
from streamflow.authoring.rewriting import same
from streamflow.authoring.wording import after_words, work_sentence
from streamflow.definition import diff
from streamflow.definition.catalog import Catalog
from streamflow.definition.mermaid import mermaid
from streamflow.definition.model import Step

Kind = Literal[
    "step_added",
    "step_removed",
    "step_renamed",
    "step_moved",
    "step_changed",
    "branch_added",
    "branch_removed",
    "branch_renamed",
    "branch_changed",
    "limit_changed",
    "trigger_added",
    "trigger_removed",
    "trigger_changed",
    "definition_changed",
]
Colour = Literal["added", "removed", "moved", "changed"]

_COLOURS: dict[str, Colour] = {"step_added": "added", "step_moved": "moved"}
_OPEN = ("input", "form")  # JSON Schemas, whose fields are not the language's


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference."""

    kind: Kind
    """What it is about. `branch` are branches of a choose and events of a wait, `limit` times, attempts and how much is
    done at once; a step is `moved` when its needs or its join are others."""

    step: str | None
    """The id of the step that it is about, in the newer draft unless the step was removed."""

    address: str
    """Where it is, by ids, such as `/steps/paid/wait/within`; of what was removed, where it was."""

    before: str | None
    """What an author would have written; None if it was not there."""

    after: str | None
    """What an author would write now; None if it was removed."""

    sentence: str
    """The same in English."""


@dataclass(frozen=True, slots=True)
class Difference:
    """All differences between two drafts, in the order of the definition's fields; none if they mean the same."""

    changes: tuple[Change, ...]

    @property
    def sentences(self) -> list[str]:
        """One English sentence for each change."""
        return [change.sentence for change in self.changes]

    @property
    def colours(self) -> dict[str, Colour]:
        """The colour of each step that changed, by its id in the newer draft; of a removed one by the id that it
        had."""
        found: dict[str, Colour] = {}
        for change in self.changes:
            if change.step is None:
                continue
            colour = "removed" if change.kind == "step_removed" else _COLOURS.get(change.kind, "changed")
            if found.get(change.step) not in ("added", "changed"):
                found[change.step] = colour
        return found

    def facts(self) -> list[dict[str, Any]]:
        """The changes as JSON would have them."""
        return [asdict(change) for change in self.changes]


def difference(
    before: Draft, after: Draft, catalog: Catalog | None = None, *, renamed: Iterable[tuple[str, str]] | None = None
) -> Difference:
    """What changed from `before` to `after`. `renamed` are the ids that steps and triggers had and have; without it a
    step counts as renamed if nothing but its id is another. `catalog` gives events and operations their titles."""
    known = Catalog() if catalog is None else catalog
    if renamed is None:
        pairs = dict(_guessed(before.content, after.content))
    else:
        pairs = {then: now for now, then in originals(renamed).items() if now != then}
    content = _as_called_now(before, pairs)
    outcomes = list(_outcomes_renamed(content, after.content))
    for step, then, now in outcomes:
        rename_outcome(content, step, then, now)
    old = Sketch.model_validate(content)
    found = diff.diff(old, after.definition)
    steps = [{step.id: step for step in reversed(side.steps)} for side in (old, after.definition)]
    changes = [_renamed(then, now) for then, now in pairs.items() if now in steps[1]]
    changes += [_outcome_renamed(step["id"], then, now) for step, then, now in outcomes]
    moved: set[str] = set()
    for one, sentence in zip(found, diff.sentences(found), strict=True):
        change = _change(one, sentence, steps[1], known)
        if change.kind != "step_moved":
            changes.append(change)
        elif one.at[1] not in moved:  # its needs and its join together
            moved.add(one.at[1])
            changes.append(_moved(steps[0][one.at[1]], steps[1][one.at[1]]))
    return Difference(tuple(changes))


def diagrams(before: Draft, after: Draft, catalog: Catalog, changed: Difference) -> tuple[str, str]:
    """Both drafts as Mermaid text, with the colours of what changed: in the first what was removed, in the second what
    was added, moved or changed."""
    colours = changed.colours
    removed = {id_: colour for id_, colour in colours.items() if colour == "removed"}
    others = {id_: colour for id_, colour in colours.items() if colour != "removed"}
    return (
        mermaid(before.definition, catalog, overlay=removed),
        mermaid(after.definition, catalog, overlay=others),
    )


def _as_called_now(before: Draft, pairs: Mapping[str, str]) -> dict[str, Any]:
    """The content of `before` with the steps called as they are now."""
    content = copy.deepcopy(dict(before.content))
    between = {then: f"streamflow_renamed_{number}" for number, then in enumerate(pairs)}
    for then, name in between.items():
        rename_step(content, then, name)
    for then, name in between.items():
        rename_step(content, name, pairs[then])
    return content


def _guessed(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    old, new = ({step["id"]: step for step in content.get("steps") or ()} for content in (before, after))
    gone = {id_: step for id_, step in old.items() if id_ not in new}
    come = {id_: step for id_, step in new.items() if id_ not in old}
    for then, step in gone.items():
        alike = [now for now, other in come.items() if same(_work(step), _work(other))]
        rivals = [id_ for id_, other in gone.items() if same(_work(step), _work(other))]
        if len(alike) == 1 and rivals == [then]:
            yield then, alike[0]


def _outcomes_renamed(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str, str]]:
    """The branches and events of steps of which nothing but the id is another: the step in `before`, and both ids."""
    new = {step["id"]: step for step in after.get("steps") or ()}
    for step in before.get("steps") or ():
        olds, news = named_outcomes(step), named_outcomes(new.get(step["id"], {}))
        ids = {item["id"] for item in olds} & {item["id"] for item in news}
        gone, come = ([item for item in items if item["id"] not in ids] for items in (olds, news))
        for item in gone:
            alike = [other["id"] for other in come if same(_work(item), _work(other))]
            rivals = [other for other in gone if same(_work(item), _work(other))]
            if len(alike) == len(rivals) == 1:
                yield step, item["id"], alike[0]


def _work(step: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in step.items() if name not in ("id", "needs")}


def _renamed(then: str, now: str) -> Change:
    return Change(
        kind="step_renamed",
        step=now,
        address=f"/steps/{now}",
        before=then,
        after=now,
        sentence=f"The step `{then}` is now called `{now}`.",
    )


def _outcome_renamed(step: str, then: str, now: str) -> Change:
    return Change(
        kind="branch_renamed",
        step=step,
        address=f"/steps/{step}/{now}",
        before=then,
        after=now,
        sentence=f"The outcome `{then}` of the step `{step}` is now called `{now}`.",
    )


def _moved(before: Step, after: Step) -> Change:
    return Change(
        kind="step_moved",
        step=after.id,
        address=f"/steps/{after.id}/needs",
        before=_needs(before),
        after=_needs(after),
        sentence=f"The step `{after.id}` now comes {after_words(after)} (it came {after_words(before)}).",
    )


def _needs(step: Step) -> str:
    return f" {'or' if step.join == 'any' else 'and'} ".join(step.needs)


def _change(one: diff.Change, sentence: str, steps: Mapping[str, Step], catalog: Catalog) -> Change:
    kind = _kind(one)
    if isinstance(one, diff.Added) and kind == "step_added":
        step = steps[one.at[1]]
        sentence = f"The step `{step.id}` was added, {after_words(step)}: {work_sentence(step, catalog)}."
    return Change(
        kind=kind,
        step=one.at[1] if one.at[0] == "steps" and len(one.at) > 1 else None,
        address="".join(f"/{part}" for part in one.at),
        before=_text(one, "before"),
        after=_text(one, "after"),
        sentence=sentence,
    )


def _text(one: diff.Change, side: str) -> str | None:
    match one:
        case diff.Added(value=value):
            return value if side == "after" else None
        case diff.Removed(value=value):
            return value if side == "before" else None
        case diff.Changed(before=before, after=after):
            return before if side == "before" else after
        case diff.Moved(before=before, after=after):
            return ", ".join(before if side == "before" else after)


def _kind(one: diff.Change) -> Kind:
    at = one.at
    verb = "added" if isinstance(one, diff.Added) else "removed" if isinstance(one, diff.Removed) else "changed"
    if at[0] == "on":
        return _verbal("trigger", verb if len(at) == 2 else "changed")
    if at[0] != "steps" or len(at) < 2:
        return "limit_changed" if at[-1] in LENGTHS and len(at) == 1 else "definition_changed"
    inside = _language_part(at[2:])
    if not at[2:]:
        return _verbal("step", verb)
    if at[2] in ("needs", "join"):
        return "step_moved"
    if inside and (inside[-1] in LENGTHS or "retry" in inside):
        return "limit_changed"
    if at[2] == "choose" or at[2:4] == ("wait", "events"):
        return _verbal("branch", verb if isinstance(one, diff.Added | diff.Removed) and one.what else "changed")
    return "step_changed"


def _verbal(noun: str, verb: str) -> Kind:
    return f"{noun}_{verb}"  # type: ignore[return-value]


def _language_part(at: Sequence[str]) -> Sequence[str]:
    """The part of a path that is the language's, not that of a JSON Schema in it."""
    place = next((number for number, part in enumerate(at) if part in _OPEN), len(at))
    return at[: place + 1]
