"""Requests to the sidecar as its own document describes them, and as it does not: schemathesis draws them, and every
answer must be one that the document declares."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import hypothesis
import schemathesis
from fastapi import FastAPI
from hypothesis import strategies

from tests.attack import Attack, Seen
from tests.attack.applications import application
from tests.attack.processes import peak_bytes

_EXAMPLES = 100  # of each route


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 60


def _asked(app: FastAPI, operation: Any, seed: int, statuses: Counter[int]) -> Callable[[], None]:
    """Asks a route, with drawn requests. Raises AssertionError at an answer that it does not declare."""
    responses = operation.definition.raw["responses"]

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=_EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(data=strategies.data())
    def ask(data: Any) -> None:
        mode = data.draw(strategies.sampled_from(list(schemathesis.GenerationMode)))
        case = data.draw(operation.as_strategy(generation_mode=mode))
        case.headers["Host"] = "localhost"
        case.headers.pop("Origin", None)
        if "wait" in case.query and _is_number(case.query.get("timeout_s", 10)):
            case.query["timeout_s"] = 0  # nobody applies what is waited for
        response = case.call(app=app, base_url="http://localhost")
        status = str(response.status_code)
        statuses[response.status_code] += 1
        assert status in responses, f"{status} is not declared: {response.text}"
        assert status != "500", response.text
        if response.status_code >= 400:
            assert response.headers["content-type"] == ["application/problem+json"], response.headers
            code = response.json()["code"]
            assert f"`{code}`" in responses[status]["description"], f"{code} is not declared with {status}"

    return ask


def _fuzz(seed: int) -> Seen:
    logging.disable(logging.CRITICAL)
    seen, statuses = Seen(), Counter[int]()
    app, _ = application()
    document: Any = schemathesis.openapi.from_dict(app.openapi())
    for found in document.get_all_operations():
        operation = found.ok()
        try:
            _asked(app, operation, seed, statuses)()
        except (AssertionError, BaseExceptionGroup) as error:
            text = " ".join(str(error).split())[:300]
            seen.wrong.append(f"{operation.method.upper()} {operation.path}: {text}")
    seen.peak_bytes = peak_bytes(os.getpid())
    seen.count("answers", statuses)
    return seen


ATTACKS = (
    Attack(
        name="sidecar-fuzz",
        done=f"{_EXAMPLES} drawn requests to every route of the sidecar, fitting and not",
        expected="declared answers only, with declared codes; no fault of ours",
        make=_fuzz,
    ),
)
