"""What an experiment knows of itself: what it sent, what the outside saw, and what it allows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DAY_MS = 86_400_000


@dataclass(frozen=True)
class Input:
    """One acknowledged input, a line of the file of inputs: the record at (`topic`, `partition`, `offset`), a full
    name, with the event `id`.

    `starts` names the definitions of which it starts a run, `takes` those of which exactly one run takes it. `dead`: it
    is a dead letter; `ignored`: nothing comes of it. None of these: it was read, and no more is known. `command`
    instead: the id of a command in `commands`."""

    topic: str = ""
    partition: int = -1
    offset: int = -1
    id: str = ""
    starts: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    dead: bool = False
    ignored: bool = False
    command: str = ""


@dataclass(frozen=True)
class Experiment:
    """`ledger`: how often the outside did each idempotency key; None if there is none. `operations`: those whose calls
    it sees; none: of all. Times in milliseconds; 0 for `late_ms`: lateness is not judged. `at_rest` False: the work
    continues, so only what is always true is judged. `cli` and `api`: how to ask them, see `asking`; `history`: whether
    the command line is asked for the history store too."""

    inputs: tuple[Input, ...] | None = None
    ledger: Counter[str] | None = None
    operations: frozenset[str] = frozenset()
    late_ms: int = 60_000
    window_ms: int = 7 * DAY_MS
    at_rest: bool = True
    cli: tuple[str, ...] = ()
    history: bool = False
    api: str = ""
    api_token: str = field(default="", repr=False)
    sample: int = 3
    without: frozenset[str] = field(default_factory=frozenset)


def inputs_of(path: Path) -> tuple[Input, ...]:
    """The file of inputs: a JSON object a line, with the fields of Input. Raises ValueError or TypeError for what does
    not fit."""
    return tuple(_input(line) for line in _lines(path))


def _input(line: dict[str, Any]) -> Input:
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in line.items()}
    return Input(**fields)


def ledger_of(path: Path) -> Counter[str]:
    """The file of the outside: a JSON object a line, `key` being the idempotency key that came with the call. Lines of
    another `kind` than `call` are not calls."""
    return Counter(str(line["key"]) for line in _lines(path) if line.get("kind", "call") == "call")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as lines:
        yield from parsed(lines)


def parsed(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """JSON lines; a last one that was cut off is left out, because its writer may have been killed."""
    for line in lines:
        if line.endswith(b"\n") and line.strip():
            yield json.loads(line)
