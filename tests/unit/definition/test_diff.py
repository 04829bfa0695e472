from __future__ import annotations

import pytest

from streamflow.definition.diff import Added, Changed, Moved, Removed, diff, sentences
from streamflow.definition.syntax import parse_definition
from tests.unit.definition.examples import GOOD, OUTSIDE

BEFORE = parse_definition(GOOD)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("within: 24h", "within: 48h", ["`within` of `wait` of step `paid` changed from `24h` to `48h`."]),
        ('version: "1.0.0"', 'version: "2"', ["`version` changed from `1.0.0` to `2`."]),
        (
            "    title: Wait for the payment\n",
            "",
            ["`title` of step `paid` was removed (it was `Wait for the payment`)."],
        ),
        ("  - id: late\n", "  - id: late\n    if: 'true'\n", ["`if` of step `late` was set to `true`."]),
        ("needs: [size.small]", "needs: [size.small, paid]", ["The need `paid` was added to step `rest`."]),
        ("needs: [size.small]", "needs: []", ["The need `size.small` was removed from step `rest`."]),
        (
            "where: event.order_id == trigger.id",
            "where: 'true'",
            [
                "`where` of event `captured` of `wait` of step `paid` changed from `event.order_id == trigger.id` to "
                "`true`."
            ],
        ),
        ("{name: id, expr: trigger.id}, ", "", ["The field `id` was removed from `emit` of step `release`."]),
        (
            "delay: {for: 2h}",
            "print: {text: '1'}",
            [
                '`delay` of step `rest` was removed (it was `{"for": "2h"}`).',
                '`print` of step `rest` was set to `{"text": "1"}`.',
            ],
        ),
        ("on:\n", "on:\n  - {id: other, event: raw}\n", ["The trigger `other` was added."]),
        ("  - id: late\n", "  - {id: more, print: {text: '1'}}\n  - id: late\n", ["The step `more` was added."]),
        ("id: rest", "id: remainder", ["The step `rest` was removed.", "The step `remainder` was added."]),
    ],
)
def test_each_change_is_a_sentence(old: str, new: str, told: list[str]) -> None:
    assert old in GOOD
    assert sentences(diff(BEFORE, parse_definition(GOOD.replace(old, new, 1)))) == told


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("timeout: 5s", "timeout: 6s", ["`timeout` of `call` of step `charge` changed from `5s` to `6s`."]),
        (
            "{attempts: 4,",
            "{attempts: 5,",
            ["`attempts` of `retry` of `call` of step `charge` changed from `4` to `5`."],
        ),
        (
            "attempts: 9, ",
            "attempts: 3, ",
            ["`attempts` of error code `attempt_lost` of `retry` of `call` of step `charge` changed from `9` to `3`."],
        ),
        (
            ", {id: attempt_lost, attempts: 9, backoff: 1m}",
            "",
            ["The error code `attempt_lost` was removed from `retry` of `call` of step `charge`."],
        ),
        (", {name: how, expr: \"'now'\"}", "", ["The value `how` was removed from `call` of step `charge`."]),
        ("lane: slow", "lane: fast", ["`lane` of `undo` of step `charge` changed from `slow` to `fast`."]),
        ("at_once: 3", "at_once: 4", ["`at_once` of `each` of step `reserve` changed from `3` to `4`."]),
        ('version: "1", key', 'version: "2", key', ["`version` of `run` of step `parcels` changed from `1` to `2`."]),
        (
            "who: [clerks, anna]",
            "who: [clerks, bert]",
            [
                "The person `anna` was removed from `approval` of step `ask`.",
                "The person `bert` was added to `approval` of step `ask`.",
            ],
        ),
        (
            "{note: {type: string}}",
            "{note: {type: integer}}",
            [
                "`type` of `note` of `properties` of `form` of `approval` of step `ask` changed from `string` to "
                "`integer`."
            ],
        ),
        (
            "input: {type: object, properties: {id: {type: string}}}",
            "input: {type: object, properties: {id: {type: integer}}}",
            ["`type` of `id` of `properties` of `input` changed from `string` to `integer`."],
        ),
        ("output: charge", "output: told", ["`output` changed from `charge` to `told`."]),
        (
            "needs: [charge.timeout]",
            "needs: [charge.failure]",
            [
                "The need `charge.timeout` was removed from step `late`.",
                "The need `charge.failure` was added to step `late`.",
            ],
        ),
    ],
)
def test_each_change_of_what_is_done_outside_is_a_sentence(old: str, new: str, told: list[str]) -> None:
    assert OUTSIDE.count(old) == 1
    assert sentences(diff(parse_definition(OUTSIDE), parse_definition(OUTSIDE.replace(old, new, 1)))) == told


def test_parts_of_a_schema_are_not_taken_for_parts_of_a_definition() -> None:
    before, after = (
        parse_definition(
            OUTSIDE.replace("{id: {type: string}}", f"{{steps: {{enum: [{values}]}}, data: {{type: string}}}}")
        )
        for values in ("a, b", "b")
    )
    assert sentences(diff(before, after)) == [
        '`enum` of `steps` of `properties` of `input` changed from `["a", "b"]` to `["b"]`.'
    ]


def test_the_same_meaning_has_no_changes() -> None:
    assert diff(BEFORE, parse_definition(GOOD + "\n# a remark\n")) == ()
    steps = list(BEFORE.steps)
    assert diff(BEFORE, BEFORE.model_copy(update={"steps": steps[::-1]})) == ()


def test_the_order_of_branches_is_a_change() -> None:
    after = parse_definition(
        GOOD.replace(
            "[{id: large, if: steps.total.amount > 100}, {id: small}]",
            "[{id: small}, {id: large, if: steps.total.amount > 100}]",
        )
    )
    changes = diff(BEFORE, after)
    assert changes == (Moved(("steps", "size", "choose"), ("large", "small"), ("small", "large")),)
    assert sentences(changes) == ["The order of the branches of step `size` is now small, large."]


def test_changes_are_data() -> None:
    after = parse_definition(GOOD.replace("within: 24h", "within: 48h").replace("id: rest", "id: remainder"))
    assert [type(change) for change in diff(BEFORE, after)] == [Removed, Changed, Added]
