"""Configured connections, by name: what `Attempt.connection` gives."""

from __future__ import annotations

from streamflow.errors import OperationError
from streamflow.settings import Connection, Settings


def connection_of(settings: Settings, name: str) -> Connection:
    """The connection that the settings call `name`. Its secrets are still references.

    Raises OperationError (`connection_unknown`)."""
    if name not in settings.tasks.connections:
        known = ", ".join(sorted(settings.tasks.connections)) or "none"
        text = f"expected a connection of the settings but {name} is not one of them ({known}); do configure tasks.connections.{name}"
        raise OperationError("connection_unknown", text, retryable=False)
    return settings.tasks.connections[name]
