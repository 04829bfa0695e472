"""A workflow.json becomes a definition that means the same, and every part of it is accounted for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamflow.definition.catalog import Catalog, OperationSpec
from streamflow.definition.check import check
from streamflow.definition.model import Step
from streamflow.errors import DefinitionError
from streamflow.importing.report import Finding, Imported
from streamflow.importing.steps import Plugin
from streamflow.importing.workflow import import_workflow

KNOWN = Catalog(operations=[OperationSpec(name=name) for name in ("http.request", "print.line", "score")])


def imported(*steps: dict[str, Any], plugins: dict[str, Plugin] | None = None, **head: Any) -> Imported:
    return import_workflow(
        json.dumps({"name": "order", "version": "1", **head, "steps": list(steps)}), known=KNOWN, plugins=plugins
    )


def step(id_: str = "a", **fields: Any) -> dict[str, Any]:
    return {"id": id_, "plugin": "score", "retries": 1, **fields}


def steps_of(found: Imported) -> dict[str, Step]:
    assert found.definition is not None, [str(finding) for finding in found.findings]
    assert [
        problem
        for problem in check(found.definition, Catalog(operations=[*KNOWN.operations, *found.catalog.operations]))
        if problem.severity == "error"
    ] == []
    return {step.id: step for step in found.definition.steps}


def one_input(value: Any, *others: dict[str, Any]) -> str:
    """The expression that `value`, an input of the step `b` after the step `a`, becomes."""
    built = steps_of(imported(step("a"), *others, step("b", dependsOn=["a"], inputs={"x": value})))["b"]
    assert built.call is not None
    return built.call.with_[0].expr


def refusal(found: Imported) -> Finding:
    (only,) = found.of("refused")
    return only


def test_a_process_of_three_steps() -> None:
    found = imported(
        {
            "id": "fetch",
            "plugin": "http.request",
            "inputs": {"url": "https://shop/{{input.order}}"},
            "retries": 3,
            "timeout": 5000,
        },
        {
            "id": "rate",
            "plugin": "score",
            "dependsOn": ["fetch"],
            "inputs": {"amount": "{{fetch.body.amount}}"},
            "retries": 0,
            "condition": "{{fetch.status}} === 200",
        },
        {
            "id": "tell",
            "plugin": "print.line",
            "dependsOn": "rate",
            "config": {"text": "risk {{rate.risk}}"},
            "retry": {"maxAttempts": 2, "delay": 500},
        },
    )

    steps = steps_of(found)
    assert found.whole
    assert [(id_, step.needs, step.if_) for id_, step in steps.items()] == [
        ("fetch", [], None),
        ("rate", ["fetch"], "steps.fetch.status == 200"),
        ("tell", ["rate"], None),
    ]
    calls = [step.call for step in steps.values() if step.call is not None]
    assert [(call.operation, [(value.name, value.expr) for value in call.with_]) for call in calls] == [
        ("http.request", [("url", "'https://shop/' + string(trigger.order)")]),
        ("score", [("amount", "steps.fetch.body.amount")]),
        ("print.line", [("text", "'risk ' + string(steps.rate.risk)")]),
    ]
    assert [(call.timeout, call.retry.attempts if call.retry else None) for call in calls] == [
        ("5s", 4),
        (None, 1),
        (None, 2),
    ]
    assert calls[2].retry is not None
    assert calls[2].retry.backoff == "500ms"
    assert found.definition is not None
    assert found.definition.input == {"type": "object", "properties": {"order": {}}}


@pytest.mark.parametrize(
    ("value", "expression"),
    [
        ("{{a.total}}", "steps.a.total"),
        ("{{ a }}", "steps.a"),
        ("{{{a.total}}}", "steps.a.total"),
        ("{{steps.a.total}}", "steps.a.total"),
        ("{{steps.a.output.total}}", "steps.a.total"),
        ("{{a.items[0].id}}", "steps.a.items[0].id"),
        ("{{a.items.0.id}}", "steps.a.items[0].id"),
        ("{{a['ship-to'].name}}", "steps.a['ship-to'].name"),
        ("{{a.ship-to}}", "steps.a['ship-to']"),
        ("{{a.in}}", "steps.a['in']"),
        ("{{input.order.id}}", "trigger.order.id"),
        ("{{workflow.input.id}}", "trigger.id"),
        ("{{workflow.id}}", "run.id"),
        ("id {{a.id}}", "'id ' + string(steps.a.id)"),
        ("{{a.id}}/{{a.n}}", "string(steps.a.id) + '/' + string(steps.a.n)"),
        ("it's\nC:\\", "'it\\'s\\nC:\\\\'"),
        ("", "''"),
        (" {{a.id}}", "' ' + string(steps.a.id)"),
        ("}} is no template", "'}} is no template'"),
        (["{{a.id}}", 1, None, True], "[steps.a.id, 1, null, true]"),
        ({"n": 1.5, "deep": {"id": "{{a.id}}"}}, "{'n': 1.5, 'deep': {'id': steps.a.id}}"),
        ({}, "{}"),
        (-3, "-3"),
        (1e300, "1e+300"),
    ],
)
def test_a_value_becomes_an_expression_of_its_type(value: Any, expression: str) -> None:
    assert one_input(value) == expression


@pytest.mark.parametrize(
    ("value", "reason", "fix"),
    [
        ("{{env.KEY}}", "environment or a secret", "tasks.connections"),
        ("Bearer {{process.env.KEY}}", "environment or a secret", "tasks.connections"),
        ("{{secrets.key}}", "environment or a secret", "tasks.connections"),
        ("{{b2.id}}", "names `b2`", "Did you mean"),
        ("{{a.id | upper}}", "more than a path", "`set` step"),
        ("{{a.id + 1}}", "more than a path", "`set` step"),
        ("{{now()}}", "more than a path", "`set` step"),
        ("{{}}", "more than a path", "Write its value"),
        ("{{#if a}}", "a block", "`if`"),
        ("{{/each}}", "end of a block", "`each`"),
        ("{{a.id", "has no end", "}}"),
        ({"{{a.id}}": 1}, "names of fields are fixed", "Write the name out"),
        (10**30, "too large", "as a text"),
        ("x" * 5000, "4000", "shorten"),
    ],
)
def test_what_has_no_place_is_refused_with_its_place_the_reason_and_a_fix(value: Any, reason: str, fix: str) -> None:
    found = imported(step("a"), step("b", dependsOn=["a"], inputs={"x": value, "y": 1}))

    only = refusal(found)
    assert only.pointer == "/steps/1/inputs/x"
    assert reason in only.reason
    assert fix in only.fix
    assert not found.whole
    call = steps_of(found)["b"].call
    assert call is not None
    assert [value.name for value in call.with_] == ["y"]


@pytest.mark.parametrize("name", ["password", "apiKey", "api_key", "authToken", "Authorization", "client-secret"])
def test_a_literal_that_is_called_like_a_secret_is_refused(name: str) -> None:
    assert "looks like a secret" in refusal(imported(step(inputs={name: "hunter2"}))).reason
    assert "looks like a secret" in refusal(imported(step(inputs={"headers": {name: "hunter2"}}))).reason
    assert imported(step("a"), step("b", dependsOn=["a"], inputs={name: "{{a.token}}", "maxTokens": 5})).whole


@pytest.mark.parametrize(
    ("source", "expression"),
    [
        ("{{a.n}} > 10", "steps.a.n > 10"),
        ("a.n >= 1.5 && !(a.ok)", "steps.a.n >= 1.5 && !(steps.a.ok)"),
        ("a.kind !== \"x\" || a.kind == 'it\\'s'", "steps.a.kind != 'x' || steps.a.kind == 'it\\'s'"),
        ("'{{a.kind}}' === 'vip'", "string(steps.a.kind) == 'vip'"),
        ("input.n < -1", "trigger.n < -1"),
        ("{{a.ok}}", "steps.a.ok"),
        ("a.none === null", "steps.a.none == null"),
        (False, "false"),
        (True, None),
    ],
)
def test_a_condition(source: Any, expression: str | None) -> None:
    assert steps_of(imported(step("a"), step("b", dependsOn=["a"], condition=source)))["b"].if_ == expression


@pytest.mark.parametrize(
    "source",
    ["a.n + 1 > 2", "isOk(a.n)", "a.n ? 1 : 2", "a.n === undefined", "", 5, None, "c.n > 1", "a.list.includes('x')"],
)
def test_a_condition_that_computes_more_is_refused(source: Any) -> None:
    assert refusal(imported(step("a"), step("b", dependsOn=["a"], condition=source))).pointer == "/steps/1/condition"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"retries": 0}, {"attempts": 1}),
        ({"retries": "2"}, {"attempts": 3}),
        ({"retries": False}, {"attempts": 1}),
        ({"retry": 2}, {"attempts": 3}),
        ({"retry": {"retries": 2}}, {"attempts": 3}),
        (
            {"retry": {"attempts": 2, "backoff": "fixed", "delayMs": 1500}},
            {"attempts": 2, "factor": 1, "backoff": "1s500ms"},
        ),
        ({"retry": {"max": 3, "backoff": {"type": "exponential", "delay": "2s"}}}, {"attempts": 3, "backoff": "2s"}),
        ({"retry": {"maxAttempts": 3, "factor": 1.5, "maxDelay": "1 minute"}}, {"attempts": 3, "longest": "1m"}),
    ],
)
def test_retries_count_attempts(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    call = steps_of(imported({"id": "a", "plugin": "score", **fields}))["a"].call
    assert call is not None
    assert call.retry is not None
    assert call.retry.model_dump(exclude_defaults=True) == {
        name: value for name, value in expected.items() if (name, value) != ("attempts", 5)
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("retries", -1),
        ("retries", 1.5),
        ("retries", 10_000),
        ("retry", {"attempts": 2, "retries": 1}),
        ("retry", {"attempts": 2, "jitter": 1}),
        ("retry", {"attempts": 2, "factor": 20}),
        ("timeout", 0),
        ("timeout", 1.5),
        ("timeout", "soon"),
        ("onError", "stop"),
        ("enabled", False),
        ("dependson", ["a"]),
        ("inputs", ["x"]),
        ("inputs", {"a b": 1}),
    ],
)
def test_other_fields_that_cannot_be_had_are_refused(field: str, value: Any) -> None:
    assert refusal(imported({"id": "a", "plugin": "score", field: value})).pointer.startswith(f"/steps/0/{field}")


def test_ids_become_legal_and_unlike_each_other_and_the_report_says_so() -> None:
    found = imported(
        step("fetchUser"),
        step("fetch-user", dependsOn=["fetchUser"], inputs={"x": "{{fetchUser.id}}"}),
        step("for", dependsOn=["fetch-user"], inputs={"x": "{{fetch-user.id}}"}),
        step("1st", dependsOn=["for"]),
        step("Ünï", dependsOn=["1st"]),
    )

    assert list(steps_of(found)) == ["fetch_user", "fetch_user_2", "for_step", "step_1st", "n"]
    assert found.renamed == {
        "fetchUser": "fetch_user",
        "fetch-user": "fetch_user_2",
        "for": "for_step",
        "1st": "step_1st",
        "Ünï": "n",
    }
    calls = [step.call for step in steps_of(found).values()]
    assert [call.with_[0].expr for call in calls[1:3] if call is not None] == [
        "steps.fetch_user.id",
        "steps.fetch_user_2.id",
    ]
    assert [finding.became for finding in found.of("approximated") if finding.pointer == "/steps/0/id"] == [
        "steps/fetch_user"
    ]


def test_a_plugin_is_the_operation_of_its_name_or_of_the_mapping() -> None:
    plugins = {"axios": Plugin("http.request", {"uri": "url"})}
    found = imported(
        {"id": "a", "plugin": "axios", "inputs": {"uri": "x", "method": "GET"}},
        step("b", plugin="@acme/plugin-mail@1.2"),
        plugins=plugins,
    )

    first, second = (step.call for step in steps_of(found).values())
    assert first is not None
    assert second is not None
    assert (first.operation, [value.name for value in first.with_]) == ("http.request", ["url", "method"])
    assert second.operation == "acme.plugin-mail"
    assert [spec.name for spec in found.catalog.operations] == ["acme.plugin-mail"]


def test_a_template_is_a_dependency() -> None:
    found = imported(
        step("a"), step("b", inputs={"x": "{{a.id}}"}), step("c", dependsOn=["b"], inputs={"x": "{{a.id}}"})
    )

    steps = steps_of(found)
    assert [steps[id_].needs for id_ in "abc"] == [[], ["a"], ["b"]]
    assert [finding.pointer for finding in found.of("approximated")] == ["/steps/1"]


def test_a_step_may_be_called_like_what_a_process_is_given() -> None:
    found = imported(step("input"), step("b", inputs={"x": "{{input.id}}", "y": "{{workflow.input.id}}"}))

    steps = steps_of(found)
    assert steps["b"].needs == ["input"]
    assert steps["b"].call is not None
    assert [value.expr for value in steps["b"].call.with_] == ["steps.input.id", "trigger.id"]


def test_no_dependencies_may_be_written_in_any_way() -> None:
    assert [step.needs for step in steps_of(imported(step("a", dependsOn=None), step("b", dependsOn=[]))).values()] == [
        [],
        [],
    ]


def test_what_depends_on_a_refused_step_is_refused() -> None:
    found = imported({"id": "a"}, step("b", dependsOn=["a"]), step("c", inputs={"x": "{{b.id}}"}), step("d"))

    assert [finding.pointer for finding in found.of("refused")] == ["/steps/0", "/steps/1", "/steps/2"]
    assert list(steps_of(found)) == ["d"]


def test_steps_that_wait_for_each_other_are_refused_where_they_stand() -> None:
    found = imported(step("a", dependsOn=["b"]), step("b", dependsOn=["a"]))

    assert found.definition is None
    assert [(finding.pointer, finding.reason[:5]) for finding in found.of("refused")] == [("/steps/0", "SF213")]


@pytest.mark.parametrize("item", [5, {}, {"id": ""}, {"id": 3, "plugin": "score"}, {"id": "a", "plugin": "score"}])
def test_a_step_without_an_id_of_its_own_is_refused(item: Any) -> None:
    found = imported(step("a"), item)

    assert refusal(found).pointer.startswith("/steps/1")
    assert list(steps_of(found)) == ["a"]


def test_what_the_process_is_given_and_gives_back() -> None:
    found = imported(
        step("a", inputs={"x": "{{input.id}}", "y": "{{input.note}}"}),
        inputs={"id": {"type": "string", "required": True}, "count": "integer"},
        output={"id": "{{a.id}}", "text": "done: {{a.id}}"},
    )

    assert found.definition is not None
    assert found.definition.input == {
        "type": "object",
        "properties": {"id": {"type": "string"}, "count": {"type": "integer"}, "note": {}},
        "required": ["id"],
    }
    assert found.definition.output == "output"
    built = steps_of(found)["output"]
    assert built.set is not None
    assert [(value.name, value.expr) for value in built.set] == [
        ("id", "steps.a.id"),
        ("text", "'done: ' + string(steps.a.id)"),
    ]


@pytest.mark.parametrize("field", ["trigger", "schedule", "vars", "env"])
def test_fields_of_the_process_that_cannot_be_had_are_refused(field: str) -> None:
    source = {"name": "order", "version": "1", field: {"x": 1}, "steps": [step()]}
    assert refusal(import_workflow(json.dumps(source), known=KNOWN)).pointer == f"/{field}"


def test_a_process_without_name_and_version_gets_both() -> None:
    found = import_workflow(json.dumps({"steps": [step()]}), known=KNOWN, fallback="Nightly Sync")

    assert found.definition is not None
    assert (found.definition.name, found.definition.version) == ("nightly-sync", "1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ('{"steps": [{"id": "a", "id": "b"}]}', "written twice"),
        ("[]", "`steps`"),
        ('{"steps": []}', "`steps`"),
        ('{"steps": [NaN]}', "no number"),
        ('{"steps": ["\\ud800"]}', "half of a character"),
        ('{"steps": [' + "[" * 40 + "]" * 40 + "]}", "levels"),
        ("[" * 100_000, "not JSON"),
        (" " * 1_000_001, "characters"),
    ],
)
def test_what_is_no_process_is_an_error_of_its_author(text: str, said: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        import_workflow(text)
    assert said in str(caught.value)
