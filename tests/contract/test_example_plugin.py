"""The plugin of `definitions/fraud-detection`, as it is started there, passes the contract test that ships with the
package."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamflow.definition.syntax import parse_as
from streamflow.operations.plugin_testing import RegistrationFile, check_plugin
from streamflow.settings import Settings
from tests.servers.process import Process, accepts, free_port

FOLDER = Path(__file__).parents[2] / "definitions" / "fraud-detection"
SECRET = "known to both sides"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    log = tmp_path_factory.mktemp("plugin") / "log"
    process = Process([sys.executable, str(FOLDER / "plugin.py"), "--port", str(port)], log, lambda: accepts(port))
    process.start({"FRAUD_PLUGIN_SECRET": SECRET})
    yield f"http://127.0.0.1:{port}"
    process.stop()


@pytest.mark.parametrize("name", ["enrich", "score"])
def test_it_keeps_what_task_workers_rely_on(name: str, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_PLUGIN_SECRET", SECRET)
    monkeypatch.setenv("STREAMFLOW_TASKS__PLUGIN_SECRETS__FRAUD", "env:FRAUD_PLUGIN_SECRET")
    given = parse_as(
        RegistrationFile, (FOLDER / f"{name}.plugin.yaml").read_text().replace("http://127.0.0.1:8500", endpoint)
    )

    report = asyncio.run(check_plugin(given.registration(), [one.sample() for one in given.samples], Settings()))

    assert report.ok, str(report)
    assert len(given.samples) == 2


def test_its_health_and_what_is_not_there(endpoint: str) -> None:
    with urllib.request.urlopen(f"{endpoint}/health", timeout=60) as answer:
        assert json.loads(answer.read()) == {"ok": True}
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{endpoint}/other", timeout=60)
    refused.value.close()
    assert refused.value.code == 404


def test_it_does_not_start_without_a_secret() -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / "plugin.py"), "--port", "0"],
        env={},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.returncode == 1
    assert "FRAUD_PLUGIN_SECRET" in done.stderr
