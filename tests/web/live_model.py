"""A language model that a test scripts while the pages use it."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.scripted_model import Answer, Asked, ScriptedModel

NAME = "scripted"


class LiveModel:
    """An endpoint in a thread of its own. A request gets the next answer that was put in, and 500 if there is none."""

    def __init__(self, url: str, answers: queue.SimpleQueue[Answer]) -> None:
        self.url = url
        self._answers = answers

    def will_say(self, *answers: Answer) -> None:
        """These are the next answers; what was left over is not given any more."""
        while not self._answers.empty():
            self._answers.get_nowait()
        for answer in answers:
            self._answers.put(answer)


@contextmanager
def live_model() -> Iterator[LiveModel]:
    """The endpoint, until the block ends."""
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    began: queue.SimpleQueue[str] = queue.SimpleQueue()
    loop, over = asyncio.new_event_loop(), asyncio.Event()

    def next_answer(_asked: Asked) -> Answer:
        if answers.empty():
            return Answer(status=500, error="beyond the script", headers={"x-should-retry": "false"})
        return answers.get_nowait()

    async def serve() -> None:
        async with ScriptedModel(next_answer) as server:
            began.put(f"{server.url}/v1")
            await over.wait()

    serving = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="live model", daemon=True)
    serving.start()
    try:
        yield LiveModel(began.get(timeout=30), answers)
    finally:
        loop.call_soon_threadsafe(over.set)
        serving.join(30)
        loop.close()
