"""What people ask of runs: start one, cancel it, and help a parked one on. Each asks the engine and shows its answer."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import jsonschema_rs
import msgspec
import typer

from streamflow.cli.output import examples
from streamflow.cli.session import session_of
from streamflow.cli.timeline import told
from streamflow.definition.content import read_content
from streamflow.engine.commands import CancelRun, Command, Event, FailRun, RetryStep, SkipStep, Start, StartRun
from streamflow.errors import Rejected
from streamflow.ids import partition_of, run_id
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.publication import read_log
from streamflow.ops.history import find_history, partition_of_known_run
from streamflow.ops.requests import ANSWER_S, ask, new_id

RunId = Annotated[str, typer.Argument(metavar="RUN", help="a run id, as `runs list` shows it")]
Why = Annotated[str, typer.Option("--why", help="kept with the run")]
StepId = Annotated[str, typer.Option("--step", help="the parked step")]
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, help="seconds to wait for the answer")]


def start(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="a published definition; without a version the one that starts use")],
    key: Annotated[str, typer.Option(help="the business key of the run")],
    data: Annotated[str, typer.Option(help="what triggers have as the event's payload: JSON, or @file")] = "{}",
    event: Annotated[str | None, typer.Option(help="the event it stands for; else that of the first trigger")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="asked twice with one id, only one run starts")] = None,
    timeout_s: Timeout = ANSWER_S,
) -> None:
    """Starts a run without an event, and waits until it has begun."""
    session = session_of(ctx)
    log = read_log(session.settings)
    definition, version, sha = _published(log, name)
    content, offset = log.contents[sha]
    payload = _payload(data)
    event_name = _checked_event(content, event, payload)
    command_id = f"request/{id_}" if id_ is not None else new_id()
    command = StartRun(command_id, definition, key, Start(sha, offset), "", Event(event_name, command_id, time.time_ns() // 1_000_000, payload))
    run = run_id(definition, key, command_id)
    if id_ is not None and (known := find_history(session.settings, run)):
        session.show({"run": run, "already": True, "version": known[0].version}, f"run {run} was already started with this id")
        return
    answer = ask(session.settings, command, key=key, partition=partition_of(key, session.settings.topics.partitions), timeout_s=timeout_s)
    lines = [
        f"run {answer.transitions[0].run} of {definition}@{version} for {key}",
        *(f"  {t.seq:>3} {t.step or '':<16} {told(t)}" for t in answer.transitions),
    ]
    session.show({"run": answer.transitions[0].run, "already": False, "version": version, "seq": answer.transitions[-1].seq}, "\n".join(lines))


def cancel(ctx: typer.Context, run: RunId, why: Why = "", timeout_s: Timeout = ANSWER_S) -> None:
    """Ends an open run."""
    _ask(ctx, run, CancelRun(new_id(), run, why), timeout_s)


def retry(ctx: typer.Context, run: RunId, step: StepId, timeout_s: Timeout = ANSWER_S) -> None:
    """Tries a parked step again."""
    _ask(ctx, run, RetryStep(new_id(), run, step), timeout_s)


def skip(ctx: typer.Context, run: RunId, step: StepId, timeout_s: Timeout = ANSWER_S) -> None:
    """Treats a parked step as skipped, so that the run goes on without it."""
    _ask(ctx, run, SkipStep(new_id(), run, step), timeout_s)


def fail(ctx: typer.Context, run: RunId, why: Why = "", timeout_s: Timeout = ANSWER_S) -> None:
    """Ends a parked run as failed."""
    _ask(ctx, run, FailRun(new_id(), run, why), timeout_s)


def add_to(app: typer.Typer) -> None:
    """The verbs of this module, as commands of `app`."""
    app.command("start", epilog=examples("""runs start order-fulfilment --key A-7 --data @definitions/order-fulfilment/samples/placed.json"""))(start)
    app.command("cancel", epilog=examples('runs cancel RUN --why "the customer called"'))(cancel)
    app.command("retry", epilog=examples("runs retry RUN --step totals"))(retry)
    app.command("skip", epilog=examples("runs skip RUN --step note"))(skip)
    app.command("fail", epilog=examples('runs fail RUN --why "wrong data"'))(fail)


def _ask(ctx: typer.Context, run: str, command: Command, timeout_s: float) -> None:
    session = session_of(ctx)
    answer = ask(session.settings, command, key="", partition=partition_of_known_run(session.settings, run), timeout_s=timeout_s)
    lines = [f"{t.seq:>4}  {t.step or '':<16} {told(t)}" for t in answer.transitions]
    session.show(
        {"run": run, "command": answer.command, "transitions": [{"seq": t.seq, "type": t.type, "step": t.step} for t in answer.transitions]}, "\n".join(lines)
    )


def _published(log: Snapshot, reference: str) -> tuple[str, str, str]:
    """Name, version and sha256 of what is to be started. Raises Rejected."""
    name, _, version = reference.partition("@")
    if not version and name in log.names:
        version = log.names[name].version
    record = log.versions.get((name, version))
    if record is None:
        known = ", ".join(sorted(log.names)) or "nothing yet"
        raise Rejected("version_unknown", f"expected a published definition but {reference} is not; runs can be started of {known}")
    if record.retired:
        raise Rejected("version_retired", f"expected a version that is in use but {name}@{version} is retired; do start another one")
    return name, version, record.sha


def _payload(data: str) -> Any:
    try:
        return msgspec.json.decode(Path(data[1:]).read_bytes() if data.startswith("@") else data.encode())
    except OSError as error:
        raise Rejected("file_unreadable", f"expected to read {error.filename} but {error.strerror}; do check the path") from error
    except msgspec.DecodeError as error:
        raise Rejected("data_not_json", f"expected JSON in --data but {error}; do correct it") from error


def _checked_event(content: bytes, event: str | None, payload: Any) -> str:
    """The event that a start stands for; its payload must be what expressions were checked against. Raises Rejected."""
    definition, catalog = read_content(content)
    names = [trigger.event for trigger in definition.on]
    chosen = event or names[0]
    spec = catalog.event(chosen)
    if chosen not in names or spec is None:
        raise Rejected("event_unknown", f"expected an event that starts {definition.name} but {chosen} does not; it has {', '.join(names)}")
    if spec.schema_:
        wrong = next(iter(jsonschema_rs.validator_for(spec.schema_).iter_errors(payload)), None)
        if wrong is not None:
            place = "/".join(map(str, wrong.instance_path))
            raise Rejected("schema_mismatch", f"expected --data to be a payload of {chosen} but /{place}: {wrong.message}; do correct it")
    return chosen
