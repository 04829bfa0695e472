"""A draft: the text of a definition while it is written, and what the text says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import Field

from streamflow.authoring.layout import Layout, Member
from streamflow.authoring.rendering import scalar
from streamflow.authoring.rewriting import Rewriting, name_of, same
from streamflow.definition.content import sha256_of
from streamflow.definition.model import Definition, Step
from streamflow.definition.syntax import load_nodes, validated
from streamflow.errors import DefinitionError, Problem


class Sketch(Definition):
    """A definition that need not have steps yet."""

    steps: list[Step] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a text: offsets in characters, the end exclusive, and its lines, counted from 1, the last inclusive."""

    begin: int
    end: int
    first_line: int
    last_line: int


@dataclass(frozen=True)
class Draft:
    """The text of a definition, in YAML or JSON, as the only truth. It has the shape of a definition, but need not have
    steps yet, and whether it can run is for `problems` to say. Made by `parse` and `new`."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Draft:
        """The draft that `text` holds; a byte order mark and the carriage returns of its lines are left out.

        Raises DefinitionError with every problem of its shape, and for anchors and aliases, because a change of one
        place would change another."""
        draft = cls(text.removeprefix("\ufeff").replace("\r\n", "\n"))
        _ = draft.definition, draft.layout
        return draft

    @classmethod
    def new(cls, name: str, *, version: str = "1", title: str | None = None) -> Draft:
        """A draft without triggers and steps. Raises DefinitionError if the name or the version is not in its form."""
        lines = ['streamflow: "1"', f"name: {scalar(name)}", f"version: {scalar(version)}"]
        lines += [f"title: {scalar(title)}"] if title is not None else []
        return cls.parse("\n".join([*lines, "on: []", "steps: []", ""]))

    @cached_property
    def content(self) -> Mapping[str, Any]:
        """What the text says, as plain data. Not to be changed."""
        content: dict[str, Any] = self._loaded[0]
        return content

    @cached_property
    def definition(self) -> Definition:
        """What the text says, as a definition; its list of steps may be empty."""
        return validated(Sketch, self.content)

    @cached_property
    def sha(self) -> str:
        """The sha256 of the text in hex: what an edit names that is meant for this text and no later one. It is not the
        hash of the content, which says what is published."""
        return sha256_of(self.text.encode())

    @cached_property
    def layout(self) -> Layout:
        """Where the parts of the text stand."""
        return Layout(self.text, self._loaded[1])

    @cached_property
    def spans(self) -> Mapping[str, Span]:
        """Where each step stands, by id, with the comments directly above it."""
        return {id_: self._span(member) for id_, member in self._steps.items()}

    def step_text(self, id_: str) -> str:
        """The text of a step. Raises KeyError if there is no such step."""
        member = self._steps[id_]
        return self.text[member.body : member.end]

    def changed(self, change: Rewriting) -> Draft:
        """The draft with the content of `change`, which `editing` gave. The text of every step whose content is as it
        was is byte for byte the same.

        Raises DefinitionError if the content has not the shape of a definition (`definition_invalid`), or if its text
        cannot be changed in this way (`draft_not_editable`)."""
        validated(Sketch, change.content)
        for whole_items in (False, True):
            draft = Draft(change.text(whole_items=whole_items))
            if self._is_kept_by(draft, change.content):
                return draft
        text = "the change cannot be written into the text of this draft without touching other steps."
        raise DefinitionError(
            [Problem("SF100", "", text, "Write the definition as plain YAML in lines.")], code="draft_not_editable"
        )

    def editing(self) -> Rewriting:
        """The content of the draft, to be changed, for `changed`."""
        return Rewriting(self.layout, self.content)

    def _is_kept_by(self, draft: Draft, content: Mapping[str, Any]) -> bool:
        """Whether `draft` says `content`, with the steps that are as they were in the same bytes."""
        try:
            if not same(draft.content, content):
                return False
            before = {id_: self.step_text(id_) for id_ in self._steps}
            old, new = (_steps_by_id(one) for one in (self.content, content))
            return all(
                draft.step_text(id_) == text for id_, text in before.items() if id_ in new and same(old[id_], new[id_])
            )
        except DefinitionError:
            return False

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        return load_nodes(self.text)

    @cached_property
    def _steps(self) -> Mapping[str, Member]:
        layout = self.layout
        root = layout.root
        steps = next(
            (one for one in layout.members(root, int(root.start_mark.index)) if one.key == "steps"),
            None,
        )
        if steps is None or not isinstance(self.content.get("steps"), list):
            return {}
        members = zip(layout.members(steps.value, steps.begin), self.content["steps"], strict=True)
        found: dict[str, Member] = {}
        for member, step in members:
            found.setdefault(str(name_of(step)), member)
        return found

    def _span(self, member: Member) -> Span:
        begin = member.body - self.layout.column(member.body) - len(member.lead) if member.lead else member.body
        first = self.text.count("\n", 0, begin) + 1
        return Span(begin, member.end, first, first + self.text.count("\n", begin, member.end))


def _steps_by_id(content: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for step in content.get("steps") or ():
        found.setdefault(step["id"], step)
    return found
