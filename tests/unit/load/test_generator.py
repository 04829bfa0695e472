"""Each action becomes one record: an event where the catalog has it, or a request for a run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamflow.engine.commands import DefinitionRef, Event, StartRun
from streamflow.errors import Rejected
from streamflow.ids import partition_of
from streamflow.load.generator import Load, Outgoing, outgoing
from streamflow.load.plan import schedule
from streamflow.settings import Settings
from streamflow.wire.codec import decode_command
from tests.builders import a_definition
from tests.unit.load.test_plan import CATALOG, PLACED, TOLD, WAITS, planned

NOW_MS = 1_790_000_000_000
START = StartRun(
    id="request/template",
    definition="order",
    key="o1",
    start=DefinitionRef("sha", 7, "2"),
    event=Event(name="", id="request/template", time_ms=0, data={}),
)


def sent(load: Load) -> list[Outgoing]:
    return [
        outgoing(load, load.plan.scripts[due.number % len(load.plan.scripts)], due, source="/load", now_ms=NOW_MS)
        for due in schedule(load.plan)
    ]


def loading(*stories: Any, **more: Any) -> Load:
    plan = planned(*stories, definition=more.pop("definition", WAITS), rate=2.0)
    return Load(settings=Settings(), definition="order", plan=plan, catalog=CATALOG, start=START, **more)


def test_events_go_to_their_topics_under_marked_keys_and_ids() -> None:
    first, second, *_ = sent(loading([PLACED, TOLD]))

    assert (first.topic, first.key, json.loads(first.value)) == ("orders", b"m0", {"id": "m0"})
    assert (second.topic, second.key, json.loads(second.value)) == ("told", b"m0", {})
    assert dict(first.headers)["ce_id"] == first.id.encode()
    assert dict(first.headers)["ce_source"] == b"/load"


def test_every_record_of_a_load_run_has_an_id_of_its_own() -> None:
    found = sent(loading([PLACED, TOLD], [TOLD, PLACED]))

    assert len({record.id for record in found}) == len(found) == 4


def test_a_request_for_a_run_is_a_command_in_the_partition_of_its_key() -> None:
    asks = a_definition({"id": "say", "print": {"text": "'x'"}}, on=[], input={"type": "object"})
    asks = asks.model_copy(update={"on": []})
    load = loading([{"start": {"key": "o1", "input": {"n": 1}}}], definition=asks)
    found = sent(load)[1]
    command = decode_command(found.value)

    assert isinstance(command, StartRun)
    assert found.topic == "streamflow.commands"
    assert found.partition == partition_of("m1", Settings().topics.partitions)
    assert (command.key, command.event.data, command.event.time_ms) == ("m1", {"n": 1}, NOW_MS)
    assert command.id == command.event.id == found.id
    assert command.start == START.start


def test_an_event_that_is_bound_to_no_topic_is_refused() -> None:
    load = loading([PLACED])
    unbound = Load(settings=load.settings, definition="order", plan=load.plan, catalog=CATALOG.bound({}), start=None)

    with pytest.raises(Rejected) as refused:
        sent(unbound)
    assert refused.value.code == "event_unbound"
