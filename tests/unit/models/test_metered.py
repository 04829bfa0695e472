"""What answers of a metered model add to the metrics, however they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from decimal import Decimal

import pytest

from streamflow.errors import OperationError, Rejected
from streamflow.metrics.collector import ProcessMetrics
from streamflow.metrics.metric import Process
from streamflow.models.capabilities import Form
from streamflow.models.conversation import Conversation, UserMessage
from streamflow.models.endpoint import Finished, Part, Reported, Request, TextPart
from streamflow.models.language_model import LanguageModel
from streamflow.models.meter import Account, Budget, Charge, Meter, Price, Scope
from streamflow.models.metered import MeteredModel
from streamflow.models.protocol import Event, Limits, StopReason, Usage
from tests.unit.metrics.test_collector import exposed

ANN = Account(turn="t1", conversation="c1", person="ann", day="2026-03-01")
HELLO = Conversation(instructions=(), messages=(UserMessage("hello"),))
PRICE = Price(input=Decimal(2), output=Decimal(10), cached_input=Decimal("0.5"), cache_write=Decimal(3))
USAGE = Usage(input_tokens=1000, cached_input_tokens=4000, cache_write_tokens=500, output_tokens=200)
WHOLE = (TextPart("Yes."), Reported(USAGE), Finished(StopReason.END))


class Scripted:
    """An endpoint that gives `parts`; an error among them is raised, and after the last of them nothing comes."""

    def __init__(self, *parts: Part | Exception) -> None:
        self._parts = parts
        self.asked = 0

    async def answer(self, request: Request) -> AsyncGenerator[Part, None]:
        self.asked += 1
        for part in self._parts:
            if isinstance(part, Exception):
                raise part
            yield part
        if not isinstance(self._parts[-1], Finished):
            await asyncio.Event().wait()

    async def close(self) -> None: ...


async def _tools() -> Form:
    return Form.TOOLS


class Sidecar:
    """What one process counts of its models."""

    def __init__(self, **budgets: Budget) -> None:
        self.metrics = ProcessMetrics(Process.SIDECAR)
        self.meter = Meter({Scope(name): budget for name, budget in budgets.items()}, currency="EUR")

    def stream(
        self, *parts: Part | Exception, name: str = "main", price: Price | None = PRICE
    ) -> AsyncGenerator[Event, None]:
        """One answer of an endpoint that gives `parts`."""
        return self.asked(Scripted(*parts), Limits(attempts=1), name, price)

    def asked(
        self, endpoint: Scripted, limits: Limits, name: str = "main", price: Price | None = PRICE
    ) -> AsyncGenerator[Event, None]:
        model = LanguageModel(endpoint, form=_tools, place="a script")
        metered = MeteredModel(model, self.meter, ANN, name=name, price=price, metrics=self.metrics)
        return metered.stream(HELLO, (), limits)

    def counted(self, name: str) -> dict[tuple[str, ...], float]:
        """The values of a counter by its labels, which are in the order of their names."""
        return exposed(self.metrics).get(f"streamflow_{name}_total", {})


async def read(events: AsyncGenerator[Event, None]) -> Sequence[Event]:
    async with aclosing(events):
        return [event async for event in events]


def test_an_answer_adds_its_tokens_by_kind_and_its_cost() -> None:
    async def story() -> None:
        one = Sidecar()
        await read(one.stream(*WHOLE))
        await read(one.stream(*WHOLE))
        assert one.counted("model_tokens") == {
            ("input", "main"): 2000,
            ("cached_input", "main"): 8000,
            ("cache_write", "main"): 1000,
            ("output", "main"): 400,
        }
        assert one.counted("model_answers") == {("main", "end"): 2}
        assert one.counted("model_cost") == {("EUR", "main"): pytest.approx(2 * 0.0075)}

    asyncio.run(story())


def test_models_are_counted_apart_and_one_without_a_price_costs_nothing_known() -> None:
    async def story() -> None:
        one = Sidecar()
        await read(one.stream(*WHOLE, name="dear"))
        await read(one.stream(*WHOLE, name="local", price=None))
        assert {name for _, name in one.counted("model_tokens")} == {"dear", "local"}
        assert one.counted("model_answers") == {("dear", "end"): 1, ("local", "end"): 1}
        assert one.counted("model_cost").keys() == {("EUR", "dear")}

    asyncio.run(story())


@pytest.mark.parametrize("reason", [one for one in StopReason if one is not StopReason.TOOLS])
def test_an_answer_is_counted_by_why_it_ended(reason: StopReason) -> None:
    async def story() -> None:
        one = Sidecar()
        await read(one.stream(TextPart("Yes."), Reported(USAGE), Finished(reason)))
        assert one.counted("model_answers") == {("main", reason.value): 1}

    asyncio.run(story())


def test_an_answer_that_breaks_off_is_a_failed_one_and_adds_what_came_of_it() -> None:
    async def story() -> None:
        one, error = Sidecar(), OperationError("model_broken_off", "The answer ended in the middle.")
        with pytest.raises(OperationError):
            await read(one.stream(TextPart("x" * 90), error))
        assert one.counted("model_answers") == {("main", "failed"): 1}
        assert one.counted("model_tokens")["output", "main"] == 30
        assert one.counted("model_cost")["EUR", "main"] > 30 * 10 / 1e6

    asyncio.run(story())


def test_a_refused_request_is_a_failed_answer_without_tokens() -> None:
    async def story() -> None:
        one, error = Sidecar(), OperationError("model_key_refused", "The key is refused.")
        with pytest.raises(OperationError):
            await read(one.stream(error))
        assert one.counted("model_answers") == {("main", "failed"): 1}
        assert one.counted("model_tokens") == one.counted("model_cost") == {}

    asyncio.run(story())


def test_a_repeated_request_is_one_answer() -> None:
    async def story() -> None:
        one = Sidecar()
        endpoint = Scripted(OperationError("model_unavailable", "Try again later.", retry_after_s=0.0))
        with pytest.raises(OperationError):
            await read(one.asked(endpoint, Limits(attempts=3)))
        assert endpoint.asked == 3
        assert one.counted("model_answers") == {("main", "failed"): 1}

    asyncio.run(story())


def test_a_cancelled_answer_is_counted_with_what_came_of_it() -> None:
    async def story() -> None:
        one, came = Sidecar(), asyncio.Event()

        async def listen() -> None:
            async with aclosing(one.stream(TextPart("x" * 90))) as events:
                async for _ in events:
                    came.set()

        task = asyncio.create_task(listen())
        await asyncio.wait_for(came.wait(), 10)
        assert one.counted("model_answers") == {}
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert one.counted("model_answers") == {("main", "cancelled"): 1}
        assert one.counted("model_tokens")["output", "main"] == 30

    asyncio.run(story())


def test_a_caller_that_leaves_cancels_and_one_that_leaves_at_the_end_does_not() -> None:
    async def story() -> None:
        one = Sidecar()
        events = one.stream(*WHOLE)
        await anext(events)
        await events.aclose()
        assert one.counted("model_answers") == {("main", "cancelled"): 1}
        events = one.stream(*WHOLE)
        for _ in range(3):
            await anext(events)
        await events.aclose()
        assert one.counted("model_answers") == {("main", "cancelled"): 1, ("main", "end"): 1}

    asyncio.run(story())


def test_what_a_budget_refuses_is_counted_and_adds_no_tokens() -> None:
    async def story() -> None:
        one = Sidecar(turn=Budget(tokens=1))
        with pytest.raises(Rejected):
            await read(one.stream(*WHOLE))
        assert one.counted("model_answers") == {("main", "budget_exhausted"): 1}
        assert one.counted("model_tokens") == one.counted("model_cost") == {}

    asyncio.run(story())


def test_charges_of_before_add_nothing() -> None:
    async def story() -> None:
        one = Sidecar()
        charges: list[Charge] = []
        model = LanguageModel(Scripted(*WHOLE), form=_tools, place="a script")
        kept = MeteredModel(model, Meter({}, currency="EUR"), ANN, name="main", price=PRICE, charged=charges.append)
        await read(kept.stream(HELLO, (), Limits()))
        assert len(charges) == 1
        one.meter.restore(charges)
        assert one.meter.spent(ANN, Scope.DAY).tokens == USAGE.tokens
        assert one.counted("model_tokens") == one.counted("model_answers") == one.counted("model_cost") == {}

    asyncio.run(story())
