"""Ctrl-C while a producer calls back.

confluent-kafka loses the KeyboardInterrupt of a signal that comes while a delivery callback runs: `poll` and `flush`
then raise a SystemError that says nothing (seen with 2.16.1, for one of twenty signals)."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class _Noted:
    """A handler of SIGINT: Python's own, which remembers that it was called."""

    def __init__(self) -> None:
        self.came = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        signal.default_int_handler(number, frame)


@contextlib.contextmanager
def kept_interrupts() -> Iterator[None]:
    """Ctrl-C in the block is a KeyboardInterrupt, also where confluent-kafka loses it. Blocks may be nested. Nothing
    changes in other threads than the main one, and where Ctrl-C has another handler than Python's."""
    before = signal.getsignal(signal.SIGINT)
    usual = before is signal.default_int_handler or isinstance(before, _Noted)
    if threading.current_thread() is not threading.main_thread() or not usual:
        yield
        return
    noted = _Noted()
    signal.signal(signal.SIGINT, noted)
    try:
        yield
    except SystemError as error:
        if noted.came:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, before)
