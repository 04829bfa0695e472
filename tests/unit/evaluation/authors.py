"""Authors for tests: one that is always right, and some that are wrong in one way each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from streamflow.authoring.draft import Draft
from streamflow.authoring.operations.registry import read_operations
from streamflow.authoring.problems import problems_of
from streamflow.definition.catalog import Catalog
from streamflow.errors import Problem
from streamflow.evaluation.author import Answer, Task
from streamflow.evaluation.case import Case, Round, cases

Spoil = Callable[[Draft, Round], str]


@cache
def all_cases() -> tuple[Case, ...]:
    """All cases, read once."""
    return cases()


_CHECKED: dict[tuple[str, int], tuple[Problem, ...]] = {}


def checked(draft: Draft, catalog: Catalog) -> tuple[Problem, ...]:
    """The problems of a draft; each text is checked once, as a check takes longer than all else here."""
    key = draft.sha, id(catalog)
    if key not in _CHECKED:
        _CHECKED[key] = problems_of(draft, catalog)
    return _CHECKED[key]


class Perfect:
    """Gives what was meant, and asks what should be asked. `spoil` changes the definitions that it gives."""

    name = "perfect"

    def __init__(self, cases: Sequence[Case], spoil: Spoil = lambda draft, wanted: draft.text) -> None:
        self._rounds = {(case.name, number): one for case in cases for number, one in enumerate(case.rounds, 1)}
        self._spoil = spoil

    async def answer(self, task: Task) -> Answer:
        wanted = self._rounds[task.case, task.round]
        if wanted.question is not None:
            return Answer(text=None, questions=[f"What is meant by {wanted.question.about[0]}?"])
        assert wanted.expected is not None
        return Answer(text=self._spoil(wanted.expected, wanted))


class Silent:
    """Never asks and never writes anything."""

    name = "silent"

    async def answer(self, task: Task) -> Answer:
        return Answer(text=None)


class Nosy:
    """Asks the same question always."""

    name = "nosy"

    def __init__(self, question: str) -> None:
        self._question = question

    async def answer(self, task: Task) -> Answer:
        return Answer(text=None, questions=[self._question])


def edited(draft: Draft, *operations: dict[str, object]) -> str:
    """The text of `draft` after operations."""
    editing = draft.editing()
    for operation in read_operations(list(operations)):
        operation.change(editing.content)
    return draft.changed(editing).text
