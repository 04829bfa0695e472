"""`http.request`: asks an HTTP server. What may be reached is judged by `address`, the asking is done by `egress`."""

from __future__ import annotations

import email.utils
import math
import time
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

import msgspec
from yarl import URL

from streamflow.definition.catalog import OperationError as DeclaredError
from streamflow.definition.catalog import OperationSpec
from streamflow.errors import OperationError
from streamflow.operations.answer_text import charset, said
from streamflow.operations.contract import Attempt, Health, Operation
from streamflow.operations.egress import REDIRECTS, Answer, Egress, Request, Resolve, shown
from streamflow.operations.egress_policy import Policy, check_path, named_host, parse_url, refused
from streamflow.settings import Connection, Settings
from streamflow.wire.codec import DecodeError
from streamflow.wire.json_text import read_json

_LONGEST_RETRY_AFTER_S = 86_400.0
# The worker's limit of the attempt ends it first; this one only makes sure.
_GRACE_S = 5.0
_LATER = "It is retried later."

# What belongs to the connection, not to the author; and what would be read by proxies between.
_OURS = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
        "te",
        "trailer",
        "keep-alive",
        "proxy-authorization",
        "expect",
    }
)
# Anyone who reads the run would read these too.
_HIDDEN = frozenset({"set-cookie", "set-cookie2"})

ERRORS = [
    DeclaredError(id="url_refused", title="the URL is not allowed", retryable=False),
    DeclaredError(id="http_rejected", title="answered 4xx", retryable=False),
    DeclaredError(id="http_rate_limited", title="answered 429"),
    DeclaredError(id="http_unavailable", title="answered 5xx, 408 or 425"),
    DeclaredError(id="http_unexpected", title="answered another status than expected", retryable=False),
    DeclaredError(id="http_redirects", title="too many redirects", retryable=False),
    DeclaredError(id="http_certificate", title="its certificate cannot be trusted", retryable=False),
    DeclaredError(id="http_unreachable", title="no connection"),
    DeclaredError(id="http_timeout", title="no answer in time"),
    DeclaredError(id="http_broken_off", title="the answer broke off"),
    DeclaredError(id="response_too_large", title="the answer is too large", retryable=False),
    DeclaredError(id="response_invalid", title="the answer cannot be read", retryable=False),
    DeclaredError(id="secret_missing", title="a secret is not where its reference says", retryable=False),
    DeclaredError(id="connection_unknown", title="no such connection is configured", retryable=False),
]

_VALUE = {"type": ["string", "number", "boolean"]}
_HEADERS = {
    "type": "object",
    "propertyNames": {"pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"},
    "additionalProperties": {"type": "string", "pattern": "^[^\\r\\n\\u0000]*$"},
}

INPUT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "method": {"enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]},
        "url": {"type": "string", "description": "absolute; with a connection, the path under the connection's URL"},
        "connection": {"type": "string", "description": "a connection of kind http, for its url and secret headers"},
        "headers": _HEADERS,
        "query": {"type": "object", "additionalProperties": {"anyOf": [_VALUE, {"type": "array", "items": _VALUE}]}},
        "json": {"description": "the body, as JSON"},
        "text": {"type": "string", "description": "the body, as UTF-8 text"},
        "expect": {
            "type": "array",
            "items": {"type": "integer", "minimum": 100, "maximum": 599},
            "description": "statuses of success; default: 200 to 299",
        },
        "redirects": {"type": "integer", "minimum": 0, "maximum": REDIRECTS},
    },
    "required": ["url"],
    "additionalProperties": False,
    "not": {"required": ["json", "text"]},
}


class HttpRequest:
    """Sends a request with the idempotency key as `Idempotency-Key`, and gives `{status, headers, body}`: JSON is read,
    other text is text."""

    spec = OperationSpec(
        name="http.request",
        title="HTTP request",
        description="Sends a request to an HTTP server and returns its answer. The body of a refused answer, up to "
        "2000 characters, is in the message of the error.",
        input=INPUT,
        output={
            "type": "object",
            "properties": {
                "status": {"type": "integer"},
                "headers": {"type": "object", "additionalProperties": {"type": "string"}},
                "body": {},
            },
            "required": ["status", "headers", "body"],
            "additionalProperties": False,
        },
        errors=ERRORS,
        timeout="30s",
    )

    def __init__(self, settings: Settings, *, resolve: Resolve | None = None) -> None:
        self._settings = settings
        self._ways: dict[str | None, Egress] = {}
        self._own = {} if resolve is None else {"resolve": resolve}

    async def start(self) -> None:
        """Connections are made when they are needed."""

    async def run(self, input: Any, attempt: Attempt) -> Any:
        """Asks. Raises OperationError with one of the declared codes."""
        answer = await self.ask(input, attempt)
        judge(answer, input, input.get("expect"))
        headers = {name: value for name, value in answer.headers.items() if name not in _HIDDEN}
        return {"status": answer.status, "headers": headers, "body": read_body(answer)}

    async def ask(self, input: Mapping[str, Any], attempt: Attempt) -> Answer:
        """The answer to what `input` describes, whatever its status."""
        name = input.get("connection")
        secret: dict[str, str] = {}
        if name is None:
            url = parse_url(input["url"])
        else:
            url, secret = await _connected(attempt.connection(name), name, input["url"], attempt)
        if query := input.get("query"):
            url = url.extend_query({key: _query(value) for key, value in sorted(query.items())})
        headers, body = _body(input)
        headers |= {"Idempotency-Key": attempt.idempotency_key}
        headers |= attempt.trace_headers
        headers = _laid_over(headers, _own_headers(input.get("headers", {})))
        # The connection's come last: what they say is not the author's to change.
        headers = _laid_over(headers, secret)
        method = input.get("method") or ("GET" if body is None else "POST")
        limit = self._settings.tasks.output_bytes
        redirects = input.get("redirects", REDIRECTS)
        return await self._way(name, url).request(
            Request(method, url, headers, body, attempt.timeout_s + _GRACE_S, limit, redirects)
        )

    async def health(self) -> Health:
        """Well; whether a server is, is known when it is asked."""
        return Health(ok=True)

    async def close(self) -> None:
        """Closes its connections."""
        for way in self._ways.values():
            await way.close()
        self._ways.clear()

    def _way(self, connection: str | None, url: URL) -> Egress:
        """A connection that operators configured opens its own host, for those who name it."""
        if connection not in self._ways:
            hosts = list(self._settings.tasks.allow_hosts)
            if connection is not None:
                host = named_host(url)
                hosts.append(f"{f'[{host}]' if ':' in host else host}:{url.port}")
            self._ways[connection] = Egress(Policy.of(hosts), **self._own)
        return self._ways[connection]


def _shown(input: Mapping[str, Any]) -> str:
    """What `input` asks, as messages name it."""
    name = input.get("connection")
    if name is not None:
        return f"connection {name}"
    return shown(parse_url(input["url"]))


def judge(answer: Answer, input: Mapping[str, Any], expect: Sequence[int] | None = None) -> None:
    """Raises OperationError when the status of the answer to `input` is none of `expect`, or by default not 200 to 299.
    Its message ends with what the answer says."""
    status = answer.status
    if status in expect if expect else 200 <= status < 300:
        return
    wanted = f"one of the statuses {', '.join(map(str, expect))}" if expect else "a status of 200 to 299"
    text = f"expected {wanted} of {_shown(input)} but it answered {status}"
    later = retry_after_s(answer.headers.get("retry-after"))
    if status == 429:
        raise OperationError("http_rate_limited", f"{text}. {_LATER}{said(answer)}", retry_after_s=later)
    if status >= 500 or status in (408, 425):
        raise OperationError("http_unavailable", f"{text}. {_LATER}{said(answer)}", retry_after_s=later)
    if 400 <= status < 500:
        raise OperationError("http_rejected", f"{text}. Check the request.{said(answer)}", retryable=False)
    raise OperationError(
        "http_unexpected", f"{text}. Check the request, or expect that status.{said(answer)}", retryable=False
    )


def retry_after_s(text: str | None, now_s: float | None = None) -> float | None:
    """The seconds that a Retry-After header asks for, a number or a date, at most a day; None when it is missing or
    says nothing."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_RETRY_AFTER_S)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    left = moment.timestamp() - (time.time() if now_s is None else now_s)
    return min(max(0.0, math.ceil(left)), _LONGEST_RETRY_AFTER_S)


def read_body(answer: Answer) -> Any:
    """The body as data: JSON when it says so, else text, None when it is empty.

    Raises OperationError (`response_invalid`)."""
    if not answer.body:
        return None
    kind, _, parameters = answer.headers.get("content-type", "").partition(";")
    kind = kind.strip().lower()
    try:
        if kind == "application/json" or kind.endswith("+json"):
            return read_json(answer.body)
        return answer.body.decode(charset(parameters))
    except (DecodeError, UnicodeDecodeError, LookupError) as error:
        text = (
            f"expected {'JSON' if 'json' in kind else 'text'} as the answer says but {str(error)[:200]}. Check the "
            "server at this URL."
        )
        raise OperationError("response_invalid", text, retryable=False) from error


async def secret_headers(connection: Connection, attempt: Attempt) -> dict[str, str]:
    """The headers of `connection`, resolved. Raises OperationError (`secret_missing`)."""
    found = {name: await attempt.secret(reference) for name, reference in connection.headers.items()}
    for name, value in found.items():
        if any(char in value for char in "\r\n\0"):
            text = (
                f"expected one line in the secret of header {name} but it has several. Check "
                f"{connection.headers[name]}."
            )
            raise OperationError("secret_missing", text, retryable=False)
    return found


async def _connected(connection: Any, name: str, path: str, attempt: Attempt) -> tuple[URL, dict[str, str]]:
    """The URL that `path` is under a connection, and the headers that go with it."""
    if not isinstance(connection, Connection) or connection.kind != "http":
        raise OperationError(
            "connection_unknown",
            f"expected a connection of kind http but {name} has another kind. Name one of kind http.",
            retryable=False,
        )
    base = parse_url(connection.url)
    check_path(path.partition("?")[0].partition("#")[0])
    text = f"{str(base).rstrip('/')}/{path.lstrip('/')}" if path and not path.startswith("?") else f"{base}{path}"
    url = parse_url(text)
    root = base.raw_path.rstrip("/")
    if url.origin() != base.origin() or not f"{url.raw_path}/".startswith(f"{root}/"):
        raise refused(f"a path under the url of connection {name}", "it leads elsewhere")
    return url, await secret_headers(connection, attempt)


def _query(value: Any) -> str | list[str]:
    if isinstance(value, list):
        return [str(_query(one)) for one in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _body(input: Mapping[str, Any]) -> tuple[dict[str, str], bytes | None]:
    if "json" in input:
        return {"Content-Type": "application/json"}, msgspec.json.encode(input["json"])
    if "text" in input:
        return {"Content-Type": "text/plain; charset=utf-8"}, input["text"].encode()
    return {}, None


def _own_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    for name in headers:
        if name.lower() in _OURS:
            raise refused("headers of the request", f"{name} belongs to the connection")
    return headers


def _laid_over(under: Mapping[str, str], over: Mapping[str, str]) -> dict[str, str]:
    """Both, those of `over` instead of the same ones of `under`, whatever their case."""
    taken = {name.lower() for name in over}
    return {name: value for name, value in under.items() if name.lower() not in taken} | dict(over)


def operations(settings: Settings) -> Sequence[Operation]:
    """What this module has."""
    return (HttpRequest(settings),)
