"""What a definition names: events, operations and other definitions of the catalog, error codes, and a step of its own
for its output."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from streamflow.definition.catalog import Catalog
from streamflow.definition.codes import ATTEMPTS
from streamflow.definition.literals import looks_like_expression
from streamflow.definition.model import Call, ChildRun, Definition
from streamflow.definition.schema_types import schema_fault
from streamflow.definition.syntax import nearest
from streamflow.errors import Problem

_FIRST = "A definition can only start what was published before it, so never itself or one that starts it."


def reference_problems(definition: Definition, catalog: Catalog, is_own: Callable[[str], bool]) -> Iterator[Problem]:
    """Every name in `definition` that means nothing, or nothing that can be used. `is_own` says which topics are
    Streamflow's own."""
    yield from _starts(definition)
    yield from _searches(definition)
    yield from _events(definition, catalog, is_own)
    calls = [
        (call, f"/steps/{index}/{field}")
        for index, step in enumerate(definition.steps)
        for field in ("call", "undo")
        if (call := getattr(step, field))
    ]
    yield from _operations(calls, catalog)
    for index, step in enumerate(definition.steps):
        if step.run is not None:
            yield from _child(step.run, f"/steps/{index}/run", definition, catalog)


def _starts(definition: Definition) -> Iterator[Problem]:
    if not definition.on and definition.input is None:
        yield Problem(
            "SF236",
            "",
            "neither an event nor a request starts a run of this.",
            "Give it events in `on`, or say in `input` what a request gives it.",
        )
    reason = schema_fault(definition.input) if definition.input is not None else None
    if reason is not None:
        yield Problem(
            "SF235",
            "/input",
            f"the input cannot be used: {reason}.",
            "Write one such as {type: object, properties: {id: {type: string}}}.",
        )
    if definition.output is None:
        return
    named = {step.id: step for step in definition.steps}
    if definition.output not in named:
        near = nearest(definition.output, named)
        fix = f"Did you mean `{near}`?" if near else f"The steps are {', '.join(named)}."
        yield Problem("SF237", "/output", f"there is no step `{definition.output}` to give the output of the run.", fix)
    elif named[definition.output].fail is not None:
        yield Problem(
            "SF237",
            "/output",
            f"the step `{definition.output}` ends the run as failed, so it has no output.",
            "Name another step.",
        )


def _searches(definition: Definition) -> Iterator[Problem]:
    names = [one.name for one in definition.search or ()]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Problem(
                "SF223",
                f"/search/{index}/name",
                f"the search attribute `{name}` is written twice.",
                "Remove one of them, or give it another name.",
            )


def _events(definition: Definition, catalog: Catalog, is_own: Callable[[str], bool]) -> Iterator[Problem]:
    names = [spec.name for spec in catalog.events]
    named: list[tuple[str, str]] = [
        (trigger.event, f"/on/{index}/event") for index, trigger in enumerate(definition.on)
    ]
    for index, step in enumerate(definition.steps):
        if step.wait is not None:
            named += [
                (clause.event, f"/steps/{index}/wait/events/{place}/event")
                for place, clause in enumerate(step.wait.events)
            ]
        if step.emit is not None:
            named.append((step.emit.event, f"/steps/{index}/emit/event"))
    for name, at in named:
        if name not in names:
            yield Problem(
                "SF201", at, f"the event `{name}` is not in the catalog.", _nearest(name, names, "The catalog has")
            )
    for name, at in _first(named):
        if names.count(name) > 1:
            yield Problem(
                "SF203", at, f"the catalog holds the event `{name}` twice.", "Remove one of the two from the catalog."
            )
        spec = catalog.event(name)
        for other in sorted({other for other in names if other != name and other.casefold() == name.casefold()}):
            yield Problem(
                "SF239",
                at,
                f"the catalog holds the event `{other}` too, whose name differs from `{name}` only in case.",
                "See that the right one is meant, and give the other another name.",
                "warning",
            )
        for topic in filter(is_own, spec.topics if spec is not None else ()):
            yield Problem(
                "SF209",
                at,
                f"the event `{name}` is in `{topic}`, a topic of Streamflow's own.",
                "Name another topic in the catalog; a definition neither reads nor writes Streamflow's own.",
            )
        if spec is not None and spec.source is not None and looks_like_expression(spec.source):
            yield Problem(
                "SF292",
                at,
                f"the source of the event `{name}` looks like an expression, but counts as the text `{spec.source}`.",
                "Write who makes the event, as text, in the catalog.",
                "warning",
            )
        reason = schema_fault(spec.schema_) if spec is not None else None
        if reason is not None:
            yield Problem(
                "SF202", at, f"the schema of the event `{name}` cannot be used: {reason}.", "Correct the catalog."
            )


def _nearest(name: str, names: list[str], known: str) -> str:
    near = nearest(name, names)
    return f"Did you mean `{near}`?" if near else f"{known} {', '.join(sorted(names)[:10]) or 'none yet'}."


def _first(named: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each name once, with the first place at which it is written."""
    return list({name: (name, at) for name, at in reversed(named)}.values())


def _operations(calls: list[tuple[Call, str]], catalog: Catalog) -> Iterator[Problem]:
    names = [spec.name for spec in catalog.operations]
    for call, at in calls:
        spec = catalog.operation(call.operation)
        if spec is None:
            fix = _nearest(call.operation, names, "The operations are")
            yield Problem("SF204", f"{at}/operation", f"the operation `{call.operation}` is not known.", fix)
            continue
        declared = [error.id for error in spec.errors]
        for index, code in enumerate(call.retry.codes if call.retry is not None else ()):
            if code.id not in (*declared, *ATTEMPTS):
                near = nearest(code.id, (*declared, *ATTEMPTS))
                fix = (
                    f"Did you mean `{near}`?"
                    if near
                    else f"Its own are {', '.join(declared) or 'none'}; every operation has {', '.join(ATTEMPTS)}."
                )
                where = f"{at}/retry/codes/{index}/id"
                yield Problem("SF234", where, f"the operation `{call.operation}` has no error code `{code.id}`.", fix)
    for name, at in _first([(call.operation, f"{at}/operation") for call, at in calls]):
        if names.count(name) > 1:
            yield Problem(
                "SF206",
                at,
                f"the catalog holds the operation `{name}` twice.",
                "Remove one of the two from the catalog.",
            )
        spec = catalog.operation(name)
        for what, schema in (("input", spec.input), ("output", spec.output)) if spec is not None else ():
            reason = schema_fault(schema)
            if reason is not None:
                fix = "The provider of the operation has to correct it."
                yield Problem(
                    "SF205", at, f"the {what} schema of the operation `{name}` cannot be used: {reason}.", fix
                )


def _child(run: ChildRun, at: str, definition: Definition, catalog: Catalog) -> Iterator[Problem]:
    if (run.definition, run.version) == (definition.name, definition.version):
        yield Problem(
            "SF208",
            at,
            f"`{run.definition}@{run.version}` is this definition itself. {_FIRST}",
            "Start another one, or an earlier version.",
        )
    elif catalog.definition(run.definition, run.version) is None:
        versions = [spec.version for spec in catalog.definitions if spec.name == run.definition]
        if versions:
            near = nearest(run.version, versions)
            fix = f"Did you mean `{near}`?" if near else f"Its published versions are {', '.join(versions)}."
            yield Problem(
                "SF207", at + "/version", f"`{run.definition}` has no published version `{run.version}`. {_FIRST}", fix
            )
        else:
            near = nearest(run.definition, [spec.name for spec in catalog.definitions])
            fix = f"Did you mean `{near}`?" if near else f"Publish `{run.definition}@{run.version}` first."
            yield Problem("SF207", at + "/definition", f"no definition `{run.definition}` is published. {_FIRST}", fix)
