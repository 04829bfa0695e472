"""Texts that an author is sent, and at which a careless reader hangs."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from pathlib import Path

from tests.attack import Attack, Seen
from tests.attack.processes import peak_bytes, program

MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
ALIASES = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 20))
STEP = {"name": "p", "steps": [{"id": "a", "type": "x"}]}
TEXTS = {
    "merge keys": ("check", MERGES),
    "aliases": ("check", ALIASES),
    "depth": ("check", "[" * 200_000),
    "a number of 200,000 digits": ("check", "name: 0x" + "f" * 200_000),
    "an id of 40,000 letters": ("import", json.dumps(STEP | {"steps": [{"id": "A" * 40_000, "type": "x"}]})),
    "30,000 opening braces": ("import", json.dumps(STEP | {"steps": [{"id": "a", "type": "x", "if": "{{" * 30_000}]})),
    "a value of opening braces": (
        "import",
        json.dumps(STEP | {"steps": [{"id": "a", "type": "x", "inputs": {"v": "{{" * 30_000}}]}),
    ),
    "20,000 steps": ("import", json.dumps({"name": "p", "steps": [{"id": "A", "type": "x"}] * 20_000})),
}
READER = """
import sys
from streamflow.cli.main import main
sys.exit(main(["definitions", sys.argv[1], sys.argv[2]]))
"""
_LIMIT_S = 30.0  # of a process with its start, on a machine with much to do; without bounds: for ever


def _texts(_seed: int) -> Seen:
    seen = Seen(peak_bytes=0)
    with tempfile.TemporaryDirectory() as folder:
        for name, (verb, text) in TEXTS.items():
            file = Path(folder) / ("definition.yaml" if verb == "check" else "workflow.json")
            file.write_text(text)
            (Path(folder) / "catalog.yaml").write_text("events: []")
            began, peak = time.monotonic(), 0
            with program(READER, verb, str(file)) as process:
                while process.poll() is None and time.monotonic() - began < _LIMIT_S:
                    try:
                        peak = max(peak, peak_bytes(process.pid))
                        process.wait(0.05)
                    except (subprocess.TimeoutExpired, OSError, StopIteration):
                        continue
                code = process.poll()
            took_s = time.monotonic() - began
            seen.figures[name] = f"{len(text)} characters, exit code {code} after {took_s:.1f} s, {peak / 2**20:.0f} MB"
            seen.require(code in (0, 2, 3), f"{name}: exit code {code}")
            seen.require(peak < 400 << 20, f"{name}: {peak} bytes of memory")
            seen.peak_bytes = max(seen.peak_bytes or 0, peak)
    return seen


ATTACKS = (
    Attack(
        name="hostile-texts",
        done="`definitions check` and `definitions import` of merge keys, aliases, depth, long names",
        expected="each is read or refused with a code, in seconds",
        make=_texts,
    ),
)
