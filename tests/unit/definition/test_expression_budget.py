"""Whatever an expression and its data are, one evaluation takes bounded time and memory."""

from __future__ import annotations

import random
import time
import tracemalloc
from typing import Any

import pytest

from streamflow.definition.evaluator.budget import BYTES
from streamflow.definition.expression import Expression, compile_expression
from streamflow.definition.plan import ExpressionError

LONG = "a" * 400_000
LINES = [{"sku": f"s{place % 50}", "count": place} for place in range(9500)]
EVENT: dict[str, Any] = {
    "s": LONG,
    "t": LONG[:-1] + "b",
    "short": "ab" * 500,
    "lines": LINES,
    "empty": "",
    "big": 7**4000,
    "mixed": "".join(random.Random(1).choices("ab", k=400_000)),
    "texts": ["a" * 300 + str(place) for place in range(1000)],
}


def evaluated(expression: Expression) -> tuple[Any, float]:
    """The value or the code of the failure, and the seconds of CPU that it took."""
    began = time.thread_time()
    try:
        found = expression.evaluate({"event": EVENT})
    except ExpressionError as error:
        found = error.code
    return found, time.thread_time() - began


def peak_bytes(expression: Expression) -> int:
    """The most memory that an evaluation holds at one time."""
    tracemalloc.start()
    try:
        expression.evaluate({"event": EVENT})
    except ExpressionError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


def doublings(first: str, doubled: str, levels: int, last: str) -> str:
    """`levels` bindings, each of twice the one before; `doubled` writes that of `x`."""
    source = last.replace("x", f"x{levels}")
    for level in range(levels, 0, -1):
        source = f"cel.bind(x{level}, {doubled.replace('x', f'x{level - 1}')}, {source})"
    return f"cel.bind(x0, {first}, {source})"


TOO_MUCH = [
    ("texts doubled", doubled := doublings("event.short", "x + x", 22, "x.size()")),
    ("lists doubled", doublings("[1, 2]", "x + x", 25, "x.size()")),
    ("bytes doubled", doublings("b'abcd'", "x + x", 25, "x.size()")),
    ("lists within lists", doublings("[1]", "[x, x]", 25, "x")),
    ("lists within lists, compared", doublings("[1]", "[x, x]", 24, "[x] == [x]")),
    ("lists within lists, the same", doublings("[1]", "[x, x]", 24, "[x, x].distinct()")),
    ("lists within lists, as text", doublings("[1]", "[x, x]", 24, "'%s'.format([x])")),
    ("fields within fields", doublings("{'a': 1}", "{'a': x, 'b': x}", 24, "x")),
    ("replace grows", "event.s.replace('a', event.short)"),
    ("replace of nothing grows", "event.s.replace('', event.short)"),
    ("join grows", "lists.range(1000).map(i, event.s).join(event.s)"),
    ("a list of one text many times", "lists.range(10000).map(i, event.s)"),
    ("format grows", "'%s%s%s%s%s'.format([event.s, event.s, event.s, event.s, event.s]) + "
                     "lists.range(100).map(i, '%s'.format([event.s])).join()"),
    ("split grows", "lists.range(100).map(i, event.s.split('')).size()"),
    ("a long range", "lists.range(9223372036854775807).size()"),
    ("quote grows", "lists.range(100).map(i, strings.quote(event.s)).size()"),
    ("loops within loops", "event.lines.map(a, event.lines.map(b, a.count + b.count)).size()"),
    ("loops that decide nothing", "event.lines.all(a, event.lines.all(b, event.lines.exists(c, false) || true))"),
    ("failures within loops", "event.lines.all(a, event.lines.all(b, b.nothing > 1))"),
    ("a binding that fails, in a loop", "cel.bind(x, event.nothing, event.lines.all(a, event.lines.all(b, x)))"),
    ("the same long text looked for", "event.lines.all(l, !(event.s in [event.t, event.t, event.t]))"),
    ("long texts compared", "event.lines.all(l, event.s != event.t)"),
    ("long texts in order", "event.lines.map(l, event.s).sort().size()"),
    ("the largest of long texts", "event.lines.map(l, event.s).max()"),
    ("a text in a long text", "event.lines.all(l, !event.s.contains('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab'))"),
    ("patterns in long texts", "event.lines.all(l, !event.s.matches('(x+x+)+y'))"),
    ("a pattern of many states", "event.mixed.matches('(a|b)*a(a|b){100}c')"),
    ("a pattern of many states, from data", "event.mixed.matches('(a|b)*a(a|b){900}c' + event.empty)"),
    ("patterns of many states", "event.lines.all(l, !event.short.matches('[ab]*a[ab]{30}c'))"),
    ("patterns from data", "event.lines.all(l, !l.sku.matches(string(l.count) + '(a{0,20}){0,20}x'))"),
    ("patterns that are none", "event.lines.exists(l, l.sku.matches(string(l.count) + '(a{0,99}){0,99}('))"),
    ("a long binding in a loop", "event.lines.all(l, l.count >= 0 && cel.bind(x, "
                                 + " && ".join(["l.count + 1 - 1 + 1 - 1 >= 0"] * 200) + ", x))"),
    ("a long range in a loop", "event.lines.all(l, l.count >= 0 && ["
                               + ", ".join(["l.count + 1 - 1 + 1 - 1 >= 0"] * 200) + "].exists(x, x))"),
    ("decimals again and again", "event.lines.all(l, event.lines.map(m, decimal(m.count)).sum() > 0)"),
    ("sorting again and again", "event.lines.all(l, event.lines.sortBy(m, -m.count).size() > 0)"),
    ("sums again and again", "event.lines.all(l, event.lines.map(m, m.count).sum() > 0)"),
    ("one branch a hundred times", "event.lines.all(l, "
                                   + " && ".join(["l.count + 1 - 1 + 1 - 1 + 1 - 1 + 1 >= 0"] * 100) + ")"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "source"), TOO_MUCH)
def test_too_much_is_refused_in_time_and_memory(name: str, source: str) -> None:
    found, took = evaluated(compile_expression(source))
    assert found == "too_costly"
    assert took < 2  # the machine may be slow: mostly below 0.1 s


@pytest.mark.parametrize(
    "source",
    [
        doubled,
        doublings("[1, 2]", "x + x", 25, "x.size()"),
        "event.s.replace('a', event.short)",
        "lists.range(1000).map(i, event.s).join(event.s)",
        "lists.range(10000).map(i, event.s)",
        "lists.range(100).map(i, event.s.split('')).size()",
        "lists.range(9223372036854775807).size()",
        "lists.range(100).map(i, strings.quote(event.s)).size()",
        "lists.range(100).map(i, event.s.replace('a', 'b')).size()",
    ],
)
def test_too_much_takes_little_memory(source: str) -> None:
    assert peak_bytes(compile_expression(source)) < 2 * BYTES


@pytest.mark.parametrize(
    ("name", "source", "code"),
    [
        ("decimals squared", doublings("decimal('1.1')", "x * x", 20, "x"), "out_of_range"),
        ("a huge exponent", "decimal('1e9999') + 1", "out_of_range"),
        ("a huge exponent below", "decimal('1e-9999')", "out_of_range"),
        ("a long number as a text", "decimal(event.s)", "invalid_value"),
        ("a long number of the data", "decimal(event.big)", "out_of_range"),
        ("a whole number as a text", "int(event.s)", "invalid_value"),
        ("a pattern from data", "event.short.matches(event.short + '(')", "invalid_value"),
        ("a pattern that is too long", "event.s.matches(event.s)", "invalid_value"),
        ("a pattern of too many states", "event.s.matches('((a{0,99}){0,99}){0,99}' + event.empty)", "invalid_value"),
        ("a precision that is too long", "'%.200f'.format([1.5])", "out_of_range"),
    ],
)
def test_what_has_no_end_is_refused(name: str, source: str, code: str) -> None:
    found, took = evaluated(compile_expression(source))
    assert found == code
    assert took < 2


@pytest.mark.parametrize(
    "pattern", ["(x+x+)+y", "(.*)(.*)(.*)(.*)(.*)b", "(a|b)*a(a|b){12}c", "(a?){100}a{100}c", "(a+)+$b"]
)
def test_no_pattern_blocks(pattern: str) -> None:
    expression = compile_expression(f"event.s.matches('{pattern}') || event.s.matches('{pattern}' + event.empty)")
    found, took = evaluated(expression)
    assert found in (False, "too_costly")
    assert took < 2


def test_a_long_part_is_found_from_the_end_in_linear_time() -> None:
    variables = {"event": {"s": LONG, "part": "a" * 100_000 + "b" + "a" * 100_000}}
    began = time.thread_time()
    assert compile_expression("event.s.lastIndexOf(event.part)").evaluate(variables) == -1
    assert time.thread_time() - began < 2


def test_what_is_usual_for_a_large_event_is_not_too_much() -> None:
    found, took = evaluated(compile_expression("event.lines.map(l, l.sku)"))
    assert len(found) == 9500
    assert took < 0.5
    assert peak_bytes(compile_expression("event.lines.map(l, l.sku)")) < 1_000_000
    for source in (
        "event.lines.filter(l, l.count > 10 && l.sku != 's1').map(l, {'sku': l.sku, 'n': l.count})",
        "event.lines.map(l, l.sku).distinct().size()",
        "event.lines.sortBy(l, -l.count).slice(0, 10)",
        "event.s + event.t",
        "event.texts.join(', ')",
        "event.lines.filter(l, l.sku.matches('^s[0-9]+$')).size()",
        "event.lines.filter(l, l.sku.matches('^[a-z0-9-]{1,40}$')).size()",
        "event.texts.slice(0, 50).filter(t, t.matches('^.{1,100}$')).size()",
        "event.lines.map(l, l.sku).distinct().filter(s, s.matches(event.empty + '^s[0-9]+$')).size()",
        "event.s.matches('^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+[.][A-Za-z]{2,}$')",
        "event.s.replace('a', 'bb').size()",
        "event.s.contains('b') || event.t.endsWith('b')",
    ):
        assert evaluated(compile_expression(source))[0] != "too_costly", source


def test_nothing_absorbs_a_used_up_budget() -> None:
    for source in (
        f"true || {doubled} > 0",  # never evaluated
    ):
        assert compile_expression(source).holds({"event": EVENT})
    for source in (
        f"{doubled} > 0 || true",
        f"{doubled} > 0 ? true : true",
        f"[1].exists(i, {doubled} > 0) || true",
        f"[1, 2].exists(i, i == 1 ? {doubled} > 0 : true)",
        f"cel.bind(y, {doubled}, y > 0 || true)",
    ):
        with pytest.raises(ExpressionError) as caught:
            compile_expression(source).holds({"event": EVENT})
        assert caught.value.code == "too_costly"


def test_evaluating_keeps_nothing_and_changes_nothing() -> None:
    expression = compile_expression("event.lines.map(l, l.sku) + [event.s]")
    before = repr(EVENT["lines"][:3]), len(EVENT["lines"])
    first = expression.evaluate({"event": EVENT})
    assert expression.evaluate({"event": EVENT}) == first
    assert (repr(EVENT["lines"][:3]), len(EVENT["lines"])) == before
