"""`notify.send`: a message to people, at a target that the operator has set up."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

from streamflow.definition.catalog import OperationError as DeclaredError
from streamflow.definition.catalog import OperationSpec
from streamflow.definition.model import Retry
from streamflow.errors import OperationError
from streamflow.operations.connections import EXTRA_MISSING
from streamflow.operations.contract import Attempt, Health, Operation
from streamflow.operations.message_target import TEXT_CHARS, TITLE_CHARS, Sender, message
from streamflow.secrets import KNOWN
from streamflow.settings import Notifications, Settings

_SHARE = 0.95  # of what is left of the attempt; so that it ends with a code that says more than a timeout
# Errors that a person has to correct, and that the next message would get again.
_LASTING = ("target_unknown", "target_refused", "secret_missing", "extra_missing")


class NotifySend:
    """Sends one message."""

    spec = OperationSpec(
        name="notify.send",
        title="Notify people",
        description="Sends a plain text to a target of the settings: a name in `notifications.targets`, such as a "
        "mailbox, a channel or a phone. A definition names a target and never an address. Targets know no idempotency "
        "key: an attempt whose answer is lost is made again, and the message may come twice. A target is connected to "
        "past the rules for outgoing connections (`tasks.allow_hosts`); the schemes in `notifications.schemes` bound "
        "what it may be.",
        input={
            "type": "object",
            "properties": {
                "target": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 40,
                    "description": "name of the target in `notifications.targets`",
                },
                "text": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": TEXT_CHARS,
                    "description": "the message as plain text; markup is not interpreted",
                },
                "title": {"type": "string", "maxLength": TITLE_CHARS, "description": "one line above it"},
                "severity": {"enum": ["info", "success", "warning", "failure"], "description": "info unless given"},
            },
            "required": ["target", "text"],
            "additionalProperties": False,
        },
        output={
            "type": "object",
            "properties": {"target": {"type": "string"}},
            "required": ["target"],
            "additionalProperties": False,
        },
        errors=[
            DeclaredError(id="target_unknown", title="no target of that name is in the settings", retryable=False),
            DeclaredError(
                id="target_refused",
                title="the target's URL has a scheme that is not allowed, or cannot be used",
                retryable=False,
            ),
            DeclaredError(id="target_failed", title="the target refuses the message or cannot be reached"),
            DeclaredError(id="target_silent", title="the target does not answer in time; it may have the message"),
            DeclaredError(id="target_busy", title="too many messages of the worker wait for answers"),
            DeclaredError(id="message_empty", title="nothing is left of the text", retryable=False),
            DeclaredError(id="secret_missing", title="the target's URL is not there", retryable=False),
            EXTRA_MISSING,
        ],
        timeout="30s",
        retry=Retry(attempts=3),
    )

    def __init__(self, settings: Settings) -> None:
        # There are none when only the contracts are wanted.
        self._settings = getattr(settings, "notifications", None) or Notifications()
        self._sender = Sender(self._settings)
        self._trouble: dict[str, str] = {}

    async def start(self) -> None:
        """Nothing yet: a connection is made for each message."""

    async def run(self, input: Any, attempt: Attempt) -> Any:
        """The name of the target that took the message. Raises OperationError."""
        target = str(input["target"])
        made = message(input.get("title", ""), input["text"], input.get("severity", "info"))
        if not made.text:
            text = "The text has only spaces and control characters. Give a text."
            raise OperationError("message_empty", text, retryable=False)
        try:
            within_s = min(self._settings.timeout_s, attempt.timeout_s * _SHARE)
            await self._sender.send(target, made, within_s, attempt.secret)
        except OperationError as error:
            if error.code in _LASTING and target in self._settings.targets:
                self._trouble[target] = KNOWN.message(error.message)
            raise
        self._trouble.pop(target, None)
        return {"target": target}

    async def health(self) -> Health:
        """Whether there are targets, and what a person has to correct about them."""
        if not self._settings.targets:
            return Health(ok=False, detail="no target is configured in notifications.targets")
        if importlib.util.find_spec("apprise") is None:
            return Health(
                ok=False,
                detail="its library is not installed. Install the wheel with the extra notify, as "
                "README.md shows under extras.",
            )
        return Health(ok=not self._trouble, detail="; ".join(self._trouble[name] for name in sorted(self._trouble)))

    async def close(self) -> None:
        """Nothing is held."""


def operations(settings: Settings) -> Sequence[Operation]:
    """What this module has."""
    return (NotifySend(settings),)
