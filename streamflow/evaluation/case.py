"""The cases of an evaluation: what was asked for, and what should come of it.

A case file is YAML: a catalog, and cases over it. A case is a request with the definition that was meant, or with the
question that should be asked; or it is a definition that is edited over several rounds. What an edit should do is
written as typed operations (`streamflow.authoring.operations`) on the definition of the round before. What a
definition should do is written as scenarios (`streamflow.simulation.scenarios`), so that an author may build it in
another way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Annotated, Any

from pydantic import Field, StringConstraints, model_validator

from streamflow.authoring.draft import Draft
from streamflow.authoring.operations import read_operations
from streamflow.authoring.operations.operation import Refused
from streamflow.definition.catalog import Catalog
from streamflow.definition.model import Part
from streamflow.definition.syntax import parse_as, parse_catalog
from streamflow.errors import DefinitionError, EngineFault
from streamflow.examples_folder import examples_folder
from streamflow.simulation.scenarios import Answer as OperationAnswer
from streamflow.simulation.scenarios import Scenario

CaseName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,79}$")]
Request = Annotated[str, StringConstraints(min_length=1, max_length=4000)]


class ExpectedQuestion(Part):
    """A question that should be asked. It is about the right thing if it has one of the words `about`, in small
    letters, in its text."""

    about: list[str] = Field(min_length=1)


class WrittenRound(Part):
    """One request to edit a definition: what it should do to it, or which question should be asked."""

    request: Request
    operations: list[dict[str, Any]] = Field(default_factory=list)
    question: ExpectedQuestion | None = None
    scenarios: list[Scenario] = Field(default_factory=list)

    @model_validator(mode="after")
    def _one(self) -> WrittenRound:
        if bool(self.operations) == (self.question is not None):
            raise ValueError("expected either operations or a question")
        return self


class WrittenCase(Part):
    """A case as it is written. `start` names a case of the same file whose definition is edited in `rounds`; its
    scenarios hold in each round as long as the expected definition still does what they say."""

    name: CaseName
    request: Request | None = None
    definition: str | None = None
    question: ExpectedQuestion | None = None
    scenarios: list[Scenario] = Field(default_factory=list)
    start: CaseName | None = None
    rounds: list[WrittenRound] = Field(default_factory=list)

    @model_validator(mode="after")
    def _one(self) -> WrittenCase:
        if self.rounds:
            fits = self.start is not None and not (self.request or self.definition or self.question or self.scenarios)
        else:
            fits = self.request is not None and (self.definition is None) != (self.question is None)
            fits = fits and self.start is None and bool(self.scenarios) == (self.definition is not None)
        if not fits:
            raise ValueError(
                "expected a request with a definition and scenarios, a request with a question, or a start with rounds"
            )
        return self


class CaseFile(Part):
    """A file of cases. `example` names an example of Streamflow whose catalog is used, else `catalog` is one.
    `operations` are what operations answer where a scenario says nothing of them."""

    example: str | None = None
    catalog: dict[str, Any] | None = None
    operations: dict[str, list[OperationAnswer]] = Field(default_factory=dict)
    cases: list[WrittenCase] = Field(min_length=1)

    @model_validator(mode="after")
    def _one(self) -> CaseFile:
        if (self.example is None) == (self.catalog is None):
            raise ValueError("expected either an example or a catalog")
        return self


@dataclass(frozen=True, kw_only=True)
class Round:
    """One request, and what should come of it."""

    request: str
    """What a person asks for, in English."""

    before: Draft | None
    """The definition that is edited; None when a new one is asked for."""

    expected: Draft | None
    """The definition that was meant; None where a question should be asked."""

    question: ExpectedQuestion | None
    """The question that should be asked; None where a definition was meant."""

    scenarios: tuple[Scenario, ...]
    """What the definition should do."""

    kept: tuple[Scenario, ...] = ()
    """Scenarios of earlier rounds; those that `expected` fulfils hold for this round, too."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A case: one round for a new definition, several for edits."""

    name: str
    """The file's name and the case's, such as `payments/block-unanswered`."""

    catalog: Catalog
    """What the definitions may name."""

    rounds: tuple[Round, ...]
    """What is asked for, one after the other."""

    operations: dict[str, list[OperationAnswer]] = field(default_factory=dict)
    """What operations answer where a scenario says nothing of them."""

    @property
    def edits(self) -> bool:
        """Whether a definition is edited."""
        return self.rounds[0].before is not None


def cases(matches: Callable[[str], bool] = lambda name: True) -> tuple[Case, ...]:
    """The cases that come with Streamflow whose name matches, by file and in the order in which they are written."""
    folder = files("streamflow.evaluation") / "cases"
    found = sorted((one for one in folder.iterdir() if one.name.endswith(".yaml")), key=lambda one: one.name)
    return tuple(case for one in found for case in _of_file(one.name.removesuffix(".yaml"), matches))


def read_cases(name: str, text: str, matches: Callable[[str], bool] = lambda name: True) -> Iterator[Case]:
    """The cases that `text` (YAML or JSON) holds and whose name matches; `name` goes before their names.

    Raises DefinitionError for mistakes of shape, and EngineFault (`case_invalid`) where a case contradicts itself."""
    yield from _cases(name, parse_as(CaseFile, text), matches)


def _of_file(name: str, matches: Callable[[str], bool]) -> Iterator[Case]:
    return _cases(name, _file(name), matches)


@cache
def _file(name: str) -> CaseFile:
    return parse_as(CaseFile, (files("streamflow.evaluation") / "cases" / f"{name}.yaml").read_text(encoding="utf-8"))


def _cases(name: str, file: CaseFile, matches: Callable[[str], bool]) -> Iterator[Case]:
    catalog = _catalog(file)
    starts = {one.name: one for one in file.cases if one.definition is not None}
    for written in file.cases:
        place = f"{name}/{written.name}"
        if not matches(place):
            continue
        if written.rounds:
            start = starts.get(written.start or "")
            if start is None:
                raise _invalid(place, f"it starts from {written.start}, which is no case with a definition.")
            rounds = tuple(_rounds(place, written, Draft.parse(start.definition or ""), start.scenarios))
        else:
            rounds = (
                Round(
                    request=written.request or "",
                    before=None,
                    expected=None if written.definition is None else Draft.parse(written.definition),
                    question=written.question,
                    scenarios=tuple(written.scenarios),
                ),
            )
        yield Case(name=place, catalog=catalog, rounds=rounds, operations=file.operations)


def _rounds(place: str, written: WrittenCase, start: Draft, kept: list[Scenario]) -> Iterator[Round]:
    before, so_far = start, tuple(kept)
    for number, one in enumerate(written.rounds, 1):
        expected = None if one.question is not None else _edited(f"{place}, round {number}", before, one.operations)
        yield Round(
            request=one.request,
            before=before,
            expected=expected,
            question=one.question,
            scenarios=tuple(one.scenarios),
            kept=so_far,
        )
        before = expected or before
        so_far = (*so_far, *one.scenarios)


def _edited(place: str, before: Draft, operations: list[dict[str, Any]]) -> Draft:
    """`before` after the operations, unchecked: a test checks all cases once."""
    editing = before.editing()
    try:
        for operation in read_operations(operations):
            operation.change(editing.content)
        return before.changed(editing)
    except (DefinitionError, Refused) as error:
        raise _invalid(place, error.message) from error


def _catalog(file: CaseFile) -> Catalog:
    if file.catalog is not None:
        return Catalog.model_validate(file.catalog)
    assert file.example is not None  # validated
    return parse_catalog((examples_folder() / file.example / "catalog.yaml").read_text(encoding="utf-8"))


def _invalid(place: str, message: str) -> EngineFault:
    return EngineFault("case_invalid", f"The case {place} cannot be used: {message} Correct the file of cases.")
