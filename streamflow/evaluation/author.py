"""What an evaluation asks of an author, and what it is answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from streamflow.authoring.draft import Draft
from streamflow.definition.catalog import Catalog


@dataclass(frozen=True, kw_only=True)
class Task:
    """One request to an author."""

    case: str
    """The name of the case."""

    round: int
    """Which request of the case it is, counted from 1."""

    request: str
    """What a person asks for, in English."""

    catalog: Catalog
    """What the definition may name."""

    draft: Draft | None
    """What is to be edited, as the author's last answer left it; None when a new definition is asked for."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What an author made of a request."""

    text: str | None
    """The definition, in YAML; None if there is none."""

    questions: Sequence[str] = ()
    """What has to be answered first. A question that the definition can do without is none of these."""

    tokens: int = 0
    """Tokens of a language model, input and output together."""

    cost: Decimal | None = None
    """What they cost, in the currency of the settings; None where no price is known."""

    seconds: float | None = None
    """How long it took; None: as measured by who asked."""

    repairs: int = 0
    """How often the author was given problems and tried again."""

    error: str | None = None
    """Why there is no answer, with the code first: an author that does not do this, a model that cannot be reached."""


class Author(Protocol):
    """An author of definitions from requests: rules, a language model, or a record of their answers."""

    name: str

    async def answer(self, task: Task) -> Answer:
        """The result of the request."""
        ...
