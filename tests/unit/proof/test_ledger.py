"""The ledger's log has every call of a caller that is gone."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.proof.ledger import Ledger


def test_all_calls_are_in_the_log_once_no_caller_is_connected(tmp_path: Path) -> None:
    with Ledger(tmp_path, delay_ms=60_000) as ledger:
        host, _, port = ledger.host.partition(":")
        with socket.create_connection((host, int(port))) as caller:
            caller.sendall(b"POST /x HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: 2\r\n\r\n{}")
            with pytest.raises(TimeoutError, match="1 connections"):
                ledger.wait_hung_up(0.05)
        ledger.wait_hung_up()
        assert ledger.account().calls == {"k": 1}
        assert ledger.account().answers == {}


def test_calls_that_were_sent_are_in_the_log_although_their_callers_stay(tmp_path: Path) -> None:
    with Ledger(tmp_path, delay_ms=60_000) as ledger, ExitStack() as callers:
        host, _, port = ledger.host.partition(":")
        sockets = [callers.enter_context(socket.create_connection((host, int(port)))) for _ in range(50)]
        for nth, caller in enumerate(sockets):
            key = f"k{nth}"
            caller.sendall(
                f"POST /x HTTP/1.1\r\nHost: x\r\nIdempotency-Key: {key}\r\nContent-Length: 0\r\n\r\n".encode()
            )
        ledger.catch_up()
        assert len(ledger.account().keys) == 50
