"""Plugins: operations without Python. A plugin is an HTTP endpoint that is registered with its contract, and called
with a signature.

The call is a POST of `{operation, id, idempotency_key, input, run, step, item, attempt, deadline_ms, callback_url}`. It
is answered with 200 `{"output": ...}`, with any status and `{"error": {...}}`, or with 202 `{"for_s": ...}` when the
answer will be posted to `callback_url`. Anyone who may register a plugin decides what workers call, so loopback and
private networks are open to its endpoint; metadata and the like are not.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import structlog
from pydantic import AfterValidator, ValidationError, field_validator

from streamflow.definition import duration
from streamflow.definition.catalog import OperationSpec
from streamflow.definition.model import Duration, Part
from streamflow.errors import OperationError, Rejected
from streamflow.operations.answer_text import said
from streamflow.operations.callbacks import read_answer
from streamflow.operations.contract import Attempt, Health, Pending
from streamflow.operations.egress import Answer, Egress, Request
from streamflow.operations.egress_policy import Policy, check_url, parse_url
from streamflow.operations.http import retry_after_s
from streamflow.operations.schema import unusable
from streamflow.operations.signature import HEADER, sign
from streamflow.settings import PLUGIN_SECRET_NAME, Settings
from streamflow.wire.codec import DecodeError
from streamflow.wire.json_text import read_json
from streamflow.wire.unreadable import UNREADABLE

_log = structlog.get_logger(__name__)

# What a worker says of a plugin that it could not reach or understand; a plugin declares only errors of its own.
CODES = frozenset(
    {
        *(
            "http_unreachable",
            "http_timeout",
            "http_broken_off",
            "http_certificate",
            "url_refused",
            "secret_missing",
            "callbacks_off",
        ),
        *("plugin_unavailable", "plugin_rejected", "plugin_redirected", "plugin_answer_invalid", "output_too_large"),
    }
)

_HEALTH_S = 5.0
_CANCEL_S = 5.0
_GRACE_S = 5.0
_HEALTH_BYTES = 10_000
# What an answer has around its output.
_ENVELOPE_BYTES = 1000


def _url(text: str) -> str:
    try:
        url = parse_url(text)
        check_url(url, Policy(private=True))
    except OperationError as error:
        raise ValueError(error.message) from error
    return text


def _secret_name(text: str) -> str:
    # Not by a pattern alone: what does not match one is repeated in the message, and here it may be the secret itself.
    if re.fullmatch(PLUGIN_SECRET_NAME, text) is None:
        raise ValueError(
            "This is not the name of a plugin secret (small letters, digits, - and _, at most 40). Name one of "
            "tasks.plugin_secrets."
        )
    return text


SecretName = Annotated[str, AfterValidator(_secret_name)]
Url = Annotated[str, AfterValidator(_url)]


class PluginSpec(Part):
    """Where a plugin is. `secret` is the name under which `tasks.plugin_secrets` of the workers refers to the key of
    its signatures: who registers a plugin chooses among these names, never among a worker's files and variables.
    `health` is answered by 200 when it is well. `pending` is how long it may take to answer by callback; without it, it
    may not."""

    endpoint: Url
    secret: SecretName
    health: Url | None = None
    pending: Duration | None = None


class Registration(Part):
    """A plugin as it is registered: its contract and where it is. The value of `operation/<name>` in `definitions`."""

    spec: OperationSpec
    plugin: PluginSpec

    @field_validator("spec")
    @classmethod
    def _has_schemas(cls, spec: OperationSpec) -> OperationSpec:
        for name, schema in (("input", spec.input), ("output", spec.output)):
            if (why := unusable(schema)) is not None:
                raise ValueError(f"expected {name} to be JSON Schema but {why}")
        return spec


def read_record(value: Mapping[str, Any]) -> tuple[OperationSpec, PluginSpec]:
    """The contract and the place in a record `operation/<name>`.

    Raises OperationError (`plugin_invalid`)."""
    try:
        registration = Registration.model_validate(value)
    except UNREADABLE as error:
        wrong = f"{type(error).__name__} was raised"
        if isinstance(error, ValidationError):
            errors = error.errors(include_url=False)
            wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in errors)
        raise OperationError(
            "plugin_invalid",
            f"expected a registration of a plugin but {wrong}. Correct it and register it again.",
            retryable=False,
        ) from error
    return registration.spec, registration.plugin


def plugin_egress(settings: Settings) -> Egress:
    """The way to plugins."""
    return Egress(Policy.of(settings.tasks.allow_hosts, private=True))


class PluginOperation:
    """A registered plugin, as the worker sees it. `egress` is shared and not closed by it."""

    def __init__(self, spec: OperationSpec, plugin: PluginSpec, settings: Settings, egress: Egress) -> None:
        self.spec = spec
        self.plugin = plugin
        self._settings = settings
        self._egress = egress
        self._endpoint = parse_url(plugin.endpoint)
        self._cancels: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Connections are made when they are needed."""

    async def run(self, input: Any, attempt: Attempt) -> Any:
        """Calls the plugin; a cancelled attempt is cancelled there too, as far as it can be reached.

        Raises OperationError: what the plugin answers, `plugin_unavailable`, `plugin_rejected`, `plugin_redirected`,
        `plugin_answer_invalid`, `output_too_large`, or a failure to reach it (`http_unreachable`, `http_timeout`,
        `http_broken_off`, `http_certificate`, `url_refused`)."""
        secret = await self._secret(attempt)
        pending_s = None if self.plugin.pending is None else duration.parse_ms(self.plugin.pending) / 1000
        body = {
            "operation": self.spec.name,
            "id": attempt.id,
            "idempotency_key": attempt.idempotency_key,
            "input": input,
            "run": attempt.run,
            "step": attempt.step,
            "item": attempt.item,
            "attempt": attempt.attempt,
            "deadline_ms": int((time.time() + attempt.timeout_s) * 1000),
            "callback_url": None if pending_s is None else attempt.callback_url(pending_s),
        }
        try:
            answer = await self._send("POST", body, secret, attempt, attempt.timeout_s + _GRACE_S)
        except asyncio.CancelledError:
            self._cancel(attempt, secret)
            raise
        except OperationError as error:
            if error.code == "http_timeout":
                self._cancel(attempt, secret)
            if error.code == "response_too_large":
                limit = self._settings.tasks.output_bytes
                text = (
                    f"expected an output of at most {limit} bytes but the plugin {self.spec.name} answers more. "
                    "Store large results elsewhere."
                )
                raise OperationError("output_too_large", text, retryable=False) from error
            raise
        return self._read(answer, pending_s)

    async def health(self) -> Health:
        """What its health address says; well, when it has none."""
        if self.plugin.health is None:
            return Health(ok=True, detail="no health address")
        try:
            answer = await self._egress.request(
                Request("GET", parse_url(self.plugin.health), {}, None, _HEALTH_S, _HEALTH_BYTES, redirects=0)
            )
        except OperationError as error:
            return Health(ok=False, detail=error.message)
        return Health(ok=answer.status == 200, detail=f"answers {answer.status}")

    async def close(self) -> None:
        """Returns when the cancellations under way are sent or given up."""
        if self._cancels:
            await asyncio.wait(set(self._cancels), timeout=_CANCEL_S)

    async def _secret(self, attempt: Attempt) -> str:
        """The key of the signatures. Raises OperationError (`secret_missing`), whose message says nothing about the
        worker's files and variables: it is kept where authors read it."""
        name = self.plugin.secret
        reference = self._settings.tasks.plugin_secrets.get(name)
        if reference is None:
            text = (
                f"The worker has no plugin secret {name}. Add it under tasks.plugin_secrets, or register another name."
            )
            raise OperationError("secret_missing", text, retryable=False)
        try:
            return await attempt.secret(reference)
        except OperationError as error:
            _log.warning("plugin_secret_unreadable", name=name, operation=self.spec.name, why=error.message)
            text = f"The worker cannot read the plugin secret {name}. Its log says why (plugin_secret_unreadable)."
            raise OperationError("secret_missing", text, retryable=error.retryable) from None

    async def _send(
        self, method: str, body: Mapping[str, Any], secret: str, attempt: Attempt, timeout_s: float
    ) -> Answer:
        data = msgspec.json.encode(body)
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": attempt.idempotency_key,
            HEADER: sign(secret, data, int(time.time())),
        }
        headers |= attempt.trace_headers
        limit = self._settings.tasks.output_bytes + _ENVELOPE_BYTES
        return await self._egress.request(Request(method, self._endpoint, headers, data, timeout_s, limit, redirects=0))

    def _cancel(self, attempt: Attempt, secret: str) -> None:
        """A courtesy: the attempt is over whether the plugin hears of it or not."""

        async def cancel() -> None:
            body = {
                "operation": self.spec.name,
                "id": attempt.id,
                "idempotency_key": attempt.idempotency_key,
                "cancel": True,
            }
            try:
                await self._send("DELETE", body, secret, attempt, _CANCEL_S)
            except OperationError:
                pass  # it is told what it can be told; its result would be refused anyway

        task = asyncio.get_running_loop().create_task(cancel(), name=f"cancel {attempt.id}")
        self._cancels.add(task)
        task.add_done_callback(self._cancels.discard)

    def _read(self, answer: Answer, pending_s: float | None) -> Any:
        name, status = self.spec.name, answer.status
        if 300 <= status < 400:
            text = f"expected an answer of the plugin {name} but it redirects ({status}). Register its final address."
            raise OperationError("plugin_redirected", text, retryable=False)
        if status == 202:
            return self._pending(answer, pending_s)
        later = retry_after_s(answer.headers.get("retry-after"))
        try:
            output = read_answer(answer.body)
        except OperationError as error:
            if error.retry_after_s is None:
                error.retry_after_s = later
            raise
        except Rejected as error:
            if status == 429 or status >= 500:
                text = f"expected an output of the plugin {name} but it answered {status}. It is retried later."
                raise OperationError("plugin_unavailable", text + said(answer), retry_after_s=later) from error
            if status >= 400:
                text = f"expected an output of the plugin {name} but it answered {status}. See its log."
                raise OperationError("plugin_rejected", text + said(answer), retryable=False) from error
            raise OperationError(
                "plugin_answer_invalid", f"the plugin {name}: {error.message}", retryable=False
            ) from error
        if status != 200:
            text = f"expected status 200 with an output of the plugin {name} but it answered {status}. Correct it."
            raise OperationError("plugin_answer_invalid", text, retryable=False)
        return output

    def _pending(self, answer: Answer, pending_s: float | None) -> Pending:
        name = self.spec.name
        if pending_s is None:
            text = (
                f"expected an output of the plugin {name} but it answers by callback (202). Register it with `pending`."
            )
            raise OperationError("plugin_answer_invalid", text, retryable=False)
        try:
            for_s = msgspec.convert(read_json(answer.body or b"{}"), _Pending).for_s
        except (DecodeError, msgspec.ValidationError) as error:
            text = f'expected {{"for_s": seconds}} of the plugin {name} but {error}. Correct it.'
            raise OperationError("plugin_answer_invalid", text, retryable=False) from error
        return Pending(pending_s if for_s is None else min(for_s, pending_s))


class _Pending(msgspec.Struct):
    for_s: Annotated[float, msgspec.Meta(gt=0)] | None = None
