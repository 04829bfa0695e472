"""A model whose every answer is paid from budgets."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

from streamflow.core.metrics import Metrics, NoMetrics
from streamflow.errors import Rejected
from streamflow.models.conversation import Conversation
from streamflow.models.language_model import LanguageModel
from streamflow.models.meter import Account, Charge, Meter, Price
from streamflow.models.protocol import NO_USAGE, Event, Limits, Stop, Usage, estimated_tokens
from streamflow.models.tools import Tool


class MeteredModel:
    """`model` for `account`: each answer reserves what it could take, and is charged what it took, also when it failed
    or was cancelled. `name` is the model's in the settings; `charged` is called with each charge, to keep it.
    `metrics` counts the answers of this process, their tokens and their cost."""

    def __init__(
        self,
        model: LanguageModel,
        meter: Meter,
        account: Account,
        *,
        name: str,
        price: Price | None,
        charged: Callable[[Charge], None] = lambda charge: None,
        metrics: Metrics | None = None,
    ) -> None:
        self._model, self._meter, self._account = model, meter, account
        self._name, self._price, self._charged = name, price, charged
        self._metrics = metrics or NoMetrics()

    async def stream(
        self, conversation: Conversation, tools: Sequence[Tool], limits: Limits
    ) -> AsyncGenerator[Event, None]:
        """As `Model.stream`, and Rejected (`budget_exhausted`) before anything is asked."""
        chars = sum(map(len, conversation.texts()))
        chars += sum(len(tool.name) + len(tool.description) + len(str(tool.schema)) for tool in tools)
        try:
            reservation, allowed = self._meter.reserve(
                self._account,
                input_tokens=estimated_tokens(chars),
                output_tokens=limits.max_output_tokens,
                price=self._price,
            )
        except Rejected as error:
            self._metrics.count("model_answers", model=self._name, outcome=error.code)
            raise
        taken, outcome = NO_USAGE, "cancelled"  # unless it ends or fails: the caller has left

        def spend(usage: Usage) -> None:
            nonlocal taken
            taken = usage

        try:
            asked = self._model.stream(conversation, tools, replace(limits, max_output_tokens=allowed), spend=spend)
            async with aclosing(asked) as events:
                async for event in events:
                    if isinstance(event, Stop):
                        outcome = event.reason.value
                    yield event
        except Exception:
            outcome = "failed"
            raise
        finally:
            charge = self._charge(taken)
            self._meter.settle(reservation, charge)
            self._metrics.count("model_answers", model=self._name, outcome=outcome)
            if charge is not None:
                self._measure(charge)
                self._charged(charge)

    async def close(self) -> None:
        """Closes connections."""
        await self._model.close()

    def _charge(self, usage: Usage) -> Charge | None:
        if usage.tokens == 0:
            return None
        money = None if self._price is None else self._price.of(usage)
        return Charge(account=self._account, model=self._name, usage=usage, money=money)

    def _measure(self, charge: Charge) -> None:
        usage = charge.usage
        kinds = {
            "input": usage.input_tokens,
            "cached_input": usage.cached_input_tokens,
            "cache_write": usage.cache_write_tokens,
            "output": usage.output_tokens,
        }
        for kind, tokens in kinds.items():
            self._metrics.count("model_tokens", tokens, model=charge.model, kind=kind)
        if charge.money is not None:
            currency = self._meter.currency
            self._metrics.count("model_cost", float(charge.money), model=charge.model, currency=currency)
