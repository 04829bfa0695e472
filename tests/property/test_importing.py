"""Whatever a workflow.json holds: what is imported can run, what is not has a reason, and no part of it is passed
over."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamflow.definition.catalog import Catalog, OperationSpec
from streamflow.definition.check import check
from streamflow.definition.compile import compile_plan
from streamflow.definition.json_pointer import pointer
from streamflow.definition.syntax import parse_definition, to_yaml
from streamflow.errors import DefinitionError
from streamflow.importing.report import Imported
from streamflow.importing.workflow import import_workflow
from tests.conftest import examples

KNOWN = Catalog(
    operations=[
        OperationSpec(
            name="score",
            input={"type": "object", "properties": {"x": {"type": "string"}}},
            output={"type": "object", "properties": {"id": {}}},
        ),
        OperationSpec(name="print.line"),
    ]
)
IDS = st.sampled_from(["a", "b", "fetchUser", "fetch-user", "for", "input", "steps", "1st", "env", "Ü", ""])
FIELDS = st.sampled_from(["id", "body.items[0]", "output", "in", "a-b", "['x y'].z", "0", "length()", "__class__"])
REFERENCES = (
    st.builds("{}{}.{}".format, st.sampled_from(["", "steps.", "workflow."]), IDS, FIELDS) | IDS | st.text(max_size=8)
)
TEMPLATES = st.builds("{{{{{}}}}}".format, REFERENCES)
TEXTS = st.lists(
    TEMPLATES | st.text(max_size=6) | st.sampled_from(["{{", "}}", "${x}", "'", "\\", "\n", "{{{", "\x00", "%"]),
    max_size=3,
).map("".join)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.sampled_from(["x", "password"]), inner, max_size=3)
    ),
    max_leaves=6,
)
CONDITIONS = st.lists(
    TEMPLATES
    | REFERENCES
    | st.sampled_from(["===", "!==", "&&", "||", "!", "(", ")", "1", "'x'", "true", "null", "+", ">"]),
    max_size=5,
).map(" ".join)
FIELD_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "id": IDS,
    "name": IDS,
    "plugin": st.sampled_from(["score", "print.line", "@acme/plugin-x", "Fetch Data", "...", ""]) | VALUES,
    "dependsOn": st.lists(IDS, max_size=3) | VALUES,
    "inputs": st.dictionaries(st.sampled_from(["x", "y", "a b", "apiKey"]) | st.text(max_size=5), VALUES, max_size=3)
    | VALUES,
    "config": VALUES,
    "retries": st.integers(-1, 4) | VALUES,
    "retry": st.fixed_dictionaries(
        {}, optional={"attempts": st.integers(), "delay": st.integers() | TEXTS, "backoff": VALUES, "factor": LEAVES}
    )
    | VALUES,
    "timeout": st.integers() | st.sampled_from(["5s", "2 minutes", "1.5s"]) | VALUES,
    "condition": CONDITIONS | VALUES,
    "type": st.sampled_from(["plugin", "if"]),
    "metadata": VALUES,
    "onError": VALUES,
    "frobnicate": VALUES,
}
STEPS = st.fixed_dictionaries(
    {"id": IDS, "plugin": FIELD_VALUES["plugin"]},
    optional={name: values for name, values in FIELD_VALUES.items() if name not in ("id", "plugin")},
)
PROCESSES = st.fixed_dictionaries(
    {"steps": st.lists(STEPS | VALUES, min_size=1, max_size=4)},
    optional={
        "name": IDS | VALUES,
        "version": LEAVES,
        "inputs": VALUES,
        "output": VALUES,
        "trigger": VALUES,
        "description": VALUES,
        "other": VALUES,
    },
)
PLAIN = st.lists(
    st.fixed_dictionaries(
        {"plugin": st.sampled_from(["score", "print.line"])},
        optional={
            "inputs": st.dictionaries(
                st.sampled_from(["p", "q"]), TEXTS.filter(lambda text: "{{" not in text) | st.integers(-9, 9)
            ),
            "retries": st.integers(0, 3),
        },
    ),
    min_size=1,
    max_size=5,
)


def accounted(found: Imported, source: dict[str, Any]) -> list[str]:
    """Fields of the process and of its steps that no finding is about."""
    places = [finding.pointer for finding in found.findings]
    fields: list[tuple[str | int, ...]] = [(name,) for name in source if name not in ("steps", "title")]
    for index, step in enumerate(source["steps"]):
        named = isinstance(step, dict) and not any(
            place == f"/steps/{index}" or place == f"/steps/{index}/id" for place in places
        )
        fields += (
            [("steps", index, name) for name in step if name != "id"]
            if named and isinstance(step, dict)
            else [("steps", index)]
        )
    wanted = [pointer(field) for field in fields]
    return [
        at
        for at in wanted
        if not any(place == at or place.startswith(at + "/") or at.startswith(place + "/") for place in places)
    ]


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PROCESSES)
def test_what_is_imported_can_run_and_what_is_not_has_a_reason(source: dict[str, Any]) -> None:
    try:
        found = import_workflow(json.dumps(source), known=KNOWN)
    except DefinitionError:
        return
    assert found.definition is not None or found.of("refused")
    assert all(finding.fix for finding in found.of("refused"))
    if found.definition is not None:
        catalog = Catalog(operations=[*KNOWN.operations, *found.catalog.operations])
        assert [problem for problem in check(found.definition, catalog) if problem.severity == "error"] == []
        assert parse_definition(to_yaml(found.definition)) == found.definition
        compile_plan(found.definition, catalog, "sha")
    assert accounted(found, source) == []
    assert import_workflow(json.dumps(source), known=KNOWN) == found


@settings(max_examples=examples(60), deadline=None)
@given(PLAIN, st.data())
def test_a_process_of_known_plugins_in_some_order_is_imported_whole(
    steps: list[dict[str, Any]], data: st.DataObject
) -> None:
    for index, step in enumerate(steps):
        step["id"] = f"s{index}"
        step["dependsOn"] = (
            data.draw(st.lists(st.sampled_from([f"s{before}" for before in range(index)]), unique=True))
            if index
            else []
        )
        if index:
            step.setdefault("inputs", {})["r"] = f"{{{{s{data.draw(st.integers(0, index - 1))}.id}}}}"
    shuffled = data.draw(st.permutations(steps))

    found = import_workflow(
        json.dumps({"name": "p", "version": "1", "steps": shuffled}),
        known=Catalog(operations=[KNOWN.operations[1], OperationSpec(name="score")]),
    )

    assert found.whole, [str(finding) for finding in found.of("refused")]
    assert found.definition is not None
    built = {step.id: step for step in found.definition.steps}
    assert list(built) == [step["id"] for step in shuffled]
    for step in steps:
        assert set(step["dependsOn"]) <= set(built[step["id"]].needs)
        call = built[step["id"]].call
        assert call is not None
        assert [value.name for value in call.with_] == list(step.get("inputs", {}))
