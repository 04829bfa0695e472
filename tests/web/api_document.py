"""What the TypeScript types of the API are made from: its OpenAPI document without errors, and the rows of answers that
the document leaves open. `python -m tests.web.api_document` writes it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from streamflow.access.audit import Entry
from streamflow.access.records import Family, Subscription, View
from streamflow.history.queries import Count
from streamflow.history.reader import HistoryReader
from streamflow.history.reading import Behind, Hit
from streamflow.history.rows import EventFate, LogRow, RunRow, TroubleRow
from streamflow.history.statistics import Outcomes, Point
from streamflow.ops.gantt import Bar
from streamflow.ops.jobs import Job, Result
from streamflow.settings import History, Settings, Topics
from streamflow.sidecar.app import create_app
from tests.access import MemoryAccess
from tests.sidecar_log import MemoryLog
from tests.web.built import SOURCES

DOCUMENT = SOURCES / "src" / "api" / "openapi.json"
_ROWS = (
    RunRow,
    TroubleRow,
    EventFate,
    LogRow,
    Hit,
    Behind,
    Count,
    Point,
    Outcomes,
    Bar,
    Job,
    Result,
    Entry,
    View,
    Family,
    Subscription,
)
_ABOUT = ("description", "summary", "examples", "title", "security", "tags")


def document() -> dict[str, Any]:
    """The document."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(topics=Topics(partitions=2), history=History(path=Path(folder) / "history.db"))
        app = create_app(settings, MemoryLog(settings), MemoryAccess(), HistoryReader(settings))
        found: dict[str, Any] = json.loads(json.dumps(app.openapi()))
    for methods in found["paths"].values():
        for route in methods.values():
            route["responses"] = {code: answer for code, answer in route["responses"].items() if int(code) < 400}
            for name in _ABOUT:
                route.pop(name, None)
    schemas = found["components"]["schemas"]
    for name in [name for name in schemas if "Problem" in name or "ValidationError" in name]:
        del schemas[name]
    _, rows = msgspec.json.schema_components(_ROWS, ref_template="#/components/schemas/{name}")
    for name, schema in rows.items():
        kind = next((row for row in _ROWS if row.__name__ == name), None)
        # A default is written like any other value, unless the struct leaves it out.
        if kind is not None and not getattr(getattr(kind, "__struct_config__", None), "omit_defaults", False):
            schema["required"] = list(schema["properties"])
        for one in schema["properties"].values():
            one.pop("default", None)
        schemas[name] = schema
    return found


def text() -> str:
    """The document as it is kept."""
    return json.dumps(document(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(text(), encoding="utf-8")
