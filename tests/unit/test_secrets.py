"""Where secrets are read from, and how they are replaced in what is kept."""

from __future__ import annotations

import asyncio
import base64
import html
import json
import logging
import os
import socket
import stat
import threading
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, quote_plus

import msgspec
import pytest
import structlog

from streamflow import secrets
from streamflow.errors import OperationError
from streamflow.operations.connections import ConnectionHealth
from streamflow.ops.log import configure_log
from streamflow.secrets import MOST_BYTES, Redactor, read_secret, resolve_secret
from streamflow.settings import Connection, Settings, Tasks


def refusal(reference: str, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(OperationError) as raised:
        resolve_secret(reference, environ or {})
    assert (raised.value.code, raised.value.retryable) == ("secret_missing", False)
    return raised.value.message


# -- where they are read from


def test_a_variable_and_a_file_give_their_secret(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("of a file\n")
    (tmp_path / "windows").write_bytes(b"of a file\r\n")

    assert resolve_secret("env:KEY", {"KEY": "of a variable"}) == "of a variable"
    assert resolve_secret(f"file:{tmp_path / 'key'}") == "of a file"
    assert resolve_secret(f"file:{tmp_path / 'windows'}") == "of a file"


def test_a_secret_is_read_again_each_time_also_behind_the_links_of_kubernetes(tmp_path: Path) -> None:
    for generation in ("..1", "..2"):
        (tmp_path / generation).mkdir()
        (tmp_path / generation / "key").write_text(f"secret {generation}")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "key").symlink_to("..data/key")
    assert resolve_secret(f"file:{tmp_path}/key") == "secret ..1"

    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").rename(tmp_path / "..data")

    assert resolve_secret(f"file:{tmp_path}/key") == "secret ..2"


def test_what_is_no_regular_file_is_refused_and_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/dev/zero")
    (tmp_path / "to-pipe").symlink_to("pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        names = ("pipe", "folder", "link", "to-pipe", "socket")
        for place in ("/dev/zero", "/dev/tty", "/proc/self/environ", *(str(tmp_path / name) for name in names)):
            if Path(place).exists():
                assert "regular file" in refusal(f"file:{place}"), place


def test_a_file_that_is_too_large_empty_or_no_text_is_refused(tmp_path: Path) -> None:
    for content, why in (
        (b"x" * (MOST_BYTES + 1), f"more than {MOST_BYTES} bytes"),
        (b"", "empty"),
        (b"\n", "empty"),
        (b" \t\n", "empty"),
        (b"\xff\xfe", "UTF-8"),
    ):
        (tmp_path / "key").write_bytes(content)
        assert why in refusal(f"file:{tmp_path}/key")
    (tmp_path / "key").write_bytes(b"x" * MOST_BYTES)
    assert len(resolve_secret(f"file:{tmp_path}/key")) == MOST_BYTES


def test_what_is_missing_or_no_reference_is_refused_and_a_secret_is_never_repeated(tmp_path: Path) -> None:
    assert "NOT_SET" in refusal("env:NOT_SET")
    assert "empty" in refusal("env:EMPTY", {"EMPTY": ""})
    assert "No such file" in refusal(f"file:{tmp_path}/missing")
    for text in ("swordfish", "file:swordfish", "ENV:swordfish", "", "env:", "file:/a\0swordfish"):
        assert "swordfish" not in refusal(text).replace("/a\0swordfish", "")


def test_a_file_that_hangs_is_given_up_and_the_loop_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released, readings = threading.Event(), []

    def hang(place: str) -> str:
        readings.append(place)
        released.wait(20)
        return "late"

    monkeypatch.setattr(secrets, "_read", hang)
    monkeypatch.setattr(secrets, "READ_S", 0.05)

    async def check() -> list[str]:
        tried = await asyncio.gather(*(read_secret("file:/slow") for _ in range(20)), return_exceptions=True)
        again = await asyncio.gather(read_secret("file:/slow"), return_exceptions=True)
        return [error.code for error in (*tried, *again) if isinstance(error, OperationError) and error.retryable]

    try:
        assert asyncio.run(check()) == ["secret_missing"] * 21
        assert readings == ["/slow"]  # one thread for all who wait
    finally:
        released.set()


def test_a_secret_is_read_in_another_thread_than_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("of a file")
    threads: list[threading.Thread] = []
    real = os.open

    def opened(*given: Any, **more: Any) -> int:
        threads.append(threading.current_thread())
        return real(*given, **more)

    monkeypatch.setattr(os, "open", opened)

    assert asyncio.run(read_secret(f"file:{tmp_path}/key")) == "of a file"
    assert threads
    assert threading.main_thread() not in threads
    assert stat.S_ISREG((tmp_path / "key").stat().st_mode)


# -- how they are replaced

SECRET = 'p&ss "wörd"/+42'
BASIC = "Basic " + base64.b64encode(b"anna:s3cr3t-of-anna").decode()


def redactor(*known: str) -> Redactor:
    made = Redactor()
    for one in known:
        made.add(one)
    return made


@pytest.mark.parametrize(
    "spelling",
    [
        SECRET,
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower(),
        quote(SECRET),
        quote_plus(SECRET),
        json.dumps(SECRET)[1:-1],
        html.escape(SECRET),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        base64.b64encode(SECRET.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("="),
    ],
)
def test_every_spelling_of_a_secret_is_replaced_within_a_text(spelling: str) -> None:
    known = redactor(SECRET)
    found = known.text(f"they sent <{spelling}> back")
    assert found.startswith("they sent <[secret]")
    assert len(found) < len("they sent <[secret]> back") + 4
    for value in (spelling, f"<{spelling}>", json.dumps(spelling), {spelling: [spelling]}):
        assert known.is_in(msgspec.json.encode(value).decode()) is (known.value(value) != value)
    assert not known.is_in(msgspec.json.encode({"they": "sent nothing back"}).decode())


@pytest.mark.parametrize("user", ["", "u", "us", "user", "somebody"])
def test_a_password_is_found_in_the_base64_of_user_and_password(user: str) -> None:
    password = "s3cr3t-of-anna"
    header = base64.b64encode(f"{user}:{password}".encode()).decode()

    found = redactor(password).text(f"Authorization: Basic {header}")

    left = found.removeprefix("Authorization: Basic ").split("[secret]")
    assert len(left) == 2
    # At either end a character may stand for bits of the neighbours too.
    assert len(left[0]) <= len(user) * 8 // 6 + 3
    assert len(left[1].rstrip("=")) <= 1


@pytest.mark.parametrize(
    "echo", [BASIC, BASIC.removeprefix("Basic "), "anna:s3cr3t-of-anna", "s3cr3t-of-anna", "anna%3As3cr3t-of-anna"]
)
def test_the_parts_of_a_basic_header_are_secrets_too(echo: str) -> None:
    assert redactor(BASIC).text(f"got {echo}!") == "got [secret]!"


def test_the_token_of_a_bearer_header_is_a_secret_too() -> None:
    assert redactor("Bearer abcdefgh1234").text("token=abcdefgh1234&x=1") == "token=[secret]&x=1"


def test_values_are_searched_through_with_names_and_numbers() -> None:
    found = redactor("12345678", "a-long-secret").value(
        {"a-long-secret": ["x a-long-secret y", 12345678, 1.5, True, None, {"deep": "A-LONG-SECRET"}]}
    )
    assert found == {"[secret]": ["x [secret] y", "[secret]", 1.5, True, None, {"deep": "A-LONG-SECRET"}]}


def test_a_short_secret_destroys_no_texts() -> None:
    short = redactor("test", "abc")
    assert short.text("a test of the latest release") == "a test of the latest release"
    assert short.text("test") == "[secret]"
    assert short.text("abc") == "abc"
    assert short.is_in('{"a":"test"}')
    assert not short.is_in('{"a":"a test"}')
    assert short.value({"n": 4, "abc": "test"}) == {"n": 4, "abc": "[secret]"}


def test_a_secret_that_was_cut_off_at_the_end_of_a_message_is_replaced() -> None:
    known = redactor("0123456789abcdefghij")
    assert known.message("it said 0123456789abc") == "it said [secret]"
    assert known.message("it said 0123456") == "it said 0123456"


def test_nothing_is_replaced_without_secrets() -> None:
    assert not Redactor()
    assert not Redactor().is_in('{"a": ["b"]}')
    assert Redactor().value({"a": ["b"]}) == {"a": ["b"]}


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_log_line_holds_a_secret_that_the_process_has_resolved(
    form: Literal["json", "console"], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOGGED", 'log-me-not "quoted"')
    secret = resolve_secret("env:LOGGED")
    before, handlers = structlog.get_config(), logging.getLogger().handlers[:]
    try:
        configure_log(Settings(log_format=form))
        log = structlog.get_logger("x")
        log.warning("echoed", value=secret, nested={"header": f"Basic {secret}"})
        try:
            raise ValueError(secret)
        except ValueError:
            log.exception("raised")
            logging.getLogger("library").exception("and a library says %s", secret)
    finally:
        structlog.configure(**before)
        logging.getLogger().handlers[:] = handlers

    written = capsys.readouterr().err
    assert written.count("[secret]") >= 5
    assert "log-me-not" not in written


def test_the_health_of_a_connection_tells_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGGED", "log-me-not")
    tasks = Tasks(connections={"db": Connection(kind="folder", url="/tmp")})
    condition = ConnectionHealth(Settings(tasks=tasks), "objects", {"folder": None})
    condition.failed("db", OperationError("store_unavailable", f"it said {resolve_secret('env:LOGGED')}"))

    assert condition.health().detail == "db: it said [secret]"
