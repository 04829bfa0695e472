"""Changelog and RocksDB store together, against a real broker: fencing, one cut, restoring, and what is thrown away
(law one-cut and law fenced-owner)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from streamflow.core.cut import batches_of, whole_cut
from streamflow.core.restored import Restored
from streamflow.engine.overlay import encode_record
from streamflow.engine.state import OWN, PartitionState
from streamflow.errors import EngineFault, OperationError
from streamflow.kafka.admin import Admin
from streamflow.kafka.connection import aiokafka_config
from streamflow.kafka.groups import engine_group
from streamflow.kafka.topics import COMMANDS, STATE, topic_name
from streamflow.runtime.changelog import CUT_AT, Changelog
from streamflow.runtime.store import RocksStore
from streamflow.settings import Settings
from tests.conftest import eventually
from tests.hostile_records import DEEP
from tests.integration.workers import store_of
from tests.proof.reader import IndependentReader

pytestmark = [pytest.mark.broker, pytest.mark.timeout(60)]
HOUR_S = 3600.0
BATCH_BYTES = 512 << 10  # as in production


async def checkpoint(changelog: Changelog, store: RocksStore, cut: Mapping[str, bytes | None], applied: int) -> None:
    """The transaction and the store of one checkpoint."""
    batches = list(batches_of(cut, whole_cut(store) + 1, BATCH_BYTES))
    position = await changelog.commit(batches, applied)
    store.write({**{key: value for batch in batches for key, value in batch}, **position})


class AnyRecords(Restored):
    """Restores whatever a test has written."""

    def take(self, key: bytes, value: bytes | None, offset: int) -> str | None:
        return key.decode()


class Cutter:
    """One partition of the changelog, as an owner has it; each `changelog()` is a new owner."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.now_s = 1_700_000_000.0
        self.ids = Admin(settings).topic_ids([topic_name(settings, STATE), topic_name(settings, COMMANDS)])
        self.stranger = IndependentReader(settings.kafka.bootstrap_servers or "", settings.topics.prefix)

    def changelog(self, **changes: Any) -> Changelog:
        names = {role: topic_name(self.settings, role) for role in (STATE, COMMANDS)}
        wanted: dict[str, Any] = {
            "topic": names[STATE],
            "topic_id": self.ids[names[STATE]],
            "restored": AnyRecords,
            "commands": names[COMMANDS],
            "commands_id": self.ids[names[COMMANDS]],
            "partition": 1,
            "group": engine_group(self.settings),
            "transactional_id": f"{engine_group(self.settings)}-1",
            "tombstone_retention_ms": int(HOUR_S * 1000),
            "clock": lambda: self.now_s,
        }
        return Changelog(aiokafka_config(self.settings, "test"), **wanted | changes)

    @contextmanager
    def store(self, name: str = "store") -> Iterator[RocksStore]:
        opened = RocksStore(self.folder / name, write_buffer_bytes=1 << 20, block_cache_bytes=1 << 20)
        try:
            yield opened
        finally:
            opened.close()

    def run(self, work: Callable[[Changelog], Awaitable[Any]], **changes: Any) -> Any:
        """Does `work` with a fenced changelog."""

        async def owned() -> Any:
            changelog = self.changelog(**changes)
            try:
                await changelog.fence()
                return await work(changelog)
            finally:
                await changelog.close()

        return asyncio.run(owned())

    def write(self, store: RocksStore, *cuts: Mapping[str, bytes | None]) -> None:
        async def all_of_them(changelog: Changelog) -> None:
            for applied, cut in enumerate(cuts):
                await checkpoint(changelog, store, cut, applied)

        self.run(all_of_them)

    def restore(self, store: RocksStore, **changes: Any) -> int:
        count: int = self.run(lambda changelog: changelog.restore(store), **changes)
        return count

    def contents(self, name: str = "store") -> dict[bytes, bytes]:
        return store_of(self.folder / name)


@pytest.fixture
def cutter(topics: Settings, tmp_path: Path) -> Cutter:
    return Cutter(topics, tmp_path)


def test_a_cut_is_in_the_changelog_the_offset_and_the_store_alike(cutter: Cutter) -> None:
    with cutter.store() as store:
        cutter.write(store, {"a": b"1", "b": b"2"}, {"a": None, "c": b"3"})
    assert cutter.contents() == {b"b": b"2", b"c": b"3"} == cutter.stranger.state()[1]
    assert cutter.stranger.committed(engine_group(cutter.settings), topic_name(cutter.settings, COMMANDS))[1] == 2


def test_an_empty_store_is_restored_from_the_changelog_alone_and_a_current_one_reads_nothing(cutter: Cutter) -> None:
    with cutter.store() as store:
        cutter.write(store, {f"k{number}": b"x" * 50_000 for number in range(40)}, {"k0": None})  # several batches
        assert cutter.restore(store) == 0
    with cutter.store("other") as other:
        assert cutter.restore(other) == 41
        assert cutter.restore(other) == 0
    assert cutter.contents("other") == cutter.contents()


def test_a_record_of_the_largest_size_goes_into_a_cut_among_small_ones(cutter: Cutter) -> None:
    limit = cutter.settings.limits.record_bytes
    with cutter.store() as store:
        cutter.write(store, {"a": b"1", "big": b"x" * limit, "bigger": b"y" * limit, "z": b"2"})
    assert cutter.contents() == cutter.stranger.state()[1]
    assert len(cutter.contents()) == 4


def test_a_cut_of_which_the_broker_refuses_one_batch_is_not_committed(cutter: Cutter) -> None:
    whole = {"own": b"1", "run": b"open"}
    topic = topic_name(cutter.settings, STATE)
    half = {"own": b"2", "run": None, "a": b"x" * 400_000, "refused": b"y" * 800_000, "b": b"z" * 400_000, "end": b"2"}

    async def second_cut(changelog: Changelog) -> None:
        await changelog.restore(store)
        with pytest.raises(KafkaError):
            await checkpoint(changelog, store, half, 20)

    with cutter.store() as store:
        cutter.write(store, whole)
        set_topic_config(cutter.settings, topic, {"max.message.bytes": "600000"})
        cutter.run(second_cut)
    with cutter.store("heir") as heir:
        assert cutter.restore(heir) == len(whole)
    assert cutter.contents() == {b"own": b"1", b"run": b"open"} == cutter.contents("heir")
    assert cutter.stranger.committed(engine_group(cutter.settings), topic_name(cutter.settings, COMMANDS))[1] == 1


@pytest.mark.parametrize("lost", ["!cut/0", "!cut/1", "!cut/end"])
def test_a_restore_refuses_a_cut_of_which_a_batch_is_missing(cutter: Cutter, lost: str) -> None:
    large = {f"k{number}": b"x" * 400_000 for number in range(3)}
    with cutter.store() as store:
        cutter.write(store, large, large)
        append_older_mark(cutter, lost)
    with cutter.store("heir") as heir, pytest.raises(EngineFault) as caught:
        cutter.restore(heir)
    assert caught.value.code == "changelog_torn"


@pytest.mark.parametrize("key", ["run/r", "own", "strange", "from the future/1"])
def test_a_restore_refuses_a_record_that_cannot_be_read_until_it_is_taken_back(cutter: Cutter, key: str) -> None:
    producer = Producer({"bootstrap.servers": cutter.settings.kafka.bootstrap_servers or ""})
    topic = topic_name(cutter.settings, STATE)
    with cutter.store() as store:
        cutter.write(store, {"out/r/a": b"1"})
    producer.produce(topic, DEEP, key, partition=1)
    assert producer.flush(10) == 0
    with cutter.store("heir") as heir:
        with pytest.raises(EngineFault) as caught:
            cutter.restore(heir, restored=Restored)
        assert caught.value.code == "state_unreadable"
        producer.produce(topic, None, key, partition=1)
        assert producer.flush(10) == 0
        cutter.restore(heir, restored=Restored)
    assert cutter.contents("heir") == {b"out/r/a": b"1"}


def append_older_mark(cutter: Cutter, key: str) -> None:
    """As if the newest batch with this mark had been lost: the one of the cut before is the last."""
    producer = Producer({"bootstrap.servers": cutter.settings.kafka.bootstrap_servers or ""})
    topic = topic_name(cutter.settings, STATE)
    producer.produce(topic, b"1 3" if key == "!cut/end" else b"1", key.encode(), partition=1)
    assert producer.flush(10) == 0


def set_topic_config(settings: Settings, topic: str, config: Mapping[str, str]) -> None:
    client = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers or ""})
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in config.items()]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    for future in client.incremental_alter_configs([resource]).values():
        future.result(60)


def test_an_owner_that_was_replaced_can_write_neither_changelog_nor_store(cutter: Cutter) -> None:
    async def replaced(old: Changelog) -> None:
        await checkpoint(old, store, {"a": b"1"}, 0)
        heir = cutter.changelog()
        await heir.fence()
        with pytest.raises(KafkaError):
            await checkpoint(old, store, {"a": b"2", "b": b"2"}, 1)
        await heir.close()

    with cutter.store() as store:
        cutter.run(replaced)
    assert cutter.contents() == {b"a": b"1"} == cutter.stranger.state()[1]
    assert cutter.stranger.committed(engine_group(cutter.settings), topic_name(cutter.settings, COMMANDS))[1] == 1


def test_a_transaction_that_an_owner_left_open_holds_up_no_restore_and_is_not_in_it(cutter: Cutter) -> None:
    with cutter.store() as store:
        cutter.write(store, {"a": b"1"})
    foreign = Producer(
        {
            "bootstrap.servers": cutter.settings.kafka.bootstrap_servers or "",
            "transactional.id": f"{engine_group(cutter.settings)}-1",
        }
    )
    foreign.init_transactions(10)
    foreign.begin_transaction()
    foreign.produce(topic_name(cutter.settings, STATE), b"never", b"a", partition=1)
    foreign.flush(10)
    with cutter.store("other") as other:
        assert cutter.restore(other) == 1
    assert cutter.contents("other") == {b"a": b"1"}
    del foreign


def unmarked(changelog: Changelog, topic: str) -> None:
    """Lets the next transaction end without a marker in the changelog: the coordinator never hears of the partition."""
    producer = changelog._fenced()
    begin = producer.begin_transaction

    async def begin_unmarked() -> None:
        await begin()
        producer._txn_manager._txn_partitions.add(TopicPartition(topic, 1))
        producer.begin_transaction = begin

    producer.begin_transaction = begin_unmarked


def test_an_abort_that_the_broker_did_not_mark_is_in_no_state(cutter: Cutter) -> None:
    """What a broker left that was paused for 30 s: an abort that is complete, and no marker in the partition."""

    async def leave_records(changelog: Changelog) -> None:
        unmarked(changelog, topic_name(cutter.settings, STATE))
        producer = changelog._fenced()
        await producer.begin_transaction()
        await changelog._sent(producer, [[("run/stray", b"{}")]])

    with unverified_transactions(cutter.settings), cutter.store() as store:
        cutter.write(store, {OWN: encode_record(PartitionState(applied=1)), "run/a": b"{}"})
        cutter.run(leave_records)

    with cutter.store("other") as store:
        cutter.run(lambda changelog: changelog.restore(store))
        assert store.get("run/a") == b"{}"
        cutter.write(store, {"run/b": b"{}"})
        assert store.get("run/stray") is None
    state = cutter.stranger.state()[1]
    assert {b"run/a", b"run/b"} <= state.keys()
    assert b"run/stray" not in state


@pytest.mark.parametrize("next_cut", ["none", "aborted", "committed"])
def test_a_commit_that_the_broker_did_not_mark_is_in_the_store_and_the_changelog_or_in_neither(
    cutter: Cutter, next_cut: str
) -> None:
    """What a broker left that was killed after it had acknowledged a commit."""

    async def lose_a_marker(changelog: Changelog) -> None:
        await checkpoint(changelog, store, {"kept": b"1", "ended": b"1"}, 0)
        eventually(lambda: cutter.stranger.state()[1])  # its marker is there
        unmarked(changelog, topic_name(cutter.settings, STATE))
        await checkpoint(changelog, store, {"ended": None, "new": b"2"}, 1)
        if next_cut == "committed":
            await checkpoint(changelog, store, {"newer": b"3"}, 2)
        elif next_cut == "aborted":
            producer = changelog._fenced()
            await producer.begin_transaction()
            await changelog._sent(producer, [[("newer", b"3")]])
            await producer.abort_transaction()

    with unverified_transactions(cutter.settings), cutter.store() as store:
        cutter.run(lose_a_marker)
        assert store.get("ended") is None
        cutter.restore(store)
        cutter.write(store, {"last": b"4"})

    expected = (
        {b"kept": b"1", b"new": b"2", b"newer": b"3"}
        if next_cut == "committed"
        else dict.fromkeys((b"kept", b"ended"), b"1")
    )
    assert cutter.contents() == {**expected, b"last": b"4"} == cutter.stranger.state()[1]


def test_a_store_whose_last_cut_is_elsewhere_in_the_changelog_is_restored_from_nothing(cutter: Cutter) -> None:
    with cutter.store() as store:
        cutter.write(store, {"a": b"1"}, {"b": b"2"})
        store.write({CUT_AT: b"0", "stray": b"1"})
        assert cutter.restore(store) == 2
        assert cutter.restore(store) == 0
    assert cutter.contents() == {b"a": b"1", b"b": b"2"}


@contextmanager
def unverified_transactions(settings: Settings) -> Iterator[None]:
    """A broker that takes records of a transaction for a partition that is no part of it."""
    set_broker_config(settings, {"transaction.partition.verification.enable": "false"})
    try:
        yield
    finally:
        set_broker_config(settings, {"transaction.partition.verification.enable": "true"})


def set_broker_config(settings: Settings, config: Mapping[str, str]) -> None:
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in config.items()]
    resource = ConfigResource(ResourceType.BROKER, "1", incremental_configs=entries)
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers or ""})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(30)


def test_half_a_restore_is_begun_again(cutter: Cutter) -> None:
    with cutter.store() as store:
        cutter.write(store, {"a": b"1", "b": b"2"}, {"b": None})
    with cutter.store("half") as half:
        half.write({"b": b"2"})  # the first chunk was written and no offset
        assert cutter.restore(half) == 3
    assert cutter.contents("half") == {b"a": b"1"}


def test_a_store_that_missed_deletions_for_too_long_is_thrown_away_but_one_that_missed_nothing_stays(
    cutter: Cutter,
) -> None:
    with cutter.store() as store, cutter.store("behind") as behind:
        cutter.write(store, {"a": b"1", "b": b"2"})
        cutter.restore(behind)
        cutter.write(store, {"b": None})
        cutter.now_s += 2 * HOUR_S
        assert cutter.restore(store) == 0
        assert cutter.restore(behind) == 3
    assert cutter.contents("behind") == {b"a": b"1"} == cutter.contents()


def test_a_store_ahead_of_its_changelog_is_told_and_left_alone(cutter: Cutter) -> None:
    with cutter.store() as store:
        cutter.write(store, {"a": b"1"})
        store.write({"!changelog": b"1000"})
        with pytest.raises(OperationError) as caught:
            cutter.restore(store)
    assert caught.value.code == "changelog_truncated"
    assert cutter.contents() == {b"a": b"1"}


def test_a_store_of_an_older_generation_of_topics_is_thrown_away(cutter: Cutter) -> None:
    with cutter.store() as store:
        cutter.write(store, {"a": b"1", OWN: encode_record(PartitionState(topic_id="another"))})
        assert cutter.restore(store, topic_id="new") == 2
    assert cutter.contents().keys() == {b"a", OWN.encode()}


def test_a_store_whose_changelog_alone_was_made_anew_is_kept_and_told(cutter: Cutter) -> None:
    own = encode_record(PartitionState(topic_id=cutter.ids[topic_name(cutter.settings, COMMANDS)]))
    with cutter.store() as store:
        cutter.write(store, {"a": b"1", OWN: own})
        with pytest.raises(OperationError) as caught:
            cutter.restore(store, topic_id="new")
    assert caught.value.code == "changelog_recreated"
    assert cutter.contents() == {b"a": b"1", OWN.encode(): own}


def test_a_restore_that_takes_longer_than_deletions_are_kept_starts_again_from_nothing(
    cutter: Cutter, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings: list[float] = []
    cleared: list[dict[bytes, bytes]] = []

    def clock() -> float:  # the second look at it is late, once
        readings.append(cutter.now_s + (2 * HOUR_S if len(readings) in (1, 2) else 0))
        return readings[-1]

    with cutter.store() as store:
        cutter.write(store, {"a": b"1"})
    with cutter.store("slow") as slow:
        clear = slow.clear

        def noted() -> None:
            cleared.append({key.encode(): value for key, value in slow.scan("a")})
            clear()

        monkeypatch.setattr(slow, "clear", noted)
        assert cutter.restore(slow, clock=clock) == 1
    # there was nothing; what was restored too slowly; and there is nothing again
    assert cleared == [{}, {b"a": b"1"}, {}]
    assert cutter.contents("slow") == {b"a": b"1"}
