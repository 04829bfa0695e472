"""The shipped rules, as they are or with all their windows shortened."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

FOLDER = Path(__file__).parents[2] / "deploy/alerts"
_WINDOW = re.compile(r"(?:(?<=\[)|(?<=offset ))(\d+)([smh])\b")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
METRIC = re.compile(r"\bstreamflow_\w+")


def groups(factor: float = 1.0) -> list[dict[str, Any]]:
    """The groups of all files of rules. Windows and `for` are divided by `factor`; what is compared with is not."""
    found = [dict(group) for file in sorted(FOLDER.glob("*.yaml")) for group in YAML(typ="safe").load(file)["groups"]]
    for group in found:
        group["rules"] = [_shortened(rule, factor) for rule in group["rules"]]
    return found


def metrics(rules: Sequence[dict[str, Any]]) -> dict[str, set[str]]:
    """The metrics that each alert asks for."""
    return {rule["alert"]: set(METRIC.findall(rule["expr"])) for rule in rules}


def _shortened(rule: dict[str, Any], factor: float) -> dict[str, Any]:
    expression = _WINDOW.sub(lambda found: _divided(found[1], found[2], factor), rule["expr"])
    found = re.fullmatch(r"(\d+)([smh])", rule["for"])
    assert found is not None, rule["alert"]
    return rule | {"expr": expression, "for": _divided(found[1], found[2], factor)}


def _divided(number: str, unit: str, factor: float) -> str:
    """Of a duration, in milliseconds."""
    return f"{round(int(number) * _SECONDS[unit] * 1000 / factor)}ms"
