"""Output of commands: tables and progress for people, JSON for programs. Answers go to stdout, everything
else to stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from streamflow.errors import OperationError
from streamflow.ops.topic_reader import Progress as Report
from streamflow.terminal import visible, visible_lines, width

_QUIET_S = 2.0  # how long work may take before its progress is worth a line


def examples(*lines: str) -> str:
    """The end of a command's help: command lines to copy, without the word `streamflow`."""
    return "\b\nExamples:\n" + "\n".join(f"  streamflow {line}" for line in lines)


def err() -> Console:
    """The console of warnings and progress."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


def screen() -> Console:
    """The console of live pictures: stdout."""
    return Console(highlight=False)


def say(text: str) -> None:
    """A line of an answer, for people."""
    _write(visible_lines(text))


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def say_json(value: Any, *, line: bool = False) -> None:
    """`value` as JSON; on one line where many follow each other."""
    _write(json.dumps(value, indent=None if line else 2, ensure_ascii=False, default=str))


def plain(record: Any) -> dict[str, Any]:
    """A frozen record of ours as JSON data, fields that have their default left out."""
    built: dict[str, Any] = msgspec.to_builtins(record)
    return built


def warn(text: str) -> None:
    """A line to stderr that the person should not miss."""
    err().print(f"[yellow]warning:[/] {escape(visible_lines(text))}")


def note(text: str) -> None:
    """A line to stderr about what happens."""
    err().print(f"[dim]{escape(visible_lines(text))}[/]")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> str:
    """A table as text, or the line `empty` when there are no rows. Columns may end in `>` to be aligned to the
    right."""
    if not rows:
        return empty
    names = [column.rstrip(">") for column in columns]
    shown = [[visible(cell) for cell in row] for row in rows]
    widths = [max(len(name), *(width(row[place]) for row in shown)) for place, name in enumerate(names)]

    def line(cells: Sequence[str]) -> str:
        parts = []
        for cell, wide, column in zip(cells, widths, columns, strict=True):
            space = " " * (wide - width(cell))
            parts.append(space + cell if column.endswith(">") else cell + space)
        return "  ".join(parts).rstrip()

    return "\n".join([line([name.upper() for name in names]), *(line(row) for row in shown)])


def local_time(ms: int) -> str:
    """A point in time as this machine's people write it, to the millisecond; one that no calendar has, as a number of
    milliseconds."""
    try:
        moment = datetime.fromtimestamp(ms / 1000, UTC).astimezone()
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{ms % 1000:03d}"


def length(ms: int) -> str:
    """A length of time in its two largest units: `0.41 s`, `3 min 20 s`, `2 d 4 h`."""
    if ms < 60_000:
        return f"{ms / 1000:.2f} s" if ms < 10_000 else f"{ms / 1000:.0f} s"
    minutes, seconds = divmod(ms // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def write_file(file: Path, text: str) -> None:
    """Writes `text` to a file, with its folder. Raises OperationError (`file_unwritable`)."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"{file} cannot be written: {error.strerror}. Check the path and its rights."
        raise OperationError("file_unwritable", message, retryable=False) from error


@contextmanager
def reading(what: str, unit: str = "records") -> Iterator[Report]:
    """Progress of work that counts records, or something else: a bar at a terminal, now and then a line elsewhere,
    nothing when it is quick."""
    console = err()
    began = said = time.monotonic()
    bar: Progress | None = None

    def report(done: int, total: int) -> None:
        nonlocal said, bar
        now = time.monotonic()
        if console.is_terminal:
            if bar is None and now - began > _QUIET_S / 4:
                bar = Progress(
                    TextColumn("{task.description}"),
                    BarColumn(),
                    MofNCompleteColumn(),
                    TimeElapsedColumn(),
                    console=console,
                    transient=True,
                )
                bar.start()
                bar.add_task(what, total=total)
            if bar is not None:
                bar.update(bar.task_ids[0], completed=done, total=total)
        elif now - said > _QUIET_S:
            said = now
            console.print(f"{what}: {done} of {total} {unit}")

    try:
        yield report
    finally:
        if bar is not None:
            bar.stop()
