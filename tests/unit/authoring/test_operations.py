"""Each operation does what its name says, and nothing else; what it cannot do it refuses, with the reason."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.authoring.examples import ASK, CHARGE, DRAFT, draft_of, ids, plain, refused, revised, step


class TestAddStep:
    def test_it_stands_behind_the_last_step_that_it_needs(self) -> None:
        after = revised({"op": "add_step", "step": {**CHARGE, "needs": ["paid.timeout"]}})

        assert ids(after.draft) == ["paid", "again", "charge", "release", "note"]
        assert after.new_problems == ()

    def test_it_may_stand_elsewhere(self) -> None:
        after = revised({"op": "add_step", "step": {**CHARGE, "needs": ["paid.timeout"]}, "after": "release"})

        assert ids(after.draft) == ["paid", "charge", "release", "again", "note"]

    @pytest.mark.parametrize(
        ("operation", "code", "told"),
        [
            ({"step": {**CHARGE, "id": "paid"}}, "edit_id_taken", "`paid` is already that of a step"),
            ({"step": {**CHARGE, "id": "placed"}}, "edit_id_taken", "`placed` is already that of a trigger"),
            ({"step": {**CHARGE, "needs": ["payed"]}}, "edit_target_unknown", "Did you mean `paid`?"),
            ({"step": {**CHARGE, "needs": ["paid.capturd"]}}, "edit_target_unknown", "Did you mean `captured`?"),
            ({"step": {**CHARGE, "needs": ["release.failure"]}}, "edit_target_unknown", "Write `release` alone"),
            ({"step": CHARGE, "after": "nowhere"}, "edit_target_unknown", "there is no step `nowhere`"),
        ],
    )
    def test_what_it_refuses(self, operation: dict[str, Any], code: str, told: str) -> None:
        found = refused({"op": "add_step", **operation})

        assert found.code == code
        assert told in found.message
        assert found.operation == 0


class TestInsertBetween:
    def test_it_rewires_the_way(self) -> None:
        after = revised({"op": "insert_between", "step": plain("look"), "after": "paid.captured", "before": "release"})

        assert step(after.draft, "look")["needs"] == ["paid.captured"]
        assert step(after.draft, "release")["needs"] == ["look", "charge"]
        assert after.draft.step_text("charge") == DRAFT.step_text("charge")

    def test_without_before_it_comes_ahead_of_all_that_follow(self) -> None:
        draft = draft_of(plain("a"), plain("b", "a"), plain("c", "a", "b"))
        after = revised({"op": "insert_between", "step": plain("x"), "after": "a"}, draft=draft)

        assert [step(after.draft, id_)["needs"] for id_ in ("x", "b", "c")] == [["a"], ["x"], ["x", "b"]]

    def test_without_after_it_comes_first(self) -> None:
        after = revised({"op": "insert_between", "step": plain("x")})

        assert ids(after.draft)[0] == "x"
        assert step(after.draft, "paid")["needs"] == ["x"]
        assert "needs" not in step(after.draft, "x")

    def test_it_goes_on_with_an_outcome(self) -> None:
        after = revised(
            {"op": "insert_between", "step": ASK, "after": "paid.captured", "before": "release", "outcome": "approved"}
        )

        assert step(after.draft, "release")["needs"] == ["ask.approved", "charge"]
        assert [problem.code for problem in after.new_problems] == ["SF222"]

    @pytest.mark.parametrize(
        ("operation", "code", "told"),
        [
            ({"step": plain("x", "paid"), "after": "paid"}, "edit_ambiguous", "needs of its own"),
            (
                {"step": plain("x"), "after": "paid", "before": "note"},
                "edit_target_unknown",
                "It needs `charge.failure`",
            ),
            ({"step": plain("x"), "before": "note"}, "edit_target_unknown", "does not follow `the start of the run`"),
            ({"step": ASK, "after": "paid.captured", "outcome": "yes"}, "edit_target_unknown", "no outcome `yes`"),
            ({"step": plain("paid"), "after": "paid"}, "edit_id_taken", "`paid`"),
        ],
    )
    def test_what_it_refuses(self, operation: dict[str, Any], code: str, told: str) -> None:
        found = refused({"op": "insert_between", **operation})

        assert found.code == code
        assert told in found.message


class TestRemoveStep:
    def test_what_came_after_it_comes_after_what_it_needed(self) -> None:
        draft = draft_of(plain("a"), plain("b", "a"), plain("c", "b"))
        after = revised({"op": "remove_step", "step": "b"}, draft=draft)

        assert step(after.draft, "c")["needs"] == ["a"]

    def test_the_first_step_leaves_the_others_to_begin_with_the_run(self) -> None:
        draft = draft_of(plain("a"), plain("b", "a"), plain("c", "a", "b"), plain("d", "a", "b", join="any"))
        after = revised({"op": "remove_step", "step": "a"}, draft=draft)

        assert "needs" not in step(after.draft, "b")
        assert step(after.draft, "c")["needs"] == ["b"]
        assert "needs" not in step(after.draft, "d")

    def test_several_needs_and_their_join_go_on(self) -> None:
        draft = draft_of(plain("a"), plain("b"), plain("c", "a", "b", join="any"), plain("d", "c"))
        after = revised({"op": "remove_step", "step": "c"}, draft=draft)

        assert step(after.draft, "d")["needs"] == ["a", "b"]
        assert step(after.draft, "d")["join"] == "any"

    def test_the_good_way_goes_on_and_the_others_are_orphans(self) -> None:
        draft = draft_of(
            plain("a"),
            {**ASK, "needs": ["a"]},
            plain("go", "ask.approved"),
            plain("stop", "ask.rejected", "ask.timeout", join="any"),
            plain("told", "stop"),
        )
        found = refused({"op": "remove_step", "step": "ask"}, draft=draft)
        after = revised({"op": "remove_step", "step": "ask", "orphans": "remove"}, draft=draft)

        assert found.code == "edit_orphans"
        assert "`stop`, `told`" in found.message
        assert ids(after.draft) == ["a", "go"]
        assert step(after.draft, "go")["needs"] == ["a"]

    def test_a_way_out_of_several_is_named(self) -> None:
        choose = {"id": "size", "needs": ["a"], "choose": [{"id": "large", "if": "true"}, {"id": "small"}]}
        draft = draft_of(
            plain("a"),
            choose,
            plain("van", "size.large"),
            plain("post", "size.small"),
            plain("end", "van", "post", join="any"),
        )
        found = refused({"op": "remove_step", "step": "size"}, draft=draft)
        after = revised({"op": "remove_step", "step": "size", "keep": "small", "orphans": "remove"}, draft=draft)

        assert (found.code, "large, small" in found.message) == ("edit_ambiguous", True)
        assert ids(after.draft) == ["a", "post", "end"]
        assert step(after.draft, "end")["needs"] == ["post"]

    def test_needs_that_one_list_cannot_say_are_refused(self) -> None:
        draft = draft_of(plain("a"), plain("b"), plain("c", "a", "b", join="any"), plain("d", "c", "a"))

        assert refused({"op": "remove_step", "step": "c"}, draft=draft).code == "edit_ambiguous"

    def test_what_reads_it_is_a_new_problem(self) -> None:
        draft = draft_of(
            {"id": "a", "set": [{"name": "n", "expr": "1"}]},
            {"id": "b", "needs": ["a"], "print": {"text": "string(steps.a.n)"}},
        )
        after = revised({"op": "remove_step", "step": "a"}, draft=draft)

        assert [problem.code for problem in after.new_problems] == ["SF268"]

    @pytest.mark.parametrize(
        ("operation", "code"),
        [({"step": "gone"}, "edit_target_unknown"), ({"step": "paid", "keep": "refused"}, "edit_target_unknown")],
    )
    def test_what_it_refuses(self, operation: dict[str, Any], code: str) -> None:
        assert refused({"op": "remove_step", **operation}).code == code


class TestSetField:
    @pytest.mark.parametrize(
        ("field", "value", "found"),
        [
            ("wait.within", "2d", {"within": "2d"}),
            ("wait.take", "every", {"take": "every"}),
            ("wait.keep", None, {}),
            ("wait.events.captured.where", "event.amount > 1", {"events": [{"where": "event.amount > 1"}]}),
            ("wait.events.captured.where", None, {"events": [{}]}),
        ],
    )
    def test_it_reaches_into_groups_and_lists(self, field: str, value: Any, found: dict[str, Any]) -> None:
        wait = step(revised({"op": "set_field", "step": "paid", "field": field, "value": value}).draft, "paid")["wait"]

        for name, expected in found.items():
            if name == "events":
                assert wait["events"][0].get("where") == expected[0].get("where")
            else:
                assert wait[name] == expected
        assert ("keep" in wait) is (field != "wait.keep")

    def test_it_makes_the_groups_and_items_on_the_way(self) -> None:
        after = revised(
            {"op": "set_field", "step": "charge", "field": "call.retry.attempts", "value": 3},
            {"op": "set_field", "step": "charge", "field": "call.with.order.expr", "value": "trigger.id"},
            {"op": "set_field", "step": "charge", "field": "undo", "value": {"operation": "card.refund"}},
        )

        assert step(after.draft, "charge") == {
            "id": "charge",
            "needs": ["paid.timeout"],
            "call": {
                "operation": "card.charge",
                "with": [{"name": "order", "expr": "trigger.id"}],
                "retry": {"attempts": 3},
            },
            "undo": {"operation": "card.refund"},
        }

    def test_it_removes_an_item_and_the_empty_list(self) -> None:
        after = revised({"op": "set_field", "step": "release", "field": "emit.data.id", "value": None})

        assert step(after.draft, "release")["emit"] == {"event": "order.released"}

    def test_it_reaches_into_schemas(self) -> None:
        after = revised(
            {"op": "set_field", "field": "input", "value": {"type": "object"}},
            {"op": "set_field", "field": "input.properties.id.type", "value": "string"},
        )

        assert after.draft.content["input"] == {"type": "object", "properties": {"id": {"type": "string"}}}

    @pytest.mark.parametrize(
        ("operation", "code", "told"),
        [
            ({"step": "paid", "field": "wait.withn", "value": "1h"}, "edit_target_unknown", "Did you mean `within`?"),
            ({"step": "paid", "field": "wate.within", "value": "1h"}, "edit_target_unknown", "Did you mean `wait`?"),
            ({"step": "paid", "field": "id", "value": "x"}, "edit_target_unknown", "Use rename"),
            ({"step": "paid", "field": "wait.events.captured.id", "value": "x"}, "edit_target_unknown", "Use rename"),
            ({"field": "steps", "value": []}, "edit_target_unknown", "Use add_step"),
            ({"field": "steps.paid.title", "value": "x"}, "edit_target_unknown", "Name the `step`"),
            ({"field": "on", "value": []}, "edit_target_unknown", "Use set_trigger"),
            ({"step": "paid", "field": "title.text", "value": "x"}, "edit_target_unknown", "no fields of its own"),
            ({"step": "paid", "field": "undo.operation", "value": None}, "edit_target_unknown", "no `undo` to remove"),
            ({"step": "paid", "field": "wait.events.late", "value": None}, "edit_target_unknown", "no `late`"),
            (
                {"step": "paid", "field": "wait.events.captured", "value": "x"},
                "edit_ambiguous",
                "Give a group of fields",
            ),
            ({"step": "paid", "field": "wait.within", "value": 24}, "edit_breaks_shape", "/steps/0/wait/within"),
            ({"step": "paid", "field": "wait.within", "value": "soon"}, "edit_breaks_shape", "a length of time"),
            ({"step": "paid", "field": "wait", "value": {"events": []}}, "edit_breaks_shape", "at least 1 items"),
            ({"step": "paid", "field": "wait.events.late.where", "value": "true"}, "edit_breaks_shape", "`event`"),
            ({"step": "paid", "field": "wait.events", "value": None}, "edit_breaks_shape", "`events` is missing"),
            ({"field": "version", "value": None}, "edit_breaks_shape", "`version` is missing"),
        ],
    )
    def test_what_it_refuses(self, operation: dict[str, Any], code: str, told: str) -> None:
        found = refused({"op": "set_field", **operation})

        assert found.code == code
        assert told in found.message


class TestRename:
    def test_needs_expressions_and_output_follow(self) -> None:
        after = revised(
            {"op": "rename", "what": "charge", "to": "second_try"},
            {"op": "set_field", "field": "output", "value": "note"},
        )
        again = revised({"op": "rename", "what": "note", "to": "told"}, draft=after.draft)

        assert step(after.draft, "release")["needs"] == ["paid.captured", "second_try"]
        assert step(after.draft, "note")["print"]["text"] == "'not paid: ' + errors.second_try.code"
        assert again.draft.content["output"] == "told"
        assert after.new_problems == ()
        assert again.difference.sentences == ["The step `note` is now called `told`."]

    def test_a_branch_of_a_step_may_be_renamed(self) -> None:
        after = revised({"op": "rename", "what": "paid.captured", "to": "came"})

        assert step(after.draft, "release")["needs"] == ["paid.came", "charge"]
        assert step(after.draft, "paid")["wait"]["events"][0]["id"] == "came"

    def test_two_steps_may_change_names(self) -> None:
        after = revised(
            {"op": "rename", "what": "charge", "to": "between"},
            {"op": "rename", "what": "note", "to": "charge"},
            {"op": "rename", "what": "between", "to": "note"},
        )

        assert step(after.draft, "charge")["needs"] == ["note.failure"]
        assert after.new_problems == ()
        assert sorted(after.difference.sentences) == [
            "The step `charge` is now called `note`.",
            "The step `note` is now called `charge`.",
        ]

    @pytest.mark.parametrize(
        ("operation", "code"),
        [
            ({"what": "gone", "to": "x"}, "edit_target_unknown"),
            ({"what": "paid.timeout", "to": "x"}, "edit_target_unknown"),
            ({"what": "paid.gone", "to": "x"}, "edit_target_unknown"),
            ({"what": "paid", "to": "charge"}, "edit_id_taken"),
            ({"what": "paid", "to": "placed"}, "edit_id_taken"),
            ({"what": "paid.captured", "to": "timeout"}, "edit_id_taken"),
        ],
    )
    def test_what_it_refuses(self, operation: dict[str, Any], code: str) -> None:
        assert refused({"op": "rename", **operation}).code == code


class TestMoveBranch:
    def test_one_need_becomes_another(self) -> None:
        after = revised({"op": "move_branch", "step": "note", "from": "charge.failure", "to": "paid.timeout"})

        assert step(after.draft, "note")["needs"] == ["paid.timeout"]
        assert after.difference.sentences == [
            "The step `note` now comes after `paid` ran out of time (it came after `charge` failed)."
        ]

    def test_all_needs_may_go(self) -> None:
        after = revised({"op": "move_branch", "step": "release"})

        assert "needs" not in step(after.draft, "release")
        assert "join" not in step(after.draft, "release")

    @pytest.mark.parametrize(
        ("operation", "code"),
        [
            ({"step": "note", "from": "paid", "to": "release"}, "edit_target_unknown"),
            ({"step": "note", "to": "release.failure"}, "edit_target_unknown"),
            ({"step": "charge", "to": "note"}, "edit_circular"),
            ({"step": "charge", "to": "charge"}, "edit_circular"),
        ],
    )
    def test_what_it_refuses(self, operation: dict[str, Any], code: str) -> None:
        assert refused({"op": "move_branch", **operation}).code == code


class TestSetTrigger:
    def test_it_adds_replaces_and_removes(self) -> None:
        added = revised({"op": "set_trigger", "trigger": {"id": "paid_first", "event": "payment.captured"}})
        replaced = revised(
            {"op": "set_trigger", "trigger": {"id": "placed", "event": "order.placed", "where": "event.amount > 1"}}
        )
        other = revised({"op": "set_trigger", "replaces": "placed", "trigger": {"id": "came", "event": "order.placed"}})
        gone = revised({"op": "set_trigger", "replaces": "placed"})

        assert [trigger["id"] for trigger in added.draft.content["on"]] == ["placed", "paid_first"]
        assert "  - {id: placed, event: order.placed, where: event.amount > 1}\n" in replaced.draft.text
        assert [trigger["id"] for trigger in other.draft.content["on"]] == ["came"]
        assert gone.draft.content["on"] == []
        assert "SF236" in {problem.code for problem in gone.new_problems}

    @pytest.mark.parametrize(
        ("operation", "code"),
        [
            ({}, "edit_ambiguous"),
            ({"replaces": "gone"}, "edit_target_unknown"),
            ({"trigger": {"id": "paid", "event": "order.placed"}}, "edit_id_taken"),
        ],
    )
    def test_what_it_refuses(self, operation: dict[str, Any], code: str) -> None:
        assert refused({"op": "set_trigger", **operation}).code == code


class TestReplaceStep:
    def test_it_keeps_its_place(self) -> None:
        after = revised({"op": "replace_step", "step": "release", "with": plain("release", title="Say so")})

        assert step(after.draft, "release") == {
            "id": "release",
            "title": "Say so",
            "needs": ["paid.captured", "charge"],
            "join": "any",
            "print": {"text": "'x'"},
        }

    def test_it_may_say_another_place(self) -> None:
        after = revised({"op": "replace_step", "step": "release", "with": plain("release", "charge")})

        assert step(after.draft, "release")["needs"] == ["charge"]

    @pytest.mark.parametrize(
        ("operation", "code"),
        [
            ({"step": "gone", "with": plain("gone")}, "edit_target_unknown"),
            ({"step": "release", "with": plain("other")}, "edit_ambiguous"),
            ({"step": "release", "with": plain("release", "gone")}, "edit_target_unknown"),
        ],
    )
    def test_what_it_refuses(self, operation: dict[str, Any], code: str) -> None:
        assert refused({"op": "replace_step", **operation}).code == code
