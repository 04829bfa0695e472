"""`nats.publish`: a message to a JetStream stream of a NATS server, which keeps it once while it remembers the
idempotency key."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from streamflow.definition.catalog import OperationError as DeclaredError
from streamflow.definition.catalog import OperationSpec
from streamflow.errors import OperationError
from streamflow.operations.connections import (
    CONNECTION_ERRORS,
    CONNECTION_INPUT,
    EXTRA_MISSING,
    ClientCache,
    ConnectionHealth,
    client_module,
    connection_of,
    invalid,
    only_options,
    secret_of,
    whole_option,
)
from streamflow.operations.contract import Attempt, Health, Operation
from streamflow.operations.dialling import dialled_addresses
from streamflow.settings import Connection, Settings

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js.api import PubAck

_PORT = 4222
_CONNECT_S = 5.0
_SHARE = 0.95  # of what is left of the attempt; so that it ends with a code that says more than a timeout
_DAY_S = 86_400
_HOUR_S = 3600

# JetStream's own codes.
_STREAM_EXISTS = 10058
_SUBJECTS_OVERLAP = 10065
_OTHER_STREAM = 10060

_SUBJECT = r"^[^\s.*>]+(\.[^\s.*>]+)*$"
_STREAM = r"^[A-Za-z0-9_-]{1,100}$"
_HEADERS = {
    "type": "object",
    "propertyNames": {"pattern": "^[A-Za-z0-9_-]+$", "not": {"pattern": "^[Nn][Aa][Tt][Ss]-"}},
    "additionalProperties": {"type": "string", "pattern": r"^[^\r\n]*$"},
    "description": "further headers, texts by name; those of NATS itself are not ours to set",
}


@dataclass(slots=True)
class Server:
    """A connection to a NATS server, and what the server said about it without being asked."""

    client: Client
    complaints: list[str] = field(default_factory=list)

    async def close(self) -> None:
        """Closes it."""
        await self.client.close()


class NatsPublish:
    """Publishes one message, and waits until the stream has it."""

    spec = OperationSpec(
        name="nats.publish",
        title="Publish over NATS",
        description="Publishes JSON or text to a subject of a JetStream stream, with the idempotency key as its "
        "`Nats-Msg-Id`: the stream keeps a repeated "
        "message once within its duplicate window. A stream that does not exist is made: `orders.paid` goes to the "
        "stream ORDERS with all of `orders.>`, kept "
        "7 days, with a window of an hour (the connection's options `max_age_s` and `window_s`). A stream that exists "
        "is never changed.",
        input={
            "type": "object",
            "properties": {
                "connection": CONNECTION_INPUT,
                "subject": {
                    "type": "string",
                    "pattern": _SUBJECT,
                    "maxLength": 255,
                    "description": "subject, without wildcards",
                },
                "json": {"description": "the message, as JSON"},
                "text": {"type": "string", "description": "the message as text, instead of json"},
                "headers": _HEADERS,
                "stream": {
                    "type": "string",
                    "pattern": _STREAM,
                    "description": "stream that must take it; made with this one subject if it does not exist",
                },
            },
            "required": ["connection", "subject"],
            "additionalProperties": False,
        },
        output={
            "type": "object",
            "properties": {
                "stream": {"type": "string"},
                "seq": {"type": "integer", "description": "number of the message in its stream"},
                "duplicate": {"type": "boolean", "description": "whether the stream had it already"},
            },
            "required": ["stream", "seq", "duplicate"],
            "additionalProperties": False,
        },
        errors=[
            *CONNECTION_ERRORS,
            EXTRA_MISSING,
            DeclaredError(id="nats_unavailable", title="the server or its JetStream cannot be reached"),
            DeclaredError(
                id="stream_mismatch", title="the stream that is named does not take the subject", retryable=False
            ),
            DeclaredError(
                id="stream_refused",
                title="the server makes no such stream, or the stream refuses the message",
                retryable=False,
            ),
            DeclaredError(id="content_invalid", title="there is no message, or more than one", retryable=False),
            DeclaredError(id="message_too_large", title="the message is larger than the server takes", retryable=False),
        ],
        timeout="30s",
    )

    def __init__(self, settings: Settings) -> None:
        self._servers: ClientCache[Server] = ClientCache(Server.close)
        self._condition = ConnectionHealth(settings, "nats", {"nats": "nats"})

    async def start(self) -> None:
        """Nothing yet: connections are made when they are needed."""

    async def run(self, input: Any, attempt: Attempt) -> Any:
        """Where the message is. Raises OperationError."""
        client_module("nats", "nats")
        name = input["connection"]
        try:
            connection = connection_of(attempt, name, "nats")
            only_options(name, connection, "max_age_s", "window_s")
            server = await self._server(name, connection, await secret_of(attempt, connection))
            ack = await self._publish(server, name, connection, input, attempt)
        except OperationError as error:
            if error.code in ("nats_unavailable", "credentials_refused", "connection_invalid", "secret_missing"):
                self._condition.failed(name, error)
            raise
        self._condition.worked(name)
        return {"stream": ack.stream, "seq": ack.seq, "duplicate": bool(ack.duplicate)}

    async def health(self) -> Health:
        """Whether there are servers, and what went wrong with them last."""
        return self._condition.health()

    async def close(self) -> None:
        """Closes the connections."""
        await self._servers.close()

    async def _server(self, name: str, connection: Connection, password: str | None) -> Server:
        async def make() -> Server:
            return await _connected(name, connection, password)

        server = await self._servers.get(name, (connection, password), make)
        if server.client.is_connected:
            return server
        await self._servers.drop(server)
        return await self._servers.get(name, (connection, password), make)

    async def _publish(self, server: Server, name: str, connection: Connection, input: Any, attempt: Attempt) -> PubAck:
        from nats.errors import Error, MaxPayloadError
        from nats.errors import TimeoutError as NatsTimeoutError
        from nats.js.errors import APIError, NoStreamResponseError

        payload, headers = message(input, attempt)
        until = asyncio.get_running_loop().time() + attempt.timeout_s * _SHARE
        stream = server.client.jetstream()
        server.complaints.clear()
        try:
            for made in (False, True):
                left_s = max(0.1, until - asyncio.get_running_loop().time())
                try:
                    return await stream.publish(
                        input["subject"], payload, timeout=left_s, stream=input.get("stream"), headers=dict(headers)
                    )
                except NoStreamResponseError:
                    if made:
                        raise
                    await _make_stream(server, name, connection, input)
        except MaxPayloadError as error:
            message_ = (
                f"expected a message of at most {server.client.max_payload} bytes but it has {len(payload)}. "
                "Store it and send a reference."
            )
            raise OperationError("message_too_large", message_, retryable=False, connection=name) from error
        except APIError as error:
            raise _refused(error, name, input) from error
        except (Error, OSError) as error:
            if denied := next((text for text in server.complaints if "permissions violation" in text.lower()), None):
                message_ = (
                    f"expected the right to publish to {input['subject']} but the server said {denied}. Grant it."
                )
                raise OperationError("access_denied", message_, retryable=False, connection=name) from error
            if not isinstance(error, NatsTimeoutError):
                await self._servers.drop(server)
            raise _unavailable(name, _said(error)) from error
        raise _unavailable(name, "no stream took the message")


def message(input: Any, attempt: Attempt) -> tuple[bytes, Mapping[str, str]]:
    """The bytes and the headers of the message. Raises OperationError (`content_invalid`)."""
    if ("json" in input) == ("text" in input):
        found = "both are there" if "json" in input else "there is neither"
        raise OperationError(
            "content_invalid", f"expected either json or text but {found}. Give one of them.", retryable=False
        )
    headers = {**input.get("headers", {}), "Nats-Msg-Id": attempt.idempotency_key}
    headers["Content-Type"] = "application/json" if "json" in input else "text/plain; charset=utf-8"
    headers |= attempt.trace_headers
    return msgspec.json.encode(input["json"], order="sorted") if "json" in input else input["text"].encode(), headers


def stream_for(subject: str) -> tuple[str, list[str]]:
    """The stream that is made for `subject` when none is named, and the subjects it takes."""
    first = subject.split(".", 1)[0]
    name = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "-_") else "_" for letter in first.upper()
    )
    return name, [first, f"{first}.>"]


async def _connected(name: str, connection: Connection, password: str | None) -> Server:
    from nats.aio.client import Client
    from nats.errors import Error

    complaints: list[str] = []

    async def complain(error: Exception) -> None:
        del complaints[:-10]
        complaints.append(str(error))

    url = urlsplit(connection.url)
    if url.scheme not in ("nats", "tls", "ws", "wss") or url.username is not None:
        raise invalid(name, "a url such as nats://host:4222, without a user", "it is another")
    try:
        addresses = await dialled_addresses(name, url, _PORT)
    except OSError as error:
        raise _unavailable(name, _said(error)) from error
    servers = [connection.url]
    if url.scheme in ("nats", "tls"):  # the others need the name in their request
        hosts = [f"[{address}]" if ":" in address else address for address in addresses]
        servers = [f"{url.scheme}://{host}:{url.port or _PORT}" for host in hosts]
    credentials: dict[str, Any] = (
        {"user": connection.user, "password": password} if connection.user is not None else {"token": password}
    )
    client = Client()
    try:
        async with asyncio.timeout(2 * _CONNECT_S):
            await client.connect(
                servers,
                name="streamflow",
                tls_hostname=url.hostname,
                allow_reconnect=False,  # a lost connection is replaced by the next attempt
                max_reconnect_attempts=1,  # the client would try to begin for two minutes; 0 means for ever
                reconnect_time_wait=0,
                connect_timeout=int(_CONNECT_S),
                error_cb=complain,
                **credentials,
            )
    except (Error, OSError, TimeoutError, EOFError) as error:
        with contextlib.suppress(Error, OSError):
            await client.close()
        said = [*complaints, _said(error)]
        if any(words in text.lower() for text in said for words in ("authorization", "authentication")):
            text = (
                f"expected the NATS server {name} to accept the user but it refused. Correct the connection's "
                "user and password."
            )
            raise OperationError("credentials_refused", text, retryable=False, connection=name) from error
        raise _unavailable(name, said[0]) from error
    return Server(client, complaints)


async def _make_stream(server: Server, name: str, connection: Connection, input: Any) -> None:
    """Makes the stream that takes the subject. Two workers that do it at once make one stream."""
    from nats.js.api import StreamConfig
    from nats.js.errors import APIError

    stream, subjects = (input["stream"], [input["subject"]]) if "stream" in input else stream_for(input["subject"])
    window_s = whole_option(name, connection, "window_s", _HOUR_S)
    age_s = whole_option(name, connection, "max_age_s", 7 * _DAY_S)
    try:
        await server.client.jetstream().add_stream(
            StreamConfig(
                name=stream,
                subjects=subjects,
                duplicate_window=min(window_s, age_s),
                max_age=age_s,
                description="made by Streamflow",
            )
        )
    except APIError as error:
        if error.err_code == _SUBJECTS_OVERLAP:
            return  # somebody has made another stream for it meanwhile
        raise


def _refused(error: Any, name: str, input: Any) -> OperationError:
    said = f"{error.description} ({error.err_code})"
    if error.err_code in (_STREAM_EXISTS, _OTHER_STREAM):
        stream = input.get("stream") or stream_for(input["subject"])[0]
        text = (
            f"expected the stream {stream} to accept {input['subject']} but it does not ({said}). Add the subject "
            "to it or name another stream."
        )
        return OperationError("stream_mismatch", text, retryable=False, connection=name)
    if error.code is not None and error.code < 500:
        text = f"expected JetStream to accept this but it answered: {said}. Correct the stream or the message."
        return OperationError("stream_refused", text, retryable=False, connection=name)
    return _unavailable(name, said)


def _unavailable(name: str, said: str) -> OperationError:
    return OperationError(
        "nats_unavailable",
        f"expected the NATS server {name} and its JetStream to answer but {said}. Try again.",
        connection=name,
    )


def _said(error: BaseException) -> str:
    return str(error).removeprefix("nats: ") or type(error).__name__


def operations(settings: Settings) -> Sequence[Operation]:
    """What this module has."""
    return (NatsPublish(settings),)


SPECS = (NatsPublish.spec,)
