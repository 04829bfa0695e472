"""What `streamflow draft edit` answers: the operations that a sentence became, what they change, and what is asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamflow.cli.draft_text import questions_lines, statement_lines

if TYPE_CHECKING:
    from streamflow.authoring.editor.edited import Edited


def edit_facts(found: Edited, written: Path | None) -> dict[str, Any]:
    """An edit as JSON would have it."""
    from streamflow.authoring.statements import facts

    revision = found.revision
    return {
        "by": "rules",
        "complete": found.complete,
        "operations": [one.model_dump(mode="json", by_alias=True, exclude_unset=True) for one in found.operations],
        "changes": revision.difference.facts() if revision is not None else [],
        "text": revision.draft.text if revision is not None else None,
        "statements": facts(found.statements),
        "questions": [one.facts() for one in found.questions],
        "written": str(written) if written is not None and revision is not None else None,
    }


def edit_text(found: Edited, path: Path, *, write: bool) -> str:
    """An edit as text: what changes, what was assumed, and what has to be asked."""
    lines = list(found.revision.difference.sentences) if found.revision is not None else []
    lines.append("edited by rules, not by a language model" if lines else "nothing is changed")
    assumed = [one for one in found.statements if one.origin == "assumed"]
    if assumed:
        lines += ["", "what was assumed", *statement_lines(assumed)]
    lines += questions_lines(
        found.questions,
        "to be answered first, each answer as the sentence to edit by",
        "left open, and the draft can do without an answer",
    )
    if found.revision is not None:
        lines += ["", f"{path}: {'written' if write else 'not written, see --write'}"]
    return "\n".join(lines)
