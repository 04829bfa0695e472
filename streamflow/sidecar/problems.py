"""Errors as answers: problem+json (RFC 9457), with the code of the error and its facts. One table says which status a
code has."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from streamflow.errors import DefinitionError, EngineFault, OperationError, Rejected, StreamflowError

_log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"

# Errors that the caller can correct are 422; conflicts with the state, and all refusals of the engine, are 409.
_STATUS = {
    "bad_request": 400,
    "host_invalid": 400,
    "credentials_wrong": 401,
    "key_expired": 401,
    "key_revoked": 401,
    "key_wrong": 401,
    "refresh_reused": 401,
    "session_ended": 401,
    "token_expired": 401,
    "token_missing": 401,
    "token_wrong": 401,
    "user_disabled": 401,
    "callback_forged": 403,
    "csrf_refused": 403,
    "oidc_forged": 403,
    "oidc_refused": 403,
    "host_unknown": 403,
    "not_allowed": 403,
    "right_missing": 403,
    "approval_unknown": 404,
    "callbacks_off": 404,
    "no_run_id": 404,
    "grant_unknown": 404,
    "key_unknown": 404,
    "operation_unknown": 404,
    "run_unknown": 404,
    "session_unknown": 404,
    "sessions_off": 404,
    "user_unknown": 404,
    "view_unknown": 404,
    "subscription_unknown": 404,
    "version_unknown": 404,
    "request_timeout": 408,
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
    "expiry_past": 422,
    "grant_invalid": 422,
    "name_invalid": 422,
    "no_user": 422,
    "password_weak": 422,
    "pattern_invalid": 422,
    "view_invalid": 422,
    "target_unusable": 422,
    "kinds_missing": 422,
    "too_many_patterns": 422,
    "rate_exceeded": 429,
    "too_many_attempts": 429,
    "oidc_unreachable": 502,
    "oidc_unusable": 502,
    "unanswered": 504,
    # as their families have it, named for the descriptions of routes
    "approval_closed": 409,
    "not_approving": 409,
    "not_parked": 409,
    "run_open": 409,
    "run_stopping": 409,
    "too_many_open": 409,
    "last_admin": 409,
    "name_taken": 409,
    "subject_taken": 409,
    "too_many_keys": 409,
    "too_many_views": 409,
    "version_retired": 409,
    "callback_answered": 409,
    "late_result": 409,
    "operation_registered": 409,
    "operation_taken": 409,
    "run_ended": 409,
    "request_invalid": 422,
    "internal_error": 500,
    "access_busy": 503,
    "access_unreadable": 503,
    "broker_unreachable": 503,
    "definitions_behind": 503,
    "too_busy": 503,
    "topic_missing": 503,
    # of definitions
    "unknown_definition": 404,
    "child_unknown": 409,
    "hash_mismatch": 409,
    "approval_missing": 409,
    "approval_mismatch": 409,
    "approval_own_work": 403,
    "approval_invalid": 422,
    "report_failed": 409,
    "nothing_before": 409,
    "environment_unknown": 422,
    "environment_unusable": 503,
    "definition_unapproved": 409,
    "approval_key_missing": 503,
    "approval_key_invalid": 503,
    "secret_missing": 503,
    "version_taken": 409,
    "definition_invalid": 422,
    "definition_too_large": 422,
    "no_scenario": 422,
    "scenarios_invalid": 422,
    "topic_reserved": 422,
    "diagram_failed": 503,
    "version_unreadable": 503,
    # of schemas in a registry
    "schema_incompatible": 409,
    "schema_misfit": 422,
    "schema_unusable": 422,
    "subject_unknown": 422,
    "extra_missing": 503,
    "registry_refused": 503,
    "registry_unavailable": 503,
    "registry_unset": 503,
    "registry_unusable": 503,
    # of events and dead letters
    "letter_unknown": 404,
    "letter_refused": 409,
    "bad_cloudevent": 422,
    "event_refused": 422,
    "event_unbound": 422,
    "payload_no_object": 422,
    "reason_missing": 422,
    "selection_missing": 422,
    "too_many_events": 422,
    "broker_refused": 503,
    # of the history store
    "cursor_invalid": 422,
    "filter_invalid": 422,
    "range_invalid": 422,
    "history_missing": 503,
    "history_newer": 503,
    "history_older": 503,
    "history_unavailable": 503,
    # of jobs
    "job_unknown": 404,
    "job_too_large": 422,
    "jobs_busy": 503,
    # of conversations
    "conversation_unknown": 404,
    "draft_unknown": 404,
    "share_unknown": 404,
    "conversation_damaged": 409,
    "conversation_full": 409,
    "nothing_proposed": 409,
    "nothing_to_redo": 409,
    "nothing_to_undo": 409,
    "operation_closed": 409,
    "question_unknown": 409,
    "revision_conflict": 409,
    "too_many_conversations": 409,
    "turn_open": 409,
    "edit_ambiguous": 422,
    "edit_breaks_shape": 422,
    "edit_circular": 422,
    "edit_id_taken": 422,
    "edit_malformed": 422,
    "edit_orphans": 422,
    "edit_target_unknown": 422,
    "edit_too_large": 422,
    "draft_not_editable": 422,
    "text_invalid": 422,
    "model_missing": 422,
    "model_not_chosen": 422,
    "model_unknown": 422,
    "revision_missing": 428,
    "authoring_busy": 503,
    # of runs
    "run_completed": 409,
    "run_is_child": 409,
    "version_same": 409,
    "seq_unknown": 404,
    "step_unknown": 404,
}


_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "10"}, 503: {"Retry-After": "1"}}

BODY_FAULTS = ("request_invalid", "not_json", "lone_surrogate", "out_of_range", "schema_registry_format", "too_deep")
"""What a route with a body in JSON refuses it for."""

_EVERYWHERE = ("bad_request", "host_invalid", "host_unknown", "body_too_large", "request_timeout", "internal_error")
_WITH_RIGHTS = (
    "token_missing",
    "token_wrong",
    "token_expired",
    "session_ended",
    "key_wrong",
    "key_revoked",
    "key_expired",
    "user_disabled",
    "csrf_refused",
    "right_missing",
    "rate_exceeded",
    "access_unreadable",
    "access_busy",
)
_OF_KAFKA = ("too_busy", "broker_unreachable", "topic_missing", "unanswered")


class ProblemDetails(BaseModel):
    """What is wrong (RFC 9457)."""

    type: str = Field(description="`urn:streamflow:problem:` and the code")
    title: str = Field(description="the status in words")
    status: int = Field(ge=400, le=599)
    code: str = Field(description="stable; programs decide by it")
    detail: str = Field(description="for people: the cause, and what to do")
    facts: dict[str, Any] | None = Field(default=None, description="what it is about, such as a run or a command")
    problems: list[dict[str, Any]] | None = Field(default=None, description="each fault of what was sent")


def declared(*codes: str, open_to_all: bool = False) -> dict[int | str, dict[str, Any]]:
    """The errors of a route, for its description: `codes`, and those that every route has. `open_to_all`: it needs no
    right."""
    by_status: dict[int, list[str]] = {}
    for code in (*codes, *_EVERYWHERE, *(() if open_to_all else _WITH_RIGHTS), *_OF_KAFKA):
        by_status.setdefault(_STATUS[code], []).append(code)
    return {
        status: {
            "model": ProblemDetails,
            "description": f"{HTTPStatus(status).phrase}: {', '.join(f'`{code}`' for code in found)}",
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
        }
        for status, found in sorted(by_status.items())
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
    headers = _HEADERS.get(status)
    return JSONResponse(body, status, headers, MEDIA_TYPE)


def not_http(error: BaseException | None) -> str:
    """The detail of a problem with bytes that are not an HTTP request."""
    return f"The bytes are not an HTTP request: {str(error)[:200]}. Send HTTP/1.1."


def whole_answer(status: int, code: str, detail: str) -> bytes:
    """The bytes of an answer to what is no request, after which the connection is closed."""
    body = bytes(problem(status, code, detail).body)
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


def problem_of(error: StreamflowError) -> JSONResponse:
    """An error of ours as an answer. Our own faults are not disclosed to strangers."""
    if isinstance(error, EngineFault):
        _log.error("request_failed", code=error.code, error=error.message)
        return problem(
            500,
            error.code,
            "expected to answer but the sidecar failed (a defect of Streamflow). See the sidecar's log.",
        )
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
    detail = f"expected a valid request but {wrong[0]['pointer']}: {wrong[0]['message']}. See /api/v1/openapi.json."
    return problem(422, "request_invalid", detail, problems=wrong)


def _http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase.lower()
    answer = problem(
        error.status_code,
        phrase.replace(" ", "_"),
        f"expected a request that can be served but {phrase}. See /api/v1/openapi.json.",
    )
    answer.headers.update(error.headers or {})
    return answer


def _too_deep(_request: Request, _error: Exception) -> JSONResponse:
    return problem(
        422,
        "too_deep",
        "expected data that can be followed to its end but its arrays and objects are too deep. Send flatter data.",
    )


def _fault(_request: Request, error: Exception) -> JSONResponse:
    _log.error("request_failed", error=type(error).__name__, exc_info=error)
    return problem(
        500,
        "internal_error",
        "expected to answer but the sidecar failed (a defect of Streamflow). See the sidecar's log.",
    )


def add_to(app: FastAPI) -> None:
    """Has every error of `app` answered as a problem."""
    app.add_exception_handler(StreamflowError, _said)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RecursionError, _too_deep)  # no code of ours recurses but over data
    app.add_exception_handler(Exception, _fault)
