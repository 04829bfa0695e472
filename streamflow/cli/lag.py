"""`streamflow lag`: how far the workers are behind."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from streamflow.cli import output
from streamflow.cli.output import examples
from streamflow.cli.session import session_of
from streamflow.kafka.publication import read_log
from streamflow.ops.lag import measure_lag, states, totals

app = typer.Typer(rich_markup_mode=None)


@app.command(epilog=examples("lag", "lag --partitions", "lag --json"))
def lag(
    ctx: typer.Context,
    partitions: Annotated[bool, typer.Option("--partitions", help="a line for each partition")] = False,
) -> None:
    """Shows how far the engine is behind in commands, ingress in the users' topics, and task workers in their lanes:
    records that are not worked on, seconds since the first of them came, and what keeps a topic from being read."""
    session = session_of(ctx)
    found = measure_lag(session.settings, read_log(session.settings))
    if partitions:
        rows = [
            (
                each.role,
                each.topic,
                "all" if each.partition < 0 else str(each.partition),
                "never" if each.committed is None else str(each.committed),
                str(each.end),
                str(each.records),
                f"{each.seconds:.1f}",
                each.state,
            )
            for each in found
        ]
        text = output.table(
            ("worker", "topic", "partition>", "committed>", "end>", "records>", "seconds>", "state"),
            rows,
            "no topic is read yet",
        )
    else:
        wrong = states(found)
        summed = [
            (role, topic, str(records), f"{seconds:.1f}", wrong.get((role, topic), ""))
            for (role, topic), (records, seconds) in totals(found).items()
        ]
        text = output.table(("worker", "topic", "records>", "seconds>", "state"), summed, "no topic is read yet")
    session.show([asdict(each) for each in found], text)
