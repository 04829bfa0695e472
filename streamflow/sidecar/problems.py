"""Errors as answers: problem+json (RFC 9457), with the code of the error and its facts. One table says which status a
code has."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from streamflow.errors import DefinitionError, EngineFault, OperationError, Rejected, StreamflowError

_log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"

# What is the caller's to mend is 422; what the state does not allow is 409, as is everything that the engine refuses.
_STATUS = {
    "token_missing": 401,
    "token_wrong": 401,
    "callback_forged": 403,
    "host_unknown": 403,
    "not_allowed": 403,
    "right_missing": 403,
    "approval_unknown": 404,
    "callbacks_off": 404,
    "no_run_id": 404,
    "operation_unknown": 404,
    "run_unknown": 404,
    "version_unknown": 404,
    "callback_expired": 410,
    "body_too_large": 413,
    "output_too_large": 413,
    "answer_invalid": 422,
    "by_missing": 422,
    "decision_unknown": 422,
    "event_unknown": 422,
    "event_unusable": 422,
    "id_too_long": 422,
    "key_missing": 422,
    "lone_surrogate": 422,
    "not_json": 422,
    "out_of_range": 422,
    "output_invalid": 422,
    "plugin_invalid": 422,
    "schema_mismatch": 422,
    "schema_registry_format": 422,
    "too_deep": 422,
    "unanswered": 504,
}


def status_of(error: StreamflowError) -> int:
    """The HTTP status of an error: by its code, else by whose fault it is."""
    if error.code in _STATUS:
        return _STATUS[error.code]
    families: tuple[tuple[type[StreamflowError], int], ...] = (
        (DefinitionError, 422),
        (Rejected, 409),
        (OperationError, 503),
        (EngineFault, 500),
    )
    return next(status for family, status in families if isinstance(error, family))


def problem(status: int, code: str, detail: str, **more: Any) -> JSONResponse:
    """An answer that says what is wrong."""
    body = {
        "type": f"urn:streamflow:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        **more,
    }
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {"Retry-After": "1"} if status == 503 else None
    return JSONResponse(body, status, headers, MEDIA_TYPE)


def problem_of(error: StreamflowError) -> JSONResponse:
    """An error of ours as an answer. Our own faults are not told to strangers."""
    if isinstance(error, EngineFault):
        _log.error("request_failed", code=error.code, error=error.message)
        return problem(500, error.code, "expected to answer but this is our fault; do look at the sidecar's log")
    more: dict[str, Any] = (
        {"facts": {name: fact for name, fact in error.facts.items() if fact is not None}} if error.facts else {}
    )
    if isinstance(error, DefinitionError):
        more["problems"] = [
            {"code": one.code, "pointer": one.pointer, "message": one.message, "fix": one.fix} for one in error.problems
        ]
    return problem(status_of(error), error.code, error.message, **more)


def _said(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StreamflowError)
    return problem_of(error)


def _unreadable(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    wrong = [{"pointer": "/" + "/".join(map(str, one["loc"])), "message": one["msg"]} for one in error.errors()]
    detail = (
        f"expected a request that fits but {wrong[0]['pointer']}: {wrong[0]['message']}; do see /api/v1/openapi.json"
    )
    return problem(422, "request_invalid", detail, problems=wrong)


def _http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase.lower()
    answer = problem(
        error.status_code,
        phrase.replace(" ", "_"),
        f"expected a request that can be served but {phrase}; do see /api/v1/openapi.json",
    )
    answer.headers.update(error.headers or {})
    return answer


def _too_deep(_request: Request, _error: Exception) -> JSONResponse:
    return problem(
        422,
        "too_deep",
        "expected data that can be followed to its end but its arrays and objects are too deep; do send flatter data",
    )


def _fault(_request: Request, error: Exception) -> JSONResponse:
    _log.error("request_failed", error=type(error).__name__, exc_info=error)
    return problem(500, "internal_error", "expected to answer but this is our fault; do look at the sidecar's log")


def add_to(app: FastAPI) -> None:
    """Has every error of `app` answered as a problem."""
    app.add_exception_handler(StreamflowError, _said)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RecursionError, _too_deep)  # no code of ours recurses but over data
    app.add_exception_handler(Exception, _fault)
