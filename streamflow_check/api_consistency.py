"""What the command line, the API and the history store tell of the runs, against the fold of `runs`."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from streamflow_check.experiment import Experiment
from streamflow_check.promises import Report
from streamflow_check.records import Topics
from streamflow_check.run_history import Run

_ANSWER_S = 120
_PAGE = 1000  # runs of one answer of the history store


class Fact(NamedTuple):
    """What everybody who is asked for a run must say of it."""

    definition: str
    version: str
    key: str
    status: str
    seq: int
    partition: int


def fact(run: Run, partition: int) -> Fact:
    return Fact(run.definition, run.version, run.key, run.status, run.seq, partition)


def judge(topics: Topics, experiment: Experiment, facts: Mapping[str, Fact], entries: int, report: Report) -> None:
    """Ask the command line for all runs and for some histories, and the API for the same histories. `entries` are the
    partitions of the first generation."""
    if not experiment.cli and not experiment.api:
        return
    # the end of an id is as good as drawn by lot
    sample = sorted(facts, key=lambda run: run[::-1])[: experiment.sample]
    histories = {run: _history(topics, run, facts[run].partition) for run in sample}
    if experiment.cli:
        ask = _command_line(experiment.cli, entries)
        _list(ask, facts, report)
        if experiment.history:
            _find(ask, facts, report)
            _count(ask, facts, report)
        for run, history in histories.items():
            _compare("cli-agrees", f"runs show {run}", lambda run=run: ask("runs", "show", run), history, report)  # type: ignore[misc]
            if experiment.history:
                told = lambda run=run: ask("history", "show", run)  # noqa: E731
                _compare("history-agrees", f"history show {run}", told, history, report)
    if experiment.api:
        for run, history in histories.items():
            url = experiment.api.format(run=run)
            _compare("api-agrees", url, lambda url=url: _fetched(url, experiment.api_token), history, report)  # type: ignore[misc]


def _list(ask: Callable[..., Any], facts: Mapping[str, Fact], report: Report) -> None:
    try:
        answer = ask("runs", "list", "--limit", str(max(1, len(facts))))
        told = {run["run"]: run for run in answer["runs"]}
    except (OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError) as error:
        report.broken("cli-agrees", f"runs list: expected runs as JSON but {error}")
        return
    report.looked("cli-agrees", len(facts))
    for run in sorted({*told, *facts}):
        known = facts[run]._asdict() if run in facts else {}
        known.pop("partition", None)
        found = {name: told[run].get(name) for name in Fact._fields if name != "partition"} if run in told else {}
        if found != known:
            report.broken("cli-agrees", f"runs list tells of {run} {found or 'nothing'}, runs {known or 'nothing'}")


def _find(ask: Callable[..., Any], facts: Mapping[str, Fact], report: Report) -> None:
    """Each run is in the history store once, as `runs` leaves it, and no other is."""
    told: dict[str, dict[str, Any]] = {}
    cursor: list[str] = []
    try:
        while True:
            answer = ask("history", "find", "--limit", str(_PAGE), *cursor)
            for run in answer["runs"]:
                if run["run"] in told:
                    report.broken("history-agrees", f"history find tells of {run['run']} twice")
                told[run["run"]] = run
            if answer["next"] is None:
                break
            cursor = ["--cursor", answer["next"]]
    except (OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError) as error:
        report.broken("history-agrees", f"history find: expected runs as JSON but {error}")
        return
    report.looked("history-agrees", len(facts))
    for run in sorted({*told, *facts}):
        known = facts[run]._asdict() if run in facts else {}
        known.pop("partition", None)
        found = {name: told[run].get(name) for name in Fact._fields if name != "partition"} if run in told else {}
        if found and found["status"] == "open" and told[run].get("parked_step"):
            found["status"] = "parked"
        if found != known:
            report.broken(
                "history-agrees", f"history find tells of {run} {found or 'nothing'}, runs {known or 'nothing'}"
            )


def _count(ask: Callable[..., Any], facts: Mapping[str, Fact], report: Report) -> None:
    """The counters of the history store add up to the runs. They are by hour, and asked for 400 days."""
    expected = Counter(fact.status for fact in facts.values() if fact.status not in ("open", "parked"))
    expected["started"] = len(facts)
    try:
        answer = ask("history", "statistics", "--hours", str(24 * 400))
        found: Counter[str] = Counter()
        for point in answer["points"]:
            found[point["outcome"]] += point["n"]
    except (OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError) as error:
        report.broken("history-agrees", f"history statistics: expected points as JSON but {error}")
        return
    report.hold(
        "history-agrees", found == expected, f"history statistics counts {dict(found)}, runs has {dict(expected)}"
    )


def _compare(promise: str, what: str, ask: Callable[[], Any], history: list[dict[str, Any]], report: Report) -> None:
    report.looked(promise)
    try:
        answer = ask()
        told = answer if isinstance(answer, list) else answer["rows" if "rows" in answer else "transitions"]
        short = [
            {name: transition.get(name) for name in ("type", "seq", "at_ms", "cause", "step")} for transition in told
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, subprocess.SubprocessError) as error:
        report.broken(promise, f"{what}: expected transitions as JSON but {error}")
        return
    if short != history:
        place = next(
            (n for n, (one, other) in enumerate(zip(short, history, strict=False)) if one != other),
            min(len(short), len(history)),
        )
        report.broken(promise, f"{what} tells {short[place : place + 1]} where runs has {history[place : place + 1]}")


def _history(topics: Topics, run: str, partition: int) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for record in topics.records(f"{topics.prefix}runs", partition):
        told = record.json()
        if isinstance(told, dict) and told.get("run") == run:
            kind = record.header("ce_type").removeprefix("streamflow.")
            found.setdefault(
                told["seq"], {"type": kind} | {name: told.get(name) for name in ("seq", "at_ms", "cause", "step")}
            )
    return [found[seq] for seq in sorted(found)]


def _command_line(base: Iterable[str], partitions: int) -> Callable[..., Any]:
    environment = {**os.environ, "STREAMFLOW_TOPICS__PARTITIONS": str(partitions)}

    def ask(*words: str) -> Any:
        done = subprocess.run(
            [*base, *words, "--json"], env=environment, capture_output=True, timeout=_ANSWER_S, check=False
        )
        if done.returncode != 0:
            raise ValueError(f"it ended with {done.returncode}: {done.stderr.decode(errors='replace')[-300:]}")
        return json.loads(done.stdout)

    return ask


def _fetched(url: str, token: str) -> Any:
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url} is no address")
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})  # noqa: S310 - checked above
    with urllib.request.urlopen(request, timeout=_ANSWER_S) as answer:  # noqa: S310 - checked above
        return json.load(answer)
