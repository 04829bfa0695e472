"""Conversations for programs that serve them: commands, the assistant's turns in this process, and who watches."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from streamflow.conversations import decisions
from streamflow.conversations.assistant import Assistant, TurnOver
from streamflow.conversations.conversation import Conversation
from streamflow.conversations.decisions import HELD_MS
from streamflow.conversations.entries import Entry
from streamflow.conversations.events import RULES, Event, Mode, TurnEnded
from streamflow.conversations.library import Library, added, begun, deleted
from streamflow.conversations.topic import ConversationLog
from streamflow.definition.catalog import Catalog
from streamflow.errors import DefinitionError, OperationError, Rejected, StreamflowError

T = TypeVar("T")

_log = structlog.get_logger(__name__)

Decide = Callable[[Conversation, int], Sequence[Event]]
"""The events of a command, in view of the conversation and of the time (epoch milliseconds)."""

_LOOK_S = 5.0  # how often it is looked for turns that were cut off
_HOLD_S = HELD_MS / 3000
_END_S = 10.0  # for how long the end of a turn is tried to be written
_PAGE = 500  # entries that are read at once
_OVER = ("turn_over", "conversation_unknown")


class Conversations:
    """All conversations of an installation. Belongs to one event loop."""

    def __init__(self, log: ConversationLog, assistant: Assistant) -> None:
        self._kafka, self._assistant = log, assistant
        self._holder = uuid.uuid4().hex
        self._turns: dict[str, tuple[str, asyncio.Task[None]]] = {}
        self._watching: dict[str, set[asyncio.Event]] = {}
        self._users = 0
        self._joining = asyncio.Lock()
        self._stop_listening: Callable[[], None] | None = None
        self._background: set[asyncio.Task[None]] = set()

    async def read(self, look: Callable[[Library], T]) -> T:
        """What `look` finds; it must not keep a conversation beyond its call. Raises OperationError, and what `look`
        raises."""
        return await asyncio.to_thread(self._kafka.read, look)

    async def catalog(self, text: str | None) -> Catalog:
        """All that a draft of a conversation with this catalog may name. Raises DefinitionError and OperationError."""
        return (await self._assistant.catalog(text)).whole

    async def start(self, by: str, *, title: str, text: str | None, catalog: str | None) -> str:
        """The id of a new conversation. Raises DefinitionError, OperationError and Rejected (see `decisions.start`)."""
        await self._assistant.catalog(catalog)  # one that cannot be read is refused now
        events, id = decisions.start(title, text, catalog), uuid.uuid4().hex[:16]
        await asyncio.to_thread(
            self._kafka.write, lambda library, now_ms: begun(library, id, events, by=by, now_ms=now_ms)
        )
        return id

    async def change(self, id: str, by: str, decide: Decide) -> None:
        """Writes what `decide` gives. Raises what it raises, OperationError, and Rejected (`conversation_unknown`)."""
        await asyncio.to_thread(
            self._kafka.write,
            lambda library, now_ms: added(library, id, decide(library.known(id), now_ms), by=by, now_ms=now_ms),
        )

    async def delete(self, id: str) -> None:
        """Deletes a conversation with all its entries. Raises OperationError, and Rejected
        (`conversation_unknown`)."""
        await asyncio.to_thread(self._kafka.write, lambda library, _now_ms: deleted(library, id))
        self._assistant.forget(id)

    async def say(
        self,
        id: str,
        by: str,
        text: str,
        *,
        mode: Mode,
        model: str | None,
        question: int | None = None,
        choice: int | None = None,
    ) -> str:
        """Sends a message, and begins the turn that answers it; its id. Raises as `decisions.message`, and what
        choosing the model raises."""
        turn, name = uuid.uuid4().hex[:16], self._assistant.model_name(model)
        await self.change(
            id,
            by,
            lambda state, now_ms: decisions.message(
                state,
                text,
                turn=turn,
                mode=mode,
                model=RULES if _is_decided(state, question, choice) else name,
                holder=self._holder,
                now_ms=now_ms,
                question=question,
                choice=choice,
            ),
        )
        self._begin(id, turn, by)
        return turn

    async def confirm(self, id: str, by: str, *, model: str | None) -> str:
        """Says yes to what was understood, and begins the turn that continues. Raises as `decisions.confirm`."""
        turn, name = uuid.uuid4().hex[:16], self._assistant.model_name(model)
        await self.change(
            id,
            by,
            lambda state, now_ms: decisions.confirm(state, turn=turn, model=name, holder=self._holder, now_ms=now_ms),
        )
        self._begin(id, turn, by)
        return turn

    async def cancel(self, id: str, by: str, turn: str | None) -> None:
        """Ends the open turn, at once and whichever process works on it. Nothing if there is none. Raises
        OperationError, and Rejected (`conversation_unknown`)."""
        await self.change(id, by, lambda state, _now_ms: decisions.cancel(state, turn))
        self._stop_if_over(id, await self.read(lambda library: library.known(id).open_turn))

    async def watch(self, id: str, after: int) -> AsyncGenerator[list[Entry], None]:
        """The entries behind number `after`, and then each when it is there; an empty list when a while has passed
        without one. Ends when the conversation is deleted. Raises OperationError, and Rejected
        (`conversation_unknown`)."""
        changed = asyncio.Event()
        await self._listen()
        self._watching.setdefault(id, set()).add(changed)
        look = self._kafka.read  # what is there now; later what this process hears of
        try:
            while True:
                changed.clear()
                found = await asyncio.to_thread(look, lambda library: library.entries(id, after, _PAGE))  # noqa: B023
                look = self._kafka.peek
                if found:
                    after = found[-1].seq
                yield found
                if len(found) < _PAGE:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_S):
                            await changed.wait()
        finally:
            self._watching[id].discard(changed)
            if not self._watching[id]:
                del self._watching[id]
            await self._leave()

    async def run(self) -> None:
        """Ends turns that were cut off, of any process, until it is cancelled."""
        logged = ""
        while True:
            try:
                await self.sweep()
                logged = ""
            except OperationError as error:
                if error.code not in (logged, "topic_missing"):
                    _log.warning("conversations_unreadable", code=error.code, error=error.message)
                logged = error.code
            await asyncio.sleep(_LOOK_S)

    async def sweep(self) -> None:
        """Ends turns that were cut off. Raises OperationError."""
        now_ms = time.time_ns() // 1_000_000
        late = await self.read(
            lambda library: [
                (one.id, one.turns[one.open_turn].by)
                for one in library.conversations()
                if one.open_turn is not None and decisions.interrupted(one, now_ms)
            ]
        )
        for id, by in late:
            with contextlib.suppress(Rejected):  # it is deleted by now
                await self.change(id, by, decisions.interrupted)

    async def close(self) -> None:
        """Cuts off the turns of this process, which say so, and ends what runs in the background."""
        tasks = [task for _, task in self._turns.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._background, return_exceptions=True)
        if self._stop_listening is not None:
            await asyncio.to_thread(self._stop_listening)
        await self._assistant.close()
        await asyncio.to_thread(self._kafka.close)

    # The turns of this process

    def _begin(self, id: str, turn: str, by: str) -> None:
        task = asyncio.create_task(self._work(id, turn, by))
        self._turns[turn] = id, task
        task.add_done_callback(lambda _task: self._turns.pop(turn, None))

    async def _work(self, id: str, turn: str, by: str) -> None:
        """One turn, from its beginning to its end, whatever happens."""

        async def add(*events: Event) -> None:
            try:
                await self.change(id, by, lambda state, _now_ms: decisions.of_turn(state, turn, events))
            except Rejected as error:
                if error.code in _OVER:
                    raise TurnOver from error
                raise

        end: TurnEnded | None = None
        holding = asyncio.create_task(self._hold(id, turn, by))
        try:
            await self._listen()
            try:
                state, spent = await self.read(lambda library: (library.known(id).copy(), list(library.spent())))
                self._assistant.count(spent)
                await self._assistant.answer(state, turn, by, add, self._spend(id, by))
            finally:
                await self._leave()
        except TurnOver:
            pass
        except asyncio.CancelledError:
            text = "The sidecar that worked on the answer has ended. Send the message again."
            end = TurnEnded(turn=turn, cause="interrupted", code="turn_interrupted", message=text)
        except (DefinitionError, Rejected, OperationError) as error:
            end = TurnEnded(turn=turn, cause="failed", code=error.code, message=error.message)
        except Exception as error:  # noqa: BLE001 - the turn's last frame: without it nobody would hear of it
            _log.error("turn_failed", turn=turn, exc_info=error)
            text = "The assistant failed (a defect of Streamflow). See the sidecar's log."
            end = TurnEnded(turn=turn, cause="failed", code="internal_error", message=text)
        finally:
            holding.cancel()
        if end is not None:
            await self._write_end(id, by, end)

    async def _write_end(self, id: str, by: str, end: TurnEnded) -> None:
        """Writes the end of a turn unless it has one. What cannot be written now is written by a sweep."""
        try:
            async with asyncio.timeout(_END_S):
                await self.change(id, by, lambda state, _now_ms: decisions.of_turn(state, end.turn, [end]))
        except (StreamflowError, TimeoutError) as error:
            if not isinstance(error, Rejected):
                _log.warning("turn_end_unwritten", turn=end.turn, error=str(error))

    async def _hold(self, id: str, turn: str, by: str) -> None:
        """Says again and again that this process works on the turn."""
        while True:
            await asyncio.sleep(_HOLD_S)
            try:
                await self.change(id, by, lambda state, now_ms: decisions.hold(state, turn, now_ms))
            except Rejected:
                self._stop_if_over(id, None)
                return
            except OperationError as error:
                _log.warning("turn_not_held", turn=turn, code=error.code, error=error.message)

    def _spend(self, id: str, by: str) -> Callable[[Event], Awaitable[None]]:
        """What keeps an account of an answer of a model, also when the turn is over."""

        async def spend(event: Event) -> None:
            try:
                await self.change(id, by, lambda _state, _now_ms: [event])
            except StreamflowError as error:
                _log.warning("spending_unwritten", conversation=id, error=error.message)

        return spend

    def _stop_if_over(self, id: str, open_turn: str | None) -> None:
        for turn, (conversation, task) in list(self._turns.items()):
            if conversation == id and turn != open_turn:
                task.cancel()

    # Who watches

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()

        def heard(ids: frozenset[str]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._heard, ids)

        self._users += 1
        async with self._joining:
            if self._stop_listening is None:
                self._stop_listening = await asyncio.to_thread(self._kafka.listen, heard)

    async def _leave(self) -> None:
        self._users -= 1
        if self._users == 0 and self._stop_listening is not None:
            stop, self._stop_listening = self._stop_listening, None
            await asyncio.to_thread(stop)

    def _heard(self, ids: frozenset[str]) -> None:
        for id in ids:
            for one in self._watching.get(id, ()):
                one.set()
        working = {id for id, _ in self._turns.values()} & ids
        if working:
            task = asyncio.create_task(self._look_at(working))
            self._background.add(task)
            task.add_done_callback(self._background.discard)

    async def _look_at(self, ids: set[str]) -> None:
        """Stops work on turns that another process has ended."""
        for id in ids:
            with contextlib.suppress(OperationError):
                try:
                    open_turn = await asyncio.to_thread(
                        self._kafka.peek,
                        lambda library: library.known(id).open_turn,  # noqa: B023
                    )
                except Rejected:
                    open_turn = None
                self._stop_if_over(id, open_turn)


def _is_decided(state: Conversation, question: int | None, choice: int | None) -> bool:
    """Whether an answer says all that it changes, so that no model is needed."""
    if question is None:
        return False
    return decisions.chosen(state, question, choice).get("sentence") is None
