"""Streamflow's own topics are no topics of the catalog: a definition neither emits to them nor reads them."""

from __future__ import annotations

from tests.regressions.case import Broken, Unclear, case
from tests.regressions.site import Answer, Site

_CATALOG = """
events:
  - {name: go, topics: [$starts], key: {path: key}, match: {path: type, equals: go}}
  - {name: own, topics: [TOPIC], key: {path: key}, match: {path: forged, equals: here}}
"""
_EMITS = """
name: forger
version: "1"
on: [{id: go, event: go}]
steps:
  - {id: forge, emit: {event: own, data: [{name: forged, expr: "'here'"}]}}
"""
_READS = """
name: eavesdropper
version: "1"
on: [{id: heard, event: own}]
steps:
  - {id: note, print: {text: run.key}}
"""


@case(seconds=14)
def emit_to_commands(site: Site) -> str:
    """A definition that emits to the topic of commands is refused, or its event does not get there."""
    commands = site.own_topic("commands")
    site.create("starts")
    answer = site.try_publish(_EMITS, _CATALOG.replace("TOPIC", commands))
    if answer.code:
        return _refused(answer, commands)
    site.start("engine", "ingress")
    site.send("starts", {"type": "go", "key": "k"})
    site.need(lambda: site.seen("RunStarted"), "a run to start")
    site.pause(3)
    forged = [record for record in site.records(commands) if b'"forged"' in (record.value or b"")]
    if any(record.headers.get("ce_type") == "own" for record in forged):
        raise Broken(f"the definition was published, and its event is in {commands}: {forged[-1].value!r}")
    return "the definition was published, but its event did not come to commands"


@case(seconds=8)
def read_commands(site: Site) -> str:
    """A definition that reads the topic of commands is refused."""
    commands = site.own_topic("commands")
    answer = site.try_publish(_READS, _CATALOG.replace("TOPIC", commands))
    if not answer.code:
        raise Broken(f"it was published: {answer.text[:200]}")
    return _refused(answer, commands)


def _refused(answer: Answer, topic: str) -> str:
    """What publishing said about the topic. Raises Unclear when it was refused for something else."""
    about = [line for line in answer.text.splitlines() if topic in line]
    if not about:
        raise Unclear(f"publishing was refused for another reason: {answer.text[:400]}")
    return f"publishing is refused: {about[0]}"
