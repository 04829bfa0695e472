"""Runs that call the ledger, and the verdict on them: from `runs` as a stranger reads it, and from the ledger's own
log."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from streamflow.definition.content import canonical, event_names, operation_names
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.kafka.publication import Published, publish
from streamflow.operations.registry import known_operations
from streamflow.settings import Settings
from tests.proof.ledger import Ledger
from tests.proof.reader import IndependentReader

STEPS = ("first", "second", "third")
NAME = "ledger"

_SHOWN = 5


def definition(url: str, *, lane: str = "default") -> str:
    """Three calls of the ledger at `url`, one after another."""
    steps = []
    for step, needed in zip(STEPS, (None, *STEPS), strict=False):
        needs = f"    needs: [{needed}]\n" if needed else ""
        steps.append(
            f"""  - id: {step}
{needs}    call:
      operation: http.request
      lane: {lane}
      with: [{{name: url, expr: '"{url}/{step}"'}}, {{name: json, expr: '{{"order": run.key}}'}}]
"""
        )
    return f"""name: {NAME}
version: "1"
on: [{{id: placed, event: order.placed}}]
steps:
{"".join(steps)}"""


def publish_calls(settings: Settings, text: str, catalog: str) -> Published:
    """Publishes a definition that calls built-in operations; `catalog` has its events."""
    parsed, events = parse_definition(text), parse_catalog(catalog)
    known = {spec.name: spec for spec in known_operations(settings)}
    full = events.model_copy(update={"operations": [known[name] for name in operation_names(parsed)]})
    entries = {
        spec.name: spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        for spec in full.events
        if spec.name in event_names(parsed)
    }
    return publish(settings, name=parsed.name, version=parsed.version, content=canonical(parsed, full), events=entries)


def accepted(messages: Iterable[Any]) -> Counter[str]:
    """How many results of each idempotency key the engine accepted, copies of transitions left out."""
    seen: set[tuple[str, int]] = set()
    found: Counter[str] = Counter()
    for message in messages:
        record = json.loads(message.value() or b"")
        kind = dict(message.headers())["ce_type"].decode().removeprefix("streamflow.")
        if (place := (record["run"], record["seq"])) in seen or kind != "AttemptSucceeded":
            continue
        seen.add(place)
        found[f"{record['run']}/{record['step']}"] += 1
    return found


def judge_calls(stranger: IndependentReader, ledger: Ledger, runs: Iterable[str], repeatable: int) -> list[str]:
    """What is wrong: a key that is missing or that nobody expected, one without exactly one accepted result, or more
    calls than can be explained by the `repeatable` attempts that were in flight at kills."""
    expected = {f"{run}/{step}" for run in runs for step in STEPS}
    account, results = ledger.account(), accepted(stranger.messages(f"{stranger.prefix}runs"))
    faults = []
    for what, keys in {
        "keys were never called": expected - account.keys,
        "keys were called and not expected": account.keys - expected,
        "keys have no accepted result": expected - results.keys(),
        "keys have more than one accepted result": {key for key, count in results.items() if count > 1},
    }.items():
        if keys:
            faults.append(f"{len(keys)} {what}, as {sorted(keys)[:_SHOWN]}")
    if account.excess > repeatable:
        faults.append(f"{account.excess} calls too many, but at most {repeatable} attempts were in flight at kills")
    return faults + stranger.runs().faults
