"""What TLS connections are made with, and what is said of files that cannot be used."""

from __future__ import annotations

import ssl
from datetime import timedelta

import pytest

from streamflow.errors import OperationError
from streamflow.kafka.tls import tls_context
from streamflow.settings import Kafka
from tests.servers.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("certificates"))
    made.issue("flow", password="kennwort")
    made.issue("other")
    made.issue("old", life=timedelta(seconds=-5))
    (made.folder / "password").write_text("kennwort")
    (made.folder / "wrong").write_text("swordfish")
    return made


def mutual(authority: Authority, certificate: str, key: str, password: str | None = None) -> Kafka:
    return Kafka(
        security_protocol="SSL",
        ssl_ca=authority.certificate,
        ssl_certificate=authority.folder / certificate,
        ssl_key=key if key.startswith("env:") else f"file:{authority.folder / key}",
        ssl_key_password=None if password is None else f"file:{authority.folder / password}",
    )


def test_chain_and_host_name_are_always_verified(authority: Authority) -> None:
    context = tls_context(Kafka(security_protocol="SSL", ssl_ca=authority.certificate))

    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert len(context.get_ca_certs()) == 1
    assert tls_context(Kafka()) is None


def test_a_key_may_be_in_a_file_or_in_the_environment(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIENT_KEY", (authority.folder / "flow.key").read_text())

    assert tls_context(mutual(authority, "flow.crt", "flow.key", "password")) is not None
    assert tls_context(mutual(authority, "flow.crt", "env:CLIENT_KEY", "password")) is not None


@pytest.mark.parametrize(
    ("certificate", "key", "password", "code"),
    [
        ("flow.crt", "flow.key", "wrong", "tls_file_unusable"),
        ("flow.crt", "flow.key", None, "tls_file_unusable"),  # and nobody is asked at the terminal
        ("flow.crt", "other.key", None, "tls_file_unusable"),
        ("flow.crt", "password", None, "tls_file_unusable"),
        ("missing.crt", "other.key", None, "tls_file_unusable"),
        ("password", "other.key", None, "tls_file_unusable"),
        ("flow.crt", "missing.key", None, "secret_missing"),
        ("old.crt", "old.key", None, "tls_certificate_expired"),
    ],
)
def test_a_certificate_or_key_that_cannot_be_used_is_named(
    authority: Authority, certificate: str, key: str, password: str | None, code: str
) -> None:
    with pytest.raises(OperationError) as caught:
        tls_context(mutual(authority, certificate, key, password))

    assert caught.value.code == code
    assert "kennwort" not in caught.value.message
    assert "swordfish" not in caught.value.message


@pytest.mark.parametrize("name", ["missing", "password"])
def test_authorities_that_cannot_be_read_are_named(authority: Authority, name: str) -> None:
    with pytest.raises(OperationError) as caught:
        tls_context(Kafka(security_protocol="SSL", ssl_ca=authority.folder / name))

    assert caught.value.code == "tls_file_unusable"
    assert "kafka.ssl_ca" in caught.value.message
