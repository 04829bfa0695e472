"""No record of the state grows with the commands since ingress's last commit."""

from __future__ import annotations

from tests.regressions.case import Broken, case
from tests.regressions.site import Site

_CATALOG = """
events:
  - {name: tick, topics: [$ticks], key: {path: key}, match: {path: type, equals: tick}}
"""
_DEFINITION = """
name: counter
version: "1"
on: [{id: ticked, event: tick}]
steps:
  - {id: note, set: [{name: one, expr: "1"}]}
"""
_EVENTS = 3000
_LARGEST = 20_000  # bytes; the definition itself takes about 1,500


@case(seconds=30)
def state_records_while_ingress_does_not_commit(site: Site) -> str:
    """After 3,000 commands without a commit of the source offset, no record of the state is larger than 20 kB."""
    site.create("ticks")
    site.start("engine", "ingress", settings={"STREAMFLOW_INGRESS__COMMIT_S": "3600"})
    site.publish(_DEFINITION, _CATALOG)
    for number in range(_EVENTS):
        site.send("ticks", {"type": "tick", "key": f"k{number}"}, f"k{number}", flush=False)
    site.flush()
    site.need(lambda: len(site.seen("RunCompleted")) == _EVENTS, f"{_EVENTS} runs to end", 120)
    site.need(lambda: site.lag("engine") == 0, "everything to be saved")
    largest = max(site.records(site.own_topic("state")), key=lambda record: record.size)
    seen = f"after {_EVENTS} commands the largest record of the state has {largest.size} bytes: {largest.key!r}"
    if largest.size > _LARGEST:
        raise Broken(seen)
    return seen
