"""What stays of a finished run is small."""

from __future__ import annotations

from tests.regressions.case import Broken, case, excluded
from tests.regressions.site import Site

_CATALOG = """
events:
  - {name: go, topics: [$starts], key: {path: key}, id: {path: id}, match: {path: type, equals: go}}
"""
_DEFINITION = """
name: starter
version: "1"
on: [{id: go, event: go}]
steps:
  - {id: note, set: [{name: one, expr: "1"}]}
"""
_RUNS = 400
_RECORDS, _BYTES = 2.0, 400.0  # a run


@case(seconds=20)
def state_of_finished_runs(site: Site) -> str:
    """A finished run leaves at most two records and 400 bytes in the state."""
    site.create("starts")
    site.start("engine", "ingress")
    site.publish(_DEFINITION, _CATALOG)
    site.send("starts", {"type": "go", "key": "k", "id": "first"}, "k")
    site.need(lambda: site.seen("RunCompleted"), "the first run to end")
    before = _live(site)
    for number in range(_RUNS):
        site.send("starts", {"type": "go", "key": f"k{number}", "id": f"i{number}"}, f"k{number}", flush=False)
    site.flush()
    site.need(lambda: len(site.seen("RunCompleted")) == _RUNS + 1, "all runs to end", 90)
    after = _live(site)
    records = (len(after) - len(before)) / _RUNS
    size = (sum(after.values()) - sum(before.values())) / _RUNS
    seen = f"a finished run leaves {records:.1f} records and {size:.0f} bytes"
    if records > _RECORDS or size > _BYTES:
        raise Broken(seen)
    return seen


def _live(site: Site) -> dict[bytes, int]:
    """The size of each record that the state holds, after everything is saved."""
    site.need(lambda: site.lag("ingress") == 0 == site.lag("engine"), "everything to be saved")
    site.pause(1.5)
    live: dict[bytes, int] = {}
    for record in site.records(site.own_topic("state")):
        if record.value is None:
            live.pop(record.key, None)
        else:
            live[record.key] = record.size
    return live


excluded(
    __name__,
    "contents in every partition, compiled plans and versions in every ingress are never let go",
    "They are memory and records of processes that grow over months of publishing; from outside a few hundred versions "
    "do not show against the noise. They belong to unit tests.",
)
