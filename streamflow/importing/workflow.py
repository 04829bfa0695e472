"""A JavaScript-style `workflow.json` as a definition: steps with `plugin`, `dependsOn`, `{{step.field}}` templates,
retries.

What is refused leaves a gap that the author has to know of; so `Imported.whole` says whether the definition means the
same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from streamflow.definition.catalog import Catalog, OperationSpec
from streamflow.definition.check import check
from streamflow.definition.json_pointer import pointer
from streamflow.definition.model import Definition
from streamflow.definition.syntax import nearest, parse_definition
from streamflow.errors import DefinitionError
from streamflow.importing.heading import head_of
from streamflow.importing.inputs_outputs import inputs_of, outputs_of
from streamflow.importing.names import step_id
from streamflow.importing.report import Imported, Report
from streamflow.importing.steps import NEEDS, Plugin, StepImport
from streamflow.importing.templates import Names
from streamflow.importing.workflow_text import read_workflow


def import_workflow(
    text: str, *, known: Catalog | None = None, plugins: Mapping[str, Plugin] | None = None, fallback: str = "process"
) -> Imported:
    """The definition that `text` (JSON) means, and the result of each part of it.

    `known` declares operations; `plugins` gives the operation for a plugin; `fallback` is the name of a process without
    one. Raises DefinitionError if the text is no JSON object with steps."""
    source = read_workflow(text)
    report = Report()
    head = head_of(source, report, fallback)
    steps, names, renamed = _steps(source["steps"], plugins or {}, report)
    outputs = outputs_of(source, names, {step.id for step in steps}, report)
    head["input"] = inputs_of(source, names, report)
    if outputs is not None:
        head["output"] = outputs["id"]
    built = [*(step.built for step in steps), *([outputs] if outputs is not None else [])]
    declared = known or Catalog()
    catalog = Catalog(operations=[*declared.operations, *_contracts(steps, declared, report)], events=declared.events)
    definition = _checked({**head, "steps": built}, catalog, steps, report) if built else None
    order = {finding: place for place, finding in enumerate(report.findings)}
    findings = tuple(
        sorted(dict.fromkeys(report.findings), key=lambda finding: (_place(finding.pointer), order[finding]))
    )
    return Imported(
        definition,
        Catalog(operations=[spec for spec in catalog.operations if spec not in declared.operations]),
        findings,
        renamed,
    )


def _steps(
    items: list[Any], plugins: Mapping[str, Plugin], report: Report
) -> tuple[list[StepImport], Names, dict[str, str]]:
    """The steps that can be had, in the order of the source."""
    ids: dict[int, str] = {}
    spoken: dict[str, str] = {}
    renamed: dict[str, str] = {}
    taken: set[str] = set()
    for index, item in enumerate(items):
        written = _called(item)
        if written is None:
            report.refused(
                f"/steps/{index}", "expected a step with an `id` or a `name`.", "Give the step an id of its own."
            )
        elif written in spoken:
            report.refused(
                f"/steps/{index}/id",
                f"another step is already called `{written[:60]}`.",
                "Give each step an id of its own.",
            )
        else:
            id_ = step_id(written, taken)
            taken.add(id_)
            ids[index] = spoken[written] = id_
            if id_ != written:
                renamed[written] = id_
                report.approximated(
                    pointer(("steps", index, "id" if "id" in item else "name")),
                    f"`{written[:60]}` is no legal id.",
                    f"steps/{id_}",
                )
            else:
                report.mapped(
                    pointer(("steps", index, "id" if "id" in item else "name")), "the id of the step.", f"steps/{id_}"
                )
    aliases = {
        str(items[i]["name"]): id_
        for i, id_ in ids.items()
        if isinstance(items[i].get("name"), str) and items[i]["name"] not in spoken
    }
    everyone = {**aliases, **spoken}
    steps: list[StepImport] = []
    for index, id_ in ids.items():
        step = StepImport(items[index], ("steps", index), id_, Names(everyone), plugins, report)
        step.run()
        step.built["needs"] = _needs(step, everyone)
        steps.append(step)
    for step in steps:
        _read_needs(step, {other.id: other.built["needs"] for other in steps})
    _drop(steps, report)
    kept = [step for step in steps if not step.refused]
    return (
        kept,
        Names(
            {name: id_ for name, id_ in everyone.items() if id_ in {step.id for step in kept}},
            inputs={n: None for s in kept for n in s.names.inputs},
        ),
        renamed,
    )


def _called(item: Any) -> str | None:
    if not isinstance(item, dict):
        return None
    found = item.get("id", item.get("name"))
    return found if isinstance(found, str) and found.strip() else None


def _needs(step: StepImport, spoken: Mapping[str, str]) -> list[str]:
    """What the step depends on, said or by its templates."""
    needs: dict[str, None] = {}
    for name in (name for name in NEEDS if name in step.source):
        value = step.source[name]
        for place, item in enumerate(value if isinstance(value, list) else [] if value is None else [value]):
            at = pointer((*step.at, name, place)) if isinstance(value, list) else pointer((*step.at, name))
            if isinstance(item, str) and item in spoken:
                needs[spoken[item]] = None
                step.report.mapped(at, "it comes after that step.", f"steps/{step.id}/needs")
            else:
                near = nearest(item, spoken) if isinstance(item, str) else ""
                step.report.refused(
                    at,
                    f"`{str(item)[:60]}` is no step of this process.",
                    f"Did you mean `{near}`?" if near else "Name a step.",
                )
                step.refused = True
    return list(needs)


def _read_needs(step: StepImport, needs: Mapping[str, list[str]]) -> None:
    """Adds the steps that the templates of `step` read, where they do not come before it anyway."""
    for id_ in step.names.reads:
        before, left = set[str](), list(needs[step.id])
        while left:
            if (other := left.pop()) not in before:
                before.add(other)
                left += needs.get(other, ())
        if id_ not in before and id_ != step.id:
            needs[step.id].append(id_)
            step.report.approximated(
                pointer(step.at), f"a template reads `{id_}`, so the step comes after it.", f"steps/{step.id}/needs"
            )


def _drop(steps: list[StepImport], report: Report) -> None:
    """Refuses what depends on a refused step, as far as that goes."""
    gone = {step.id for step in steps if step.refused}
    while more := [step for step in steps if not step.refused and gone.intersection(step.built["needs"])]:
        for step in more:
            step.refused = True
            gone.add(step.id)
            report.refused(pointer(step.at), "it depends on a step that was refused.", "Correct that step first.")


def _contracts(steps: list[StepImport], known: Catalog, report: Report) -> list[OperationSpec]:
    """A contract for each operation that nobody declared: it takes and gives anything."""
    found: dict[str, OperationSpec] = {}
    for step in steps:
        name = step.built["call"]["operation"]
        if name not in found and known.operation(name) is None:
            found[name] = OperationSpec(name=name)
            near = nearest(name, [spec.name for spec in known.operations])
            fix = (
                f"Did you mean `{near}`? Say so with --plugins."
                if near
                else "Register a plugin under this name, or name an operation with --plugins."
            )
            report.approximated(
                pointer((*step.at, "plugin")),
                f"the operation `{name}` is not known; its contract takes and gives anything.",
                name,
                fix,
            )
    return list(found.values())


def _checked(value: dict[str, Any], catalog: Catalog, steps: list[StepImport], report: Report) -> Definition | None:
    """The definition, if it can run; otherwise every reason why not is in the report, at the place in the source."""
    for step in value["steps"]:
        if not step["needs"]:
            del step["needs"]
    try:
        definition = parse_definition(_yaml(value))
        problems = check(definition, catalog)
    except DefinitionError as error:
        definition, problems = None, error.problems
    for problem in problems:
        parts = problem.pointer.split("/")
        number = int(parts[2]) if len(parts) > 2 and parts[1] == "steps" else len(steps)
        at = pointer(steps[number].at) if number < len(steps) else ""
        if problem.severity == "error":
            report.refused(at, f"{problem.code}: {problem.message}", problem.fix or "Correct it in the source.")
            definition = None
        else:
            report.approximated(at, f"{problem.code}: {problem.message}", fix=problem.fix)
    return definition


def _yaml(value: Any) -> str:
    """`value` as JSON that a YAML reader takes too: it wants what cannot be printed escaped, and whole letters
    otherwise."""
    text = json.dumps(value, ensure_ascii=False)
    return (
        text
        if text.isprintable()
        else "".join(letter if letter.isprintable() else f"\\U{ord(letter):08x}" for letter in text)
    )


def _place(at: str) -> tuple[tuple[int, int, str], ...]:
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in at.split("/")[1:])
