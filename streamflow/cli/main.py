"""The entry point `streamflow`: global options, the list of nouns, and errors as exit codes.

Exit codes: 0 done, 2 the author's error, 3 the caller's (wrong options too), 4 the outside world's, 70 ours, 130
interrupted.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from streamflow.cli.session import EXIT_CALLER, EXIT_INTERRUPTED, EXIT_OURS, Session
from streamflow.errors import Rejected, StreamflowError
from streamflow.kafka.interrupts import kept_interrupts


@dataclass(frozen=True, slots=True)
class Noun:
    """One word of the command line, and the module that is loaded when it is used: its `app` is a typer.Typer. The
    `help` of one with subcommands names them all behind a colon."""

    name: str
    module: str
    help: str


NOUNS: tuple[Noun, ...] = (
    Noun("demo", "streamflow.cli.demo", "See it run in under a minute; it leaves nothing behind. Also: authoring."),
    Noun(
        "drill",
        "streamflow.cli.drill",
        "Break its own workers on your Kafka or on one that it starts, and check every guarantee.",
    ),
    Noun("load", "streamflow.cli.load", "Load test: send a definition's scenarios at a rate, and measure the runs."),
    Noun("capacity", "streamflow.cli.capacity", "What a rate of runs needs: workers, partitions, memory, disks."),
    Noun("dev", "streamflow.cli.dev", "Kafka, topics and all workers on this machine, until Ctrl-C."),
    Noun("examples", "streamflow.cli.examples", "The definitions that come with Streamflow: list, copy."),
    Noun(
        "definitions",
        "streamflow.cli.definitions",
        "Definitions: check, simulate, shadow, approve, approvals, approval-key, publish, promote, rollback, "
        "list, show, diff, retire, diagram, import, functions.",
    ),
    Noun(
        "draft",
        "streamflow.cli.draft",
        "Drafts of definitions: write, edit, samples, apply, diff, gaps, explain, tools.",
    ),
    Noun(
        "eval",
        "streamflow.cli.eval",
        "Evaluate rules or a language model as author of definitions.",
    ),
    Noun("catalog", "streamflow.cli.catalog", "Catalogs of events from schemas: import, subjects."),
    Noun(
        "operations",
        "streamflow.cli.operations",
        "Operations and plugins: list, show, register, unregister, test, docs.",
    ),
    Noun("events", "streamflow.cli.events", "Events of the catalog: send, tail, unclaimed, counts, trace."),
    Noun(
        "runs",
        "streamflow.cli.runs",
        "Runs and approvals: list, show, watch, start, approvals, approve, reject, cancel, retry, "
        "skip, restart, fail, erase.",
    ),
    Noun(
        "dead-letters",
        "streamflow.cli.dead_letters",
        "Records that could not be used, and why: list, show, replay, drop.",
    ),
    Noun(
        "history",
        "streamflow.cli.history",
        "The history of runs and events: find, show, logs, statistics, trouble, status, rebuild, archive, archived, "
        "restore.",
    ),
    Noun("lag", "streamflow.cli.lag", "Show how far the workers are behind."),
    Noun("workers", "streamflow.cli.workers", "Show which workers are there, and what they serve."),
    Noun("exporter", "streamflow.cli.exporter", "Measure lag for Prometheus, outside the workers."),
    Noun("worker", "streamflow.cli.worker", "Run one worker: engine, ingress, tasks, history, mirror."),
    Noun("sidecar", "streamflow.cli.sidecar", "Run the HTTP process for people, callbacks and plugins."),
    Noun("commands", "streamflow.cli.commands", "Commands that block a partition: skip, skipped."),
    Noun("revisions", "streamflow.cli.revisions", "Revisions of the engine, for rolling upgrades: list, enable."),
    Noun("models", "streamflow.cli.models", "Language models: check, ask."),
    Noun("topics", "streamflow.cli.topics", "The fixed topics: plan, apply, verify, grow, generations, asyncapi."),
    Noun("access", "streamflow.cli.access", "Access control: users, grants, keys, sessions, subscriptions."),
    Noun("audit", "streamflow.cli.audit", "The audit log: list, verify."),
    Noun("settings", "streamflow.cli.settings", "Settings: reference and current values: show, docs."),
)


class _LazyGroup(typer.core.TyperGroup):
    """Loads a noun's module when the noun is used, so that help and completion do not wait for Kafka's clients."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [noun.name for noun in NOUNS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        noun = next((noun for noun in NOUNS if noun.name == cmd_name), None)
        return None if noun is None else typer.main.get_command(importlib.import_module(noun.module).app)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(noun.name, noun.help) for noun in NOUNS])


app = typer.Typer(
    add_completion=False,
    cls=_LazyGroup,
    name="streamflow",
    help="Business processes on your own Kafka. Global options may stand anywhere on the command line.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        try:
            typer.echo(version("streamflow-kafka"))
        except PackageNotFoundError:
            typer.echo("not installed")
        raise typer.Exit


@app.callback()
def _options(
    ctx: typer.Context,
    bootstrap: Annotated[
        str | None,
        typer.Option(help="Kafka to use, host:port[,host:port]; overrides STREAMFLOW_KAFKA__BOOTSTRAP_SERVERS"),
    ] = None,
    prefix: Annotated[
        str | None, typer.Option(help="prefix of every topic name; overrides STREAMFLOW_TOPICS__PREFIX")
    ] = None,
    environment: Annotated[
        str | None, typer.Option(metavar="NAME", help="name of the environment; overrides STREAMFLOW_ENVIRONMENT")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings; overrides STREAMFLOW_CONFIG")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print results and errors as JSON")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    session: Session = ctx.obj
    session.bootstrap, session.prefix, session.environment = bootstrap, prefix, environment
    session.config, session.json = config, as_json


# The global options, and whether a value follows.
_GLOBAL = {"--bootstrap": True, "--prefix": True, "--environment": True, "--config": True, "--json": False}


def _globals_first(arguments: Sequence[str]) -> list[str]:
    """The same line with its global options in front, where they are read: people write `topics plan --json`."""
    front: list[str] = []
    rest: list[str] = []
    left = list(arguments)
    while left:
        one = left.pop(0)
        if one == "--":
            rest += [one, *left]
            break
        name, equals, _ = one.partition("=")
        if name not in _GLOBAL:
            rest.append(one)
        else:
            front.append(one)
            if _GLOBAL[name] and not equals and left:
                front.append(left.pop(0))
    return front + rest


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line (this process's own by default) and returns its exit code."""
    line = _globals_first(sys.argv[1:] if arguments is None else arguments)
    session = Session(json="--json" in line)
    command = typer.main.get_command(app)
    for one in line:
        if one != one.encode(errors="replace").decode():  # bytes of no character came as halves of surrogate pairs
            return _show_usage(f"The argument {one!a} is not UTF-8.", as_json=session.json)
    try:
        with kept_interrupts():
            code = command.main(args=line, prog_name="streamflow", standalone_mode=False, obj=session)
        return code if isinstance(code, int) else 0
    except StreamflowError as error:
        return session.show_error(error)
    except typer.Exit as left:
        return left.exit_code
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    except typer.TyperException as error:
        return _show_usage(error.format_message(), as_json=session.json)
    except BrokenPipeError:
        # The reader has closed our output.
        return 0
    except Exception as error:  # noqa: BLE001 - the last frame: whatever comes here is a fault of ours
        traceback.print_exception(error)
        return EXIT_OURS


def _show_usage(said: str, *, as_json: bool) -> int:
    """A command line that cannot be read is the caller's error; one that stops at a noun is answered with that noun's
    help."""
    if not as_json and said.startswith("Usage:"):
        typer.echo(said, err=True)
    else:
        message = f"Invalid command line: {said.rstrip('.')}. See --help."
        Session(json=as_json).show_error(Rejected("usage", message))
    return EXIT_CALLER


if __name__ == "__main__":
    sys.exit(main())
