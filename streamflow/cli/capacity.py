"""`streamflow capacity`: from a definition and a rate to workers, partitions, memory, disk and the broker's traffic."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamflow.cli import output
from streamflow.cli.definitions_simulate import Only
from streamflow.cli.output import examples
from streamflow.cli.scenario_sets import ScenarioSet, in_folder, published
from streamflow.cli.session import Session, session_of
from streamflow.errors import Rejected
from streamflow.load.rate import parse_rate
from streamflow.settings import Settings

if TYPE_CHECKING:
    from streamflow.capacity.demand import Installation
    from streamflow.capacity.figure import Figure
    from streamflow.capacity.workload import Workload

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_MARKS = ("v", "90")  # of keys that are texts, and of those that are numbers
_SEGMENT_HOURS = 168.0  # Kafka's default
_STATE_SEGMENT_BYTES = 64 << 20
_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


@app.command(
    epilog=examples(
        "capacity --definition definitions/order-fulfilment --rate 500/s",
        "capacity --definition order-fulfilment --rate 500/s --average 80/s --wait-hours 72 --explain",
        "capacity --definition order-fulfilment --rate 500/s --calibrate --json",
    )
)
def capacity(
    ctx: typer.Context,
    definition: Annotated[
        str, typer.Option("--definition", metavar="NAME|FOLDER", help="a published definition, or a folder with one")
    ],
    rate: Annotated[str, typer.Option("--rate", help="runs started a second (500/s) at peak")],
    average: Annotated[
        str | None, typer.Option("--average", help="average rate over a month, for disks; --rate by default")
    ] = None,
    wait_hours: Annotated[
        float, typer.Option("--wait-hours", min=0, max=876_000, help="average hours from start to end of a run")
    ] = 0.0,
    call_s: Annotated[
        float, typer.Option("--call-seconds", min=0, max=86_400, help="average seconds of a call to an external system")
    ] = 0.1,
    utilisation: Annotated[
        float, typer.Option("--utilisation", min=0.05, max=0.95, help="share of a core that a worker may use at peak")
    ] = 0.5,
    restore_s: Annotated[
        float | None,
        typer.Option(
            "--restore-seconds", min=1, max=86_400, help="seconds in which all state must be restored on empty disks"
        ),
    ] = None,
    replicas: Annotated[
        int | None, typer.Option("--replicas", min=1, help="replicas of topics; topics.replication_factor by default")
    ] = None,
    only: Only = None,
    scenarios: Annotated[
        Path | None,
        typer.Option("--scenarios", metavar="FILE", help="scenario file to use instead of the definition's own"),
    ] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="measure the speed of this machine first (some seconds)")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="show each formula with its numbers and their sources")
    ] = False,
) -> None:
    """Computes the workers, partitions, memory and disks for a rate of runs. The cost of a run is counted by playing
    the definition's scenarios in the simulator; the cost of a record was measured. With a folder no broker is
    needed."""
    # with all of the engine: only for those who need it
    from streamflow.capacity.calibration import calibrated_us, speed_of
    from streamflow.capacity.demand import Demand
    from streamflow.capacity.measured import MEASURED
    from streamflow.capacity.sizing import size

    session = session_of(ctx)
    peak = parse_rate(rate)
    mean = peak if average is None else parse_rate(average)
    if mean > peak:
        raise Rejected("rate_invalid", f"--average {average} is above --rate {rate}. Give the peak rate to --rate.")
    settings, given = _given(session, definition, scenarios, only)
    work = _counted(given)
    speed = 1.0
    if calibrate:
        output.note("measuring the speed of this machine")
        speed = speed_of(MEASURED, calibrated_us())
    demand = Demand(
        rate=peak,
        average_rate=mean,
        wait_hours=wait_hours,
        call_s=call_s,
        utilisation=utilisation,
        restore_s=restore_s,
        speed=speed,
    )
    figures = size(work, demand, _installation(settings, replicas), MEASURED)
    facts = {
        "definition": work.definition,
        "a_run": asdict(work),
        "asked": asdict(demand),
        "measured": asdict(MEASURED),
        "figures": [asdict(figure) for figure in figures],
    }
    session.show(facts, _explained(work, figures) if explain else _table(work, figures))


def _given(session: Session, definition: str, file: Path | None, only: str | None) -> tuple[Settings, ScenarioSet]:
    path = Path(definition)
    if path.exists():
        return session.known, in_folder(path, file, only)
    from streamflow.kafka.publication import read_log  # with Kafka's clients

    settings = session.installation
    return settings, published(read_log(settings), definition, file, only)


def _counted(given: ScenarioSet) -> Workload:
    """What a run costs. Scenarios that cannot be counted are left out, with a warning."""
    from streamflow.capacity.workload import workload_of
    from streamflow.simulation.instances import Naming
    from streamflow.simulation.volume import Volume, measure_volume

    volumes: list[Volume] = []
    for scenario in given.scenarios:
        for mark in _MARKS:
            try:
                volumes.append(
                    measure_volume(
                        scenario, given.definition, given.catalog, given.answers, given.children, Naming(mark=mark)
                    )
                )
                break
            except Rejected as error:
                if error.code == "mark_not_numeric" and mark != _MARKS[-1]:
                    continue
                output.warn(f"left out: {scenario.name}: {error.message}")
                break
    return workload_of(given.definition.name, volumes)


def _installation(settings: Settings, replicas: int | None) -> Installation:
    from streamflow.capacity.demand import Installation

    return Installation(
        partitions=settings.topics.partitions,
        replicas=settings.topics.replication_factor if replicas is None else replicas,
        commands_hours=settings.topics.commands_retention_hours,
        runs_hours=settings.topics.runs_retention_hours,
        window_hours=settings.limits.window_hours,
        segment_hours=_SEGMENT_HOURS,
        state_segment_bytes=_STATE_SEGMENT_BYTES,
        write_buffer_bytes=settings.engine.store_write_buffer_bytes,
        block_cache_bytes=settings.engine.store_block_cache_bytes,
        in_flight={name: lane.in_flight for name, lane in settings.tasks.lanes.items()},
    )


def _table(work: Workload, figures: tuple[Figure, ...]) -> str:
    rows = [(figure.group, figure.name, _shown(figure)) for figure in figures]
    return "\n".join([_head(work), "", output.table(("for", "what", "how much>"), rows, ""), "", _foot()])


def _explained(work: Workload, figures: tuple[Figure, ...]) -> str:
    parts = [_head(work), ""]
    for figure in figures:
        parts += [
            f"{figure.group}: {figure.name} = {_shown(figure)}",
            f"  {figure.formula}",
            f"  = {figure.numbers}",
            f"  ({figure.source})",
        ]
    return "\n".join([*parts, "", _foot()])


def _head(work: Workload) -> str:
    kinds = [
        ("events", work.events.records, work.events.bytes),
        ("commands", work.commands.records, work.commands.bytes),
        ("transitions", work.transitions.records, work.transitions.bytes),
        *((f"attempts in {lane}", cost.records, cost.bytes) for lane, cost in work.attempts.items()),
        ("state while it waits", work.waiting.records, work.waiting.bytes),
        ("state when it has ended", work.kept.records, work.kept.bytes),
    ]
    rows = [(name, f"{records:.4g}", f"{bytes_:.0f}") for name, records, bytes_ in kinds]
    count = len(work.scenarios)
    return f"{work.definition}, the mean of {count} scenario{'s' if count > 1 else ''}:\n" + output.table(
        ("a run has", "records>", "bytes>"), rows, ""
    )


def _foot() -> str:
    from streamflow.capacity.measured import MEASURED

    return (
        f"Processor times, memory and restores were measured on {MEASURED.date}, {MEASURED.machine}, "
        f"{MEASURED.conditions}. Run at least two workers of each role, so that one may fail. docs/capacity.md says "
        "what each figure leaves out; `streamflow load` measures the real installation."
    )


def _shown(figure: Figure) -> str:
    if figure.unit in ("bytes", "bytes/s"):
        value, place = figure.value, 0
        while value >= 1000 and place < len(_UNITS) - 1:
            value, place = value / 1000, place + 1
        return f"{value:.3g} {_UNITS[place]}" + ("/s" if figure.unit == "bytes/s" else "")
    if figure.unit in ("workers", "partitions", "runs"):
        return f"{figure.value:,.0f}"
    number = f"{figure.value:,.0f}" if figure.value >= 100 else f"{figure.value:.3g}"
    return f"{number} {figure.unit}".rstrip()
