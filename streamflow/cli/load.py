"""`streamflow load`: scenarios of a published definition, sent to the real topics at a rate."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamflow.cli import output
from streamflow.cli.definitions_simulate import Only
from streamflow.cli.lag import age
from streamflow.cli.live_line import LiveLine
from streamflow.cli.output import examples
from streamflow.cli.scenario_sets import published
from streamflow.cli.session import EXIT_INTERRUPTED, Session, session_of
from streamflow.definition.catalog import Catalog
from streamflow.engine.commands import StartRun
from streamflow.errors import Rejected
from streamflow.kafka.publication import read_log
from streamflow.kafka.snapshot import Snapshot
from streamflow.load.rate import parse_rate

if TYPE_CHECKING:
    from streamflow.load.load_run import Board
    from streamflow.load.plan import Plan
    from streamflow.load.report import Report

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    epilog=examples(
        "load --definition order-fulfilment --rate 20/s --seconds 30",
        "load --definition order-fulfilment --rate 200/s --seconds 60 --only small --json",
        "load --definition order-fulfilment --rate 1000/min --dry-run",
    )
)
def load(
    ctx: typer.Context,
    definition: Annotated[str, typer.Option("--definition", metavar="NAME", help="a published definition")],
    rate: Annotated[
        str, typer.Option("--rate", help="scenarios started a second (200/s), a minute or an hour")
    ] = "10/s",
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.1, max=2_592_000, help="how long scenarios are started, in seconds")
    ] = 60.0,
    keys: Annotated[
        int | None,
        typer.Option(
            "--keys", min=1, help="number of business keys that the scenarios share; by default each has its own"
        ),
    ] = None,
    only: Only = None,
    scenarios: Annotated[
        Path | None,
        typer.Option("--scenarios", metavar="FILE", help="scenario file to use instead of the published scenarios"),
    ] = None,
    gap_s: Annotated[
        float, typer.Option("--gap", min=0, max=86_400, help="seconds between two events of a scenario")
    ] = 1.0,
    longest_wait_s: Annotated[
        float, typer.Option("--longest-wait", min=0, help="leave out scenarios that take longer, in seconds")
    ] = 30.0,
    mark: Annotated[
        str | None, typer.Option("--mark", help="prefix of every key and id; load-<six letters>- by default")
    ] = None,
    drain_s: Annotated[float, typer.Option("--drain", min=0, help="seconds to wait for the last runs to end")] = 30.0,
    real_calls: Annotated[
        bool, typer.Option("--real-calls", help="runs may make the real calls of their definition")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what would be sent, without sending it")] = False,
) -> None:
    """Sends scenarios of a definition to the real topics at a steady rate, follows its runs, and shows how long they
    took: an open loop, so slow runs do not delay events. Ctrl-C ends it and shows the results so far. Every key and
    event id begins with a mark, so that the runs can be found later. Scenarios in which a person decides are left out;
    without scenarios, events are made from the schemas."""
    # with all of the engine: only for those who need it
    from streamflow.load.plan import Asked, plan_load, require_leave_to_call
    from streamflow.simulation.instances import Naming

    session = session_of(ctx)
    mark = f"load-{secrets.token_hex(3)}-" if mark is None else mark
    _require_mark(mark)
    naming = Naming(mark=mark, keys=keys, first_id=secrets.randbelow(1 << 52))
    asked = Asked(rate=parse_rate(rate), seconds=seconds, gap_s=gap_s, longest_wait_s=longest_wait_s, naming=naming)
    log = read_log(session.installation)
    given = published(log, definition, scenarios, only)
    require_leave_to_call(given.definition, given.children, granted=real_calls or dry_run)
    plan = plan_load(given.scenarios, given.answers, given.definition, given.catalog, asked, given.children)
    for name, why in plan.left_out:
        output.warn(f"left out: {name}: {why}")
    if dry_run:
        session.show(_intended(definition, plan), _intended_text(definition, plan))
        return
    report = _performed(session, log, definition, plan, given.catalog, drain_s)
    session.show(report.facts(), _table(report))
    if not report.kept_up and not report.interrupted:
        output.warn(_behind(report))
    if report.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)


def _require_mark(mark: str) -> None:
    if not mark or not mark.isprintable() or len(mark.encode()) > 64:
        raise Rejected("mark_invalid", f"{mark[:100]!r} is not a mark. Give 1 to 64 printable characters.")


def _performed(
    session: Session, log: Snapshot, definition: str, plan: Plan, catalog: Catalog, drain_s: float
) -> Report:
    from streamflow.load.generator import Load
    from streamflow.load.load_run import perform

    load = Load(
        settings=session.settings,
        definition=definition,
        plan=plan,
        catalog=catalog,
        start=_start(log, definition, plan),
    )
    output.note(f"every key begins with {plan.asked.naming.mark}; Ctrl-C ends the load and reports")
    with LiveLine() as line:

        def show(board: Board) -> None:
            if line.due:
                line.update(_line(board))

        return perform(load, drain_s=drain_s, show=show, warn=output.warn)


def _start(log: Snapshot, definition: str, plan: Plan) -> StartRun | None:
    """What a request for a run looks like, checked once. Raises Rejected, as for `runs start`."""
    from streamflow.ops.starts import request

    for script in plan.scripts:
        for action in script.instances.scenario(0).do:
            if action.start is not None:
                return request(log, definition, key=action.start.key, data=action.start.input).command
    return None


def _line(board: Board) -> str:
    behind = f"; {board.behind_s:.1f} s behind its plan" if board.behind_s > 0.1 else ""
    return (
        f"{board.phase}, {board.passed_s:.0f} s: {board.begun} scenarios begun, {board.accepted} events accepted, "
        f"{board.started} runs started, {board.ended} ended{behind}"
    )


def _intended(definition: str, plan: Plan) -> dict[str, Any]:
    asked = plan.asked
    return {
        "definition": definition,
        "mark": asked.naming.mark,
        "rate": asked.rate,
        "seconds": asked.seconds,
        "instances": plan.count,
        "events": round(plan.count * plan.events_per_instance),
        "expected": dict(plan.expected(plan.count)),
        "scenarios": [
            {
                "name": script.name,
                "at_s": [moment.at_s for moment in script.moments],
                "events": script.volume.events.records,
                "bytes": script.volume.events.bytes,
                "commands": script.volume.commands.records,
                "transitions": script.volume.transitions.records,
                "first": script.instances.scenario(0).do[script.moments[0].place].model_dump(exclude_unset=True),
            }
            for script in plan.scripts
        ],
        "left_out": [{"name": name, "reason": why} for name, why in plan.left_out],
    }


def _intended_text(definition: str, plan: Plan) -> str:
    facts = _intended(definition, plan)
    rows = [
        (one["name"], str(len(one["at_s"])), str(one["bytes"]), str(one["commands"]), str(one["transitions"]))
        for one in facts["scenarios"]
    ]
    table = output.table(("scenario", "events>", "bytes>", "commands>", "transitions>"), rows, "")
    runs = ", ".join(f"{count} {status}" for status, count in facts["expected"].items()) or "none"
    return (
        f"{definition}: {facts['instances']} scenarios in {plan.asked.seconds:g} s, which is {facts['events']} events; "
        f"keys begin with {facts['mark']}; nothing is sent\n{table}\nruns that are expected: {runs}\n"
        f"first: {facts['scenarios'][0]['first']}"
    )


def _table(report: Report) -> str:
    from streamflow.load.tally import LATENCIES

    ended = "interrupted: " if report.interrupted else ""
    lines = [
        f"{ended}{report.definition}: {report.begun} scenarios begun in {report.seconds:.1f} s, "
        f"{report.achieved_rate:.1f}/s of {report.asked_rate:g}/s that were asked for; keys begin with {report.mark}",
        f"events: {report.events_sent} sent, {report.events_accepted} accepted{_refused(report)}",
    ]
    statuses = list(dict.fromkeys([*report.expected, *report.ended]))
    counts = [f"{report.ended.get(status, 0)} {status}" for status in statuses if status != "open"]
    lines.append(f"runs: {report.started} started, {', '.join([*counts, f'{report.open} open'])}{_parked(report)}")
    expected = ", ".join(f"{count} {status}" for status, count in report.expected.items())
    lines.append(f"the scenarios have: {expected or 'no run'}")
    rows: list[Sequence[str]] = []
    for name, what in LATENCIES.items():
        found = report.latencies[name]
        if found is not None:
            shown = (found.p50, found.p90, found.p99, found.p999, found.max)
            rows.append((what, str(found.count), *(f"{value:.1f}" for value in shown)))
    heads = ("milliseconds from the intended time", "count>", "p50>", "p90>", "p99>", "p99.9>", "max>")
    lines += ["", output.table(heads, rows, "nothing was measured")]
    if report.lag is not None:
        waiting = [(role, topic, str(records), age(seconds)) for role, topic, records, seconds in report.lag]
        lines += ["", output.table(("lag at the end", "topic", "records>", "seconds>"), waiting, "no topic is read")]
    return "\n".join(lines)


def _refused(report: Report) -> str:
    found = [f"{count} refused ({error})" for error, count in report.events_refused.items()]
    return f", {', '.join(found)}" if found else ""


def _parked(report: Report) -> str:
    return f", {report.parked} of them parked" if report.parked else ""


def _behind(report: Report) -> str:
    late = report.latencies["lateness"]
    said = f"this generator reached {report.achieved_rate:.1f}/s of {report.asked_rate:g}/s"
    missed = f", {report.missed} scenarios did not begin" if report.missed else ""
    lateness = f", and sent one event in a hundred more than {late.p99:.0f} ms late" if late is not None else ""
    return f"{said}{missed}{lateness}; latencies include that. Lower the rate, or run several generators"
