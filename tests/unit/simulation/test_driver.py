"""A simulation does what an installation does, in virtual time."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from streamflow.engine.builder import Limits
from streamflow.engine.transitions import WaitSatisfied
from streamflow.errors import DefinitionError
from streamflow.simulation.driver import Simulation
from streamflow.simulation.log import COMMANDS, DEAD_LETTERS, Outgoing
from tests.builders import NOW_MS, a_catalog, a_definition

CATALOG = a_catalog("placed", "paid", "told")
ORDER = a_definition(
    {"id": "pay", "wait": {"events": [{"id": "paid", "event": "paid"}], "within": "1h"}},
    {"id": "tell", "needs": ["pay"], "emit": {"event": "told", "data": [{"name": "key", "expr": "run.key"}]}},
    {"id": "remind", "needs": ["pay.timeout"], "print": {"text": "'pay, ' + run.key"}},
)
LISTENER = a_definition(
    {"id": "p", "print": {"text": "'heard ' + trigger.key"}}, name="listener", on=[{"id": "told", "event": "told"}]
)


def a_simulation(**options: Any) -> Simulation:
    simulation = Simulation(**options)
    simulation.publish(ORDER, CATALOG)
    return simulation


def types(simulation: Simulation, run: str) -> list[str]:
    return [transition.type for transition in simulation.history(run)]


def test_an_event_starts_a_run_and_another_ends_it() -> None:
    simulation = a_simulation()
    simulation.send("placed", {}, key="k1")
    simulation.run_until_quiet()
    (run,) = simulation.runs()
    assert simulation.head(run) is not None
    simulation.send("paid", {"n": 1}, key="k1")
    simulation.run_until_quiet()
    assert types(simulation, run) == [
        "RunStarted",
        "WaitStarted",
        "WaitSatisfied",
        "EventEmitted",
        "StepsSkipped",
        "RunCompleted",
    ]
    assert simulation.head(run) is None
    (told,) = simulation.published_events("tolds")
    assert (told.key, told.value, dict(told.headers)["ce_id"]) == (b"k1", b'{"key":"k1"}', f"{run}/4".encode())


def test_what_a_run_emits_starts_another() -> None:
    simulation = a_simulation(partitions=3, source_partitions=2)
    simulation.publish(LISTENER, CATALOG)
    for key in ("k1", "k2", "k3"):
        simulation.send("placed", {}, key=key)
        simulation.run_until_quiet()
        simulation.send("paid", {}, key=key)
        simulation.run_until_quiet()
    assert sorted(line.text for line in simulation.printed) == ["heard k1", "heard k2", "heard k3"]


def test_days_pass_and_everything_happens_at_its_time() -> None:
    simulation = a_simulation()
    simulation.send("placed", {}, key="k1")
    simulation.advance("30m")
    simulation.send("placed", {}, key="k2")
    simulation.advance("2d")
    assert [(t.key, t.at_ms - NOW_MS) for t in simulation.transitions() if t.type == "WaitTimedOut"] == [
        ("k1", 3_600_000),
        ("k2", 5_400_000),
    ]
    assert [line.text for line in simulation.printed] == ["pay, k1", "pay, k2"]


def test_a_run_asked_for_by_a_caller_has_the_id_that_the_caller_was_told() -> None:
    simulation = a_simulation(partitions=4)
    run = simulation.start("order", {}, key="k7", id="request-1")
    simulation.run_until_quiet()
    assert types(simulation, run) == ["RunStarted", "WaitStarted"]
    simulation.cancel(run, "asked")
    simulation.cancel(run)
    simulation.run_until_quiet()
    assert types(simulation, run)[-1] == "RunCancelled"
    assert [(letter["reason"], letter["code"]) for letter in simulation.dead_letters()] == [("rejected", "run_unknown")]


def test_people_mend_a_parked_run() -> None:
    simulation = Simulation()
    bad = {"set": [{"name": "v", "expr": "trigger.none"}]}
    simulation.publish(a_definition({"id": "one", **bad}, {"id": "two", "needs": ["one"], **bad}), CATALOG)
    for key in ("k1", "k2"):
        simulation.send("placed", {}, key=key)
    simulation.run_until_quiet()
    first, second = simulation.runs()
    assert simulation.own().parked == 2
    simulation.retry(first, "one")
    simulation.skip(first, "one")
    simulation.fail(second, "hopeless")
    simulation.run_until_quiet()
    assert types(simulation, first) == [
        "RunStarted",
        "StepParked",
        "StepRetried",
        "StepParked",
        "StepsSkipped",
        "StepsSkipped",
        "RunCompleted",
    ]
    assert types(simulation, second) == ["RunStarted", "StepParked", "RunFailed"]
    assert simulation.own().parked == 0


def test_records_that_are_no_commands_and_strays_are_dead_letters() -> None:
    simulation = a_simulation(partitions=2)
    stray = simulation.start("order", {}, key="k1", id="r")
    record = next(record for record in simulation.log.topics[COMMANDS].records())
    simulation.log.append(Outgoing(COMMANDS, 1 - record.partition, record.key, record.value))
    simulation.log.append(Outgoing(COMMANDS, 0, b"", b"{}"))
    simulation.log.append(Outgoing(COMMANDS, 0, b"", b" " * 900_001))
    simulation.run_until_quiet()
    assert sorted(letter["reason"] for letter in simulation.dead_letters()) == ["bad_command", "misrouted", "too_large"]
    assert len(types(simulation, stray)) == 2
    assert all(len(letter.value or b"") < 900_001 for letter in simulation.log.topics[DEAD_LETTERS].records())


def test_source_records_that_cannot_be_read_are_dead_letters() -> None:
    simulation = a_simulation()
    simulation.produce("placeds", b"no json", key=b"k1", headers=(("ce_type", b"placed"),))
    simulation.produce("placeds", b"{}", headers=(("ce_type", b"placed"),))
    simulation.produce("placeds", b"{}", key=b"k1", headers=(("ce_type", b"another"),))
    simulation.run_until_quiet()
    assert sorted(letter["reason"] for letter in simulation.dead_letters()) == ["missing_key", "not_json"]
    assert simulation.runs() == []


def test_a_version_begins_with_what_is_sent_after_it_and_older_runs_keep_theirs() -> None:
    simulation = Simulation()
    simulation.log.make("placeds")
    simulation.publish(
        a_definition({"id": "p", "print": {"text": "'x'"}}, name="first"),
        a_catalog("placed", topics={"placed": "others"}),
    )
    simulation.produce("placeds", b"{}", key=b"k0", headers=(("ce_type", b"placed"),))
    simulation.publish(ORDER, CATALOG)
    simulation.send("placed", {}, key="k1", topic="placeds")
    simulation.run_until_quiet()
    newer = ORDER.model_copy(update={"version": "2", "steps": ORDER.steps[:1]})
    simulation.publish(newer, CATALOG)
    simulation.send("placed", {}, key="k2", topic="placeds")
    simulation.run_until_quiet()
    started = [
        (t.version, t.key) for t in simulation.transitions() if t.type == "RunStarted" and t.definition == "order"
    ]
    assert started == [("1", "k1"), ("2", "k2")]
    assert "k0" not in {t.key for t in simulation.transitions()}


def test_a_version_is_published_once() -> None:
    simulation = a_simulation()
    sha = simulation.publish(ORDER, CATALOG)
    assert sha == simulation.publish(ORDER, CATALOG)
    assert len(simulation.definitions.published()) == 1
    with pytest.raises(ValueError, match="Raise the version"):
        simulation.publish(ORDER.model_copy(update={"steps": ORDER.steps[:1]}), CATALOG)
    with pytest.raises(DefinitionError):
        simulation.publish(a_definition({"id": "p", "print": {"text": "1 +"}}, name="broken"), CATALOG)


def test_a_definition_that_starts_itself_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamflow.simulation.driver.MAX_ROUNDS", 50)
    simulation = Simulation()
    simulation.publish(a_definition({"id": "again", "emit": {"event": "placed"}}), CATALOG)
    simulation.send("placed", {}, key="k1")
    with pytest.raises(RuntimeError, match="starts itself"):
        simulation.run_until_quiet()


def test_time_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="forward only"):
        Simulation().clock.move_to(0)


def test_an_event_that_ingress_would_not_take_is_a_dead_letter_here_too() -> None:
    simulation = a_simulation(event_bytes=1000)
    for size in (900, 1100):
        simulation.send("placed", {"text": "x" * size}, key=f"k{size}")
    simulation.run_until_quiet()
    assert [letter["reason"] for letter in simulation.dead_letters()] == ["event_too_large"]
    assert len(simulation.runs()) == 1


def test_a_command_that_is_larger_than_a_record_is_a_dead_letter_of_its_definition() -> None:
    simulation = a_simulation(limits=Limits(record_bytes=2000), event_bytes=10_000)
    simulation.send("placed", {"text": "x" * 1900}, key="k1")
    simulation.run_until_quiet()
    (letter,) = simulation.dead_letters()
    assert (letter["reason"], letter["definition"], letter["stage"]) == ("event_too_large", "order", "ingress")
    assert simulation.runs() == []


def test_a_batch_is_read_event_by_event_and_waits_read_its_attributes() -> None:
    definition = a_definition(
        {
            "id": "pay",
            "wait": {
                "events": [{"id": "paid", "event": "paid", "where": "cloudevent.source == '/bank'"}],
                "within": "1h",
                "keep": "1h",
            },
        },
    )
    simulation = Simulation()
    simulation.publish(definition, CATALOG)

    def event(name: str, id: str, source: str) -> dict[str, Any]:
        return {"specversion": "1.0", "type": name, "id": id, "source": source, "data": {"source": source}}

    batched = (("content-type", b"application/cloudevents-batch+json"),)
    placed = [event("placed", "1", "/a"), event("placed", "1", "/a"), event("placed", "1", "/b")]
    simulation.produce("placeds", msgspec.json.encode(placed), key=b"k1", headers=batched)
    simulation.run_until_quiet()
    assert len(simulation.runs()) == 2, "the second event of the batch repeats the first one"
    paid = [event("paid", "1", "/shop"), event("paid", "1", "/bank")]
    simulation.produce("paids", msgspec.json.encode(paid), key=b"k1", headers=batched)
    simulation.run_until_quiet()
    satisfied = [
        one.data.event
        for run in simulation.runs()
        for one in simulation.history(run)
        if isinstance(one.data, WaitSatisfied)
    ]
    assert [(one.source, one.attributes["id"]) for one in satisfied] == [("/bank", "1")]
