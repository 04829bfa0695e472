"""A registry over TLS: whom this client believes, and the certificate that it shows."""

from __future__ import annotations

import ssl
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from streamflow.errors import OperationError
from streamflow.registry.client import registry_client
from streamflow.settings import Registry
from tests.servers.certificates import Authority
from tests.servers.memory_registry import MemoryRegistry, memory_registry


def demanding(authority: Authority) -> ssl.SSLContext:
    """What a registry is served with that wants a certificate of this authority."""
    authority.issue("registry")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.certificate))
    context.load_cert_chain(authority.folder / "registry.crt", authority.folder / "registry.key")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def subjects(registry: MemoryRegistry, **options: Any) -> list[str]:
    with closing(registry_client(Registry(url=registry.url, **options))) as client:
        return client.subjects()


def code(registry: MemoryRegistry, **options: Any) -> str:
    with pytest.raises(OperationError) as caught:
        subjects(registry, **options)
    return caught.value.code


def test_a_certificate_is_shown_and_that_of_the_registry_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, stranger = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs", "Another authority")
    authority.issue("client", password="of-the-key")
    authority.issue("open")
    folder = authority.folder
    monkeypatch.setenv("REGISTRY_KEY", (folder / "client.key").read_text())
    monkeypatch.setenv("REGISTRY_KEY_PASSWORD", "of-the-key")
    shown = {"ssl_certificate": folder / "client.crt", "ssl_key": "env:REGISTRY_KEY"}
    secret = {"ssl_key_password": "env:REGISTRY_KEY_PASSWORD"}
    with memory_registry(demanding(authority)) as registry:
        registry.register("orders-value", '"string"')
        trusted = {"ssl_ca": authority.certificate}
        assert subjects(registry, **trusted, **shown, **secret) == ["orders-value"]
        opened = {"ssl_certificate": folder / "open.crt", "ssl_key": f"file:{folder / 'open.key'}"}
        assert subjects(registry, **trusted, **opened) == ["orders-value"]
        assert code(registry, **trusted) == "registry_unavailable"
        assert code(registry, ssl_ca=stranger.certificate, **shown, **secret) == "registry_unavailable"
        assert code(registry, **shown, **secret) == "registry_unavailable"
        assert code(registry, **trusted, **shown) == "registry_unusable"
        assert code(registry, ssl_ca=tmp_path / "missing.pem") == "registry_unusable"
        assert code(registry, **trusted, **(shown | {"ssl_key": "env:NO_SUCH_KEY"})) == "secret_missing"
