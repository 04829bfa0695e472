"""`streamflow operations`: operations, the workers that serve them, and plugins."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from streamflow.cli import output
from streamflow.cli.operations_docs import EXAMPLES, markdown
from streamflow.cli.output import examples
from streamflow.cli.session import EXIT_AUTHOR, Session, session_of
from streamflow.definition.content import operation_names
from streamflow.definition.syntax import parse_as
from streamflow.errors import Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.publication import read_log, register_operation, unregister_operation
from streamflow.kafka.worker_registry import registered_workers
from streamflow.operations.plugin_testing import RegistrationFile, check_plugin
from streamflow.operations.registry import Registry, known_operations
from streamflow.ops.operations import described, healths

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None, help="Operations and plugins.")

File = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="registration: spec, plugin and samples, as YAML or JSON (docs/plugins.md)"),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="an operation, such as http.request")]
Endpoint = Annotated[str | None, typer.Option(metavar="URL", help="endpoint to use instead of the file's")]


@app.command("list", epilog=examples("operations list", "operations list --json"))
def list_(ctx: typer.Context) -> None:
    """Lists all operations with their origin, health, and the task workers that serve them. The health of plugins is
    checked now and from here; that of others is what the workers reported when they started."""
    session = session_of(ctx)
    listed = _listed(session)
    rows = [
        (
            one["name"],
            one["source"],
            one["lane"],
            _health_text(one["health"]),
            ", ".join(map(_worker_text, one["served_by"])) or "nobody",
        )
        for one in listed
    ]
    session.show(
        listed, output.table(("operation", "source", "lane", "health", "done by"), rows, "there are no operations")
    )


@app.command(epilog=examples("operations show http.request", "operations show fraud.score --json"))
def show(ctx: typer.Context, name: Name) -> None:
    """Shows an operation: its contract, its endpoint, and the workers that serve it."""
    session = session_of(ctx)
    found = next((one for one in _listed(session, name) if one["name"] == name), None)
    if found is None:
        raise Rejected(
            "operation_unknown", f"expected an operation but found {name}. See `streamflow operations list`."
        )
    lines = [f"{name} ({found['source']}, lane {found['lane']}, health: {_health_text(found['health'])})"]
    contract = found.get("contract", {})
    lines += [contract[part] for part in ("title", "description") if part in contract]
    if "plugin" in found:
        lines += [f"{part}: {value}" for part, value in found["plugin"].items()]
    lines += (
        [f"one attempt at most {contract['timeout']}, in the queue at most {contract['queue']}"] if contract else []
    )
    for part in ("input", "output"):
        if contract.get(part):
            lines += [f"{part}:", *(f"  {line}" for line in json.dumps(contract[part], indent=2).splitlines())]
    lines += ["errors:"] if contract.get("errors") else []
    lines += [
        f"  {one['id']}{'' if one['retryable'] else ' (not tried again)'}: {one.get('title', '')}".rstrip(": ")
        for one in contract.get("errors", [])
    ]
    lines += (
        ["done by:", *(f"  {_worker_text(one)}, lane {one['lane']}, on {one['host']}" for one in found["served_by"])]
        if found["served_by"]
        else []
    )
    session.show(found, "\n".join(lines))


@app.command(
    epilog=examples(
        "operations register plugin.yaml",
        "operations register plugin.yaml --endpoint http://fraud:8000/score",
        "operations register plugin.yaml --replace",
    )
)
def register(
    ctx: typer.Context,
    file: File,
    endpoint: Endpoint = None,
    replace: Annotated[bool, typer.Option("--replace", help="replace a plugin of the same name")] = False,
) -> None:
    """Registers a plugin; task workers serve it at once. A plugin of the same name is replaced only with
    `--replace`."""
    session = session_of(ctx)
    registration = _read(file, endpoint).registration()
    name = registration.spec.name
    registry = Registry(session.settings)
    installed = next((one for one in registry.registered() if one.spec.name == name), None)
    if installed is not None:
        raise Rejected(
            "operation_taken", f"expected the name {name} to be free but it is {installed.source}. Choose another."
        )
    health = healths(registry, {name: registration.model_dump(mode="json", by_alias=True, exclude_none=True)})[name]
    if not health.ok:
        output.warn(f"the plugin is not healthy, as checked from here: {health.detail}")
    value = registration.model_dump(mode="json", by_alias=True, exclude_none=True)
    recorded = register_operation(session.settings, name=name, registration=value, replace=replace)
    what = "was already registered" if recorded.offset is None else f"registered at offset {recorded.offset}"
    session.show(
        {"name": name, "offset": recorded.offset, "already": recorded.offset is None, "health": asdict(health)},
        f"{name} {what}",
    )


@app.command(epilog=examples("operations unregister fraud.score"))
def unregister(ctx: typer.Context, name: Name) -> None:
    """Removes a plugin. Calls of it are retried until their attempts are used up."""
    session = session_of(ctx)
    used = _users(read_log(session.settings), name)
    if used:
        output.warn(f"{name} is called by {', '.join(used)}, whose runs continue until they need it")
    recorded = unregister_operation(session.settings, name=name)
    session.show({"name": name, "offset": recorded.offset, "called_by": used}, f"{name} is no longer registered")


@app.command(
    "test",
    epilog=examples(
        "operations test plugin.yaml", "operations test plugin.yaml --endpoint http://localhost:8000/score"
    ),
)
def examine(ctx: typer.Context, file: File, endpoint: Endpoint = None) -> None:
    """Tests whether a plugin at its endpoint keeps its contract with task workers. Its samples are really executed.
    Needs no broker."""
    session = session_of(ctx)
    given = _read(file, endpoint)
    report = asyncio.run(check_plugin(given.registration(), [one.sample() for one in given.samples], session.given))
    facts = {"operation": report.operation, "ok": report.ok, "checks": [asdict(check) for check in report.checks]}
    session.show(facts, str(report))
    if not report.ok:
        raise typer.Exit(EXIT_AUTHOR)


def _read(file: Path, endpoint: str | None) -> RegistrationFile:
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Rejected("file_unreadable", f"expected a registration in {file} but {error}. Check the path.") from error
    given = parse_as(RegistrationFile, text)
    if endpoint is None:
        return given
    return parse_as(
        RegistrationFile,
        json.dumps(
            given.model_dump(mode="json", by_alias=True, exclude_unset=True) | {"plugin": _moved(given, endpoint)}
        ),
    )


def _moved(given: RegistrationFile, endpoint: str) -> dict[str, Any]:
    """Where the plugin is when it is at `endpoint`; its health address stays with the old one."""
    return given.plugin.model_dump(mode="json", exclude_unset=True, exclude={"health"}) | {"endpoint": endpoint}


def _listed(session: Session, only: str | None = None) -> list[dict[str, Any]]:
    """All operations as JSON would have them; the health of plugins (of `only`, if given) is asked."""
    settings = session.settings
    if settings.kafka.bootstrap_servers is None:
        output.note("no Kafka is named, so plugins and task workers are not shown")
        log, workers = Snapshot(), []
    else:
        log = read_log(settings)
        workers = registered_workers(settings, log)
    return described(settings, log, workers, only)


def _health_text(health: dict[str, Any] | None) -> str:
    if health is None:
        return "-"
    return "ok" if health["ok"] else f"not well: {health['detail']}"


def _worker_text(served: dict[str, Any]) -> str:
    since = output.local_time(served["since_ms"])[:19]
    return f"{served['instance']} since {since}" + ("" if served["present"] else " (gone)")


def _users(log: Snapshot, name: str) -> list[str]:
    """The published versions that call `name` and are not retired."""
    return [f"{one.name}@{one.version}" for one in log.served() if name in operation_names(one.definition)]


@app.command()
def docs(ctx: typer.Context) -> None:
    """Shows the reference of the operations that come with Streamflow, as in docs/operations-reference.md."""
    contracts = [
        spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        for spec in known_operations()
        if spec.name in EXAMPLES
    ]
    session_of(ctx).show(contracts, markdown().rstrip("\n"))
