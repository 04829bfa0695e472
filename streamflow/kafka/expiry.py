"""When this client's certificate expires, as a metric: afterwards no broker lets the process in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog

from streamflow.core.metrics import Metrics
from streamflow.errors import OperationError
from streamflow.kafka.tls import certificate_expires
from streamflow.settings import Kafka

_log = structlog.get_logger(__name__)


def report_expiry(kafka: Kafka, metrics: Metrics) -> Callable[[], None]:
    """Has each scrape report when the certificate in the settings expires, which is read again when its file has
    changed; nothing without mutual TLS. A file that cannot be read has no metric. Returns what ends that."""
    path = kafka.ssl_certificate
    if path is None:
        return lambda: None
    certificate = Certificate(path)

    def take() -> None:
        expires_s = certificate.expires_s()
        if expires_s is None:
            metrics.forget(certificate="kafka.ssl_certificate")
        else:
            metrics.gauge("certificate_expires_timestamp_seconds", expires_s, certificate="kafka.ssl_certificate")

    return metrics.sample(take)


class Certificate:
    """A file with a certificate in PEM."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: tuple[int, int] | None = None  # the change time in ns, and the size, of what was read
        self._expires_s: float | None = None

    def expires_s(self) -> float | None:
        """When it expires, in seconds since the epoch; None while it cannot be read."""
        try:
            now = self._path.stat()
        except OSError:
            self._read = self._expires_s = None
            return None
        version = now.st_mtime_ns, now.st_size
        if version != self._read:
            self._read = version
            try:
                self._expires_s = certificate_expires(self._path).timestamp()
            except OperationError as error:
                self._expires_s = None
                _log.warning("certificate_unreadable", code=error.code, error=error.message)
        return self._expires_s
