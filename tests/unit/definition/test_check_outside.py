"""Calls, lists, child runs, approvals, failing and undoing: what can be wrong with them."""

from __future__ import annotations

import pytest

from streamflow.definition.check import CODES, check
from streamflow.definition.codes import ATTEMPTS
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.errors import DefinitionError
from tests.unit.definition.examples import CATALOG, HEAD, OUTSIDE, codes, problems

BAD = """
name: order
version: "2"
input: {type: 3}
output: chrge
steps:
  - id: charge
    call: {operation: card.chrge, with: [{name: a, expr: item.a}], timeout: 2h, queue: 3h, within: 1h, retry: {codes: [{id: x, attempts: 1}]}}
  - id: again
    call:
      operation: card.charge
      with: [{name: crd, expr: "'x'"}, {name: cents, expr: "'y'"}, {name: how, expr: "'nw'"}]
      retry: {longest: 0s, codes: [{id: declind, attempts: 1}, {id: busy, attempts: 2, backoff: 10m}, {id: busy, attempts: 1}]}
    undo: {operation: card.refnd, with: [{name: charge, expr: steps.again.charge}]}
  - id: reserve
    each: {items: "'a list'"}
    call: {operation: stock.reserve}
  - id: tell
    each: {items: "[1]"}
    print: {text: "'a'"}
    undo: {operation: card.refund}
  - {id: one, run: {definition: parcl, version: "1"}}
  - {id: two, run: {definition: parcel, version: "3", within: 0s}}
  - {id: three, run: {definition: order, version: "2"}}
  - {id: four, run: {definition: parcel, version: "1", with: [{name: idd, expr: "1"}, {name: count, expr: "'x'"}]}}
  - {id: ask, approval: {text: "'ok?'", who: [a, a], form: {type: 3}}}
  - {id: over, needs: [charge.failure, tell.failure], fail: {reason: errors.tell.code + errors.one.code}}
  - {id: after, needs: [over, again], print: {text: index}}
"""  # noqa: E501


def test_all_mistakes_are_reported_at_once_with_place_and_fix() -> None:
    found = {f"{problem.code} {problem.pointer}": problem for problem in check(parse_definition(BAD), CATALOG)}
    assert set(found) == {
        "SF235 /input",
        "SF237 /output",
        "SF204 /steps/0/call/operation",
        "SF266 /steps/0/call/with/0/expr",
        "SF233 /steps/0/call/timeout",
        "SF233 /steps/0/call/queue",
        "SF244 /steps/1/call/with/0/name",
        "SF245 /steps/1/call/with/1/expr",
        "SF245 /steps/1/call/with/2/expr",
        "SF243 /steps/1/call/with",
        "SF232 /steps/1/call/retry/longest",
        "SF233 /steps/1/call/retry/backoff",
        "SF234 /steps/1/call/retry/codes/0/id",
        "SF233 /steps/1/call/retry/codes/1/backoff",
        "SF223 /steps/1/call/retry/codes/2/id",
        "SF204 /steps/1/undo/operation",
        "SF269 /steps/1/undo/with/0/expr",
        "SF272 /steps/2/each/items",
        "SF227 /steps/3/each",
        "SF228 /steps/3/undo",
        "SF207 /steps/4/run/definition",
        "SF207 /steps/5/run/version",
        "SF232 /steps/5/run/within",
        "SF208 /steps/6/run",
        "SF243 /steps/7/run/with",
        "SF244 /steps/7/run/with/0/name",
        "SF245 /steps/7/run/with/1/expr",
        "SF215 /steps/8/approval",
        "SF223 /steps/8/approval/who/1",
        "SF235 /steps/8/approval/form",
        "SF212 /steps/9/needs/1",
        "SF276 /steps/9/fail/reason",
        "SF267 /steps/9/fail/reason",
        "SF226 /steps/10/needs/0",
        "SF266 /steps/10/print/text",
    }
    assert found["SF237 /output"].fix == "Did you mean `charge`?"
    assert found["SF204 /steps/0/call/operation"].fix == "Did you mean `card.charge`?"
    assert found["SF204 /steps/1/undo/operation"].fix == "Did you mean `card.refund`?"
    assert found["SF234 /steps/1/call/retry/codes/0/id"].fix == "Did you mean `declined`?"
    assert found["SF244 /steps/1/call/with/0/name"].fix == "Did you mean `card`?"
    assert found["SF245 /steps/1/call/with/2/expr"].fix == 'Did you mean "now"?'
    assert found["SF207 /steps/4/run/definition"].fix == "Did you mean `parcel`?"
    assert found["SF207 /steps/5/run/version"].fix == "Its published versions are 1, 2."
    assert "can only start what was published before it" in found["SF207 /steps/5/run/version"].message
    assert "this definition itself" in found["SF208 /steps/6/run"].message
    assert "with `each`" in found["SF266 /steps/0/call/with/0/expr"].fix
    assert all(problem.fix for problem in found.values())
    assert {problem.code for problem in found.values()} <= set(CODES)


def test_a_good_definition_has_no_problems() -> None:
    assert check(parse_definition(OUTSIDE), CATALOG) == ()


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("- {id: a, call: {operation: anything}}", []),
        ("- {id: a, call: {operation: anything, with: [{name: whatever, expr: trigger.amount}]}}", []),
        (
            "- {id: a, call: {operation: anything, with: [{name: x, expr: '1'}, {name: x, expr: '2'}]}}",
            [("SF223", "/steps/0/call/with/1/name")],
        ),
        (
            "- {id: a, call: {operation: card.refund, with: [{name: chrge, expr: '1'}]}}",
            [("SF244", "/steps/0/call/with/0/name")],
        ),
        ("- {id: a, call: {operation: card.refund, with: [{name: more, expr: '1'}]}}", []),
        (
            "- {id: a, call: {operation: stock.reserve, with: [{name: more, expr: '1'}]}}",
            [("SF244", "/steps/0/call/with/0/name")],
        ),
        ("- {id: a, call: {operation: anything, retry: {codes: [{id: attempt_timeout, attempts: 1}]}}}", []),
        (
            "- {id: a, call: {operation: anything, retry: {codes: [{id: busy, attempts: 1}]}}}",
            [("SF234", "/steps/0/call/retry/codes/0/id")],
        ),
        ("- {id: a, call: {operation: anything, retry: {backoff: 0s}}}", []),
        ("- {id: a, call: {operation: anything, retry: {backoff: 6m}}}", [("SF233", "/steps/0/call/retry/backoff")]),
        ("- {id: a, call: {operation: anything, lane: nobody-has-it}}", []),
        ("- {id: a, call: {operation: anything, timeout: 0s}}", [("SF232", "/steps/0/call/timeout")]),
        ("- {id: a, call: {operation: anything}, run: {definition: parcel, version: '2'}}", [("SF214", "/steps/0")]),
        ("- {id: a, call: {operation: anything}, undo: {operation: gone}}", [("SF204", "/steps/0/undo/operation")]),
        ("- {id: a, emit: {event: raw}, undo: {operation: anything}}", [("SF228", "/steps/0/undo")]),
        ("- {id: a, run: {definition: gone, version: '1'}}", [("SF207", "/steps/0/run/definition")]),
        ("- {id: a, run: {definition: parcel, version: '2', with: [{name: x, expr: '1'}]}}", []),
        ("- {id: a, run: {definition: parcel, version: '2', key: trigger.lines}}", [("SF272", "/steps/0/run/key")]),
        ("- {id: a, run: {definition: a, version: '1'}}", [("SF208", "/steps/0/run")]),
        ("- {id: a, approval: {text: \"'?'\", who: [b], forever: true}}", []),
        (
            "- {id: a, approval: {text: \"'?'\", who: [b], within: 1h, forever: true}}",
            [("SF215", "/steps/0/approval"), ("SF222", "/steps/0/approval/within")],
        ),
        (
            "- {id: a, approval: {text: \"'?'\", who: [b], within: 0s}}\n- {id: b, needs: [a.timeout], print: {text: "
            "'1'}}",
            [("SF232", "/steps/0/approval/within")],
        ),
        (
            "- {id: a, approval: {text: \"'?'\", who: [b], forever: true}}\n- {id: b, needs: [a.timeout], print: "
            "{text: '1'}}",
            [("SF212", "/steps/1/needs/0")],
        ),
        (
            "- {id: a, approval: {text: \"'?'\", who: [b], forever: true}}\n- {id: b, needs: [a.aproved], print: "
            "{text: '1'}}",
            [("SF212", "/steps/1/needs/0")],
        ),
        (
            "- {id: a, call: {operation: anything}}\n- {id: b, needs: [a.done], print: {text: '1'}}",
            [("SF212", "/steps/1/needs/0")],
        ),
        (
            "- {id: a, call: {operation: anything}}\n- {id: b, needs: [a, a.failure], print: {text: '1'}}",
            [("SF217", "/steps/1/needs")],
        ),
        ("- {id: a, call: {operation: anything, within: 1h}}", []),
        (
            "- {id: a, fail: {reason: \"'x'\"}}\n- {id: b, needs: [a], join: any, print: {text: '1'}}",
            [("SF226", "/steps/1/needs/0")],
        ),
        (
            "- {id: a, each: {items: trigger.lines}, call: {operation: anything}, if: item.count > 1}",
            [("SF266", "/steps/0/if")],
        ),
        ("- {id: a, each: {items: 'item'}, call: {operation: anything}}", [("SF266", "/steps/0/each/items")]),
        ("- {id: a, each: {items: trigger.quantity}, call: {operation: anything}}", [("SF272", "/steps/0/each/items")]),
        ("- {id: a, each: {items: trigger.open}, call: {operation: anything, with: [{name: x, expr: item.y}]}}", []),
        (
            "- {id: a, each: {items: trigger.lines}, call: {operation: anything}, undo: {operation: anything, with: "
            "[{name: x, expr: item}]}}",
            [("SF266", "/steps/0/undo/with/0/expr")],
        ),
    ],
)
def test_calls_and_their_like(steps: str, expected: list[tuple[str, str]]) -> None:
    assert codes(steps) == expected


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("item.sku", []),
        ("item.skuu", ["SF270"]),
        ("item.parts[0].sku", []),
        ("item.count", ["SF245"]),
        ("string(item.count + index)", []),
        ("item.sku + index", ["SF271"]),
        ("trigger.lines.map(item, item.sku)[0]", ["SF264"]),
        ("trigger.lines.map(l, l.sku)[index]", []),
    ],
)
def test_an_item_has_the_type_of_the_elements_of_the_list(expr: str, expected: list[str]) -> None:
    step = (
        f"- {{id: a, each: {{items: trigger.lines}}, call: {{operation: stock.reserve, with: [{{name: sku, expr: "
        f"'{expr}'}}]}}}}"
    )
    assert [code for code, _ in codes(step)] == expected


@pytest.mark.parametrize(
    ("items", "expr", "expected"),
    [
        ("trigger.lines.map(l, l.sku)", "item + 1", ["SF271"]),
        ("[1, 2]", "item + 'x'", ["SF271"]),
        ("[1, 2]", "string(item)", []),
        ("['a']", "item", []),
        ("trigger.attributes.list", "item.what.ever", []),
        ("[trigger.customer]", "item.emial", ["SF270"]),
    ],
)
def test_an_item_of_a_computed_list_has_the_type_of_what_was_computed(
    items: str, expr: str, expected: list[str]
) -> None:
    step = (
        f'- {{id: a, each: {{items: "{items}"}}, call: {{operation: stock.reserve, with: [{{name: sku, expr: '
        f'"{expr}"}}]}}}}'
    )
    assert [code for code, _ in codes(step)] == expected


CALLED = """
- {id: charge, call: {operation: card.charge, with: [{name: card, expr: "'c'"}, {name: cents, expr: '1'}]}}
- {id: shelves, each: {items: trigger.lines}, call: {operation: stock.reserve, with: [{name: sku, expr: item.sku}]}}
- {id: parcel, run: {definition: parcel, version: "2"}}
- {id: ask, approval: {text: "'?'", who: [b], form: {type: object, properties: {note: {type: string}}}, forever: true}}
- {id: plain, approval: {text: "'?'", who: [b], forever: true}}
- {id: b, needs: [charge, shelves, parcel, ask, plain], set: [{name: x, expr: "%s"}]}
"""


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("steps.charge.charge + string(steps.charge.fee + 1)", []),
        ("steps.charge.chrge", ["SF270"]),
        ("steps.charge.fee + 'x'", ["SF271"]),
        ("steps.shelves[0].shelf + steps.shelves.size()", []),
        ("steps.shelves.map(s, s.shelff)", ["SF270"]),
        ("steps.shelves.shelf", ["SF271"]),
        ("steps.charge.charge.id", ["SF271"]),
        ("steps.parcel.run + steps.parcel.ended + string(steps.parcel.output.what.ever)", []),
        ("steps.parcel.id", ["SF270"]),
        ("steps.ask.decision + steps.ask.by + steps.ask.data.note", []),
        ("steps.ask.data.nte", ["SF270"]),
        ("steps.plain.data.whatever", []),
        ("errors.charge.code", ["SF275"]),
        ("has(errors.charge) ? errors.charge.code : ''", []),
        ("has(errors.charge) ? errors.charge.coed : ''", ["SF270"]),
        ("has(errors.charge) ? errors.charge.attempts + 'x' : ''", ["SF271"]),
        ("has(errors.shelves) ? errors.shelves.message : ''", []),
        ("has(errors.ask)", ["SF276"]),
        ("has(errors.chrge)", ["SF268"]),
        ("trigger.lines.exists(errors, errors.count > 1)", ["SF264"]),
    ],
)
def test_outputs_and_errors_are_typed(expr: str, expected: list[str]) -> None:
    assert [code for code, _ in codes(CALLED % expr)] == expected


def test_an_error_is_there_for_who_needs_the_failure() -> None:
    steps = "- {id: a, call: {operation: anything}}\n- {id: b, needs: [%s], join: any, print: {text: errors.a.code}}\n"
    assert codes(steps % "a.failure") == []
    assert codes(steps % "a.failure, a.timeout") == []
    assert codes(steps % "a.failure, a") == [("SF275", "/steps/1/print/text")]
    assert codes("- {id: a, call: {operation: anything}}\n- {id: b, needs: [a.failure], print: {text: steps.a}}\n") == [
        ("SF269", "/steps/1/print/text")
    ]


def test_what_undoes_a_step_may_read_what_came_before_and_the_step_itself() -> None:
    before = '- {id: a, set: [{name: x, expr: "1"}]}\n'
    steps = (
        before
        + "- {id: b, needs: [a], call: {operation: anything}, undo: {operation: anything, with: [{name: x, expr: "
        '"%s"}]}}\n'
    )
    place = "/steps/1/undo/with/0/expr"
    assert codes(steps % "steps.a.x") == []
    assert codes(steps % "steps.b.whatever") == [("SF269", place)]
    assert codes(steps % "has(steps.b) ? steps.b.whatever : 1") == []
    assert codes(steps % "has(errors.b) ? errors.b.code : ''") == []
    assert codes(steps % "steps.c.x") == [("SF268", place)]
    assert "when it is undone" in problems(steps % "steps.b.whatever")[0].message


def test_something_must_start_a_run() -> None:
    body = 'name: a\nversion: "1"\nsteps: [{id: a, print: {text: trigger.id}}]\n'
    assert [(problem.code, problem.pointer) for problem in check(parse_definition(body), CATALOG)] == [("SF236", "")]
    assert check(parse_definition(body + "input: {}"), CATALOG) == ()
    found = check(parse_definition(body + "input: {type: object, properties: {idd: {type: string}}}"), CATALOG)
    assert [(problem.code, problem.fix) for problem in found] == [("SF270", "Did you mean `idd`?")]


def test_a_run_that_events_and_requests_start_reads_what_both_have() -> None:
    head = HEAD.replace(
        "steps:", "input: {type: object, properties: {id: {type: string}, extra: {type: string}}}\nsteps:"
    )
    assert codes("- {id: a, print: {text: trigger.id + 'x'}}", head) == []
    assert codes("- {id: a, print: {text: 'has(trigger.extra) ? trigger.extra : 1'}}", head) == []
    assert codes("- {id: a, print: {text: trigger.id + 1}}", head) == [("SF271", "/steps/0/print/text")]
    assert codes("- {id: a, print: {text: trigger.extraa}}", head) == [("SF270", "/steps/0/print/text")]


@pytest.mark.parametrize(("output", "expected"), [("a", []), ("placed", ["SF237"]), ("over", ["SF237"])])
def test_the_output_of_a_run_is_that_of_a_step_which_has_one(output: str, expected: list[str]) -> None:
    head = HEAD.replace("steps:", f"output: {output}\nsteps:")
    assert [
        code for code, _ in codes("- {id: a, print: {text: '1'}}\n- {id: over, fail: {reason: '1'}}", head)
    ] == expected


def test_an_operation_that_the_catalog_has_twice_or_whose_schema_is_none_is_reported() -> None:
    text = (
        "events: [{name: order.placed, topics: [a]}]\noperations: [{name: x}, {name: x}, {name: y, output: {type: "
        "3}}, {name: z, input: {properties: [1]}}]"
    )
    steps = "".join(
        f"- {{id: {name}, call: {{operation: {name}, with: [{{name: a, expr: '1'}}]}}}}\n" for name in "xyz"
    )
    found = check(
        parse_definition(
            HEAD + steps + "- {id: again, needs: [y], call: {operation: y, with: [{name: b, expr: steps.y.what}]}}"
        ),
        parse_catalog(text),
    )
    assert [(problem.code, problem.pointer) for problem in found] == [
        ("SF206", "/steps/0/call/operation"),
        ("SF205", "/steps/1/call/operation"),
        ("SF205", "/steps/2/call/operation"),
    ]


def test_no_operation_at_all_is_told() -> None:
    found = check(
        parse_definition(HEAD + "- {id: a, call: {operation: http.get}}"), CATALOG.model_copy(update={"operations": []})
    )
    assert [(problem.code, problem.fix) for problem in found] == [("SF204", "The operations are none yet.")]


def test_the_shape_of_calls_is_checked_in_the_same_words() -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_definition(
            HEAD + "- {id: a, call: {operation: Card Charge, lane: A B, retry: {attempts: 0, factor: 99, codes: [{id: "
            "Busy, attempts: 1}]}}}\n"
            + "- {id: b, each: {items: '[1]', at_once: 1000}, run: {definition: c}}\n"
            + "- {id: d, approval: {text: x, who: []}}\n"
        )
    found = {f"{problem.code} {problem.pointer}": problem for problem in caught.value.problems}
    assert set(found) == {
        "SF104 /steps/0/call/operation",
        "SF104 /steps/0/call/lane",
        "SF106 /steps/0/call/retry/attempts",
        "SF106 /steps/0/call/retry/factor",
        "SF104 /steps/0/call/retry/codes/0/id",
        "SF106 /steps/1/each/at_once",
        "SF102 /steps/1/run/version",
        "SF106 /steps/2/approval/who",
    }
    assert "such as http.get" in found["SF104 /steps/0/call/operation"].message
    assert found["SF106 /steps/0/call/retry/factor"].message == "expected at most 10 in `factor` but found 99."


def test_codes_of_attempts_are_codes() -> None:
    assert all(code == code.lower() and text for code, text in ATTEMPTS.items())


def test_undoing_in_a_circle_is_only_a_circle() -> None:
    steps = (
        "- {id: a, needs: [b], call: {operation: anything}, undo: {operation: anything}}\n- {id: b, needs: [a], "
        "call: {operation: anything}}\n"
    )
    assert codes(steps) == [("SF213", "/steps/0/needs")]


def test_the_good_end_of_a_call_is_its_id_alone() -> None:
    found = problems("- {id: a, call: {operation: anything}}\n- {id: b, needs: [a.done], print: {text: '1'}}")
    assert [problem.fix for problem in found] == ["Write `a` alone for its good end, or one of failure, timeout."]
