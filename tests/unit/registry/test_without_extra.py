"""Without a registry nothing of its libraries is imported; with one, and without the extra, the process says so."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from streamflow.errors import OperationError
from streamflow.registry.client import registry_client
from streamflow.settings import Registry

EXTRA = ("fastavro", "confluent_kafka.schema_registry", "authlib", "httpx2")
STARTED = (
    "streamflow.runtime.ingress",
    "streamflow.runtime.engine",
    "streamflow.runtime.lane",
    "streamflow.sidecar.app",
    "streamflow.sidecar.kafka_log",
    "streamflow.cli.main",
    "streamflow.cli.definitions_publish",
)


def test_what_a_worker_imports_when_it_starts_is_in_the_base_wheel() -> None:
    program = f"""
import importlib, json, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in {EXTRA!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
for name in {STARTED!r}:
    importlib.import_module(name)
from streamflow.registry.event_writers import EventWriters
from streamflow.registry.readers import schema_readers
from streamflow.settings import Settings
assert schema_readers(Settings()) is None
assert EventWriters().of("a", None) is None
print(json.dumps(sorted(set({EXTRA!r}) & sys.modules.keys())))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=100)

    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == []


def test_a_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka.schema_registry", None)
    with pytest.raises(OperationError) as caught:
        registry_client(Registry(url="http://127.0.0.1:9"))
    assert caught.value.code == "extra_missing"
    assert "the extra schemas" in caught.value.message
