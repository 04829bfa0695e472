"""`streamflow draft samples`: events that lead a definition along every branch, as scenarios."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamflow.cli import definition_files, output, places
from streamflow.cli.draft_text import CatalogFile, DraftFile, write_new, yaml_of
from streamflow.cli.output import examples
from streamflow.cli.session import EXIT_AUTHOR, session_of
from streamflow.definition.model import Definition
from streamflow.kafka.definitions import Snapshot
from streamflow.ops.catalog import CatalogResolver
from streamflow.ops.samples import player, scenario_of

if TYPE_CHECKING:
    from streamflow.authoring.samples import Samples


def samples(
    ctx: typer.Context,
    file: DraftFile,
    catalog: CatalogFile = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="the same seed gives the same events")] = 1,
    out: Annotated[Path | None, typer.Option("--out", help="file to write the scenarios to")] = None,
) -> None:
    """Generates events from the schemas, with values for both sides of each branch, and plays them in the simulator.
    Each result is written as a scenario for `definitions simulate`. Needs no broker."""
    from streamflow.authoring.samples import (
        NoSample,
        make_samples,
    )  # with all of the engine: only for those who need it

    around = CatalogResolver(Snapshot)
    checked = definition_files.load(definition_files.find(file, catalog)[0], complete=around.complete)
    if not checked.ok or checked.definition is None or checked.catalog is None:
        raise places.invalid(checked.problems, "definition_invalid")
    definition, known = checked.definition, checked.catalog
    try:
        found = make_samples(definition, known, seed, player(definition, known))
    except NoSample as reason:
        text = f"No sample can be made, because {reason}. Write a scenario by hand (docs/scenarios.md)."
        session_of(ctx).show(
            {"definition": definition.name, "seed": seed, "scenarios": [], "reason": str(reason)}, text
        )
        raise typer.Exit(EXIT_AUTHOR) from None
    scenarios = [scenario_of(story, number) for number, story in enumerate(found.stories, 1)]
    if out is not None:
        write_new(out, yaml_of({"scenarios": scenarios}))
    facts = {"definition": definition.name, "seed": seed, "scenarios": scenarios, "untaken": list(found.untaken)}
    session_of(ctx).show(facts, _text(found, definition))
    if out is not None and not session_of(ctx).json:
        output.note(f"written: {out}")


def add_to(app: typer.Typer) -> None:
    """The verb of this module, as a command of `app`."""
    app.command(
        epilog=examples(
            "draft samples definitions/fraud-detection", "draft samples my.yaml --catalog catalog.yaml --seed 7"
        )
    )(samples)


def _text(found: Samples, definition: Definition) -> str:
    rows = [(str(number), story.status, story.name) for number, story in enumerate(found.stories, 1)]
    table = output.table(("#>", "run", "what happens"), rows, "no story")
    first = found.stories[0].do[0] if found.stories else {}
    lines = [f"{definition.name}: {len(found.stories)} stories", table]
    if "send" in first:
        lines.append(f"first event: {first['send']['event']} {first['send']['data']}")
    return "\n".join([*lines, *([f"never taken: {', '.join(found.untaken)}"] if found.untaken else [])])
