"""What a drill runs: small processes that together have every kind of step, and that all end by themselves."""

from __future__ import annotations

from streamflow.definition.catalog import ChildSpec
from streamflow.definition.content import canonical, child_names, event_names, operation_names
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.kafka.publication import publish
from streamflow.operations.http import HttpRequest
from streamflow.ops.catalog import child_of
from streamflow.settings import Settings

PLACED, PAID, SIGNED, DONE = "placed", "paid", "signed", "done"  # topics, after the prefix
SOURCES = (PLACED, PAID, SIGNED)
SLOW = "slow"  # a separate lane

_CATALOG = """
events:
  - name: drill.placed
    topics: [PREFIXplaced]
    start: earliest
    match: {path: type, equals: placed}
    id: {path: id}
    key: {path: order}
    schema:
      type: object
      properties: {id: {type: string}, order: {type: string}, amount: {type: integer}, parcels: {type: array, items:
      {type: string}}}
  - name: drill.paid
    topics: [PREFIXpaid]
    start: earliest
    match: {path: type, equals: paid}
    id: {path: id}
    key: {path: order}
    schema: {type: object, properties: {id: {type: string}, order: {type: string}, amount: {type: integer}}}
  - {name: drill.signed, topics: [PREFIXsigned], start: earliest, match: {path: type, equals: signed}, id: {path: id},
    key: {path: order}}
  - {name: drill.done, topics: [PREFIXdone], schema: {type: object, properties: {order: {type: string}, how: {type:
string}}}} """

_CALL = "{name: url, expr: \"'LEDGER/PATH'\"}, {name: json, expr: \"{'order': run.key}\"}"
_RETRY = "retry: {attempts: 1000, backoff: 100ms, longest: 500ms}, timeout: 2s"

# A call that is undone when the answer is no, a wait beside it, an approval with a limit, an event that is emitted.
_ORDER = """
name: drill-order
version: "1"
on: [{id: placed, event: drill.placed}]
steps:
  - id: charge
    call: {operation: http.request, with: [CALL:charge], RETRY}
    undo: {operation: http.request, with: [CALL:release], RETRY}
  - id: paid
    wait: {events: [{id: paid, event: drill.paid}], forever: true, keep: 1h}
  - id: size
    needs: [charge, paid]
    choose: [{id: large, if: trigger.amount > 60}, {id: small}]
  - id: ask
    needs: [size.large]
    approval: {text: "'May ' + trigger.order + ' be sent?'", who: [drill], within: 1500ms}
  - id: stop
    needs: [ask.rejected]
    fail: {reason: "'refused'"}
  - id: done
    needs: [size.small, ask.approved, ask.timeout]
    join: any
    emit: {event: drill.done, data: [{name: order, expr: trigger.order}, {name: how, expr: "has(steps.ask) ? 'asked' :
'small'"}]} """

# A list of calls in a separate lane.
_PARCELS = """
name: drill-parcels
version: "1"
on: [{id: placed, event: drill.placed}]
steps:
  - id: parcels
    each: {items: trigger.parcels, at_once: 2}
    call: {operation: http.request, lane: slow, with: [CALL:parcel], RETRY}
  - id: sum
    needs: [parcels]
    set: [{name: count, expr: size(steps.parcels)}]
"""

# A wait with a limit, and a delay.
_LIMIT = """
name: drill-limit
version: "1"
on: [{id: placed, event: drill.placed}]
steps:
  - id: signed
    wait: {events: [{id: signed, event: drill.signed}], within: 1500ms, keep: 1h}
  - id: late
    needs: [signed.timeout]
    set: [{name: late, expr: "true"}]
  - id: pause
    needs: [signed.signed]
    delay: {for: 300ms}
  - id: bye
    needs: [pause, late]
    join: any
    set: [{name: who, expr: trigger.order}]
"""

# A child run, in another partition, that calls.
_PART = """
name: drill-part
version: "1"
input: {type: object, properties: {amount: {type: integer}}}
output: ask
steps:
  - id: ask
    call: {operation: http.request, with: [CALL:part], RETRY}
"""
_PARENT = """
name: drill-parent
version: "1"
on: [{id: placed, event: drill.placed, where: event.amount % 3 == 0}]
steps:
  - id: part
    run:
      {definition: drill-part, version: "1", key: "trigger.order + '-part'", with: [{name: amount, expr:
      trigger.amount}]}
  - id: bye
    needs: [part]
    set: [{name: got, expr: steps.part}]
"""

STARTED = ("drill-order", "drill-parcels", "drill-limit")  # by every order; some start a drill-parent too
PARENT = "drill-parent"


def texts(ledger: str) -> list[str]:
    """The definitions as YAML, children first; `ledger` is where calls go to."""
    found = []
    for text in (_PART, _ORDER, _PARCELS, _LIMIT, _PARENT):
        for path in ("charge", "release", "parcel", "part"):
            text = text.replace(f"CALL:{path}", _CALL.replace("LEDGER", ledger).replace("PATH", path))
        found.append(text.replace("RETRY", _RETRY))
    return found


def publish_all(settings: Settings, ledger: str) -> list[str]:
    """Publishes every definition; their names.

    Raises OperationError if the broker does not take them."""
    catalog = parse_catalog(_CATALOG.replace("PREFIX", settings.topics.prefix)).model_copy(
        update={"operations": [HttpRequest.spec]}
    )
    children: dict[tuple[str, str], ChildSpec] = {}
    names = []
    for text in texts(ledger):
        parsed = parse_definition(text)
        wanted = [children[name] for name in child_names(parsed)]
        full = catalog.model_copy(
            update={"definitions": wanted, "operations": catalog.operations if operation_names(parsed) else []}
        )
        content = canonical(parsed, full)
        events = {
            spec.name: spec.model_dump(mode="json", by_alias=True, exclude_none=True)
            for spec in catalog.events
            if spec.name in event_names(parsed)
        }
        done = publish(
            settings, name=parsed.name, version=parsed.version, content=content, events=events, children=wanted
        )
        children[done.name, done.version] = child_of(content, done.sha, full)
        names.append(done.name)
    return names
