from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from streamflow.definition.expression import ERRORS, compile_expression
from streamflow.definition.plan import ExpressionError
from streamflow.errors import DefinitionError

NOW_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
VALUES: dict[str, Any] = {
    "event": {
        "a": 1,
        "b": 2.5,
        "s": "hi",
        "n": None,
        "l": [3, 1, 2],
        "m": {"y": 1, "x": 2},
        "t": "2026-01-01T02:00:00+02:00",
        "deep": [{"k": 1}, {"k": 2}],
    },
    "trigger": {"id": "o-1"},
    "steps": {"paid": {"v": 7}},
    "run": {"key": "k"},
    "now": NOW_MS,
}


def value_of(source: str) -> Any:
    return compile_expression(source).evaluate(VALUES)


def error_of(source: str) -> str:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(source).evaluate(VALUES)
    return caught.value.code


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("event.a + 1", 2),
        ("event.b > 2", True),
        ("event.n", None),
        ("event", VALUES["event"]),
        ("[1u, 2]", [1, 2]),
        ("now", "2026-01-01T00:00:00Z"),
        ("now + duration('1ms')", "2026-01-01T00:00:00.001Z"),
        ("timestamp(event.t)", "2026-01-01T00:00:00Z"),
        ("timestamp('0001-01-01T00:00:00Z')", "0001-01-01T00:00:00Z"),
        ("{'at': now, 'list': [duration('90s'), b'abc']}", {"at": "2026-01-01T00:00:00Z", "list": ["90s", "YWJj"]}),
        ("duration('1500ms')", "1.5s"),
        ("duration('-1500ms')", "-1.5s"),
        ("duration('0s')", "0s"),
        ("event.l.map(x, x * 2)", [6, 2, 4]),
        ("event.l.filter(x, x > 1)", [3, 2]),
        ("event.l.map(x, x > 1, x + 1)", [4, 3]),
        ("event.deep.map(d, d.k)", [1, 2]),
        ("event.m.all(k, k != '')", True),
        ("event.m.exists(k, event.m[k] == 2)", True),
        ("event.m.exists_one(k, k == 'x')", True),
        ("cel.bind(x, event.a, x + x)", 2),
        ("event.?zz.orValue(3)", 3),
        ("event.?m.?x.orValue(0)", 2),
        ("[event.?zz.orValue(1)]", [1]),
        ("{?'a': event.?zz, ?'b': event.?a}", {"b": 1}),
        ("event.?m.optMap(m, m.x).orValue(0)", 2),
        ("'a,b'.split(',')", ["a", "b"]),
        ("'%s'.format([event.m])", "{x: 2, y: 1}"),
        ("math.greatest(1, event.a)", 1),
        ("base64.encode(b'abc')", "YWJj"),
        ("has(steps.paid) ? steps.paid.v : 0", 7),
        ("has(steps.other)", False),
        ("steps['paid'].v", 7),
        ("now.getHours('+01:00')", 1),
        ("run.key + trigger.id", "ko-1"),
        ("'Müller'.matches('^(?i)mü') && 'é1'.matches('^\\\\pL\\\\d$')", True),
        ("event.zz || true", True),
        ("{dyn(true): 1, 1: 2, 'a': 3}.size()", 3),
        ("{dyn(true): 1, 1: 2}[1]", 2),
        ("{true: 1, false: 2}.all(k, type(k) == bool)", True),
        ("dyn(true) in {1: 2}", False),
    ],
)
def test_values_are_plain_json_data(source: str, value: Any) -> None:
    assert value_of(source) == value


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("event.zz", "missing_field"),
        ("event.l[9]", "missing_field"),
        ("event.?zz.value()", "missing_field"),
        ("event.s > event.a", "no_overload"),
        ("event.a * event.b", "no_overload"),
        ("event.a.b", "no_overload"),
        ("event.a[event.s]", "no_overload"),
        ("1 / (event.a - 1)", "division_by_zero"),
        ("1 % (event.a - 1)", "division_by_zero"),
        ("9223372036854775807 + event.a", "out_of_range"),
        ("'x'.substring(5)", "out_of_range"),
        ("timestamp('9999-12-31T23:59:59Z') + duration('48h')", "out_of_range"),
        ("int(event.s)", "invalid_value"),
        ("timestamp(event.s)", "invalid_value"),
        ("duration(event.s)", "invalid_value"),
        ("event.s.matches(event.s + '(')", "invalid_value"),
        ("base64.decode('%')", "invalid_value"),
        ("1.0 / 0.0", "not_json"),
        ("[math.sqrt(-1.0)]", "not_json"),
        ("type(event.a)", "not_json"),
        ("{1: 2}", "not_json"),
        ("{'a': [{true: 1}]}", "not_json"),
        ("event.?a", "not_json"),
        ("[event.?a]", "not_json"),
        ("{'a': event.?a}", "not_json"),
        ("{'a': [dyn(optional.none())]}", "not_json"),
        (
            "event.l.map(x, " * 12 + "1" + ")" * 12,
            "too_costly",
        ),
        ("{event.s: 1, 'hi': 2}", "failed"),
        ("event.m.map(k, k)", "no_overload"),
        ("(event.a > 0 ? event.m : event.l).filter(k, true)", "no_overload"),
        ("cel.bind(x, event, x.m.map(k, k))", "no_overload"),
    ],
)
def test_errors_are_our_codes_only(source: str, code: str) -> None:
    assert error_of(source) == code
    assert code in ERRORS


def test_a_condition_must_be_true_or_false() -> None:
    assert compile_expression("event.a == 1").holds(VALUES) is True
    assert compile_expression("event.a == 2").holds(VALUES) is False
    for source in ("event.a", "event.n", "event.s"):
        with pytest.raises(ExpressionError) as caught:
            compile_expression(source).holds(VALUES)
        assert caught.value.code == "not_boolean"


@pytest.mark.parametrize(
    ("source", "ms"),
    [
        ("now", NOW_MS),
        ("now + duration('1h')", NOW_MS + 3_600_000),
        ("event.t", NOW_MS),
        ("'2026-01-01T00:00:00.0019Z'", NOW_MS + 2),
        ("'2026-01-01T00:00:00.001Z'", NOW_MS + 1),
        ("'2026-01-01T00:00:00.123456789Z'", NOW_MS + 124),
        ("'2026-01-01T00:00:00.123000000000000000000009Z'", NOW_MS + 123),
        ("timestamp('2026-01-01T00:00:00.000000001Z')", NOW_MS + 1),
        ("'2026-01-01t01:00:00+01:00'", NOW_MS),
        ("'2026-01-01 00:00:00z'", NOW_MS),
        ("'2026-01-01T01:00:00.5+0100'", NOW_MS + 500),
        ("'2025-12-31T23:59:60Z'", NOW_MS),
        ("'2026-01-01T00:59:60.25+01:00'", NOW_MS + 250),
        ("'1969-12-31T23:59:59.999Z'", -1),
    ],
)
def test_a_point_in_time_is_epoch_milliseconds(source: str, ms: int) -> None:
    assert compile_expression(source).instant_ms(VALUES) == ms


@pytest.mark.parametrize(
    "source",
    [
        "event.s",
        "event.a",
        "'2026-01-01'",
        "'2026-01-01T00:00:00'",
        "'2026-02-30T00:00:00Z'",
        "'2026-01-01T00:00:60Z'",
        "'2026-01-01T00:00:61Z'",
        "'2026-01-01T24:00:00Z'",
        "event.?t",
    ],
)
def test_what_is_no_point_in_time_is_not_a_time(source: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(source).instant_ms(VALUES)
    assert caught.value.code in ("not_a_time", "not_json")


def test_only_what_is_read_is_named() -> None:
    compiled = compile_expression(
        "trigger.items.all(t, t.now > 1) && steps.a.x == steps['b'].y && has(steps.c) && steps.?d.?e.orValue(true)"
    )
    assert compiled.names == {"trigger", "steps"}
    assert compiled.steps == {"a", "b", "c", "d"}
    assert compile_expression("'steps.x and now' // event").names == frozenset()


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("event.", "SF260"),
        ("event.a +", "SF260"),
        ("(event.a", "SF260"),
        ("foo", "SF261"),
        ("shout(event.a)", "SF261"),
        ("steps[event.s].x", "SF262"),
        ("steps", "SF262"),
        ("steps.exists(s, true)", "SF262"),
        ("errors[event.s].code", "SF262"),
        ("event.l.exists(x, errors[x].code == 'a')", "SF262"),
        ("{'a': 1}.map(k, k)", "SF263"),
        ("event.l.map(event, event)", "SF264"),
        ("now.getHours('Europe/Berlin')", "SF265"),
        ("now.getHours(event.s)", "SF265"),
        ("event.s.matches('(')", "SF278"),
        ("event.s.matches('(?=a)')", "SF278"),
        ("event.s.matches('[[:alpha:]]')", "SF278"),
        ("google.protobuf.Int64Value{value: 1}", "SF277"),
        ("streamflow.Decimal{}", "SF277"),
        ("decimal('1') + 1.5", "SF271"),
        ("decimal('1') == 1.5", "SF271"),
        ("decimal(true)", "SF271"),
        ("1 + 'a'", "SF271"),
        ("1.5 > 1", "SF271"),
    ],
)
def test_what_cannot_run_is_refused_before(source: str, code: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        compile_expression(source)
    assert [problem.code for problem in caught.value.problems] == [code]


def test_errors_of_steps_items_and_places_are_read() -> None:
    compiled = compile_expression("errors.paid.code + item.sku + string(index) + string(steps.a.n)")
    assert compiled.names == {"errors", "item", "index", "steps"}
    assert compiled.steps == {"a", "paid"}
    assert compiled.failing == {"paid"}
    values = {"errors": {"paid": {"code": "no"}}, "item": {"sku": "x", "more": 1}, "index": 2, "steps": {"a": {"n": 1}}}
    assert compiled.evaluate(values) == "nox21"
    assert compile_expression("item * 2").evaluate({"item": 4}) == 8
    assert compile_expression("has(errors.paid)").holds({"errors": {}}) is False


def test_a_macro_may_call_its_variable_item_as_published_definitions_do() -> None:
    for source in ("event.l.map(item, item + 1)", "event.l.map(index, index + 1)", "event.l.map(errors, errors + 1)"):
        compiled = compile_expression(source)
        assert compiled.names == {"event"}
        assert compiled.steps == frozenset()
        assert compiled.evaluate(VALUES) == [4, 2, 3]
    both = compile_expression("event.l.map(item, item + 1) + [item.n]")
    assert both.names == {"event", "item"}
    assert both.evaluate(VALUES | {"item": {"n": 9}}) == [4, 2, 3, 9]


def test_an_integer_beyond_64_bits_keeps_its_digits_and_does_not_take_part_in_arithmetic() -> None:
    values = {"event": {"big": 10**30 + 7, "small": 1}}
    assert compile_expression("event.big").evaluate(values) == 10**30 + 7
    assert compile_expression("string(event.big)").evaluate(values) == "1000000000000000000000000000007"
    assert compile_expression("decimal(event.big) + 1").evaluate(values) == "1000000000000000000000000000008"
    assert compile_expression("event.big > event.small && event.big == event.big").holds(values)
    with pytest.raises(ExpressionError) as caught:
        compile_expression("event.big + 1").evaluate(values)
    assert caught.value.code == "out_of_range"


def test_a_zero_character_is_a_character() -> None:
    values = {"event": {"s": "a\x00b", "a\x00": 1}}
    assert compile_expression("event.s").evaluate(values) == "a\x00b"
    assert compile_expression("size(event.s)").evaluate(values) == 3
    assert compile_expression("event.s == 'a'").holds(values) is False
    assert compile_expression("event.s == 'a\\u0000b' && event.s.matches('^a.b$')").holds(values)
    assert compile_expression("event").evaluate(values) == values["event"]


def test_a_number_keeps_its_digits_as_text() -> None:
    values = {"event": {"a": 19900.55, "b": 1234567.89, "c": 1234567.5, "d": 10.0, "e": 1e21, "f": 0.1}}
    source = "[event.a, event.b, event.c, event.d, event.e, event.f].map(x, string(x))"
    assert compile_expression(source).evaluate(values) == ["19900.55", "1234567.89", "1234567.5", "10", "1e+21", "0.1"]
    assert compile_expression("'%s %d'.format([event.a, event.b])").evaluate(values) == "19900.55 1234567.89"


def test_values_that_are_no_json_fail_with_a_code() -> None:
    for wrong in ("\ud800", object()):
        with pytest.raises(ExpressionError) as caught:
            compile_expression("event.a").evaluate({"event": {"a": wrong}})
        assert caught.value.code == "failed"


def test_what_fails_first_over_an_object_does_not_depend_on_the_order_of_its_fields() -> None:
    expression = compile_expression("event.m.all(k, k == 'a' ? 1 / 0 > 0 : k == 'b' ? event.zz : event.m[k] > 's')")
    for fields in ("abc", "cba", "bca"):
        with pytest.raises(ExpressionError) as caught:
            expression.evaluate({"event": {"m": dict.fromkeys(fields, 1)}})
        assert caught.value.code == "division_by_zero"


PROGRAM = """
import json
from streamflow.definition.content import canonical
from streamflow.definition.expression import compile_expression
from streamflow.definition.plan import ExpressionError
from tests.unit.definition.examples import CATALOG, GOOD
from streamflow.definition.syntax import parse_definition
print(canonical(parse_definition(GOOD), CATALOG).decode())
keys = ["k%d" % i for i in range(40)]
values = {"event": {"m": {k: ({"z": 1} if i % 3 else i if i % 2 else "s") for i, k in enumerate(keys)}, "l": list(range(9)), "e": {}}}
sources = [
    "event",
    "event.m",
    "{'a': event.m, 'b': 2}",
    "event.m.all(k, event.m[k].z > 0)",
    "event.m.exists(k, event.m[k].y > 1)",
    "event.m.exists_one(k, event.m[k] > 's')",
    "event.m.map(k, k)",
    "event.e.map(k, k)",
    "'%s'.format([event.m])",
    "event.m.exists(k, event.m[k] == 's')",
    "event.l.map(x, {'a': x, 'b': event.e})",
    "event.m.exists(k, k == 'k7' || !event.m.all(i, event.l.all(x, true)))",
    "event.m.exists(k, event.m.all(j, event.m[k] == 's' ? event.l.all(x, event.l.all(y, true)) : false))",
    "[event.m, event.l].all(c, c.all(x, 1 / x > 0))",
    "event.e.all(x, true) && event.m.all(k, event.m[k].z.zz > 0 || event.nope)",
]
for source in sources:
    try:
        print(source, json.dumps(compile_expression(source).evaluate(values), sort_keys=True))
    except ExpressionError as error:
        print(source, error.code)
"""  # noqa: E501


def test_two_processes_with_other_hash_seeds_give_the_same_bytes() -> None:
    path = os.pathsep.join(filter(None, (".", os.environ.get("PYTHONPATH"))))
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
        )
        for seed in ("1", "2", "3")
    ]
    outputs = {process.communicate(timeout=60)[0] for process in started}
    assert [process.returncode for process in started] == [0, 0, 0]
    assert len(outputs) == 1
    assert b"no_overload" in next(iter(outputs))
