"""What one evaluation of usual expressions costs, beside the CEL library that checks them: CPU of the thread, without a
broker.

Beside each figure stands the library's: it is given the variables that an expression names as Python data, whole, and
its result is read back as Python data, which is what an engine on it has to do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from streamflow.definition.expression import compile_expression
from tests.bench.report import Row
from tests.bench.stage import Stage
from tests.proof.world import Failed
from tests.unit.definition.cel_library import library_environment

EVENT: dict[str, Any] = {
    "id": "o1",
    "amount": 1234.5,
    "count": 7,
    "customer": {"vip": True, "email": "a@b.example", "country": "DE"},
    "lines": [{"sku": f"s{place}", "count": place, "price": 10 + place} for place in range(20)],
    "pad": {f"k{place}": "x" * 30 for place in range(20)},
}
VARIABLES = {"trigger": EVENT, "event": EVENT, "steps": {"score": {"score": 41}}, "run": {"key": "K"}, "errors": {}}
SOURCES = {
    "a comparison": "trigger.amount > 1000.0",
    "a condition": "trigger.customer.vip && trigger.count + 1 > 5",
    "has": "has(trigger.customer.email) ? trigger.customer.email : 'none'",
    "the output of a step": "steps.score.score >= 40 || trigger.amount > 100.0",
    "one of three texts": "trigger.customer.country in ['DE', 'FR', 'IT']",
    "a text": "'order ' + trigger.id + ' of ' + string(trigger.count)",
    "map of 20": "trigger.lines.map(l, l.sku)",
    "filter of 20": "trigger.lines.filter(l, l.count > 10).size()",
    "exists in 20": "trigger.lines.exists(l, l.sku == 's19')",
    "an object": "{'id': trigger.id, 'total': trigger.amount, 'all': trigger.lines}",
    "the event": "trigger",
}
LARGE = {"trigger": {"lines": [{"sku": "s"} for _ in range(9500)]}}


def measure(stage: Stage) -> list[Row]:
    """Raises Failed when the two give different values."""
    rounds, library = stage.size(2000), library_environment()
    rows: list[Row] = []
    for name, source in SOURCES.items():
        ours, theirs = compile_expression(source), library.compile(source)
        named = {variable: VARIABLES[variable] for variable in ours.names}

        def by_library(program: Any = theirs, given: dict[str, Any] = named) -> Any:
            return program.eval(data=given).plain_value()

        if ours.evaluate(VARIABLES) != by_library():
            raise Failed(f"expected the value of the library for {source} but found another")
        took = _microseconds(lambda expression=ours: expression.evaluate(VARIABLES), rounds)  # type: ignore[misc]
        rows.append(Row("expressions", name, took, "us", beside=_microseconds(by_library, rounds), better="less"))
    mapped = compile_expression("trigger.lines.map(l, l.sku)")
    took = _microseconds(lambda: mapped.evaluate(LARGE), 5)
    rows.append(Row("expressions", "map of 9,500", took / 1000, "ms", better="less"))
    return rows


def _microseconds(evaluate: Callable[[], Any], rounds: int) -> float:
    """The best of five."""
    best = float("inf")
    for _ in range(5):
        began = time.thread_time()
        for _ in range(rounds):
            evaluate()
        best = min(best, time.thread_time() - began)
    return best / rounds * 1e6
