"""A run's output that is too large has a clear outcome."""

from __future__ import annotations

from tests.regressions.case import Broken, case
from tests.regressions.site import Site

_CATALOG = """
events:
  - {name: go, topics: [$starts], key: {path: key}, match: {path: type, equals: go}}
"""
_DEFINITION = """
name: lister
version: "1"
on: [{id: go, event: go}]
output: all
steps:
  - id: all
    each: {items: trigger.items, at_once: 100}
    call: {operation: debug.echo, with: [{name: value, expr: item + item + item}]}
"""
_ENDS = ("RunCompleted", "RunFailed", "StepParked", "RunParked")


@case(seconds=25)
def list_output_above_a_record(site: Site) -> str:
    """A run whose output is a list of 1 MB does not complete with no output and no word about it."""
    site.create("starts")
    site.start("engine", "ingress", "tasks")
    site.publish(_DEFINITION, _CATALOG)
    items = [f"{number:04d}".ljust(1200, "x") for number in range(300)]
    site.send("starts", {"type": "go", "key": "k", "items": items})
    ends = site.expect(lambda: [f for f in site.facts() if f.kind in _ENDS], "the run to end or to be parked", 90)
    end = ends[0]
    if end.kind == "RunCompleted" and not end.data.get("output") and not site.dead_letters():
        raise Broken(f"the run completed without its output, and nothing says why: {end.data}")
    seen = {name: str(value)[:80] for name, value in end.data.items()}
    return f"{end.kind} {seen}, dead letters: {len(site.dead_letters())}"
