"""Ingress as a process of its own, on a real broker: what comes in comes out, once and counted, whatever happens in
between."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition

from streamflow.engine.commands import AdvanceWatermark
from streamflow.ids import partition_of
from streamflow.kafka import admin, publication
from streamflow.kafka.embedded.broker import EmbeddedBroker
from streamflow.settings import Ingress, Settings
from streamflow.wire.codec import decode_command
from tests.conftest import eventually, make_settings, needs_broker, only_full
from tests.integration.ingress_bench import Bench, applied, by_path, deliveries, kind_of, starts

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]


@pytest.fixture
def bench(topics: Settings, tmp_path: Path) -> Iterator[Bench]:
    found = Bench(topics, tmp_path)
    yield found
    for worker in found.workers:
        if worker.process.poll() is None:
            worker.kill()


def test_plain_json_and_cloudevents_come_in_and_commands_and_dead_letters_go_out(bench: Bench) -> None:
    plain, cloud = bench.topic(), bench.topic()
    schema = {"type": "object", "properties": {"amount": {"type": "number"}}}
    bench.publish(
        "plain",
        "1",
        on="created",
        waits=("paid",),
        created=by_path(plain, "created", id={"path": "id"}, schema=schema),
        paid=by_path(plain, "paid"),
    )
    bench.publish(
        "cloud", "1", on="ordered", ordered={"topics": [cloud], "start": "earliest", "match": {"type": "order.created"}}
    )
    bench.send(plain, {"kind": "created", "order": "a", "id": "e-1", "amount": 3})
    bench.send(plain, {"kind": "paid", "order": "a"}, {"kind": "else"}, {"kind": "else", "order": 1})
    bench.send(
        plain,
        b"{",
        {"kind": "created", "order": "a", "id": "e-2", "amount": "x"},
        {"kind": "created", "id": "e-3"},
        {"kind": "created", "order": "x" * 600_000},
    )
    headers = {
        "ce_specversion": "1.0",
        "ce_id": "c-1",
        "ce_source": "/s",
        "ce_type": "order.created",
        "ce_time": "2026-01-01T00:00:00Z",
    }
    bench.send(cloud, {"n": 1}, key="b", headers=headers)
    envelope = {"specversion": "1.0", "id": "c-2", "source": "/s", "type": "order.created", "data": {"n": 2}}
    bench.send(cloud, envelope, key="b", headers={"content-type": "application/cloudevents+json"})
    bench.send(cloud, {"n": 3}, key="b", headers=headers | {"ce_type": "order.changed"})
    worker = bench.worker()
    assert bench.read(plain, 8) == {"offset": 8, "read": 8, "matched": 2, "ignored": 2, "dead": 4}
    assert bench.read(cloud, 3) == {"offset": 3, "read": 3, "matched": 2, "ignored": 1, "dead": 0}
    commands = bench.commands()
    found = sorted(
        (command.key, command.event.id, command.event.data["n"])
        for command in starts(commands)
        if command.definition == "cloud"
    )
    assert found == [("b", "c-1", 1), ("b", "c-2", 2)]
    assert [(command.key, command.event.id) for command in starts(commands) if command.definition == "plain"] == [
        ("a", "e-1")
    ]
    assert [command.key for command in deliveries(commands) if command.start is None] == ["a"]
    letters = {
        dict(letter.headers() or [])["streamflow.dlq.reason"]: letter for letter in bench.records("dead-letters")
    }
    assert letters.keys() == {b"not_json", b"schema_mismatch", b"missing_key", b"event_too_large"}
    assert letters[b"not_json"].value() == b"{"
    assert len(letters[b"event_too_large"].value() or b"") == 65_536
    assert worker.stop() == 0


def test_nothing_is_lost_doubled_or_miscounted_when_ingress_is_killed_again_and_again(bench: Bench) -> None:
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    source = bench.topic(3)
    created, paid = (by_path(source, kind, id={"path": "id"}) for kind in ("created", "paid"))
    bench.publish("loan", "1", on="created", waits=("paid",), created=created, paid=paid)
    kinds = ["created", "paid", "else", "broken"]
    events = [(chance.choice(kinds), chance.randrange(200), f"e-{n}") for n in range(30_000)]
    for kind, order, id_ in events:
        value = b"{" if kind == "broken" else json.dumps({"kind": kind, "order": f"o-{order}", "id": id_}).encode()
        bench.producer.produce(source, value, f"o-{order}")
        bench.producer.poll(0)
    bench.producer.flush()
    settings = bench.settings.model_copy(update={"ingress": Ingress(instance_id="one", commit_s=0.05)})
    for _ in range(4):
        worker = bench.worker(settings)
        eventually(partial(worker.says, "sources_assigned"))
        threading.Event().wait(chance.random() * 0.4)  # the point of the kill is the test's own chance
        worker.kill()
    bench.worker(settings)
    expected = Counter(kind for kind, _, _ in events)
    wanted = {
        "matched": expected["created"] + expected["paid"],
        "ignored": expected["else"],
        "dead": expected["broken"],
    }
    assert bench.read(source, len(events)) == {"offset": len(events), "read": len(events), **wanted}, f"seed {seed}"
    done = applied(bench.records("commands"))
    names = {"created": "start", "paid": "deliver"}
    assert Counter(done) == Counter((names[kind], "loan", id_) for kind, _, id_ in events if kind in names), (
        f"seed {seed}"
    )
    letters = {dict(letter.headers() or [])["streamflow.dlq.id"] for letter in bench.records("dead-letters")}
    assert len(letters) == expected["broken"], f"seed {seed}"


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_sources_may_be_compressed(bench: Bench, codec: str) -> None:
    source = bench.topic(1)
    bench.publish("loan", "1", on="created", created=by_path(source, "created"))
    bench.producer = Producer(bench.servers | {"compression.type": codec, "linger.ms": 50})
    bench.send(source, *({"kind": "created", "order": f"o-{n}"} for n in range(100)))
    bench.worker()
    assert bench.read(source, 100)["matched"] == 100


def test_what_a_transaction_took_back_is_no_event_and_its_marks_hold_nothing_up(bench: Bench) -> None:
    source = bench.topic(1)
    bench.publish(
        "loan",
        "1",
        on="created",
        waits=("paid",),
        within="1d",
        created=by_path(source, "created"),
        paid=by_path(source, "paid"),
    )
    worker = bench.worker(bench.settings.model_copy(update={"ingress": Ingress(watermark_s=0.2)}))
    producer = Producer(bench.servers | {"transactional.id": f"tx-{uuid.uuid4().hex}"})
    producer.init_transactions(30)
    for order, end in (
        ("kept", producer.commit_transaction),
        ("taken-back", producer.abort_transaction),
        ("kept-too", producer.commit_transaction),
    ):
        producer.begin_transaction()
        producer.produce(source, json.dumps({"kind": "created", "order": order}), "k")
        producer.flush(30)
        end(30)
    assert bench.read(source, 2)["read"] == 2
    last = int(time.time() * 1000)
    eventually(
        lambda: any(
            isinstance(command, AdvanceWatermark) and command.at_ms.get("0", 0) > last for command in bench.commands()
        ),
        every=0.2,
    )
    assert sorted(command.key for command in starts(bench.commands())) == ["kept", "kept-too"]
    assert worker.stop() == 0
    assert bench.counts(source) == {"offset": 6, "read": 2, "matched": 2, "ignored": 0, "dead": 0}


def test_two_workers_share_the_sources_and_one_that_leaves_loses_nothing(bench: Bench) -> None:
    source = bench.topic(4)
    bench.publish("loan", "1", on="created", created=by_path(source, "created", id={"path": "id"}))
    sent = 0

    def send(count: int) -> None:
        nonlocal sent
        for n in range(sent, sent + count):
            bench.producer.produce(
                source, json.dumps({"kind": "created", "order": f"o-{n % 97}", "id": f"e-{n}"}), f"o-{n % 97}"
            )
        assert bench.producer.flush(30) == 0
        sent += count

    first = bench.worker()
    send(3000)
    eventually(lambda: first.says("sources_assigned"))
    second = bench.worker()
    send(3000)
    eventually(lambda: second.says("sources_assigned"))
    send(3000)
    assert first.stop() == 0
    send(3000)
    assert bench.read(source, sent) == {"offset": sent, "read": sent, "matched": sent, "ignored": 0, "dead": 0}
    assert Counter(applied(bench.records("commands"))) == Counter(("start", "loan", f"e-{n}") for n in range(sent))
    assert second.stop() == 0


def test_a_missing_topic_is_waited_for_while_others_go_on(bench: Bench) -> None:
    there, missing = bench.topic(), f"missing-{uuid.uuid4().hex[:8]}"
    bench.publish("there", "1", on="created", created=by_path(there, "created"))
    bench.publish("later", "1", on="arrived", arrived=by_path(missing, "created", start="now"))
    worker = bench.worker()
    bench.send(there, {"kind": "created", "order": "a"})
    bench.read(there, 1)
    assert worker.says("source_topic_missing")
    bench.create(missing)
    bench.send(missing, {"kind": "created", "order": "b"})
    assert bench.read(missing, 1)["matched"] == 1
    assert [command.key for command in starts(bench.commands()) if command.definition == "later"] == ["b"]


def test_a_topic_that_is_made_again_is_read_from_its_beginning_with_fresh_counts(bench: Bench) -> None:
    source, other = bench.topic(1), bench.topic(1)
    bench.publish("loan", "1", on="created", created=by_path(source, "created"))
    bench.publish("other", "1", on="arrived", arrived=by_path(other, "created"))
    bench.worker()
    bench.send(source, *({"kind": "created", "order": f"old-{n}"} for n in range(5)))
    bench.read(source, 5)
    bench.delete(source)
    bench.send(other, {"kind": "created", "order": "meanwhile"})
    bench.read(other, 1)
    bench.create(source, 1)
    bench.send(source, {"kind": "created", "order": "new-0"}, {"kind": "created", "order": "new-1"})
    eventually(lambda: {"new-0", "new-1"} <= {command.key for command in starts(bench.commands())}, every=0.2)
    assert eventually(lambda: found if (found := bench.counts(source))["offset"] == 2 else None, every=0.2) == {
        "offset": 2,
        "read": 2,
        "matched": 2,
        "ignored": 0,
        "dead": 0,
    }
    origins = {command.origin.topic_id for command in starts(bench.commands()) if command.definition == "loan"}
    assert len(origins) == 2
    assert len({(command.origin, command.key) for command in starts(bench.commands())}) == 8


def test_every_event_after_an_acknowledged_publication_is_matched_by_it(bench: Bench) -> None:
    source = bench.topic(1)
    shas = [bench.publish("loan", "v0", on="created", created=by_path(source, "created", id={"path": "id"}))]
    worker = bench.worker()
    eventually(lambda: worker.says("sources_assigned"))
    for n in range(1, 21):
        shas.append(bench.publish("loan", f"v{n}", on="created", created=by_path(source, "created", id={"path": "id"})))
        bench.send(source, {"kind": "created", "order": "a", "id": f"e-{n}"})
    bench.read(source, 20)
    matched = [shas.index(command.start.sha256) for command in starts(bench.commands()) if command.start]
    assert len(matched) == 20
    # a later one, if it was published before the event was read
    assert all(version >= n for n, version in enumerate(matched, 1))


def test_a_topic_named_while_ingress_runs_is_read_from_the_publication_on(bench: Bench) -> None:
    old, new = bench.topic(1), bench.topic(2)
    bench.publish("old", "1", on="created", created=by_path(old, "created"))
    worker = bench.worker()
    eventually(lambda: worker.says("sources_assigned"))
    bench.send(old, *({"kind": "created", "order": f"o-{n}"} for n in range(200)))
    bench.send(new, {"kind": "created", "order": "before"})
    bench.publish("new", "1", on="arrived", arrived=by_path(new, "created", start="now"))
    begun = time.time() * 1000
    bench.send(new, {"kind": "created", "order": "after"})
    bench.send(old, *({"kind": "created", "order": f"p-{n}"} for n in range(200)))
    assert bench.read(new, 1)["read"] == 1
    assert bench.read(old, 400)["matched"] == 400
    appended = next(
        record.timestamp()[1] for record in bench.records("commands") if b"after" in (record.value() or b"")
    )
    print(f"acknowledgement to first command of a new topic: {appended - begun:.0f} ms")
    assert [command.key for command in starts(bench.commands()) if command.definition == "new"] == ["after"]


def test_retired_versions_start_nothing_but_their_runs_still_get_their_events(bench: Bench) -> None:
    source = bench.topic(1)
    bench.publish(
        "loan", "1", on="created", waits=("paid",), created=by_path(source, "created"), paid=by_path(source, "paid")
    )
    bench.worker()
    bench.send(source, {"kind": "created", "order": "a"})
    bench.read(source, 1)
    publication.retire(bench.settings, name="loan", version="1")
    bench.send(source, {"kind": "created", "order": "b"}, {"kind": "paid", "order": "a"})
    assert bench.read(source, 3) == {"offset": 3, "read": 3, "matched": 2, "ignored": 1, "dead": 0}
    assert [(kind_of(command), command.key) for command in deliveries(bench.commands())] == [
        ("start", "a"),
        ("deliver", "a"),
    ]


def test_a_watermark_goes_to_every_partition_when_a_wait_has_a_limit(bench: Bench) -> None:
    source, unlimited = bench.topic(2), bench.topic(1)
    bench.publish(
        "loan",
        "1",
        on="created",
        waits=("paid",),
        within="1d",
        created=by_path(unlimited, "created"),
        paid=by_path(source, "paid"),
    )
    before = int(time.time() * 1000)
    bench.worker(bench.settings.model_copy(update={"ingress": Ingress(watermark_s=0.2)}))

    def everywhere() -> bool:
        told: dict[int, dict[str, int]] = {}
        for record in bench.records("commands"):
            command = decode_command(record.value() or b"")
            assert isinstance(command, AdvanceWatermark)
            assert (command.topic, command.partitions) == (source, 2)
            told.setdefault(record.partition() or 0, {}).update(command.at_ms)
        return len(told) == bench.settings.topics.partitions and all(
            len(at) == 2 and min(at.values()) > before for at in told.values()
        )

    assert eventually(everywhere, every=0.2)


def test_a_partition_of_the_engine_that_is_far_behind_stops_no_commands_for_others(bench: Bench) -> None:
    source = bench.topic(1)
    bench.publish("loan", "1", on="created", created=by_path(source, "created"))
    keys = {
        number: [key for key in (f"o-{n}" for n in range(200)) if partition_of(key, 2) == number] for number in (0, 1)
    }
    worker = bench.worker(bench.settings.model_copy(update={"ingress": Ingress(max_engine_lag=50, commit_s=0.1)}))
    bench.send(source, *({"kind": "created", "order": key} for key in keys[0][:60]))
    eventually(lambda: worker.says("engine_behind"))
    bench.send(
        source, *({"kind": "created", "order": key} for key in [*keys[0][60:70], *keys[1][:40], *keys[0][70:80]])
    )
    eventually(lambda: len(appended(bench, 1)) == 40)
    assert len(appended(bench, 0)) == 60
    assert bench.counts(source) == {"offset": 60, "read": 60, "matched": 60, "ignored": 0, "dead": 0}
    group, topic = f"{bench.settings.topics.prefix}engine", f"{bench.settings.topics.prefix}commands"
    offsets = [TopicPartition(topic, 0, 60)]
    bench.admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, offsets)])[group].result()
    assert bench.read(source, 120)["matched"] == 120
    assert worker.says("engine_caught_up")
    assert appended(bench, 0) == keys[0][:80]
    assert appended(bench, 1) == keys[1][:40]
    assert worker.stop() == 0


def appended(bench: Bench, partition: int) -> list[str]:
    """The keys of starts in one partition of `commands`, in order."""
    records = [record for record in bench.records("commands") if record.partition() == partition]
    return [command.key for command in starts([decode_command(record.value() or b"") for record in records])]


def test_sigterm_ends_ingress_soon_with_everything_committed(bench: Bench) -> None:
    source = bench.topic(1)
    bench.publish("loan", "1", on="created", created=by_path(source, "created"))
    worker = bench.worker(bench.settings.model_copy(update={"ingress": Ingress(commit_s=60, instance_id="one")}))
    eventually(lambda: worker.says("sources_assigned"))
    bench.send(source, {"kind": "created", "order": "a"})
    eventually(bench.commands, every=0.2)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(30) == 0  # long before the next commit would be due
    assert bench.counts(source)["offset"] == 1
    group = f"{bench.settings.topics.prefix}ingress"
    assert eventually(lambda: not bench.admin.describe_consumer_groups([group])[group].result().members or None)


@only_full  # tests/faults kills it in the middle of more
def test_a_broker_that_goes_away_is_waited_for_and_nothing_is_lost(tmp_path: Path) -> None:
    needs_broker()
    with EmbeddedBroker(tmp_path / "outage") as broker:
        settings = make_settings(broker.bootstrap_servers, tmp_path)
        admin.apply(settings)
        bench = Bench(settings, tmp_path)
        source = bench.topic(2)
        bench.publish("loan", "1", on="created", created=by_path(source, "created", id={"path": "id"}))
        worker = bench.worker()
        try:
            bench.send(source, *({"kind": "created", "order": f"o-{n}", "id": f"e-{n}"} for n in range(3000)))
            outage: Callable[[], None] = broker.kill
            eventually(lambda: worker.says("sources_assigned"))
            outage()
            eventually(lambda: worker.says("Connect") or worker.says("interrupted") or worker.says("rror"))
            broker.start()
            bench.send(source, *({"kind": "created", "order": f"o-{n}", "id": f"e-{n}"} for n in range(3000, 4000)))
            assert bench.read(source, 4000) == {"offset": 4000, "read": 4000, "matched": 4000, "ignored": 0, "dead": 0}
            assert Counter(applied(bench.records("commands"))) == Counter(
                ("start", "loan", f"e-{n}") for n in range(4000)
            )
            assert worker.stop() == 0
        finally:
            if worker.process.poll() is None:
                worker.kill()
