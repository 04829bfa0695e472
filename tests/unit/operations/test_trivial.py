"""The operations for trying things out."""

from __future__ import annotations

import asyncio
from typing import Any

import jsonschema_rs
import pytest
from structlog.testing import capture_logs

from streamflow.errors import OperationError
from streamflow.operations.contract import Operation
from streamflow.operations.echo import Echo
from streamflow.operations.print import PrintLine
from tests.contract.servers import attempt


def done(operation: Operation, input: Any, number: int = 1) -> Any:
    assert jsonschema_rs.validator_for(operation.spec.input).is_valid(input)
    output = asyncio.run(operation.run(input, attempt(number)))
    assert jsonschema_rs.validator_for(operation.spec.output).is_valid(output)
    return output


def test_a_line_is_logged_with_its_place_and_given_back() -> None:
    with capture_logs() as logged:
        assert done(PrintLine(), {"text": "hello"}) == {"text": "hello"}

    assert logged == [
        {"event": "printed", "log_level": "info", "text": "hello", "run": "run", "step": "step", "item": None}
    ]


def test_an_echo_gives_its_value_back_late_if_asked_to() -> None:
    assert done(Echo(), {"value": [1]}) == {"value": [1]}
    assert done(Echo(), {}) == {"value": None}
    assert done(Echo(), {"value": 1, "delay_ms": 1}) == {"value": 1}


@pytest.mark.parametrize(("code", "retryable"), [("echo_refused", False), ("echo_unavailable", True)])
def test_an_echo_fails_as_it_is_asked_to(code: str, retryable: bool) -> None:
    with pytest.raises(OperationError) as raised:
        done(Echo(), {"fail": code})

    assert (raised.value.code, raised.value.retryable) == (code, retryable)


def test_an_echo_that_fails_at_first_succeeds_later() -> None:
    input = {"value": 1, "fail": "echo_unavailable", "fail_attempts": 2}

    for number in (1, 2):
        with pytest.raises(OperationError):
            done(Echo(), input, number)
    assert done(Echo(), input, 3) == {"value": 1}
