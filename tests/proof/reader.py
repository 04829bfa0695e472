"""Reads a broker as a stranger would: nothing of streamflow is imported here, only Kafka's client, JSON, and the
checker's reading of offsets.

`read_runs` is the definition of "exact": of each (run, seq) the first copy counts, every further copy must be the same
bytes, `seq` has no gaps and no order but its own, and nothing follows an ending.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streamflow_check import offsets

ENDINGS = ("RunCompleted", "RunFailed", "RunCancelled")
_SILENCE_S = 60.0
_LOOK_S = 2.0
_ANSWER_S = 10.0
_SHOWN = 5

T = TypeVar("T")
Headers = list[tuple[str, bytes]]


@dataclass
class Run:
    """What `runs` tells of one run. `ended` is its last transition's outcome, None while it is open."""

    run: str
    definition: str
    key: str
    partition: int
    seq: int = 0
    version: str = ""
    waiting: str = ""
    ended: str | None = None
    started_ms: int = 0  # the broker's time of the first transition
    last_ms: int = 0  # and of the last
    start: dict[str, Any] = field(default_factory=dict)  # the data of the event that started it


@dataclass
class Runs:
    """All runs, and what is wrong with them: an empty list of `faults` means that they are exact."""

    runs: dict[str, Run] = field(default_factory=dict)
    records: int = 0
    copies: int = 0
    faults: list[str] = field(default_factory=list)

    def outcomes(self) -> dict[str, str]:
        """The outcome by business key: `<step>.<outcome>` of the end, or `waiting.<step>`. A key with two runs shows
        both."""
        found: dict[str, str] = {}
        for run in self.runs.values():
            outcome = run.ended or f"waiting.{run.waiting}"
            found[run.key] = f"{found[run.key]} and {outcome}" if run.key in found else outcome
        return found

    def counts(self) -> Counter[str]:
        """How many keys have which outcome."""
        return Counter(self.outcomes().values())


@dataclass(frozen=True)
class DeadLetter:
    """A record of `dead-letters`; `reason` and `stage` from its headers."""

    key: bytes | None
    value: bytes | None
    headers: dict[str, str]

    @property
    def reason(self) -> str:
        return self.headers.get("streamflow.dlq.reason", "")

    @property
    def stage(self) -> str:
        return self.headers.get("streamflow.dlq.stage", "")

    @property
    def place(self) -> tuple[str, ...]:
        """Where the record was: several dead letters of one record, and copies, have the same place."""
        return tuple(
            self.headers.get(f"streamflow.dlq.{name}", "") for name in ("topic_id", "topic", "partition", "offset")
        )


class IndependentReader:
    """Reads the topics of one prefix. Every call reads from the beginning to the end as it is when the call begins."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.bootstrap = bootstrap
        self.prefix = prefix
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self._known: dict[str, list[TopicPartition]] = {}
        self._looked: dict[str, float] = {}  # when a topic was asked for its partitions
        self._groups: dict[str, Consumer] = {}

    # -- what the topics hold

    def ends(self, topic: str) -> dict[int, tuple[int, int]]:
        """First and next offset of each partition: also what lies in transactions that are still open."""
        now = time.monotonic()
        if topic not in self._known or now - self._looked[topic] > _LOOK_S:  # partitions may have been added
            self._known[topic] = self._answered(lambda: self._partitions(topic))
            self._looked[topic] = now
        return self._answered(lambda: self._ends(topic))

    def _partitions(self, topic: str) -> list[TopicPartition]:
        """Also fails for a moment after the topic was created: the broker learns of it after the controller."""
        found = self._admin.list_topics(topic, timeout=_ANSWER_S).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        return [TopicPartition(topic, partition) for partition in sorted(found.partitions)]

    def _ends(self, topic: str) -> dict[int, tuple[int, int]]:
        answers = []
        for spec in (OffsetSpec.earliest(), OffsetSpec.latest()):  # type: ignore[no-untyped-call]
            futures = self._admin.list_offsets(dict.fromkeys(self._known[topic], spec), request_timeout=_ANSWER_S)
            answers.append({tp.partition: future.result().offset for tp, future in futures.items()})
        return {partition: (low, answers[1][partition]) for partition, low in answers[0].items()}

    def _answered(self, ask: Callable[[], T]) -> T:
        """What the broker answers, asked again while it is away or has just come back."""
        deadline = time.monotonic() + _SILENCE_S
        while True:
            try:
                return ask()
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
                with contextlib.suppress(KafkaException):
                    self._admin.list_topics(timeout=1)  # brings the client's picture of the broker up to date

    def held(self, topic: str) -> int:
        """How many offsets a topic holds. Only for topics without transactions: their marks count."""
        return sum(high - low for low, high in self.ends(topic).values())

    def messages(self, topic: str, committed: bool = False) -> Iterator[Any]:
        """Every record up to the end as it is now; with `committed`, only those of ended transactions."""
        consumer = self._consumer("read_committed" if committed else "read_uncommitted")
        try:
            left = {partition: low for partition, (low, high) in self.ends(topic).items() if high > low}
            consumer.assign([TopicPartition(topic, partition, low) for partition, low in left.items()])
            heard = time.monotonic()
            while left:
                batch: list[Any] = consumer.consume(5000, 0.1)
                if batch:
                    heard = time.monotonic()
                elif time.monotonic() - heard > _SILENCE_S:
                    raise TimeoutError(
                        f"expected the rest of {topic} but nothing came for {_SILENCE_S:.0f} s; partitions "
                        f"{sorted(left)} are unread"
                    )
                for message in batch:
                    error = message.error()
                    if error is None:
                        yield message
                    elif error.code() == KafkaError._PARTITION_EOF:
                        left.pop(message.partition(), None)
                    else:
                        raise KafkaException(error)
        finally:
            consumer.close()

    def runs(self, definition: str | None = None) -> Runs:
        """What `runs` holds (of one definition), judged as told above."""
        return read_runs(self.messages(f"{self.prefix}runs"), definition)

    def dead_letters(self) -> list[DeadLetter]:
        """Everything in `dead-letters`, copies included."""
        found = []
        for message in self.messages(f"{self.prefix}dead-letters"):
            headers = {name: (value or b"").decode(errors="replace") for name, value in message.headers() or []}
            found.append(DeadLetter(message.key(), message.value(), headers))
        return found

    def state(self) -> dict[int, dict[bytes, bytes]]:
        """The changelog of each partition as compaction would leave it: the last committed record of every key, without
        deletions."""
        fold: dict[int, dict[bytes, bytes]] = {partition: {} for partition in self.ends(f"{self.prefix}state")}
        for message in self.messages(f"{self.prefix}state", committed=True):
            key, value = message.key() or b"", message.value()
            if key.startswith(b"!"):
                continue  # the host's own: marks of cuts
            if value is None:
                fold[message.partition()].pop(key, None)
            else:
                fold[message.partition()][key] = value
        return fold

    # -- what groups say

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """The offset that `group` has committed for each partition of `topic`, or -1."""
        partitions = [TopicPartition(topic, partition) for partition in self.ends(topic)]
        if group not in self._groups:
            # A consumer that joins nothing: AdminClient.list_consumer_group_offsets ends the process (librdkafka 2.16)
            # when the coordinator moves.
            self._groups[group] = self._consumer("read_uncommitted", group)
        consumer = self._groups[group]
        found = self._answered(lambda: consumer.committed(partitions, timeout=_ANSWER_S))
        return {tp.partition: max(tp.offset, -1) for tp in found}

    def ingress_counts(self, topic: str) -> Counter[str]:
        """read, matched, ignored and dead of ingress over all partitions of a source topic."""
        total: Counter[str] = Counter()
        records = ((message.key(), message.value()) for message in self.messages(offsets.TOPIC, committed=True))
        for _, metadata in offsets.committed(records).last.get((f"{self.prefix}ingress", topic), {}).values():
            counts = json.loads(metadata)
            total.update({name: counts[name] for name in ("read", "matched", "ignored", "dead")})
        return total

    def _consumer(self, isolation: str, group: str = "a-stranger") -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": group,
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "isolation.level": isolation,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 20,
                "log_level": 0,
            }
        )


def engine_counts(state: Mapping[int, Mapping[bytes, bytes]]) -> Counter[str]:
    """read, applied, rejected, duplicate and dead of the engine: the sum over the partitions' own records."""
    total: Counter[str] = Counter()
    for records in state.values():
        if own := records.get(b"own"):
            total.update(json.loads(own)["counts"])
    return total


def reasons(state: Mapping[int, Mapping[bytes, bytes]]) -> Counter[str]:
    """Why the engine did not apply commands, summed over the partitions."""
    total: Counter[str] = Counter()
    for records in state.values():
        if own := records.get(b"own"):
            total.update(json.loads(own).get("reasons", {}))
    return total


def read_runs(messages: Iterable[Any], definition: str | None = None) -> Runs:
    """Judges the records of `runs`, in the order in which each partition holds them."""
    found = Runs()
    first: dict[tuple[str, int], tuple[bytes, Headers]] = {}
    faults: Counter[str] = Counter()

    def fault(kind: str, text: str) -> None:
        faults[kind] += 1
        if faults[kind] <= _SHOWN:
            found.faults.append(f"{kind}: {text}")

    for message in messages:
        value = message.value() or b""
        record = json.loads(value)
        if definition is not None and record["definition"] != definition:
            continue
        found.records += 1
        headers = sorted((name, bytes(content or b"")) for name, content in message.headers() or [])
        named = {name: content.decode() for name, content in headers}
        run_id, seq, kind = record["run"], record["seq"], named["ce_type"].removeprefix("streamflow.")
        place = f"{run_id}/{seq} at {message.partition()}/{message.offset()}"
        if named["ce_id"] != f"{run_id}/{seq}" or (message.key() or b"").decode() != record["key"]:
            fault("mislabelled", f"{place} has id {named['ce_id']} and key {message.key()!r}")
        if (run_id, seq) in first:
            found.copies += 1
            if first[run_id, seq] != (value, headers):
                fault("different copies", f"{place}: {value!r} {headers} after {first[run_id, seq]}")
            continue
        first[run_id, seq] = (value, headers)
        run = found.runs.get(run_id)
        if run is None:
            run = found.runs[run_id] = Run(
                run_id, record["definition"], record["key"], message.partition(), started_ms=message.timestamp()[1]
            )
        if seq != run.seq + 1:
            fault("gap", f"{place} comes after seq {run.seq}")
        if run.ended is not None:
            fault("after the ending", f"{place} is a {kind} and follows {run.ended}")
        if message.partition() != run.partition:
            fault("two partitions", f"{place}, and {run.partition}")
        if run.version not in ("", record["version"]):
            fault("two versions", f"{place} is of {record['version']}, and before of {run.version}")
        run.seq, run.version, run.last_ms = seq, record["version"], message.timestamp()[1]
        if kind == "RunStarted":
            run.start = record["data"]["event"]
        elif kind == "WaitStarted":
            run.waiting = record["step"]
        elif kind == "RunCompleted":
            run.ended = " ".join(record["data"]["ended"])
        elif kind in ENDINGS:
            run.ended = f"{kind} {record['data']['reason']}"
    found.faults += [f"{kind}: {count - _SHOWN} more" for kind, count in faults.items() if count > _SHOWN]
    return found
