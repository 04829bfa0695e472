"""The settings of the environments that versions are promoted to come from a file each, and from nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamflow.errors import OperationError
from streamflow.ops.promotion import settings_of
from streamflow.settings import Approvals, Kafka, Settings


def here(file: Path) -> Settings:
    return Settings(kafka=Kafka(bootstrap_servers="here:9092"), approvals=Approvals(environments={"prod": file}))


def test_a_file_is_read_and_the_variables_of_this_process_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMFLOW_TOPICS__PREFIX", "here.")
    file = tmp_path / "prod.yaml"
    file.write_text("environment: prod\ntopics: {partitions: 3}\n")
    found = settings_of(here(file), "prod")

    assert (found.environment, found.topics.prefix, found.topics.partitions) == ("prod", "streamflow.", 3)
    assert found.kafka.bootstrap_servers == "here:9092"  # the same Kafka, since it names none

    file.write_text("environment: prod\nkafka: {bootstrap_servers: 'there:9092'}\n")
    assert settings_of(here(file), "prod").kafka.bootstrap_servers == "there:9092"


@pytest.mark.parametrize(
    "text", [None, "environment: test\n", "environment: [\n", "environment: PROD\n", "prefix: x\n", ""]
)
def test_a_file_that_cannot_be_used_is_told(text: str | None, tmp_path: Path) -> None:
    file = tmp_path / "prod.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(OperationError) as caught:
        settings_of(here(file), "prod")

    assert caught.value.code == "environment_unusable"
    assert str(file) in caught.value.message
