"""JSON Schemas of what strangers write and read: definitions, catalogs, and the records of `runs`. Made from the code,
so never beside it.

`schemas/` holds them as files, with the Avro schemas of our records; a test compares, and
`python -m streamflow.wire.schemas` writes them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from streamflow.definition.catalog import Catalog, CatalogFile
from streamflow.definition.model import Definition
from streamflow.engine.transitions import FACTS, Transition
from streamflow.wire.avro_schemas import avro_schemas

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """Schema by file name."""
    return {
        "definition.json": _written(Definition, "A definition, as authors write it"),
        "catalog.json": _written(CatalogFile, "The events and operations that definitions may name"),
        "transition.json": _transition(),
        **avro_schemas(),
    }


def _written(model: type[Definition] | type[Catalog], title: str) -> dict[str, Any]:
    return {"$schema": _DRAFT, **model.model_json_schema(by_alias=True), "title": title}


def _transition() -> dict[str, Any]:
    """The value of a record in `runs`. Which of `$defs` its `data` is, the header `ce_type` says:
    `streamflow.<name>`."""
    _, parts = msgspec.json.schema_components([Transition], ref_template="#/$defs/{name}")
    _, facts = msgspec.json.schema_components(list(FACTS.values()), ref_template="#/$defs/{name}")
    own = parts["Transition"]
    own["properties"]["data"] = {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in FACTS]}
    return {
        "$schema": _DRAFT,
        **own,
        "title": "A transition: the value of a record in runs",
        "$defs": dict(sorted(facts.items())),
    }


def render(schema: dict[str, Any]) -> str:
    """The text of a schema's file."""
    return json.dumps(schema, indent=2, sort_keys="fields" not in schema) + "\n"


def write(folder: Path) -> None:
    """Write all schemas to `folder`."""
    for name, schema in schemas().items():
        (folder / name).write_text(render(schema))


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "schemas"))
