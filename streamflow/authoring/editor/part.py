"""One edit of a sentence, and what the forms of edits share."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from streamflow.authoring.drafter.notes import Notes
from streamflow.authoring.drafter.stems import content
from streamflow.authoring.drafter.tokens import Token, Tokens, words_at, wordset
from streamflow.authoring.editor.naming import Naming
from streamflow.authoring.editor.scene import Scene

Changes = list[dict[str, Any]]
"""Operations as plain data; none where something was asked instead."""

_ALSO = ("as well", "in addition", "additionally", "also", "too")
_COURTESY = wordset("please now then and but so just we you i want should would like to can could , let's")
_PLAIN = wordset("the a an its it their them")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One edit, in words."""

    tokens: list[Token]  # without words of courtesy, and without `also`
    also: bool  # it was said that it is done beside what there is
    notes: Notes
    scene: Scene
    naming: Naming = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "naming", Naming(self.scene, self.notes))

    @classmethod
    def of(cls, tokens: Tokens, notes: Notes, scene: Scene) -> Part:
        """The edit that `tokens` are."""
        rest = list(tokens)
        also = False
        at = 0
        while at < len(rest):
            if taken := words_at(rest, at, *_ALSO):
                rest[at : at + taken] = []
                also = True
            else:
                at += 1
        while rest and rest[0].is_in(_COURTESY):
            rest = rest[1:]
        return cls(tokens=rest, also=also, notes=notes, scene=scene)

    @property
    def first(self) -> str:
        """The first word, in small letters."""
        return self.tokens[0].lower if self.tokens and self.tokens[0].kind == "word" else ""

    def begins(self, *phrases: str) -> int:
        """How many tokens the first of `phrases` takes that it begins with; 0 for none."""
        return words_at(self.tokens, 0, *phrases)

    def find(self, *phrases: str, start: int = 0) -> tuple[int, int] | None:
        """Where the first of `phrases` stands, and the token after it."""
        for at in range(start, len(self.tokens)):
            if taken := words_at(self.tokens, at, *phrases):
                return at, at + taken
        return None

    def instead_of(self) -> tuple[list[Token], list[Token]] | None:
        """What stands before `instead of`, and after it."""
        found = self.find("instead of", "rather than", "in place of")
        return (self.tokens[: found[0]], self.tokens[found[1] :]) if found is not None else None

    def said(self, tokens: Tokens | None = None) -> str:
        """`tokens` as they are written; all of the edit without any."""
        return self.notes.said(self.tokens if tokens is None else tokens)

    def ask(self, text: str, tokens: Tokens | None = None) -> Changes:
        """Notes that something was not understood; no changes."""
        self.notes.ask("not_understood", text, self.tokens if tokens is None else tokens)
        return []

    def with_tokens(self, tokens: Tokens) -> Part:
        """The same edit with other words."""
        return replace(self, tokens=list(tokens))


def bare(tokens: Tokens) -> list[Token]:
    """`tokens` without articles and pronouns."""
    return [token for token in tokens if not token.is_in(_PLAIN) and token.kind != "mark"]


def says_nothing(tokens: Tokens) -> bool:
    """Whether no word, number or text of `tokens` says anything."""
    return not content(tokens) and all(token.kind not in ("number", "quoted") for token in tokens)
