"""TLS to brokers: what this process knows them by, and the certificate that it shows. Secrets are resolved here, when a
client is made."""

from __future__ import annotations

import ssl
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from streamflow.errors import OperationError
from streamflow.secrets import resolve_secret
from streamflow.settings import Kafka


class Key(NamedTuple):
    """A private key: PEM, and the password that it is encrypted with."""

    pem: str
    password: str | None


def client_key(kafka: Kafka) -> Key | None:
    """The private key of the client's certificate; None without mutual TLS.

    Raises OperationError (`secret_missing`)."""
    if kafka.ssl_key is None:
        return None
    return Key(
        resolve_secret(kafka.ssl_key),
        resolve_secret(kafka.ssl_key_password) if kafka.ssl_key_password is not None else None,
    )


def tls_context(kafka: Kafka) -> ssl.SSLContext | None:
    """What TLS connections to brokers are made with: the host name and the chain are always verified. None for a
    protocol without TLS.

    Raises OperationError (`tls_file_unusable`, `tls_certificate_expired`, `secret_missing`) when a file, or this
    client's own certificate, cannot be used."""
    if kafka.security_protocol not in ("SSL", "SASL_SSL"):
        return None
    context = trusting("ssl_ca", kafka.ssl_ca)
    if kafka.ssl_certificate is not None and (key := client_key(kafka)) is not None:
        _require_valid(kafka.ssl_certificate)
        _load(context, kafka.ssl_certificate, kafka.ssl_key or "", key)
    return context


def trusting(field: str, authorities: Path | None) -> ssl.SSLContext:
    """What connections are made with that trust the authorities in a file, which the setting `field` names; None: those
    of the system. Raises OperationError (`tls_file_unusable`)."""
    try:
        return ssl.create_default_context(cafile=str(authorities) if authorities else None)
    except (OSError, ValueError) as error:
        raise _unusable(field, authorities, error, "the certificates of authorities") from error


def _load(context: ssl.SSLContext, certificate: Path, reference: str, key: Key) -> None:
    # without a password OpenSSL would ask for one at the terminal
    password = key.password or (lambda: b"")
    try:
        if reference.startswith("file:"):
            context.load_cert_chain(certificate, reference.removeprefix("file:"), password)
            return
        with tempfile.NamedTemporaryFile(mode="w", suffix=".pem") as file:  # readable by this user alone
            file.write(key.pem)
            file.flush()
            context.load_cert_chain(certificate, file.name, password)
    except (OSError, ValueError) as error:
        raise OperationError(
            "tls_file_unusable",
            f"The private key kafka.ssl_key does not open the certificate {certificate} ({_reason(error)}). Provide "
            "the key of this certificate in PEM, and kafka.ssl_key_password if it is encrypted.",
            retryable=False,
        ) from error


def certificate_expires(certificate: Path) -> datetime:
    """When this client's certificate, the first in the file, expires. Raises OperationError (`tls_file_unusable`)."""
    from cryptography import x509  # only for those who need it

    try:
        return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        raise _unusable("ssl_certificate", certificate, error, "this client's certificate") from error


def _require_valid(certificate: Path) -> None:
    """Brokers refuse a certificate that has expired with words that do not say so."""
    ends = certificate_expires(certificate)
    if ends < datetime.now(UTC):
        raise OperationError(
            "tls_certificate_expired",
            f"The certificate of this client, {certificate}, expired on {ends:%Y-%m-%d %H:%M} UTC. Replace it and its "
            "key.",
            retryable=False,
        )


def _unusable(field: str, path: Path | None, error: Exception, what: str) -> OperationError:
    return OperationError(
        "tls_file_unusable",
        f"The file {path or 'of the system'} of kafka.{field} cannot be used ({_reason(error)}). Provide {what} in "
        "PEM, readable by this user.",
        retryable=False,
    )


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "it is no such PEM, or another password").lower().replace("_", " ")
    return (getattr(error, "strerror", None) or str(error)).splitlines()[0]
