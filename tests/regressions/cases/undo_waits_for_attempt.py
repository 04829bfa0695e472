"""A step is undone after what it undoes has ended: an attempt under way, a child run."""

from __future__ import annotations

from tests.regressions.case import Broken, case
from tests.regressions.outside import Outside, outside
from tests.regressions.site import Site

_CATALOG = """
events:
  - {name: go, topics: [$starts], key: {path: key}, match: {path: type, equals: go}}
"""
_POST = "operation: http.request, with: [{name: method, expr: \"'POST'\"}, {name: url, expr: URL}]"


def _post(url: str, lane: str = "") -> str:
    return "{" + _POST.replace("URL", url) + lane + "}"


@case(seconds=20, settings={"STREAMFLOW_TASKS__LANES": '{"default": {}, "slow": {}}'})
def charge_under_way_when_cancelled(site: Site) -> str:
    """A run is cancelled while its charge is with a worker that does not react: the refund is asked for when the
    charge is over."""
    with outside() as book:
        book.hold("charge")
        site.create("starts")
        site.start("engine", "ingress")
        site.worker("tasks", "tasks", "--lane", "default", settings=book.settings)
        slow = site.worker("tasks", "slow", "--lane", "slow", settings=book.settings)
        definition = f"""
name: charge
version: "1"
on: [{{id: go, event: go}}]
steps:
  - {{id: charge, call: {_post("trigger.charge", ", lane: slow")}, undo: {_post("trigger.refund")}}}
"""
        site.publish(definition, _CATALOG)
        site.send("starts", {"type": "go", "key": "k", "charge": book.url("charge"), "refund": book.url("refund")})
        site.need(lambda: book.of("charge"), "the charge to reach the outside")
        slow.pause()
        _cancel(site, "charge")
        site.pause(4)
        slow.resume()
        return _in_order(site, book, "charge", "refund")


@case(seconds=22)
def child_compensates_when_its_parent_is_cancelled(site: Site) -> str:
    """A parent is cancelled while its child run is open: the parent's step is undone when the child has ended."""
    with outside() as book:
        book.hold("undo-inner")
        site.create("starts")
        site.start("engine", "ingress", "tasks", settings=book.settings)
        child = f"""
name: child
version: "1"
input: {{type: object, properties: {{inner: {{type: string}}, undo: {{type: string}}}}}}
steps:
  - {{id: inner, call: {_post("trigger.inner")}, undo: {_post("trigger.undo")}}}
  - {{id: rest, needs: [inner], delay: {{for: 1d}}}}
"""
        parent = f"""
name: parent
version: "1"
on: [{{id: go, event: go}}]
steps:
  - {{id: first, call: {_post("trigger.first")}, undo: {_post("trigger.undo_first")}}}
  - id: sub
    needs: [first]
    run:
      definition: child
      version: "1"
      with: [{{name: inner, expr: trigger.inner}}, {{name: undo, expr: trigger.undo_inner}}]
"""
        site.publish(child, _CATALOG)
        site.publish(parent, _CATALOG)
        urls = {name.replace("-", "_"): book.url(name) for name in ("first", "undo-first", "inner", "undo-inner")}
        site.send("starts", {"type": "go", "key": "k", **urls})
        site.need(lambda: site.seen("DelayStarted"), "the child to come to its delay")
        _cancel(site, "parent")
        site.need(lambda: book.of("undo-inner"), "the child to be undone")
        site.pause(4)
        return _in_order(site, book, "undo-inner", "undo-first")


def _cancel(site: Site, definition: str) -> None:
    run = site.seen("RunStarted", definition=definition)[0].run
    site.cli("runs", "cancel", run, "--why", "the customer called", "--timeout", "5")


def _in_order(site: Site, book: Outside, held: str, later: str) -> str:
    """Whether `later` was asked for only after `held` was over."""
    if book.of(later) and not book.of(held)[0].over:
        seen = f"{later} was asked for while {held} was still with the outside, unanswered"
        book.release(held)
        raise Broken(f"{seen}; {site.story()}")
    book.release(held)
    site.expect(lambda: book.of(later), f"{later} to be asked for after {held} was over", 30)
    first, second = book.of(held)[0], book.of(later)[0]
    if second.began < first.over:
        raise Broken(f"{later} was asked for {first.over - second.began:.1f} s before {held} was over")
    return f"{later} was asked for {second.began - first.over:.1f} s after {held} was over"
