"""The section `registry`."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from streamflow.settings.section import SecretRef, Section


class Registry(Section):
    """A schema registry with Confluent's API; needs the extra `schemas`. [Schemas](schemas.md) shows how."""

    url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s?#@,]+$",
        description="address of its API, such as https://registry:8081, without user and password; unset: no registry "
        "is asked, and user events are JSON",
    )
    username: str | None = Field(default=None, description="user name of HTTP basic authentication")
    password: SecretRef | None = Field(
        default=None, description="reference to the password that belongs to it: env:NAME or file:/path"
    )
    token: SecretRef | None = Field(
        default=None, description="instead of a user name: reference to a bearer token: env:NAME or file:/path"
    )
    cluster: str = Field(
        default="", description="logical cluster that goes with a token, as Confluent Cloud wants it; else empty"
    )
    ssl_ca: Path | None = Field(
        default=None,
        description="PEM file of the certificate authorities that signed the registry's certificate; unset: those that "
        "the package certifi ships",
    )
    ssl_certificate: Path | None = Field(
        default=None, description="PEM file of this client's certificate and what signed it, for mutual TLS"
    )
    ssl_key: SecretRef | None = Field(default=None, description="reference to the certificate's private key, PEM")
    ssl_key_password: SecretRef | None = Field(
        default=None, description="reference to the password of an encrypted private key"
    )
    timeout_s: float = Field(
        default=5.0, ge=0.1, le=60, description="seconds for a connection, and between two parts of an answer"
    )
    retry_s: float = Field(
        default=5.0,
        ge=0.1,
        le=300,
        description="seconds between questions while the registry is away, after faster ones at first",
    )
    cache_schemas: int = Field(
        default=1000, ge=1, le=100_000, description="schemas that a process keeps; the one used longest ago goes first"
    )
    unknown_s: float = Field(
        default=30.0,
        ge=1,
        le=3600,
        description="seconds that an id without a schema is remembered, before the registry is asked for it again",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        """What belongs together is there together."""
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together. Set both, or neither.")
        if self.username is not None and self.token is not None:
            raise ValueError("a user name and a token would both be sent as Authorization. Set one of them.")
        if (self.ssl_certificate is None) != (self.ssl_key is None):
            raise ValueError("mutual TLS needs ssl_certificate and ssl_key. Set both, or neither.")
        if self.url is None:
            fields = type(self).model_fields
            given = (name for name in self.model_fields_set if getattr(self, name) != fields[name].get_default())
            unused = sorted(given)
            if unused:
                raise ValueError(f"{', '.join(unused)} would not be used. Set url, or remove them.")
        elif self.url.startswith("http://"):
            tls = [name for name in ("ssl_ca", "ssl_certificate", "ssl_key_password") if getattr(self, name)]
            if tls:
                raise ValueError(f"{', '.join(tls)} would not be used with http://. Use https://, or remove them.")
        return self
