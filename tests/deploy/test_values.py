"""values.schema.json: the files of values and those on docs/deploy.md fit it, and a mistake does not."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator
from ruamel.yaml import YAML

from tests.deploy import chart

PAGE = chart.ROOT / "docs/deploy.md"
DEFAULTS: dict[str, Any] = YAML(typ="safe").load(chart.CHART / "values.yaml")
VALIDATOR = Draft202012Validator(json.loads(chart.SCHEMA.read_text()))
EXAMPLES = {file.stem: YAML(typ="safe").load(file) for file in chart.VALUES} | {
    f"page-{at}": YAML(typ="safe").load(block)
    for at, block in enumerate(re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(), re.M | re.S))
}


def merged(values: Any, base: Any = DEFAULTS) -> Any:
    """As Helm merges them: maps by key, everything else as a whole."""
    if not isinstance(values, dict) or not isinstance(base, dict):
        return values
    return base | {name: merged(value, base.get(name)) for name, value in values.items()}


def fault(values: dict[str, Any]) -> str:
    """The first; empty if there is none."""
    return next((f"{list(error.instance_path)} {error.message}" for error in VALIDATOR.iter_errors(values)), "")


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_fit(name: str) -> None:
    assert fault(merged(EXAMPLES[name])) == ""


def test_a_kafka_must_be_named() -> None:
    assert "kafka" in fault(DEFAULTS)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("image.tag", "latest"),
        ("image.digest", "sha256:0123"),
        ("engin", {"replicas": 2}),
        ("engine.replica", 2),
        ("engine.replicas", 0),
        ("engine.disk.size", "20 GB"),
        ("settings.state_dir", "/elsewhere"),
        ("settings.topics.partition_count", 3),
        ("settings.topics.partitions", "twelve"),
        ("settings.sidecar.token", "a value"),
        ("settings.sidecar.token", "env:TOKEN"),
        ("settings.kafka.sasl_password", "file:/elsewhere/password"),
        ("secrets", {"token": {"value": "a value"}}),
        ("secrets", {"token": {"secretName": "s", "key": "k", "roles": ["engines"]}}),
        ("lanes", {}),
        ("lanes.Upper", DEFAULTS["lanes"]["default"]),
        ("networkPolicy.kafka.ports", [0]),
        ("networkPolicy.notifications.ports", []),
        ("networkPolicy.kafka.port", 9092),
        ("monitoring.rules.enabled", "yes"),
    ],
)
def test_a_mistake_does_not_fit(path: str, value: Any) -> None:
    values = copy.deepcopy(merged(EXAMPLES["minimal"]))
    *folders, name = path.split(".")
    part = values
    for folder in folders:
        part = part.setdefault(folder, {})
    part[name] = value
    assert fault(values)


def test_the_page_names_files_that_are_there() -> None:
    named = re.findall(r"(?:deploy|tests)/[\w./-]*\w", re.sub(r"deploy/secrets\S*", "", PAGE.read_text()))
    assert named
    assert [name for name in named if not Path(chart.ROOT / name).exists()] == []
