"""`approval`: a decision by people."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from streamflow.definition.catalog import Catalog
from streamflow.definition.duration import format_ms
from streamflow.definition.literals import looks_like_expression
from streamflow.definition.model import Approval
from streamflow.definition.plan import ApprovalPlan
from streamflow.definition.read_schemas import ReadSchemas
from streamflow.definition.schema_types import schema_fault
from streamflow.definition.steps.kind import StepForm, exactly_one_limit, length, milliseconds
from streamflow.errors import Problem


def _compile(part: Approval, catalog: Catalog, schemas: ReadSchemas) -> ApprovalPlan:
    return ApprovalPlan(
        text=schemas.compile(part.text),
        who=tuple(part.who),
        form=part.form,
        within_ms=milliseconds(part.within),
    )


def _check(part: Approval, at: str) -> Iterator[Problem]:
    yield from exactly_one_limit(part, at)
    yield from length(part.within, at + "/within")
    for index, who in enumerate(part.who):
        if who in part.who[:index]:
            yield Problem("SF223", f"{at}/who/{index}", f"`{who}` is written twice.", "Remove one of them.")
        elif _looks(who) in map(_looks, part.who[:index]):
            text = f"`{who}` looks like another name here, and only exactly that name may decide."
            yield Problem("SF238", f"{at}/who/{index}", text, "Remove one of them, or correct its letters.")
        elif who != who.strip() or not who.isprintable() or not unicodedata.is_normalized("NFC", who):
            text = f"`{who}` has spaces around it or letters that are not seen, and only exactly that name may decide."
            yield Problem("SF238", f"{at}/who/{index}", text, f"Write `{_plain(who)}`.")
        if looks_like_expression(who):
            text = f"`{who}` looks like an expression, but is asked as the name of a person or group as it stands."
            fix = "Write a name. To ask different people depending on the data, `choose` between two approvals."
            yield Problem("SF292", f"{at}/who/{index}", text, fix, "warning")
    reason = schema_fault(part.form) if part.form is not None else None
    if reason is not None:
        fix = "Write one such as {type: object, properties: {note: {type: string}}}."
        yield Problem("SF235", at + "/form", f"the form cannot be used: {reason}.", fix)


def _looks(name: str) -> str:
    """What is seen of a name, without case."""
    return unicodedata.normalize("NFKC", _plain(name)).casefold()


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", "".join(letter for letter in name if letter.isprintable()).strip())


def _describe(work: ApprovalPlan) -> str:
    limit = f"within {format_ms(work.within_ms)}" if work.within_ms is not None else "forever"
    return f"approval by {', '.join(work.who)}, {limit}"


def _label(part: Approval, catalog: Catalog | None) -> list[str]:
    limit = f"at most {part.within}" if part.within is not None else "without limit"
    return [f"ask {', '.join(part.who)}: {part.text}", limit]


APPROVAL = StepForm(
    name="approval",
    plan=ApprovalPlan,
    compile=_compile,
    check=_check,
    expressions=lambda work: [work.text],
    describe=_describe,
    outcomes=lambda part: ("approved", "rejected", *(("timeout",) if part.within is not None else ())),
    shape=("[\\", "/]"),
    label=_label,
    sentence=lambda part, catalog: ", ".join(_label(part, catalog)),
)
