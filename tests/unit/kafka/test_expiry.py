"""The metric of this client's certificate follows its file."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest

from streamflow.kafka.expiry import report_expiry
from streamflow.metrics.collector import ProcessMetrics
from streamflow.metrics.metric import Process
from streamflow.settings import Kafka
from tests.servers.certificates import Authority
from tests.unit.metrics.test_collector import exposed

NAME = "streamflow_certificate_expires_timestamp_seconds"
DAY_S = 86_400


def told(metrics: ProcessMetrics) -> float | None:
    """Days until the certificate expires, as a scrape says."""
    found = exposed(metrics).get(NAME)
    return None if found is None else (found["kafka.ssl_certificate",] - time.time()) / DAY_S


def test_a_scrape_tells_when_the_certificate_in_the_file_expires(tmp_path: Path) -> None:
    authority, metrics = Authority(tmp_path), ProcessMetrics(Process.ENGINE)
    certificate = authority.issue("flow", life=timedelta(days=3))
    report_expiry(Kafka(security_protocol="SSL", ssl_certificate=certificate, ssl_key="env:KEY"), metrics)
    assert told(metrics) == pytest.approx(3, abs=0.01)

    authority.issue("flow", life=timedelta(days=90))
    assert told(metrics) == pytest.approx(90, abs=0.01)

    certificate.write_text("no certificate")
    assert told(metrics) is None
    authority.issue("flow", life=timedelta(seconds=-5))
    assert told(metrics) == pytest.approx(0, abs=0.01)
    certificate.unlink()
    assert told(metrics) is None


def test_there_is_no_metric_without_a_certificate() -> None:
    metrics = ProcessMetrics(Process.ENGINE)
    report_expiry(Kafka(), metrics)
    assert told(metrics) is None
