"""The scores of one answer."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum

from streamflow.authoring.draft import Draft
from streamflow.authoring.problems import problems_of
from streamflow.authoring.rewriting import same
from streamflow.definition.catalog import Catalog
from streamflow.errors import DefinitionError, Problem
from streamflow.evaluation.author import Answer
from streamflow.evaluation.behaviour import behaves, fulfilled
from streamflow.evaluation.case import Case, Round
from streamflow.evaluation.matching import counterparts, graph_f1, names, node_f1

# Problems that say that a name is not in the catalog: they count as not grounded, the other errors as not type-clean.
UNGROUNDED = frozenset({"SF201", "SF204", "SF207"})


class Asked(StrEnum):
    """Whether a question was asked, and whether it should have been."""

    RIGHT = "right"  # about what should be asked
    OTHER = "other"  # about something else than what should be asked
    MISSED = "missed"  # not asked, though it should be
    NEEDLESS = "needless"  # asked, though everything was said
    NONE = "none"  # not asked, and rightly so


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores from 0 to 1; None where one does not apply, as for the behaviour of a definition that should not be
    there."""

    schema_valid: float | None = None
    """Whether the text has the shape of a definition."""

    type_clean: float | None = None
    """Whether the check finds no error in it, apart from names that the catalog does not have."""

    grounded: float | None = None
    """The share of the events, operations and definitions it names that there are."""

    node_f1: float | None = None
    """How much its steps and triggers have in common with what was meant."""

    graph_f1: float | None = None
    """How much the ways between its steps have in common with what was meant."""

    behaviour: float | None = None
    """The share of the scenarios that it fulfils in the simulator."""

    untouched: float | None = None
    """The share of the steps that the edit does not concern which are byte for byte as they were."""

    question: float
    """Whether it was asked what should be asked, and nothing else."""

    @property
    def solved(self) -> bool:
        """Whether a person would have what they asked for: all scores but the likeness of steps and ways, which may be
        others."""
        return all(value in (None, 1.0) for name, value in self.facts().items() if name not in ("node_f1", "graph_f1"))

    def facts(self) -> dict[str, float | None]:
        """The scores by name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


SCORES = tuple(one.name for one in fields(Scores))


@dataclass(frozen=True, kw_only=True)
class Scored:
    """An answer with its scores."""

    scores: Scores
    """What it is worth."""

    asked: Asked
    """What there is to say of its questions."""

    faults: tuple[str, ...]
    """What is wrong with it, as sentences: problems of the check, and scenarios that it does not fulfil."""


def score(case: Case, number: int, answer: Answer, given_before: Draft | None) -> Scored:
    """The scores of an answer to the round `number` (from 0) of `case`. `given_before` is the draft that the author was
    given, which is its own last answer."""
    wanted = case.rounds[number]
    asked = _asked(wanted, answer)
    question = 1.0 if asked in (Asked.RIGHT, Asked.NONE) else 0.0
    if answer.text is None:
        if wanted.expected is None or asked is Asked.RIGHT:
            return Scored(scores=Scores(question=question), asked=asked, faults=())
        nothing = dict.fromkeys(SCORES[:6], 0.0)
        said = "there is no definition" if answer.error is None else answer.error
        return Scored(scores=Scores(**nothing, question=question), asked=asked, faults=(said,))
    try:
        draft = Draft.parse(answer.text)
    except DefinitionError as error:
        nothing = dict.fromkeys(SCORES[:6] if wanted.expected is not None else SCORES[:3], 0.0)
        wrong = tuple(map(str, error.problems))
        return Scored(scores=Scores(**nothing, question=question), asked=asked, faults=wrong)
    errors = [one for one in problems_of(draft, case.catalog) if one.severity == "error"]
    faults = [str(one) for one in errors]
    node = graph = behaviour = None
    if wanted.expected is not None:
        node = node_f1(wanted.expected.definition, draft.definition)
        graph = graph_f1(wanted.expected.definition, draft.definition)
        behaviour = _behaviour(case, wanted, draft, errors, faults)
    scores = Scores(
        schema_valid=1.0 if draft.definition.steps else 0.0,
        type_clean=float(all(one.code in UNGROUNDED for one in errors)),
        grounded=_grounded(draft, case.catalog),
        node_f1=node,
        graph_f1=graph,
        behaviour=behaviour,
        untouched=_untouched(wanted, given_before, draft, faults),
        question=question,
    )
    return Scored(scores=scores, asked=asked, faults=tuple(faults))


def _asked(wanted: Round, answer: Answer) -> Asked:
    if wanted.question is None:
        return Asked.NEEDLESS if answer.questions else Asked.NONE
    if not answer.questions:
        return Asked.MISSED
    said = " ".join(answer.questions).lower()
    return Asked.RIGHT if any(word in said for word in wanted.question.about) else Asked.OTHER


def _grounded(draft: Draft, catalog: Catalog) -> float:
    known = {("event", one.name) for one in catalog.events}
    known |= {("operation", one.name) for one in catalog.operations}
    known |= {("definition", one.name) for one in catalog.definitions}
    named = list(names(draft.definition))
    return sum(one in known for one in named) / len(named) if named else 1.0


def _behaviour(case: Case, wanted: Round, draft: Draft, errors: list[Problem], faults: list[str]) -> float:
    assert wanted.expected is not None
    if errors or not draft.definition.steps:
        return 0.0
    expected = wanted.expected.definition
    kept = fulfilled(wanted.kept, expected, case.catalog, case.operations)
    steps = counterparts(expected, draft.definition)
    played = behaves((*wanted.scenarios, *kept), draft.definition, case.catalog, case.operations, steps)
    faults += [f"{one.name}: {'; '.join(one.problems)}" for one in played if not one.ok]
    return sum(one.ok for one in played) / len(played)


def _untouched(wanted: Round, given_before: Draft | None, draft: Draft, faults: list[str]) -> float | None:
    """Of an edit; None if it concerns all steps, or if a new definition was asked for."""
    if given_before is None or wanted.before is None:
        return None
    after = {step["id"]: step for step in (wanted.expected or wanted.before).content["steps"]}
    meant = [
        step["id"]
        for step in wanted.before.content["steps"]
        if step["id"] in after and same(step, after[step["id"]]) and step["id"] in given_before.spans
    ]
    changed = [id_ for id_ in meant if id_ not in draft.spans or draft.step_text(id_) != given_before.step_text(id_)]
    faults += [f"the step {id_} should not have changed" for id_ in changed]
    return 1 - len(changed) / len(meant) if meant else None
