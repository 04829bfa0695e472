"""The ledger's log has every call of a caller that is gone."""

from __future__ import annotations

import socket
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
