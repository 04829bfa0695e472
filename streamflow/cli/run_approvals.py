"""Approvals of runs: `streamflow runs approvals`, `approve` and `reject`."""

from __future__ import annotations

from typing import Annotated

import typer

from streamflow.cli import output
from streamflow.cli.output import examples
from streamflow.cli.run_requests import RunId, Timeout
from streamflow.cli.runs_start import payload
from streamflow.cli.session import session_of
from streamflow.cli.timeline import told
from streamflow.kafka.publication import read_log
from streamflow.kafka.unknown_names import require_definition
from streamflow.ops.approvals import Approvals, decide, open_approval
from streamflow.ops.command_request import ANSWER_S, ask
from streamflow.ops.history import partition_of_known_run, read_history

Step = Annotated[str, typer.Argument(metavar="STEP", help="the approval's step, as `runs approvals` shows it")]
By = Annotated[str, typer.Option("--by", help="who decides")]
Groups = Annotated[
    list[str] | None, typer.Option("--group", help="a group of the person who decides; may be given several times")
]
Data = Annotated[str | None, typer.Option("--data", help="data for the approval's form: JSON, or @file")]


def approvals(
    ctx: typer.Context,
    who: Annotated[str | None, typer.Option(help="only approvals that this person or group may decide")] = None,
    definition: Annotated[str | None, typer.Option("--definition", help="only those of this definition")] = None,
) -> None:
    """Lists the open approvals, oldest first: subject, deadline, and who may decide."""
    session = session_of(ctx)
    with output.reading("reading runs") as progress:
        found = Approvals().read(session.installation, progress)
    fit = [
        one for one in found if (who is None or who in one.who) and (definition is None or one.definition == definition)
    ]
    if not fit and definition is not None:
        require_definition(read_log(session.installation), definition)
    rows = [
        (
            one.run,
            one.step,
            f"{one.definition}@{one.version}",
            one.key,
            ", ".join(one.who),
            _until(one.due_ms),
            "form" if one.form else "",
            one.text,
        )
        for one in fit
    ]
    text = output.table(
        ("run", "step", "definition", "key", "who", "until", "data", "text"), rows, "nothing waits for an approval"
    )
    session.show({"approvals": [one.facts() for one in fit], "total": len(fit)}, text)


def _until(due_ms: int | None) -> str:
    return "for ever" if due_ms is None else output.local_time(due_ms)[:19]


def approve(
    ctx: typer.Context,
    run: RunId,
    step: Step,
    by: By,
    groups: Groups = None,
    data: Data = None,
    timeout_s: Timeout = ANSWER_S,
) -> None:
    """Approves an open approval."""
    _decide(ctx, run, step, "approved", by, groups or [], data, timeout_s)


def reject(
    ctx: typer.Context,
    run: RunId,
    step: Step,
    by: By,
    groups: Groups = None,
    data: Data = None,
    timeout_s: Timeout = ANSWER_S,
) -> None:
    """Rejects an open approval."""
    _decide(ctx, run, step, "rejected", by, groups or [], data, timeout_s)


def _decide(
    ctx: typer.Context,
    run: str,
    step: str,
    decision: str,
    by: str,
    groups: list[str],
    data: str | None,
    timeout_s: float,
) -> None:
    settings = session_of(ctx).installation
    with output.reading("reading runs") as progress:
        approval = open_approval(read_history(settings, run, progress), run, step)
    command = decide(approval, decision, by=by, groups=groups, data=None if data is None else payload(data))
    answer = ask(
        settings, command, key=approval.key, partition=partition_of_known_run(settings, run), timeout_s=timeout_s
    )
    lines = [f"{one.seq:>4}  {one.address:<16} {told(one)}" for one in answer.transitions]
    transitions = [{"seq": one.seq, "type": one.type, "step": one.step} for one in answer.transitions]
    session_of(ctx).show(
        {"run": run, "step": step, "decision": decision, "command": command.id, "transitions": transitions},
        "\n".join(lines),
    )


def add_to(app: typer.Typer) -> None:
    """The verbs of this module, as commands of `app`."""
    app.command("approvals", epilog=examples("runs approvals", "runs approvals --who managers --json"))(approvals)
    app.command(
        "approve",
        epilog=examples(
            "runs approve RUN review --by alice",
            """runs approve RUN review --by bob --group managers --data '{"limit": 500}'""",
        ),
    )(approve)
    app.command("reject", epilog=examples("runs reject RUN review --by alice"))(reject)
