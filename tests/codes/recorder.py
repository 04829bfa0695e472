"""Notes every code that a test brings about, with its message: a pytest plugin.

It is on where STREAMFLOW_RECORD_CODES names a folder. Only what happens in the test's
own process is seen: unit tests, and commands that run in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streamflow.definition.plan import ExpressionError
from streamflow.engine.evaluation import ParkStep
from streamflow.errors import DefinitionError, StreamflowError

VARIABLE = "STREAMFLOW_RECORD_CODES"


class Recorder:
    """Writes a line of JSON for each code of a test: code, message, test."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / f"{os.getpid()}.jsonl").open("a", encoding="utf-8")
        self._seen: set[tuple[str, str]] = set()
        self.test = ""
        for kind in (StreamflowError, ExpressionError, ParkStep):
            self._watch(kind, lambda made: self.note(made.code, getattr(made, "message", str(made))))
        self._watch(DefinitionError, self._problems)

    def note(self, code: str, message: str) -> None:
        """Writes the code once for each test."""
        if self.test and (code, self.test) not in self._seen:
            self._seen.add((code, self.test))
            self._file.write(json.dumps({"code": code, "message": message, "test": self.test}) + "\n")
            self._file.flush()

    def _problems(self, error: DefinitionError) -> None:
        for problem in error.problems:
            self.note(problem.code, f"{problem.message} {problem.fix}".strip())

    def _watch(self, kind: type[Any], then: Callable[[Any], Any]) -> None:
        made = kind.__init__

        def watched(self: Any, *args: Any, **facts: Any) -> None:
            made(self, *args, **facts)
            then(self)

        kind.__init__ = watched  # for the life of the process, which is a test run

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Knows which test is running."""
        self.test = item.nodeid.partition("[")[0]
        yield
        self.test = ""
