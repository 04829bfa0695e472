"""A wait ends in time although its topic is missing, and a wait that is overdue costs nothing while it is held."""

from __future__ import annotations

from tests.regressions import shop
from tests.regressions.case import Broken, case
from tests.regressions.site import Site

_WAITS = 50
_WATERMARKS = 30  # that ingress may send in 5 s, one a second for each topic
# Its topic exists, so that ingress sends watermarks.
_OTHER_CATALOG = """
events:
  - {name: go, topics: [$others], key: {path: key}, match: {path: type, equals: go}}
  - {name: more, topics: [$others], key: {path: key}, match: {path: type, equals: more}}
"""
_OTHER = """
name: other
version: "1"
on: [{id: go, event: go}]
steps:
  - {id: waits, wait: {events: [{id: more, event: more}], within: 1h}}
  - {id: late, needs: [waits.timeout], print: {text: "'late'"}}
"""


@case(seconds=30)
def wait_for_an_event_of_a_missing_topic(site: Site) -> str:
    """A wait for an event whose topic does not exist times out at its limit."""
    site.create("orders")
    site.start("engine", "ingress")
    site.publish(shop.definition(within="2s"), shop.CATALOG)
    for number in range(10):
        shop.order(site, f"o{number}", f"K{number}")
    shop.waiting(site, 10)
    site.expect(lambda: len(site.printed()) == 10, "ten waits of 2 s to time out", 20)
    return f"printed {site.printed()[:2]} and so on"


@case(seconds=25)
def overdue_waits_of_a_missing_topic(site: Site) -> str:
    """50 overdue waits for an event of a missing topic append at most one command each, not one a second, while ingress
    reads others."""
    site.create("orders", "others")
    site.start("engine", "ingress", settings={"STREAMFLOW_INGRESS__WATERMARK_S": "1"})
    site.publish(_OTHER, _OTHER_CATALOG)
    site.publish(shop.definition(within="2s"), shop.CATALOG)
    for number in range(_WAITS):
        shop.order(site, f"o{number}", f"K{number}", flush=False)
    site.flush()
    shop.waiting(site, _WAITS)
    site.pause(6)
    before = site.end(site.own_topic("commands"))
    site.pause(5)
    appended = site.end(site.own_topic("commands")) - before
    seen = f"{appended} commands were appended in 5 s beside {_WAITS} waits of 2 s, 6 s after they had begun"
    if appended > _WAITS + _WATERMARKS:
        raise Broken(seen)
    return seen
