"""How the authorizer's log is compared with the rights that are printed."""

from __future__ import annotations

from tests.integration.printed_rights import Use, uses
from tests.servers.secured_kafka import Decision

ENGINE = "streamflow-engine"


def test_what_was_allowed_is_used() -> None:
    found = uses(
        [
            Decision(ENGINE, True, "READ", "Topic:LITERAL:secured.commands"),
            Decision(ENGINE, True, "WRITE", "TransactionalId:LITERAL:secured.engine-11"),
            Decision("streamflow-tasks", True, "WRITE", "TransactionalId:LITERAL:secured.publisher"),
            Decision(ENGINE, False, "WRITE", "Topic:LITERAL:secured.runs"),
            Decision("ANONYMOUS", True, "WRITE", "Topic:LITERAL:secured.runs"),
        ]
    )
    assert found == {
        Use("engine", "READ", "Topic:secured.commands"),
        Use("engine", "WRITE", "TransactionalId:secured.engine-"),
        Use("tasks", "WRITE", "TransactionalId:secured.publisher"),
    }
