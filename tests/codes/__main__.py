"""`make codes`: plays the tests that bring codes about, and writes the table of all codes into docs/bad-input.md."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.codes import recorder
from tests.codes.table import PAGE, read_notes, table, with_table

TESTS = ("tests/unit", "tests/contract", "tests/integration")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--notes", type=Path, help="a folder of notes that a run has left; absent: play the tests")
    options.add_argument("--processes", type=int, default=3)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="streamflow-codes-") as name:
        folder = asked.notes or Path(name)
        if asked.notes is None:
            command = [sys.executable, "-m", "pytest", "-q", "-n", str(asked.processes), "--dist", "loadfile", *TESTS]
            done = subprocess.run(command, env=os.environ | {recorder.VARIABLE: str(folder)}, check=False)
            if done.returncode:
                return done.returncode
        PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), table(read_notes(folder))), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
