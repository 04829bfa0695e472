"""The definitions that the protocol test runs: every kind of step, lists, children and undo."""

from __future__ import annotations

from tests.builders import a_catalog, a_definition

CATALOG = a_catalog("placed", "paid", "shipped", "visited", "noted", operations=("pay", "unpay", "check"))
PAYMENT = {
    "events": [{"id": "full", "event": "paid", "where": "event.amount >= 5"}, {"id": "part", "event": "paid"}],
    "within": "30s",
    "keep": "20s",
}
SUMS = [
    {"name": "z", "expr": "{'b': 1, 'a': [trigger.who]}"},
    {"name": "half", "expr": "double(steps.pay.data.amount) / 2.0"},
]
ORDER = a_definition(
    {"id": "note", "emit": {"event": "noted", "data": [{"name": "who", "expr": "trigger.who"}]}},
    {"id": "pay", "wait": PAYMENT},
    {"id": "sum", "needs": ["pay.full"], "set": SUMS},
    {
        "id": "ship",
        "needs": ["sum"],
        "emit": {
            "event": "shipped",
            "data": [{"name": "who", "expr": "trigger.who"}, {"name": "all", "expr": "steps.sum.z"}],
        },
    },
    {"id": "remind", "needs": ["pay.timeout", "pay.part"], "join": "any", "print": {"text": "run.key"}},
)
CHECKS = a_definition(
    {"id": "first", "set": [{"name": "x", "expr": "trigger.who"}]},
    {"id": "risky", "needs": ["first"], "set": [{"name": "x", "expr": "trigger.must"}]},
    {"id": "pause", "needs": ["first"], "delay": {"for": "10s"}},
    {
        "id": "way",
        "needs": ["first"],
        "choose": [{"id": "a", "if": "trigger.who == 'a'"}, {"id": "b", "if": "trigger.who == 'b'"}],
    },
    {
        "id": "paid",
        "needs": ["risky", "pause"],
        "wait": {"events": [{"id": "paid", "event": "paid"}], "within": "15s", "keep": "60s"},
    },
    {"id": "end", "needs": ["way.a", "paid.paid"], "join": "any", "print": {"text": "'end'"}},
    name="checks",
)
CHECKS_2 = CHECKS.model_copy(update={"version": "2", "steps": CHECKS.steps[:4]})
VISITS = a_definition(
    {"id": "again", "wait": {"events": [{"id": "visited", "event": "visited"}], "forever": True}},
    name="visits",
    runs="join",
    on=[{"id": "visited", "event": "visited"}],
)
SHIPMENTS = a_definition(
    {"id": "note", "print": {"text": "'shipped ' + trigger.who"}},
    name="shipments",
    runs="one",
    on=[{"id": "shipped", "event": "shipped"}],
)

KIDS = a_definition(
    {"id": "grow", "delay": {"for": "10s"}},
    {"id": "say", "needs": ["grow"], "set": [{"name": "n", "expr": "1"}]},
    name="kids",
    output="say",
)
PAY = {"operation": "pay", "with": [{"name": "who", "expr": "item"}], "retry": {"attempts": 2, "backoff": "10s"}}
PAYOUTS = a_definition(
    {
        "id": "list",
        "each": {"items": "[trigger.who, 'x', 'y']", "at_once": 2},
        "call": {**PAY, "within": "50s"},
        "undo": {"operation": "unpay"},
    },
    {
        "id": "kid",
        "needs": ["list"],
        "run": {"definition": "kids", "version": "1", "key": "run.key + 'x'", "within": "40s"},
    },
    {
        "id": "ask",
        "needs": ["kid"],
        "approval": {"text": "string(steps.kid.output.n)", "who": ["all"], "within": "20s"},
    },
    {
        "id": "check",
        "needs": ["ask.approved"],
        "call": {"operation": "check", "within": "30s"},
        "undo": {"operation": "unpay"},
    },
    {"id": "no", "needs": ["list.failure", "ask.rejected", "check.timeout"], "join": "any", "fail": {"reason": "'no'"}},
    name="payouts",
)
