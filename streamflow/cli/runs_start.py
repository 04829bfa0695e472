"""`streamflow runs start`: starts a run from a file or options, and shows its end and output on request."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from confluent_kafka import OFFSET_END
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamflow.cli import objects, output
from streamflow.cli.session import EXIT_OUTSIDE, Session, session_of
from streamflow.cli.timeline import description
from streamflow.definition.syntax import load_text
from streamflow.engine.steps.kind import short
from streamflow.engine.trace import CORRELATION_CHARS
from streamflow.engine.transitions import ENDINGS, ApprovalRequested, Transition
from streamflow.errors import DefinitionError, Rejected
from streamflow.ids import partition_of
from streamflow.kafka.publication import read_log
from streamflow.ops.command_request import ANSWER_S, Answer, ask
from streamflow.ops.history import find_history, open_runs, summary_of, transitions
from streamflow.ops.outputs import outputs_of
from streamflow.ops.starts import Request, request, started_before
from streamflow.ops.topic_reader import Reading
from streamflow.settings import Settings
from streamflow.wire.codec import DecodeError
from streamflow.wire.json_text import read_json

_END_S = 600.0


class StartFile(BaseModel):
    """What `runs start FILE` reads, as YAML or JSON."""

    model_config = ConfigDict(extra="forbid")

    definition: str = Field(min_length=1)
    key: str | int
    input: Any = Field(default_factory=dict)
    id: str | None = None
    correlation_id: str | None = Field(default=None, max_length=CORRELATION_CHARS, pattern=r"^[ -~]+$")


def start(
    ctx: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            metavar="FILE|NAME[@VERSION]",
            help="a YAML or JSON file with definition, key, input, id and correlation_id; or a definition",
        ),
    ],
    key: Annotated[str | None, typer.Option(help="the business key of the run; overrides the file")] = None,
    data: Annotated[
        str | None,
        typer.Option(help="the input, or the payload of the trigger's event: JSON, or @file; overrides the file"),
    ] = None,
    event: Annotated[
        str | None,
        typer.Option(
            help="event of the trigger that --data is the payload of; default: the definition's input, or its first "
            "trigger"
        ),
    ] = None,
    id_: Annotated[
        str | None, typer.Option("--id", help="idempotency: two requests with one id start one run; overrides the file")
    ] = None,
    correlation_id: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="your own id of the run, in its log lines, spans and events; overrides the file"
        ),
    ] = None,
    wait: Annotated[
        bool | None,
        typer.Option(
            "--wait/--no-wait",
            help="wait for the end of the run and show its output; the default with a file",
        ),
    ] = None,
    timeout_s: Annotated[
        float | None,
        typer.Option("--timeout", min=0.1, help=f"seconds to wait: for the end {_END_S:g}, for the start {ANSWER_S:g}"),
    ] = None,
    fetch: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="wait for the end, and download the objects that the run stored into this folder"
        ),
    ] = None,
) -> None:
    """Starts a run without an event. With --wait it shows the run's progress and at the end its output. The exit code
    is 0 if the run started (with --wait: if it completed)."""
    session = session_of(ctx)
    asked = _asked(what, key, data, id_, correlation_id)
    waits = fetch is not None or (_is_file(what) if wait is None else wait)
    found = request(
        read_log(session.settings),
        asked.definition,
        key=str(asked.key),
        data=asked.input,
        id=asked.id,
        event=event,
        correlation_id=asked.correlation_id or "",
    )
    if not waits:
        _begin(session, found, timeout_s or ANSWER_S)
        return
    run, history = _run(session, found, timeout_s or _END_S)
    _show_end(session, run, found.version, history, fetch)


def _is_file(what: str) -> bool:
    return Path(what).suffix in (".yaml", ".yml", ".json") or Path(what).is_file()


def _asked(what: str, key: str | None, data: str | None, id_: str | None, correlation_id: str | None) -> StartFile:
    """What is to be started: the file's, with what the options say in its place. Raises Rejected."""
    values: Any = _read(Path(what)) if _is_file(what) else {"definition": what}
    given = {"key": key, "input": None if data is None else payload(data), "id": id_}
    given["correlation_id"] = correlation_id
    if not isinstance(values, dict):
        raise Rejected(
            "start_invalid",
            f"expected definition, key and input in {what} but it is not a mapping. See `streamflow runs start "
            "--help`.",
        )
    values |= {name: value for name, value in given.items() if value is not None}
    if values.get("key") is None:
        raise Rejected(
            "key_missing", "expected the business key of the run but there is none. Give --key, or `key` in the file."
        )
    try:
        return StartFile.model_validate(values)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False))
        raise Rejected(
            "start_invalid", f"expected definition, key, input and id in {what} but {wrong}. Correct it."
        ) from error


def _read(file: Path) -> Any:
    try:
        return load_text(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not text"
        raise Rejected("file_unreadable", f"expected to read {file} but {said}. Check the path.") from error
    except DefinitionError as error:
        wrong = error.problems[0]
        raise Rejected(
            "start_invalid", f"{file} cannot be read as YAML or JSON: {wrong.message} {wrong.fix}".rstrip()
        ) from error


def payload(data: str) -> Any:
    """What `--data` means: JSON, or the file after `@`. Raises Rejected (`file_unreadable`, `data_not_json`)."""
    try:
        return read_json(Path(data[1:]).read_bytes() if data.startswith("@") else os.fsencode(data))
    except OSError as error:
        raise Rejected(
            "file_unreadable", f"expected to read {error.filename} but {error.strerror}. Check the path."
        ) from error
    except DecodeError as error:
        raise Rejected("data_not_json", f"--data cannot be read ({error.code}). {error.message}") from error


def _begin(session: Session, found: Request, timeout_s: float) -> None:
    """Starts it, and shows how it began."""
    try:
        answer = _ask(session.settings, found, timeout_s)
    except Rejected as error:
        run = started_before(error)
        known = find_history(session.settings, run)
        session.show(
            {"run": run, "already": True, "version": known[0].version if known else None},
            f"run {run} was already started with this id",
        )
        return
    run = answer.transitions[0].run
    began = [f"  {one.seq:>3} {one.address:<16} {description(one)}" for one in answer.transitions]
    facts = {"run": run, "already": False, "version": found.version, "seq": answer.transitions[-1].seq}
    name = f"{found.command.definition}@{found.version}"
    session.show(facts, "\n".join([f"run {run} of {name} for {found.command.key}", *began]))


def _ask(settings: Settings, found: Request, timeout_s: float) -> Answer:
    """Appends the start, and its result. Raises Rejected (`run_exists`: it was served before)."""
    key = found.command.key
    partition = partition_of(key, settings.topics.partitions)
    return ask(settings, found.command, key=key, partition=partition, timeout_s=timeout_s)


def _run(session: Session, found: Request, timeout_s: float) -> tuple[str, list[Transition]]:
    """Starts it, shows how it continues (on stderr); its id and its history up to its end, or as far as it came in
    time. A parked run has come as far as it can without a person."""
    key, deadline = found.command.key, time.monotonic() + timeout_s
    with open_runs(session.settings, key=key, start=OFFSET_END) as reading:
        known: list[Transition] = []
        try:
            run = _ask(session.settings, found, min(ANSWER_S, timeout_s)).transitions[0].run
        except Rejected as error:
            run = started_before(error)
            known = find_history(session.settings, run)
            output.note(f"run {run} was already started with this id")
        else:
            output.note(f"run {run} of {found.command.definition}@{found.version} for {key}")
        history: dict[int, Transition] = {}
        for transition in _followed(reading, known, deadline):
            if transition.run != run or transition.seq in history:
                continue
            history[transition.seq] = transition
            _note_transition(transition, next(iter(history.values())).at_ms)
            if isinstance(transition.data, ENDINGS) or summary_of(list(history.values())).status == "parked":
                break
    return run, list(history.values())


def _followed(reading: Reading, known: list[Transition], deadline: float) -> Iterator[Transition]:
    yield from known
    while time.monotonic() < deadline:
        yield from transitions(reading.follow())


def _note_transition(transition: Transition, began_ms: int) -> None:
    output.note(
        f"  +{output.length(transition.at_ms - began_ms):<10} {transition.address:<16} {description(transition)}"
    )
    if isinstance(transition.data, ApprovalRequested):
        output.note(
            f"  it waits for {' or '.join(transition.data.who)}: streamflow runs approve {transition.run} "
            f"{transition.step} --by NAME"
        )


def _show_end(session: Session, run: str, version: str, history: list[Transition], fetch: Path | None) -> None:
    """What the run gave. Leaves with the exit code of what went wrong outside unless it completed."""
    summary = summary_of(history) if history else None
    status = summary.status if summary is not None else "open"
    given = outputs_of(history)
    stored = objects.found_in(given, history)
    fetched = (
        {url: str(file) for url, file in objects.fetch(session.settings, stored, fetch).items()}
        if fetch is not None and stored
        else {}
    )
    lines = [
        f"run {run} {'continues' if status == 'open' else status}"
        + (f": {summary.ended}" if summary is not None and summary.ended else "")
    ]
    if status == "parked" and summary is not None:
        lines += [f"  {step} is {words}" for step, words in summary.at.items()]
        lines += [f"  show it: streamflow runs show {run}"]
    lines += [f"  {name:<16} {short(value)}" for name, value in given.items()]
    for place in stored:
        lines.append(f"  object {place.key} of {place.step}: {fetched.get(place.url, place.url)}")
    if stored and fetch is None:
        lines.append("  (--fetch DIR downloads them)")
    facts: dict[str, Any] = {"run": run, "version": version, "status": status, "outputs": given}
    facts["objects"] = [
        place.facts() | ({"file": fetched[place.url]} if place.url in fetched else {}) for place in stored
    ]
    session.show(facts, "\n".join(lines))
    if status != "completed":
        raise typer.Exit(EXIT_OUTSIDE)
