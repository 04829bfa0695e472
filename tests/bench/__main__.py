"""`make bench`: each part on a broker of its own, one table at the end."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from tests.bench import (
    backlog,
    calls,
    capacity,
    diagrams,
    expressions,
    first_token,
    history,
    latency,
    loan,
    micro,
    million,
    overhead,
    recovery,
    sidecar,
)
from tests.bench.report import Row, machine, show
from tests.bench.stage import Stage

PARTS: dict[str, Callable[[Stage], list[Row]]] = {
    "micro": micro.measure,
    "overhead": overhead.measure,
    "expressions": expressions.measure,
    "backlog": backlog.measure,
    "latency": latency.measure,
    "calls": calls.measure,
    "loan": loan.measure,
    "recovery": recovery.measure,
    "million": million.measure,
    "capacity": capacity.measure,
    "history": history.measure,
    "sidecar": sidecar.measure,
    "first_token": first_token.measure,
    "diagrams": diagrams.measure,
}


def main() -> int:
    """0 when every part could be measured, whether or not its aim was met."""
    options = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    options.add_argument(
        "--only", action="append", metavar="NAME", choices=sorted(PARTS), help="this part (may be given again)"
    )
    options.add_argument("--quick", action="store_true", help="a tenth of everything: whether it works, not how fast")
    options.add_argument("--seconds", type=float, help="of each paced measurement (20; quick: 3)")
    options.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options.add_argument(
        "--keep",
        type=Path,
        metavar="FOLDER",
        help="work in this folder, and keep it: logs, stores and the brokers' data",
    )
    asked = options.parse_args()
    if asked.keep is not None and asked.keep.exists():
        options.error(f"expected a folder that is not there yet but {asked.keep} is. Name another.")
    at = machine()
    rows: list[Row] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="streamflow-bench-") as temporary:
        for name in asked.only or PARTS:
            began = time.monotonic()

            def say(text: str, name: str = name, began: float = began) -> None:
                print(f"[{name} {time.monotonic() - began:6.1f} s] {text}", file=sys.stderr, flush=True)

            stage = Stage(
                asked.keep or Path(temporary), asked.quick, asked.seconds or (3.0 if asked.quick else 20.0), say
            )
            say("begins")
            try:
                rows += PARTS[name](stage)
            except Exception:  # noqa: BLE001 - the other parts go on
                failed.append(name)
                say(f"FAILED\n{traceback.format_exc()}")
    show(rows, at, Console(width=None if sys.stdout.isatty() else 140))
    if failed:
        print(f"not measured: {', '.join(failed)}")
    if asked.json:
        found = {"machine": asdict(at), "quick": asked.quick, "failed": failed, "rows": [row.facts() for row in rows]}
        asked.json.write_text(json.dumps(found, indent=2) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
