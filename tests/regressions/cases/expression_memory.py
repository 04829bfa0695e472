"""One decision takes bounded memory and time, whatever its expressions and data are."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping

from tests.regressions import shop
from tests.regressions.case import Broken, case, excluded
from tests.regressions.process import Process
from tests.regressions.site import Site

_CATALOG = """
events:
  - {name: go, topics: [$starts], key: {path: key}, match: {path: type, equals: go}}
  - {name: tick, topics: [$ticks], key: {path: key}, match: {path: type, equals: tick}}
"""
_TICK = """
name: ticker
version: "1"
on: [{id: ticked, event: tick}]
steps:
  - {id: note, print: {text: "'tick ' + run.key"}}
"""
_GROWTH_MB = 200  # of one decision; a worker at rest takes about as much
_SLOW_S = 2.0  # for an event of another key, beside one decision


def _definition(expression: str) -> str:
    return f"""
name: heavy
version: "1"
on: [{{id: go, event: go}}]
steps:
  - id: heavy
    set:
      - name: size
        expr: {expression}
  - {{id: done, needs: [heavy], print: {{text: "'done'"}}}}
"""


@case(seconds=20)
def text_doubled_by_bindings(site: Site) -> str:
    """An expression of 250 characters that multiplies a text seven times by eight does not take the memory for it."""
    expression = "size(h)"
    for this, before in zip("hgfedcb", "gfedcba", strict=True):
        expression = f"cel.bind({this}, {'+'.join([before] * 8)}, {expression})"
    expression = f"cel.bind(a, trigger.text, {expression})"
    return _measured(site, expression, {"text": "0123456789" * 3})


@case(seconds=25)
def map_over_a_long_list(site: Site) -> str:
    """Mapping 9,500 lines of one order, 130 kB in all, takes no memory that is quadratic in them."""
    return _measured(site, "trigger.lines.map(l, l.sku).size()", {"lines": [{"sku": f"s{n}"} for n in range(9500)]})


@case(seconds=40)
def replacement_of_gigabytes(site: Site) -> str:
    """An expression whose result would have gigabytes parks its run, and the other keys of the partition go on."""
    site.create("starts", "ticks")
    (engine,) = site.start("engine", memory_mb=4096)
    site.start("ingress")
    site.publish(_definition("\"trigger.text.replace('x', trigger.by).size()\""), _CATALOG)
    site.publish(_TICK, _CATALOG)
    _tick(site, "warm")
    site.send("starts", {"type": "go", "key": "k", "text": "x" * 200_000, "by": "y" * 200_000})
    site.pause(3)
    site.send("ticks", {"type": "tick", "key": "other"}, "other")
    try:
        site.expect(lambda: "tick other" in site.printed(), "a run of another key to go on", 25)
    except Broken as error:
        raise Broken(f"{error}; the partition failed {engine.said('partition_failed')} times over it") from None
    return f"a run of another key went on; the heavy one: {site.story('k')}"


@case(seconds=25)
def pattern_from_data(site: Site) -> str:
    """A pattern that comes with an event and takes seconds to match does not hold up the other keys."""
    chance = random.Random(1)
    text = "".join(chance.choice("ab") for _ in range(400_000))
    data = {"text": text, "pattern": "(a|b)*a(a|b){900}c"}
    return _measured(site, "trigger.text.matches(trigger.pattern)", data)


@case(seconds=30)
def event_for_many_runs(site: Site) -> str:
    """An event of 200 kB that 90 open runs of its key take makes no single decision of many megabytes."""
    site.create("orders", "payments")
    site.start("engine", "ingress")
    definition = shop.definition(keep="").replace("within: 1h", f"within: 1h{site.word('take', ', take: every')}")
    site.publish(definition, shop.CATALOG)
    for number in range(90):
        shop.order(site, f"o{number}", flush=False)
    site.flush()
    shop.waiting(site, 90)
    site.send("payments", {"type": "pay", "id": "p1", "customer": "K", "text": "x" * 200_000}, "K")
    site.need(lambda: len(site.seen("RunCompleted")) == 90, "all runs to take the payment", 90)
    sizes: dict[str, int] = {}
    for fact in site.facts():
        sizes[fact.cause] = sizes.get(fact.cause, 0) + fact.size
    largest = max(sizes.values())
    seen = f"one command made {largest / 1e6:.1f} MB of transitions"
    if largest > 8_000_000:
        raise Broken(seen)
    return seen


def _measured(site: Site, expression: str, data: Mapping[str, object]) -> str:
    """Memory and time of one decision. Raises Broken when either is too much."""
    site.create("starts", "ticks")
    engine, _ = site.start("engine", "ingress")
    site.publish(_definition(f'"{expression}"'), _CATALOG)
    site.publish(_TICK, _CATALOG)
    _tick(site, "warm")
    before = engine.peak_mb
    site.send("starts", {"type": "go", "key": "k", **data})
    site.pause(0.2)
    seconds = _tick(site, "other")
    site.need(lambda: any(fact.kind in ("RunCompleted", "StepParked") for fact in site.facts(key="k")), "the run", 90)
    seen = _seen(site, engine, before, seconds)
    if engine.peak_mb - before > _GROWTH_MB or seconds > _SLOW_S:
        raise Broken(seen)
    return seen


def _tick(site: Site, key: str) -> float:
    """How long a run of another key took, in seconds."""
    began = time.monotonic()
    site.send("ticks", {"type": "tick", "key": key}, key)
    site.need(lambda: f"tick {key}" in site.printed(), f"the run of {key}", 90)
    return time.monotonic() - began


def _seen(site: Site, engine: Process, before_mb: int, seconds: float) -> str:
    grown = engine.peak_mb - before_mb
    return f"the engine grew by {grown} MB, another key waited {seconds:.1f} s; the run: {site.story('k')}"


excluded(
    __name__,
    "4,000 list outputs of 50 KB add 381 MB",
    "It takes 200 MB through the broker and minutes. The bound of one list belongs to a unit test.",
)
