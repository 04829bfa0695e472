"""What is run on: two definitions that never change, so that figures of different days can be compared, and commands
for them."""

from __future__ import annotations

import time
from collections.abc import Iterator

from confluent_kafka import KafkaError, Message, Producer

from streamflow.engine import commands as c
from streamflow.ids import partition_of
from streamflow.wire.codec import encode_command
from tests.proof.world import PARTITIONS, Failed

# Six transitions for its two commands: started, chosen, set, waiting (a timer is armed) | satisfied (disarmed),
# completed.
TWO_COMMANDS = """
name: bench-two
version: "1"
on: [{id: placed, event: bench.placed}]
steps:
  - id: large
    choose:
      - {id: large, if: 'trigger.amount > 3'}
      - {id: small}
  - id: total
    needs: [large.large]
    set: [{name: total, expr: 'trigger.amount * 2'}]
  - id: paid
    needs: [total]
    wait: {events: [{id: paid, event: bench.paid}], within: 24h}
"""
TRANSITIONS_PER_RUN = 6

# Three transitions, and the run is over.
ONE_EVENT = """
name: bench-one
version: "1"
on: [{id: placed, event: bench.placed}]
steps:
  - id: total
    set: [{name: total, expr: 'trigger.amount * 2'}]
"""

CONTEXT = {f"field{number}": "x" * 20 for number in range(28)}  # with the id and the amount, 1 KB of JSON
_BLOCK = 5000  # runs started before the first of them goes on: its state is in the store by then


def catalog(topic: str = "bench") -> str:
    """Both events, in `topic`."""
    schema = "{type: object, properties: {id: {type: string}, amount: {type: integer}}}"
    places = "id: {path: id}, key: {path: id}"
    lines = [
        f"  - {{name: bench.{name}, topics: [{topic}], start: earliest, match: {{path: kind, equals: {name}}}, "
        f"{places}, schema: {schema}}}"
        for name in ("placed", "paid")
    ]
    return "events:\n" + "\n".join(lines) + "\n"


def start(number: int, sha: str, offset: int) -> c.Deliver:
    """The command that starts run `number`."""
    key = f"k{number}"
    event = c.Event(
        name="bench.placed", id=f"e{number}", time_ms=int(time.time() * 1000), data={"id": key, "amount": 5, **CONTEXT}
    )
    origin = c.Origin(topic_id="bench-placed", partition=0, offset=number, committed=0)
    return c.Deliver(
        id=f"s{number}",
        definition="bench-two",
        key=key,
        event=event,
        origin=origin,
        start=c.DefinitionRef(sha, offset),
        trigger="placed",
    )


def delivery(number: int) -> c.Deliver:
    """The command that ends run `number`."""
    key = f"k{number}"
    event = c.Event(name="bench.paid", id=f"p{number}", time_ms=int(time.time() * 1000), data={"id": key, "amount": 10})
    return c.Deliver(
        id=f"d{number}",
        definition="bench-two",
        key=key,
        event=event,
        origin=c.Origin(topic_id="bench-paid", partition=0, offset=number, committed=0),
    )


def commands(runs: int, sha: str, offset: int) -> Iterator[c.Deliver]:
    """Both commands of every run, the second one 5,000 runs later."""
    for first in range(0, runs, _BLOCK):
        block = range(first, min(first + _BLOCK, runs))
        yield from (start(number, sha, offset) for number in block)
        yield from (delivery(number) for number in block)


def append(bootstrap: str, topic: str, records: Iterator[c.Deliver]) -> int:
    """Appends commands in order, each to the partition of its key; how many. Raises Failed when one was refused."""
    errors: list[str] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            errors.append(str(error))

    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "linger.ms": 20,
            "queue.buffering.max.messages": 1_000_000,
            "log_level": 0,
        }
    )
    count = 0
    for command in records:
        producer.produce(
            topic,
            encode_command(command),
            command.key.encode(),
            partition_of(command.key, PARTITIONS),
            on_delivery=delivered,
        )
        count += 1
        if count % 1000 == 0:
            producer.poll(0)
    left = producer.flush(120)
    if left or errors:
        raise Failed(
            f"expected {count} commands to be appended but {left} were not acknowledged and {len(errors)} refused: "
            f"{errors[:3]}"
        )
    return count
