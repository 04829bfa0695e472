"""`nats.publish` against a real NATS server with JetStream."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import nats
import pytest
from nats.js import JetStreamContext
from nats.js.api import StreamConfig

from streamflow.operations.nats import stream_for
from streamflow.settings import Connection
from tests import servers
from tests.conftest import start_server
from tests.contract.stores import Worker, worker
from tests.servers.jetstream import NatsServer
from tests.servers.process import free_port

T = TypeVar("T")


def connection(server: NatsServer, **changes: Any) -> Connection:
    os.environ["NATS_SECRET"] = server.password
    return Connection(
        **({"kind": "nats", "url": server.url, "user": server.user, "password": "env:NATS_SECRET"} | changes)
    )


@pytest.fixture
def bus(nats_server: NatsServer) -> Iterator[Worker]:
    with worker(bus=connection(nats_server)) as made:
        yield made


@pytest.fixture
def subject() -> str:
    """A subject of the test's own: the server is shared."""
    return f"t{uuid.uuid4().hex[:8]}.daily"


@pytest.fixture
def own_nats() -> Iterator[NatsServer]:
    """A NATS server that the test may stop."""
    yield from start_server(servers.nats())


def foreign(server: NatsServer, act: Callable[[JetStreamContext], Awaitable[T]]) -> T:
    """What another client finds, or does."""

    async def connected() -> T:
        client = await nats.connect(server.url, user=server.user, password=server.password)
        try:
            return await act(client.jetstream())
        finally:
            await client.close()

    return asyncio.run(connected())


def publish(bus: Worker, subject: str, **more: Any) -> Any:
    return bus.do("nats.publish", connection="bus", subject=subject, **({"json": {"n": 1}} | more))


def refused(bus: Worker, subject: str, **more: Any) -> tuple[str, bool]:
    error = bus.fail("nats.publish", connection="bus", subject=subject, **({"json": {"n": 1}} | more))
    assert re.search(r"[^.]\. [A-Z]", error.message), "the remedy is a sentence of its own"
    return error.code, error.retryable


def test_the_stream_is_made_on_first_use_and_has_the_message(
    bus: Worker, nats_server: NatsServer, subject: str
) -> None:
    stream = subject.split(".")[0].upper()
    assert publish(bus, subject, json={"b": 2, "a": "ü"}, headers={"x-kind": "report"}) == {
        "stream": stream,
        "seq": 1,
        "duplicate": False,
    }

    found = foreign(nats_server, lambda js: js.get_msg(stream, 1))
    assert found.subject == subject
    assert found.data == '{"a":"ü","b":2}'.encode()
    assert found.headers is not None
    assert {name: found.headers[name] for name in ("Nats-Msg-Id", "x-kind", "Content-Type")} == {
        "Nats-Msg-Id": "run/step",
        "x-kind": "report",
        "Content-Type": "application/json",
    }
    assert found.headers["traceparent"].startswith("00-")

    config = foreign(nats_server, lambda js: js.stream_info(stream)).config
    assert config.subjects == [subject.split(".")[0], f"{subject.split('.')[0]}.>"]
    assert (config.duplicate_window, config.max_age) == (3600, 7 * 86_400)


def test_a_message_that_is_published_twice_is_kept_once(bus: Worker, nats_server: NatsServer, subject: str) -> None:
    first = publish(bus, subject, idempotency="run/a")
    assert publish(bus, subject, idempotency="run/a") == {**first, "duplicate": True}
    assert publish(bus, subject, idempotency="run/b", json="other") == {**first, "seq": 2}
    assert foreign(nats_server, lambda js: js.stream_info(first["stream"])).state.messages == 2


def test_a_message_is_new_again_after_the_duplicate_window(nats_server: NatsServer, subject: str) -> None:
    with worker(bus=connection(nats_server, options={"window_s": "3", "max_age_s": "3600"})) as bus:
        first = publish(bus, subject)
        assert publish(bus, subject)["duplicate"]
        config = foreign(nats_server, lambda js: js.stream_info(first["stream"])).config
        assert (config.duplicate_window, config.max_age) == (3, 3600)

        async def until_new() -> Any:
            for _ in range(400):
                output = await bus.attempt("nats.publish", connection="bus", subject=subject, json={"n": 1})
                if not output["duplicate"]:
                    return output
                await asyncio.sleep(0.05)
            raise AssertionError("it is still held to be a duplicate")

        assert bus.together(until_new()) == [{**first, "seq": 2}]


def test_a_message_survives_the_server_and_so_does_the_window(own_nats: NatsServer, subject: str) -> None:
    with worker(bus=connection(own_nats)) as bus:
        first = publish(bus, subject)
        own_nats.stop()
        error = bus.fail("nats.publish", connection="bus", subject=subject, json=1, timeout_s=2.0)
        assert (error.code, error.retryable) == ("nats_unavailable", True)
        assert not bus.health("nats.publish").ok
        own_nats.start()
        assert publish(bus, subject) == {**first, "duplicate": True}
        assert bus.health("nats.publish").ok


def test_a_stream_may_be_named(bus: Worker, nats_server: NatsServer, subject: str) -> None:
    stream = f"S-{subject.split('.')[0]}"
    assert publish(bus, subject, stream=stream)["stream"] == stream
    assert foreign(nats_server, lambda js: js.stream_info(stream)).config.subjects == [subject]
    assert refused(bus, subject, stream=f"{stream}-other", idempotency="b") == ("stream_mismatch", False)
    assert refused(bus, f"{subject}.deeper", stream=stream, idempotency="c") == ("stream_mismatch", False)
    assert foreign(nats_server, lambda js: js.stream_info(stream)).state.messages == 1


def test_a_stream_that_exists_is_used_as_it_is(bus: Worker, nats_server: NatsServer, subject: str) -> None:
    config = StreamConfig(name=subject.replace(".", "_"), subjects=[subject], max_msgs=1)
    foreign(nats_server, lambda js: js.add_stream(config))
    assert publish(bus, subject)["stream"] == config.name
    assert foreign(nats_server, lambda js: js.stream_info(config.name or "")).config.max_msgs == 1


def test_attempts_at_once_make_one_stream(nats_server: NatsServer, subject: str) -> None:
    with worker(bus=connection(nats_server)) as one, worker(bus=connection(nats_server)) as other:
        found = []
        for made in (one, other):
            attempts = [
                made.attempt("nats.publish", f"run/{n}", connection="bus", subject=subject, json=n) for n in range(20)
            ]
            found.append(made.together(*attempts))
    assert sorted(output["seq"] for output in found[0]) == list(range(1, 21))
    assert {output["seq"] for output in found[1]} == set(range(1, 21))
    assert all(output["duplicate"] for output in found[1])


@pytest.mark.parametrize("input", [{"json": 1, "text": "x"}, {}])
def test_a_message_is_json_or_text(bus: Worker, subject: str, input: dict[str, Any]) -> None:
    error = bus.fail("nats.publish", connection="bus", subject=subject, **input)
    assert (error.code, error.retryable) == ("content_invalid", False)


def test_a_message_that_is_too_large_is_refused(bus: Worker, subject: str) -> None:
    error = bus.fail("nats.publish", connection="bus", subject=subject, text="x" * 70_000)
    assert (error.code, error.retryable) == ("message_too_large", False)
    assert publish(bus, subject)["seq"] == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"password": "env:WRONG"}, "credentials_refused"),
        ({"user": "nobody"}, "credentials_refused"),
        ({"user": None}, "credentials_refused"),
        ({"user": None, "password": None}, "credentials_refused"),
        ({"password": "env:NOT_SET_AT_ALL"}, "secret_missing"),
        ({"options": {"window": "1"}}, "connection_invalid"),
        ({"options": {"window_s": "soon"}}, "connection_invalid"),
        ({"url": "http://127.0.0.1:1/x"}, "connection_invalid"),
        ({"url": "nats://a:b@127.0.0.1:1"}, "connection_invalid"),
        ({"kind": "http"}, "connection_invalid"),
        ({"user": "reader"}, "access_denied"),
    ],
)
def test_a_connection_that_cannot_be_used_says_why(
    nats_server: NatsServer, subject: str, changes: dict[str, Any], code: str
) -> None:
    os.environ["WRONG"] = "swordfish"
    with worker(bus=connection(nats_server, **changes)) as bus:
        error = bus.fail("nats.publish", connection="bus", subject=subject, json=1, timeout_s=2.0)
        assert (error.code, error.retryable) == (code, False)
        assert "swordfish" not in str(error)


def test_a_server_that_is_not_there_is_found_out_soon(nats_server: NatsServer, subject: str) -> None:
    with worker(bus=connection(nats_server, url=f"nats://127.0.0.1:{free_port()}")) as bus:
        error = bus.fail("nats.publish", connection="bus", subject=subject, json=1)
        assert (error.code, error.retryable) == ("nats_unavailable", True)


def test_without_its_extra_an_attempt_names_the_command_that_installs_it(
    bus: Worker, subject: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nats", None)
    error = bus.fail("nats.publish", connection="bus", subject=subject, json=1)
    assert (error.code, error.retryable) == ("extra_missing", False)
    assert "the extra nats," in error.message


@pytest.mark.parametrize(
    ("subject", "stream"),
    [
        ("orders.paid", ("ORDERS", ["orders", "orders.>"])),
        ("orders", ("ORDERS", ["orders", "orders.>"])),
        ("über/x.y", ("_BER_X", ["über/x", "über/x.>"])),
    ],
)
def test_a_stream_is_called_as_its_subjects_begin(subject: str, stream: tuple[str, list[str]]) -> None:
    assert stream_for(subject) == stream
