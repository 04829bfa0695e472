"""deploy/Dockerfile: one base, named from outside, and an image that is not root's."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINES = re.sub(r"\\\n", " ", (ROOT / "deploy/Dockerfile").read_text()).splitlines()
LAST_STAGE = LINES[max(at for at, line in enumerate(LINES) if line.startswith("FROM ")) :]


def test_every_stage_has_the_base_that_is_named_from_outside() -> None:
    stages = [line.split()[1] for line in LINES if line.startswith("FROM ")]
    assert stages == ["${BASE}"] * 3
    base = next(line for line in LINES if line.startswith("ARG BASE="))
    assert re.fullmatch(r"ARG BASE=python:3\.\d+-slim", base)  # a digest written by hand would grow old


def test_it_is_not_root() -> None:
    user = [line.split()[1] for line in LAST_STAGE if line.startswith("USER ")]
    assert user == ["10001:10001"]


def test_the_pages_are_built_in() -> None:
    assert "COPY --from=web /src/streamflow/web streamflow/web" in LINES


def test_it_has_every_extra_that_processes_use() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    installed = re.search(r"\.\[([a-z,]+)\]", "\n".join(LINES))
    assert installed is not None
    assert set(installed[1].split(",")) == set(extras) - {"dev", "containers", "inspect"}


def test_what_it_copies_is_there() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    for line in LINES:
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), source
                assert source not in ignored
