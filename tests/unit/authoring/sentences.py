"""Sentences that are drafted and then played in the simulator, with what has to come of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from streamflow.authoring.drafter.drafted import Drafted
from streamflow.authoring.drafter.drafter import draft
from streamflow.definition.catalog import Catalog
from streamflow.definition.check import check
from streamflow.definition.model import Definition
from streamflow.definition.syntax import load_text, parse_catalog, parse_definition
from streamflow.engine import transitions as t
from streamflow.engine.attempt_transitions import CallRequested
from streamflow.engine.transitions import Transition
from streamflow.simulation.comparison import path, within
from streamflow.simulation.scenarios import Scenario
from streamflow.simulation.stage import Played, play

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


class Story(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens, and what has to come of it."""

    do: list[dict[str, Any]]
    runs: int = 1
    status: str = "completed"
    operations: dict[str, Any] = {}
    emitted: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sentence, with stories that its draft has to follow, or the words that have to be asked about."""

    sentence: str
    catalog: str
    stories: list[Story] = []
    question: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a case: `right`, `asked` or `wrong`, and why."""

    verdict: str
    reasons: tuple[str, ...]
    drafted: Drafted


def cases(file: str) -> list[Case]:
    """The cases of a file beside this one."""
    return msgspec.convert(load_cases((HERE / file).read_text()), list[Case])


def load_cases(text: str) -> Any:
    """A list of YAML as data."""
    return load_text(f"cases:\n{text}")["cases"]


@lru_cache
def catalog(name: str) -> Catalog:
    """A catalog of this folder, or of an example that is shipped."""
    own = HERE / "catalogs" / f"{name}.yaml"
    return parse_catalog((own if own.is_file() else ROOT / "definitions" / name / "catalog.yaml").read_text())


def judged(case: Case) -> Judged:
    """Drafts the sentence and plays its stories."""
    known = catalog(case.catalog)
    drafted = draft(case.sentence, known)
    if case.question:
        about = " ".join(f"{one.phrase} {one.text}" for one in drafted.questions if one.blocks)
        right = not drafted.complete and case.question in about
        return Judged("asked" if right else "wrong", () if right else (f"not asked about {case.question}",), drafted)
    if not drafted.complete or drafted.text is None:
        return Judged("asked", tuple(one.text for one in drafted.questions if one.blocks), drafted)
    definition = parse_definition(drafted.text)
    errors = [str(one) for one in check(definition, known) if one.severity == "error"]
    reasons = errors or [
        f"story {number}: {difference}"
        for number, story in enumerate(case.stories, 1)
        for difference in differences(story, definition, known)
    ]
    return Judged("wrong" if reasons else "right", tuple(reasons), drafted)


def differences(story: Story, definition: Definition, known: Catalog) -> list[str]:
    """What comes of a story otherwise than it says."""
    asked = [step.id for step in definition.steps if step.approval is not None]
    played: Played | None = None
    actions: list[dict[str, Any]] = []
    for action in story.do:
        if "answer" in action:
            opened = [step for step in asked if played and step in _open(played)]
            if len(opened) != 1:
                return [f"expected one open approval but found {opened}"]
            action = {"decide": {"step": opened[0], "decision": action["answer"], "by": "anna"}}
        actions.append(action)
        played = play(_scenario(story, actions), definition, known)
    assert played is not None
    return [
        *(
            text
            for text in played.problems
            if not text.startswith(("status:", "expected a run", "there is another run"))
        ),
        *_compared(story, played),
    ]


def _scenario(story: Story, actions: list[dict[str, Any]]) -> Scenario:
    value = {"name": "a story", "do": actions, "expect": {}, "operations": story.operations, "unclaimed": None}
    return Scenario.model_validate(value)


def _open(played: Played) -> set[str]:
    """The approvals that are asked for and neither decided nor over."""
    found: set[str] = set()
    for history in played.histories:
        found |= {one.address for one in history if isinstance(one.data, t.ApprovalRequested)}
        found -= {step.partition(".")[0] for step in path(history)}
    return found


def _compared(story: Story, played: Played) -> list[str]:
    if len(played.histories) != story.runs:
        return [f"expected {story.runs} runs but there are {len(played.histories)}"]
    history = tuple(one for each in played.histories for one in each)
    found: list[str] = []
    status = _status(history)
    if story.runs and status != story.status:
        found.append(f"expected the run {story.status} but it is {status}")
    emitted = [(one.data.event, one.data.data) for one in history if isinstance(one.data, t.EventEmitted)]
    found += _each("events", [(one["event"], one.get("data", {})) for one in story.emitted], emitted)
    calls = [(one.data.operation, one.data.input) for one in history if isinstance(one.data, CallRequested)]
    found += _each("calls", [(one["operation"], one.get("input", {})) for one in story.calls], calls)
    return found


def _each(what: str, wanted: Sequence[tuple[str, Any]], found: Sequence[tuple[str, Any]]) -> list[str]:
    same = len(wanted) == len(found) and all(
        one[0] == other[0] and within(one[1], other[1]) for one, other in zip(wanted, found, strict=True)
    )
    return [] if same else [f"expected the {what} {list(wanted)} but found {list(found)}"]


def _status(history: Sequence[Transition]) -> str:
    ended = {t.RunCompleted: "completed", t.RunFailed: "failed"}
    return next((name for one in history for kind, name in ended.items() if isinstance(one.data, kind)), "open")
