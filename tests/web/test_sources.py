"""The sources of the web application: style, types, units, and a lock that names no registry."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import servers
from tests.conftest import TEST_ALL
from tests.web import api_document
from tests.web.built import INDEX, SOURCES

pytestmark = [pytest.mark.ui, pytest.mark.timeout(120)]

BIN = Path(sys.executable).parent


def npm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a script of package.json with the Node of this environment."""
    if not (SOURCES / "node_modules" / ".ready").is_file():
        if os.environ.get("CI"):
            raise servers.ServerMissing("The packages of the web application are missing. Install them: make ui.")
        pytest.skip("make ui installs its packages")
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1"}
    command = ["npm", "--prefix", str(SOURCES), "--silent", "run", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize("script", ["lint", "test"] if TEST_ALL else ["test"])
def test_script(script: str) -> None:
    done = npm(script)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_types_are_those_of_the_api() -> None:
    """`make api` writes both files."""
    assert api_document.DOCUMENT.read_text(encoding="utf-8") == api_document.text()


def test_the_lock_has_a_hash_and_no_address_for_every_package() -> None:
    packages = json.loads((SOURCES / "package-lock.json").read_text())["packages"]
    assert len(packages) > 100
    for name, package in packages.items():
        assert "resolved" not in package, name
        is_own = name == "" or package.get("inBundle", False)  # a bundled package is in the hash of its owner
        assert is_own or package["integrity"].startswith("sha512-"), name


def test_what_is_built_loads_nothing_from_elsewhere() -> None:
    if not INDEX.is_file():
        pytest.skip("make ui builds it")
    text = INDEX.read_text()
    assert "http:" not in text
    assert "https:" not in text
    for tag in re.findall(r"<(?:script|style)[^>]*>", text):
        assert 'nonce="__NONCE__"' in tag
