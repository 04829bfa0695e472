"""Which topics the events of catalogs have in the environment that is published to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from streamflow.cli import output
from streamflow.cli.definition_files import Checked, Source, read_bindings
from streamflow.definition.bindings import EnvironmentBindings
from streamflow.errors import Rejected
from streamflow.settings import DEFAULT_ENVIRONMENT

FOLDER = "environments"


def bound(found: list[Checked], environment: str, given: Path | None) -> list[Checked]:
    """`found` with the events of their catalogs where they are found in `environment`: as the file `given` says, or
    else `environments/<environment>.yaml` beside the definition or one folder above. Names in a file that no catalog
    has are warned of on stderr.

    Raises DefinitionError (`bindings_invalid`), or Rejected (`file_unreadable`, `bindings_missing`)."""
    files: dict[Path, EnvironmentBindings] = {}
    places: dict[Path, list[Checked]] = {}
    answer = []
    for each in found:
        file = given or _file_of(each.source, environment)
        # events without a catalog file are the published ones, which have their topics here already
        if file is None or each.catalog is None or (each.source.catalog is None and given is None):
            answer.append(each)
            continue
        if file not in files:
            files[file] = read_bindings(file)
        places.setdefault(file, []).append(each)
        answer.append(replace(each, catalog=files[file].bound(each.catalog)))
    for file, bindings in files.items():
        catalogs = [each.catalog for each in places[file] if each.catalog is not None]
        for name in bindings.unused(catalogs):
            output.warn(f"{file} names {name}, which no catalog of these definitions has. Correct the name.")
    return answer


def _file_of(source: Source, environment: str) -> Path | None:
    folders = [source.definition.parent / FOLDER, source.definition.parent.parent / FOLDER]
    there = [folder for folder in folders if folder.is_dir()]
    for folder in there:
        if (file := folder / f"{environment}.yaml").is_file():
            return file
    if there and environment != DEFAULT_ENVIRONMENT:
        raise Rejected(
            "bindings_missing",
            f"There is no {there[0] / environment}.yaml, so the topics of {source.definition} in the environment "
            f"{environment} are not known. Write it (`topics: {{}}` for those of the catalog), or name another file "
            "with --bind.",
        )
    return None
