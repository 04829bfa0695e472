"""The identity of an event is its name, its source and its id, not the id alone."""

from __future__ import annotations

from tests.regressions import shop
from tests.regressions.case import Broken, case
from tests.regressions.site import Site


@case(seconds=14)
def payment_with_the_id_of_its_order(site: Site) -> str:
    """A payment that has the same id as its order is not a duplicate of the order."""
    shop.open_shop(site, within="6s")
    shop.order(site, "1")
    shop.waiting(site, 1)
    shop.pay(site, "1")
    printed = site.lines(1, "the order to end")
    if printed != ["SHIP 1 paid by 1"]:
        raise Broken(f"printed {printed}")
    return f"printed {printed}"
