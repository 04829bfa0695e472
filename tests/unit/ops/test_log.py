"""Log lines of libraries."""

from __future__ import annotations

import logging

from streamflow.ops.log import RepeatFilter


def line(name: str, text: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "file", 1, text, args, None)


def test_a_library_that_repeats_itself_is_heard_once_in_ten_seconds_with_how_often_it_did() -> None:
    now = 100.0
    seldom = RepeatFilter(("aiokafka",), clock=lambda: now)
    assert seldom.filter(line("aiokafka.conn", "no way to node %s", 1))
    assert not any(seldom.filter(line("aiokafka.conn", "no way to node %s", 1)) for _ in range(250))
    assert seldom.filter(line("aiokafka.conn", "no way to node %s", 2))
    assert seldom.filter(line("faust", "no way to node %s", 1))
    now = 110.0
    again = line("aiokafka.conn", "no way to node %s", 1)
    assert seldom.filter(again)
    assert again.getMessage() == "no way to node 1 (and 250 times since the last one)"


def test_many_different_lines_do_not_pile_up() -> None:
    seldom = RepeatFilter(("aiokafka",))
    assert all(seldom.filter(line("aiokafka", "line %s", number)) for number in range(10_000))
    assert len(seldom._told) <= 200
