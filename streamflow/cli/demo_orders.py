"""The customers of the demo: who orders what and when, who pays, and how each order must end. Nothing is drawn: every
demo is the same."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from streamflow.definition.catalog import Catalog
from streamflow.ops.produce import Outgoing, event_of

AT_ONCE, REMINDED, NEVER = "pays at once", "pays when reminded", "never pays"

_EVERY_S = 0.02  # between two orders
_PAYS_AFTER_S = 0.8  # from the order or from its reminder, which comes after 5 s; 5 s later the order is given up
_HABITS = (AT_ONCE, AT_ONCE, AT_ONCE, REMINDED, AT_ONCE, AT_ONCE, NEVER, AT_ONCE)


@dataclass(frozen=True, slots=True, order=True)
class Due:
    """A record to be sent to `topic` at `at_s`, seconds from the beginning of a wave."""

    at_s: float
    number: int
    topic: str = field(compare=False)
    record: Outgoing = field(compare=False)


@dataclass(frozen=True, slots=True)
class Wave:
    """Orders that come one after the other. `ends` says which step each order's run must end with, `reminded` has the
    payment of each order that is paid when it was reminded, `at_s` seconds after the reminder."""

    due: tuple[Due, ...]
    ends: dict[str, str]
    reminded: dict[str, Due]

    @property
    def lasts_s(self) -> float:
        """Until its last record, in seconds."""
        return self.due[-1].at_s


def wave(catalog: Catalog, name: str, orders: int) -> Wave:
    """`orders` orders with their payments; their numbers begin with `name`."""
    placed, paid = catalog.event("order.placed"), catalog.event("payment.received")
    assert placed is not None
    assert paid is not None
    due: list[Due] = []
    ends: dict[str, str] = {}
    reminded: dict[str, Due] = {}
    for number in range(orders):
        order, habit, at_s = f"{name}-{number:03d}", _HABITS[number % len(_HABITS)], number * _EVERY_S
        quantity, price = 1 + number % 4, 4_900 + 2_500 * (number % 7)
        data = {
            "id": f"order-{order}",
            "order": order,
            "quantity": quantity,
            "price_cents": price,
            "fragile": number % 5 == 0,
        }
        heapq.heappush(due, Due(at_s, number, placed.topics[0], event_of(placed, data)))
        money = event_of(paid, {"id": f"payment-{order}", "order": order, "amount_cents": quantity * price})
        if habit == AT_ONCE:
            heapq.heappush(due, Due(at_s + _PAYS_AFTER_S, number, paid.topics[0], money))
        elif habit == REMINDED:
            reminded[order] = Due(_PAYS_AFTER_S, number, paid.topics[0], money)
        ends[order] = "give_up" if habit == NEVER else "ship"
    return Wave(tuple(heapq.heappop(due) for _ in range(len(due))), ends, reminded)
