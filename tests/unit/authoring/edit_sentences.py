"""Sentences that change a draft, with what has to come of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from streamflow.authoring.draft import Draft
from streamflow.authoring.editor.edited import Edited
from streamflow.authoring.editor.editor import edit
from streamflow.authoring.operations import Revision, apply
from streamflow.authoring.renaming import rename_step
from streamflow.authoring.rewriting import same
from streamflow.definition.duration import parse_ms
from tests.unit.authoring.sentences import HERE, Story, catalog, differences, load_cases


class EditCase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sentence about a draft of the folder `drafts`: the operations that it means, or stories that the new draft has
    to follow and the steps that may change for it, or the words that have to be asked about."""

    sentence: str
    draft: str
    catalog: str
    operations: list[dict[str, Any]] = []
    stories: list[Story] = []
    touches: list[str] = []
    question: str = ""


@dataclass(frozen=True, slots=True)
class JudgedEdit:
    """What became of a case: `right`, `asked` or `wrong`, and why."""

    verdict: str
    reasons: tuple[str, ...]
    edited: Edited


def edit_cases(file: str) -> list[EditCase]:
    """The cases of a file beside this one."""
    return msgspec.convert(load_cases((HERE / file).read_text()), list[EditCase])


def draft_of(name: str) -> Draft:
    """A draft of the folder."""
    return Draft.parse((HERE / "drafts" / f"{name}.yaml").read_text())


def judged_edit(case: EditCase) -> JudgedEdit:
    """Edits the draft by the sentence, and compares what becomes of it with what should."""
    draft, known = draft_of(case.draft), catalog(case.catalog)
    edited = edit(case.sentence, draft, known)
    asked = tuple(one.text for one in edited.questions if one.blocks)
    if case.question:
        about = " ".join(f"{one.phrase} {one.text}" for one in edited.questions if one.blocks)
        right = not edited.complete and not edited.operations and case.question in about
        return JudgedEdit("asked" if right else "wrong", () if right else (f"not asked about {case.question}",), edited)
    if not edited.complete or edited.revision is None:
        return JudgedEdit("asked", asked, edited)
    after = edited.revision.draft
    touched = set(case.touches)
    reasons: list[str] = []
    if case.operations:
        meant = apply(draft, case.operations, known)
        assert isinstance(meant, Revision), meant
        touched |= {id_ for id_ in draft.spans if _content(meant.draft, id_) != _content(draft, id_)}
        if not same(_compared(draft, after), _compared(draft, meant.draft)):
            reasons.append(f"expected {meant.difference.sentences} but found {edited.revision.difference.sentences}")
    for number, story in enumerate(case.stories, 1):
        reasons += [f"story {number}: {one}" for one in differences(story, after.definition, known)]
    reasons += [
        f"the step {id_} was touched"
        for id_ in draft.spans
        if id_ not in touched and (id_ not in after.spans or after.step_text(id_) != draft.step_text(id_))
    ]
    return JudgedEdit("wrong" if reasons else "right", tuple(reasons), edited)


def _compared(before: Draft, after: Draft) -> Any:
    """The content of a draft without the titles of its steps; the one step that is new, if there is one, is `new`."""
    content = msgspec.json.decode(msgspec.json.encode(dict(after.content)))
    new = [step["id"] for step in content["steps"] if step["id"] not in before.spans]
    if len(new) == 1:
        rename_step(content, new[0], "new")
    for step in content["steps"]:
        step.pop("title", None)
        for part in step.values():
            if isinstance(part, dict) and isinstance(part.get("within"), str):
                part["within"] = parse_ms(part["within"])
    content["steps"].sort(key=lambda step: step["id"])
    return content


def _content(draft: Draft, id_: str) -> Any:
    return next((step for step in draft.content["steps"] if step["id"] == id_), None)
