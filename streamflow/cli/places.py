"""Files of authors, and the places of problems in them: file, line and column."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from streamflow.definition.lines import Lines
from streamflow.errors import DefinitionError, Problem, Rejected

DEFINITION, CATALOG = "definition.yaml", "catalog.yaml"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Placed:
    """A problem in a file, on a line and in a column (counted from 1; 0 if it is not known)."""

    file: Path
    line: int
    column: int
    problem: Problem

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else str(self.file)
        fix = f" {self.problem.fix}" if self.problem.fix else ""
        at = f" at {self.problem.pointer}" if self.problem.pointer else ""
        return f"{place}: {self.problem.severity} {self.problem.code}{at}: {self.problem.message}{fix}"

    def facts(self) -> dict[str, Any]:
        """The problem as JSON data."""
        problem = self.problem
        return {
            "file": str(self.file),
            "line": self.line or None,
            "column": self.column or None,
            "code": problem.code,
            "pointer": problem.pointer,
            "severity": problem.severity,
            "message": problem.message,
            "fix": problem.fix,
        }


def read_file(file: Path, parse: Callable[[str], _T], code: str) -> _T:
    """What `parse` makes of a file beside definitions. Raises DefinitionError with this `code`, which says file, line
    and column of every problem, or Rejected."""
    text = text_of(file)
    try:
        return parse(text)
    except DefinitionError as error:
        raise invalid(placed_in(file, error.problems), code) from None


def invalid(placed: Sequence[Placed], code: str) -> DefinitionError:
    """The error that a file with these problems cannot be used."""
    file = placed[0].file
    count = f"{len(placed)} problem{'s' if len(placed) > 1 else ''}"
    lines = "\n".join(map(str, placed))
    return DefinitionError(
        [replace(one.problem, line=one.line or None, column=one.column or None) for one in placed],
        code=code,
        message=f"The file {file} cannot be used, because of {count}. Correct it.\n{lines}",
    )


def parsed(file: Path, parse: Callable[[str], _T], problems: list[Placed]) -> _T | None:
    """What `parse` makes of `file`; None, and what is wrong added to `problems`, when it cannot be used. Raises
    Rejected (`file_unreadable`)."""
    text = text_of(file)
    try:
        return parse(text)
    except DefinitionError as error:
        problems += placed_in(file, error.problems)
        return None


def text_of(file: Path) -> str:
    """The text of `file`. Raises Rejected (`file_unreadable`)."""
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Rejected(
            "file_unreadable", f"expected to read {file} but {reason}. Check the path and its encoding."
        ) from error


def placed_in(file: Path, problems: Iterable[Problem]) -> list[Placed]:
    """The problems of the text in `file`, each with its place."""
    lines = Lines(file.read_text())
    return [Placed(file, *lines.of(problem.pointer), problem) for problem in problems]
