"""A load run on real workers: what it counts is what is in the topics."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import NewTopic

from streamflow.cli.main import main
from streamflow.definition.content import canonical, event_names
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.kafka.publication import publish
from tests.integration.forked import Forked
from tests.integration.workers import CATALOG, PAYMENT, Bench, make_bench

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]

# A payment that is read before its order is kept for it: the counts below do not depend on how quick the machine is.
KEPT = PAYMENT.replace("forever: true", "forever: true, keep: 10m")
SCENARIOS = """
scenarios:
  - name: Enough is paid
    do:
      - send: {event: order.placed, data: {id: A-1, total: 5}}
      - send: {event: order.paid, data: {id: A-1, amount: 10}}
    expect: {path: [double, paid.paid, bye]}
  - name: Too little is paid
    do:
      - send: {event: order.placed, data: {id: A-1, total: 5}}
      - send: {event: order.paid, data: {id: A-1, amount: 9}}
    expect: {status: open, path: [double]}
"""


@pytest.fixture
def shop(bootstrap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Engine and ingress at work, and `payment` published with its scenarios."""
    with make_bench(bootstrap, tmp_path) as bench:
        topics = {name: f"{bench.prefix}{name}" for name in ("orders", "payments", "shipments")}
        for future in bench.admin.create_topics([NewTopic(name, 2) for name in topics.values()]).values():
            future.result(30)
        text = CATALOG.replace("[TOPIC]", f"[{topics['shipments']}]")
        for name in ("orders", "payments"):
            text = text.replace(f"[{name}]", f"[{topics[name]}]")
        definition, catalog = parse_definition(KEPT), parse_catalog(text)
        publish(
            bench.settings,
            name=definition.name,
            version=definition.version,
            content=canonical(definition, catalog),
            events={
                spec.name: spec.model_dump(mode="json", by_alias=True, exclude_none=True)
                for spec in catalog.events
                if spec.name in event_names(definition)
            },
            scenarios=SCENARIOS,
        )
        bench.worker()
        bench.launch(Forked("ingress", "ingress", tmp_path, bench.environment()))
        for name, value in bench.environment().items():
            monkeypatch.setenv(name, value)
        yield bench


def loaded(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert main(["load", "--definition", "payment", "--json", *options]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def ends(bench: Bench, *topics: str) -> int:
    return sum(high for topic in topics for _, high in bench.stranger.ends(f"{bench.prefix}{topic}").values())


def started_keys(bench: Bench, runs: int) -> Counter[str]:
    """How many runs of each key have begun, once there are so many."""

    def keys() -> list[str]:
        return [transition.key.decode() for transition in bench.transitions() if transition.name == "RunStarted"]

    return Counter(bench.wait(lambda: found if len(found := keys()) >= runs else [], f"{runs} runs in `runs`"))


def test_every_event_and_run_of_a_load_run_is_counted(shop: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    found = loaded(capsys, "--rate", "20/s", "--seconds", "1", "--gap", "0.2", "--mark", "trial-")

    assert (found["begun"], found["missed"], found["interrupted"]) == (20, 0, False)
    assert (found["events_sent"], found["events_accepted"], found["events_refused"]) == (40, 40, {})
    assert ends(shop, "orders", "payments") == 40
    assert (found["started"], found["ended"], found["open"]) == (20, {"completed": 10}, 10)
    assert found["expected"] == {"completed": 10, "open": 10}
    counts = {name: measured["count"] for name, measured in found["latencies"].items()}
    assert counts == {"lateness": 40, "accepted": 40, "first_transition": 20, "end": 10}
    assert {one["role"] for one in found["lag"]} >= {"engine", "ingress"}
    assert started_keys(shop, 20) == Counter(f"trial-{number}" for number in range(20))


def test_keys_are_shared_among_instances(shop: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    found = loaded(capsys, "--rate", "20/s", "--seconds", "0.5", "--keys", "2", "--only", "little", "--mark", "hot-")

    assert (found["started"], found["open"], found["expected"]) == (10, 10, {"open": 10})
    assert started_keys(shop, 10) == {"hot-0": 5, "hot-1": 5}


def test_what_a_load_run_left_is_erased_by_its_mark(shop: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    loaded(capsys, "--rate", "20/s", "--seconds", "0.5", "--gap", "0.1", "--mark", "gone-")
    mine = ["--definition", "payment", "--key-prefix", "gone-", "--json"]

    assert main(["runs", "erase", *mine, "--plan"]) == 0
    assert json.loads(capsys.readouterr().out)["keys"] == 10
    assert main(["runs", "erase", *mine, "--yes", "--why", "load run"]) == 3
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["error"]["code"] == "runs_open"
    assert main(["runs", "erase", *mine, "--yes", "--why", "load run", "--force"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["keys"], found["erased"], found["left"]) == (10, 10, {})
    assert found["records"] > 0


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(shop: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    found = loaded(capsys, "--rate", "1000/s", "--seconds", "60", "--dry-run")

    assert (found["instances"], found["events"]) == (60_000, 120_000)
    assert [one["name"] for one in found["scenarios"]] == ["Enough is paid", "Too little is paid"]
    assert found["expected"] == {"completed": 30_000, "open": 30_000}
    assert ends(shop, "orders", "payments", "runs") == 0


def test_ctrl_c_reports_what_was_measured(shop: Bench, tmp_path: Path) -> None:
    line = ["load", "--definition", "payment", "--rate", "20/s", "--seconds", "600", "--only", "little", "--json"]
    with (tmp_path / "load.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamflow.cli.main", *line], stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        shop.wait(lambda: len(shop.transitions()) >= 10, "runs of the load")
        process.send_signal(signal.SIGINT)
        written, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()

    assert process.returncode == 130, (tmp_path / "load.log").read_text()
    found = json.loads(written)
    assert found["interrupted"] is True
    assert 0 < found["begun"] < 12_000
    assert found["events_accepted"] == found["events_sent"]
    assert 0 < found["started"] <= found["begun"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--definition", "payments"], "version_unknown"),
        (["--definition", "payment@7"], "version_unknown"),
        (["--definition", "payment", "--rate", "fast"], "rate_invalid"),
        (["--definition", "payment", "--only", "nobody"], "no_scenario"),
        (["--definition", "payment", "--mark", ""], "mark_invalid"),
    ],
)
def test_what_cannot_be_loaded_is_refused(
    shop: Bench, options: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["load", *options, "--json"]) == 3
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["error"]["code"] == code
