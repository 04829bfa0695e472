"""The section `kafka`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from streamflow.settings.section import SecretRef, Section


class Kafka(Section):
    """The address and protocol of the brokers. [Connect to a secured cluster](secured-cluster.md) shows how."""

    bootstrap_servers: str | None = Field(
        default=None, description="host:port[,host:port]; unset: streamflow starts Kafka itself (`dev`, `demo`, tests)"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="Kafka's own name of the protocol"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = Field(
        default=None, description="SASL mechanism"
    )
    sasl_username: str | None = Field(default=None, description="SASL user of PLAIN and SCRAM")
    sasl_password: SecretRef | None = Field(
        default=None, description="reference to the SASL password: env:NAME or file:/path"
    )
    oauth_token_url: str | None = Field(
        default=None,
        pattern=r"^(https://[^\s?#]+|http://(localhost|127\.0\.0\.1)(:\d+)?(/[^\s?#]*)?)$",
        description="token endpoint of OAUTHBEARER, by the client credentials grant (RFC 6749, 4.4); https, "
        "unless it is on this machine",
    )
    oauth_client_id: str | None = Field(default=None, description="client id at the token endpoint")
    oauth_client_secret: SecretRef | None = Field(
        default=None, description="reference to the client secret at the token endpoint"
    )
    oauth_scope: str | None = Field(default=None, description="scope to request, if the server needs one")
    oauth_ca: Path | None = Field(
        default=None, description="PEM file of the certificate authorities that signed the token server's certificate"
    )
    oauth_token: SecretRef | None = Field(
        default=None,
        description="instead of oauth_token_url: reference to a token that another process renews, such as "
        "file:/var/run/secrets/tokens/kafka",
    )
    ssl_ca: Path | None = Field(
        default=None,
        description="PEM file of the certificate authorities that signed the brokers' certificates; unset: those of "
        "the system",
    )
    ssl_certificate: Path | None = Field(
        default=None, description="PEM file of this client's certificate and its chain, for mutual TLS"
    )
    ssl_key: SecretRef | None = Field(default=None, description="reference to the certificate's private key, PEM")
    ssl_key_password: SecretRef | None = Field(
        default=None, description="reference to the password of an encrypted private key"
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        """Settings that belong together are set together: a password that is never sent would hide a mistake."""
        sasl = self.security_protocol.startswith("SASL_")
        password = {"sasl_username": self.sasl_username, "sasl_password": self.sasl_password}
        server = {
            "oauth_token_url": self.oauth_token_url,
            "oauth_client_id": self.oauth_client_id,
            "oauth_client_secret": self.oauth_client_secret,
        }
        token = {"oauth_token": self.oauth_token}
        certificate = {"ssl_certificate": self.ssl_certificate, "ssl_key": self.ssl_key}
        tls = certificate | {"ssl_ca": self.ssl_ca, "ssl_key_password": self.ssl_key_password}
        if sasl and self.sasl_mechanism is None:
            raise ValueError(f"security_protocol {self.security_protocol} needs sasl_mechanism. Set it.")
        if not sasl:
            self._refuse({"sasl_mechanism": self.sasl_mechanism} | password | server | token, "a SASL_ protocol")
        elif self.sasl_mechanism == "OAUTHBEARER":
            self._refuse(password, "PLAIN or SCRAM")
            if self.oauth_token is None:
                self._require(server, "OAUTHBEARER without oauth_token")
            else:
                self._refuse(server, "OAUTHBEARER without oauth_token")
        else:
            self._require(password, self.sasl_mechanism or "")
            self._refuse(server | token, "OAUTHBEARER")
        if self.security_protocol not in ("SSL", "SASL_SSL"):
            self._refuse(tls, "SSL or SASL_SSL")
        if any(certificate.values()):
            self._require(certificate, "mutual TLS")
        return self

    def _require(self, values: Mapping[str, object], what: str) -> None:
        if missing := [name for name, value in values.items() if value is None]:
            raise ValueError(f"{what} needs {', '.join(missing)}. Set {'it' if len(missing) == 1 else 'them'}.")

    def _refuse(self, values: Mapping[str, object], what: str) -> None:
        if extra := [name for name, value in values.items() if value is not None]:
            raise ValueError(
                f"{', '.join(extra)} would not be used: only with {what}. Set security_protocol and sasl_mechanism, "
                f"or remove {'it' if len(extra) == 1 else 'them'}."
            )
