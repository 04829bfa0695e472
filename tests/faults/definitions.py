"""What the experiments run: a handful of small processes that together have every kind of step, and that all end by
themselves."""

from __future__ import annotations

from collections.abc import Sequence

from streamflow.definition.catalog import Catalog, ChildSpec, OperationSpec
from streamflow.definition.content import canonical, child_names, event_names, operation_names
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.kafka.publication import publish
from streamflow.operations.http import HttpRequest
from streamflow.ops.catalog import child_of
from streamflow.settings import Settings

PLACED, PAID, SIGNED, DONE = "placed", "paid", "signed", "done"  # topics, after the prefix
SOURCES = (PLACED, PAID, SIGNED)
LIMIT_MS = 1500  # of a wait that may end by its limit
APPROVAL_MS = 1500

CATALOG = """
events:
  - name: f.placed
    topics: [PREFIXplaced]
    start: earliest
    match: {path: type, equals: placed}
    id: {path: id}
    key: {path: key}
    schema:
      type: object
      properties: {id: {type: string}, key: {type: string}, amount: {type: integer}, lines: {type: array, items: {type: string}}}
  - name: f.paid
    topics: [PREFIXpaid]
    start: earliest
    match: {path: type, equals: paid}
    id: {path: id}
    key: {path: key}
    schema: {type: object, properties: {id: {type: string}, key: {type: string}, amount: {type: integer}}}
  - {name: f.signed, topics: [PREFIXsigned], start: earliest, match: {path: type, equals: signed}, id: {path: id}, key: {path: key}}
  - {name: f.done, topics: [PREFIXdone], schema: {type: object, properties: {key: {type: string}, how: {type: string}}}}
"""  # noqa: E501

RETRY = "retry: {attempts: 1000, backoff: 100ms, longest: 500ms}, timeout: 1s"

# A call that is undone when people say no, a wait in parallel, an approval with a limit, an emitted event.
ORDER = """
name: order
version: "VERSION"
on: [{id: placed, event: f.placed}]
steps:
  - id: charge
    call: {operation: http.request, with: [{name: url, expr: "'URL/charge'"}, {name: json, expr: "{'key': trigger.key}"}], RETRY}
    undo: {operation: http.request, with: [{name: url, expr: "'URL/release'"}, {name: json, expr: "{'key': trigger.key}"}], RETRY}
  - id: paid
    wait: {events: [{id: paid, event: f.paid}], forever: true, keep: 1h}
  - id: size
    needs: [charge, paid]
    choose: [{id: large, if: trigger.amount > 60}, {id: small}]
  - id: ask
    needs: [size.large]
    approval: {text: "'May ' + trigger.key + ' be sent?'", who: [boss], within: APPROVAL}
  - id: stop
    needs: [ask.rejected]
    fail: {reason: "'refused'"}
  - id: done
    needs: [size.small, ask.approved, ask.timeout]
    join: any
    emit: {event: f.done, data: [{name: key, expr: trigger.key}, {name: how, expr: "has(steps.ask) ? 'asked' : 'small'"}]}
"""  # noqa: E501

# A list of calls in a lane of its own.
BASKET = """
name: basket
version: "VERSION"
on: [{id: placed, event: f.placed}]
steps:
  - id: parcels
    each: {items: trigger.lines, at_once: 2}
    call:
      {operation: http.request, lane: slow, with: [{name: url, expr: "'URL/parcel'"}, {name: json, expr: "{'item': item}"}], RETRY}
  - id: sum
    needs: [parcels]
    set: [{name: count, expr: "size(steps.parcels)"}]
"""  # noqa: E501

# A wait with a limit, a delay.
LIMIT = """
name: limit
version: "VERSION"
on: [{id: placed, event: f.placed}]
steps:
  - id: signed
    wait: {events: [{id: signed, event: f.signed}], within: WITHIN, keep: 1h}
  - id: late
    needs: [signed.timeout]
    set: [{name: late, expr: "true"}]
  - id: pause
    needs: [signed.signed]
    delay: {for: 300ms}
  - id: bye
    needs: [pause, late]
    join: any
    set: [{name: who, expr: trigger.key}]
"""

# A child run that calls.
PART = """
name: part
version: "VERSION"
input: {type: object, properties: {value: {type: integer}}}
output: ask
steps:
  - id: ask
    call: {operation: http.request, with: [{name: url, expr: "'URL/part'"}, {name: json, expr: "{'value': trigger.value}"}], RETRY}
"""  # noqa: E501
PARENT = """
name: parent
version: "VERSION"
on: [{id: placed, event: f.placed, where: event.amount % 3 == 0}]
steps:
  - id: part
    run: {definition: part, version: "VERSION", key: "trigger.key + '-part'", with: [{name: value, expr: trigger.amount}]}
  - id: bye
    needs: [part]
    set: [{name: got, expr: steps.part}]
"""  # noqa: E501


def catalog(prefix: str) -> Catalog:
    """Events under a prefix, and the operations that are called."""
    events = parse_catalog(CATALOG.replace("PREFIX", prefix))
    return events.model_copy(update={"operations": [HttpRequest.spec]})


def publish_all(settings: Settings, url: str, version: str = "1") -> None:
    """Publishes every definition; `url` is where the outside is."""
    known, children = catalog(settings.topics.prefix), dict[tuple[str, str], ChildSpec]()
    for text in (PART, ORDER, BASKET, LIMIT, PARENT):
        for name, value in {
            "VERSION": version,
            "URL": url,
            "RETRY": RETRY,
            "APPROVAL": f"{APPROVAL_MS}ms",
            "WITHIN": f"{LIMIT_MS}ms",
        }.items():
            text = text.replace(name, value)
        parsed = parse_definition(text)
        wanted = [children[key] for key in child_names(parsed)]
        full = known.model_copy(
            update={
                "definitions": wanted,
                "operations": [spec for spec in known.operations if spec.name in operation_names(parsed)],
            }
        )
        entries = {
            spec.name: spec.model_dump(mode="json", by_alias=True, exclude_none=True)
            for spec in known.events
            if spec.name in event_names(parsed)
        }
        content = canonical(parsed, full)
        done = publish(
            settings, name=parsed.name, version=parsed.version, content=content, events=entries, children=wanted
        )
        children[done.name, done.version] = child_of(content, done.sha, full)


def publish_more(settings: Settings, text: str, operations: Sequence[OperationSpec]) -> None:
    """Publishes one definition more, which calls these operations."""
    parsed = parse_definition(text)
    events = parse_catalog(CATALOG.replace("PREFIX", settings.topics.prefix))
    full = events.model_copy(update={"operations": list(operations)})
    entries = {
        spec.name: spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        for spec in events.events
        if spec.name in event_names(parsed)
    }
    publish(settings, name=parsed.name, version=parsed.version, content=canonical(parsed, full), events=entries)
