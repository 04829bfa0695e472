"""The small process that several cases play: an order is placed, and waits for its payment."""

from __future__ import annotations

from tests.regressions.site import Site

CATALOG = """
events:
  - name: order.placed
    topics: [$orders]
    key: {path: customer}
    id: {path: id}
    match: {path: type, equals: placed}
  - name: payment
    topics: [$payments]
    key: {path: customer}
    id: {path: id}
    match: {path: type, equals: pay}
"""


def definition(
    *, within: str = "1h", keep: str = "1h", version: str = "1", name: str = "order", after: str = ""
) -> str:
    """Waits for the payment of an order, and prints what became of it. `after`: a delay that keeps the run open after
    that."""
    kept = f", keep: {keep}" if keep else ""
    return f"""
name: {name}
version: "{version}"
on: [{{id: placed, event: order.placed}}]
steps:
  - {{id: paid, wait: {{events: [{{id: got, event: payment}}], within: {within}{kept}}}}}
  - id: ship
    needs: [paid.got]
    print: {{text: "'SHIP ' + string(trigger.id) + ' paid by ' + string(steps.paid.data.id)"}}
  - id: unpaid
    needs: [paid.timeout]
    print: {{text: "'NOT PAID ' + string(trigger.id)"}}
""" + (f"  - {{id: rest, needs: [ship], delay: {{for: {after}}}}}\n" if after else "")


def order(site: Site, id: str, customer: str = "K", *, flush: bool = True) -> None:
    """An order is placed."""
    site.send("orders", {"type": "placed", "id": id, "customer": customer}, customer, flush=flush)


def pay(site: Site, id: str, customer: str = "K", *, at_ms: int = 0) -> None:
    """A payment comes."""
    site.send("payments", {"type": "pay", "id": id, "customer": customer}, customer, at_ms=at_ms)


def waiting(site: Site, runs: int, timeout_s: float = 60.0) -> None:
    """Until so many runs have begun to wait. Raises Unclear."""
    site.need(lambda: len(site.seen("WaitStarted")) >= runs, f"{runs} runs to wait for their payment", timeout_s)


def open_shop(site: Site, **texts: str) -> None:
    """The shop's topics, workers and definition."""
    site.create("orders", "payments")
    site.start("engine", "ingress")
    site.publish(definition(**texts), CATALOG)
