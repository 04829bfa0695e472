"""The assistant with a language model that a script plays: what it does well becomes a proposal, and whatever goes
wrong changes nothing of the draft and is shown."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from streamflow.conversations import drafting
from streamflow.conversations.assistant import Assistant, Catalogs
from streamflow.conversations.catalogs import catalogs_of
from streamflow.conversations.events import Event, Mode
from streamflow.conversations.service import Conversations
from streamflow.errors import Rejected
from streamflow.kafka.definitions import Snapshot
from tests.conversations import MemoryConversations
from tests.scripted_model import Answer, Asked, Call, ScriptedModel
from tests.scripted_model.client import KEY, settings

pytestmark = pytest.mark.timeout(120)

CATALOG = (Path(__file__).parents[3] / "definitions/fraud-detection/catalog.yaml").read_text()
BEGIN = {"op": "set_trigger", "trigger": {"id": "paid", "event": "payment.authorised"}}
HOLD = {
    "op": "add_step",
    "step": {
        "id": "hold",
        "emit": {
            "event": "payment.held",
            "data": [{"name": "payment", "expr": "trigger.payment"}, {"name": "reasons", "expr": "['x']"}],
        },
    },
}
INVENTED = {"op": "add_step", "step": {"id": "hold", "emit": {"event": "payment.invented"}}}


def understand(*questions: str) -> Call:
    told = {"origin": "said", "text": "Every payment is held.", "steps": ["hold"]}
    asked = [{"text": one, "choices": ["yes", "no"]} for one in questions]
    return Call("understand", json.dumps({"statements": [told], "questions": asked}))


def apply(*operations: Any) -> Call:
    return Call("apply", json.dumps({"operations": operations}))


@dataclass
class Talk:
    """A conversation with the assistant."""

    service: Conversations
    server: ScriptedModel
    log: MemoryConversations
    id: str

    async def say(self, text: str = "hold every payment", mode: Mode = "edit") -> str:
        return await self.service.say(self.id, "ada", text, mode=mode, model=None)

    async def events(self, turn: str) -> list[Event]:
        """What the turn did, once it has ended."""
        found: list[Event] = []
        async for entries in self.service.watch(self.id, 0):
            found += [one.event for one in entries if getattr(one.event, "turn", None) == turn]
            if any(type(one).__name__ == "TurnEnded" for one in found):
                return found
        raise AssertionError(found)

    async def spoken(self) -> None:
        """Returns when a text of the assistant is there."""
        async for entries in self.service.watch(self.id, 0):
            if any(type(entry.event).__name__ == "TextAdded" for entry in entries):
                return

    async def answered(self, text: str = "hold every payment", mode: Mode = "edit") -> list[Event]:
        return await self.events(await self.say(text, mode))

    def unchanged(self) -> None:
        """The draft is as the conversation began, and nothing waits for a yes."""
        state = self.log.read(lambda library: library.known(self.id))
        assert (state.current, state.proposal, state.open_turn) == (1, None, None)


@asynccontextmanager
async def talk(
    folder: Path, *script: Answer, log: MemoryConversations | None = None, **limits: Any
) -> AsyncIterator[Talk]:
    async def source(text: str | None) -> Catalogs:
        return catalogs_of(text, Snapshot())

    log = log or MemoryConversations()
    async with ScriptedModel(script) as server:
        configured = settings(server, "openai", folder)
        models = configured.models.model_copy(update={"first_token_s": 5.0, "attempts": 1, **limits})
        service = Conversations(log, Assistant(configured.model_copy(update={"models": models}), source))
        id = await service.start("ada", title="A talk", text=None, catalog=CATALOG)
        try:
            yield Talk(service, server, log, id)
        finally:
            await service.close()


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "sk-test-0123456789")


def names(events: list[Event]) -> list[str]:
    return [type(one).__name__ for one in events]


def told(events: list[Event]) -> str:
    return "".join(one.text for one in events if type(one).__name__ == "TextAdded")  # type: ignore[union-attr]


def end(events: list[Event]) -> Any:
    assert names(events).count("TurnEnded") == 1
    return next(one for one in events if type(one).__name__ == "TurnEnded")


def play(folder: Path, story: Callable[[Talk], Awaitable[None]], *script: Answer, **limits: Any) -> None:
    async def whole() -> None:
        async with talk(folder, *script, **limits) as one:
            await story(one)

    asyncio.run(whole())


def test_a_request_becomes_a_proposal_that_a_person_accepts(tmp_path: Path) -> None:
    async def story(one: Talk) -> None:
        events = await one.answered()
        assert [one for one in names(events) if one not in ("TextAdded", "Spent")] == [
            "TurnStarted",
            "Understood",
            "ToolCalled",
            "ToolCalled",
            "OperationsProposed",
            "TurnEnded",
        ]
        assert told(events) == "I hold them.Done."
        assert end(events).cause == "waiting"
        state = one.log.read(lambda library: library.known(one.id))
        assert (state.current, state.proposal is not None) == (1, True)
        catalog = await one.service.catalog(state.catalog)
        await one.service.change(
            one.id, "bob", lambda state, _now: drafting.accept(state, catalog, seen=state.current, by="bob")
        )
        state = one.log.read(lambda library: library.known(one.id))
        assert "payment.held" in state.revision.text
        assert state.revision.authors == ("ada", "bob", "assistant")
        assert [spent.person for spent in state.spent] == ["ada"] * 2
        first, second = one.server.asked
        assert set(first.tools) == {"search_catalog", "get_entries", "understand", "apply"}
        assert '<data name="catalog"' in json.dumps(first.body).replace('\\"', '"')
        assert "was added" in json.dumps(second.body["messages"])

    play(
        tmp_path,
        story,
        Answer("I hold them.", calls=(understand(), apply(BEGIN, HOLD))),
        Answer("Done."),
    )


def test_questions_are_asked_before_anything_is_proposed(tmp_path: Path) -> None:
    async def story(one: Talk) -> None:
        events = await one.answered()
        assert end(events).cause == "waiting"
        one.unchanged()
        state = one.log.read(lambda library: library.known(one.id))
        assert state.understood is not None
        assert state.understood.questions[0]["text"] == "All of them?"
        await one.events(await one.service.say(one.id, "ada", "", mode="edit", model=None, question=0, choice=0))
        assert "yes" in json.dumps(one.server.asked[1].body["messages"])

    play(tmp_path, story, Answer(calls=(understand("All of them?"),)), Answer("Good."))


def test_a_plan_that_is_confirmed_is_applied(tmp_path: Path) -> None:
    async def story(one: Talk) -> None:
        assert "apply" not in names(await one.answered(mode="plan"))
        assert one.server.asked[0].tools == ["get_entries", "search_catalog", "understand"]
        events = await one.events(await one.service.confirm(one.id, "bob", model=None))
        assert "OperationsProposed" in names(events)

    play(tmp_path, story, Answer(calls=(understand(),)), Answer(calls=(apply(BEGIN, HOLD),)), Answer("Done."))


def test_to_ask_has_no_tool_that_changes(tmp_path: Path) -> None:
    async def story(one: Talk) -> None:
        events = await one.answered("what is it?", "ask")
        assert one.server.asked[0].tools == ["get_entries", "search_catalog"]
        assert [event.failed for event in events if type(event).__name__ == "ToolCalled"] == [True]  # type: ignore[union-attr]
        one.unchanged()

    play(tmp_path, story, Answer(calls=(apply(BEGIN, HOLD),)), Answer("It is empty."))


def test_a_mistake_is_repaired_from_the_new_problems(tmp_path: Path) -> None:
    async def story(one: Talk) -> None:
        events = await one.answered()
        assert "SF201" in json.dumps(one.server.asked[1].body["messages"])
        (offer,) = [event for event in events if type(event).__name__ == "OperationsProposed"]
        assert offer.problems == []  # type: ignore[union-attr]
        assert "payment.invented" not in json.dumps(offer.operations)  # type: ignore[union-attr]

    play(
        tmp_path,
        story,
        Answer(calls=(understand(), apply(BEGIN, INVENTED))),
        Answer(calls=(apply(BEGIN, HOLD),)),
        Answer("Done."),
    )


# What a model can do wrong: its answers, the cause of the end, and a word of what the person is told.
_MANY = tuple(Answer(calls=(understand(), apply(BEGIN, INVENTED))) for _ in range(6))
WRONG: dict[str, tuple[tuple[Answer, ...], str, str]] = {
    "nonsense": ((Answer("\u202e%%{init}%% <script>alert(1)</script>"),), "done", ""),
    "nothing at all": ((Answer(""), Answer("")), "done", ""),
    "a tool that there is not": (
        (Answer(calls=(Call("publish", "{}"), Call("http_get", '{"url": "http://x"}'))), Answer("no")),
        "done",
        "",
    ),
    "arguments that are no JSON": (
        (Answer(calls=(Call("apply", '{"operations": [{"op":'),)), Answer("no")),
        "done",
        "",
    ),
    "operations that there are not": (
        (Answer(calls=(understand(), apply({"op": "run", "what": "x"}))), Answer("no")),
        "waiting",
        "",
    ),
    "nothing but invented names": (_MANY, "unrepaired", "payment.invented"),
    "endless calls of one tool": (
        tuple(Answer(calls=(Call("search_catalog", '{"text": "x"}'),)) for _ in range(20)),
        "limit",
        "limit of a turn",
    ),
    "endless calls in one answer": ((Answer(trouble="endless_calls"),), "limit", "limit"),
    "endless text": ((Answer(trouble="endless_text"),), "limit", "limit"),
    "a stream cut in JSON": (
        (Answer("First.", calls=(understand(), apply(BEGIN, HOLD)), trouble="cut", pieces_until=60),),
        "failed",
        "was cut off",
    ),
    "429": ((Answer(status=429, headers={"retry-after": "100"}),), "failed", "limits requests"),
    "500": ((Answer(status=500),), "failed", "cannot answer now"),
    "500 after operations that fit": (
        (Answer(calls=(understand(), apply(BEGIN, HOLD))), Answer(status=500)),
        "failed",
        "cannot answer now",
    ),
    "endless text after operations that fit": (
        (Answer(calls=(understand(), apply(BEGIN, HOLD))), Answer(trouble="endless_text")),
        "limit",
        "limit",
    ),
    "a page in the place of an answer": ((Answer(trouble="html"),), "failed", ""),
    "silence": ((Answer("One two three", trouble="silence"),), "failed", "No next token"),
    "operations without a word of what was understood": (
        (Answer(calls=(apply(BEGIN, HOLD),)), Answer("no")),
        "done",
        "",
    ),
    "a refusal": ((Answer("No.", stop="content_filter"),), "failed", "refused"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_goes_wrong_changes_nothing_and_is_shown(tmp_path: Path, name: str) -> None:
    script, cause, word = WRONG[name]

    async def story(one: Talk) -> None:
        events = await one.answered()
        assert (end(events).cause, word in end(events).message) == (cause, True), end(events)
        assert bool(end(events).code) == (cause not in ("done", "waiting"))
        one.unchanged()
        assert not any(type(event).__name__ in ("Revised", "OperationsProposed") for event in events)
        again = await one.service.say(one.id, "ada", "hello", mode="ask", model="rules")  # the next turn is free
        assert end(await one.events(again)).cause == "done"

    play(tmp_path, story, *script, between_tokens_s=0.5)


def test_text_is_shown_before_the_answer_ends(tmp_path: Path) -> None:
    async def story(one: Talk) -> None:
        turn = await one.say()
        await one.spoken()
        assert one.log.read(lambda library: library.known(one.id).open_turn) == turn
        await one.service.cancel(one.id, "bob", None)

    play(tmp_path, story, Answer("One two three", trouble="silence"), between_tokens_s=60.0)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_cancelled_turn_ends_within_a_second_and_leaves_the_model(tmp_path: Path, elsewhere: bool) -> None:
    async def story(one: Talk) -> None:
        turn = await one.say()
        await one.spoken()  # nothing comes any more: only a cancellation ends it
        other = Conversations(MemoryConversations(one.log.shelf), one.service._assistant) if elsewhere else one.service
        began = time.monotonic()
        await other.cancel(one.id, "bob", turn)
        asked: Asked = one.server.asked[0]
        await asyncio.wait_for(asked.gone.wait(), 5)
        assert time.monotonic() - began < 1
        assert end(await one.events(turn)).cause == "cancelled"
        await other.cancel(one.id, "bob", turn)  # a second time is nothing
        one.unchanged()

    play(tmp_path, story, Answer("One two", trouble="silence"), between_tokens_s=60.0, first_token_s=60.0)


def test_a_turn_whose_process_ends_is_interrupted(tmp_path: Path) -> None:
    log = MemoryConversations()

    async def story() -> None:
        async with talk(tmp_path, Answer("One", trouble="silence"), log=log, between_tokens_s=60.0) as one:
            turn = await one.say()
            async with one.server.arrived:
                await one.server.arrived.wait_for(lambda: one.server.asked)
        state = log.read(lambda library: library.known(one.id))
        ended = state.turns[turn].ended
        assert ended is not None
        assert ended.cause == "interrupted"
        one.unchanged()

    asyncio.run(story())


def test_a_deleted_conversation_ends_its_turn(tmp_path: Path) -> None:
    async def story(one: Talk) -> None:
        await one.say()
        await one.spoken()
        await one.service.delete(one.id)
        await asyncio.wait_for(one.server.asked[0].gone.wait(), 5)
        with pytest.raises(Rejected):
            await one.service.read(lambda library: library.known(one.id))

    play(tmp_path, story, Answer("One two", trouble="silence"), between_tokens_s=60.0, first_token_s=60.0)


def test_what_a_conversation_spent_counts_in_a_process_that_starts_later(tmp_path: Path) -> None:
    async def story(one: Talk) -> None:
        await one.answered("hello", "ask")
        known = one.service._assistant
        budgets = known._settings.models.budgets.model_validate({"conversation": {"tokens": 10_000}})
        models = known._settings.models.model_copy(update={"budgets": budgets})
        later = Assistant(known._settings.model_copy(update={"models": models}), known._catalogs)
        again = Conversations(MemoryConversations(one.log.shelf), later)
        ended = end(await one.events(await again.say(one.id, "ada", "hello", mode="ask", model=None)))
        assert (ended.cause, ended.code) == ("failed", "budget_exhausted")
        assert "20000 are spent" in ended.message
        await again.close()

    usage = {"input": 19_000, "output": 1000, "cached": 0, "written": 0}
    play(tmp_path, story, Answer("One.", usage=usage))
