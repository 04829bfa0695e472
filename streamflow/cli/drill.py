"""`streamflow drill`: injects faults, on the user's Kafka or on one of its own, and checks every promise."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from streamflow.cli import output
from streamflow.cli.dev import with_bootstrap
from streamflow.cli.live_line import LiveLine
from streamflow.cli.output import examples
from streamflow.cli.session import Session, session_of
from streamflow.drill.drill import Board, Drill, Plan
from streamflow.drill.faults import FAULTS, chosen_faults, schedule
from streamflow.drill.setting import OWN_SESSION_S, SESSION_S, settings_for
from streamflow.drill.verdict import Verdict
from streamflow.kafka.embedded.broker import EmbeddedBroker
from streamflow.ops.log import configure_log
from streamflow.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    epilog=examples(
        "drill",
        "drill --break kill,state --seconds 12",
        "drill --bootstrap kafka-1:9092 --seconds 60 --json",
        "drill --seed 7 --rate 200 --seconds 300",
    )
)
def drill(
    ctx: typer.Context,
    breaks: Annotated[
        str,
        typer.Option(
            "--break",
            metavar="NAMES",
            help=f"faults to inject, separated by commas: {', '.join(FAULTS)}; all by default",
        ),
    ] = "",
    rate: Annotated[float, typer.Option(min=1, max=5000, help="events a second")] = 40.0,
    seconds: Annotated[
        float, typer.Option(min=1, help="how long events are sent and faults injected; the rest takes another 20 s")
    ] = 40.0,
    seed: Annotated[
        int | None, typer.Option(min=0, help="seed of events and schedule; random by default, and printed")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="keep topics, groups, logs and state")] = False,
) -> None:
    """Injects faults and checks that every promise holds: about a minute, on --bootstrap or on a Kafka of its own.
    Creates topics and groups under a prefix of its own, starts workers and load, injects faults only into these (and
    into its own broker, if it has one), and removes everything afterwards, also after Ctrl-C. The exit code is 0 if
    every promise was kept, and 1 if not."""
    session = session_of(ctx)
    given = session.given
    embedded = given.kafka.bootstrap_servers is None
    faults = chosen_faults(breaks, embedded=embedded)
    session_s = OWN_SESSION_S if embedded else SESSION_S
    seed = secrets.randbelow(1 << 31) if seed is None else seed
    plan = Plan(seed, rate, seconds, tuple(schedule(seed, faults, seconds, session_s)))
    prefix = f"drill-{secrets.token_hex(4)}." if session.prefix is None else session.prefix
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the clean-up is for both
    configure_log(given.model_copy(update={"log_level": "error"}))  # clients complain of what is broken here on purpose
    show = LiveLine()
    show.say(f"seed {seed}, prefix {prefix}, session timeout {session_s:g} s")
    for injection in plan.injections:
        show.say(f"  {injection}")
    with show:
        verdict = _played(given, plan, prefix, session_s, show, keep=keep)
    _tell(session, verdict)
    if not verdict.ok:
        raise typer.Exit(1)


def _played(given: Settings, plan: Plan, prefix: str, session_s: float, show: LiveLine, *, keep: bool) -> Verdict:
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(_folder(show, keep=keep))
        broker: EmbeddedBroker | None = None
        if given.kafka.bootstrap_servers is None:
            show.say("starting Kafka")
            broker = stack.enter_context(EmbeddedBroker(folder / "broker", progress=show.say))
            given = with_bootstrap(given, broker.bootstrap_servers)

        def tell(board: Board) -> None:
            show.update(_line(board))

        settings = settings_for(given, prefix, folder, session_s)
        one = Drill(settings, plan, session_s, broker, folder, tell, show.say)
        verdict: Verdict | None = None
        try:
            verdict = one.run()
        finally:
            one.end()
            if broker is None and one.environment.made:
                _removed(one, verdict, show, keep=keep)
        return verdict


def _removed(one: Drill, verdict: Verdict | None, show: LiveLine, *, keep: bool) -> None:
    prefix = one.settings.topics.prefix
    if keep:
        show.say(f"kept: the topics and groups that begin with {prefix}")
        return
    show.say("removing topics and groups; a second Ctrl-C leaves what is left")
    removed = one.environment.remove(one.session_s)
    if verdict is not None:
        verdict.removed = removed
    show.say(
        f"removed {removed.topics} topics and {removed.groups} groups; the broker forgets the transactional ids "
        f"{prefix}* by itself (after 7 days by default)"
    )
    for left in removed.left:
        output.warn(f"not removed: {left}")


@contextlib.contextmanager
def _folder(show: LiveLine, *, keep: bool) -> Iterator[Path]:
    """Where logs, stores and the drill's own broker are."""
    folder = Path(tempfile.mkdtemp(prefix="streamflow-drill-"))
    try:
        yield folder
    finally:
        if keep:
            show.say(f"kept: logs, state and the drill's own broker's data in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _tell(session: Session, verdict: Verdict) -> None:
    if session.json:
        output.say_json(verdict.as_json())
    else:
        output.say(verdict.table())


def _line(board: Board) -> str:
    broken = f" [{board.broken} is broken]" if board.broken else ""
    moving = f", nothing moved for {board.standstill_s:.1f} s in some partition" if board.standstill_s >= 1 else ""
    runs = f"{board.sent} events in, {board.started} runs started, {board.ended} ended, {board.open} open"
    return f"{board.phase}{broken}: {runs}{moving}; longest standstill {board.longest_s:.1f} s"
