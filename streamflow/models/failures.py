"""What a client library raises, as errors of ours: a stable code, whether another attempt may help, and when."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2

from streamflow.errors import OperationError
from streamflow.operations.http import retry_after_s
from streamflow.secrets import KNOWN
from streamflow.terminal import visible

_LONGEST_SAID = 300
_OVERLOADED = frozenset({"overloaded_error", "api_error", "server_error", "throttlingException", "timeout_error"})
_BEDROCK_RETRIES = frozenset(
    {"throttlingException", "modelTimeoutException", "internalServerException", "serviceUnavailableException"}
)


def failure(error: BaseException, place: str, *, begun: bool) -> OperationError:
    """The error that stands for `error`, raised by the request to `place` (as messages name it). `begun`: something of
    the answer had come."""
    for one in _chain(error):
        if isinstance(one, OperationError):
            return one
    for one in _chain(error):
        status = getattr(one, "status_code", None)
        response = getattr(one, "response", None)
        if isinstance(status, int) and isinstance(response, httpx2.Response) and status >= 300:
            return _by_status(status, response, said(one), place)
    for one in _chain(error):
        if isinstance(one, httpx2.ConnectTimeout):
            return OperationError(
                "model_timeout", f"{_capital(place)} accepted no connection in time. Check its url in models."
            )
        if isinstance(one, httpx2.ConnectError):
            message = f"{_capital(place)} cannot be reached ({_text(one)}). "
            return OperationError("model_unreachable", message + "Check its url in models, and that its server runs.")
        if isinstance(one, httpx2.TransportError | OSError | asyncio.IncompleteReadError):
            return broken_off(place, _text(one))
    body = getattr(error, "body", None)
    if body is not None:
        return _in_stream(body, error, place)
    if begun:
        return invalid(place, f"a part of its answer cannot be read: {_text(error)}")
    return invalid(place, f"its answer cannot be read: {_text(error)}")


def broken_off(place: str, why: str) -> OperationError:
    """The answer ended before its end."""
    return OperationError("model_broken_off", f"The answer of {place} was cut off ({why}). Try again.")


def invalid(place: str, why: str) -> OperationError:
    """What came is no answer of the API that was asked."""
    return OperationError(
        "model_response_invalid",
        f"{_capital(place)} does not support the API of its provider: {why}. Check models: the provider and the url.",
        retryable=False,
    )


def said(error: BaseException) -> str:
    """What the provider says about its refusal, short, without secrets."""
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else body
    text = inner.get("message") if isinstance(inner, dict) else inner
    return _short(text if isinstance(text, str) else str(error))


def _by_status(status: int, response: httpx2.Response, text: str, place: str) -> OperationError:
    hint = _hint(response)
    if status == 429:
        message = f"{_capital(place)} limits requests: {text}. {_when(hint)}, or raise the limit at the provider."
        return OperationError("model_rate_limited", message, retry_after_s=hint)
    if status in (401, 403):
        message = (
            f"{_capital(place)} refuses the key ({status}): {text}. Check its key in models, and what the key may do."
        )
        return OperationError("model_key_refused", message, retryable=False)
    again = response.headers.get("x-should-retry")
    if status >= 500 or status in (408, 409, 425):
        message = f"{_capital(place)} cannot answer now ({status}): {text}. {_when(hint)}."
        return OperationError("model_unavailable", message, retryable=again != "false", retry_after_s=hint)
    message = f"{_capital(place)} refuses the request ({status}): {text}. Check the model's name, url and limits."
    return OperationError("model_rejected", message, retryable=again == "true", retry_after_s=hint, status=status)


def _in_stream(body: Any, error: BaseException, place: str) -> OperationError:
    """An error that came as a part of the answer."""
    inner = body.get("error", body) if isinstance(body, dict) else {}
    kind = str(inner.get("type") or inner.get("code") or "") if isinstance(inner, dict) else ""
    text = said(error)
    if "rate_limit" in kind or kind == "throttlingException":
        return OperationError("model_rate_limited", f"{_capital(place)} limits requests: {text}. Try later.")
    if kind in _OVERLOADED | _BEDROCK_RETRIES:
        return OperationError("model_unavailable", f"{_capital(place)} cannot answer now: {text}. Try later.")
    message = f"{_capital(place)} aborted its answer: {text}. Check models: the model's name and the limits."
    return OperationError("model_rejected", message, retryable=False)


def _hint(response: httpx2.Response) -> float | None:
    """The seconds after which the provider wants to be asked again (RFC 9110, section 10.2.3; `retry-after-ms` is a
    habit of providers)."""
    text = response.headers.get("retry-after-ms", "")
    if text.isascii() and text.isdigit():
        return min(float(text) / 1000, 86_400.0)
    return retry_after_s(response.headers.get("retry-after"))


def _when(hint: float | None) -> str:
    return "Try later" if hint is None else f"Try again after {hint:g} s"


def _chain(error: BaseException) -> list[BaseException]:
    """`error` and what caused it."""
    found: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in found:
        found.append(one)
        one = one.__cause__ or one.__context__
    return found


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _text(error: BaseException) -> str:
    text = _short(str(error))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _short(text: str) -> str:
    return visible(KNOWN.message(text[:_LONGEST_SAID])).strip().rstrip(".: ") or "it does not say why"
