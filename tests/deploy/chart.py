"""The chart, its files of values and what it renders: `python -m tests.deploy.chart` writes `rendered`, which is
committed so that tests without helm, and people, can read what the chart makes."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.deploy import tools

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/streamflow"
SCHEMA = CHART / "values.schema.json"
VALUES = sorted((Path(__file__).parent / "values").glob("*.yaml"))
RENDERED = Path(__file__).parent / "rendered"
SUM = RENDERED / "chart.sha256"


def rendered_file(values: Path) -> Path:
    """Where what the chart makes of these values is kept."""
    return RENDERED / values.name


def objects(file: Path) -> list[dict[str, Any]]:
    """The Kubernetes objects of a file."""
    return [one for one in YAML(typ="safe").load_all(file) if one]


def digest() -> str:
    """Of all that rendering depends on: the chart with its alerts and dashboards, and the files of values."""
    found = hashlib.sha256()
    files = [file for folder in (CHART, ROOT / "deploy/alerts", ROOT / "deploy/dashboards") for file in _files(folder)]
    for file in (*files, *VALUES):
        found.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes() + b"\0")
    return found.hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and not file.is_symlink() and file != SCHEMA)


def helm(*arguments: str, build: bool = False) -> subprocess.CompletedProcess[str]:
    """What helm says. Raises ServerMissing."""
    command = [str(tools.helm(build=build)), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def template(*arguments: str, build: bool = False) -> subprocess.CompletedProcess[str]:
    """`helm template` of the chart, as release `flow` in namespace `workflows`. Raises ServerMissing."""
    place = ("--namespace", "workflows", "--kube-version", tools.KUBERNETES)
    return helm("template", "flow", str(CHART), *place, *arguments, build=build)


def main() -> int:
    """The exit code."""
    for values in VALUES:
        done = template("--values", str(values), build=True)
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return 1
        rendered_file(values).write_text(done.stdout)
    SUM.write_text(digest() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
