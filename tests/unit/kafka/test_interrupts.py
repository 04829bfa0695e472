"""Ctrl-C is never lost on its way through a library."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

import pytest

from streamflow.kafka.interrupts import kept_interrupts


def interrupted() -> None:
    """What confluent-kafka makes of a Ctrl-C during a callback."""
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    raise SystemError("returned NULL without setting an exception")


def failed() -> None:
    raise SystemError("returned NULL without setting an exception")


@pytest.mark.parametrize(("work", "expected"), [(interrupted, KeyboardInterrupt), (failed, SystemError)])
def test_only_what_an_interrupt_became_is_one(work: Callable[[], None], expected: type[BaseException]) -> None:
    with pytest.raises(expected), kept_interrupts():
        work()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_inner_of_two_tells_of_it() -> None:
    with kept_interrupts(), pytest.raises(KeyboardInterrupt), kept_interrupts():
        interrupted()


def test_handlers_of_others_stay() -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: came.append(number))
    try:
        with kept_interrupts():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert came == [signal.SIGINT]


def test_other_threads_have_nothing_to_do_with_it() -> None:
    done: list[bool] = []

    def work() -> None:
        with kept_interrupts():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
