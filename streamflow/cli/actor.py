"""The user who runs a command."""

from __future__ import annotations

import getpass
import os
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamflow.access.audit import Actor
    from streamflow.settings import Settings


def user_name() -> str:
    """The name that the machine has for them."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())


def actor() -> Actor:
    """Who types the command, as the machine says; the rights to the topics are what protects them."""
    from streamflow.access.audit import Actor

    return Actor(who=f"command line: {user_name()}@{socket.gethostname()}")


def audited(settings: Settings, action: str, target: str, *, before: Any = None, after: Any = None) -> None:
    """Accounts in the audit for what is about to be done. Raises OperationError."""
    from streamflow.access.changes import Change
    from streamflow.access.topic import AccessTopic

    change = Change(records={}, action=action, target=target, before=before, after=after)
    with AccessTopic(settings) as access:
        access.wait_loaded()
        access.change(actor(), lambda _directory, _now_ms: change)
