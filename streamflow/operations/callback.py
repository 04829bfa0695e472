"""`http.callback`: asks an HTTP server for something that takes long, and waits until it calls back. No worker is held
meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamflow.definition import duration
from streamflow.definition.catalog import OperationError as DeclaredError
from streamflow.definition.catalog import OperationSpec
from streamflow.errors import OperationError
from streamflow.operations.contract import Attempt, Health, Operation, Pending
from streamflow.operations.http import ERRORS, INPUT, HttpRequest, judge
from streamflow.settings import Settings

_FIELDS = INPUT["properties"]


class HttpCallback:
    """Posts `json`, with `callback_url` put into it, and is answered by a POST to that address within `within`."""

    spec = OperationSpec(
        name="http.callback",
        title="HTTP request that is answered by a callback",
        description="Posts a JSON object that contains a callback_url; the receiver posts the output to that URL.",
        input={
            "type": "object",
            "properties": {
                "url": _FIELDS["url"],
                "connection": _FIELDS["connection"],
                "headers": _FIELDS["headers"],
                "query": _FIELDS["query"],
                "json": {"type": "object", "description": "the body; callback_url is added"},
                "within": {
                    "type": "string",
                    "pattern": duration.PATTERN,
                    "description": "how long an answer may take; else a day",
                },
            },
            "required": ["url"],
            "additionalProperties": False,
        },
        errors=[
            *ERRORS,
            DeclaredError(id="callbacks_off", title="no address for callbacks is configured", retryable=False),
        ],
        timeout="30s",
    )

    def __init__(self, settings: Settings) -> None:
        self._http = HttpRequest(settings)

    async def start(self) -> None:
        """Connections are made when they are needed."""

    async def run(self, input: Any, attempt: Attempt) -> Any:
        """Posts, and is pending. Raises OperationError when the post is not taken (any status but 200 to 299)."""
        for_s = duration.parse_ms(input.get("within", "1d")) / 1000
        body = input.get("json", {})
        if "callback_url" in body:
            text = "expected a body without callback_url, which is added, but it has one. Rename the field."
            raise OperationError("url_refused", text, retryable=False)
        asked = {name: input[name] for name in ("url", "connection", "headers", "query") if name in input}
        asked |= {"method": "POST", "json": body | {"callback_url": attempt.callback_url(for_s)}, "redirects": 0}
        judge(await self._http.ask(asked, attempt), asked)
        return Pending(for_s)

    async def health(self) -> Health:
        """Well; whether a server is, is known when it is asked."""
        return Health(ok=True)

    async def close(self) -> None:
        """Closes its connections."""
        await self._http.close()


def operations(settings: Settings) -> Sequence[Operation]:
    """What this module has."""
    return (HttpCallback(settings),)
