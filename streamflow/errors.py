"""The four families of errors, by whose fault they are.

`DefinitionError` is the author's, `Rejected` the caller's, `OperationError` the outside world's and `EngineFault` ours.
Every error carries a stable `code`, and its message says what failed and, in a separate sentence, what to do:
*expected ... but .... Correct it.* No other module defines another family.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class StreamflowError(Exception):
    """What all four families share: a stable `code` and `facts`, the place it happened in (run, step, topic, partition,
    offset)."""

    def __init__(self, code: str, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.facts = facts

    def __str__(self) -> str:
        place = " ".join(f"{name}={value}" for name, value in self.facts.items() if value is not None)
        return f"{self.code}: {self.message}" + (f" [{place}]" if place else "")


def with_remedy(problem: str, remedy: str) -> str:
    """A message of two sentences: `problem`, which has no full stop, and the imperative `remedy`."""
    return f"{problem}. {remedy[:1].upper()}{remedy[1:]}."


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a definition: where (JSON pointer), what, and what to do about it."""

    code: str
    pointer: str
    message: str
    fix: str = ""
    severity: str = "error"
    line: int | None = None  # in its file, counted from 1, where that is known
    column: int | None = None  # likewise

    def __str__(self) -> str:
        return f"{self.code} at {self.pointer or '/'}: {self.message}" + (f" {self.fix}" if self.fix else "")


class DefinitionError(StreamflowError):
    """The author's: a definition, or another file that authors write, that cannot be used. `problems` holds all of them
    at once; `code` and `message` are given where it is not a definition."""

    def __init__(
        self,
        problems: tuple[Problem, ...] | list[Problem],
        *,
        code: str = "definition_invalid",
        message: str | None = None,
        **facts: Any,
    ) -> None:
        self.problems = tuple(problems)
        text = "\n".join(str(problem) for problem in self.problems)
        super().__init__(
            code,
            message or f"expected a definition that can run but found {len(self.problems)} problem(s):\n{text}",
            **facts,
        )


class Rejected(StreamflowError):
    """The caller's: a request that does not fit the current state, which stays as it was."""


class OperationError(StreamflowError):
    """The outside world's: a broker, database or endpoint that did not do what was asked."""

    def __init__(
        self, code: str, message: str, *, retryable: bool = True, retry_after_s: float | None = None, **facts: Any
    ) -> None:
        super().__init__(code, message, **facts)
        self.retryable = retryable
        self.retry_after_s = retry_after_s


class EngineFault(StreamflowError):
    """Ours: an invariant that does not hold. Always stops the partition it happened in; never swallowed."""
