"""Whatever expression over whatever data: our evaluator gives what the CEL library gives, or both fail."""

from __future__ import annotations

import datetime as dt
import os
import re
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from streamflow.definition.evaluator import decimals
from streamflow.definition.evaluator.budget import BYTES, STEPS
from streamflow.definition.evaluator.functions import FUNCTIONS
from streamflow.definition.evaluator.operators import OPERATORS
from streamflow.definition.evaluator.values import TRUE_KEY, Duration, OptionalValue, Timestamp, TypeName, type_of
from streamflow.definition.expression import Expression, compile_expression
from streamflow.definition.expression_diagnosis import DIAGNOSIS_CHARS
from streamflow.definition.expression_tree import Tree
from streamflow.definition.plan import ExpressionError
from streamflow.errors import DefinitionError
from tests.conftest import examples
from tests.unit.definition.cel_library import library_environment

NOW_MS = 1_767_225_600_123
EXAMPLES = int(os.environ.get("EXPRESSION_EXAMPLES", examples(300)))
LIBRARY = library_environment()

# What gives a value of each type; a hole such as <int> takes any of that type. Left out is only where the two differ on
# purpose: digits of doubles as text, durations of more than 292 years, spaces around numbers, `map` over objects, and
# `transformMap`, which the library checks but cannot evaluate (CEL's conformance tests have it).
TEMPLATES: dict[str, list[str]] = {
    "int": [
        "0", "1", "-1", "7", "-9223372036854775808", "9223372036854775807", "event.i", "event.j", "index",
        "<int> + <int>", "<int> - <int>", "<int> * <int>", "<int> / <int>", "<int> % <int>", "-<int>", "event.m.a",
        "int(<int>)", "int(<uint>)", "int(<double>)", "int(<string>)", "int(<time>)", "size(<string>)", "size(<bytes>)",
        "size(<ints>)", "<ints>.size()", "size(<map>)", "<bool> ? <int> : <int>", "<ints>[<int>]", "<map>['a']",
        "event.l[<int>]", "<string>.indexOf(<string>)", "<string>.indexOf(<string>, <int>)", "<ints>[dyn(<double>)]",
        "<string>.lastIndexOf(<string>)", "<string>.lastIndexOf(<string>, <int>)", "math.greatest(<int>, <int>)",
        "math.least(<int>, <int>, <int>)", "math.abs(<int>)", "math.sign(<int>)", "math.bitAnd(<int>, <int>)",
        "math.bitOr(<int>, <int>)", "math.bitXor(<int>, <int>)", "math.bitNot(<int>)",
        "math.bitShiftLeft(<int>, <int>)", "math.bitShiftRight(<int>, <int>)", "<time>.getFullYear()",
        "<time>.getMonth()", "<time>.getDate()", "<time>.getDayOfMonth()", "<time>.getDayOfYear()",
        "<time>.getDayOfWeek()", "<time>.getHours()", "<time>.getMinutes()", "<time>.getSeconds()",
        "<time>.getMilliseconds()", "<time>.getHours('+05:30')", "<time>.getDate('-11:00')", "<length>.getHours()",
        "<length>.getMinutes()", "<length>.getSeconds()", "<length>.getMilliseconds()", "cel.bind(x, <int>, x + x)",
        "<option>.orValue(<int>)", "<option>.value()", "event.?i.orValue(<int>)", "event.?zz.?y.orValue(<int>)",
        "event.l[?<int>].orValue(<int>)", "<option>.optMap(v, v + 1).orValue(<int>)", "<ints>.first().orValue(<int>)",
        "<ints>.last().orValue(<int>)", "dyn(<int>)", "event.deep.a.b", "event['i']", "event.?m[?'b'].orValue(<int>)",
        "{1: <int>, 2: <int>}[<int>]", "{true: <int>}[<bool>]", "{2u: <int>}[<uint>]", "event.m[<string>]",
    ],
    "uint": [
        "0u", "3u", "18446744073709551615u", "<uint> + <uint>", "<uint> - <uint>", "<uint> * <uint>",
        "<uint> / <uint>", "<uint> % <uint>", "uint(<int>)", "uint(<double>)", "uint(<string>)", "math.abs(<uint>)",
        "math.bitAnd(<uint>, <uint>)", "math.bitNot(<uint>)", "math.bitShiftLeft(<uint>, <int>)",
        "math.bitShiftRight(<uint>, <int>)", "math.sign(<uint>)", "<bool> ? <uint> : <uint>",
    ],
    "double": [
        "0.0", "1.5", "-2.25", "1e300", "event.d", "<double> + <double>", "<double> - <double>", "<double> * <double>",
        "<double> / <double>", "-<double>", "double(<int>)", "double(<uint>)", "double(<string>)", "double(<double>)",
        "math.ceil(<double>)", "math.floor(<double>)", "math.round(<double>)", "math.trunc(<double>)",
        "math.abs(<double>)", "math.sign(<double>)", "math.sqrt(<double>)", "math.sqrt(<int>)",
        "math.greatest(<double>, <int>)", "math.least(<double>, <uint>)", "<bool> ? <double> : <double>",
    ],
    "bool": [
        "true", "false", "event.b", "event.zz", "<bool> && <bool>", "<bool> || <bool>", "!<bool>",
        "<int> == <int>", "<int> != dyn(<double>)", "<int> < <int>", "dyn(<int>) < <double>", "dyn(<uint>) >= <double>",
        "dyn(<int>) <= <uint>", "<double> > <double>", "<double> >= <double>", "<string> < <string>",
        "<string> <= <string>", "<bytes> > <bytes>", "<bool> < <bool>", "<time> < <time>", "<length> >= <length>",
        "<time> == <time>", "<any> == <any>", "<any> != <any>", "<ints> == <ints>", "<map> == <map>",
        "event.x < event.y", "event.x == event.y", "event.x == null", "<int> in <ints>", "<string> in <map>",
        "<any> in [<any>, <any>]", "<any> in event.l", "has(event.zz)", "has(event.m.a)", "has(event.i.x)",
        "has(event.?m.a)", "<option>.hasValue()", "<string>.contains(<string>)", "<string>.startsWith(<string>)",
        "<string>.endsWith(<string>)", "<string>.matches('^[ab]+$')", "<string>.matches('1.|\\\\.$')",
        "<ints>.all(v, v > <int>)", "<ints>.exists(v, 1 / v > 0)", "<ints>.exists_one(v, v == <int>)",
        "event.x.all(v, v > 1)", "event.x.exists(v, v == 'a')", "<map>.all(k, k < 'b')", "<map>.exists(k, k == 'b')",
        "<ints>.all(i, v, v > i)", "<ints>.exists(i, v, v == i)", "<ints>.existsOne(i, v, v == i)",
        "<map>.exists(k, v, v > <int>)", "bool(<string>)", "bool(<bool>)", "type(<any>) == type(<any>)",
        "math.isNaN(<double>)", "math.isInf(<double>)", "math.isFinite(<double>)", "type(<int>) == int",
        "optional.of(<int>) == optional.of(<int>)", "optional.none() == optional.none()", "@bound",
    ],
    "string": [
        "''", "'a'", "'ab1'", "'é,😀'", "'-12'", "'true'", "event.s", "event.t", "run.key", "<string> + <string>",
        "string(<int>)", "string(<uint>)", "string(<bool>)", "string(<bytes>)", "string(<time>)", "string(<length>)",
        "string(<string>)", "string(1.5)", "<string>.charAt(<int>)", "<string>.lowerAscii()", "<string>.upperAscii()",
        "<string>.replace(<string>, <string>)", "<string>.replace(<string>, <string>, <int>)", "<string>.trim()",
        "<string>.substring(<int>)", "<string>.substring(<int>, <int>)", "<texts>.join()", "<texts>.join(<string>)",
        "<string>.reverse()", "strings.quote(<string>)", "base64.encode(<bytes>)", "<bool> ? <string> : <string>",
        "'%s-%d %x'.format([<string>, <int>, <int>])", "'%s %s %s'.format([<ints>, <map>, <time>])",
        "'%b %o %X'.format([<int>, <int>, <string>])", "'%.2f %.1e %%'.format([1.25, 1.5])", "<texts>[<int>]",
        "'%s'.format([<bool>, 1])", "'%d'.format([<string>])", "'%s'.format([duration('90s')])",
    ],
    "bytes": ["b''", "b'a\\xff'", "bytes(<string>)", "bytes(<bytes>)", "<bytes> + <bytes>", "base64.decode(<string>)"],
    "ints": [
        "[]", "[1, 2, 3]", "[<int>, <int>]", "event.l", "<ints> + <ints>", "[1, 2].map(v, v + <int>)",
        "<ints>.filter(v, v > <int>)", "event.l.map(v, v > 0, v * 2)", "event.l.transformList(i, v, v + i)",
        "event.l.transformList(i, v, v > 1, i)", "<ints>.reverse()", "<ints>.sort()", "<ints>.distinct()",
        "<ints>.slice(<int>, <int>)", "lists.range(3)", "[<ints>, [4]].flatten()", "[[<ints>], [[5]]].flatten(2)",
        "<ints>.sortBy(v, -v)", "[<int>, ?event.?i, ?event.?zz]", "<bool> ? <ints> : <ints>",
        "event.l.map(v, event.l.filter(w, w > v).size())", "cel.bind(x, <ints>, x + x)",
    ],
    "texts": ["['a', 'b']", "[<string>, <string>]", "<string>.split(<string>)", "<string>.split(<string>, <int>)",
              "event.l.map(v, string(v))", "<texts>.sort()", "<texts>.distinct()"],
    "map": [
        "{}", "{'a': 1, 'b': 2}", "event.m", "{<string>: <int>}", "{'a': <int>, ?'b': event.?i}",
    ],
    "time": [
        "now", "timestamp('2026-02-28T23:59:59.999Z')", "timestamp(event.t)", "timestamp(<string>)", "timestamp(0)",
        "timestamp('1969-12-31T23:59:58-01:30')", "<time> + <length>", "<time> - <length>", "<length> + <time>",
        "timestamp('1000-01-01T00:00:00Z')", "timestamp('9000-12-31T23:59:59Z')", "timestamp(<time>)",
    ],
    "length": ["duration('0s')", "duration('1h30m')", "duration('-90s')", "duration('1500ms')", "duration('36h')",
               "duration(<string>)", "<length> + <length>", "<length> - <length>", "duration(<length>)",
               "now - timestamp(event.t)"],
    "option": ["optional.of(<int>)", "optional.none()", "event.?i", "event.?zz", "event.m[?'a']", "event.m.?zz",
               "optional.ofNonZeroValue(<int>)", "<option>.or(<option>)", "<option>.optFlatMap(v, optional.of(v))",
               "event.?m.?b", "event.?l[?0]"],
}  # fmt: skip
TEMPLATES["any"] = [f"<{kind}>" for kind in TEMPLATES if kind != "option"] + ["null", "event.x", "event.y", "event.n"]
TEMPLATES["any"] += ["[<any>, <int>]", "{'k': <any>}", "type(<int>)", "dyn(<bool>)", "event.x.a", "event.x[0]"]
TEMPLATES["bool"].remove("@bound")
TEMPLATES["bool"].append("cel.bind(x, <bool>, x || event.zz)")
OUR_OWN = {*decimals.FUNCTIONS, "sum", "avg", "min", "max"}
HOLE = re.compile(r"<(\w+)>")

TEXTS = st.text("ab1-é.,T😀:", max_size=6)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-3, 3),
    st.integers(-800, 800).map(lambda eighths: eighths / 8),
    TEXTS,
)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abk"), inner, max_size=3)
)
EVENTS = st.fixed_dictionaries(
    {
        "i": st.integers(-5, 5) | st.integers(-(2**63), 2**63 - 1),
        "j": st.integers(0, 3),
        "d": st.integers(-800, 800).map(lambda eighths: eighths / 8),
        "s": TEXTS,
        "t": st.sampled_from(("2026-01-31T08:00:00Z", "2026-01-31T08:00:00.250+05:30", "no time")),
        "b": st.booleans(),
        "n": st.none(),
        "l": st.lists(st.integers(-3, 9), max_size=5),
        "m": st.dictionaries(st.sampled_from(("a", "b", "c")), st.integers(-3, 3)),
        "deep": st.fixed_dictionaries({"a": st.fixed_dictionaries({"b": st.integers(0, 9)})}),
        "x": ANYTHING,
        "y": ANYTHING,
    }
)


@lru_cache
def expressions(kind: str, depth: int) -> st.SearchStrategy[str]:
    """Expressions of one type, with at most `depth` templates in each other."""
    templates = TEMPLATES[kind]
    leaves = [template for template in templates if not HOLE.search(template)]
    if depth == 0:
        return st.sampled_from(leaves or [leaf for leaf in TEMPLATES["int"] if not HOLE.search(leaf)])
    return st.sampled_from(templates).flatmap(lambda template: filled(template, depth - 1))


def filled(template: str, depth: int) -> st.SearchStrategy[str]:
    parts = HOLE.split(template)
    inner = [expressions(kind, depth) for kind in parts[1::2]]
    return st.tuples(*inner).map(
        lambda found: "".join(part if place % 2 == 0 else f"({found[place // 2]})" for place, part in enumerate(parts))
    )


def of_library(value: Any) -> Any:
    """A value of the library as (type, Python value); not a number by that name."""
    name = value.type().name()
    if name.startswith("LIST"):
        return ("list", [of_library(item) for item in value.value()])
    if name.startswith("MAP"):
        items = value.value().items()
        return ("map", {key if key is not True else TRUE_KEY: of_library(item) for key, item in items})
    found = value.plain_value()
    if isinstance(found, dt.datetime):
        micros = (found - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
        return ("google.protobuf.Timestamp", micros)
    if isinstance(found, dt.timedelta):
        return ("google.protobuf.Duration", found // dt.timedelta(microseconds=1))
    if name.startswith("TYPE"):
        return ("type", None)
    return (_NAMES[name], "NaN" if found != found else bytes(found) if name == "BYTES" else found)


_NAMES = {"INT": "int", "UINT": "uint", "DOUBLE": "double", "BOOL": "bool", "STRING": "string", "BYTES": "bytes"}
_NAMES["NULL"] = "null_type"


def of_ours(value: Any) -> Any:
    if isinstance(value, list):
        return ("list", [of_ours(item) for item in value])
    if isinstance(value, dict):
        return ("map", {key: of_ours(item) for key, item in value.items()})
    if isinstance(value, Timestamp | Duration):
        return (type_of(value).name, value.ns // 1000)
    if isinstance(value, TypeName):
        return ("type", None)
    return (type_of(value).name, "NaN" if value != value else value)


def by_library(source: str, data: dict[str, Any]) -> Any:
    program = LIBRARY.compile(source)
    given = {"event": data, "run": {"key": "K"}, "index": 2}
    given["now"] = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + NOW_MS * dt.timedelta(milliseconds=1)
    try:
        value = program.eval(data=given)
    except RuntimeError as error:
        return "budget" if "budget" in str(error) else "error"
    return "error" if value.type().name() in ("ERROR", "UNKNOWN") else of_library(value)


def by_us(expression: Expression, data: dict[str, Any]) -> Any:
    try:
        value = expression.value({"event": data, "run": {"key": "K"}, "index": 2, "now": NOW_MS})
    except ExpressionError as error:
        assert error.code in ("too_costly", "failed") or error.code.islower()
        return "error"
    assert not isinstance(value, OptionalValue)
    return of_ours(value)


def same(source: str, data: dict[str, Any]) -> None:
    expression = compile_expression(source)
    theirs = by_library(source, data)
    if theirs != "budget":  # ours is larger
        assert by_us(expression, data) == theirs, source


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=EXAMPLES, deadline=None)
@given(expressions("any", 3), EVENTS)
def test_our_evaluator_gives_what_the_library_gives(source: str, data: dict[str, Any]) -> None:
    try:
        same(source, data)
    except DefinitionError:
        event("refused by the check")


SIMPLEST = {"i": 2, "j": 1, "d": 1.5, "s": "ab", "t": "2026-01-31T08:00:00Z", "b": True, "n": None, "l": [3, 1, 2]}
SIMPLEST |= {"m": {"a": 1, "b": 2}, "deep": {"a": {"b": 1}}, "x": [2, 3], "y": "a"}
LEAVES = {"int": "event.j", "uint": "3u", "double": "1.5", "bool": "true", "string": "'ab1'", "bytes": "b'ab'"}
LEAVES |= {"ints": "[3, 1, 2]", "texts": "['b', 'a']", "map": "{'a': 1, 'b': 2}", "time": "now"}
LEAVES |= {"length": "duration('90s')", "option": "optional.of(4)", "any": "event.x"}


def simplest() -> list[str]:
    """Each template with the simplest values in its holes."""
    filled = {
        kind: [HOLE.sub(lambda hole: f"({LEAVES[hole[1]]})", template) for template in templates]
        for kind, templates in TEMPLATES.items()
    }
    filled["option"] = [f"({source}).hasValue()" for source in filled["option"]]
    return [source for sources in filled.values() for source in sources]


def test_every_operator_and_function_is_among_what_is_generated() -> None:
    used = {
        node.call_expr.function
        for source in simplest()
        for node in Tree(LIBRARY.compile(source).serialize()).nodes()
        if node.WhichOneof("kind") == "call_expr"
    }
    assert {*FUNCTIONS, *(name for name, _ in OPERATORS)} - OUR_OWN - used == set()


@pytest.mark.parametrize("source", simplest())
def test_each_alone_gives_what_the_library_gives(source: str) -> None:
    same(source, SIMPLEST)


def turned(data: Any) -> Any:
    """The same data, with every map built in the opposite order."""
    if isinstance(data, dict):
        return {name: turned(value) for name, value in reversed(data.items())}
    return [turned(item) for item in data] if isinstance(data, list) else data


def cost(expression: Expression, data: dict[str, Any]) -> tuple[Any, list[Any]]:
    """What an evaluation gives, value or code with its diagnosis, and what is left of its budget."""
    variables = {"event": data, "run": {"key": "K"}, "index": 2, "now": NOW_MS}
    frame = [variables, STEPS, BYTES, *expression._locals]
    try:
        found = of_ours(expression._run(frame))
    except ExpressionError as error:
        found = error.code, expression.diagnosis(variables, error)
        assert bool(found[1]) == (error.code != "too_costly")
        assert len(found[1]) <= DIAGNOSIS_CHARS
    return found, frame[1:3]


WIDE = st.dictionaries(st.sampled_from("abcdef"), ANYTHING, max_size=6)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.sampled_from(("bool", "any", "map", "ints", "string")).flatmap(lambda kind: expressions(kind, 3)),
    EVENTS,
    WIDE,
    WIDE,
)
@example("event.x == event.y", SIMPLEST, {"a": [1], "b": [2]}, {"a": [9], "b": [2]})
def test_the_order_in_which_maps_were_decoded_changes_neither_results_nor_costs(
    source: str, data: dict[str, Any], x: dict[str, Any], y: dict[str, Any]
) -> None:
    """A value is read from memory as it was sent, and from the store with its keys sorted."""
    try:
        expression = compile_expression(source)
    except DefinitionError:
        event("refused by the check")
        return
    wide = {**data, "x": x, "y": y, "m": y}
    assert cost(expression, wide) == cost(expression, turned(wide)), source
