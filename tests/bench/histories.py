"""Histories of runs as an engine would write them. `python -m tests.bench.histories BOOTSTRAP TOPIC FIRST RUNS RATE`
appends those of some runs: so many transitions a second, or as fast as it goes with 0.

Prints when it begins, and at the end how many were acknowledged."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

from confluent_kafka import Producer
from msgspec.structs import replace

from streamflow.engine import transitions as t
from streamflow.engine.attempt_transitions import AttemptFailed, AttemptSucceeded, CallRequested
from streamflow.engine.commands import Event
from streamflow.engine.transitions import Transition
from streamflow.ids import partition_of_run
from streamflow.wire.transitions import encode_transition
from tests.builders import NOW_MS
from tests.proof.world import PARTITIONS

TRANSITIONS = 12  # of a run
_WAVE = 50  # runs that are open at the same time


def run_of(number: int) -> str:
    """The id of run `number`."""
    return f"{number:08x}-main-{number:020x}"


def history_of(number: int, began_ms: int | None = None) -> list[Transition]:
    """The transitions of run `number`, which began then (epoch milliseconds)."""
    began_ms = NOW_MS + number * 10 if began_ms is None else began_ms
    event = Event(name="placed", id=f"e{number}", time_ms=1, data={"city": f"c{number % 40}", "text": "x" * 200})
    call = CallRequested(operation="http.post", lane="default", input={"a": "y" * 100}, due_ms=NOW_MS + 9)
    facts: list[tuple[Any, str]] = [
        (t.RunStarted(trigger="placed", event=event, sha="sha", revision="1"), ""),
        (t.ValuesSet(values={"a": 1}), "set"),
        (t.BranchChosen(branch="large"), "size"),
        (t.StepsSkipped(steps=("small",)), ""),
        (call, "charge"),
        (AttemptFailed(code="http_500", message="no", retry_ms=NOW_MS), "charge"),
        (call, "charge"),
        (AttemptSucceeded(output={"ok": True}), "charge"),
        (t.WaitStarted(events=("paid",), due_ms=NOW_MS + 9), "pay"),
        (t.WaitSatisfied(outcome="paid", event=Event(name="paid", id=f"p{number}", time_ms=1, data={})), "pay"),
        (t.EventEmitted(event="shipped", id=f"{number}/11", key=f"K{number}", data={"a": 1}), "ship"),
        (t.RunCompleted(ended=("ship",)), ""),
    ]
    return [
        Transition(
            run=run_of(number),
            definition="order",
            version="1",
            key=f"K{number}",
            seq=seq,
            at_ms=began_ms + seq,
            cause=f"c{seq}",
            data=data,
            step=step or None,
            attempt=1 if step == "charge" else None,
        )
        for seq, (data, step) in enumerate(facts, 1)
    ]


def interleaved(first: int, runs: int) -> Iterator[Transition]:
    """The transitions of some runs, which begin now, many of them open at a time."""
    for begin in range(first, first + runs, _WAVE):
        now_ms = time.time_ns() // 1_000_000
        wave = [history_of(number, now_ms) for number in range(begin, min(begin + _WAVE, first + runs))]
        yield from itertools.chain.from_iterable(zip(*wave, strict=True))


def long_history(number: int, transitions: int) -> list[Transition]:
    """The transitions of a run that tries a call again and again, and goes on to its end."""
    whole = history_of(number, time.time_ns() // 1_000_000)  # what ended long ago is removed
    tried = whole[:4] + [whole[4 + place % 2] for place in range(transitions - TRANSITIONS + 2)] + whole[6:]
    return [replace(one, seq=seq, at_ms=whole[0].at_ms + seq) for seq, one in enumerate(tried, 1)]


def append(bootstrap: str, topic: str, transitions: Iterable[Transition], rate: float = 0.0) -> int:
    """Appends transitions, so many a second or with 0 as fast as it goes: how many were acknowledged."""
    failed, sent = 0, 0

    def told(error: Any, _message: Any) -> None:
        nonlocal failed
        failed += error is not None

    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 5,
            "enable.idempotence": True,
            "queue.buffering.max.messages": 1_000_000,
            "log_level": 0,
        }
    )
    began = time.time()
    for sent, transition in enumerate(transitions, 1):
        if sent % 100 == 0:
            producer.poll(0)
            if rate and (wait_s := began + sent / rate - time.time()) > 0:
                time.sleep(wait_s)
        key, value, headers = encode_transition(transition, None)
        place = partition_of_run(transition.run, PARTITIONS)
        producer.produce(topic, value, key, place, headers=list(headers), on_delivery=told)
    return sent - producer.flush(120) - failed


def main(bootstrap: str, topic: str, first: str, runs: str, rate: str) -> int:
    """0 when every transition was acknowledged."""
    print(json.dumps({"began_ms": time.time() * 1000}), flush=True)
    sent = append(bootstrap, topic, interleaved(int(first), int(runs)), float(rate))
    print(json.dumps({"sent": sent, "ended_ms": time.time() * 1000}))
    return 0 if sent == int(runs) * TRANSITIONS else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
