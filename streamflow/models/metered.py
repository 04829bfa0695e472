"""A model whose every answer is paid from budgets."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

from streamflow.models.conversation import Conversation
from streamflow.models.language_model import LanguageModel
from streamflow.models.meter import Account, Charge, Meter, Price
from streamflow.models.protocol import NO_USAGE, Event, Limits, Usage, estimated_tokens
from streamflow.models.tools import Tool


class MeteredModel:
    """`model` for `account`: each answer reserves what it could take, and is charged what it took, also when it failed
    or was cancelled. `name` is the model's in the settings; `charged` is told each charge, to keep it."""

    def __init__(
        self,
        model: LanguageModel,
        meter: Meter,
        account: Account,
        *,
        name: str,
        price: Price | None,
        charged: Callable[[Charge], None] = lambda charge: None,
    ) -> None:
        self._model, self._meter, self._account = model, meter, account
        self._name, self._price, self._charged = name, price, charged

    async def stream(
        self, conversation: Conversation, tools: Sequence[Tool], limits: Limits
    ) -> AsyncGenerator[Event, None]:
        """As `Model.stream`, and Rejected (`budget_exhausted`) before anything is asked."""
        chars = sum(map(len, conversation.texts()))
        chars += sum(len(tool.name) + len(tool.description) + len(str(tool.schema)) for tool in tools)
        reservation, allowed = self._meter.reserve(
            self._account,
            input_tokens=estimated_tokens(chars),
            output_tokens=limits.max_output_tokens,
            price=self._price,
        )
        taken = NO_USAGE

        def spend(usage: Usage) -> None:
            nonlocal taken
            taken = usage

        try:
            asked = self._model.stream(conversation, tools, replace(limits, max_output_tokens=allowed), spend=spend)
            async with aclosing(asked) as events:
                async for event in events:
                    yield event
        finally:
            charge = self._charge(taken)
            self._meter.settle(reservation, charge)
            if charge is not None:
                self._charged(charge)

    async def close(self) -> None:
        """Closes connections."""
        await self._model.close()

    def _charge(self, usage: Usage) -> Charge | None:
        if usage.tokens == 0:
            return None
        money = None if self._price is None else self._price.of(usage)
        return Charge(account=self._account, model=self._name, usage=usage, money=money)
