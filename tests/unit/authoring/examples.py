"""A catalog and a draft that the tests of drafts share."""

from __future__ import annotations

import json
from typing import Any

from streamflow.authoring.draft import Draft
from streamflow.authoring.operations import Refusal, Revision, apply
from streamflow.definition.syntax import parse_catalog

CATALOG = parse_catalog("""
events:
  - name: order.placed
    title: Order placed
    topics: [orders]
    id: {path: event_id}
    key: {path: id}
    schema:
      type: object
      required: [id, amount]
      properties: {id: {type: string}, amount: {type: number}, event_id: {type: string}}
  - name: payment.captured
    title: Payment captured
    topics: [payments]
    id: {path: event_id}
    key: {path: order_id}
    schema: {type: object, properties: {order_id: {type: string}, amount: {type: number}}}
  - name: order.released
    topics: [released]
    schema: {type: object, additionalProperties: false, properties: {id: {type: string}}}
operations:
  - {name: card.charge, title: Charge a card, errors: [{id: declined, retryable: false}]}
  - {name: card.refund}
definitions:
  - {name: parcel, version: "1", sha: "1a"}
""")

TEXT = """\
streamflow: "1"
name: order-payment
version: "1"
title: Wait for the payment of an order
on:
  - {id: placed, event: order.placed}

# what happens with it
steps:
  # the customer has a day
  - id: paid
    title: Wait for the payment
    wait:
      within: 24h # and not longer
      keep: 1h
      events:
        - {id: captured, event: payment.captured, where: event.amount >= trigger.amount}

  - id: charge
    needs: [paid.timeout]
    call: {operation: card.charge}


  # both ways lead here
  - id: release
    needs: [paid.captured, charge]
    join: any
    emit: {event: order.released, data: [{name: id, expr: trigger.id}]}

  - id: note
    needs: [charge.failure]
    print:
      text: >-
        'not paid: ' +
        errors.charge.code
"""

DRAFT = Draft.parse(TEXT)


def revised(*operations: dict[str, Any], draft: Draft = DRAFT) -> Revision:
    """The revision of `draft` by `operations`, which are not refused."""
    found = apply(draft, list(operations), CATALOG)
    assert isinstance(found, Revision), found
    return found


def refused(*operations: Any, draft: Draft = DRAFT) -> Refusal:
    """Why `operations` are not applied to `draft`."""
    found = apply(draft, list(operations), CATALOG)
    assert isinstance(found, Refusal), found
    return found


CHARGE = {"id": "again", "call": {"operation": "card.charge"}}
ASK = {"id": "ask", "approval": {"text": "'May it go?'", "who": ["sales"], "within": "2d"}}


def step(draft: Draft, id_: str) -> dict[str, Any]:
    found: dict[str, Any] = next(step for step in draft.content["steps"] if step["id"] == id_)
    return found


def ids(draft: Draft) -> list[str]:
    return [step["id"] for step in draft.content["steps"]]


def draft_of(*steps: dict[str, Any]) -> Draft:
    content = {"name": "a", "version": "1", "on": [{"id": "placed", "event": "order.placed"}], "steps": list(steps)}
    return Draft.parse(json.dumps(content))


def plain(id_: str, *needs: str, **more: Any) -> dict[str, Any]:
    return {"id": id_, **({"needs": list(needs)} if needs else {}), "print": {"text": "'x'"}, **more}
