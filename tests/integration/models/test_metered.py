"""Every answer is paid from budgets: what it may take is sent to the provider, and what it took is charged once,
however it ended."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from streamflow.errors import OperationError, Rejected
from streamflow.models.access import ModelAccess
from streamflow.models.conversation import Conversation, UserMessage
from streamflow.models.meter import Account, Charge, Meter, Scope
from streamflow.models.metered import MeteredModel
from streamflow.models.protocol import Limits
from streamflow.settings import Settings
from tests.scripted_model import Answer, Call, ScriptedModel
from tests.scripted_model.client import APIS, ECHO, HELLO, KEY, LIMITS, collected, settings, text_of

pytestmark = pytest.mark.timeout(120)

ANN = Account(turn="t1", conversation="c1", person="ann", day="2026-03-01")
PRICE = {"input": 2, "output": 10, "cached_input": 0.5, "cache_write": 3}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "sk-test-0123456789")


class Paid:
    """A metered model at a scripted server, with its meter and charges."""

    def __init__(self, server: ScriptedModel, api: str, folder: Path, **budgets: Any) -> None:
        one = settings(server, api, folder, price=PRICE).model_dump(mode="json")
        one["models"]["budgets"] = budgets
        self.models = ModelAccess(Settings.model_validate(one))
        self.meter: Meter = self.models.meter()
        self.charges: list[Charge] = []

    def model(self, account: Account = ANN) -> MeteredModel:
        return self.models.metered(None, self.meter, account, self.charges.append)


@pytest.mark.parametrize("api", APIS)
def test_an_answer_is_charged_what_the_provider_reports(api: str, tmp_path: Path) -> None:
    async def play() -> None:
        usage = {"input": 1000, "output": 200, "cached": 4000, "written": 500}
        async with ScriptedModel([Answer("Yes.", usage=usage)]) as server:
            paid = Paid(server, api, tmp_path, person={"tokens": 100_000})
            async with paid.models:
                await collected(paid.model().stream(HELLO, (), LIMITS))
            (charge,) = paid.charges
            written = 0 if api == "openai" else 500
            assert charge.usage.tokens == 5200 + written
            assert charge.money == Decimal("0.0060") + written * Decimal("0.000003")
            assert [paid.meter.spent(ANN, scope).money for scope in Scope] == [charge.money] * 4

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
def test_what_a_budget_leaves_is_what_the_provider_may_give(api: str, tmp_path: Path) -> None:
    async def play() -> None:
        script = [Answer("Yes.", usage={"input": 10, "output": 90}), Answer("Yes.", usage={"input": 10, "output": 390})]
        async with ScriptedModel(script) as server:
            paid = Paid(server, api, tmp_path, turn={"tokens": 500})
            async with paid.models:
                for _ in range(2):
                    await collected(paid.model().stream(HELLO, (), LIMITS))
                with pytest.raises(Rejected) as caught:
                    await collected(paid.model().stream(HELLO, (), LIMITS))
            assert (caught.value.code, caught.value.facts["scope"]) == ("budget_exhausted", "turn")
            limits = [one.body["max_tokens"] for one in server.asked]
            assert len(limits) == 2, "a refused answer is not asked for"
            assert 480 < limits[0] < 500
            assert limits[1] == limits[0] - 100

    asyncio.run(play())


def test_a_message_of_a_megabyte_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    async def play() -> None:
        async with ScriptedModel() as server:
            paid = Paid(server, "openai", tmp_path, turn={"tokens": 60_000})
            async with paid.models:
                large = Conversation(instructions=(), messages=(UserMessage("x" * (1 << 20)),))
                with pytest.raises(Rejected):
                    await collected(paid.model().stream(large, (), LIMITS))
            assert server.asked == []
            assert paid.charges == []

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    ("answer", "charged"),
    [
        (Answer(status=401), False),
        (Answer(status=400), False),
        (Answer("x" * 90, trouble="cut", pieces_until=20), True),
        (Answer("x" * 90, trouble="cut_cleanly", pieces_until=20), True),
        (Answer("x" * 90, trouble="not_json", pieces_until=20), True),
        (Answer("x" * 90, trouble="silence", pieces_until=20), True),
        (Answer("", (Call("echo", '{"text": "' + "x" * 90 + '"}'),), trouble="cut", pieces_until=15), True),
    ],
    ids=lambda value: getattr(value, "trouble", None) or str(getattr(value, "status", value)),
)
def test_a_failed_answer_is_charged_what_came_of_it(api: str, answer: Answer, charged: bool, tmp_path: Path) -> None:
    async def play() -> None:
        async with ScriptedModel([answer]) as server:
            paid = Paid(server, api, tmp_path, turn={"tokens": 5000})
            async with paid.models:
                limits = Limits(between_tokens_s=1, first_token_s=30, attempts=1, max_output_tokens=100)
                with pytest.raises(OperationError):
                    await collected(paid.model().stream(HELLO, [ECHO], limits))
            assert len(paid.charges) == charged
            if charged:
                assert paid.charges[0].usage.estimated
                assert paid.charges[0].usage.output_tokens > 5
            # nothing stays reserved
            spent = paid.meter.spent(ANN, Scope.TURN).tokens
            assert paid.meter.reserve(ANN, input_tokens=10, output_tokens=9000, price=None)[1] == 5000 - spent - 10

    asyncio.run(play())


@pytest.mark.parametrize("api", APIS)
def test_a_cancelled_answer_is_charged_what_came_of_it(api: str, tmp_path: Path) -> None:
    async def play() -> None:
        async with ScriptedModel([Answer("x" * 90, trouble="silence", pieces_until=20)]) as server:
            paid = Paid(server, api, tmp_path, turn={"tokens": 5000})
            async with paid.models:
                came = asyncio.Event()

                async def read() -> None:
                    async with aclosing(paid.model().stream(HELLO, (), LIMITS)) as events:
                        async for _ in events:
                            came.set()

                task = asyncio.create_task(read())
                await asyncio.wait_for(came.wait(), 10)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            (charge,) = paid.charges
            assert charge.usage.output_tokens > 0
            assert paid.meter.spent(ANN, Scope.DAY).tokens == charge.usage.tokens

    asyncio.run(play())


def test_two_turns_at_once_share_the_budget_of_their_person(tmp_path: Path) -> None:
    async def play() -> None:
        script = [Answer("one two three", trouble="silence", pieces_until=4), Answer("late")]
        async with ScriptedModel(script) as server:
            paid = Paid(server, "openai", tmp_path, person={"tokens": 1000})
            async with paid.models, aclosing(paid.model().stream(HELLO, (), LIMITS)) as first:
                assert text_of([await anext(first)])
                other = Account(turn="t9", conversation="c9", person="ann", day=ANN.day)
                with pytest.raises(Rejected):
                    await collected(paid.model(other).stream(HELLO, (), LIMITS))
                await first.aclose()
                assert text_of(await collected(paid.model(other).stream(HELLO, (), LIMITS))) == "late"

    asyncio.run(play())


def test_charges_of_before_count_after_a_restart(tmp_path: Path) -> None:
    async def play() -> None:
        usage = {"input": 10, "output": 490}
        async with ScriptedModel([Answer("Yes.", usage=usage)]) as server:
            paid = Paid(server, "openai", tmp_path, conversation={"tokens": 500})
            async with paid.models:
                await collected(paid.model().stream(HELLO, (), LIMITS))
            again = Paid(server, "openai", tmp_path, conversation={"tokens": 500})
            again.meter.restore(paid.charges)
            async with again.models:
                with pytest.raises(Rejected):
                    await collected(again.model().stream(HELLO, (), LIMITS))

    asyncio.run(play())
