"""A case, its verdict, and the registry that the modules of `tests.regressions.cases` fill."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.regressions.site import Site

Test = Callable[["Site"], str]


class Broken(Exception):
    """The tree under test does not do what the case expects. Its text is the evidence."""


class Unclear(Exception):
    """The case could not be played: its preparation failed, so nothing can be said about the tree."""


class State(StrEnum):
    """What became of a case on one tree."""

    HOLDS = "holds"
    BROKEN = "broken"
    ERROR = "error"  # the case itself could not be played
    LEFT_OUT = "left out"  # cannot be shown on this tree; the case says why


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of a case on one tree, and what was seen."""

    state: State
    evidence: str
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """One behaviour, as a test from outside: it returns what was seen when it holds, and raises Broken otherwise."""

    finding: str  # the module of the case, named by behaviour
    name: str  # unique over all findings
    says: str  # the expectation, one sentence
    test: Test
    seconds: int  # about how long it takes on one tree; the longest cases run last
    partitions: int  # of commands, runs and state
    settings: Mapping[str, str]  # of every process, as environment variables
    not_on_base: str  # why it cannot be shown on the earlier revision; empty: it can


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """A part of a finding that has no case, and why."""

    finding: str
    part: str
    reason: str


_registered: dict[str, Case] = {}
_excluded: list[Exclusion] = []


def case(
    *, seconds: int = 15, partitions: int = 1, settings: Mapping[str, str] | None = None, not_on_base: str = ""
) -> Callable[[Test], Test]:
    """Registers a function as a case. Its name is the case's name, and the first line of its docstring says what is
    expected."""

    def register(test: Test) -> Test:
        name = test.__name__
        if name in _registered:
            raise ValueError(f"The case {name} is registered twice. Give one of them another name.")
        _registered[name] = Case(
            finding=test.__module__.rpartition(".")[2],
            name=name,
            says=" ".join((test.__doc__ or "").split("\n\n")[0].split()),
            test=test,
            seconds=seconds,
            partitions=partitions,
            settings=settings or {},
            not_on_base=not_on_base,
        )
        return test

    return register


def excluded(finding: str, part: str, reason: str) -> None:
    """Registers that a part of a finding has no case, with the reason."""
    _excluded.append(Exclusion(finding=finding.rpartition(".")[2], part=part, reason=reason))


def all_cases() -> list[Case]:
    """Every case, the short ones first."""
    _import_cases()
    return sorted(_registered.values(), key=lambda each: (each.seconds, each.finding, each.name))


def all_exclusions() -> list[Exclusion]:
    """Every part that has no case, by finding."""
    _import_cases()
    return sorted(_excluded, key=lambda each: (each.finding, each.part))


def _import_cases() -> None:
    from tests.regressions import cases

    for module in pkgutil.iter_modules(cases.__path__):
        importlib.import_module(f"{cases.__name__}.{module.name}")
