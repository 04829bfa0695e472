"""docs/plugins.md tells the truth: its plugins run and keep the contract, its operation passes the test that it
shows."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from streamflow.cli.main import main
from streamflow.definition.syntax import parse_as
from streamflow.operations.plugin_testing import RegistrationFile, check_plugin
from streamflow.settings import Settings

TEXT = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()


def block(language: str, name: str) -> str:
    """The example of docs/plugins.md that is marked so."""
    found = re.search(rf"^```{language} {re.escape(name)}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@contextmanager
def running(tmp_path: Path, language: str, name: str, program: str, secret: str = "a secret") -> Iterator[str]:
    """The plugin as the documentation has it, on a free port; yields its address."""
    file = tmp_path / name
    file.write_text(block(language, name))
    process = subprocess.Popen(
        [program, str(file)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PORT": "0", "SHIPPING_SECRET": secret, "PATH": "/usr/bin:/bin"},
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("listening on "), line
        yield f"http://127.0.0.1:{line.split()[-1]}"
    finally:
        process.kill()
        process.wait(60)
        process.stdout.close()


@pytest.fixture(params=["node", "python"])
def plugin(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "python":
        with running(tmp_path, "python", "plugin.py", sys.executable) as address:
            yield address
        return
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node here")
    with running(tmp_path, "js", "plugin.mjs", node) as address:
        yield address


def test_the_plugins_keep_the_contract(
    plugin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHIPPING_SECRET", "a secret")
    monkeypatch.setenv("STREAMFLOW_TASKS__PLUGIN_SECRETS__SHIPPING", "env:SHIPPING_SECRET")
    file = tmp_path / "plugin.yaml"
    file.write_text(block("yaml", "plugin").replace("http://localhost:8000", plugin))

    code = main(["operations", "test", str(file)])

    said = capsys.readouterr().out
    assert code == 0, said
    assert "FAIL" not in said
    lines = re.search(r"^```text\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert lines is not None
    without_times = re.sub(r"\(\d+ ms\)", "", said)
    for line in lines[1].splitlines():
        assert line.strip() == "..." or re.sub(r"\(\d+ ms\)", "", line) in without_times


def test_a_plugin_with_another_secret_fails_the_test(plugin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHIPPING_SECRET", "another secret")
    monkeypatch.setenv("STREAMFLOW_TASKS__PLUGIN_SECRETS__SHIPPING", "env:SHIPPING_SECRET")
    given = parse_as(RegistrationFile, block("yaml", "plugin").replace("http://localhost:8000", plugin))

    report = asyncio.run(check_plugin(given.registration(), [one.sample() for one in given.samples], Settings()))

    assert not report.ok
    assert "signature_wrong" in str(report)


def test_the_operation_in_python_passes_the_test_that_is_shown(tmp_path: Path) -> None:
    (tmp_path / "acme_shipping.py").write_text(block("python", "operation"))
    (tmp_path / "test_acme_shipping.py").write_text(block("python", "test"))
    path = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin"}

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=path,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_settings_that_are_shown_can_be_used() -> None:
    settings = Settings(**YAML(typ="safe").load(block("yaml", "settings")))

    assert settings.tasks.connections["partner"].headers == {"Authorization": "env:PARTNER_TOKEN"}
