"""A small whole world by hand: one run that calls something outside and emits an event, with everything that ingress,
engine and workers leave behind."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from streamflow_check.experiment import Experiment, Input
from streamflow_check.records import Headers, Record
from tests.checker.recorded import Recorded, as_json

RUN, KEY, SHA = "0000002a-aaaa", "k1", "5ba1"
T0 = 1_767_225_600_000
SOURCE, TARGET = "orders", "shipments"
START, DONE, FIRE = "source-id/0/0/t1", "complete/1", f"timer/{RUN}/pause/{T0 + 700}"


def a_world() -> Recorded:
    """The run starts by an event, waits 700 ms, calls `book` and emits `shipped`; a second event is ignored and a third
    is a dead letter."""
    made = _Maker()
    event = {"name": "placed", "id": "e1", "time_ms": T0, "data": {"x": 1}}
    origin = {"topic_id": "source-id", "partition": 0, "offset": 0, "committed": 0}
    start = {"sha256": SHA, "log_offset": 0, "engine_revision": "r"}
    made.record(SOURCE, T0, KEY, {"id": "e1"})
    made.record(SOURCE, T0, KEY, {"id": "e2"})
    made.record(SOURCE, T0, KEY, {"id": "e3"})
    made.record("p.definitions", T0, "binding/placed", {"topics": [SOURCE]})
    made.record("p.definitions", T0, "binding/shipped", {"topics": [TARGET]})
    made.record("p.definitions", T0, "version/d@1", {"sha": SHA})
    made.command(
        0,
        {
            "kind": "Deliver",
            "id": START,
            "definition": "d",
            "key": KEY,
            "start": start,
            "trigger": "on",
            "event": event,
            "origin": origin,
        },
    )
    made.transition("RunStarted", 0, START, {"trigger": "on", "event": event, "sha": SHA, "revision": "r"})
    made.transition("DelayStarted", 0, START, {"until_ms": T0 + 700}, step="pause")
    made.command(705, {"kind": "FireTimer", "id": FIRE, "run": RUN, "address": "pause", "due_ms": T0 + 700})
    made.transition("DelayElapsed", 705, FIRE, {"until_ms": T0 + 700}, step="pause")
    asked = {"operation": "echo", "lane": "default", "input": {"a": 1}, "due_ms": T0 + 60_000}
    made.transition("CallRequested", 705, FIRE, asked, step="book", attempt=1)
    task = {
        "kind": "call",
        "id": f"{RUN}/book/1",
        "idempotency_key": f"{RUN}/book",
        "run": RUN,
        "key": KEY,
        "step": "book",
        "attempt": 1,
        "input": {"a": 1},
    }
    made.record("p.tasks.default", T0 + 705, KEY, task)
    made.command(
        800, {"kind": "CompleteAttempt", "id": DONE, "run": RUN, "address": "book", "attempt": 1, "output": {"b": 2}}
    )
    made.transition("AttemptSucceeded", 800, DONE, {"output": {"b": 2}}, step="book", attempt=1)
    made.transition(
        "EventEmitted",
        800,
        DONE,
        {"event": "shipped", "id": f"{RUN}/6", "key": KEY, "data": {"x": 1}},
        step="ship",
    )
    made.record(TARGET, T0 + 800, KEY, {"x": 1}, (("ce_id", f"{RUN}/6".encode()),))
    made.transition("WaitStarted", 800, DONE, {"events": ["placed"], "due_ms": None}, step="more")
    made.record("p.commands", T0 + 900, "", b"{rubbish")
    made.letter("engine", "bad_command", "p.commands", 3, b"{rubbish")
    made.letter("ingress", "bad_json", SOURCE, 2, b"?", (("streamflow.dlq.topic_id", b"source-id"),))
    made.state()
    metadata = json.dumps({"topic_id": "source-id", "read": 3, "matched": 1, "ignored": 1, "dead": 1})
    lane = {0: (1, json.dumps({"topic": "x", "by": "w", "counts": {"completed": 1}}))}
    committed = {
        ("p.tasks.default", "p.tasks.default"): lane,
        ("p.engine", "p.commands"): {0: (4, "")},
        ("p.ingress", SOURCE): {0: (3, metadata)},
    }
    return Recorded(made.topics, committed, {SOURCE: "source-id"})


def an_experiment(**changes: Any) -> Experiment:
    """What is known of that world."""
    inputs = (
        Input(SOURCE, 0, 0, "e1", starts=("d",)),
        Input(SOURCE, 0, 1, "e2", ignored=True),
        Input(SOURCE, 0, 2, "e3", dead=True),
        Input(command=START),
    )
    return Experiment(**({"inputs": inputs, "ledger": Counter({f"{RUN}/book": 1})} | changes))


class _Maker:
    def __init__(self) -> None:
        names = (
            "p.commands",
            "p.runs",
            "p.state",
            "p.tasks.default",
            "p.dead-letters",
            "p.unclaimed",
            "p.definitions",
            SOURCE,
            TARGET,
        )
        self.topics: dict[str, list[list[Record]]] = {name: [[]] for name in names}
        self._seq = 0

    def record(self, topic: str, at_ms: int, key: str, value: Any, headers: Headers = ()) -> None:
        records = self.topics[topic][0]
        raw = value if isinstance(value, bytes) else as_json(value)
        records.append(Record(topic, 0, len(records), at_ms, key.encode(), raw, headers))

    def command(self, after_ms: int, value: dict[str, Any]) -> None:
        self.record("p.commands", T0 + after_ms, value.get("key", ""), value)

    def transition(self, kind: str, after_ms: int, cause: str, data: dict[str, Any], **more: Any) -> None:
        self._seq += 1
        told = {
            "run": RUN,
            "definition": "d",
            "version": "1",
            "key": KEY,
            "seq": self._seq,
            "at_ms": T0 + after_ms,
            "cause": cause,
            "data": data,
        } | more
        headers = (("ce_id", f"{RUN}/{self._seq}".encode()), ("ce_type", f"streamflow.{kind}".encode()))
        self.record("p.runs", T0 + after_ms + 1, KEY, told, headers)

    def letter(self, stage: str, reason: str, topic: str, offset: int, value: bytes, more: Headers = ()) -> None:
        told = {"stage": stage, "reason": reason, "topic": topic, "partition": "0", "offset": str(offset)}
        headers = tuple((f"streamflow.dlq.{name}", text.encode()) for name, text in told.items())
        self.record("p.dead-letters", T0 + 900, KEY, value, headers + more)

    def state(self) -> None:
        own = {
            "applied": 3, "time_ms": T0 + 900, "parked": 0, "reasons": {"bad_command": 1},
            "counts": {"read": 4, "applied": 3, "rejected": 0, "duplicate": 0, "dead": 1},
        }  # fmt: skip
        steps = {
            "pause": {"status": "done", "outcome": "done"},
            "book": {"status": "done", "outcome": "done", "attempt": 1},
            "ship": {"status": "done", "outcome": "done"},
            "more": {"status": "waiting"},
        }
        head = {
            "run": RUN,
            "definition": "d",
            "version": "1",
            "sha": SHA,
            "revision": "r",
            "key": KEY,
            "seq": 7,
            "started_ms": T0,
            "trigger": "on",
        }
        self.record("p.state", T0, "own", own)
        self.record("p.state", T0, f"run/{RUN}", head | {"steps": steps})
        self.record("p.state", T0, f"box/d/{len(KEY)}:{KEY}", [[[RUN, 0, []]], [], False])
        self.record("p.state", T0, "tally/d", {"placed/delivered": 1, "placed/started": 1})
        self.record("p.state", T0, f"out/{RUN}/book", {"b": 2})
