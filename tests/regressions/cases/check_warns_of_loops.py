"""The check reports what cannot work: lists of child runs that refuse each other, definitions that feed themselves."""

from __future__ import annotations

from typing import Any

from tests.regressions.case import Broken, case, excluded
from tests.regressions.site import Site

_CATALOG = """
events:
  - name: go
    topics: [$starts]
    key: {path: key}
    id: {path: id}
    match: {path: type, equals: go}
    schema:
      type: object
      required: [key, id, type, items]
      properties:
        key: {type: string}
        id: {type: string}
        type: {type: string}
        items: {type: array, items: {type: integer}}
"""
_CHILD = """
name: child
version: "1"
runs: one
input: {type: object, properties: {item: {type: integer}}}
steps:
  - {id: rest, delay: {for: 1d}}
"""
_LIST = """
name: parent
version: "1"
on: [{id: go, event: go}]
steps:
  - id: all
    each: {items: trigger.items}
    run: {definition: child, version: "1", with: [{name: item, expr: item}]}
"""
_FEEDS = """
name: loop
version: "1"
on: [{id: go, event: go}]
steps:
  - id: again
    emit:
      event: go
      data:
        - {name: key, expr: run.key}
        - {name: id, expr: "trigger.id + '+'"}
        - {name: type, expr: "'go'"}
        - {name: items, expr: trigger.items}
"""
_SCENARIOS = """
scenarios:
  - name: A large event
    do:
      - send: {event: go, key: k, data: {key: k, id: e1, type: go, text: TEXT}}
    expect: {status: completed}
"""


@case(seconds=8)
def list_of_child_runs_with_one_key(site: Site) -> str:
    """A list of runs of a definition with `runs: one`, all under one key, is reported by the check."""
    child, parent = site.write(_CHILD, _CATALOG), site.write(_LIST, _CATALOG)
    answer = site.cli("--json", "definitions", "check", str(child), str(parent))
    return _about_the_step(
        [file for file in answer.json() if str(parent) in file["file"]], "items that refuse each other"
    )


@case(seconds=8)
def definition_that_feeds_itself(site: Site) -> str:
    """A definition that emits the event that starts it is reported by the check."""
    answer = site.check(_FEEDS, _CATALOG)
    return _about_the_step(answer.json(), "a definition that starts itself for ever")


@case(seconds=8)
def simulated_event_above_the_limit(site: Site) -> str:
    """The simulator refuses an event that ingress would refuse for its size."""
    definition = _FEEDS.split("steps:")[0].replace("loop", "simple") + "steps:\n  - {id: x, print: {text: run.key}}\n"
    catalog = _CATALOG.split("    schema:")[0]
    folder = site.write(definition, catalog, scenarios=_SCENARIOS.replace("TEXT", "x" * 600_000))
    answer = site.cli("definitions", "simulate", str(folder))
    if answer.code == 0:
        raise Broken(f"an event of 600 kB started a run in the simulator: {answer.text[-200:]}")
    if "event_too_large" not in answer.text:
        raise Broken(f"the simulator failed for another reason: {answer.text[-300:]}")
    return f"the simulator says: {answer.text[-200:]}"


def _about_the_step(files: list[dict[str, Any]], what: str) -> str:
    """What the check says of the step, the only one of its definition. Raises Broken when it says nothing."""
    problems = [each for file in files for each in file["problems"] if str(each["pointer"]).startswith("/steps/0")]
    if not problems:
        raise Broken(f"the check says nothing of {what}")
    return f"the check says: {problems[0]['message']}"


excluded(
    __name__,
    "two lists of the engine that only grow",
    "They are memory inside a process, a few bytes for each emitted event and fired timer, and belong to unit tests.",
)
