"""The history worker on a real broker: what engines tell becomes rows that people search, exactly once, whatever ends
the worker."""

from __future__ import annotations

import json
import random
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streamflow.cli.main import main
from streamflow.engine import commands as c
from streamflow.errors import OperationError
from streamflow.history.database import closing
from streamflow.history.reading import transitions
from streamflow.history.store import open_store
from streamflow.history.topic_beginnings import ROLES
from streamflow.ids import partition_of_run
from streamflow.settings import History
from streamflow_check.broker import Broker
from streamflow_check.experiment import Experiment
from streamflow_check.judge import judge
from streamflow_check.promises import Report
from tests.hostile_records import VALUES
from tests.integration.forked import Forked
from tests.integration.workers import Bench, Worker, make_bench
from tests.servers.postgresql import PostgresServer

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]


@pytest.fixture
def bench(bootstrap: str, tmp_path: Path) -> Iterator[Bench]:
    with make_bench(bootstrap, tmp_path, history=History(path=tmp_path / "history.db")) as made:
        yield made


@pytest.fixture
def shared(
    bootstrap: str, tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    """A bench whose history is in PostgreSQL."""
    monkeypatch.setenv("HISTORY_PASSWORD", postgres.password)
    store = History(
        postgresql=postgres.url,
        user=postgres.user,
        password="env:HISTORY_PASSWORD",
        schema_name=f"h{uuid.uuid4().hex[:8]}",
        batch_records=40,
    )
    with make_bench(bootstrap, tmp_path, history=store) as made:
        yield made


def history_worker(bench: Bench, name: str = "history", **options: Any) -> Worker:
    own = bench.settings.history.model_dump(exclude_defaults=True) | options
    environment = {f"STREAMFLOW_HISTORY__{option.upper()}": str(value) for option, value in own.items()}
    return bench.launch(Forked("history", name, bench.folder, bench.environment() | environment))


def wait_projected(bench: Bench, timeout_s: float = 60.0) -> None:
    """Waits until everything that is in the topics now is in the store."""
    ends = {
        (role, number): high for role in ROLES for number, (_, high) in bench.stranger.ends(bench.topic(role)).items()
    }

    def projected() -> bool:
        try:
            with closing(open_store(bench.settings)) as database:
                at = {
                    (topic, partition): offset
                    for topic, partition, offset in database.rows("SELECT topic, partition, next_offset FROM progress")
                }
        except OperationError:
            return False
        return all(at.get(place, 0) >= end for place, end in ends.items())

    bench.wait(projected, "the history to be projected", timeout_s)


def told(bench: Bench) -> dict[str, list[tuple[int, str, Any]]]:
    """What `runs` tells of each run, copies once: seq, type and value."""
    found: dict[str, dict[int, tuple[int, str, Any]]] = {}
    for each in bench.transitions():
        found.setdefault(each.fields["run"], {})[each.fields["seq"]] = (each.fields["seq"], each.name, each.fields)
    return {run: [history[seq] for seq in sorted(history)] for run, history in found.items()}


def kept(bench: Bench) -> dict[str, list[tuple[int, str, Any]]]:
    """The same from the store."""
    with closing(open_store(bench.settings)) as database:
        runs = [run for (run,) in database.rows("SELECT run FROM run")]
        return {
            run: [(row.seq, row.kind, json.loads(row.body)) for row in transitions(database, run, limit=10_000)]
            for run in runs
        }


Run = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def run(bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Calls the command line: exit code, JSON answer, stderr."""
    monkeypatch.setenv("STREAMFLOW_HISTORY__PATH", str(bench.settings.history.path))

    def call(*words: str) -> tuple[int, Any, str]:
        line = [*words, "--json", "--bootstrap", bench.servers["bootstrap.servers"], "--prefix", bench.prefix]
        code = main(line)
        out, err = capsys.readouterr()
        return code, json.loads(out) if out.strip() else None, err

    return call


def test_what_happens_is_found_by_what_it_is(bench: Bench, run: Run) -> None:
    bench.worker()
    start = bench.publish()
    history_worker(bench)
    first, second = bench.start(start, "A-1"), bench.start(start, "A-2")
    bench.deliver("A-1", event_id="pay-1")
    bench.deliver("A-2", event_id="pay-2", amount=1)  # too little: no run takes it
    bench.deliver("nobody", event_id="pay-3")
    bench.send(c.CancelRun("cancel-1", "00000000-main-ffff", "no such run"))
    bench.wait_history(first, "RunCompleted")
    bench.wait_saved()
    wait_projected(bench)

    code, found, _ = run("history", "find", "--definition", "payment", "--status", "completed")
    assert (code, [one["run"] for one in found["runs"]]) == (0, [first])
    assert found["count"] == {"n": 1, "capped": False}
    _, found, _ = run("history", "find", "--waits-for", "order.paid", "--key-prefix", "A-")
    assert [one["run"] for one in found["runs"]] == [second]
    _, found, _ = run("events", "trace", "pay-1")
    assert [(one["outcome"], one["run"], one["step"]) for one in found["outcomes"]] == [("taken", first, "paid")]
    _, found, _ = run("events", "trace", "placed-A-2")
    assert [(one["outcome"], one["run"]) for one in found["outcomes"]] == [("started", second)]
    _, found, _ = run("events", "trace", "pay-2")
    assert [(one["outcome"], one["reason"], one["run"]) for one in found["outcomes"]] == [
        ("unclaimed", "where_false", second)
    ]
    _, found, _ = run("history", "trouble")
    assert found["counts"] | {"unclaimed": 2, "rejected": 1} == found["counts"]
    code, found, _ = run("history", "status")
    assert (code, found["runs"], found["worker_runs"]) == (0, 2, True)
    assert {one["records"] for one in found["behind"]} == {0}


def test_what_workers_log_about_a_run_is_beside_it(bench: Bench, run: Run) -> None:
    bench.worker()
    start = bench.publish()
    history_worker(bench)
    first = bench.start(start, "A-1")
    bench.deliver("A-1")
    bench.wait_history(first, "RunCompleted")

    def lines() -> list[dict[str, Any]]:
        wait_projected(bench)
        found: list[dict[str, Any]] = run("history", "logs", first)[1]["lines"]
        return found

    (line,) = bench.wait(lines, "the printed line")
    assert (line["role"], line["event"]) == ("engine", "print")
    assert isinstance(offset := line["fields"].pop("offset"), int)
    assert offset >= 1  # behind the start
    place = {"topic": bench.topic("commands"), "partition": partition_of_run(first, bench.partitions)}
    assert line["fields"] == {"step": "bye", "scope": "", "text": "paid A-1", **place}


def test_records_of_strangers_are_left_out_and_nothing_else(bench: Bench) -> None:
    """What nobody can read, and transitions that no database can keep, stand between good ones."""
    bench.worker()
    start = bench.publish()
    first = bench.start(start, "A-1")
    bench.wait_history(first, "WaitStarted")
    told_of = bench.transitions(first)[0]
    huge = {
        name: told_of.fields | {"run": f"{number:08x}-main-{number:020x}", name: 10**30}
        for number, name in enumerate(("at_ms", "seq"))
    }
    texts = told_of.fields | {"run": "0000000a-main-0000000000000000000a", "key": "a\x00b", "definition": "\x00"}
    for topic in ROLES:
        for value in VALUES.values():
            bench.producer.produce(bench.topic(topic), value, b"k", partition=0)
    for fields in (*huge.values(), texts):
        bench.producer.produce(
            bench.topic("runs"), json.dumps(fields).encode(), b"k", partition=0, headers=[*told_of.headers]
        )
    bench.flush()
    second = bench.start(start, bench.key_of(0))
    bench.wait_saved()
    worker = history_worker(bench)
    wait_projected(bench)

    found = kept(bench)
    assert found.keys() == {first, second, texts["run"]}
    assert [kind for _, kind, _ in found[second]] == ["RunStarted", "ValuesSet", "WaitStarted"]
    assert len(bench.lines(worker, "record_unreadable")) >= 4
    assert bench.lines(worker, "history_interrupted") == []


def test_without_a_worker_there_is_no_history(bench: Bench, run: Run) -> None:
    code, _, err = run("history", "find")

    assert code == 4
    assert json.loads(err.splitlines()[-1])["error"]["code"] == "history_missing"


def verdict(bench: Bench) -> Report:
    """What the checker says of everything, the history store too."""
    cli = (sys.executable, "-m", "streamflow.cli.main", "--bootstrap", bench.servers["bootstrap.servers"])
    with Broker(bench.servers["bootstrap.servers"], bench.prefix) as broker:
        return judge(broker, Experiment(cli=(*cli, "--prefix", bench.prefix), history=True))


def test_killed_at_any_point_it_is_exact(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    choose = random.Random(7)
    bench.worker()
    start = bench.publish()
    worker = history_worker(bench, batch_records=20)
    bench.wait(lambda: bench.lines(worker, "history_started"), "the worker to be at work")
    runs = []
    for wave in range(5):
        for number in range(20):
            key = f"K{wave}-{number}"
            runs.append(bench.start(start, key))
            if number % 2:
                bench.deliver(key, flush=False)
        bench.flush()
        bench.wait(lambda: bench.transitions(runs[-choose.randint(1, 15)]), "some of it to be told")
        worker.kill()
        worker.start()
    bench.wait_saved()
    wait_projected(bench)

    assert kept(bench) == told(bench)
    with closing(open_store(bench.settings)) as database:
        started = database.rows("SELECT sum(n) FROM hour WHERE status = 'started'")
        ended = database.rows("SELECT sum(n) FROM hour WHERE status = 'completed'")
        fates = database.rows("SELECT outcome, count(*) FROM event_fate GROUP BY outcome ORDER BY outcome")
    assert (started, ended) == ([(100,)], [(50,)])
    assert fates == [("started", 100), ("taken", 50)]
    monkeypatch.setenv("STREAMFLOW_HISTORY__PATH", str(bench.settings.history.path))
    assert verdict(bench).ok


def test_the_checker_finds_a_row_that_is_wrong(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.worker()
    start = bench.publish()
    history_worker(bench)
    first = bench.start(start, "A-1")
    bench.wait_saved()
    wait_projected(bench)
    with closing(open_store(bench.settings, write=True)) as database:
        database.run("UPDATE run SET seq = seq + 1 WHERE run = ?", (first,))

    monkeypatch.setenv("STREAMFLOW_HISTORY__PATH", str(bench.settings.history.path))
    report = verdict(bench)
    assert report.broken_promises == ["history-agrees"]
    assert first in report.findings["history-agrees"].evidence[0]


def test_one_worker_writes_a_file(bench: Bench) -> None:
    history_worker(bench)
    bench.wait(lambda: bench.lines(bench.workers[-1], "history_started"), "the first one to be at work")
    second = history_worker(bench, "second")
    bench.workers.remove(second)  # that it ends is what is waited for

    bench.wait(lambda: second.said("history_in_use"), "the second one to be refused")
    second.end()


def test_workers_that_share_a_database_are_exact_together(shared: Bench) -> None:
    """Two workers; one is killed and comes back, and partitions change hands while there is work."""
    bench = shared
    bench.worker()
    start = bench.publish()
    first, _ = history_worker(bench, "first"), history_worker(bench, "second")
    runs = []
    for wave in range(4):
        for number in range(40):
            key = f"K{wave}-{number}"
            runs.append(bench.start(start, key))
            bench.deliver(key, flush=False)
        bench.flush()
        bench.wait(lambda: bench.transitions(runs[-20]), "some of it to be told")
        if wave == 1:
            first.kill()
        if wave == 2:
            first.start()
    bench.wait(lambda: len(told(bench)) == len(runs), "all runs to be told")
    bench.wait_saved()
    wait_projected(bench)

    assert kept(bench) == told(bench)
    with closing(open_store(bench.settings)) as database:
        assert database.rows("SELECT status, sum(n) FROM hour GROUP BY status ORDER BY status") == [
            ("completed", 160),
            ("started", 160),
        ]


def test_a_store_is_made_again_while_its_worker_runs(bench: Bench, run: Run) -> None:
    bench.worker()
    start = bench.publish()
    history_worker(bench)
    runs = [bench.start(start, f"A-{number}") for number in range(20)]
    bench.wait(lambda: len(told(bench)) == len(runs), "all runs to be told")
    wait_projected(bench)

    code, done, _ = run("history", "rebuild", "--yes")
    assert (code, done["runs"], done["lost"]) == (0, 20, 0)
    wait_projected(bench)
    bench.wait(lambda: kept(bench) == told(bench), "the store to be filled again")
    with closing(open_store(bench.settings)) as database:
        assert database.rows("SELECT sum(n) FROM hour WHERE status = 'started'") == [(20,)]
