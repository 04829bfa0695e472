"""Evidence is counted for one hash only, and is complete only when everything required held."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.evidence.product import ChangedError, product_hash
from tests.evidence.results import MixedError, Required, append, file_of, missing, read

REQUIRED = Required(kinds=frozenset({"killed"}), scenarios=frozenset({"calm"}), seeds=2, mixed=1, soak_hours=1.0)


def complete() -> list[dict[str, Any]]:
    faults = [{"suite": "faults", "kind": "killed", "seed": seed, "verdict": "kept"} for seed in (1, 2)]
    return [
        *faults,
        {"suite": "faults", "kind": "mixed", "seed": 1, "verdict": "kept"},
        {"suite": "proof", "scenario": "calm", "seed": 9, "ok": True},
        {"suite": "soak", "seed": 1, "hours": 1.0, "ok": True},
    ]


def test_a_complete_set_misses_nothing() -> None:
    assert missing(complete(), REQUIRED) == []


@pytest.mark.parametrize("place", range(5))
def test_each_missing_part_is_named(place: int) -> None:
    assert len(missing([one for index, one in enumerate(complete()) if index != place], REQUIRED)) == 1


def test_what_did_not_hold_does_not_count() -> None:
    results = complete()
    results[0]["verdict"] = "BROKEN"
    assert missing(results, REQUIRED) == [
        "faults: killed seed 1 did not hold",
        "faults: killed held with 1 of 2 seeds",
    ]


def test_results_of_two_hashes_are_refused(tmp_path: Path) -> None:
    for product in ("aaa", "bbb"):
        append(file_of(product, tmp_path), product, "soak", {"seed": 1, "hours": 1.0, "ok": True})
    assert len(read([file_of("aaa", tmp_path)])) == 1
    with pytest.raises(MixedError):
        read(sorted(tmp_path.iterdir()))


def test_the_last_result_of_an_experiment_counts(tmp_path: Path) -> None:
    for verdict in ("stuck", "kept"):
        append(tmp_path / "r", "aaa", "faults", {"kind": "killed", "seed": 1, "verdict": verdict})
    assert [result["verdict"] for result in read([tmp_path / "r"])] == ["kept"]


def test_the_hash_follows_the_product_and_nothing_else(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@t", *arguments], check=True
        )

    git("init", "-q")
    for folder in ("streamflow", "agents", "docs"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").write_text("1")
    git("add", "-A")
    git("commit", "-qm", "one")
    first = product_hash(tmp_path)
    (tmp_path / "docs" / "file").write_text("2")
    git("commit", "-qam", "two")
    assert product_hash(tmp_path) == first
    (tmp_path / "streamflow" / "file").write_text("2")
    with pytest.raises(ChangedError):
        product_hash(tmp_path)
    git("commit", "-qam", "three")
    assert product_hash(tmp_path) != first
