"""The health checks of deploy/docker-compose.yml, run against real servers: each holds while its server answers, and
only then."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from streamflow.metrics.collector import ProcessMetrics
from streamflow.metrics.metric import Process
from streamflow.metrics.server import served
from tests.conftest import start_server
from tests.deploy.test_compose import ROLES, SERVICES
from tests.servers.apicurio import SchemaRegistry
from tests.servers.process import free_port
from tests.servers.prometheus import Prometheus, promtool


def healthy(name: str, port: int) -> bool:
    """What the check of a container says of a server at another port of this machine."""
    command = [one.replace("$$", "$") for one in SERVICES[name]["healthcheck"]["test"][1:]]
    asked = [re.sub(r"(127\.0\.0\.1[:/])\d+", rf"\g<1>{port}", one) for one in command]
    assert asked != command
    if shutil.which(asked[0]) is None:
        pytest.skip(f"{asked[0]} is not installed")
    return subprocess.run(asked, capture_output=True, timeout=60, check=False).returncode == 0


@pytest.mark.parametrize("name", sorted(ROLES - {"topics", "sidecar"}))
def test_a_process_is_healthy_while_it_answers(name: str) -> None:
    with served(ProcessMetrics(Process.ENGINE), "127.0.0.1:0") as url:
        port = int(url.rpartition(":")[2].partition("/")[0])
        assert healthy(name, port)
    assert not healthy(name, port)


def test_the_registry_is_healthy_when_it_gives_subjects(apicurio: SchemaRegistry) -> None:
    assert healthy("registry", apicurio.port)
    assert not healthy("registry", free_port())


@pytest.mark.parametrize("name", ["registry", "prometheus", "alertmanager", "grafana", "engine"])
def test_a_server_that_answers_with_an_error_is_not_healthy(name: str) -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:  # it knows no method: 501
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            assert not healthy(name, server.server_port)
        finally:
            server.shutdown()
            thread.join()


def test_prometheus_is_healthy_when_it_is_ready(tmp_path: Path) -> None:
    for _ in start_server(promtool()):  # the test is skipped where there is none
        with Prometheus(tmp_path, [], {}, 10.0) as server:
            assert healthy("prometheus", int(server.url.rpartition(":")[2]))
        assert not healthy("prometheus", free_port())
