"""`streamflow definitions simulate`: plays the scenarios beside definitions, in virtual time and without a broker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamflow.cli import definition_files, places
from streamflow.cli.definition_files import Checked
from streamflow.cli.output import examples
from streamflow.cli.session import EXIT_AUTHOR, session_of
from streamflow.definition.catalog import Catalog
from streamflow.definition.content import canonical, child_names, sha256_of
from streamflow.definition.lines import Lines
from streamflow.definition.model import Definition
from streamflow.errors import Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.ops.catalog import CatalogResolver, child_of
from streamflow.ops.scenarios import Performance, perform

if TYPE_CHECKING:
    from streamflow.simulation.scenarios import Scenarios

Only = Annotated[
    str | None, typer.Option("--only", metavar="TEXT", help="only scenarios whose name contains this")
]  # of every command that plays scenarios


@dataclass(frozen=True, slots=True)
class Simulated:
    """The scenarios of one definition, as they were played."""

    file: Path
    definition: Definition
    performance: Performance

    @property
    def ok(self) -> bool:
        return self.performance.ok


def simulate(
    ctx: typer.Context,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER...",
            help="folders with definition.yaml and scenarios.yaml, or folders of such folders",
        ),
    ],
    catalog: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|FOLDER",
            help="catalog for all of them, a file or a folder of files; default: catalog.yaml beside each",
        ),
    ] = None,
    only: Only = None,
    histories: Annotated[bool, typer.Option("--history", help="also show the history of every run")] = False,
) -> None:
    """Plays scenarios: events, answers of operations, and the expected results. Needs no broker; simulated days take
    milliseconds."""
    found = [simulated(source, only) for path in paths for source in _with_scenarios(path, catalog)]
    session_of(ctx).show(
        [_facts(each) for each in found], "\n\n".join(_told(each, histories=histories) for each in found)
    )
    if not all(each.ok for each in found):
        raise typer.Exit(EXIT_AUTHOR)


def simulated(source: definition_files.Source, only: str | None = None) -> Simulated:
    """Plays the scenarios beside `source`. Raises DefinitionError, or Rejected when there are none."""
    file = source.definition.parent / definition_files.SCENARIOS
    definition, catalog, children = with_children(source)
    scenarios, lines = _read(file)
    return Simulated(file, definition, perform(scenarios, lines, definition, catalog, children=children, only=only))


def with_children(source: definition_files.Source) -> tuple[Definition, Catalog, list[tuple[Definition, Catalog]]]:
    """The definition of `source`, its catalog, and what it starts, from the folders beside its own, each after those
    that it starts itself. Raises DefinitionError, Rejected."""
    around = CatalogResolver(Snapshot)
    children = _children(source, around)
    definition, catalog = _usable(definition_files.load(source, complete=around.complete))
    return definition, catalog, children


def add_to(app: typer.Typer) -> None:
    """The verb of this module, as a command of `app`."""
    app.command(
        "simulate",
        epilog=examples("definitions simulate definitions/fraud-detection", "definitions simulate definitions --json"),
    )(simulate)


def _with_scenarios(path: Path, catalog: Path | None) -> list[definition_files.Source]:
    """The definitions at `path`; of a folder of folders those with scenarios. Raises Rejected when there is none."""
    found = definition_files.find(path, catalog)
    named = [source for source in found if (source.definition.parent / definition_files.SCENARIOS).is_file()]
    return named or found[:1]  # whose missing file is told


def _children(source: definition_files.Source, around: CatalogResolver) -> list[tuple[Definition, Catalog]]:
    """What the definition of `source` starts, and what that starts, from the folders beside its own; `around` has later
    ones find them."""
    if not child_names(definition_files.read_definition(source.definition)):
        return []
    found: dict[tuple[str, str], tuple[Definition, Catalog]] = {}
    shared = source.catalog if source.catalog != source.definition.parent / places.CATALOG else None
    beside = definition_files.in_order(definition_files.find(source.definition.parent.parent, shared))
    for other in beside[: beside.index(source)] if source in beside else beside:
        checked = definition_files.load(other, complete=around.complete)
        if checked.ok and checked.definition is not None and checked.catalog is not None:
            content = canonical(checked.definition, checked.catalog)
            around.add(child_of(content, sha256_of(content), checked.catalog))
            found[checked.definition.name, checked.definition.version] = (checked.definition, checked.catalog)
    wanted, left = set[tuple[str, str]](), list(child_names(definition_files.read_definition(source.definition)))
    while left:
        name = left.pop()
        if name in found and name not in wanted:
            wanted.add(name)
            left += child_names(found[name][0])
    return [pair for name, pair in found.items() if name in wanted]


def _usable(checked: Checked) -> tuple[Definition, Catalog]:
    if not checked.ok or checked.definition is None or checked.catalog is None:
        raise places.invalid(checked.problems, "definition_invalid")
    return checked.definition, checked.catalog


def _read(file: Path) -> tuple[Scenarios, Lines]:
    from streamflow.simulation.scenarios import parse_scenarios

    if not file.is_file():
        raise Rejected("scenarios_missing", f"There is no {file}. Write one (docs/scenarios.md).")
    return places.read_file(file, parse_scenarios, "scenarios_invalid"), Lines(file.read_text())


def _facts(each: Simulated) -> dict[str, Any]:
    return {
        "file": str(each.file),
        "definition": each.definition.name,
        "version": each.definition.version,
        **each.performance.facts(),
    }


def _told(each: Simulated, *, histories: bool) -> str:
    failed = sum(not one.ok for one in each.performance.played)
    width = max(len(one.name) for one in each.performance.played)
    count = f"{len(each.performance.played)} scenario{'s' if len(each.performance.played) > 1 else ''}"
    went = f"{failed} did not go as expected" if failed else "as expected"
    lines = [f"{each.definition.name}@{each.definition.version}: {count}, {went}"]
    for one, faults in zip(each.performance.played, each.performance.faults, strict=True):
        first, *more = one.paths or ((),)
        lines.append(f"  {'ok    ' if one.ok else 'FAILED'}  {one.name:<{width}}  {' > '.join(first)}".rstrip())
        lines += [f"{'':<{width + 12}}{' > '.join(path)}" for path in more]
        lines += [f"          {each.file}:{fault.line}:{fault.column}: {fault.message}" for fault in faults]
        lines += [f"          {line}" for difference in one.differences for line in difference.splitlines()]
        lines += [f"          note: {note}" for note in one.notes]
        if histories:
            from streamflow.cli.runs import timeline

            lines += [
                f"    {line}".rstrip()
                for history in one.histories
                for line in ["", *timeline(list(history)).splitlines(), ""]
            ]
    if each.performance.untaken:
        lines.append(f"  never taken: {', '.join(each.performance.untaken)}")
    return "\n".join(lines)
