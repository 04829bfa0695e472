"""A worker that reads and writes by librdkafka in its own thread, beside the event loop of its process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable


async def serve_in_thread(work: Callable[[threading.Event], None], stop: asyncio.Event) -> None:
    """Run `work` until `stop` is set; its event is then set. Raises what `work` raises."""
    halt = threading.Event()
    working = asyncio.create_task(asyncio.to_thread(work, halt))
    asked = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, asked}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        halt.set()
        asked.cancel()
        await working
