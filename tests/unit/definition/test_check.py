from __future__ import annotations

import pytest

from streamflow.definition.check import CODES, CONTENT_BYTES, STEPS, check, require
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.errors import DefinitionError
from tests.unit.definition.examples import CATALOG, GOOD, HEAD, codes, of_expression, problems

BAD = """
name: order-payment
version: "1"
on: [{id: placed, event: order.place, where: event.amount > 10}, {id: again, event: order.placed, where: event.amont > 10}]
steps:
  - id: paid
    needs: [plcaed]
    wait: {events: [{id: captured, event: payment.captured, where: event.order_id == 3}]}
  - id: total
    needs: [paid.captured, ship]
    set: [{name: amount, expr: steps.size.branch}]
  - id: size
    needs: [paid.refused]
    choose: [{id: small}, {id: large, if: trigger.quantity + 1}]
  - id: ship
    needs: [total]
    emit: {event: order.released, data: [{name: idd, expr: trigger.id}, {name: total, expr: "'much'"}]}
  - id: paid
    print: {text: "'x"}
    delay: {for: 1h}
"""  # noqa: E501


def test_all_mistakes_are_reported_at_once_with_place_and_fix() -> None:
    found = {f"{problem.code} {problem.pointer}": problem for problem in check(parse_definition(BAD), CATALOG)}
    assert set(found) == {
        "SF201 /on/0/event",
        "SF270 /on/1/where",
        "SF211 /steps/0/needs/0",
        "SF215 /steps/0/wait",
        "SF271 /steps/0/wait/events/0/where",
        "SF213 /steps/1/needs",
        "SF267 /steps/1/set/0/expr",
        "SF220 /steps/2/choose/0",
        "SF212 /steps/2/needs/0",
        "SF272 /steps/2/choose/1/if",
        "SF240 /steps/3/emit/data",
        "SF241 /steps/3/emit/data/0/name",
        "SF242 /steps/3/emit/data/1/expr",
        "SF210 /steps/4/id",
        "SF214 /steps/4",
    }
    assert found["SF201 /on/0/event"].fix == "Did you mean `order.placed`?"
    assert found["SF270 /on/1/where"].fix == "Did you mean `amount`?"
    assert found["SF267 /steps/1/set/0/expr"].fix == "Add `size` to `needs`."
    assert found["SF241 /steps/3/emit/data/0/name"].fix == "Did you mean `id`?"
    assert found["SF212 /steps/2/needs/0"].fix == "Its outcomes are captured."
    assert "total -> ship -> total" in found["SF213 /steps/1/needs"].message
    assert all(problem.fix for problem in found.values())


def test_a_good_definition_has_no_problems() -> None:
    assert check(parse_definition(GOOD), CATALOG) == ()


def test_require_gives_warnings_and_raises_errors() -> None:
    warned = parse_definition(GOOD.replace("needs: [paid.timeout]", "needs: [paid]"))
    assert [problem.code for problem in require(warned, CATALOG)] == ["SF222"]
    with pytest.raises(DefinitionError) as caught:
        require(parse_definition(BAD), CATALOG)
    assert len(caught.value.problems) == 15


def test_every_code_that_is_reported_is_in_the_table() -> None:
    assert {problem.code for problem in check(parse_definition(BAD), CATALOG)} <= set(CODES)
    assert all(code[:2] == "SF" and len(code) == 5 and title for code, title in CODES.items())


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("- {id: placed, print: {text: '1'}}", [("SF210", "/steps/0/id")]),
        ("- {id: if, print: {text: '1'}}", [("SF219", "/steps/0/id")]),
        ("- {id: a, needs: [placed], print: {text: '1'}}", [("SF211", "/steps/0/needs/0")]),
        (
            "- {id: a, print: {text: '1'}}\n- {id: b, needs: [a.done], print: {text: '1'}}",
            [("SF212", "/steps/1/needs/0")],
        ),
        (
            "- {id: a, print: {text: '1'}}\n- {id: b, needs: [a, a], print: {text: '1'}}",
            [("SF223", "/steps/1/needs/1")],
        ),
        ("- {id: a, needs: [a], print: {text: '1'}}", [("SF213", "/steps/0/needs")]),
        ("- {id: a}", [("SF214", "/steps/0")]),
        ("- {id: a, delay: {}}", [("SF216", "/steps/0/delay")]),
        ("- {id: a, delay: {for: 1h, until: now}}", [("SF216", "/steps/0/delay")]),
        ("- {id: a, delay: {for: 0s}}", [("SF232", "/steps/0/delay/for")]),
        ("- {id: a, delay: {for: 99999w}}", [("SF232", "/steps/0/delay/for")]),
        ("- {id: a, delay: {until: trigger.quantity}}", [("SF272", "/steps/0/delay/until")]),
        ("- {id: a, choose: [{id: b, if: 'true'}]}", [("SF221", "/steps/0/choose")]),
        ("- {id: a, choose: [{id: b, if: 'true'}, {id: b}]}", [("SF223", "/steps/0/choose/1/id")]),
        ("- {id: a, choose: [{id: failure}]}", [("SF219", "/steps/0/choose/0/id")]),
        ("- {id: a, set: [{name: b, expr: '1'}, {name: b, expr: '2'}]}", [("SF223", "/steps/0/set/1/name")]),
        (
            "- {id: a, wait: {events: [{id: b, event: raw}], within: 1h, forever: true}}",
            [("SF215", "/steps/0/wait"), ("SF222", "/steps/0/wait/within")],
        ),
        (
            "- {id: a, wait: {events: [{id: timeout, event: raw}], forever: true}}",
            [("SF219", "/steps/0/wait/events/0/id")],
        ),
        (
            "- {id: a, wait: {events: [{id: b, event: raw, key: trigger.id}], forever: true}}",
            [("SF224", "/steps/0/wait/events/0/key")],
        ),
        (
            "- {id: a, wait: {events: [{id: b, event: raw}], forever: true}}\n- {id: c, needs: [a.timeout], print: "
            "{text: '1'}}",
            [("SF212", "/steps/1/needs/0")],
        ),
        ("- {id: a, emit: {event: raww}}", [("SF201", "/steps/0/emit/event")]),
        ("- {id: a, emit: {event: raw, key: trigger.customer}}", [("SF272", "/steps/0/emit/key")]),
        ("- {id: a, if: trigger.id, print: {text: '1'}}", [("SF272", "/steps/0/if")]),
    ],
)
def test_the_graph_and_its_parts(steps: str, expected: list[tuple[str, str]]) -> None:
    assert codes(steps) == expected


CHOICE = (
    "- {id: c, choose: [{id: x, if: 'true'}, {id: y}]}\n- {id: a, needs: [c.x], print: {text: '1'}}\n- {id: b, "
    "needs: [c.y], print: {text: '1'}}\n"
)


def test_needs_that_exclude_each_other_can_never_all_be_met() -> None:
    assert codes(
        "- {id: c, choose: [{id: x, if: 'true'}, {id: y}]}\n- {id: d, needs: [c.x, c.y], print: {text: '1'}}"
    ) == [("SF217", "/steps/1/needs")]
    assert codes(CHOICE + "- {id: d, needs: [a, b], print: {text: '1'}}") == [("SF217", "/steps/3/needs")]
    assert codes(CHOICE + "- {id: d, needs: [a, b], join: any, print: {text: '1'}}") == []
    waits = "- {id: w, wait: {events: [{id: x, event: raw}], within: 1h}}\n"
    assert codes(waits + "- {id: d, needs: [w, w.timeout], print: {text: '1'}}") == [("SF217", "/steps/1/needs")]


def test_a_step_behind_one_that_can_never_begin_is_named_too() -> None:
    dead = CHOICE + "- {id: d, needs: [a, b], print: {text: '1'}}\n- {id: e, needs: [d], print: {text: '1'}}\n"
    assert codes(dead) == [("SF217", "/steps/3/needs"), ("SF218", "/steps/4")]
    assert codes(dead.replace("needs: [d]", "needs: [d, c], join: any")) == [("SF217", "/steps/3/needs")]


def test_every_circle_is_named() -> None:
    steps = "".join(f"- {{id: {a}, needs: [{b}], print: {{text: '1'}}}}\n" for a, b in ("ab", "ba", "ca", "de", "ed"))
    assert codes(steps) == [("SF213", "/steps/0/needs"), ("SF213", "/steps/3/needs")]


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("trigger.amout", "SF270"),
        ("trigger.customer.emial", "SF270"),
        ("trigger['ship-too']", "SF270"),
        ("trigger.lines.map(l, l.skuu)", "SF270"),
        ("steps.paid.data.order", "SF270"),
        ("run.keyy", "SF270"),
        ("trigger.id > 10", "SF271"),
        ("trigger.quantity > 1.5", "SF271"),
        ("trigger.id == null", "SF271"),
        ("'id' in trigger", "SF271"),
        ("event.amount", "SF266"),
        ("steps.payd.data", "SF268"),
        ("trigger.attributes.map(k, k)", "SF263"),
        ("trigger.?note", "SF273"),
        ("{1: trigger.id}", "SF273"),
        ("'EUR ' + trigger.amount", "SF271"),
        ("trigger.amount + ' EUR'", "SF271"),
        ("trigger.id + trigger.amount", "SF271"),
        ("'a' + trigger.id + trigger.amount + 'b'", "SF271"),
        ("trigger.amount + 1", "SF274"),
        ("trigger.amount * steps.paid.data.amount", "SF274"),
    ],
)
def test_expressions_are_checked_against_the_schemas(source: str, code: str) -> None:
    assert {problem.code for problem in of_expression(source)} == {code}


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("trigger.", "at column 9: `.` is not expected there"),
        ("trigger.id @", "at column 12: `@` is no part of an expression"),
        ("[trigger.id", "at column 12: it ends too early"),
        ("trigger.id)", "at column 11: `)` is not expected there"),
        ("trigger.id id", "at column 12: `id` is not expected there"),
        ("1 ++ 2", "at column 4: `+` is not expected there"),
        ("{'a' 1}", "at column 6: ':' is missing before '1'"),
        ("trigger.id +", "at column 13: it ends too early"),
        ("foo(1)", "`foo` is no function of expressions (at column 4)"),
        ("foo + 1", "`foo` is no variable of expressions (at column 1)"),
        ("now() > now", "`now` is a variable, not a function (at column 4)"),
        ("size(1, 2)", "`size` is not called like that (at column 5)"),
        ("!trigger.id", "`!` does not take a text (at column 1)"),
        ("trigger.quantity && true", "`&&` does not take a whole number and true or false"),
        ("[1] + 1", "`+` does not take a list and a whole number"),
        ("optional.of(1) + 1", "does not take an optional value (end it with orValue) and a whole number"),
        ("trigger.customer + 1", "`+` does not take a group of fields and a whole number"),
        ("trigger.id.x", "a text has no fields (at column 11)"),
        ("trigger.lines.sku", "a list has no fields (at column 14)"),
    ],
)
def test_an_expression_that_cannot_be_read_is_told_in_words_and_with_its_place(source: str, told: str) -> None:
    assert told in of_expression(source)[0].message


@pytest.mark.parametrize(
    ("source", "fix"),
    [
        ("trigger.lines.reduce(a, b, a + b.count)", "Write list.map(item, expression) and then sum()"),
        ("reduce(a, b, trigger.lines)", "Write list.map(item, expression) and then sum()"),
        ("len(trigger.lines)", "Write size(x)."),
        ("trigger.id.toLowerCase()", "Write text.lowerAscii()."),
        ("trigger.id.startWith('o')", "Write text.startsWith(part)."),
        ("round(1.5)", "Write decimal.round(digits) or decimal.round(digits, mode) or math.round(x)."),
        ("frobnicate(x, y)", "docs/functions.md lists all functions."),
        ("if trigger.quantity > 1 then 2 else 3", "Write condition ? a : b."),
        ("trigger.quantity = 1", "Write == to compare."),
        ("trigger.quantity > 1 & true", "Write && for and, || for or, ! for not."),
        ("trigger.lines.map(l => l.count)", "such as list.map(item, item.count)."),
    ],
)
def test_what_other_languages_call_it_is_one_problem_that_says_what_to_write(source: str, fix: str) -> None:
    [problem] = of_expression(source)
    assert fix in problem.fix


@pytest.mark.parametrize(
    "source",
    [
        "trigger.amount > 10 ? trigger.id : trigger['ship-to']",
        "double(trigger.amount) * 1.5",
        "trigger.note == null ? 'none' : trigger.note",
        "trigger.lines.filter(l, l.count > 1).map(l, l.sku)",
        "trigger.attributes.whatever",
        "trigger.attributes.exists(k, k == 'gift')",
        "trigger.open",
        "steps.paid.event + steps.paid.id + string(steps.paid.time_ms) + steps.paid.data.order_id",
        "run.id + run.key + run.definition + run.version + run.trigger + string(run.started_ms)",
        "now - duration('1h')",
        "timestamp(trigger.placed_at) < now",
        "trigger.?note.orValue('')",
    ],
)
def test_good_expressions_have_no_problems(source: str) -> None:
    assert of_expression(source) == ()


def test_types_flow_from_set_to_later_steps() -> None:
    values = {"at": "now", "who": "trigger.customer", "n": "trigger.quantity * 2", "all": "trigger.lines.map(l, l.sku)"}
    steps = (
        "- id: a\n  set: ["
        + ", ".join(f"{{name: {name}, expr: '{source}'}}" for name, source in values.items())
        + "]\n"
    )
    assert (
        codes(
            steps + "- {id: b, needs: [a], print: {text: 'steps.a.at + steps.a.who.email + string(steps.a.n + 1) + "
            "steps.a.all[0]'}}"
        )
        == []
    )
    for wrong in (
        "steps.a.att",
        "steps.a.who.mail",
        "steps.a.n + 'x'",
        "steps.a.all[0] + 1",
        "steps.a.at + duration('1h')",
    ):
        assert codes(steps + f'- {{id: b, needs: [a], print: {{text: "{wrong}"}}}}') != [], wrong


def test_a_step_that_may_not_have_run_is_asked_for_first() -> None:
    any_join = CHOICE + "- {id: d, needs: [a, b], join: any, print: {text: %s}}"
    found = problems(any_join % "steps.a.text")
    assert [(problem.code, problem.severity) for problem in found] == [("SF269", "warning")]
    assert codes(any_join % "'has(steps.a) ? steps.a.text : steps.c.branch'") == []
    assert codes(CHOICE + "- {id: d, needs: [a, b], join: any, if: has(steps.a), print: {text: steps.a.text}}") == []
    late = (
        "- {id: w, wait: {events: [{id: x, event: raw}], within: 1h}}\n- {id: d, needs: [w.timeout], print: {text: "
        "steps.w.id}}"
    )
    assert codes(late) == [("SF269", "/steps/1/print/text")]


def test_with_several_triggers_a_field_of_one_of_them_is_open_and_a_misspelt_one_a_mistake() -> None:
    head = HEAD.replace(
        "[{id: placed, event: order.placed}]",
        "[{id: placed, event: order.placed}, {id: paid, event: payment.captured}]",
    )
    assert codes("- {id: a, if: has(trigger.order_id), print: {text: trigger.order_id}}", head) == []
    assert codes("- {id: a, print: {text: trigger.order}}", head) == [("SF270", "/steps/0/print/text")]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("{name: id, expr: trigger.id}, {name: total, expr: trigger.amount}, {name: status, expr: \"'paid'\"}", []),
        (
            "{name: id, expr: trigger.id}, {name: total, expr: trigger.quantity}, {name: count, expr: "
            "trigger.quantity}",
            [],
        ),
        ("{name: id, expr: trigger.id}", [("SF240", "/steps/0/emit/data")]),
        ("{name: id, expr: trigger.amount}, {name: total, expr: '1'}", [("SF242", "/steps/0/emit/data/0/expr")]),
        ("{name: id, expr: trigger.id}, {name: total, expr: trigger.id}", [("SF242", "/steps/0/emit/data/1/expr")]),
        (
            "{name: id, expr: trigger.id}, {name: total, expr: '1'}, {name: count, expr: '1.5'}",
            [("SF242", "/steps/0/emit/data/2/expr")],
        ),
        (
            "{name: id, expr: trigger.id}, {name: total, expr: '1'}, {name: status, expr: \"'payd'\"}",
            [("SF242", "/steps/0/emit/data/2/expr")],
        ),
        ("{name: id, expr: trigger.open}, {name: total, expr: trigger.attributes.x}", []),
        (
            "{name: id, expr: trigger.id}, {name: total, expr: '1'}, {name: more, expr: '1'}",
            [("SF241", "/steps/0/emit/data/2/name")],
        ),
    ],
)
def test_emitted_data_is_checked_against_the_schema_of_its_event(data: str, expected: list[tuple[str, str]]) -> None:
    assert codes(f"- {{id: a, emit: {{event: order.released, data: [{data}]}}}}") == expected


def test_limits_come_first_and_alone() -> None:
    assert codes("".join(f"- {{id: s{index}, print: {{text: oops}}}}\n" for index in range(STEPS + 1))) == [
        ("SF230", "/steps")
    ]
    catalog = parse_catalog(
        "events: [{name: order.placed, topics: [a], schema: {description: " + "x" * CONTENT_BYTES + "}}]"
    )
    found = check(parse_definition(HEAD + "- {id: a, print: {text: oops}}"), catalog)
    assert [problem.code for problem in found] == ["SF231"]


@pytest.mark.parametrize(
    "schema",
    [
        "{type: nonsense}",
        "{properties: [a]}",
        "{required: 5}",
        "{type: object, properties: {a: 5}}",
        "{allOf: 3}",
        "{$ref: 7}",
        "{enum: 1}",
        "{items: 3, type: array}",
        "{properties: {a: {$ref: 'http://127.0.0.1:9/schema.json'}}}",
        "{$ref: 'file:///etc/hostname'}",
        "{$ref: '#/$defs/missing'}",
    ],
)
def test_a_schema_that_is_none_is_one_problem_and_breaks_nothing(schema: str) -> None:
    catalog = parse_catalog(f"events: [{{name: order.placed, topics: [a], schema: {schema}}}]")
    found = check(
        parse_definition(HEAD + "- {id: a, emit: {event: order.placed, data: [{name: x, expr: trigger.a.b}]}}"), catalog
    )
    assert [problem.code for problem in found] == ["SF202", "SF247"]


def test_an_event_that_the_catalog_holds_twice_is_reported() -> None:
    catalog = parse_catalog("events: [{name: order.placed, topics: [a]}, {name: order.placed, topics: [b]}]")
    assert [problem.code for problem in check(parse_definition(HEAD + "- {id: a, print: {text: '1'}}"), catalog)] == [
        "SF203"
    ]


def test_the_largest_definition_has_no_problem() -> None:
    steps = "".join(
        f"- {{id: s{n}, needs: [{f's{n - 1}' if n else ''}], set: [{{name: a, expr: 'trigger.quantity + {n}'}}]}}\n"
        for n in range(STEPS)
    )
    definition = parse_definition(HEAD + steps)
    assert check(definition, CATALOG) == ()


ELSEWHERE = "events: [{name: order.placed, topics: [orders]}, {name: parcel.sent, topics: [parcels]}]"


@pytest.mark.parametrize(("keep", "expected"), [("", [("SF225", "/steps/0/wait/events/0/event")]), (", keep: 1h", [])])
def test_an_event_of_another_topic_may_come_before_its_run(keep: str, expected: list[tuple[str, str]]) -> None:
    steps = f"- {{id: sent, wait: {{events: [{{id: sent, event: parcel.sent}}], forever: true{keep}}}}}\n"
    found = check(
        parse_definition("name: x\nversion: '1'\non: [{id: placed, event: order.placed}]\nsteps:\n" + steps),
        parse_catalog(ELSEWHERE),
    )
    assert [(problem.code, problem.pointer) for problem in found] == expected
    assert all(problem.severity == "warning" for problem in found)


@pytest.mark.parametrize(
    ("search", "code", "pointer"),
    [
        ("[{name: a, path: trigger.a}, {name: a, path: trigger.b}]", "SF223", "/search/1/name"),
        ("[{name: A, path: trigger.a}]", "SF104", "/search/0/name"),
        ("[{name: a, path: steps.pay.a}]", "SF104", "/search/0/path"),
        ("[{name: a, path: trigger}]", "SF104", "/search/0/path"),
        ("[{name: a, path: 'trigger.a[0]'}]", "SF104", "/search/0/path"),
        ("[{name: a}]", "SF102", "/search/0/path"),
        ("[]", "SF106", "/search"),
        (str([{"name": f"a{n}", "path": "trigger.a"} for n in range(17)]), "SF106", "/search"),
    ],
)
def test_a_search_attribute_is_a_name_and_a_path_in_the_trigger(search: str, code: str, pointer: str) -> None:
    try:
        found = check(parse_definition(f"{GOOD}\nsearch: {search}\n"), CATALOG)
    except DefinitionError as error:
        found = error.problems
    assert (code, pointer) in [(problem.code, problem.pointer) for problem in found]
