"""`notify.send` over apprise, to receivers on this machine."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from streamflow.errors import OperationError
from streamflow.operations.message_target import TEXT_CHARS, TITLE_CHARS, message
from streamflow.operations.notify import NotifySend
from streamflow.settings import Notifications, NotificationTarget, Settings
from tests.contract.receivers import Receiver, receiver
from tests.contract.servers import attempt


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def operation(
    monkeypatch: pytest.MonkeyPatch, url: str | None, schemes: tuple[str, ...] = ("json",), **changes: Any
) -> NotifySend:
    """The operation with one target, `on-call`."""
    if url is not None:
        monkeypatch.setenv("ON_CALL_URL", url)
    target = NotificationTarget(url="env:ON_CALL_URL")
    return NotifySend(
        Settings(notifications=Notifications(schemes=list(schemes), targets={"on-call": target}, **changes))
    )


def send(made: NotifySend, *, timeout_s: float = 10.0, **input: Any) -> Any:
    given = {"target": "on-call", "text": "Look at it."} | input
    jsonschema_rs.validator_for(made.spec.input).validate(given)
    output = asyncio.run(made.run(given, attempt(timeout_s=timeout_s)))
    jsonschema_rs.validator_for(made.spec.output).validate(output)
    return output


def refused(made: NotifySend, **input: Any) -> OperationError:
    with pytest.raises(OperationError) as caught:
        send(made, **input)
    error = caught.value
    assert any(one.id == error.code and one.retryable == error.retryable for one in made.spec.errors), error.code
    assert re.search(r"[^.]\. [A-Z]", error.message), "the remedy is a sentence of its own"
    assert "token-in-path" not in error.message
    return error


def test_a_message_reaches_its_target(monkeypatch: pytest.MonkeyPatch, hook: Receiver) -> None:
    made = operation(monkeypatch, hook.url())

    assert send(made, title="A large order", text="Order 7 is large.", severity="warning") == {"target": "on-call"}

    (body,) = hook.bodies
    assert (body["title"], body["message"], body["type"]) == ("A large order", "Order 7 is large.", "warning")
    assert body["attachments"] == []
    assert asyncio.run(made.health()).ok


@pytest.mark.parametrize("code", [400, 403, 500, 503])
def test_a_target_that_refuses_is_asked_again(monkeypatch: pytest.MonkeyPatch, hook: Receiver, code: int) -> None:
    hook.status = code
    made = operation(monkeypatch, hook.url())

    error = refused(made)
    assert (error.code, error.retryable) == ("target_failed", True)
    assert f"answered {code}" in error.message

    hook.status = 200
    assert send(made) == {"target": "on-call"}


def test_a_target_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        error = refused(operation(monkeypatch, f"json://127.0.0.1:{taken.getsockname()[1]}/token-in-path"))
    assert (error.code, error.retryable) == ("target_failed", True)
    assert "cannot be reached" in error.message


def test_a_silent_target_holds_up_nobody_else(monkeypatch: pytest.MonkeyPatch, hook: Receiver) -> None:
    with receiver(holds=True) as silent:
        monkeypatch.setenv("SILENT_URL", silent.url(query="?rto=60"))
        monkeypatch.setenv("ON_CALL_URL", hook.url())
        targets = {
            "silent": NotificationTarget(url="env:SILENT_URL"),
            "on-call": NotificationTarget(url="env:ON_CALL_URL"),
        }
        made = NotifySend(Settings(notifications=Notifications(schemes=["json"], targets=targets, timeout_s=0.5)))

        async def both() -> tuple[Any, Any]:
            return await asyncio.gather(
                made.run({"target": "silent", "text": "a"}, attempt()),
                made.run({"target": "on-call", "text": "b"}, attempt()),
                return_exceptions=True,
            )

        first, second = asyncio.run(both())

    assert isinstance(first, OperationError)
    assert (first.code, first.retryable) == ("target_silent", True)
    assert second == {"target": "on-call"}
    assert [body["message"] for body in hook.bodies] == ["b"]


def test_silent_targets_take_a_bounded_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver(holds=True) as silent:
        made = operation(monkeypatch, silent.url(query="?rto=60"), timeout_s=0.3)

        async def many() -> list[Any]:
            given = {"target": "on-call", "text": "a"}
            return await asyncio.gather(*(made.run(given, attempt()) for _ in range(20)), return_exceptions=True)

        codes = [error.code for error in asyncio.run(many())]
        assert (codes.count("target_silent"), codes.count("target_busy")) == (16, 4)


REFUSED = {
    "a scheme that is not listed": ("xml://{address}/token-in-path", ("json",)),
    "no scheme is listed": ("json://{address}/token-in-path", ()),
    "the address of a service, which has another scheme": (
        "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        ("https", "json"),
    ),
    "a second URL behind the first": ("json://{address}/token-in-path xml://{address}/", ("json",)),
    "no URL": ("token-in-path", ("json",)),
    "a scheme that apprise does not know": ("nothing://{address}/token-in-path", ("nothing",)),
    "a file": ("file:///etc/passwd?token-in-path", ("json",)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_url_that_may_not_be_used(monkeypatch: pytest.MonkeyPatch, hook: Receiver, case: str) -> None:
    url, schemes = REFUSED[case]
    made = operation(monkeypatch, url.format(address=hook.address), schemes)

    error = refused(made)
    assert (error.code, error.retryable) == ("target_refused", False)
    assert hook.bodies == []
    assert not asyncio.run(made.health()).ok


def test_a_target_without_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ON_CALL_URL", raising=False)
    error = refused(operation(monkeypatch, None))
    assert (error.code, error.retryable) == ("secret_missing", False)


@pytest.mark.parametrize("name", ["nobody", "json://127.0.0.1/", "on-call/../x", "ON-CALL"])
def test_a_definition_names_targets_of_the_settings_only(
    monkeypatch: pytest.MonkeyPatch, hook: Receiver, name: str
) -> None:
    error = refused(operation(monkeypatch, hook.url()), target=name)
    assert (error.code, error.retryable) == ("target_unknown", False)
    assert hook.bodies == []


def test_redirects_are_not_followed(monkeypatch: pytest.MonkeyPatch, hook: Receiver) -> None:
    with receiver() as elsewhere:
        hook.status, hook.place = 307, f"http://{elsewhere.address}/"
        assert refused(operation(monkeypatch, hook.url())).code == "target_failed"
        assert elsewhere.bodies == []


MARKUP = "<script>alert(1)</script> <b>b</b> *x* [a](javascript:x) &amp;"


def test_markup_is_shown_as_it_is_written(monkeypatch: pytest.MonkeyPatch, hook: Receiver) -> None:
    send(operation(monkeypatch, hook.url()), text=MARKUP)
    send(operation(monkeypatch, hook.url(query="?format=html")), title=MARKUP, text=MARKUP)
    send(operation(monkeypatch, hook.url(query="?format=markdown")), text=MARKUP)

    plain, html, markdown = hook.bodies
    assert plain["message"] == MARKUP
    assert "<" not in html["message"].replace("<br/>", "")
    assert "<" not in html["title"]
    assert "[a](" not in markdown["message"]


@pytest.mark.parametrize("text", ["@everyone look", "@here", "see @Channel", "<!channel> hi", "<@U123>", "<#C1>"])
def test_nobody_is_mentioned(text: str) -> None:
    made = message(text, text)
    for found in (made.title, made.text):
        assert not re.search(r"@(everyone|here|channel)|<[!@#]", found, re.IGNORECASE)
    assert made.text.replace("\u200b", "") == text


def test_texts_are_bounded_and_without_control_characters(monkeypatch: pytest.MonkeyPatch, hook: Receiver) -> None:
    made = message("a\r\nBcc: x@example.org" + "t" * 500, "\x1b[31mred\x00\ud800\n" + "x" * 10_000)
    assert len(made.title) == TITLE_CHARS
    assert len(made.text) == TEXT_CHARS
    assert "\n" not in made.title
    assert made.text.startswith("[31mred\n")
    assert not jsonschema_rs.validator_for(NotifySend.spec.input).is_valid(
        {"target": "on-call", "text": "x" * (TEXT_CHARS + 1)}
    )
    assert refused(operation(monkeypatch, hook.url()), text="\x00 \n").code == "message_empty"


def test_the_library_is_missing(monkeypatch: pytest.MonkeyPatch, hook: Receiver) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "apprise", None)
    error = refused(operation(monkeypatch, hook.url()))
    assert (error.code, error.retryable) == ("extra_missing", False)
    assert "the extra notify," in error.message


def test_nothing_is_written_to_the_disk(monkeypatch: pytest.MonkeyPatch, hook: Receiver, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    send(operation(monkeypatch, hook.url()))
    assert list(tmp_path.iterdir()) == []
