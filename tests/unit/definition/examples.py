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
      required: [id, amount]
      properties:
        id: {type: string}
        amount: {type: number}
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
""")

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
