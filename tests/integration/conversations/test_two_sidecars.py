"""Two sidecars and two people on one conversation, on a real broker: no edit is lost, also not by a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from streamflow.authoring.draft import Draft
from streamflow.conversations import decisions, drafting
from streamflow.conversations.assistant import Assistant, Catalogs
from streamflow.conversations.catalogs import catalogs_of
from streamflow.conversations.conversation import Conversation
from streamflow.conversations.events import Event, TurnEnded
from streamflow.conversations.library import added
from streamflow.conversations.service import Conversations
from streamflow.conversations.topic import ConversationTopic
from streamflow.errors import Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.settings import Settings

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

CATALOG = (Path(__file__).parents[3] / "definitions/fraud-detection/catalog.yaml").read_text()
SENTENCE = "when a payment above 500 euros comes, ask an analyst within 30 minutes, block it if nobody answers"
EDITS = 6


def sidecar(settings: Settings) -> Conversations:
    async def source(text: str | None) -> Catalogs:
        return catalogs_of(text, Snapshot())

    return Conversations(ConversationTopic(settings), Assistant(settings, source))


async def edit(service: Conversations, id: str, who: str, number: int) -> int:
    """Adds a step, as often as it takes; how often another edit was first."""
    operation = {"op": "add_step", "step": {"id": f"{who}_{number}", "print": {"text": "'x'"}}}
    catalog = await service.catalog(CATALOG)
    conflicts = 0
    while True:
        seen = await service.read(lambda library: library.known(id).current)
        await asyncio.sleep(0)  # the other person may come between

        def decide(state: Conversation, _now_ms: int, seen: int = seen) -> Sequence[Event]:
            return drafting.edit(state, [operation], catalog, seen=seen, by=who)

        try:
            await service.change(id, who, decide)
            return conflicts
        except Rejected as error:
            assert error.code == "revision_conflict"
            conflicts += 1


async def ended(service: Conversations, id: str, turn: str) -> TurnEnded:
    async for entries in service.watch(id, 0):
        for entry in entries:
            if isinstance(entry.event, TurnEnded) and entry.event.turn == turn:
                return entry.event
    raise AssertionError("the conversation is gone")


def test_two_people_and_the_assistant_lose_nothing(topics: Settings) -> None:
    async def story() -> None:
        one, other = sidecar(topics), sidecar(topics)
        id = await one.start("ada", title="A talk", text=None, catalog=CATALOG)

        async def person(service: Conversations, who: str) -> None:
            for number in range(EDITS):
                await edit(service, id, who, number)

        async def assistant() -> None:
            for _ in range(2):
                turn = await other.say(id, "bob", SENTENCE, mode="plan", model="rules")
                assert (await ended(one, id, turn)).cause in ("done", "waiting")  # the other sidecar hears of it

        await asyncio.gather(person(one, "ada"), person(other, "bob"), assistant())
        before = await one.read(lambda library: library.entries(id, 0, 1000))
        await one.close()
        await other.close()

        again = sidecar(topics)
        assert await again.read(lambda library: library.entries(id, 0, 1000)) == before
        state = await again.read(lambda library: library.known(id).copy())
        steps = {step["id"] for step in Draft.parse(state.revision.text).content["steps"]}
        assert steps == {f"{who}_{number}" for who in ("ada", "bob") for number in range(EDITS)}
        assert len(state.messages) == 2
        assert not state.damaged
        await again.close()

    asyncio.run(story())


def test_a_turn_of_a_sidecar_that_was_killed_ends(topics: Settings) -> None:
    async def story() -> None:
        one = sidecar(topics)
        id = await one.start("ada", title="A talk", text=None, catalog=CATALOG)

        def killed(state: Conversation) -> Sequence[Event]:
            return decisions.message(
                state, SENTENCE, turn="lost", mode="edit", model="rules", holder="gone", now_ms=1_000
            )

        await asyncio.to_thread(
            one._kafka.write,
            lambda library, now_ms: added(library, id, killed(library.known(id)), by="ada", now_ms=now_ms),
        )
        with pytest.raises(Rejected):
            await one.change(id, "ada", lambda state, _now_ms: drafting.undo(state, seen=state.current))
        sweeping = asyncio.create_task(one.run())
        assert (await ended(one, id, "lost")).cause == "interrupted"
        turn = await one.say(id, "ada", SENTENCE, mode="edit", model="rules")
        assert (await ended(one, id, turn)).cause == "waiting"
        sweeping.cancel()
        await one.close()

    asyncio.run(story())
