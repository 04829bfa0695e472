"""`streamflow runs`: runs as read from the topic `runs`, and commands on them."""

from __future__ import annotations

from typing import Annotated

import typer

from streamflow.cli import output, run_approvals, run_requests, runs_erase
from streamflow.cli.output import examples
from streamflow.cli.runs_start import start
from streamflow.cli.runs_watch import watch
from streamflow.cli.session import session_of
from streamflow.cli.timeline import told
from streamflow.definition.mermaid import mermaid
from streamflow.definition.plan import NO_OUTCOME
from streamflow.engine.transitions import RunStarted, Transition
from streamflow.errors import Rejected
from streamflow.kafka.publication import read_log
from streamflow.kafka.unknown_names import remedy, require_definition
from streamflow.ops.history import STATUSES, RunSummary, described, read_history, read_runs, summary_of
from streamflow.ops.steps import StepProgress, progress_of, step_states
from streamflow.ops.topic_reader import Progress
from streamflow.settings import Settings
from streamflow.terminal import visible

app = typer.Typer(
    add_completion=False,
    help="Show and start runs, decide approvals, and operate on parked runs.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Named = Annotated[str | None, typer.Option("--definition", help="only runs of this definition")]


@app.command(
    "list",
    epilog=examples(
        "runs list", "runs list --definition order-fulfilment --status parked", "runs list --key A-1 --json"
    ),
)
def list_(
    ctx: typer.Context,
    definition: Named = None,
    status: Annotated[str | None, typer.Option(help=f"only runs that are {', '.join(STATUSES)}")] = None,
    key: Annotated[str | None, typer.Option(help="only runs of this business key; reads one partition only")] = None,
    limit: Annotated[int, typer.Option(min=1, help="maximum number, last changed first")] = 50,
    ids_only: Annotated[bool, typer.Option("--ids", help="print only the run ids, one a line")] = False,
) -> None:
    """Lists runs, last changed first, and counts all that match."""
    if status is not None and status not in STATUSES:
        text = f"No run can have the status {status}. {remedy(status, STATUSES, 'statuses')}"
        raise Rejected("status_unknown", text)
    session = session_of(ctx)
    with output.reading("reading runs") as progress:
        runs = read_runs(session.installation, key=key, progress=progress)
    if skipped := runs.unreadable.summary():
        output.warn(skipped)
    fit = [
        run
        for run in runs.by_id.values()
        if (definition is None or run.definition == definition)
        and (status is None or run.status == status)
        and (key is None or run.key == key)
    ]
    if not fit and definition is not None:
        require_definition(read_log(session.installation), definition)
    fit.sort(key=lambda run: (run.last_ms, run.run), reverse=True)
    shown = fit[:limit]
    if ids_only and not session.json:
        for run in shown:
            output.say(run.run)
        return
    counts = {each: sum(run.status == each for run in fit) for each in STATUSES}
    rows = [
        (
            run.run,
            f"{run.definition}@{run.version}",
            run.key,
            run.status,
            _where(run),
            str(run.seq),
            output.local_time(run.last_ms),
        )
        for run in shown
    ]
    text = output.table(("run", "definition", "key", "status", "where", "seq>", "last moved"), rows, "no run matches")
    session.show(
        {"runs": [run.facts() for run in shown], "counts": counts, "total": len(fit)},
        text + "\n\n" + f"{len(fit)} runs: " + ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        if fit
        else text,
    )


def _where(run: RunSummary) -> str:
    return (
        run.ended
        if not run.at and run.status not in ("open", "parked")
        else ", ".join(f"{step} ({how})" for step, how in run.at.items())
    )


@app.command(
    epilog=examples(
        "runs show 4f2a91c0-main-5d0c7a1b2c3d4e5f6071",
        "runs show --key A-1",
        "runs show --key A-1 --steps --json",
        "runs show --key A-1 --diagram",
    )
)
def show(
    ctx: typer.Context,
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="a run id, as `runs list` shows it")] = None,
    key: Annotated[
        str | None, typer.Option(help="instead of a run id: the run of this business key that changed last")
    ] = None,
    definition: Named = None,
    steps: Annotated[bool, typer.Option("--steps", help="show the state of each step instead of the history")] = False,
    diagram: Annotated[
        bool, typer.Option("--diagram", help="show the definition as Mermaid text, with steps coloured by their state")
    ] = False,
) -> None:
    """Shows the history of a run in order: calls with their attempts and errors, items of lists, child runs,
    approvals."""
    if (run is None) == (key is None):
        raise Rejected("run_or_key", "expected a run id or --key but found both or neither. Give one of them.")
    session = session_of(ctx)
    with output.reading("reading runs") as progress:
        if run is None:
            assert key is not None
            run = _newest(session.installation, key, definition, progress)
        history = read_history(session.installation, run, progress)
    if diagram:
        drawn = _drawn(session.installation, history)
        session.show({"run": run, "diagram": drawn}, drawn)
    elif steps:
        session.show(described(history), "\n".join([*_head(history), "", *_steps(progress_of(history))]))
    else:
        session.show(
            [{"type": transition.type} | output.plain(transition) for transition in history], timeline(history)
        )


def _newest(settings: Settings, key: str, definition: str | None, progress: Progress) -> str:
    runs = [
        run
        for run in read_runs(settings, key=key, progress=progress).by_id.values()
        if run.key == key and definition in (None, run.definition)
    ]
    if not runs:
        if definition is not None:
            require_definition(read_log(settings), definition)
        raise Rejected("run_unknown", f"expected a run of {key} but there is none; `runs list` shows all runs")
    return max(runs, key=lambda run: (run.last_ms, run.run)).run


def timeline(history: list[Transition]) -> str:
    """A run's transitions as people read them: when, which step, what."""
    first = history[0]
    lines = _head(history)
    # What happened says all of a run that only computes; attempts, items and children are better seen at once, too.
    called = {
        name: step
        for name, step in progress_of(history).items()
        if step.attempts or step.children or step.total is not None or step.approval
    }
    if called:
        lines += ["", *_steps(called)]
    lines += [""]
    if first.seq > 1:
        lines += [f"(the first {first.seq - 1} transitions are no longer kept)", ""]
    width = max(len(transition.address) for transition in history)
    for transition in history:
        since = output.length(transition.at_ms - first.at_ms)
        lines.append(f"{transition.seq:>4}  +{since:<12} {transition.address:<{width}}  {told(transition)}".rstrip())
    return "\n".join(lines)


def _head(history: list[Transition]) -> list[str]:
    first, summary = history[0], summary_of(history)
    status = (
        f"stopping, will be {summary.stopping}" if summary.stopping and summary.status == "open" else summary.status
    )
    lines = [f"run         {first.run}", f"definition  {first.definition}@{first.version}"]
    lines += [f"key         {visible(first.key)}"]
    lines += [f"status      {status}" + (f": {visible(_where(summary))}" if _where(summary) else "")]
    lines += [
        f"took        {output.length(summary.last_ms - summary.started_ms)} from "
        f"{output.local_time(summary.started_ms)}"
    ]
    if summary.correlation_id:
        lines += [f"correlation {summary.correlation_id}"]
    if summary.trace_id:
        lines += [f"trace       {summary.trace_id}"]
    if isinstance(first.data, RunStarted) and first.data.parent is not None:
        lines += [f"parent      {first.data.parent.run}, step {first.data.parent.address}"]
    return lines


def _steps(steps: dict[str, StepProgress]) -> list[str]:
    rows = [(name, _state(step), str(step.attempts or ""), _more(step)) for name, step in steps.items()]
    return output.table(("step", "state", "attempts>", "what"), rows, "no step has begun").splitlines()


def _state(step: StepProgress) -> str:
    return (
        f"{step.state}, {step.outcome}" if step.state == "done" and step.outcome not in (None, "done") else step.words()
    )


def _more(step: StepProgress) -> str:
    """What else there is to know of a step."""
    said = [step.parked_detail] if step.state == "parked" and step.parked_detail else []
    if step.operation:
        said.append(step.operation)
    if step.total is not None and step.state != "listing":
        said.append(f"{step.done} of {step.total} items" + (f", {step.failed} failed" if step.failed else ""))
    if step.error is not None and (step.state != "done" or step.outcome in NO_OUTCOME):
        said.append(
            f"last error {step.error.code}: {step.error.message}"
            + (f" (item {step.error.item})" if step.error.item is not None else "")
        )
    if step.children:
        said.append(
            f"child {', '.join(step.children[-3:])}"
            + (f" and {len(step.children) - 3} more" if len(step.children) > 3 else "")
        )
    if step.approval is not None and step.state == "awaiting_approval":
        said.append(f"{' or '.join(step.approval.who)} may decide: {step.approval.text}")
    if step.decided is not None:
        said.append(f"{step.decided.decision} by {step.decided.by}")
    if step.until_ms is not None:
        said.append(f"until {output.local_time(step.until_ms)[:19]}")
    return "; ".join(said)


def _drawn(settings: Settings, history: list[Transition]) -> str:
    """The definition of a run as Mermaid text, with how far it is. Raises Rejected if it is no longer published."""
    first, log = history[0], read_log(settings)
    version = log.versions.get((first.definition, first.version))
    if version is None or version.sha not in log.contents:
        raise Rejected(
            "version_unknown",
            f"expected {first.definition}@{first.version} among the published definitions but it no longer exists",
        )
    served = log.read_version(first.definition, first.version)
    return mermaid(*served, overlay=step_states(history)).rstrip()


app.command(
    "start",
    epilog=examples(
        "runs start january.yaml --fetch out",
        "runs start order-fulfilment --key A-7 --data @definitions/order-fulfilment/samples/placed.json",
        "runs start sales-report --key 2026-01 --id january --wait --timeout 60 --json",
    ),
)(start)
app.command("watch", epilog=examples("runs watch", "runs watch --definition order-fulfilment --all"))(watch)
run_approvals.add_to(app)
run_requests.add_to(app)
runs_erase.add_to(app)
