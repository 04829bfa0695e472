"""A catalog and a definition that the tests of this folder share."""

from __future__ import annotations

from streamflow.definition.check import check
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.errors import Problem

CATALOG = parse_catalog("""
events:
  - name: order.placed
    title: Order placed
    topics: [orders]
    schema:
      type: object
      required: [id, amount, quantity, placed_at, note, customer, ship-to, lines, attributes, open]
      properties:
        id: {type: string}
        amount: {type: number}
        comment: {type: string}
        quantity: {type: integer}
        placed_at: {type: string, format: date-time}
        note: {type: [string, "null"]}
        customer: {type: object, properties: {email: {type: string}, vip: {type: boolean}}}
        "ship-to": {type: string}
        lines: {type: array, items: {$ref: "#/$defs/line"}}
        attributes: {type: object}
        open: {oneOf: [{type: string}, {type: integer}]}
      $defs:
        line: {type: object, properties: {sku: {type: string}, count: {type: integer}, parts: {type: array, items: {$ref: "#/$defs/line"}}}}
  - name: payment.captured
    topics: [payments, payments.old, orders]
    schema: {type: object, properties: {order_id: {type: string}, amount: {type: number}}}
  - name: order.released
    topics: [released, copies]
    schema:
      type: object
      required: [id, total]
      additionalProperties: false
      properties: {id: {type: string}, total: {type: number}, count: {type: integer}, status: {enum: [paid, free]}}
  - {name: raw, topics: [raw, orders]}
operations:
  - name: card.charge
    title: Charge a card
    lane: bank
    timeout: 20s
    input: {type: object, required: [card, cents], properties: {card: {type: string}, cents: {type: integer}, how: {enum: [now, later]}}}
    output: {type: object, properties: {charge: {type: string}, fee: {type: integer}}}
    errors: [{id: declined, retryable: false}, {id: busy}]
    retry: {attempts: 3, backoff: 2s, codes: [{id: busy, attempts: 9, backoff: 10s}]}
  - {name: card.refund, input: {type: object, properties: {charge: {type: string}}, additionalProperties: true}}
  - name: stock.reserve
    input: {type: object, properties: {sku: {type: string}, count: {type: integer}}}
    output: {type: object, properties: {shelf: {type: integer}}}
  - {name: anything}
definitions:
  - {name: parcel, version: "1", sha: "1a", input: {type: object, required: [id], properties: {id: {type: string}, count: {type: integer}}}}
  - {name: parcel, version: "2", sha: "2a"}
""")  # noqa: E501

GOOD = """
name: order-payment
version: "1.0.0"
on:
  - {id: placed, event: order.placed, where: event.amount > 10 && event.customer.vip, key: event.id}
steps:
  - id: paid
    title: Wait for the payment
    wait:
      events: [{id: captured, event: payment.captured, where: event.order_id == trigger.id}]
      within: 24h
  - id: total
    needs: [paid]
    set: [{name: amount, expr: double(trigger.amount) + double(steps.paid.data.amount)}]
  - id: size
    needs: [total]
    choose: [{id: large, if: steps.total.amount > 100}, {id: small}]
  - id: release
    needs: [size.large]
    emit: {event: order.released, data: [{name: id, expr: trigger.id}, {name: total, expr: steps.total.amount}]}
  - id: rest
    needs: [size.small]
    delay: {for: 2h}
  - id: late
    needs: [paid.timeout]
    print: {text: "'late: ' + trigger['ship-to']"}
"""

OUTSIDE = """
name: order-outside
version: "1"
on: [{id: placed, event: order.placed}]
input: {type: object, properties: {id: {type: string}}}
output: charge
steps:
  - id: charge
    title: Take the money
    call:
      operation: card.charge
      with: [{name: card, expr: trigger.id}, {name: cents, expr: "100"}, {name: how, expr: "'now'"}]
      retry: {attempts: 4, codes: [{id: declined, attempts: 2}, {id: attempt_lost, attempts: 9, backoff: 1m}]}
      timeout: 5s
      queue: 10m
      within: 1h
    undo: {operation: card.refund, with: [{name: charge, expr: "has(steps.charge) ? steps.charge.charge : ''"}], lane: slow}
  - id: reserve
    needs: [charge]
    each: {items: "[{'sku': 'a', 'count': 1}]", at_once: 3}
    call: {operation: stock.reserve, with: [{name: sku, expr: item.sku}, {name: count, expr: item.count + index}]}
  - id: parcels
    needs: [reserve]
    run: {definition: parcel, version: "1", key: run.key + '-1', with: [{name: id, expr: "string(steps.reserve[0].shelf)"}], within: 2d}
  - id: ask
    needs: [parcels]
    approval: {text: "'well?'", who: [clerks, anna], form: {type: object, properties: {note: {type: string}}}, within: 2h}
  - id: told
    needs: [ask.approved]
    set: [{name: note, expr: steps.ask.data.note + steps.ask.by + steps.parcels.run}]
  - id: refused
    needs: [ask.rejected, ask.timeout, parcels.failure]
    join: any
    fail: {reason: "has(errors.parcels) ? errors.parcels.code : 'refused'"}
  - id: unpaid
    needs: [charge.failure]
    print: {text: "errors.charge.message + string(errors.charge.attempts + 1)"}
  - id: late
    needs: [charge.timeout]
    print: {text: errors.charge.code}
"""  # noqa: E501

HEAD = 'name: a\nversion: "1"\non: [{id: placed, event: order.placed}]\nsteps:\n'


def problems(steps: str, head: str = HEAD) -> tuple[Problem, ...]:
    """What `check` says of a definition with these `steps` (YAML, a list)."""
    return check(parse_definition(head + steps), CATALOG)


def codes(steps: str, head: str = HEAD) -> list[tuple[str, str]]:
    """The same as (code, pointer)."""
    return [(problem.code, problem.pointer) for problem in problems(steps, head)]


def of_expression(source: str) -> tuple[Problem, ...]:
    """What `check` says of one expression, in a step after a wait (`paid`), which ended with its event."""
    quoted = "'" + source.replace("'", "''") + "'"
    before = "  - {id: paid, wait: {events: [{id: captured, event: payment.captured}], forever: true}}\n"
    return problems(f"{before}  - id: b\n    needs: [paid]\n    set: [{{name: x, expr: {quoted}}}]\n")
