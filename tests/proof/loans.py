"""The logs that the proof sends: the real one, a generated one of the same kind, and what each of them says without any
engine.

An independent producer sends them: Kafka's own client, keyed by application, one JSON object a record.
"""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import KafkaError, Message, Producer

TOPIC = "loan-applications"
REAL_LOG = Path(__file__).parents[3] / "shared" / "data" / "loan-events.jsonl.gz"
STAGES = ("preaccepted", "accepted", "approved")
ENDS = ("declined", "cancelled")

NINE_COUNTS = {
    "approved.approved": 2246,
    "preaccepted.declined": 5719,
    "accepted.declined": 1085,
    "approved.declined": 831,
    "preaccepted.cancelled": 1,
    "accepted.cancelled": 1100,
    "approved.cancelled": 1706,
    "waiting.accepted": 69,
    "waiting.approved": 330,
}


class Line(NamedTuple):
    """One event: its key and its bytes."""

    key: bytes
    value: bytes


def real_log(path: Path = REAL_LOG) -> list[Line]:
    """The real log, in its order. Raises OSError where it is not."""
    with gzip.open(path, "rb") as lines:
        return [Line(json.loads(line)["application"].encode(), line.rstrip(b"\n")) for line in lines]


def generated_log(seed: int, applications: int) -> list[Line]:
    """A log of the same kind: applications that come to every end there is, their events mixed with those of others and
    with some of no interest."""
    chosen = random.Random(seed)
    pending: list[tuple[float, str, str]] = []
    for number in range(applications):
        at, key = chosen.random() * 100, f"L{number}"
        pending.append((at, key, "A_SUBMITTED"))
        for stage in STAGES:
            for activity in ("W_Nabellen", stage):
                at += chosen.random()
                end = chosen.choice(ENDS) if activity == stage and chosen.random() < 0.25 else None
                pending.append((at, key, f"A_{(end or activity).upper()}" if activity == stage else activity))
                if end or chosen.random() < 0.03:
                    break
            else:
                continue
            break
    pending.sort()
    return [
        Line(
            key.encode(),
            json.dumps(
                {
                    "id": f"gen-{place}",
                    "time": "2026-01-05T08:00:00Z",
                    "application": key,
                    "activity": activity,
                    "amount": place,
                }
            ).encode(),
        )
        for place, (_, key, activity) in enumerate(pending)
    ]


def expected(lines: Iterable[Line]) -> dict[str, str]:
    """The outcome of every application, from the log alone: followed through three waits, either end of which may come
    at any of them."""
    activities: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        event = json.loads(line.value)
        activities[event["application"]].append(
            event["activity"].removeprefix("A_").lower() if event["activity"].startswith("A_") else ""
        )
    return {key: _outcome(names) for key, names in activities.items() if "submitted" in names}


def _outcome(names: Sequence[str]) -> str:
    waits = iter(STAGES)
    stage = next(waits)
    for name in names[names.index("submitted") + 1 :]:
        if name in ENDS:
            return f"{stage}.{name}"
        if name == stage:
            following = next(waits, None)
            if following is None:
                return f"{stage}.{stage}"
            stage = following
    return f"waiting.{stage}"


def expected_counts(lines: Iterable[Line]) -> dict[str, int]:
    """How many applications come to which outcome."""
    return dict(Counter(expected(lines).values()))


def send(
    bootstrap: str, lines: Sequence[Line], topic: str = TOPIC, allowed: Callable[[int], bool] = lambda sent: True
) -> None:
    """Sends `lines` in order and returns when the broker has all of them. Before each thousand it waits until `allowed`
    says go on.

    Raises RuntimeError when one was refused."""
    errors: list[str] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            errors.append(str(error))

    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "linger.ms": 5,
            "message.timeout.ms": 300_000,
            "queue.buffering.max.messages": 1_000_000,
            "log_level": 0,
        }
    )
    for place, line in enumerate(lines):
        if place % 1000 == 0:
            producer.poll(0)
            while not allowed(place):
                producer.poll(0.05)
        producer.produce(topic, key=line.key, value=line.value, on_delivery=delivered)
    left = producer.flush(300)
    if left or errors:
        raise RuntimeError(
            f"expected {topic} to take {len(lines)} events but {left} were not acknowledged and {len(errors)} "
            f"refused: {errors[:3]}"
        )
