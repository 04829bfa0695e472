"""Law identical-replay: the same commands give the same bytes in every process, whatever the order of its hashes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_two_processes_with_other_hash_seeds_give_the_same_bytes() -> None:
    seeds = ("0", "1", "12345")
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.property.two_processes"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
        )
        for seed, zone in zip(seeds, ("UTC", "Asia/Kathmandu", "America/St_Johns"), strict=True)
    ]
    first, *others = [process.communicate(timeout=60)[0].splitlines() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    text = b"\n".join(first)
    for wanted in (
        b"ValuesSet",
        b"StepParked",
        b"WaitTimedOut",
        b"WaitSatisfied",
        b"RunCancelled",
        b"EventEmitted",
        b"continue/",
        b"not_json",
        b"out/",
        b"ItemsEnded",
        b"RunStopping",
        b"ApprovalRequested",
    ):
        assert wanted in text
    for other in others:
        assert [(one, two) for one, two in zip(first, other, strict=True) if one != two] == []
