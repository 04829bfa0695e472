"""An event that no run consumed is accounted for."""

from __future__ import annotations

from tests.regressions import shop
from tests.regressions.case import case
from tests.regressions.site import Site


@case(seconds=25)
def kept_event_that_expires(site: Site) -> str:
    """A payment that was kept and that no run took within the time to keep is reported in `unclaimed`, by its key."""
    shop.open_shop(site, keep="2s")
    shop.pay(site, "p1", "early")
    site.pause(3)
    shop.order(site, "o1", "early")
    site.need(lambda: site.seen("RunStarted"), "a later order to start a run")
    return _accounted(site, "early", "p1")


@case(seconds=25)
def event_whose_condition_does_not_hold(site: Site) -> str:
    """A payment whose `where` fails at the only wait of its key is reported in `unclaimed`, by its key."""
    site.create("orders", "payments")
    site.start("engine", "ingress")
    definition = shop.definition(keep="").replace("event: payment}", "event: payment, where: event.id == 'p2'}")
    site.publish(definition, shop.CATALOG)
    shop.order(site, "o1", "buyer")
    shop.waiting(site, 1)
    shop.pay(site, "p1", "buyer")
    shop.pay(site, "p2", "buyer")
    site.need(lambda: site.printed() == ["SHIP o1 paid by p2"], "the second payment to be taken")
    return _accounted(site, "buyer", "p1")


@case(seconds=25)
def event_of_a_key_without_a_run(site: Site) -> str:
    """A payment for a key that no run waits for, and that is not to be kept, is reported in `unclaimed`, by its key."""
    shop.open_shop(site, keep="")
    shop.pay(site, "p1", "nobody")
    return _accounted(site, "nobody", "p1")


def _accounted(site: Site, key: str, event: str) -> str:
    """The account of an event that was not consumed. Raises Broken when there is none."""

    def found() -> list[str]:
        seen = [(record.key, record.value, record.headers) for record in site.unclaimed() + site.dead_letters()]
        return [str(each) for each in seen if key in str(each) and event in str(each)]

    return site.expect(found, f"a record in `unclaimed` about {event} of {key}", 15)[0][:300]
