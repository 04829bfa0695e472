"""The end of a topic is its high watermark: another producer's open transaction does not end a wait."""

from __future__ import annotations

from confluent_kafka import Producer

from tests.regressions import shop
from tests.regressions.case import Broken, case
from tests.regressions.site import Site


@case(seconds=25)
def payment_behind_an_open_transaction(site: Site) -> str:
    """A payment that came in time is taken although another producer's transaction hides it beyond the limit."""
    shop.open_shop(site, within="6s")
    other = Producer(site.servers | {"transactional.id": f"other-{site.name}", "transaction.timeout.ms": 60_000})
    other.init_transactions(20)
    other.begin_transaction()
    other.produce(site.topic("payments"), b'{"type": "refund", "id": "r1", "customer": "other"}', b"other")
    other.flush(10)
    shop.order(site, "o1")
    shop.waiting(site, 1, 5)
    shop.pay(site, "p1")
    site.pause(12)
    if site.seen("WaitTimedOut"):
        seen = site.story()
        other.commit_transaction(10)
        raise Broken(f"the wait timed out while the transaction was open, 6 s after the payment was written: {seen}")
    other.commit_transaction(10)
    printed = site.lines(1, "the order to be paid after the transaction was committed")
    if printed != ["SHIP o1 paid by p1"]:
        raise Broken(f"printed {printed}")
    return f"printed {printed}, after the transaction was committed"
