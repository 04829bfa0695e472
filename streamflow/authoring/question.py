"""A question to a person about a draft: about a gap, or about words of its sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from streamflow.authoring.gaps import RANKS, Gap, GapKind
from streamflow.authoring.operations import Operation

PhraseKind = Literal["not_understood", "unknown", "ambiguous", "value"]
"""What is wrong with words of a sentence: they are not in the grammar, not in the catalog, mean several things, or lack
a value."""

MOST = 3  # questions at a time; a person answers one after the other

_KINDS: tuple[PhraseKind | GapKind, ...] = (*get_args(PhraseKind), *RANKS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One answer to a question."""

    text: str
    """The answer."""

    operations: tuple[Operation, ...] = ()
    """What it would change. None, and no sentence: the draft stays as it is, and the gap is settled."""

    sentence: str | None = None
    """The sentence to draft in place of the one that the question is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a person is asked."""

    kind: PhraseKind | GapKind
    """What it is about: words of a sentence, or a gap of a draft."""

    text: str
    """The question."""

    addresses: tuple[str, ...] = ()
    """The places that it is about, by ids, such as `/steps/paid`."""

    gaps: tuple[Gap, ...] = ()
    """The gaps that it is about, all of one kind; an answer is for all of them."""

    phrase: str = ""
    """The words of the sentence that it is about, as they are written."""

    span: tuple[int, int] | None = None
    """Where they are in the sentence: the first character, and the one after the last."""

    choices: tuple[Choice, ...] = ()
    """Answers to choose from."""

    @property
    def blocks(self) -> bool:
        """Whether the draft lacks something that was said until this is answered. A gap blocks nothing."""
        return self.kind in get_args(PhraseKind)

    @property
    def rank(self) -> int:
        """Which question comes first: the one with the lowest rank."""
        return _KINDS.index(self.kind)

    def facts(self) -> dict[str, Any]:
        """The question as JSON data."""
        return {
            "kind": self.kind,
            "text": self.text,
            "blocks": self.blocks,
            "addresses": list(self.addresses),
            "gaps": [gap.key for gap in self.gaps],
            "phrase": self.phrase,
            "span": self.span,
            "choices": [
                {
                    "text": choice.text,
                    "operations": [
                        one.model_dump(mode="json", by_alias=True, exclude_unset=True) for one in choice.operations
                    ],
                    "sentence": choice.sentence,
                }
                for choice in self.choices
            ],
        }
