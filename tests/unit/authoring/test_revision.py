"""Edits are applied as a whole; what they offer to language models follows from the language."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest

from streamflow.authoring.draft import Draft
from streamflow.authoring.operations import OPERATIONS, apply, apply_tool, tools
from streamflow.authoring.operations.registry import MOST, names
from streamflow.authoring.rewriting import Rewriting
from streamflow.definition.check import STEPS
from streamflow.definition.model import Step
from streamflow.errors import DefinitionError
from tests.unit.authoring.examples import CATALOG, CHARGE, DRAFT, TEXT, draft_of, plain, refused, revised


class TestApply:
    def test_one_that_is_refused_leaves_all_undone(self) -> None:
        found = refused({"op": "remove_step", "step": "note"}, {"op": "remove_step", "step": "gone"})

        assert (found.operation, found.code) == (1, "edit_target_unknown")
        assert found.message.startswith("Operation 2 (remove_step): there is no step `gone`.")
        assert DRAFT.text == TEXT

    def test_only_new_problems_are_reported(self) -> None:
        first = revised({"op": "add_step", "step": {**CHARGE, "call": {"operation": "card.chargee"}}})
        second = revised({"op": "insert_between", "step": plain("first")}, draft=first.draft)
        third = revised(
            {"op": "set_field", "step": "again", "field": "call.operation", "value": "card.charg"}, draft=second.draft
        )

        assert [problem.code for problem in first.new_problems] == ["SF204"]
        assert "Did you mean `card.charge`?" in first.new_problems[0].fix
        assert second.new_problems == ()
        assert [problem.code for problem in second.problems] == ["SF204"]
        assert [problem.code for problem in third.new_problems] == ["SF204"]

    @pytest.mark.parametrize("field", ["call", "undo"])
    def test_a_lane_that_no_operation_has_is_reported(self, field: str) -> None:
        after = revised(
            {"op": "set_field", "step": "charge", "field": "undo", "value": {"operation": "card.refund"}},
            {"op": "set_field", "step": "charge", "field": f"{field}.lane", "value": "mainframe"},
        )
        known = revised({"op": "set_field", "step": "charge", "field": "call.lane", "value": "default"})

        assert [(one.code, one.pointer) for one in after.new_problems] == [("SF250", f"/steps/1/{field}/lane")]
        assert known.new_problems == ()

    def test_an_answer_is_json(self) -> None:
        after = revised({"op": "set_field", "step": "paid", "field": "wait.within", "value": "2d"})
        found = refused({"op": "set_field", "step": "paid", "field": "wait.within", "value": 2})

        assert json.loads(json.dumps(after.facts()))["base"] == DRAFT.sha
        assert [change["kind"] for change in after.facts()["changes"]] == ["limit_changed"]
        assert [problem["code"] for problem in found.facts()["problems"]] == ["SF103"]

    def test_an_edit_of_another_version_is_refused(self) -> None:
        found = apply(DRAFT, [{"op": "remove_step", "step": "note"}], CATALOG, base="0" * 64)

        assert getattr(found, "code", "") == "edit_stale"

    def test_a_problem_stays_the_same_under_another_name(self) -> None:
        first = revised({"op": "set_field", "step": "release", "field": "needs", "value": ["paid.captured", "charg"]})
        second = revised({"op": "rename", "what": "release", "to": "let_go"}, draft=first.draft)

        assert [problem.code for problem in first.new_problems] == ["SF211"]
        assert second.new_problems == ()

    @pytest.mark.parametrize(
        ("operations", "code", "pointer"),
        [
            ([], "SF103", ""),
            ("rename", "SF103", ""),
            (None, "SF103", ""),
            ([{"op": "rename", "what": "paid", "to": "x"}] * (MOST + 1), "SF106", ""),
            ([{"what": "paid"}], "SF102", "/0/op"),
            (["rename"], "SF102", "/0/op"),
            ([{"op": "renam"}], "SF105", "/0/op"),
            ([{"op": "rename", "what": "paid", "to": "Not An Id"}], "SF104", "/0/to"),
            ([{"op": "rename", "what": "paid", "to": "x", "also": 1}], "SF101", "/0/also"),
            ([{"op": "add_step", "step": {"id": "x", "prnt": {}}}], "SF101", "/0/step/prnt"),
            ([{"op": "set_field", "field": "title"}], "SF102", "/0/value"),
        ],
    )
    def test_what_has_not_the_form_of_operations_is_refused(self, operations: Any, code: str, pointer: str) -> None:
        found = apply(DRAFT, operations, CATALOG)

        assert getattr(found, "code", "") == "edit_malformed"
        assert [(problem.code, problem.pointer) for problem in found.problems] == [(code, pointer)]

    def test_a_draft_does_not_grow_beyond_what_can_be_published(self) -> None:
        few = draft_of(*(plain(f"s{number}") for number in range(STEPS)))
        found = refused({"op": "add_step", "step": plain("more")}, draft=few)
        long = refused(
            *(
                {"op": "add_step", "step": plain(f"t{number}", print={"text": "'" + "x" * 3990 + "'"})}
                for number in range(99)
            ),
            draft=few,
        )

        assert found.code == "edit_too_large"
        assert long.code == "edit_too_large"

    def test_what_is_not_in_the_catalog_is_reported_of_a_draft_that_is_too_large(self) -> None:
        large = draft_of(*(plain(f"s{number}") for number in range(STEPS + 1)))
        after = revised({"op": "add_step", "step": {"id": "x", "call": {"operation": "made.up"}}}, draft=large)

        assert [problem.code for problem in after.new_problems if problem.code != "SF230"] == ["SF204"]


class TestTools:
    def test_there_is_one_for_each_operation(self) -> None:
        assert [tool["name"] for tool in tools()] == list(names())
        assert len(OPERATIONS) == 8
        assert all(tool["description"] for tool in tools())

    @pytest.mark.parametrize("tool", [*tools(), apply_tool()], ids=lambda tool: tool["name"])
    def test_its_parameters_are_a_json_schema_that_stands_alone(self, tool: dict[str, Any]) -> None:
        schema = tool["parameters"]

        jsonschema_rs.validator_for(schema)
        assert schema["type"] == "object"
        assert schema["additionalProperties"] is False
        assert '"oneOf"' not in json.dumps(schema)

    def test_the_language_is_in_them(self) -> None:
        for tool in (*tools()[:2], apply_tool()):
            fields = tool["parameters"]["$defs"]["Step"]["properties"]
            assert set(fields) == {field.alias or name for name, field in Step.model_fields.items()}

    def test_what_is_applied_fits_the_schema(self) -> None:
        fits = jsonschema_rs.validator_for(apply_tool()["parameters"])

        assert fits.is_valid({"operations": [{"op": "add_step", "step": {**CHARGE, "needs": ["paid"]}}]})
        assert not fits.is_valid({"operations": [{"op": "add_step", "stp": CHARGE}]})
        assert not fits.is_valid({"operations": []})


def test_a_text_that_cannot_be_changed_in_place_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    draft = Draft.parse(TEXT)
    editing = draft.editing()
    editing.content["title"] = "Another"
    for written in (
        "name: other",
        TEXT.replace("- id: charge\n", "- id: charge # touched\n").replace(
            "Wait for the payment of an order", "Another"
        ),
    ):
        monkeypatch.setattr(Rewriting, "text", lambda self, whole_items, written=written: written)
        with pytest.raises(DefinitionError) as refusal:
            draft.changed(editing)
        assert refusal.value.code == "draft_not_editable"


INVENTED: list[tuple[str, dict[str, Any]]] = [
    ("SF204", {"call": {"operation": "card.invented"}}),
    ("SF204", {"call": {"operation": "card.charge"}, "undo": {"operation": "card.invented"}}),
    ("SF201", {"emit": {"event": "payment.invented"}}),
    ("SF201", {"wait": {"events": [{"id": "came", "event": "payment.invented"}], "forever": True}}),
    ("SF207", {"run": {"definition": "invented", "version": "1"}}),
    ("SF207", {"run": {"definition": "parcel", "version": "9"}}),
    ("SF250", {"call": {"operation": "card.charge", "lane": "invented"}}),
]


@pytest.mark.parametrize(("code", "work"), INVENTED)
@pytest.mark.parametrize("way", ["add_step", "replace_step", "set_field"])
def test_nothing_invented_gets_in_unreported(way: str, code: str, work: dict[str, Any]) -> None:
    edit: list[dict[str, Any]]
    if way == "set_field":
        edit = [{"op": way, "step": "note", "field": field, "value": part} for field, part in work.items()]
    elif way == "replace_step":
        edit = [{"op": way, "step": "note", "with": {"id": "note", **work}}]
    else:
        edit = [{"op": way, "step": {"id": "fresh", **work}}]

    assert code in {problem.code for problem in revised(*edit).new_problems}


def test_an_invented_trigger_is_reported() -> None:
    after = revised({"op": "set_trigger", "trigger": {"id": "placed", "event": "order.invented"}})

    assert "SF201" in {problem.code for problem in after.new_problems}
