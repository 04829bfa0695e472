"""The checker finds nothing wrong with a whole world, and names the promise that each falsification of it breaks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from streamflow_check.experiment import Input
from streamflow_check.judge import judge
from streamflow_check.promises import PROMISES
from streamflow_check.records import Record
from tests.checker.made import DONE, KEY, RUN, SOURCE, START, T0, TARGET, a_world, an_experiment
from tests.checker.recorded import Recorded, as_json, changed, transition

BOX = f"box/d/{len(KEY)}:{KEY}"
ASKED_ELSEWHERE = {"cli-agrees", "api-agrees", "history-agrees"}


def held(world: Recorded, key: str) -> Record:
    return world.find("state", lambda record: record.key == key.encode())


def told(world: Recorded, kind: str) -> Record:
    return world.find("runs", transition(kind))


def command(world: Recorded, id_: str) -> Record:
    return world.find("commands", lambda record: (record.json() or {}).get("id") == id_)


def own(world: Recorded, **changes: Any) -> None:
    record = held(world, "own")
    world.replace(record, record._replace(value=as_json(record.json() | changes)))


def counts(world: Recorded, **changes: int) -> None:
    own(world, counts=held(world, "own").json()["counts"] | changes)


def head(world: Recorded, **changes: Any) -> None:
    record = held(world, f"run/{RUN}")
    world.replace(record, record._replace(value=as_json(record.json() | changes)))


def source_counts(world: Recorded, **changes: int) -> None:
    offset, metadata = world.offsets["p.ingress", SOURCE][0]
    world.offsets["p.ingress", SOURCE][0] = offset, json.dumps(json.loads(metadata) | changes)


def replaced(kind: str, **fields: Any) -> Callable[[Recorded], None]:
    """A transition of this kind has other fields."""

    def plant(world: Recorded) -> None:
        record = told(world, kind)
        world.replace(record, changed(record, **fields))

    return plant


def again(kind: str, **fields: Any) -> Callable[[Recorded], Any]:
    """A transition of this kind comes once more, with other fields."""
    return lambda world: world.add(changed(told(world, kind), **fields))


def counted_otherwise(world: Recorded) -> None:
    counts(world, applied=2, duplicate=1)
    own(world, reasons={"bad_command": 1, "run_exists": 1})


def not_fired(world: Recorded) -> None:
    replaced("WaitStarted", data={"due_ms": T0 + 1000})(world)
    world.add(changed(told(world, "RunStarted"), run="0000002a-bbbb")._replace(at_ms=T0 + 99_000))


def accepted_twice(world: Recorded) -> None:
    record = changed(told(world, "AttemptSucceeded"), seq=8)
    headers = tuple((name, f"{RUN}/8".encode() if name == "ce_id" else value) for name, value in record.headers)
    world.add(record._replace(headers=headers))
    head(world, seq=8)


def consumed_twice(world: Recorded) -> None:
    for seq in (8, 9):
        value = {
            "run": RUN, "definition": "d", "version": "1", "key": KEY, "seq": seq, "at_ms": T0 + 800, "cause": DONE, "step": "more",  # noqa: E501
            "data": {"outcome": "x", "event": {"name": "placed", "id": "e9", "time_ms": 1}, "is_copy": True},
        }  # fmt: skip
        headers = (("ce_id", f"{RUN}/{seq}".encode()), ("ce_type", b"streamflow.WaitSatisfied"))
        world.add(told(world, "WaitStarted")._replace(value=as_json(value), headers=headers))


def reordered(world: Recorded) -> None:
    record = told(world, "RunStarted")
    world.add(record._replace(value=json.dumps(dict(reversed(record.json().items()))).encode()))


def decided_as_a_duplicate(world: Recorded, **command_: Any) -> None:
    """Another command is decided, and nothing is seen of it."""
    world.add(changed(command(world, START), id="another", **command_))
    counts(world, read=5, duplicate=1)
    own(world, applied=4, reasons={"bad_command": 1, "run_exists": 1})
    world.offsets["p.engine", "p.commands"][0] = (5, "")


def forgotten_start(world: Recorded) -> None:
    decided_as_a_duplicate(world, kind="StartRun", event={"name": "", "id": "r5", "time_ms": T0, "data": {}})


def vanished_event(world: Recorded) -> None:
    decided_as_a_duplicate(world, event={"name": "placed", "id": "e5", "time_ms": T0, "data": {}})
    tally(world, **{"placed/delivered": 2, "placed/duplicate/seen": 1})


def tally(world: Recorded, **changes: int) -> None:
    record = held(world, "tally/d")
    world.replace(record, record._replace(value=as_json(record.json() | changes)))


def unclaimed(world: Recorded, offset: int = 0) -> None:
    """An event is told to be unclaimed."""
    value = {"definition": "d", "key": KEY, "event": "placed", "outcome": "unclaimed", "offset": offset}
    world.topics["p.unclaimed"][0].append(Record("p.unclaimed", 0, 0, T0, KEY.encode(), as_json(value)))


def consumed_by_two_runs(world: Recorded) -> None:
    """The same event, delivered again, is consumed again: by another run, and within the window."""
    decided_as_a_duplicate(world, start=None)
    counts(world, applied=4, duplicate=0)
    own(world, reasons={"bad_command": 1})
    tally(world, **{"placed/delivered": 2, "placed/claimed": 1})
    event = command(world, START).json()["event"]
    value = told(world, "WaitStarted").json() | {"seq": 8, "at_ms": T0 + 900, "cause": "another", "step": "more"}
    value["data"] = {"outcome": "x", "event": event, "offset": 4}
    headers = (("ce_id", f"{RUN}/8".encode()), ("ce_type", b"streamflow.WaitSatisfied"))
    world.add(told(world, "WaitStarted")._replace(value=as_json(value), headers=headers))


def overdue_without_a_bound(world: Recorded) -> None:
    """Nothing is told any more, and the partition's time has gone past an armed timer."""
    replaced("WaitStarted", data={"due_ms": T0 + 1000})(world)
    own(world, time_ms=T0 + 99_000)


FALSIFIED: dict[str, tuple[str, Callable[[Recorded], Any]]] = {
    "an acknowledged record is not in its topic": ("acknowledged-input", lambda w: w.topics[SOURCE][0].clear()),
    "ingress has not read an acknowledged record": ("acknowledged-input", lambda w: w.offsets["p.ingress", SOURCE].update({0: (0, "")})),  # noqa: E501
    "an event started nothing": ("acknowledged-input", replaced("RunStarted", data={"event": {"name": "placed", "id": "e7", "time_ms": T0, "data": {}}})),  # noqa: E501
    "a dead letter is missing": ("acknowledged-input", lambda w: w.drop(w.find("dead-letters", lambda r: r.header("streamflow.dlq.stage") == "ingress"))),  # noqa: E501
    "an ignored event has a command": ("acknowledged-input", lambda w: w.add(changed(command(w, START), origin={
        "topic_id": "source-id", "partition": 0, "offset": 1, "committed": 0}))),
    "a start vanishes": ("one-outcome", forgotten_start),
    "unreadable bytes vanish": ("one-outcome", lambda w: w.drop(w.find("dead-letters", lambda r: r.header("streamflow.dlq.stage") == "engine"))),  # noqa: E501
    "outcomes do not add up": ("counts-add-up", lambda w: counts(w, applied=4)),
    "a command is not counted": ("counts-add-up", lambda w: counts(w, read=3, applied=2)),
    "an outcome is counted as another": ("counts-add-up", counted_otherwise),
    "reasons do not add up": ("counts-add-up", lambda w: own(w, reasons={})),
    "ingress counts what is not there": ("counts-add-up", lambda w: source_counts(w, read=4, ignored=2)),
    "ingress counts a match without a command": ("counts-add-up", lambda w: source_counts(w, matched=2, ignored=0)),
    "ingress counts a dead letter that is not there": ("counts-add-up", lambda w: source_counts(w, dead=2, ignored=0)),
    "the group has committed more than the state": ("at-rest", lambda w: w.offsets["p.engine", "p.commands"].update({0: (5, "")})),  # noqa: E501
    "a command is not decided": ("at-rest", lambda w: w.add(command(w, DONE))),
    "ingress skips a record": ("counts-add-up", lambda w: source_counts(w, read=2, ignored=0)),
    "a task is not done": ("at-rest", lambda w: w.offsets["p.tasks.default", "p.tasks.default"].update({0: (0, "")})),
    "a task is not counted": ("counts-add-up", lambda w: w.offsets["p.tasks.default", "p.tasks.default"].update({0: (1, '{"counts": {}}')})),  # noqa: E501
    "a source is not read to its end": ("at-rest", lambda w: w.add(w.topics[SOURCE][0][-1])),
    "a seq is missing": ("one-chain", lambda w: w.drop(told(w, "DelayElapsed"))),
    "the first seq is missing": ("one-chain", lambda w: w.drop(told(w, "RunStarted"))),
    "a transition follows the end": ("one-chain", lambda w: w.replace(told(w, "EventEmitted"), told(w, "EventEmitted")._replace(  # noqa: E501
        headers=(("ce_id", f"{RUN}/6".encode()), ("ce_type", b"streamflow.RunCompleted"))))),
    "a transition has the label of another": ("one-chain", lambda w: w.replace(told(w, "WaitStarted"), told(w, "WaitStarted")._replace(  # noqa: E501
        headers=(("ce_id", f"{RUN}/1".encode()), ("ce_type", b"streamflow.WaitStarted"))))),
    "a cause is no command": ("one-chain", replaced("CallRequested", cause="nobody")),
    "a copy is forged": ("identical-copies", again("DelayStarted", data={"until_ms": T0 + 701})),
    "a copy has its mapping in another order": ("identical-copies", reordered),
    "a copy has other headers": ("identical-copies", lambda w: w.add(told(w, "RunStarted")._replace(headers=(*told(w, "RunStarted").headers, ("x", b"y"))))),  # noqa: E501
    "a copy of a task differs": ("identical-copies", lambda w: w.add(changed(w.topics["p.tasks.default"][0][0], input={"a": 2}))),  # noqa: E501
    "a copy of the engine's own command differs": ("identical-copies", lambda w: w.add(changed(command(w, f"timer/{RUN}/pause/{T0 + 700}"), due_ms=1))),  # noqa: E501
    "a copy of an event differs": ("identical-copies", lambda w: w.add(w.topics[TARGET][0][0]._replace(value=b"{}"))),
    "a time is a worker's": ("broker-time", replaced("AttemptSucceeded", at_ms=T0 + 801)),
    "a version changes in flight": ("pinned-version", replaced("CallRequested", version="2")),
    "a run begins with another content than it was asked for": ("pinned-version", replaced("RunStarted", data={"sha": "other"})),  # noqa: E501
    "the state has another version than the run": ("pinned-version", lambda w: head(w, version="2")),
    "a content has another sha256": ("pinned-version", lambda w: w.add(held(w, "own")._replace(key=b"content/abc", value=b'"{}"'))),  # noqa: E501
    "a run takes an event twice": ("once-consumed", consumed_twice),
    "an event is consumed by two runs": ("once-consumed", consumed_by_two_runs),
    "a delivery vanishes": ("events-accounted", vanished_event),
    "an event is consumed, and unclaimed": ("events-accounted", unclaimed),
    "deliveries do not add up": ("events-accounted", lambda w: tally(w, **{"placed/delivered": 2})),
    "a delivery is counted as another": ("events-accounted", lambda w: tally(w, **{"placed/started": 0, "placed/claimed": 1})),  # noqa: E501
    "an event is kept of which there is no payload": ("state-is-fold", lambda w: w.replace(held(w, BOX), held(w, BOX)._replace(  # noqa: E501
        value=as_json([[[RUN, 0, []]], [[0, "placed", T0, 9, None, None, "", 0, None]], False])))),
    "a payload is kept that no mailbox names": ("state-is-fold", lambda w: w.add(held(w, "own")._replace(key=b"mail/d/2:k1/7"))),  # noqa: E501
    "a timer fires early": ("timers-on-time", lambda w: w.replace(told(w, "DelayElapsed"), changed(told(w, "DelayElapsed"), at_ms=T0 + 699))),  # noqa: E501
    "a timer fires early and its transition does not say so": ("timers-on-time", lambda w: w.replace(
        command(w, f"timer/{RUN}/pause/{T0 + 700}"), command(w, f"timer/{RUN}/pause/{T0 + 700}")._replace(at_ms=T0 + 600))),  # noqa: E501
    "a timer fires too late": ("timers-on-time", replaced("DelayElapsed", at_ms=T0 + 99_000)),
    "a timer has not fired": ("timers-on-time", not_fired),
    "an armed timer is overdue and nothing else happens": ("timers-on-time", overdue_without_a_bound),
    "a result is accepted twice": ("one-result", accepted_twice),
    "a result of another attempt is accepted": ("one-result", replaced("AttemptSucceeded", attempt=2)),
    "a child run is not asked for": ("children-answered", lambda w: w.replace(told(w, "CallRequested"), told(w, "CallRequested")._replace(  # noqa: E501
        headers=(("ce_id", f"{RUN}/4".encode()), ("ce_type", b"streamflow.ChildRequested"))))),
    "a task is missing": ("calls-sent", lambda w: w.topics["p.tasks.default"][0].clear()),
    "nobody asked for a task": ("calls-sent", lambda w: w.add(changed(w.topics["p.tasks.default"][0][0], id=f"{RUN}/book/2"))),  # noqa: E501
    "an emitted event is not published": ("events-emitted", lambda w: w.topics[TARGET][0].clear()),
    "a dead letter holds other bytes": ("dead-letters-whole", lambda w: w.replace(
        w.topics["p.dead-letters"][0][0], w.topics["p.dead-letters"][0][0]._replace(value=b"{}"))),
    "a head is missing from the changelog": ("state-is-fold", lambda w: w.drop(held(w, f"run/{RUN}"))),
    "a head is behind": ("state-is-fold", lambda w: head(w, seq=6)),
    "a head has a step otherwise": ("state-is-fold", lambda w: head(w, steps={})),
    "the changelog has a run that was never told": ("state-is-fold", lambda w: w.add(held(w, f"run/{RUN}")._replace(key=b"run/0000002a-cccc"))),  # noqa: E501
    "a timer is armed that is over": ("state-is-fold", lambda w: w.add(held(w, "own")._replace(key=f"timer/000000000000001/{RUN}/pause".encode()))),  # noqa: E501
    "the runs of a key are others": ("state-is-fold", lambda w: w.drop(held(w, BOX))),
    "an output outlives its run": ("state-is-fold", lambda w: w.add(held(w, f"out/{RUN}/book")._replace(key=b"out/0000002a-cccc/book"))),  # noqa: E501
    "parked runs are counted that are not": ("state-is-fold", lambda w: own(w, parked=1)),
}  # fmt: skip


def test_a_whole_world_keeps_every_promise_and_all_of_them_were_looked_at() -> None:
    report = judge(a_world(), an_experiment())
    assert report.broken_promises == []
    assert {name for name, finding in report.findings.items() if finding.word == "not looked at"} == {
        *ASKED_ELSEWHERE,
        "identical-copies",
        "children-answered",
    }


@pytest.mark.parametrize("what", FALSIFIED)
def test_a_falsified_world_breaks_the_promise_that_says_so(what: str) -> None:
    promise, plant = FALSIFIED[what]
    world = a_world()
    plant(world)
    report = judge(world, an_experiment())
    assert promise in report.broken_promises, report.table()
    assert report.findings[promise].evidence


def test_an_event_may_be_consumed_again_after_the_window_that_its_delivery_says() -> None:
    world = a_world()
    consumed_by_two_runs(world)
    world.replace(command(world, START), changed(command(world, START), window_ms=100))
    assert judge(world, an_experiment()).findings["once-consumed"].word == "kept"


def test_every_promise_can_be_broken() -> None:
    assert {promise for promise, _ in FALSIFIED.values()} | ASKED_ELSEWHERE | {"ledger-complete"} == PROMISES.keys()


@pytest.mark.parametrize(
    "ledger",
    [Counter[str](), Counter({f"{RUN}/book": 1, f"{RUN}/other": 1})],
    ids=["a call is missing", "a call was never asked for"],
)
def test_a_ledger_that_does_not_fit_breaks_its_promise_alone(ledger: Counter[str]) -> None:
    assert judge(a_world(), an_experiment(ledger=ledger)).broken_promises == ["ledger-complete"]


def test_effects_that_were_done_twice_under_one_key_are_told_and_break_nothing() -> None:
    report = judge(a_world(), an_experiment(ledger=Counter({f"{RUN}/book": 2})))
    assert report.ok
    assert report.facts["effects done more than once"] == 1


def test_an_acknowledged_command_that_is_not_there_breaks_the_promise_of_inputs() -> None:
    assert judge(a_world(), an_experiment(inputs=(Input(command="lost"),))).broken_promises == ["acknowledged-input"]


def test_identical_copies_break_nothing() -> None:
    world = a_world()
    for record in list(world.topics["p.runs"][0]):
        world.add(record)
    report = judge(world, an_experiment())
    assert report.ok
    assert report.counts["copies"] == 7


def test_what_is_only_true_at_rest_is_not_asked_of_running_work() -> None:
    world = a_world()
    world.add(changed(command(world, START), id="new", event={"name": "placed", "id": "e8", "time_ms": T0, "data": {}}))
    assert judge(world, an_experiment(at_rest=False)).ok


@pytest.mark.parametrize(("topic", "before"), [("commands", 1), ("commands", 3), ("runs", 2), ("runs", 4), ("runs", 7)])
def test_what_retention_has_deleted_is_told_and_breaks_nothing(topic: str, before: int) -> None:
    world = a_world()
    world.forget(topic, before)
    report = judge(world, an_experiment(inputs=None, ledger=None))
    assert report.ok, report.table()
    assert any(finding.notes for finding in report.findings.values())


def test_a_gap_is_seen_although_older_transitions_are_no_longer_kept() -> None:
    world = a_world()
    world.forget("runs", 2)
    world.drop(told(world, "AttemptSucceeded"))
    assert "one-chain" in judge(world, an_experiment(inputs=None)).broken_promises


def test_records_from_before_the_publication_need_not_be_read() -> None:
    world = a_world()
    source_counts(world, read=2, ignored=0)
    first = world.topics[SOURCE][0][1]
    world.replace(first, first._replace(at_ms=T0 - 2))
    before = world.topics[SOURCE][0][0]
    world.replace(before, before._replace(at_ms=T0 - 3))
    assert judge(world, an_experiment(inputs=None)).ok


def test_counts_that_began_anew_because_somebody_set_the_offset_are_told_and_not_compared() -> None:
    world = a_world()
    source_counts(world, read=1, ignored=0, dead=0)
    world.reset["p.ingress", SOURCE] = {0}
    report = judge(world, an_experiment())
    assert report.ok
    assert report.findings["counts-add-up"].notes


def test_a_promise_may_be_left_out() -> None:
    world = a_world()
    counts(world, applied=9)
    report = judge(world, an_experiment(without=frozenset({"counts-add-up"})))
    assert report.ok
    assert "counts-add-up" not in report.findings


def test_the_report_tells_the_verdicts_the_first_evidence_and_how_much_more_there_is() -> None:
    world = a_world()
    for seq in range(1, 8):
        record = world.find("runs", lambda found, seq=seq: found.json()["seq"] == seq)  # type: ignore[misc]
        world.add(changed(record, key="other"))
    report = judge(world, an_experiment())
    table, found = report.table(), report.as_json()
    assert "identical-copies    BROKEN" in table
    assert "identical-copies: and 2 more" in table
    assert found["ok"] is False
    assert next(each for each in found["promises"] if each["promise"] == "identical-copies")["broken"] == 7
    json.dumps(found)


def test_an_overdue_timer_is_seen_where_lateness_is_not_judged() -> None:
    world = a_world()
    overdue_without_a_bound(world)
    assert judge(world, an_experiment(late_ms=0)).findings["timers-on-time"].broken


def test_an_event_that_is_kept_or_unclaimed_is_accounted_for() -> None:
    world = a_world()
    decided_as_a_duplicate(world, event={"name": "placed", "id": "e5", "time_ms": T0, "data": {}})
    counts(world, rejected=1, duplicate=0)
    tally(world, **{"placed/delivered": 2, "placed/unclaimed/no_wait": 1})
    unclaimed(world, offset=4)
    assert judge(world, an_experiment()).ok
