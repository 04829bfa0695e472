"""Tokens for OAUTHBEARER: asked for once, renewed in time, and refused with a code."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamflow.errors import OperationError
from streamflow.kafka.oauth import TokenSource
from streamflow.settings import Kafka
from tests.servers.secured_kafka import TokenServer


@pytest.fixture(scope="module")
def server() -> Iterator[TokenServer]:
    made = TokenServer()
    with made.running():
        yield made


def settings(server: TokenServer, tmp_path: Path, secret: str | None = None) -> Kafka:
    (tmp_path / "secret").write_text(server.secret if secret is None else secret)
    return Kafka(
        security_protocol="SASL_SSL",
        sasl_mechanism="OAUTHBEARER",
        oauth_token_url=server.url,
        oauth_client_id="flow engine",
        oauth_client_secret=f"file:{tmp_path / 'secret'}",
    )


def test_a_token_is_asked_for_once_and_again_before_it_ends(server: TokenServer, tmp_path: Path) -> None:
    now = 1000.0
    source = TokenSource(settings(server, tmp_path), clock=lambda: now)
    asked = server.asked

    first = source.current()
    now += 0.7 * 600
    assert source.current() == first
    assert server.asked == asked + 1
    now += 0.2 * 600
    assert source.current().ends_s > first.ends_s
    assert server.asked == asked + 2


def test_a_wrong_secret_is_refused_with_the_server_s_code_and_without_the_secret(
    server: TokenServer, tmp_path: Path
) -> None:
    with pytest.raises(OperationError) as caught:
        TokenSource(settings(server, tmp_path, "swordfish")).current()

    assert caught.value.code == "oauth_refused"
    assert "401 (invalid_client)" in caught.value.message
    assert "swordfish" not in caught.value.message


def test_a_server_that_is_away_is_unreachable(server: TokenServer, tmp_path: Path) -> None:
    away = settings(server, tmp_path).model_copy(update={"oauth_token_url": "http://127.0.0.1:9/token"})

    with pytest.raises(OperationError) as caught:
        TokenSource(away).current()

    assert caught.value.code == "oauth_unreachable"


def jwt(ends_s: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": ends_s}).encode()).rstrip(b"=").decode()
    return f"e30.{claims}.sig"


def from_file(path: Path) -> Kafka:
    return Kafka(security_protocol="SASL_SSL", sasl_mechanism="OAUTHBEARER", oauth_token=f"file:{path}")


def test_a_token_of_a_file_is_read_again_when_most_of_its_life_is_over(tmp_path: Path) -> None:
    now, place = 1000.0, tmp_path / "token"
    source = TokenSource(from_file(place), clock=lambda: now)
    place.write_text(jwt(1100))

    assert source.current() == (jwt(1100), 1100)
    place.write_text(jwt(1200))
    now = 1070.0
    assert source.current().ends_s == 1100
    now = 1085.0
    assert source.current().ends_s == 1200


def test_a_token_that_nobody_has_renewed_is_said_to_have_expired(tmp_path: Path) -> None:
    place = tmp_path / "token"
    place.write_text(jwt(900))

    with pytest.raises(OperationError) as caught:
        TokenSource(from_file(place), clock=lambda: 1000.0).current()

    assert caught.value.code == "oauth_refused"
    assert "expired" in caught.value.message


def test_a_token_that_is_no_jwt_is_read_again_every_minute(tmp_path: Path) -> None:
    now, place = 1000.0, tmp_path / "token"
    place.write_text("opaque")

    assert TokenSource(from_file(place), clock=lambda: now).current() == ("opaque", 1060.0)
