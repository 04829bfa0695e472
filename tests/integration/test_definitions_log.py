"""The log of definitions: first writer wins, readers agree, publishing is seen at once, outages are waited out."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from streamflow.definition.catalog import ChildSpec
from streamflow.errors import OperationError, Rejected
from streamflow.kafka import admin
from streamflow.kafka.definitions import DefinitionsLog, NameRecord
from streamflow.kafka.embedded.broker import EmbeddedBroker
from streamflow.kafka.engine_records import fix_limits, skip_commands
from streamflow.kafka.publication import publish, read_log, retire
from streamflow.kafka.topic_findings import Finding
from streamflow.kafka.topics import DEFINITIONS, topic_name
from streamflow.kafka.topics import topics as wanted_topics
from streamflow.settings import Limits, Settings
from tests.conftest import eventually, make_settings, needs_broker

pytestmark = pytest.mark.broker

LOAN = b'{"name":"loan"}'
EVENTS = {"loan.requested": {"name": "loan.requested", "topics": ["loans"]}}


@asynccontextmanager
async def following(settings: Settings) -> AsyncIterator[DefinitionsLog]:
    log = DefinitionsLog(settings)
    try:
        await log.start()
        yield log
    finally:
        await log.stop()


def test_what_is_published_is_read_by_a_fresh_reader(topics: Settings) -> None:
    published = publish(topics, name="loan", version="1", content=LOAN, events=EVENTS)

    async def check() -> None:
        async with following(topics) as log:
            assert log.contents == {published.sha: (LOAN, published.offset)}
            assert log.names == {"loan": NameRecord("1", published.sha)}
            assert log.versions["loan", "1"].sha == published.sha
            assert not log.versions["loan", "1"].retired
            assert log.events == {"loan.requested": {"name": "loan.requested"}}
            assert log.bindings["loan.requested"].topics == ["loans"]
            assert log.position > published.acknowledged
            assert log.unreadable.count == 0

    asyncio.run(check())
    assert published.sha == hashlib.sha256(LOAN).hexdigest()
    assert published.acknowledged == published.offset + 3  # bindings come before the content
    assert not published.already


def test_an_empty_log_is_ready_at_once(settings: Settings) -> None:
    admin.Admin(settings).create(wanted_topics(settings))

    async def check() -> None:
        async with asyncio.timeout(10), following(settings) as log:
            assert log.position == 0
            assert log.contents == {}

    asyncio.run(check())


def test_publishing_the_same_again_is_a_success_that_writes_nothing(topics: Settings) -> None:
    first = publish(topics, name="loan", version="1", content=LOAN, events=EVENTS)
    again = publish(topics, name="loan", version="1", content=LOAN, events=EVENTS)

    assert again.already
    assert (again.sha, again.offset) == (first.sha, first.offset)
    assert again.acknowledged <= first.acknowledged
    assert read_log(topics).position == first.acknowledged + 1


def test_topics_that_do_not_exist_are_told_soon(settings: Settings) -> None:
    begun = time.monotonic()
    with pytest.raises(OperationError) as caught:
        read_log(settings)

    assert (caught.value.code, caught.value.retryable) == ("topics_missing", False)
    assert "Run `streamflow topics apply`" in caught.value.message
    assert time.monotonic() - begun < 25


def test_a_version_that_is_taken_is_refused_and_stays(topics: Settings) -> None:
    first = publish(topics, name="loan", version="1", content=LOAN, events={})
    with pytest.raises(Rejected) as caught:
        publish(topics, name="loan", version="1", content=b"{}", events={})

    assert caught.value.code == "version_taken"
    assert read_log(topics).versions["loan", "1"].sha == first.sha


def test_a_second_version_becomes_the_one_that_starts_use_and_content_is_written_once(topics: Settings) -> None:
    first = publish(topics, name="loan", version="2", content=LOAN, events=EVENTS)
    second = publish(topics, name="loan", version="1", content=LOAN, events=EVENTS)

    log = read_log(topics)
    assert second.offset == first.offset
    assert log.names["loan"] == NameRecord("1", first.sha)
    assert set(log.versions) == {("loan", "1"), ("loan", "2")}


def test_an_event_that_changed_is_written_again(topics: Settings) -> None:
    publish(topics, name="loan", version="1", content=LOAN, events=EVENTS)
    changed = {"loan.requested": {"name": "loan.requested", "title": "A loan is asked for"}}
    moved = {"loan.requested": changed["loan.requested"] | {"topics": ["loans", "more-loans"]}}
    publish(topics, name="loan", version="2", content=b"{}", events=moved)

    assert read_log(topics).events == changed
    assert read_log(topics).bindings["loan.requested"].topics == ["loans", "more-loans"]


def test_publishing_the_same_version_with_other_topics_moves_its_events(topics: Settings) -> None:
    first = publish(topics, name="loan", version="1", content=LOAN, events=EVENTS)
    moved = publish(
        topics,
        name="loan",
        version="1",
        content=LOAN,
        events={"loan.requested": {"name": "loan.requested", "topics": ["prod.loans"]}},
    )

    assert (moved.already, moved.rebound, moved.sha) == (True, ("loan.requested",), first.sha)
    log = read_log(topics)
    assert log.bindings["loan.requested"].topics == ["prod.loans"]
    assert log.position > moved.acknowledged > first.acknowledged


def test_no_event_is_bound_to_a_topic_of_another_installation(topics: Settings) -> None:
    own = topics.topics
    other = topics.model_copy(update={"topics": own.model_copy(update={"prefix": f"other-{own.prefix}"})})
    admin.apply(other)
    forging = {"loan.requested": {"name": "loan.requested", "topics": [topic_name(other, "commands")]}}

    with pytest.raises(Rejected) as caught:
        publish(topics, name="loan", version="1", content=LOAN, events=forging)

    assert caught.value.code == "topic_reserved"
    assert read_log(topics).bindings == {}


def test_a_worker_of_another_environment_does_not_start(topics: Settings) -> None:
    other = topics.model_copy(update={"environment": "prod"})

    async def check() -> None:
        async with following(other) as log:
            assert log.environment == "main"
            with pytest.raises(OperationError) as caught:
                log.require_environment()
            assert caught.value.code == "environment_differs"

    asyncio.run(check())
    with pytest.raises(OperationError) as caught:
        admin.apply(other)
    assert caught.value.code == "environment_differs"
    assert read_log(topics).environment == "main"


def test_retiring_moves_the_name_to_the_newest_version_left_and_then_takes_it_away(topics: Settings) -> None:
    for version in ("1", "2", "3"):
        publish(topics, name="loan", version=version, content=version.encode(), events={})

    assert retire(topics, name="loan", version="2").current == "3"
    assert read_log(topics).names["loan"].version == "3"
    assert retire(topics, name="loan", version="3").current == "1"
    assert read_log(topics).names["loan"].version == "1"
    assert retire(topics, name="loan", version="1").current is None

    log = read_log(topics)
    assert log.names == {}
    assert all(record.retired for record in log.versions.values())
    assert len(log.contents) == 3
    assert retire(topics, name="loan", version="1").already


def test_a_definition_is_only_published_after_those_that_it_starts(topics: Settings) -> None:
    first = publish(topics, name="loan", version="1", content=LOAN, events={})
    child = ChildSpec(name="loan", version="1", sha=first.sha)
    wrong = {
        "it is not published": child.model_copy(update={"version": "2"}),
        "it is other content": child.model_copy(update={"sha": "0" * 64}),
    }
    for why, spec in wrong.items():
        with pytest.raises(Rejected) as caught:
            publish(topics, name="parent", version="1", content=b"{}", events={}, children=[spec])
        assert caught.value.code == "child_unknown", why

    assert publish(topics, name="parent", version="1", content=b"{}", events={}, children=[child]).offset > first.offset
    retire(topics, name="loan", version="1")
    assert publish(topics, name="parent", version="1", content=b"{}", events={}, children=[child]).already
    with pytest.raises(Rejected):
        publish(topics, name="parent", version="2", content=b"{}", events={}, children=[child])


def test_a_retired_version_cannot_be_published_again(topics: Settings) -> None:
    publish(topics, name="loan", version="1", content=LOAN, events={})
    retire(topics, name="loan", version="1")
    with pytest.raises(Rejected) as caught:
        publish(topics, name="loan", version="1", content=LOAN, events={})

    assert caught.value.code == "version_retired"


def test_retiring_what_was_never_published_is_refused(topics: Settings) -> None:
    with pytest.raises(Rejected) as caught:
        retire(topics, name="loan", version="1")

    assert caught.value.code == "version_unknown"


def test_a_definition_that_is_too_large_is_refused_before_anything_is_written(topics: Settings) -> None:
    before = read_log(topics).position
    small = topics.model_copy(update={"limits": Limits(definition_bytes=1000)})
    with pytest.raises(Rejected) as caught:
        publish(small, name="loan", version="1", content=b"x" * 1001, events={})

    assert caught.value.code == "definition_too_large"
    assert read_log(topics).position == before


def test_the_limits_of_decisions_are_those_of_the_first_apply_for_ever(topics: Settings) -> None:
    later = topics.model_copy(update={"limits": Limits(transitions_per_command=7)})
    admin.apply(later)

    assert fix_limits(later) == topics.limits.model_dump()
    assert read_log(topics).engine["limits"] == topics.limits.model_dump()


def test_a_persons_leave_to_skip_commands_reaches_the_workers(topics: Settings) -> None:
    async def check() -> None:
        async with following(topics) as log:
            written = await asyncio.to_thread(
                skip_commands, topics, partition=1, offset=42, reason="retention was too short"
            )
            await log.wait_position(written + 1, 10)
            assert {at: skip.reason for at, skip in log.skips(1).items()} == {42: "retention was too short"}

    asyncio.run(check())


def test_of_two_publishers_of_one_version_exactly_one_wins_also_after_compaction(topics: Settings) -> None:
    together = threading.Barrier(4)

    def attempt(author: int) -> str:
        together.wait()
        try:
            return publish(topics, name="loan", version="1", content=f"author {author}".encode(), events={}).sha
        except Rejected as refused:
            assert refused.code == "version_taken"
            return ""

    with ThreadPoolExecutor(4) as pool:
        won = [sha for sha in pool.map(attempt, range(4)) if sha]

    assert len(won) == 1
    committed = [key for key, _ in raw_records(topics)]
    assert committed.count(b"version/loan@1") == 1
    compact(topics)

    async def check() -> None:
        async with following(topics) as log:
            assert log.versions["loan", "1"].sha == won[0]
            assert log.names["loan"].sha == won[0]
            assert won[0] in log.contents

    asyncio.run(check())


def test_a_publisher_killed_in_the_middle_is_fenced_and_leaves_nothing(topics: Settings) -> None:
    dying = Producer(
        {
            "bootstrap.servers": topics.kafka.bootstrap_servers or "",
            "transactional.id": f"{topics.topics.prefix}publisher",
            "transaction.timeout.ms": 60_000,
        }
    )
    dying.init_transactions(30)
    dying.begin_transaction()
    dying.produce(
        topic_name(topics, DEFINITIONS), key=b"version/loan@1", value=b'{"sha":"other","published_ms":1}', partition=0
    )
    dying.flush(30)

    published = publish(topics, name="loan", version="1", content=LOAN, events={})

    assert read_log(topics).versions["loan", "1"].sha == published.sha
    with pytest.raises(Exception, match="fenced"):
        dying.commit_transaction(30)


def test_a_worker_sees_a_publication_within_a_tenth_of_a_second(topics: Settings) -> None:
    async def check() -> list[float]:
        took = []
        async with following(topics) as log:
            for version in range(5):
                published = await asyncio.to_thread(
                    publish, topics, name="loan", version=str(version), content=LOAN, events={}
                )
                committed = time.monotonic()
                await log.wait_position(published.acknowledged + 1, 10)
                took.append(time.monotonic() - committed)
                assert log.names["loan"].version == str(version)
        return took

    assert sorted(asyncio.run(check()))[2] < 0.1


def test_subscribers_are_told_of_changes_and_a_failing_one_harms_nobody(topics: Settings) -> None:
    async def check() -> None:
        seen: list[set[str]] = []
        async with following(topics) as log:
            log.subscribe(lambda: 1 // 0)  # type: ignore[arg-type]
            log.subscribe(lambda: seen.append(set(log.names)))
            published = await asyncio.to_thread(publish, topics, name="loan", version="1", content=LOAN, events={})
            await log.wait_position(published.acknowledged + 1, 10)
            assert seen[-1] == {"loan"}

    asyncio.run(check())


def test_waiting_for_what_does_not_come_ends_with_an_error(topics: Settings) -> None:
    async def check() -> None:
        async with following(topics) as log:
            with pytest.raises(OperationError) as caught:
                await log.wait_position(log.position + 1, 0.05)
            assert caught.value.code == "definitions_behind"

    asyncio.run(check())


def test_records_that_cannot_be_understood_are_counted_and_passed_over(topics: Settings) -> None:
    producer = Producer({"bootstrap.servers": topics.kafka.bootstrap_servers or ""})
    strange: list[tuple[bytes | None, bytes | None]] = [
        (None, b"x"),
        (b"\xff\xfe", b"{}"),
        (b"no-kind", b"{}"),
        (b"version/loan", b'{"sha":"a","published_ms":1}'),
        (b"version/loan@1", b"not json"),
        (b"version/loan@1", b'{"sha":7}'),
        (b"name/loan", b"[]"),
        (b"event/loan", b"7"),
        (b"definition/abc", b"content under a false name"),
    ]
    for key, value in strange:
        # Without a key a compacted topic refuses the record: then there is one less.
        if key is not None:
            producer.produce(topic_name(topics, DEFINITIONS), key=key, value=value, partition=0)
    producer.produce(
        topic_name(topics, DEFINITIONS), key=b"revision/7", value=b"of a later version of this program", partition=0
    )
    assert producer.flush(30) == 0
    published = publish(topics, name="loan", version="1", content=LOAN, events=EVENTS)

    async def check() -> None:
        async with following(topics) as log:
            assert log.unreadable.count == len(strange) - 1
            assert log.names == {"loan": NameRecord("1", published.sha)}

    asyncio.run(check())


def test_a_reader_and_a_publisher_live_through_an_outage(tmp_path: Path) -> None:
    needs_broker()
    with EmbeddedBroker(tmp_path / "own") as broker:
        settings = make_settings(broker.bootstrap_servers, tmp_path)
        admin.apply(settings)
        publish(settings, name="loan", version="1", content=LOAN, events={})

        async def check() -> None:
            async with following(settings) as log:
                await asyncio.to_thread(broker.kill)
                before = log.names
                assert before["loan"].version == "1"
                await asyncio.to_thread(broker.start)
                published = await asyncio.to_thread(
                    publish, settings, name="loan", version="2", content=b"{}", events={}
                )
                await log.wait_position(published.acknowledged + 1, 30)
                assert log.names["loan"].version == "2"

        asyncio.run(check())


def raw_records(settings: Settings) -> list[tuple[Any, Any]]:
    """Keys and values as a stranger reads them, in order of their offsets."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers or "",
            "group.id": "stranger",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic_name(settings, DEFINITIONS), 0, 0)])
    found: list[tuple[Any, Any]] = []
    try:
        while True:
            message = consumer.poll(10)
            assert message is not None
            error = message.error()
            if error is not None:
                assert error.code() == KafkaError._PARTITION_EOF
                return found
            found.append((message.key(), message.value()))
    finally:
        consumer.close()


def compact(settings: Settings) -> None:
    """Has the broker compact what is there now, and returns when it has: a key that was written twice then has one
    record left."""
    topic = topic_name(settings, DEFINITIONS)
    eager = {"segment.ms": "50", "min.cleanable.dirty.ratio": "0.0", "min.compaction.lag.ms": "0"}
    admin.Admin(settings).alter(
        [Finding(topic, "breaks", name, value, "", fixable=True) for name, value in eager.items()]
    )
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers or "", "linger.ms": 0})

    written = itertools.count(1)

    def compacted() -> bool:
        # Every record may close a segment, and only closed segments are compacted.
        producer.produce(topic, key=b"filler/x", value=b"{}", partition=0)
        producer.flush(10)
        return [key for key, _ in raw_records(settings)].count(b"filler/x") < next(written)

    eventually(compacted, timeout=60, every=0.2)
