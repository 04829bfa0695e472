"""Only what a definition may want is checked: old versions without runs and unwanted types make no dead letters."""

from __future__ import annotations

from tests.regressions.case import Broken, case
from tests.regressions.site import Site

_CATALOG = """
events:
  - {name: go, topics: [$starts], key: {path: key}, match: {path: type, equals: go}}
  - name: paid
    topics: [$payments]
    key: {path: key}
    match: {path: type, equals: paid}
    schema: {type: object, required: REQUIRED, properties: {key: {type: string}, by: {type: string}}}
"""
_DEFINITION = """
name: order
version: "VERSION"
on: [{id: go, event: go}]
steps:
  - {id: waits, wait: {events: [{id: got, event: paid}], forever: true}}
"""
_LARGE = 600_000  # above the limit of an event


@case(seconds=18)
def record_of_the_new_version(site: Site) -> str:
    """A payment as the new version has it is no dead letter for the old version, of which no run is open."""
    site.create("starts", "payments")
    site.start("engine", "ingress")
    site.publish(_DEFINITION.replace("VERSION", "1"), _CATALOG.replace("REQUIRED", "[key, by]"))
    site.publish(_DEFINITION.replace("VERSION", "2"), _CATALOG.replace("REQUIRED", "[key]"))
    site.send("starts", {"type": "go", "key": "k"})
    site.need(lambda: site.seen("WaitStarted", version="2"), "a run of the new version")
    site.send("payments", {"type": "paid", "key": "k"})
    site.need(lambda: site.seen("RunCompleted"), "the run to take the payment")
    site.pause(2)
    if letters := site.dead_letters():
        raise Broken(f"a dead letter ({letters[0].reason}) for a version without open runs")
    return "the run completed, and there is no dead letter"


@case(seconds=15)
def large_record_that_nobody_wants(site: Site) -> str:
    """A record above the limit whose CloudEvents type no definition names is ignored, not dead-lettered."""
    site.create("starts", "payments")
    site.start("engine", "ingress")
    catalog = """
events:
  - {name: go, topics: [$starts]}
"""
    site.publish(
        _DEFINITION.split("steps:")[0].replace("VERSION", "1") + "steps:\n  - {id: x, print: {text: run.key}}\n",
        catalog,
    )
    for kind, size in (("other", _LARGE), ("go", 10)):
        headers = {"ce_specversion": "1.0", "ce_id": kind, "ce_source": "/shop", "ce_type": kind}
        site.send("starts", {"text": "x" * size}, "k", headers=headers | {"content-type": "application/json"})
    site.need(site.printed, "the record after it to start a run")
    site.pause(1)
    if letters := site.dead_letters():
        raise Broken(f"a dead letter ({letters[0].reason}) for a record of an unwanted type")
    return "the record after it started a run, and there is no dead letter"
