"""Data of public projects that tests read when it is there: `../shared/data` beside the repository, or what
`STREAMFLOW_TEST_DATA` names. It is no part of this repository."""

from __future__ import annotations

import json
import os
import tarfile
from functools import lru_cache
from pathlib import Path
from typing import Any

DATA = Path(os.environ.get("STREAMFLOW_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


def archive(name: str) -> Path:
    """Where the archive `name` is, if it is there."""
    return DATA / f"{name}.tar.gz"


def missing(name: str) -> str:
    """Why a test is skipped that needs the archive `name`."""
    return f"{name}.tar.gz is not there: put it into {DATA}, or name its folder in STREAMFLOW_TEST_DATA"


@lru_cache(maxsize=4)
def json_files(name: str) -> dict[str, Any]:
    """The JSON files of the archive `name`, by path, in the order of their paths."""
    found: dict[str, Any] = {}
    with tarfile.open(archive(name)) as files:
        for member in sorted(files.getmembers(), key=lambda one: one.name):
            opened = files.extractfile(member) if member.name.endswith(".json") else None
            if opened is not None:
                found[member.name.removeprefix("./")] = json.loads(opened.read())
    return found


def unpack(name: str, folder: Path) -> Path:
    """`folder`, with the files of the archive `name` in it."""
    with tarfile.open(archive(name)) as files:
        files.extractall(folder, filter="data")
    return folder
