"""Callbacks over HTTP: one answer for each attempt, and clear words for every other."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from streamflow.history.reader import HistoryReader
from streamflow.operations.callbacks import Callback, make_token
from streamflow.settings import Settings
from streamflow.sidecar import callbacks
from streamflow.sidecar.app import create_app
from tests.access import MemoryAccess
from tests.sidecar_log import MemoryLog
from tests.unit.sidecar.conftest import SECRET
from tests.unit.sidecar.test_runs import code

Start = Callable[..., str]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory the engine has answered at once, or never will."""
    monkeypatch.setattr(callbacks, "_SOON_S", 0.0)
    monkeypatch.setattr(callbacks, "_ANSWER_S", 0.0)


def token(
    run: str,
    *,
    attempt: int = 1,
    step: str = "question",
    for_s: float = 60,
    secret: str = SECRET,
    operation: str = "work.later",
) -> str:
    expires_ms = int((time.time() + for_s) * 1000)
    return make_token(secret, Callback(run, "R-1", step, None, attempt, expires_ms, "survey", "1", operation))


def test_an_answer_completes_the_attempt(client: TestClient, start: Start) -> None:
    run = start("survey", n=1)
    answer = client.post(f"/callbacks/{token(run)}", json={"output": {"answer": 42}})

    assert (answer.status_code, answer.json()["applied"]) == (200, True)
    told = client.get(f"/runs/{run}").json()
    assert (told["status"], told["output"]) == ("completed", {"answer": 42})


def test_an_error_fails_the_attempt_which_is_tried_again(client: TestClient, start: Start) -> None:
    run = start("survey", n=1)
    answer = client.post(
        f"/callbacks/{token(run)}", json={"error": {"code": "too_busy", "message": "later", "retry_after_s": 30}}
    )

    assert answer.status_code == 200
    (question,) = client.get(f"/runs/{run}").json()["steps"]
    assert (question["state"], question["error"]["code"]) == ("retrying", "too_busy")
    assert question["error"]["retry_ms"] - client.get(f"/runs/{run}").json()["last_ms"] == 30_000


@pytest.mark.parametrize("restarted", [False, True], ids=["the same sidecar", "another sidecar"])
def test_a_second_answer_is_refused_and_changes_nothing(
    client: TestClient, start: Start, settings: Settings, log: MemoryLog, restarted: bool
) -> None:
    run = start("survey", n=1)
    client.post(f"/callbacks/{token(run)}", json={"output": {"answer": 42}})
    second = (
        client
        if not restarted
        else TestClient(
            create_app(settings, log, MemoryAccess(), HistoryReader(settings)), base_url="http://localhost/api/v1"
        )
    )

    assert code(second.post(f"/callbacks/{token(run)}", json={"output": {"answer": 43}})) == (409, "callback_answered")
    assert client.get(f"/runs/{run}").json()["output"] == {"answer": 42}


def test_an_answer_for_an_old_attempt_is_refused(client: TestClient, start: Start, log: MemoryLog) -> None:
    run = start("survey", n=1)
    first = token(run)
    client.post(f"/callbacks/{first}", json={"error": {"code": "too_busy"}})
    log.simulation.advance("1m")

    assert code(client.post(f"/callbacks/{first}", json={"output": {"answer": 1}}))[0] == 409
    assert client.post(f"/callbacks/{token(run, attempt=2)}", json={"output": {"answer": 2}}).status_code == 200


def test_an_answer_for_a_run_that_ended_is_refused(client: TestClient, start: Start) -> None:
    run = start("survey", n=1)
    client.post(f"/runs/{run}/cancel")

    assert code(client.post(f"/callbacks/{token(run)}", json={"output": {"answer": 1}})) == (409, "run_ended")


FORGED: dict[str, Callable[[str], str]] = {
    "another secret": lambda run: token(run, secret="guessed"),
    "cut": lambda run: token(run)[:-1],
    "another attempt's signature": lambda run: token(run, attempt=2).split(".")[0] + "." + token(run).split(".")[1],
    "nonsense": lambda run: "nonsense",
    "too long": lambda run: "x" * 9000,
}


@pytest.mark.parametrize("made", FORGED.values(), ids=FORGED.keys())
def test_a_forged_token_is_refused_and_its_body_not_looked_at(
    client: TestClient, start: Start, made: Callable[[str], str]
) -> None:
    run = start("survey", n=1)

    assert code(client.post(f"/callbacks/{made(run)}", content=b"no JSON")) == (403, "callback_forged")
    assert client.get(f"/runs/{run}").json()["at"] == {"question": "waits for a callback"}


def test_a_token_whose_time_is_over_is_refused(client: TestClient, start: Start) -> None:
    assert code(client.post(f"/callbacks/{token(start('survey', n=1), for_s=-1)}", json={"output": {"answer": 1}})) == (
        410,
        "callback_expired",
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (422, "answer_invalid")),
        (b"no JSON", (422, "answer_invalid")),
        (b"[" * 10_000, (422, "answer_invalid")),
        (b"{}", (422, "answer_invalid")),
        (b'{"output": 1, "error": {"code": "x"}}', (422, "answer_invalid")),
        (b'{"error": {"code": "Not A Code"}}', (422, "answer_invalid")),
        (b'{"output": {"answer": "many"}}', (422, "output_invalid")),
        (b'{"output": {}}', (422, "output_invalid")),
        (b'{"output": {"answer": 1, "text": "%s"}}' % (b"x" * 6000), (413, "output_too_large")),
        (b'{"output": {"answer": 1, "text": "%s"}}' % (b"x" * 600_000), (413, "body_too_large")),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_an_answer_that_cannot_be_used_leaves_the_attempt_open_for_a_better_one(
    client: TestClient, start: Start, body: bytes, expected: tuple[int, str]
) -> None:
    run = start("survey", n=1)

    assert code(client.post(f"/callbacks/{token(run)}", content=body)) == expected
    assert client.post(f"/callbacks/{token(run)}", json={"output": {"answer": 42}}).status_code == 200


def test_a_body_of_no_said_length_is_cut_off_at_the_limit(client: TestClient, start: Start) -> None:
    run = start("survey", n=1)

    assert code(client.post(f"/callbacks/{token(run)}", content=(b"x" * 10_000 for _ in range(100)))) == (
        413,
        "body_too_large",
    )


def test_without_a_secret_no_callback_is_taken(log: MemoryLog, settings: Settings) -> None:
    app = create_app(
        settings.model_copy(update={"tasks": settings.tasks.model_copy(update={"callback_secret": None})}),
        log,
        MemoryAccess(),
        HistoryReader(settings),
    )

    assert code(TestClient(app, base_url="http://localhost/api/v1").post("/callbacks/x", json={})) == (
        404,
        "callbacks_off",
    )
