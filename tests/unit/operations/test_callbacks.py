"""Signed callback addresses."""

from __future__ import annotations

import base64

import pytest

from streamflow.engine.tasks import Task
from streamflow.errors import OperationError, Rejected
from streamflow.operations.callbacks import (
    Callback,
    callback_key,
    callback_url,
    callback_urls,
    make_token,
    read_answer,
    read_token,
)
from streamflow.settings import Settings, Tasks

CALLBACK = Callback("0000002a-ab", "Käse/1", "charge", 3, 2, expires_ms=10_000)
SECRET = "a long secret of the callbacks"
TASK = Task(
    id="r/s/1",
    idempotency_key="r/s",
    run="r",
    definition="d",
    version="1",
    key="k",
    step="s",
    attempt=1,
    operation="o",
    input={},
    timeout_ms=1000,
    queue_ms=1000,
)


def refused(secret: str, token: str, now_ms: int = 5000) -> str:
    with pytest.raises(Rejected) as raised:
        read_token(secret, token, now_ms)
    assert secret not in raised.value.message
    return raised.value.code


def test_a_token_says_what_it_was_made_for() -> None:
    assert read_token(SECRET, make_token(SECRET, CALLBACK), now_ms=9999) == CALLBACK


def test_a_token_needs_no_quoting_in_a_url() -> None:
    token = make_token(SECRET, CALLBACK)

    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
    assert callback_url("https://flows.example/base/", token) == f"https://flows.example/base/api/v1/callbacks/{token}"


def test_a_token_ends_with_its_time() -> None:
    assert refused(SECRET, make_token(SECRET, CALLBACK), now_ms=10_000) == "callback_expired"


def test_a_token_of_another_secret_is_forged() -> None:
    assert refused("another", make_token(SECRET, CALLBACK)) == "callback_forged"


def test_no_character_of_a_token_can_be_changed_or_left_out() -> None:
    token = make_token(SECRET, CALLBACK)

    for place, char in enumerate(token):
        assert refused(SECRET, token[:place] + ("A" if char != "A" else "B") + token[place + 1 :]) == "callback_forged"
        assert refused(SECRET, token[:place] + token[place + 1 :]) == "callback_forged"


def test_the_time_of_a_token_cannot_be_stretched() -> None:
    claims, _, signature = make_token(SECRET, CALLBACK).partition(".")
    later = base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)).replace(b"10000", b"99999")

    assert refused(SECRET, f"{base64.urlsafe_b64encode(later).rstrip(b'=').decode()}.{signature}") == "callback_forged"


@pytest.mark.parametrize("token", ["", ".", "a", "a.b", "a.b.c", "é.ü", "A" * 100_000, "e30.e30", "===.==="])
def test_what_is_no_token_is_forged(token: str) -> None:
    assert refused(SECRET, token) == "callback_forged"


def test_a_worker_makes_addresses_that_the_sidecar_can_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBACK_KEY", SECRET)
    settings = Settings(tasks=Tasks(callback_url="https://flows.example", callback_secret="env:CALLBACK_KEY"))

    url = callback_urls(settings)(TASK, 60.0)

    read = read_token(SECRET, url.removeprefix("https://flows.example/api/v1/callbacks/"), now_ms=0)
    assert (read.run, read.key, read.step, read.item, read.attempt) == ("r", "k", "s", None, 1)


def test_a_worker_that_has_no_address_for_callbacks_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBACK_KEY", SECRET)
    for tasks in (Tasks(), Tasks(callback_url="https://flows.example"), Tasks(callback_secret="env:CALLBACK_KEY")):
        with pytest.raises(OperationError) as raised:
            callback_urls(Settings(tasks=tasks))(TASK, 60.0)
        assert raised.value.code == "callbacks_off"


@pytest.mark.parametrize(
    "key",
    [
        "short",
        "fifteen-letters",
        "a" * 40,
        "abababababababababab",
        "change-me-change-me-change-me",
        "CHANGEME-1234567890",
        "my-example-key-1234",
        "password-of-production-2026",
    ],
)
def test_a_key_that_can_be_guessed_is_refused_at_the_start(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBACK_KEY", key)
    settings = Settings(tasks=Tasks(callback_url="https://flows.example", callback_secret="env:CALLBACK_KEY"))

    for start in (callback_urls, callback_key):
        with pytest.raises(OperationError) as raised:
            start(settings)
        assert (raised.value.code, raised.value.retryable) == ("callback_key_weak", False)
        assert key not in raised.value.message


@pytest.mark.parametrize(
    "key", ["0123456789abcdef", "correct horse battery staple", "9f86d081884c7d659a2feaa0c55ad015"]
)
def test_a_key_that_cannot_be_guessed_is_taken(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBACK_KEY", key)

    assert callback_key(Settings(tasks=Tasks(callback_secret="env:CALLBACK_KEY"))) == key


def test_who_knows_all_of_a_run_but_the_key_cannot_make_its_address() -> None:
    known = make_token("a key that was guessed", CALLBACK)
    claims, _, signature = make_token(SECRET, CALLBACK).partition(".")
    other = make_token(SECRET, Callback("0000002a-ab", "K\u00e4se/1", "charge", 3, 1, expires_ms=10_000)).partition(".")
    forged = (
        known,
        f"{claims}.",
        claims,
        f"{claims}.{other[2]}",
        f"{other[0]}.{signature}",
        f"{known.partition('.')[0]}.{signature[:-1]}",
        f"{claims}.{signature}.{signature}",
        f"{claims}.{'A' * len(signature)}",
    )
    for token in forged:
        assert refused(SECRET, token) == "callback_forged"


def test_an_answer_is_an_output() -> None:
    assert read_answer(b'{"output": {"a": 1}}') == {"a": 1}
    assert read_answer(b'{"output": null}') is None


def test_an_answer_may_be_an_error() -> None:
    with pytest.raises(OperationError) as raised:
        read_answer(b'{"error": {"code": "card_declined", "message": "no", "retryable": false, "retry_after_s": 3}}')

    error = raised.value
    assert (error.code, error.message, error.retryable, error.retry_after_s) == ("card_declined", "no", False, 3)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"<html>",
        b'{"output": 1, "error": {"code": "a"}}',
        b'{"outptu": 1}',
        b'{"error": "no"}',
        b'{"error": null}',
        b'{"error": {"code": "Not A Code"}}',
        b'{"error": {"code": "a", "retry_after_s": -1}}',
        b'{"output": NaN}',
        b'{"output": ' + b"[" * 5000,
    ],
)
def test_nonsense_is_no_answer(body: bytes) -> None:
    with pytest.raises(Rejected) as raised:
        read_answer(body)

    assert raised.value.code == "answer_invalid"
