"""What a drill tells: the verdict, the standstill of each fault, and what no promise names."""

from __future__ import annotations

import json
from typing import Any

from streamflow.drill.faults import Injection
from streamflow.drill.verdict import Struck, Verdict
from streamflow.drill.watcher import longest_gap_s
from streamflow_check.promises import Report


def verdict(report: Report | None = None, **more: Any) -> Verdict:
    struck = [
        Struck(Injection("kill", "engine", 2.0, 0.5), 2.1, 1.25),
        Struck(Injection("stop", "tasks", 6.0, 4.0), 6.0, 4.5),
    ]
    known: dict[str, Any] = {"seed": 7, "prefix": "d.", "session_s": 3.0, "struck": struck, "undisturbed_s": 0.2}
    return Verdict(report=report or Report(), **known, **more)


def test_a_broken_promise_makes_it_red_and_shows_its_evidence() -> None:
    report = Report()
    report.broken("one-chain", "run 1 has no seq 3")
    told = verdict(report)

    assert not told.ok
    assert "one-chain: run 1 has no seq 3" in told.table()
    assert "NOT EVERYTHING WAS KEPT. " in told.table()
    assert json.loads(json.dumps(told.as_json()))["ok"] is False


def test_trouble_makes_it_red_though_no_promise_is_broken() -> None:
    told = verdict(troubles=["nothing has moved for 60 s"])

    assert not told.ok
    assert "trouble: nothing has moved for 60 s" in told.table()


def test_a_worker_that_ended_by_itself_is_told_but_is_no_trouble() -> None:
    told = verdict(fell={"engine-1": [-6]})

    assert told.ok
    assert "worker engine-1 ended by itself and was started again: -6" in told.table()


def test_the_standstill_of_each_fault_is_told_beside_what_bounds_it() -> None:
    told = verdict()

    assert "stop   tasks   6.0   4.0    4.5           the session timeout" in told.table()
    assert told.as_json()["faults"][0] == {
        "fault": "kill",
        "target": "engine",
        "at_s": 2.0,
        "for_s": 0.5,
        "began_s": 2.1,
        "standstill_s": 1.25,
        "bound": "the start of a process",
    }
    assert "seed 7" in told.table()


def test_a_gap_belongs_to_the_span_in_which_it_ends() -> None:
    lists = [[0.0, 1.0, 5.0, 5.5], [0.0, 4.9, 5.1]]

    assert longest_gap_s(lists, 0.5, 2.0) == 1.0
    assert longest_gap_s(lists, 2.0, 9.0) == 4.9
    assert longest_gap_s(lists, 5.2, 9.0) == 0.5
    assert longest_gap_s(lists, 9.0, 10.0) == 0.0
