"""What a run gives to a child run or to a topic fits its schema, also where types are known only while running."""

from __future__ import annotations

from tests.regressions.case import Broken, case
from tests.regressions.site import Site

_CATALOG = """
events:
  - {name: go, topics: [$starts], key: {path: key}, match: {path: type, equals: go}}
  - name: bill
    topics: [$bills]
    schema: {type: object, required: [cents], properties: {cents: {type: integer}}}
"""
_CHILD = """
name: child
version: "1"
input: {type: object, required: [cents], properties: {cents: {type: integer}}}
steps:
  - {id: note, set: [{name: seen, expr: "1"}]}
"""
_PARENT = """
name: parent
version: "1"
on: [{id: go, event: go}]
steps:
  - id: sub
    run: {definition: child, version: "1", with: [{name: cents, expr: trigger.cents}]}
"""
_EMITS = """
name: biller
version: "1"
on: [{id: go, event: go}]
steps:
  - {id: tell, emit: {event: bill, data: [{name: cents, expr: trigger.cents}]}}
"""


@case(seconds=15)
def child_run_with_text_for_a_number(site: Site) -> str:
    """A child run does not start with an input that its schema refuses."""
    site.create("starts", "bills")
    site.start("engine", "ingress")
    site.publish(_CHILD, _CATALOG)
    site.publish(_PARENT, _CATALOG)
    _both(site, "child")
    wrong = list(site.seen("RunStarted", definition="child", key="wrong"))
    if wrong:
        raise Broken(f"a child run started with {wrong[0].data['event']}")
    return f"no child run started; the parent: {site.story('wrong')}"


@case(seconds=15)
def emitted_event_with_text_for_a_number(site: Site) -> str:
    """No event is emitted that its schema in the catalog refuses."""
    site.create("starts", "bills")
    site.start("engine", "ingress")
    site.publish(_EMITS, _CATALOG)
    _both(site, "biller")
    bills = [record.json() for record in site.records(site.topic("bills"))]
    if {"cents": "many"} in bills:
        raise Broken(f"emitted, though cents is an integer: {bills}")
    return f"emitted: {bills}; the run: {site.story('wrong')}"


def _both(site: Site, definition: str) -> None:
    """A run with a value of the wrong type, and one after it with a right one, to its end."""
    site.send("starts", {"type": "go", "key": "wrong", "cents": "many"}, "wrong")
    site.send("starts", {"type": "go", "key": "right", "cents": 5}, "right")
    site.need(lambda: site.seen("RunCompleted", definition=definition, key="right"), "the right one to complete")
    site.pause(2)
