"""One session of the history worker: from one opening of the store and of the consumer to the first error. It reads
batches, projects them, and writes each with the positions behind it."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import msgspec
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streamflow.core.metrics import Metrics, NoMetrics
from streamflow.errors import OperationError
from streamflow.history.consumer import denied_reading, open_consumer, unreadable
from streamflow.history.database import Database
from streamflow.history.log_lines import project_log
from streamflow.history.notices import Noting
from streamflow.history.open_work import OpenWork
from streamflow.history.projection import Changes, RecordedTransition, project_runs
from streamflow.history.rows import Progress
from streamflow.history.runs import RunFold
from streamflow.history.searches import Searches
from streamflow.history.store import open_store
from streamflow.history.topic_beginnings import ROLES
from streamflow.history.trouble import project_letter, project_unclaimed
from streamflow.history.upkeep import Upkeep
from streamflow.history.writer import adopt, begin, load, move, positions, write
from streamflow.ids import PartitionId
from streamflow.kafka.admin import Admin
from streamflow.kafka.message import as_record
from streamflow.kafka.stalls import StallDetector
from streamflow.kafka.topics import LOGS, RUNS, UNCLAIMED, topic_name
from streamflow.settings import Settings
from streamflow.wire.decoding import Record
from streamflow.wire.transitions import decode_transition
from streamflow.wire.unreadable import UNREADABLE, Unreadable

log = structlog.get_logger(__name__)

_ANSWER_S = 10.0
_WAIT_S = 0.2  # for a record to come
_SEEN_S = 2.0  # between notes that the worker is alive
_LOOK_S = 5.0  # between looks for partitions that were added
_FOLDS = 50_000  # open runs that are kept in memory
_EOF = KafkaError._PARTITION_EOF


class Session:
    """From one opening of the store and of the consumer to the first error. `worked`: a batch was written."""

    def __init__(self, settings: Settings, database: Database, consumer: Consumer, metrics: Metrics) -> None:
        self.worked = False
        self._settings = settings
        self._database = database
        self._consumer = consumer
        self._roles = {topic_name(settings, role): role for role in ROLES}
        self._is_alone = settings.history.postgresql is None  # else a group shares the partitions
        self._looked = time.monotonic()
        self._at: dict[PartitionId, Progress] = {}
        self._folds: OrderedDict[str, RunFold] = OrderedDict()
        self._searches = Searches(settings)
        self._unreadable = {role: Unreadable(role) for role in ROLES}
        self._upkeep = Upkeep(settings)
        self._metrics = metrics
        # the queries are worth nothing where nothing collects them
        self._open = None if isinstance(metrics, NoMetrics) else OpenWork(metrics, settings.metrics.open_s)
        self._noting = Noting(settings.notifications, database)
        self._seen = time.monotonic()
        self._topic_ids: dict[str, str] = {}
        self._stalls = StallDetector()

    @classmethod
    @contextmanager
    def opened(cls, settings: Settings, metrics: Metrics) -> Iterator[Session]:
        """A session with its store and its consumer."""
        with ExitStack() as held:
            database = open_store(settings, write=True)
            held.callback(database.close)
            consumer = open_consumer(settings)
            held.callback(consumer.close)
            yield cls(settings, database, consumer, metrics)

    def run(self, halt: threading.Event) -> None:
        """Project until `halt` is set. Raises OperationError."""
        self._topic_ids = Admin(self._settings).topic_ids(sorted(self._roles))
        if missing := sorted(self._roles.keys() - self._topic_ids.keys()):
            raise OperationError(
                "topic_missing",
                f"The topic {missing[0]} does not exist. Run `streamflow topics apply`; the worker tries again.",
            )
        self._adopt()
        if self._is_alone:
            self._assign(self._places())
        else:
            self._consumer.subscribe(sorted(self._roles), on_assign=self._assigned, on_revoke=self._revoked)
        log.info("history_started", store=_store_of(self._settings))
        while not halt.is_set():
            self._batch(self._next())
            if time.monotonic() - self._seen > _SEEN_S:
                self._note_seen()
            self._upkeep.step(self._database)
            if self._open is not None:
                self._open.step(self._database)
        self._note_seen()

    # -- partitions

    def _adopt(self) -> None:
        """Continue with a topic that was deleted and recreated, from its beginning. If that is so of all of them, the
        store belongs to another installation."""
        known = {role: topic_id for (role, _), (topic_id, _) in positions(self._database).items()}
        ids = {role: self._topic_ids[name] for name, role in self._roles.items()}
        other = [role for role in known if known[role] != ids[role]]
        if other and len(other) == len(known):
            raise _other_topics(_store_of(self._settings))
        for role in other:
            log.warning("history_topic_recreated", topic=topic_name(self._settings, role))
            adopt(self._database, role, ids[role])

    def _partitions(self, topic: str) -> list[int]:
        try:
            found = self._consumer.list_topics(topic, timeout=_ANSWER_S).topics[topic]
        except KafkaException as error:
            raise unreadable(topic, error) from error
        return sorted(found.partitions)

    def _places(self) -> list[TopicPartition]:
        return [TopicPartition(name, number) for name in self._roles for number in self._partitions(name)]

    def _take_added(self) -> None:
        """Read partitions that were added, from their beginning."""
        self._looked = time.monotonic()
        places = self._places()
        if len(places) > len(self._at):
            self._assign(places)

    def _assigned(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self._metrics.count("rebalances")
        self._assign(places)

    def _revoked(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """What is in memory is written already; the next owner begins at the position in the store."""
        self._folds.clear()
        for place in places:
            self._at.pop((self._roles[place.topic], place.partition), None)
        self._stalls.begin([])

    def _assign(self, places: Sequence[TopicPartition]) -> None:
        """Read `places` from their positions in the store on."""
        known = positions(self._database)
        offsets = []
        for tp in places:
            role = self._roles[tp.topic]
            topic_id = self._topic_ids[tp.topic]
            low, high = self._bounds(tp)
            found = known.get((role, tp.partition))
            if found is None:
                begin(self._database, role, topic_id, tp.partition, low)
                found = (
                    topic_id,
                    Progress(topic=role, partition=tp.partition, offset=low, end=high, record_ms=0, seen_ms=0),
                )
            at = found[1]
            if at.offset < low:
                log.error(
                    "history_records_lost",
                    topic=tp.topic,
                    partition=tp.partition,
                    lost=low - at.offset,
                    meaning="they were deleted before the worker read them",
                )
                after = msgspec.structs.replace(at, offset=low, end=high)
                with self._database.transaction():
                    move(self._database, [at], [after])
                at = after
            self._at[role, tp.partition] = at
            offsets.append(TopicPartition(tp.topic, tp.partition, at.offset))
        self._consumer.assign(offsets)
        self._stalls.begin(offsets)

    def _bounds(self, tp: TopicPartition) -> tuple[int, int]:
        try:
            low, high = self._consumer.get_watermark_offsets(tp, timeout=_ANSWER_S)
        except KafkaException as error:
            raise unreadable(tp.topic, error) from error
        return low, high

    # -- batches

    def _next(self) -> list[Message]:
        """What is there; waits for one record if nothing is."""
        most = self._settings.history.batch_records
        try:
            found = self._consumer.consume(most, timeout=0) or self._consumer.consume(1, timeout=_WAIT_S)
        except KafkaException as error:
            raise unreadable("its topics", error) from error
        self._stalls.saw(found)
        self._stalls.require_none(self._consumer)
        return found

    def _batch(self, messages: list[Message]) -> None:
        """Project the records, and write what they change with the positions behind them."""
        records: list[tuple[str, Record]] = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append((self._roles[message.topic() or ""], as_record(message)))
            elif error.code() != _EOF:
                if (denied := denied_reading(self._settings, error, message.topic())) is not None:
                    raise denied
                raise OperationError(
                    "topic_unreadable",
                    f"expected to read {message.topic()} but {error.name()}: {error.str()}. Check the broker and its "
                    "permissions.",
                )
        if not records:
            return
        try:
            self._take(records)
        except UNREADABLE as error:
            log.warning("history_batch_split", records=len(records), error=repr(error)[:300])
            self._one_by_one(records)

    def _take(self, records: list[tuple[str, Record]]) -> None:
        began = time.perf_counter()
        changes = self._project(records)
        before, after = self._moved(records)
        write(self._database, changes, before, after)
        self._reached(after)
        self._forget(changes)
        self._metrics.observe("history_batch_seconds", time.perf_counter() - began)
        for role, count in Counter(role for role, _ in records).items():
            self._metrics.count("history_records", count, topic=role)
        if changes.gaps:
            log.warning("history_gaps", runs=changes.gaps, meaning="transitions of runs are missing in their topic")

    def _one_by_one(self, records: list[tuple[str, Record]]) -> None:
        """What no store can keep, such as a number of a hundred digits where a time belongs, is left out, and nothing
        else."""
        for role, record in records:
            self._folds.clear()  # half of a batch may be in them
            try:
                self._take([(role, record)])
            except UNREADABLE as error:
                self._folds.clear()
                self._unreadable[role].skip(record.partition, record.offset, error)
                before, after = self._moved([(role, record)])
                with self._database.transaction():
                    move(self._database, before, after)
                self._reached(after)

    def _reached(self, after: list[Progress]) -> None:
        for progress in after:
            self._at[progress.topic, progress.partition] = progress
        self.worked = True
        self._commit(after)
        self._report_lag()

    def _project(self, records: list[tuple[str, Record]]) -> Changes:
        changes = Changes()
        transitions: list[RecordedTransition] = []
        for role, record in records:
            try:
                if role == RUNS:
                    transition = decode_transition(record.value or b"", record.headers)
                    place = f"{RUNS}/{record.partition}/{record.offset}"
                    transitions.append(
                        RecordedTransition(transition=transition, value=record.value or b"", place=place)
                    )
                elif role == LOGS:
                    project_log(record, changes)
                elif role == UNCLAIMED:
                    project_unclaimed(record, changes)
                else:
                    project_letter(record, changes)
            except UNREADABLE as error:
                self._unreadable[role].skip(record.partition, record.offset, error)
        missing = {each.transition.run for each in transitions} - self._folds.keys()
        if missing:
            self._folds.update(load(self._database, missing))
        self._searches.learn(transitions)
        project_runs(transitions, self._folds, self._searches.of, changes)
        changes.notices = self._noting.recent(changes.notices)
        return changes

    def _moved(self, records: list[tuple[str, Record]]) -> tuple[list[Progress], list[Progress]]:
        """The positions of the partitions that had records, before and after them."""
        last: dict[PartitionId, Record] = {(role, record.partition): record for role, record in records}
        before, after = [], []
        now = int(time.time() * 1000)
        for place in sorted(last):
            record, at = last[place], self._at[place]
            end = max(self._end(place), record.offset + 1)
            waiting = end > record.offset + 1
            before.append(at)
            after.append(
                msgspec.structs.replace(
                    at,
                    offset=record.offset + 1,
                    end=end,
                    record_ms=record.timestamp_ms,
                    lag_ms=max(0, now - record.timestamp_ms) if waiting else 0,
                    seen_ms=now,
                )
            )
        return before, after

    def _end(self, place: PartitionId) -> int:
        role, number = place
        try:
            _, high = self._consumer.get_watermark_offsets(
                TopicPartition(topic_name(self._settings, role), number), cached=True
            )
        except KafkaException:
            return -1  # not known yet
        return int(high)

    def _forget(self, changes: Changes) -> None:
        """Keep open runs in memory, the ones that moved last, and no others."""
        for run in changes.ended:
            self._folds.pop(run, None)
        for row in changes.runs:
            if row.run in self._folds:
                self._folds.move_to_end(row.run)
                if row.status != "open":
                    del self._folds[row.run]
        while len(self._folds) > _FOLDS:
            self._folds.popitem(last=False)

    def _note_seen(self) -> None:
        """Note that the worker is alive, and where the topics end."""
        now = int(time.time() * 1000)
        before = list(self._at.values())
        after = []
        for at in before:
            end = max(self._end((at.topic, at.partition)), at.offset)
            after.append(msgspec.structs.replace(at, end=end, lag_ms=at.lag_ms if end > at.offset else 0, seen_ms=now))
        with self._database.transaction():
            move(self._database, before, after)
        self._at = {(at.topic, at.partition): at for at in after}
        self._seen = time.monotonic()
        if self._is_alone and time.monotonic() - self._looked > _LOOK_S:
            self._take_added()

    def _report_lag(self) -> None:
        for role in ROLES:
            lags = [at.lag_ms for at in self._at.values() if at.topic == role]
            self._metrics.gauge("history_lag_seconds", max(lags, default=0) / 1000, topic=role)

    def _commit(self, reached: Sequence[Progress]) -> None:
        """Show in the group how far this is. Nobody reads from there."""
        offsets = [TopicPartition(topic_name(self._settings, at.topic), at.partition, at.offset) for at in reached]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            log.debug("history_commit_failed", error=str(error))


def _store_of(settings: Settings) -> str:
    return settings.history.postgresql or str(settings.history.path)


def _other_topics(store: str) -> OperationError:
    return OperationError(
        "history_other_topics",
        f"The history store {store} was made from other topics than those that are here. Run `streamflow history "
        "rebuild`, or name another store in the section history of the settings.",
        retryable=False,
    )
