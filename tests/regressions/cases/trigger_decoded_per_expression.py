"""A large trigger is not decoded again for every expression."""

from __future__ import annotations

from tests.regressions.case import Broken, case
from tests.regressions.process import Process
from tests.regressions.site import Site

_CATALOG = """
events:
  - {name: go, topics: [$starts], key: {path: key}, match: {path: type, equals: go}}
  - {name: bid, topics: [$bids], key: {path: key}, match: {path: type, equals: bid}}
"""
_DEFINITION = """
name: auction
version: "1"
on: [{id: go, event: go}]
steps:
  - {id: sold, wait: {events: [{id: enough, event: bid, where: event.cents >= trigger.limit}], forever: true}}
  - {id: done, needs: [sold], print: {text: "'sold ' + run.key"}}
"""
_AUCTIONS = 4
_BIDS = 60
_LINES = 11_000  # 400 kB
_MORE_MS = 1.5  # of processor time a command, for a trigger of 400 kB against a small one


@case(seconds=25)
def conditions_over_a_large_trigger(site: Site) -> str:
    """A condition over a run whose trigger has 400 kB costs at most 1.5 ms more than one over a small trigger."""
    site.create("starts", "bids")
    engine, _ = site.start("engine", "ingress")
    site.publish(_DEFINITION, _CATALOG)
    small, large = _cost_ms(site, engine, "small", 1), _cost_ms(site, engine, "large", _LINES)
    seen = f"{large:.2f} ms of processor time a command with a trigger of 400 kB, {small:.2f} ms with a small one"
    if large - small > _MORE_MS:
        raise Broken(seen)
    return seen


def _cost_ms(site: Site, engine: Process, name: str, size: int) -> float:
    lines = [{"sku": f"sku-{number:06d}", "count": number} for number in range(size)]
    keys = [f"{name}{number}" for number in range(_AUCTIONS)]
    for key in keys:
        site.send("starts", {"type": "go", "key": key, "limit": 100, "lines": lines}, key)
    site.need(lambda: {fact.key for fact in site.seen("WaitStarted")} >= set(keys), "the auctions to be open")
    site.need(lambda: site.lag("engine") == 0, "the auctions to be saved")
    before = engine.cpu_s
    for number in range(_BIDS):
        for key in keys:
            site.send("bids", {"type": "bid", "key": key, "cents": number, "id": f"{key}-{number}"}, key, flush=False)
    for key in keys:
        site.send("bids", {"type": "bid", "key": key, "cents": 100}, key, flush=False)
    site.flush()
    site.need(lambda: {f"sold {key}" for key in keys} <= set(site.printed()), "the auctions to end", 90)
    return (engine.cpu_s - before) * 1000 / (_AUCTIONS * (_BIDS + 1))
