"""A business key is erased on a real broker: every byte of every own topic is read afterwards, and what remains is what
the command says."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from streamflow.cli.main import main
from streamflow.cli.processes import Workers, environment
from streamflow.kafka import admin
from streamflow.kafka.topic_findings import Finding
from streamflow.kafka.topics import topic_name, topics
from streamflow.ops.dead_letters import Letter, read_dead_letters
from streamflow.ops.topic_reader import Reading
from streamflow.settings import Settings, Topics
from tests.conftest import eventually, make_settings

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

PROJECT = Path(__file__).parents[2]
KEY, SECRET = "anna@example.org", b"4929-SECRET"
DEFINITION = """streamflow: "1"
name: order
version: "1"
on: [{id: placed, event: placed}]
steps:
  - id: paid
    wait: {events: [{id: paid, event: paid, where: event.amount > 0}], forever: true, keep: 7d}
"""
CATALOG = """events:
  - {name: placed, topics: [PREFIXorders]}
  - {name: paid, topics: [PREFIXorders]}
"""
EAGER = {
    "segment.ms": "50",
    "min.cleanable.dirty.ratio": "0.0",
    "max.compaction.lag.ms": "100",
    "delete.retention.ms": "100",
}

Run = Callable[..., tuple[int, Any, str]]


class Site:
    """One engine and one ingress, and what is in their topics."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._workers: dict[str, Workers] = {}
        self.producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers or ""})

    def start(self, role: str) -> None:
        heard: list[str] = []
        bootstrap = self.settings.kafka.bootstrap_servers or ""
        workers = self._workers[role] = Workers(
            environment(self.settings, bootstrap) | {"PYTHONPATH": str(PROJECT)}, lambda name, line: heard.append(line)
        )
        workers.start(role, role)
        if role == "engine":
            eventually(lambda: any("partition_open " in line for line in heard), timeout=60)

    def end(self, role: str) -> None:
        self._workers.pop(role).stop()

    def end_all(self) -> None:
        for role in list(self._workers):
            self.end(role)

    def send(self, event: str, id: str, data: dict[str, Any], key: str = KEY) -> None:
        headers: Any = {"ce_specversion": "1.0", "ce_id": id, "ce_type": event, "ce_source": "/t"}
        topic = f"{self.settings.topics.prefix}orders"
        self.producer.produce(topic, json.dumps(data).encode(), key.encode(), headers=headers)
        self.producer.flush(30)

    def holding(self, text: bytes) -> dict[str, int]:
        """How many records of each own topic hold `text` in key, value or headers."""
        found: dict[str, int] = {}
        for topic in topics(self.settings):
            with Reading(self.settings, topic.name) as reading:
                for record in reading.to_end():
                    parts = [record.key, record.value, *(value for _, value in record.headers)]
                    if any(text in (part or b"") for part in parts):
                        found[topic.role] = found.get(topic.role, 0) + 1
        return found


@pytest.fixture(scope="module")
def site(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("erasure")
    unset = make_settings(bootstrap, folder)
    settings = unset.model_copy(update={"topics": Topics(prefix=unset.topics.prefix, partitions=1)})
    admin.apply(settings)
    (folder / "definition.yaml").write_text(DEFINITION)
    (folder / "catalog.yaml").write_text(CATALOG.replace("PREFIX", settings.topics.prefix))
    assert call(settings, "definitions", "publish", str(folder), "--create-topics") == 0
    found = Site(settings)
    try:
        for role in ("engine", "ingress"):
            found.start(role)
        yield found
    finally:
        found.end_all()


@pytest.fixture
def streamflow(site: Site, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str) -> tuple[int, Any, str]:
        capsys.readouterr()
        code = call(site.settings, *words, "--json")
        captured = capsys.readouterr()
        return code, json.loads(captured.out) if captured.out.strip() else None, captured.err

    return run


def call(settings: Settings, *words: str) -> int:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("STREAMFLOW_TOPICS__PARTITIONS", "1")
        return main([*words, "--bootstrap", settings.kafka.bootstrap_servers or "", "--prefix", settings.topics.prefix])


def test_a_key_is_erased_and_what_remains_is_told(site: Site, streamflow: Run) -> None:
    secret = {"amount": 1, "card": SECRET.decode()}
    site.send("placed", "o-1", secret)
    site.send("paid", "p-1", secret)
    site.send("placed", "o-2", secret)
    site.send("paid", "p-none", {"amount": 0, "card": SECRET.decode()})  # kept: its `where` does not hold
    site.send("paid", "p-bad", {"amount": "x", "card": SECRET.decode()} | {"key": 1})
    site.send("placed", "other", {"card": "x"}, key="other")

    def both() -> Any:
        found = streamflow("runs", "list", "--key", KEY)[1]["runs"]
        return found if len(found) >= 2 else None

    runs = eventually(both)
    open_run = next(run["run"] for run in runs if run["status"] == "open")
    eventually(lambda: site.holding(SECRET).get("state"))

    planned = streamflow("runs", "erase", "--key", KEY, "--plan")[1]
    assert {one["topic"] for one in planned["remains"]} >= {topic_name(site.settings, r) for r in ("commands", "state")}
    assert planned["erased"] is None
    refused = streamflow("runs", "erase", "--key", KEY, "--why", "request 17", "--yes")[2]
    assert json.loads(refused.splitlines()[-1])["error"]["code"] == "runs_open"
    assert open_run in refused

    code, answer, err = streamflow("runs", "erase", "--key", KEY, "--why", "request 17", "--yes", "--force")

    assert code == 0, err
    assert answer["erased"]["definitions"] == ["order"]
    assert answer["erased"]["events"] >= 1
    assert {run["status"] for run in streamflow("runs", "list", "--key", KEY)[1]["runs"]} <= {"completed", "cancelled"}

    # the changelog, compacted: neither the content nor the key
    state = topic_name(site.settings, "state")
    eager = [Finding(state, "advice", name, value, "", fixable=True) for name, value in EAGER.items()]
    admin.Admin(site.settings).alter(eager)
    number = iter(range(10_000))

    def compacted() -> bool:
        site.send("placed", f"filler-{next(number)}", {}, key="other")
        left = site.holding(SECRET).get("state", 0) + site.holding(KEY.encode()).get("state", 0)
        return left == 0

    eventually(compacted, timeout=120, every=0.5)

    # every topic that still holds something is named, and the account holds nothing
    told = {one["topic"] for one in streamflow("runs", "erase", "--key", KEY, "--plan")[1]["remains"]}
    for text in (SECRET, KEY.encode()):
        holding = site.holding(text)
        assert {topic_name(site.settings, role) for role in holding} <= told
        assert "audit" not in holding
    assert all(one["gone_ms"] for one in answer["remains"])

    # a restore from nothing brings nothing back, and an event that comes again is a duplicate
    site.end("engine")
    admin.apply(site.settings)
    shutil.rmtree(site.settings.state_dir, ignore_errors=True)
    site.start("engine")
    before = streamflow("runs", "list", "--key", KEY)[1]["total"]
    duplicates = counted(streamflow)
    site.send("placed", "o-1", secret)
    site.send("paid", "p-none", secret)
    eventually(lambda: counted(streamflow) >= duplicates + 2, timeout=60)
    assert streamflow("runs", "list", "--key", KEY)[1]["total"] == before
    assert "state" not in site.holding(SECRET)

    again = streamflow("runs", "erase", "--key", KEY, "--why", "request 17", "--yes")[1]
    assert again["erased"]["events"] == 0


def counted(streamflow: Run) -> int:
    found = streamflow("events", "counts")[1]["deliveries"]
    return sum(one["count"] for one in found if one["outcome"] == "duplicate")


def test_all_keys_with_a_prefix_are_erased_and_runs_of_other_definitions_stay(
    site: Site, streamflow: Run, tmp_path: Path
) -> None:
    (tmp_path / "definition.yaml").write_text(DEFINITION.replace("name: order", "name: shipment"))
    (tmp_path / "catalog.yaml").write_text(CATALOG.replace("PREFIX", site.settings.topics.prefix))
    assert call(site.settings, "definitions", "publish", str(tmp_path)) == 0
    keys = ["batch-1", "batch-2"]

    def open_runs() -> list[tuple[str, str]]:
        found = [run for key in keys for run in streamflow("runs", "list", "--key", key)[1]["runs"]]
        return sorted((run["definition"], run["key"]) for run in found if run["status"] == "open")

    def started() -> bool:  # ingress loads the new definition in its own time
        for key in keys:
            site.send("placed", f"{key}/{time.monotonic_ns()}", {}, key=key)
        return {("shipment", key) for key in keys} <= set(open_runs())

    eventually(started, timeout=60, every=1.0)
    site.producer.produce(f"{site.settings.topics.prefix}orders", b"no JSON", b"batch-1", headers={"ce_type": "placed"})
    site.producer.flush(30)
    eventually(lambda: letters_of_key(site, "batch-1"))
    kept = [one for one in open_runs() if one[0] == "shipment"]

    erase = ("runs", "erase", "--key-prefix", "batch-", "--why", "request 18", "--yes", "--force")
    code, answer, err = streamflow(*erase, "--definition", "order")

    assert code == 0, err
    assert (answer["erased"], answer["dropped"], answer["left"]) == (2, 0, {})
    assert open_runs() == kept

    code, answer, err = streamflow(*erase)

    assert code == 0, err
    assert (answer["erased"], answer["dropped"], answer["left"]) == (2, 1, {})
    assert open_runs() == []
    assert [letter.state for letter in letters_of_key(site, "batch-1")] == ["dropped"]


def letters_of_key(site: Site, key: str) -> list[Letter]:
    return [letter for letter in read_dead_letters(site.settings) if letter.key == key.encode()]
