"""The changelog of one partition against the fold of its runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from streamflow_check.promises import Report
from streamflow_check.records import Record
from streamflow_check.run_history import ANY, Run, Step
from streamflow_check.transitions import Chains

_BULK = ("out/", "list/", "item/", "mark/", "mail/", "due/", "seen/", "trail/")  # of these the key is enough
_OF_RUNS = ("out/", "list/", "item/")


class State:
    """What compaction would leave of one partition of `state`."""

    def __init__(self) -> None:
        self.records: dict[str, bytes] = {}
        self.count = 0

    def take(self, record: Record) -> None:
        self.count += 1
        key = (record.key or b"").decode(errors="replace")
        if key.startswith("!"):
            return  # marks of checkpoints, not state
        if record.value is None:
            self.records.pop(key, None)
        else:
            self.records[key] = b"" if key.startswith(_BULK) else record.value

    def json(self, key: str) -> Any:
        value = self.records.get(key)
        return None if value is None else json.loads(value)

    @property
    def own(self) -> Mapping[str, Any]:
        """The partition's own record."""
        return self.json("own") or {}


def read(records: Iterable[Record]) -> State:
    state = State()
    for record in records:
        state.take(record)
    return state


def compare(state: State, chains: Chains, report: Report, partition: int) -> None:
    """Whether `state` is what the transitions add up to."""
    own, whole = state.own, chains.first == 0
    timers: set[str] = set()
    for key in state.records:
        kind, _, rest = key.partition("/")
        if kind == "run":
            if rest not in chains.runs and whole:
                report.broken("state-is-fold", f"state/{partition} has {key}, of which runs tells nothing")
        elif kind == "timer":
            timers.add(rest)
        elif kind == "content":
            _content(state, rest, report, partition)
        elif key.startswith(_OF_RUNS):
            run = chains.runs.get(rest.split("/", 1)[0])
            if (run is None and whole) or (run is not None and run.ended):
                report.broken("state-is-fold", f"state/{partition} has {key} of a run that is not open")
    armed: set[str] = set()
    for run in chains.runs.values():
        report.looked("state-is-fold")
        armed |= run.timers()
        if run.ended:
            if f"run/{run.run}" in state.records:
                report.broken("state-is-fold", f"state/{partition} has run/{run.run}, which ended")
        else:
            _head(state, run, report, partition)
    if not whole:
        report.note(
            "state-is-fold", "some transitions are no longer kept, so timers, keys and older runs were not compared"
        )
        return
    for timer in sorted(armed ^ timers):
        where = "armed by its run, but not in the state" if timer in armed else "in the state, but not armed by its run"
        report.broken("state-is-fold", f"state/{partition}: timer {timer} is {where}")
    _boxes(state, chains, report, partition)
    parked = sum(run.parked for run in chains.runs.values() if not run.ended)
    if own and own.get("parked", 0) != parked:
        report.broken(
            "state-is-fold", f"state/{partition} counts {own.get('parked', 0)} parked runs, runs tells of {parked}"
        )


def _head(state: State, run: Run, report: Report, partition: int) -> None:
    head = state.json(f"run/{run.run}")
    if head is None:
        report.broken("state-is-fold", f"state/{partition} has no run/{run.run}, which is open at seq {run.seq}")
        return
    told = {
        "seq": run.seq,
        "key": run.key,
        "definition": run.definition,
        "started_ms": run.started_ms,
        "trigger": run.trigger,
    }
    held = {name: head.get(name) for name in told}
    if run.partial:
        held, told = {"seq": head.get("seq")}, {"seq": run.seq}
    if held != told:
        report.broken("state-is-fold", f"state/{partition} run/{run.run}: {_differing(held, told)}")
    if run.partial:
        return
    pinned = {"version": run.version, "sha": run.sha, "revision": run.revision}
    report.looked("pinned-version")
    if any(head.get(name) != value for name, value in pinned.items()):
        report.broken(
            "pinned-version",
            f"state/{partition} run/{run.run}: {_differing({name: head.get(name) for name in pinned}, pinned)}",
        )
    steps = {
        name: Step(step["status"], step.get("outcome"), step.get("due_ms")) for name, step in head["steps"].items()
    }
    if steps.keys() != run.steps.keys() or not all(_same(steps[name], step) for name, step in run.steps.items()):
        report.broken("state-is-fold", f"state/{partition} run/{run.run}: {_differing(steps, run.steps)}")


def _same(held: Step, told: Step) -> bool:
    return told.status == ANY or (
        held.status == told.status
        and held.due_ms == told.due_ms
        and (told.outcome == ANY or held.outcome == told.outcome)
    )


def _differing(held: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    names = sorted(name for name in {*held, *told} if held.get(name) != told.get(name))
    return ", ".join(f"{name} is {held.get(name)} but runs tells {told.get(name)}" for name in names[:3])


def _boxes(state: State, chains: Chains, report: Report, partition: int) -> None:
    """The open runs of each mailbox are those that `runs` tells of; what a mailbox keeps is there."""
    wanted: dict[str, list[str]] = {}
    for run in chains.runs.values():
        if not run.ended:
            name = f"{run.definition}/{len(run.key.encode())}:{run.key}"
            wanted.setdefault(name, []).append(run.run)
    mail = {key.removeprefix("mail/") for key in state.records if key.startswith("mail/")}
    for key, value in state.records.items():
        if not key.startswith("box/"):
            continue
        name, (runs, entries, _) = key.removeprefix("box/"), json.loads(value)
        report.looked("state-is-fold")
        held = [run for run, *_ in runs]
        if sorted(held) != sorted(wanted.pop(name, [])):
            report.broken(
                "state-is-fold", f"state/{partition} {key} has other open runs than runs tells of: {held[:3]}"
            )
        kept = {f"{name}/{offset}" for offset, *_ in entries}
        if missing := kept - mail:
            report.broken("state-is-fold", f"state/{partition} {key} has no mail of {sorted(missing)[:3]}")
        mail -= kept
    for name, runs in wanted.items():
        report.broken("state-is-fold", f"state/{partition} has no box/{name}, of which {runs[:3]} are open")
    if mail:
        report.broken("state-is-fold", f"state/{partition} has mail that no mailbox names: {sorted(mail)[:3]}")


def _content(state: State, sha: str, report: Report, partition: int) -> None:
    report.looked("pinned-version")
    content = state.json(f"content/{sha}")
    if hashlib.sha256(str(content).encode()).hexdigest() != sha:
        report.broken("pinned-version", f"state/{partition} content/{sha[:12]} has another sha256")


def versions(state: State) -> dict[str, tuple[str, str]]:
    """Name and version by the sha256 of each content in the state."""
    found = {}
    for key in state.records:
        if key.startswith("content/"):
            definition = json.loads(str(state.json(key))).get("definition", {})
            found[key.removeprefix("content/")] = (definition.get("name", ""), definition.get("version", ""))
    return found
