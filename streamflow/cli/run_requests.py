"""Commands of operators on runs: cancel one, or act on a parked one. Each sends a command to the engine and shows its
answer."""

from __future__ import annotations

from typing import Annotated

import typer

from streamflow.cli.output import examples
from streamflow.cli.session import session_of
from streamflow.cli.timeline import told
from streamflow.engine.commands import CancelRun, Command, FailRun, RetryStep, SkipStep
from streamflow.engine.transitions import Transition
from streamflow.errors import Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.publication import read_log
from streamflow.kafka.unknown_names import remedy
from streamflow.ops.command_request import ANSWER_S, ask, new_id
from streamflow.ops.history import partition_of_known_run, read_history
from streamflow.ops.restarts import restart as restart_run

RunId = Annotated[str, typer.Argument(metavar="RUN", help="a run id, as `runs list` shows it")]
Why = Annotated[str, typer.Option("--why", help="reason, kept with the run")]
StepId = Annotated[str, typer.Option("--step", help="the parked step")]
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, help="seconds to wait for the answer")]


def cancel(ctx: typer.Context, run: RunId, why: Why = "", timeout_s: Timeout = ANSWER_S) -> None:
    """Cancels an open run."""
    _ask(ctx, run, CancelRun(new_id(), run, why), timeout_s)


def retry(ctx: typer.Context, run: RunId, step: StepId, timeout_s: Timeout = ANSWER_S) -> None:
    """Retries a parked step."""
    _ask(ctx, run, RetryStep(new_id(), run, step), timeout_s)


def skip(ctx: typer.Context, run: RunId, step: StepId, timeout_s: Timeout = ANSWER_S) -> None:
    """Skips a parked step; the run continues without it."""
    _ask(ctx, run, SkipStep(new_id(), run, step), timeout_s)


def fail(ctx: typer.Context, run: RunId, why: Why = "", timeout_s: Timeout = ANSWER_S) -> None:
    """Ends a parked run as failed."""
    _ask(ctx, run, FailRun(new_id(), run, why), timeout_s)


def restart(
    ctx: typer.Context,
    run: RunId,
    why: Annotated[str, typer.Option("--why", help="reason of the old run's end")],
    version: Annotated[
        str | None, typer.Option(help="version of the definition; default: the one that new runs use")
    ] = None,
    timeout_s: Timeout = ANSWER_S,
) -> None:
    """Restarts a run whose definition is wrong with a corrected version: ends the old run and starts a new one with its
    key and data. Steps of the old run with an `undo` are undone; the effects of others are repeated. Two requests start
    only one run."""
    session = session_of(ctx)
    done = restart_run(session.installation, run, why=why, version=version, timeout_s=timeout_s)
    began = "was started before" if done.already else "is started"
    session.show(
        {"run": run, "restarted": done.run, "version": done.version, "already": done.already},
        f"{done.run} {began} instead of {run}, with version {done.version}",
    )


def add_to(app: typer.Typer) -> None:
    """The verbs of this module, as commands of `app`."""
    app.command("cancel", epilog=examples('runs cancel RUN --why "the customer called"'))(cancel)
    app.command("retry", epilog=examples("runs retry RUN --step totals"))(retry)
    app.command("skip", epilog=examples("runs skip RUN --step note"))(skip)
    app.command("restart", epilog=examples('runs restart RUN --why "the sum was wrong in version 1"'))(restart)
    app.command("fail", epilog=examples('runs fail RUN --why "wrong data"'))(fail)


def require_step(log: Snapshot, history: list[Transition], step: str) -> None:
    """Raises Rejected (`step_unknown`) when the definition of the run of `history` has no such step. Says nothing of a
    version that is no longer published."""
    first = history[0]
    if (first.definition, first.version) not in log.versions:
        return
    steps = [one.id for one in log.read_version(first.definition, first.version)[0].steps]
    if step not in steps:
        text = f"The definition {first.definition}@{first.version} of the run {first.run} has no step {step}."
        raise Rejected("step_unknown", f"{text} {remedy(step, steps, 'steps')}")


def _ask(ctx: typer.Context, run: str, command: Command, timeout_s: float) -> None:
    session = session_of(ctx)
    settings = session.installation
    partition = partition_of_known_run(settings, run)
    try:
        answer = ask(settings, command, key="", partition=partition, timeout_s=timeout_s)
    except Rejected as error:
        if error.code == "not_parked" and isinstance(command, RetryStep | SkipStep):
            require_step(read_log(settings), read_history(settings, run), command.address)
        raise
    lines = [f"{t.seq:>4}  {t.address:<16} {told(t)}" for t in answer.transitions]
    session.show(
        {
            "run": run,
            "command": answer.command,
            "transitions": [{"seq": t.seq, "type": t.type, "step": t.step} for t in answer.transitions],
        },
        "\n".join(lines),
    )
