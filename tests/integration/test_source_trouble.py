"""What the users' topics, their producers and the clocks of our machines may do without a wait that times out falsely,
or a source that stops another."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    NewPartitions,
    ResourcePatternType,
    ResourceType,
)

from streamflow.engine.commands import AdvanceWatermark, FireTimer
from streamflow.kafka import admin
from streamflow.kafka.embedded.broker import EmbeddedBroker
from streamflow.kafka.publication import read_log
from streamflow.ops.lag import measure_lag
from streamflow.ops.lag_rows import states
from streamflow.settings import Ingress, Settings
from tests.conftest import eventually, make_settings, needs_broker
from tests.integration.ingress_bench import Bench, by_path, starts

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]

HOUR_S = 3600
FAST = Ingress(watermark_s=0.1, commit_s=0.1)


@pytest.fixture
def bench(topics: Settings, tmp_path: Path) -> Iterator[Bench]:
    found = Bench(topics.model_copy(update={"ingress": FAST}), tmp_path)
    yield found
    for worker in found.workers:
        if worker.process.poll() is None:
            worker.kill()


def ends(bench: Bench) -> dict[str, str]:
    """How the wait of each run ended, by key."""
    found = {}
    for record in bench.records("runs"):
        type_ = dict(record.headers() or [])["ce_type"]
        assert isinstance(type_, bytes)
        fact = type_.decode().removeprefix("streamflow.")
        if fact in ("WaitSatisfied", "WaitTimedOut"):
            found[(record.key() or b"").decode()] = fact
    return found


def shown(bench: Bench) -> dict[tuple[str, str], str]:
    """The states of topics in `streamflow lag`."""
    return states(measure_lag(bench.settings, read_log(bench.settings)))


def watermarks(bench: Bench, topic: str) -> list[AdvanceWatermark]:
    return [one for one in bench.commands() if isinstance(one, AdvanceWatermark) and one.topic == topic]


def wait_for_payment(bench: Bench, orders: str, payments: str, within: str, **paid: Any) -> None:
    bench.publish(
        "loan",
        "1",
        on="created",
        waits=("paid",),
        within=within,
        created=by_path(orders, "created"),
        paid=by_path(payments, "paid", **paid),
    )


def test_somebody_elses_open_transaction_makes_no_wait_time_out(bench: Bench) -> None:
    orders, payments = bench.topic(1), bench.topic(1)
    wait_for_payment(bench, orders, payments, "2s")
    ingress, _ = bench.worker(), bench.worker(role="engine")
    eventually(lambda: ingress.says("sources_assigned"))
    foreign = Producer(bench.servers | {"transactional.id": f"tx-{uuid.uuid4().hex}"})
    foreign.init_transactions(30)
    foreign.begin_transaction()
    foreign.produce(payments, b'{"kind":"else"}', "k")
    foreign.flush(30)
    bench.send(orders, {"kind": "created", "order": "paid-in-time"}, {"kind": "created", "order": "never-paid"})
    eventually(lambda: len(starts(bench.commands())) == 2, every=0.2)
    bench.send(payments, {"kind": "paid", "order": "paid-in-time"})
    before = len(watermarks(bench, payments))
    eventually(lambda: len(watermarks(bench, payments)) > before + 60, timeout=60, every=0.2)  # 3 s and more
    assert ends(bench) == {}
    assert not [one for one in bench.commands() if isinstance(one, FireTimer)]  # and it costs nothing meanwhile
    foreign.commit_transaction(30)
    assert eventually(lambda: found if len(found := ends(bench)) == 2 else None, every=0.2) == {
        "paid-in-time": "WaitSatisfied",
        "never-paid": "WaitTimedOut",
    }


def test_a_wait_for_an_event_of_a_missing_topic_times_out_and_costs_little(bench: Bench) -> None:
    orders, missing = bench.topic(1), f"missing-{uuid.uuid4().hex[:8]}"
    wait_for_payment(bench, orders, missing, "1s")
    ingress, _ = bench.worker(), bench.worker(role="engine")
    eventually(lambda: ingress.says("sources_assigned"))
    bench.send(orders, *({"kind": "created", "order": f"o-{n}"} for n in range(50)))
    eventually(lambda: len(ends(bench)) == 50, timeout=40, every=0.3)
    assert set(ends(bench).values()) == {"WaitTimedOut"}
    assert ingress.says("source_topic_missing")
    assert shown(bench) == {("ingress", missing): "missing"}
    fired = [one for one in bench.commands() if isinstance(one, FireTimer)]
    assert len(fired) == 50
    bench.create(missing, 1)  # what comes to it now is read
    bench.send(orders, {"kind": "created", "order": "later"})
    bench.send(missing, {"kind": "paid", "order": "later"})
    assert eventually(lambda: ends(bench).get("later"), every=0.3) == "WaitSatisfied"
    assert ingress.says("source_topic_readable")


@pytest.mark.parametrize("ahead_s", [HOUR_S, -HOUR_S])
def test_the_clock_of_ingress_decides_nothing(bench: Bench, ahead_s: float) -> None:
    orders, payments, later = bench.topic(1), bench.topic(1), bench.topic(1)
    wait_for_payment(bench, orders, payments, "5s")  # a slow machine, too, sends the payment in that time
    bench.send(later, {"kind": "created", "order": "before"})
    first, _ = bench.worker(ahead_s=ahead_s), bench.worker(role="engine")
    eventually(lambda: first.says("sources_assigned"))
    bench.send(orders, {"kind": "created", "order": "paid"}, {"kind": "created", "order": "unpaid"})
    eventually(lambda: len(starts(bench.commands())) == 2, every=0.2)
    bench.send(payments, {"kind": "paid", "order": "paid"})
    eventually(lambda: len(ends(bench)) == 2, timeout=60, every=0.2)
    assert ends(bench) == {"paid": "WaitSatisfied", "unpaid": "WaitTimedOut"}
    # an outage of ingress over the limit: what is in the topic by then is in time
    first.kill()
    bench.send(orders, {"kind": "created", "order": "slow"})
    second = bench.worker(ahead_s=ahead_s)
    eventually(lambda: len(starts(bench.commands())) == 3, every=0.2)
    second.kill()
    bench.send(payments, {"kind": "paid", "order": "slow"})
    time.sleep(5.5)  # the limit passes, which is the test
    bench.publish("later", "1", on="opened", opened=by_path(later, "created", start="now"))
    bench.send(later, {"kind": "created", "order": "after"})
    third = bench.worker(ahead_s=ahead_s)
    assert eventually(lambda: ends(bench).get("slow"), timeout=60, every=0.2) == "WaitSatisfied"
    eventually(lambda: any(one.definition == "later" for one in starts(bench.commands())), every=0.2)
    assert [one.key for one in starts(bench.commands()) if one.definition == "later"] == ["after"]
    assert third.stop() == 0


@pytest.mark.parametrize("time_type", ["CreateTime", "LogAppendTime"])
@pytest.mark.parametrize("ahead_s", [HOUR_S, -HOUR_S])
def test_the_clocks_of_publishers_and_producers_decide_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, time_type: str, ahead_s: int
) -> None:
    source = bench.topic(1, message_timestamp_type=time_type)
    worker = bench.worker()
    now_ms = int(time.time() * 1000)

    def send(order: str, off_s: int) -> None:
        value = json.dumps({"kind": "created", "order": order}).encode()
        bench.producer.produce(source, value, "k", timestamp=now_ms + off_s * 1000)
        assert bench.producer.flush(30) == 0

    send("before-1", HOUR_S)
    send("before-2", -HOUR_S)
    clock = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: clock() + ahead_s * 10**9)
    bench.publish("loan", "1", on="created", created=by_path(source, "created", start="now"))
    monkeypatch.undo()
    send("after-1", -HOUR_S)
    send("after-2", HOUR_S)
    assert bench.read(source, 2)["matched"] == 2
    assert sorted(one.key for one in starts(bench.commands())) == ["after-1", "after-2"]
    bench.admin.create_partitions([NewPartitions(source, 2)])[source].result()
    value = json.dumps({"kind": "created", "order": "in-a-new-partition"}).encode()

    eventually(lambda: len(bench.admin.list_topics(source, timeout=60).topics[source].partitions) == 2)
    fresh = Producer(bench.servers)  # one that knows the new partition
    fresh.produce(source, value, "k", partition=1, timestamp=now_ms - HOUR_S * 1000)
    assert fresh.flush(30) == 0
    eventually(lambda: "in-a-new-partition" in [one.key for one in starts(bench.commands())], timeout=60, every=0.2)
    assert worker.stop() == 0


def test_a_topic_that_may_not_be_read_any_more_stops_no_other_and_times_nothing_out(tmp_path: Path) -> None:
    needs_broker()
    config = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
    }
    with EmbeddedBroker(tmp_path / "acl", config=config) as broker:
        settings = make_settings(broker.bootstrap_servers, tmp_path).model_copy(update={"ingress": FAST})
        admin.apply(settings)
        bench = Bench(settings, tmp_path)
        orders, payments = bench.topic(1), bench.topic(1)
        wait_for_payment(bench, orders, payments, "4s")
        ingress, _ = bench.worker(), bench.worker(role="engine")
        try:
            eventually(lambda: ingress.says("sources_assigned"))
            bench.send(orders, {"kind": "created", "order": "first"})
            eventually(lambda: starts(bench.commands()), every=0.2)
            bench.send(payments, {"kind": "paid", "order": "first"})
            eventually(lambda: ends(bench) == {"first": "WaitSatisfied"}, every=0.2)
            allow(bench, payments, AclOperation.ALL, AclPermissionType.ALLOW)
            allow(bench, payments, AclOperation.READ, AclPermissionType.DENY)
            # a fetch that is waiting at the broker was allowed before and would still be answered
            eventually(lambda: ingress.says("source_topic_unreadable"), timeout=30)
            bench.send(payments, {"kind": "paid", "order": "second"})
            assert shown(bench) == {("ingress", payments): "unreadable"}
            for n in range(20):
                bench.send(orders, {"kind": "created", "order": f"o-{n}"})
            bench.send(orders, {"kind": "created", "order": "second"})
            bench.read(orders, 22)
            before = len(watermarks(bench, payments))
            time.sleep(5)  # their limit passes, and nothing may happen
            assert ends(bench) == {"first": "WaitSatisfied"}
            assert len(watermarks(bench, payments)) <= before + 2
            any_: Any = None
            everything = AclBindingFilter(
                ResourceType.TOPIC,
                payments,
                ResourcePatternType.LITERAL,
                any_,
                any_,
                AclOperation.ANY,
                AclPermissionType.ANY,
            )
            deleted: Any = bench.admin.delete_acls([everything])
            deleted[everything].result()
            found = eventually(lambda: now if len(now := ends(bench)) == 22 else {}, timeout=40, every=0.3)
            assert {key for key, end in found.items() if end == "WaitTimedOut"} == {f"o-{n}" for n in range(20)}
            assert ingress.stop() == 0
        finally:
            for worker in bench.workers:
                if worker.process.poll() is None:
                    worker.kill()


def allow(bench: Bench, topic: str, operation: AclOperation, permission: AclPermissionType) -> None:
    acl = AclBinding(
        ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, "User:ANONYMOUS", "*", operation, permission
    )
    created: Any = bench.admin.create_acls([acl])
    created[acl].result()
