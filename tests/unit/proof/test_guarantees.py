"""docs/guarantees.md names what there is: promises, faults, scenarios, tests, options; and its table is made of
results."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from streamflow.drill.faults import FAULTS
from streamflow_check.promises import PROMISES
from tests import guarantees
from tests.faults.nemesis import KINDS
from tests.proof.scenarios import SCENARIOS

ROOT = Path(__file__).parents[3]
TEXT = guarantees.PAGE.read_text()


def first_column(after: str) -> set[str]:
    """The words in backquotes in the first column of the first table after a text."""
    lines = TEXT.split(after, 1)[1].splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("|---"))
    rows = lines[begin + 1 :]
    end = next((number for number, line in enumerate(rows) if not line.startswith("|")), len(rows))
    return {word for row in rows[:end] for word in re.findall(r"`([^`]+)`", row.split("|")[1])}


def result(kind: str, seed: int, verdict: str = "kept", stall_s: float = 1.0) -> dict[str, object]:
    return {
        "kind": kind,
        "seed": seed,
        "verdict": verdict,
        "stall_s": stall_s,
        "broken_s": 0.5,
        "limits": "session",
        "facts": {"inputs": 1000, "transitions": 2000, "copies": 3},
    }


def test_every_promise_of_the_checker_is_told() -> None:
    assert first_column("## The promises") == set(PROMISES)


def test_every_fault_of_the_drill_is_told() -> None:
    assert first_column("touches nothing but its own workers") == set(FAULTS)


def test_every_scenario_of_the_proof_is_told() -> None:
    assert first_column("`make proof` plays") == set(SCENARIOS)


def test_the_files_and_faults_that_are_named_are_there() -> None:
    for name in re.findall(r"`((?:tests|streamflow_check)/[^`]+\.\w+)`", TEXT):
        assert (ROOT / name).exists(), name
    for names in re.findall(r'KINDS="([^"]+)"', TEXT):
        assert set(names.split()) <= KINDS.keys()


def test_the_table_counts_the_last_result_of_each_seed(tmp_path: Path) -> None:
    lines = [
        result("engine-killed", 1, "stuck"),
        result("engine-killed", 1, stall_s=2.0),
        result("engine-killed", 2),
        result("engine-killed", 4),
    ]
    lines += [result("mixed", 7), result("engine-killed", 3, "error"), result("broker-killed", 1, "BROKEN")]
    file = tmp_path / "results.jsonl"
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines) + '{"cut')

    page = guarantees.written(TEXT, guarantees.results([file]))

    assert (
        "| `engine-killed` | kill -9 of the worker; restarted on the same disk, as a static member | 3 | 1-2, 4 | 3 | "
        "0.5 / 0.5 | 1.0 / 2.0 | session |" in page
    )
    assert "| `broker-killed` | kill -9 of the broker; restarted on the same disk | 1 | 1 | 0 |  |  | session |" in page
    assert page.index("| `engine-killed`") < page.index(
        "| `mixed` | three to six of them on one schedule | 1 | 7 | 1 |"
    )
    assert "5 experiments: 5,000 acknowledged inputs, 10,000 transitions and 15 copies of them were judged." in page
    assert guarantees.written(page, guarantees.results([file])) == page


@pytest.mark.parametrize(("numbers", "text"), [([3], "3"), ([3, 1, 2], "1-3"), ([1, 2, 5, 9, 8], "1-2, 5, 8-9")])
def test_seeds_are_told_as_ranges(numbers: list[int], text: str) -> None:
    assert guarantees.seeds(numbers) == text
