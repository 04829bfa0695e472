"""Streamflow's own topics: no definition reads them or emits to them, at every door where a topic enters."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from streamflow.cli import places
from streamflow.cli.main import main
from streamflow.definition.catalog import Catalog, EventSpec
from streamflow.definition.check import check
from streamflow.definition.content import canonical, sha256_of
from streamflow.definition.syntax import parse_definition
from streamflow.engine.match import Matcher
from streamflow.errors import OperationError, Rejected
from streamflow.kafka.definitions import DefinitionsLog
from streamflow.kafka.publication import publish
from streamflow.kafka.reserved_topics import require_users_topic
from streamflow.kafka.topics import COMMANDS, is_own, lane_topic_name, topic_name, topics
from streamflow.operations.kafka_sender import Sender
from streamflow.runtime.engine import EngineHost
from streamflow.runtime.plans import Plans
from streamflow.runtime.versions import PublishedVersions
from streamflow.settings import Settings, Topics
from tests.unit.kafka.logs import MemoryLog, memory_log  # noqa: F401 - a fixture

ROOT = Path(__file__).parents[2]
PREFIXES = ("streamflow.", "acme.flow-", "")
TEXT = """
name: forge
version: "1"
on: [{id: placed, event: placed}]
steps:
  - {id: tell, emit: {event: placed}}
"""


def settings_of(prefix: str) -> Settings:
    return Settings(topics=Topics(prefix=prefix))


def entry(topic: str) -> dict[str, Any]:
    return {"name": "placed", "topics": ["shop.orders", topic]}


def read(settings: Settings, topic: str) -> DefinitionsLog:
    """A log in which the event is bound to `topic`, whatever the publisher was told to refuse."""
    log = DefinitionsLog(settings)
    definition = parse_definition(TEXT)
    content = canonical(definition, Catalog(events=[EventSpec.model_validate(entry(topic))]))
    sha = sha256_of(content)
    records: list[tuple[str, bytes]] = [
        (f"definition/{sha}", content),
        ("version/forge@1", msgspec.json.encode({"sha": sha, "published_ms": 1})),
        ("name/forge", msgspec.json.encode({"version": "1", "sha": sha})),
        ("binding/placed", msgspec.json.encode({"topics": [topic]})),
    ]
    for offset, (key, value) in enumerate(records):
        log._snapshot.read(key.encode(), value, offset)
    return log


# Each door lets `topic` through, or not.


def _check(settings: Settings, topic: str, _folder: Path) -> bool:
    catalog = Catalog(events=[EventSpec.model_validate(entry(topic))])
    found = check(parse_definition(TEXT), catalog, lambda name: is_own(settings, name))
    return "SF209" not in {problem.code for problem in found}


def _files(folder: Path, topic: str) -> Path:
    (folder / places.DEFINITION).write_text(TEXT)
    (folder / places.CATALOG).write_text(json.dumps({"events": [entry(topic)]}))
    return folder


def _check_command(settings: Settings, topic: str, folder: Path) -> bool:
    return main(["definitions", "check", str(_files(folder, topic)), "--prefix", settings.topics.prefix]) == 0


def _import(settings: Settings, topic: str, folder: Path) -> bool:
    schema = folder / "placed.json"
    schema.write_text(json.dumps({"type": "object", "properties": {"id": {"type": "string"}}}))
    return main(["catalog", "import", str(schema), "--topic", topic, "--prefix", settings.topics.prefix]) == 0


def _publish(settings: Settings, topic: str, _folder: Path) -> bool:
    try:
        publish(settings, name="forge", version="1", content=b"{}", events={"placed": entry(topic)})
    except Rejected as rejected:
        assert rejected.code == "topic_reserved"
        return False
    return True


def _bind_again(settings: Settings, topic: str, _folder: Path) -> bool:
    publish(settings, name="forge", version="1", content=b"{}", events={"placed": entry("shop.more")})
    return _publish(settings, topic, _folder)


def _ingress(settings: Settings, topic: str, _folder: Path) -> bool:
    versions = PublishedVersions(settings, read(settings, topic))
    return topic in Matcher(versions.published()).topics()


def _engine(settings: Settings, topic: str, _folder: Path) -> bool:
    host = EngineHost(settings)
    host.definitions = read(settings, topic)
    host._plans = Plans(host.definitions)
    try:
        return host._topic_of("placed") == topic
    except Rejected as rejected:
        assert rejected.code == "topic_reserved"
        return False


def _watermarks(settings: Settings, topic: str, _folder: Path) -> bool:
    return topic in read(settings, topic).readable_bindings()["placed"].topics


def _operation(settings: Settings, topic: str, _folder: Path) -> bool:
    sender = Sender.__new__(Sender)  # without a connection: a topic that is let through finds no producer
    sender._settings = settings
    try:
        asyncio.run(sender.send(topic, b"k", b"v", [], 1.0))
    except OperationError as error:
        assert error.code == "topic_refused"
        return False
    except AttributeError:
        return True
    return True


def _send(settings: Settings, topic: str, _folder: Path) -> bool:
    try:
        require_users_topic(settings, topic)
    except Rejected as rejected:
        assert rejected.code == "topic_reserved"
        return False
    return True


DOORS: dict[str, Callable[[Settings, str, Path], bool]] = {
    "check": _check,
    "the command that checks": _check_command,
    "the command that imports a catalog": _import,
    "publish": _publish,
    "bind again": _bind_again,
    "ingress": _ingress,
    "engine": _engine,
    "watermarks": _watermarks,
    "kafka.emit": _operation,
    "events send": _send,
}


@pytest.mark.usefixtures("memory_log")
@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("door", DOORS)
def test_no_door_lets_a_topic_of_streamflows_own_through(door: str, prefix: str, tmp_path: Path) -> None:
    settings = settings_of(prefix)
    own = (topic_name(settings, COMMANDS), lane_topic_name(settings, "a-lane-of-others"))
    for topic in (*own, "streamflow.commands", "streamflow.tasks.default"):
        assert not DOORS[door](settings, topic, tmp_path), topic


@pytest.mark.usefixtures("memory_log")
@pytest.mark.parametrize("door", DOORS)
def test_every_door_lets_a_topic_of_the_users_through(door: str, tmp_path: Path) -> None:
    assert DOORS[door](settings_of("acme.flow-"), "shop.commands", tmp_path)


def test_every_topic_that_streamflow_makes_is_its_own() -> None:
    for prefix in PREFIXES:
        settings = settings_of(prefix)
        assert all(is_own(settings, topic.name) for topic in topics(settings))
        near = ("commands2", "a.commands", "Commands", "tasks", "shop.orders", "run", "command")
        assert not any(is_own(settings, prefix + name) for name in near), prefix


INSTALLATION = {f"prod.{role}" for role in ("definitions", "commands", "runs", "state", "dead-letters")}


@pytest.mark.parametrize("topic", ["prod.commands", "prod.runs", "prod.dead-letters", "prod.tasks.default"])
def test_the_topics_of_another_installation_are_known_by_what_stands_beside_them(
    topic: str,
    memory_log: MemoryLog,  # noqa: F811 - the fixture
) -> None:
    settings = settings_of("test.")
    memory_log.cluster = frozenset(INSTALLATION)
    assert is_own(settings, topic, INSTALLATION)
    assert not is_own(settings, topic, INSTALLATION - {"prod.state"})
    with pytest.raises(Rejected, match="Streamflow's own"):
        publish(settings, name="forge", version="1", content=b"{}", events={"placed": entry(topic)})
    assert memory_log.snapshot.bindings == {}
    assert not is_own(settings, "shop.commands", INSTALLATION)
    with pytest.raises(Rejected, match="Streamflow's own"):
        require_users_topic(settings, topic)
    require_users_topic(settings, "shop.commands")


@pytest.mark.parametrize("topic", ["prod.commands", "prod.runs", "prod.dead-letters", "prod.tasks.default"])
def test_kafka_emit_asks_the_cluster_for_other_installations_once_in_a_while(topic: str) -> None:
    asked: list[float] = []

    class Cluster:
        def list_topics(self, timeout: float) -> Any:
            asked.append(timeout)
            return SimpleNamespace(topics=dict.fromkeys(INSTALLATION))

    sender = Sender.__new__(Sender)
    sender._settings, sender._producer, sender._listed_s = settings_of("test."), Cluster(), None  # type: ignore[assignment]

    async def check() -> None:
        for _ in range(3):
            with pytest.raises(OperationError) as raised:
                await sender.send(topic, b"k", b"v", [], 1.0)
            assert (raised.value.code, raised.value.retryable) == ("topic_refused", False)
        assert not await sender._is_own("shop.orders", 1.0)
        assert not await sender._is_own("shop.commands", 1.0)

    asyncio.run(check())
    assert asked == [1.0]


@pytest.mark.parametrize("topic", ["streamflow.commands", "streamflow.tasks.default", "streamflow.definitions"])
def test_the_command_that_sends_refuses_without_asking_a_broker(topic: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--bootstrap", "127.0.0.1:1", "events", "send", "--topic", topic, "--data", "{}"]) != 0
    assert "Streamflow's own" in capsys.readouterr().err


def test_every_module_that_takes_the_name_of_a_topic_asks_the_same_function() -> None:
    asking = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "streamflow").rglob("*.py")
        if re.search(r"\bis_own\b", file.read_text(encoding="utf-8"))
    }
    assert asking == {
        "streamflow/cli/catalog.py",
        "streamflow/cli/checking.py",
        "streamflow/cli/definition_files.py",
        "streamflow/definition/check.py",
        "streamflow/definition/reference_check.py",
        "streamflow/kafka/definitions.py",
        "streamflow/kafka/publication.py",
        "streamflow/kafka/reserved_topics.py",
        "streamflow/kafka/topics.py",
        "streamflow/operations/kafka_sender.py",
        "streamflow/ops/replay.py",
        "streamflow/ops/submissions.py",
        "streamflow/runtime/engine.py",
    }


def test_an_event_that_is_bound_to_no_topic_is_emitted_nowhere() -> None:
    host = EngineHost(settings_of("streamflow."))
    host._plans = Plans(host.definitions)
    with pytest.raises(Rejected, match="bound to no topic") as caught:
        host._topic_of("placed")
    assert caught.value.code == "event_unbound"
