"""`streamflow runs`: what the topic `runs` tells, and the requests that people have."""

from __future__ import annotations

from typing import Annotated

import typer

from streamflow.cli import output, run_requests
from streamflow.cli.output import examples
from streamflow.cli.runs_watch import watch
from streamflow.cli.session import session_of
from streamflow.cli.timeline import told
from streamflow.engine.transitions import Transition
from streamflow.errors import Rejected
from streamflow.ops.history import STATUSES, RunSummary, read_history, read_runs
from streamflow.ops.reading import Progress
from streamflow.settings import Settings

app = typer.Typer(help="Look at runs, start them, and help parked ones on.", no_args_is_help=True, rich_markup_mode=None)

Named = Annotated[str | None, typer.Option("--definition", help="only runs of this definition")]


@app.command("list", epilog=examples("runs list", "runs list --definition order-fulfilment --status parked", "runs list --key A-1 --json"))
def list_(
    ctx: typer.Context,
    definition: Named = None,
    status: Annotated[str | None, typer.Option(help=f"only runs that are {', '.join(STATUSES)}")] = None,
    key: Annotated[str | None, typer.Option(help="only runs of this business key; reads one partition only")] = None,
    limit: Annotated[int, typer.Option(min=1, help="at most so many, the ones that moved last")] = 50,
    ids_only: Annotated[bool, typer.Option("--ids", help="only the run ids, one a line")] = False,
) -> None:
    """Lists runs, the ones that moved last first, and counts all that fit."""
    if status is not None and status not in STATUSES:
        raise Rejected("status_unknown", f"expected one of {', '.join(STATUSES)} but found {status}; do choose one of them")
    session = session_of(ctx)
    with output.reading("reading runs") as progress:
        runs = read_runs(session.settings, key=key, progress=progress)
    fit = [
        run
        for run in runs.by_id.values()
        if (definition is None or run.definition == definition) and (status is None or run.status == status) and (key is None or run.key == key)
    ]
    fit.sort(key=lambda run: (run.last_ms, run.run), reverse=True)
    shown = fit[:limit]
    if ids_only and not session.json:
        for run in shown:
            output.say(run.run)
        return
    counts = {each: sum(run.status == each for run in fit) for each in STATUSES}
    rows = [(run.run, f"{run.definition}@{run.version}", run.key, run.status, _where(run), str(run.seq), output.local_time(run.last_ms)) for run in shown]
    text = output.table(("run", "definition", "key", "status", "where", "seq>", "last moved"), rows, "no run fits")
    session.show(
        {"runs": [run.facts() for run in shown], "counts": counts, "total": len(fit)},
        text + "\n\n" + f"{len(fit)} runs: " + ", ".join(f"{count} {name}" for name, count in counts.items() if count) if fit else text,
    )


def _where(run: RunSummary) -> str:
    return run.ended if not run.at and run.status not in ("open", "parked") else ", ".join(f"{step} ({how})" for step, how in run.at.items())


@app.command(epilog=examples("runs show 4f2a91c0-5d0c7a1b2c3d4e5f6071", "runs show --key A-1", "runs show --key A-1 --json"))
def show(
    ctx: typer.Context,
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="a run id, as `runs list` shows it")] = None,
    key: Annotated[str | None, typer.Option(help="instead of a run id: the run of this business key that moved last")] = None,
    definition: Named = None,
) -> None:
    """Shows everything that happened in a run, in order."""
    if (run is None) == (key is None):
        raise Rejected("run_or_key", "expected a run id or --key but found both or neither; do give one of them")
    session = session_of(ctx)
    with output.reading("reading runs") as progress:
        if run is None:
            assert key is not None
            run = _newest(session.settings, key, definition, progress)
        history = read_history(session.settings, run, progress)
    session.show([{"type": transition.type} | output.plain(transition) for transition in history], timeline(history))


def _newest(settings: Settings, key: str, definition: str | None, progress: Progress) -> str:
    runs = [run for run in read_runs(settings, key=key, progress=progress).by_id.values() if run.key == key and definition in (None, run.definition)]
    if not runs:
        raise Rejected("run_unknown", f"expected a run of {key} but there is none; `runs list` shows the runs that are there")
    return max(runs, key=lambda run: (run.last_ms, run.run)).run


def timeline(history: list[Transition]) -> str:
    """A run's transitions as people read them: when, which step, what."""
    first, summary = history[0], RunSummary(history[0].run, history[0].definition, history[0].version, history[0].key)
    for transition in history:
        summary.take(transition)
    lines = [f"run         {first.run}", f"definition  {first.definition}@{first.version}", f"key         {first.key}"]
    lines += [f"status      {summary.status}" + (f": {_where(summary)}" if _where(summary) else "")]
    lines += [f"took        {output.length(summary.last_ms - summary.started_ms)} from {output.local_time(summary.started_ms)}", ""]
    if first.seq > 1:
        lines += [f"(the first {first.seq - 1} transitions are no longer kept)", ""]
    width = max(len(transition.step or "") for transition in history)
    for transition in history:
        since = output.length(transition.at_ms - first.at_ms)
        lines.append(f"{transition.seq:>4}  +{since:<12} {transition.step or '':<{width}}  {told(transition)}".rstrip())
    return "\n".join(lines)


app.command("watch", epilog=examples("runs watch", "runs watch --definition order-fulfilment --all"))(watch)
run_requests.add_to(app)
