"""The pages over real HTTP on loopback: both formats, life while samples are blocked, and an address that is taken."""

from __future__ import annotations

import socket
import threading
import urllib.request

import pytest

from streamflow.errors import OperationError
from streamflow.metrics.collector import ProcessMetrics
from streamflow.metrics.metric import Process
from streamflow.metrics.server import served


def test_the_page_has_both_formats_and_the_process_itself() -> None:
    metrics = ProcessMetrics(Process.ENGINE)
    metrics.count("rebalances")
    with served(metrics, "127.0.0.1:0") as url:
        plain = urllib.request.urlopen(url, timeout=60)
        assert plain.headers["Content-Type"].startswith("text/plain")
        text = plain.read().decode()
        wanted = urllib.request.Request(url, headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        open_metrics = urllib.request.urlopen(wanted, timeout=60)
        assert open_metrics.headers["Content-Type"].startswith("application/openmetrics-text")
        assert open_metrics.read().decode().endswith("# EOF\n")
    assert "streamflow_rebalances_total 1.0" in text
    assert "process_cpu_seconds_total" in text


def test_a_process_is_live_while_a_sample_is_blocked() -> None:
    """As while the worker that holds the lock of a store waits for its disk."""
    asked, written = threading.Event(), threading.Event()

    def blocked() -> None:
        asked.set()
        assert written.wait(60)

    metrics = ProcessMetrics(Process.ENGINE)
    metrics.sample(blocked)
    with served(metrics, "127.0.0.1:0") as url:
        scrape = threading.Thread(target=lambda: urllib.request.urlopen(url, timeout=60).read())
        scrape.start()
        assert asked.wait(60)
        try:
            with urllib.request.urlopen(url.removesuffix("/metrics") + "/live", timeout=60) as page:
                assert (page.status, page.read()) == (200, b"live\n")
            assert scrape.is_alive()
        finally:
            written.set()
            scrape.join(60)
    assert not scrape.is_alive()


def test_an_address_that_is_taken_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OperationError) as caught, served(ProcessMetrics(Process.TASKS), f"127.0.0.1:{port}"):
            pass
    assert caught.value.code == "port_taken"
    assert "STREAMFLOW_METRICS__LISTEN" in caught.value.message
