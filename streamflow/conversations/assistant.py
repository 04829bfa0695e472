"""The assistant: the model that answers, its catalog and its budget."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

from streamflow.conversations import rules
from streamflow.conversations.conversation import Conversation
from streamflow.conversations.events import RULES, Event, Spent
from streamflow.core.metrics import Metrics
from streamflow.definition.catalog import Catalog
from streamflow.models.meter import Account, Charge, Meter
from streamflow.models.protocol import Usage
from streamflow.operations.connections import client_module
from streamflow.settings import Settings

if TYPE_CHECKING:  # these need an extra of the package
    from streamflow.conversations.dialogue import Add
    from streamflow.models.access import ModelAccess


class TurnOver(Exception):
    """The turn has ended elsewhere: by a person, or because its conversation was removed."""


@dataclass(frozen=True, slots=True)
class Catalogs:
    """What a conversation may name: `own` is its catalog, `whole` also has every operation that is installed or
    registered, and the published definitions."""

    own: Catalog
    whole: Catalog


class CatalogSource(Protocol):
    """Where catalogs come from."""

    async def __call__(self, text: str | None) -> Catalogs:
        """The catalogs with the entries of `text`, or without one those that are published. Raises DefinitionError and
        OperationError."""


Spend = Callable[[Event], Awaitable[None]]


class Assistant:
    """Answers messages: by a language model of the settings, or by rules. Belongs to one event loop. `metrics` counts
    the answers that this process is given, and none of those that are passed to `count`."""

    def __init__(self, settings: Settings, catalogs: CatalogSource, metrics: Metrics | None = None) -> None:
        self._settings, self._catalogs, self._metrics = settings, catalogs, metrics
        self._models: ModelAccess | None = None
        self._meter: Meter | None = None
        self._counted = Counter[str]()

    async def catalog(self, text: str | None) -> Catalogs:
        """The catalogs of a conversation. Raises DefinitionError and OperationError."""
        return await self._catalogs(text)

    def model_name(self, wanted: str | None) -> str:
        """Who answers: the model `wanted`, else the default one, and rules where there is none. Raises Rejected as
        `ModelAccess.name`."""
        if wanted == RULES or (wanted is None and not self._settings.models.available):
            return RULES
        return self._access().name(wanted)

    async def answer(self, state: Conversation, turn: str, by: str, add: Add, spend: Spend) -> None:
        """The whole turn; its end is the last that it adds. Raises what `add` and the model raise."""
        started = state.turns[turn].started
        catalogs = await self._catalogs(state.catalog)
        if started.model == RULES:
            await add(*await asyncio.to_thread(rules.answer, state, started, catalogs.own, catalogs.whole))
            return
        from streamflow.conversations.dialogue import Dialogue  # needs the extra

        access, day = self._access(), datetime.now(UTC).date().isoformat()
        charges: list[Charge] = []

        def charged(charge: Charge) -> None:
            self._counted[turn] += 1
            charges.append(charge)

        async def pay() -> None:
            while charges:
                await asyncio.shield(spend(_spent(charges.pop(0))))

        account = Account(turn=turn, conversation=state.id, person=by, day=day)
        model = access.metered(started.model, self._metered(day), account, charged)
        talk = Dialogue(
            state=state,
            turn=started,
            own=catalogs.own,
            whole=catalogs.whole,
            system=self._settings.models.system or "",
            add=add,
            pay=pay,
        )
        try:
            await talk.run(model, access.limits(started.model))
        finally:
            await pay()

    async def close(self) -> None:
        """Closes connections."""
        if self._models is not None:
            await self._models.close()

    def _access(self) -> ModelAccess:
        if self._models is None:
            for client in ("httpx2", "jiter"):
                client_module(client, "models")
            from streamflow.models.access import ModelAccess  # needs the extra

            self._models = ModelAccess(self._settings, metrics=self._metrics)
        return self._models

    def count(self, spent: Iterable[tuple[str, Spent]]) -> None:
        """Counts what answers took that other processes were given, or this one before it began again; each once."""
        if not self._settings.models.available:
            return
        meter, seen = self._metered(""), Counter[str]()
        for conversation, one in spent:
            seen[one.turn] += 1
            if seen[one.turn] > self._counted[one.turn]:
                self._counted[one.turn] += 1
                meter.restore([_charge(conversation, one)])

    def forget(self, conversation: str) -> None:
        """Drops what this process has counted for a deleted conversation; persons and days keep it."""
        if self._meter is not None:
            for turn in self._meter.forget_conversation(conversation):
                del self._counted[turn]

    def _metered(self, day: str) -> Meter:
        """The meter of this process."""
        if self._meter is None:
            self._meter = self._access().meter()
        self._meter.forget_days_before(day)
        return self._meter


def _charge(conversation: str, one: Spent) -> Charge:
    return Charge(
        account=Account(turn=one.turn, conversation=conversation, person=one.person, day=one.day),
        model=one.model,
        usage=Usage(
            input_tokens=one.input_tokens,
            cached_input_tokens=one.cached_input_tokens,
            cache_write_tokens=one.cache_write_tokens,
            output_tokens=one.output_tokens,
            estimated=one.estimated,
        ),
        money=None if one.money is None else Decimal(one.money),
    )


def _spent(charge: Charge) -> Spent:
    return Spent(
        turn=charge.account.turn,
        person=charge.account.person,
        day=charge.account.day,
        model=charge.model,
        input_tokens=charge.usage.input_tokens,
        cached_input_tokens=charge.usage.cached_input_tokens,
        cache_write_tokens=charge.usage.cache_write_tokens,
        output_tokens=charge.usage.output_tokens,
        estimated=charge.usage.estimated,
        money=None if charge.money is None else str(charge.money),
    )
