"""`make faults`: kinds of faults times seeds, and mixed schedules, each judged by `streamflow_check`; a live table, and
a file of results that can be gone on with: what is in it already is not tried again."""

from __future__ import annotations

import argparse
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.evidence.product import ChangedError, product_hash
from tests.evidence.results import file_of
from tests.faults import kinds
from tests.faults.ability import missing
from tests.faults.nemesis import KINDS, Injection, from_json, mixed, single, to_json

__all__ = ["kinds", "main"]

ROOT = Path(__file__).parents[2]
MIXED = "mixed"


class Job:
    """A process of `tests.faults.job`; answers come to `told`."""

    def __init__(self, number: int, told: queue.Queue[tuple[int, dict[str, Any] | None]]) -> None:
        command = [sys.executable, "-m", "tests.faults.job"]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._number = number
        self._told = told
        self.doing: dict[str, Any] | None = None
        threading.Thread(target=self._listen, daemon=True).start()

    def do(self, asked: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self.doing = asked
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(120)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._told.put((self._number, json.loads(line)))
        self._told.put((self._number, None))


def main() -> int:
    """0 when every experiment kept every promise."""
    asked = _options().parse_args()
    if asked.list:
        print(_known())
        return 0
    names = [name for name in asked.kinds.replace(",", " ").split() if name != "all"] or sorted(KINDS)
    if unknown := set(names) - KINDS.keys():
        print(
            f"expected kinds of faults but found {', '.join(sorted(unknown))}. Choose from {', '.join(sorted(KINDS))}.",
            file=sys.stderr,
        )
        return 2
    lacking = {name: lack for name in names if (lack := missing(KINDS[name].needs))}
    usable = [name for name in names if name not in lacking]
    product = ""
    if asked.evidence:
        try:
            product = product_hash()
        except ChangedError as error:
            print(error, file=sys.stderr)
            return 2
        asked.out = file_of(product)
        asked.out.parent.mkdir(parents=True, exist_ok=True)
    done = _done(asked.out) if asked.out else {}
    todo = [one for one in _planned(asked, usable) if (one["kind"], one["seed"]) not in done or asked.again]
    results = list(done.values())
    began = time.monotonic()
    commit = _commit()
    for result in _tried(todo, asked.jobs, verbose=asked.verbose):
        bound = {"product": product, "suite": "faults"} if product else {}
        results.append(bound | result | {"commit": commit})
        if asked.out:
            with asked.out.open("a") as out:
                out.write(json.dumps(results[-1]) + "\n")
        left = len(todo) - (len(results) - len(done))
        print(_line(result, left, time.monotonic() - began), flush=True)
    print(table(results))
    for name, lack in lacking.items():
        print(f"not tried: {name} needs {', '.join(lack)}")
    return 0 if all(result["verdict"] == "kept" for result in results) else 1


def _commit() -> str:
    """What is tried, in short; "" without git."""
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout.strip()
    except OSError:
        return ""


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    options.add_argument("--kinds", default="all", help="of faults, with commas or blanks between; all by default")
    options.add_argument("--seed", type=int, default=1, help="the first seed (%(default)s)")
    options.add_argument("--seeds", type=int, default=1, help="how many seeds each kind is tried with (%(default)s)")
    options.add_argument("--mixed", type=int, default=0, help="how many mixed schedules (%(default)s)")
    options.add_argument(
        "--schedule", type=Path, metavar="FILE", help="play the schedule in this file, as one was printed"
    )
    options.add_argument(
        "--jobs", type=int, default=2, help="experiments at the same time, each with a broker of its own (%(default)s)"
    )
    options.add_argument(
        "--out", type=Path, metavar="FILE", help="results as JSON lines; what it has already is not tried again"
    )
    options.add_argument(
        "--evidence", action="store_true", help="collect the results as evidence for the committed code"
    )
    options.add_argument("--again", action="store_true", help="try also what the file has")
    options.add_argument("--list", action="store_true", help="list the kinds of faults")
    options.add_argument("--verbose", action="store_true", help="tell what is broken and mended")
    return options


def _known() -> str:
    width = max(map(len, KINDS))
    return "\n".join(
        f"{name.ljust(width)}  {' '.join((fault.__doc__ or fault.__mro__[1].__doc__ or '').split())}"
        for name, fault in sorted(KINDS.items())
    )


def _planned(asked: argparse.Namespace, usable: Sequence[str]) -> Iterable[dict[str, Any]]:
    if asked.schedule:
        injections = from_json(asked.schedule.read_text())
        yield {
            "kind": MIXED if len(injections) > 1 else injections[0].kind,
            "seed": asked.seed,
            "schedule": to_json(injections),
        }
        return
    quick, slow = (
        [name for name in usable if (KINDS[name].setting.brokers > 1) is several] for several in (False, True)
    )
    seeds = range(asked.seed, asked.seed + asked.seeds)
    singles = [_one(name, seed, single(name, seed)) for seed in seeds for name in quick]
    mixes = [_one(MIXED, seed, mixed(seed, usable)) for seed in range(asked.seed, asked.seed + asked.mixed)]
    evenly = [(place / len(some), one) for some in (singles, mixes) for place, one in enumerate(some)]
    yield from (one for _, one in sorted(evenly, key=lambda placed: placed[0]))
    yield from (_one(name, seed, single(name, seed)) for seed in seeds for name in slow)


def _one(name: str, seed: int, injections: Sequence[Injection]) -> dict[str, Any]:
    return {"kind": name, "seed": seed, "schedule": to_json(injections)}


def _done(out: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """The last result of each experiment; those that failed by the fault of these programs are tried again."""
    if not out.exists():
        return {}
    results = [json.loads(line) for line in out.read_text().splitlines() if line.endswith("}")]
    return {
        (result["kind"], result["seed"]): result
        for result in results
        if result.get("suite", "faults") == "faults" and result["verdict"] != "error"
    }


def _tried(todo: Sequence[dict[str, Any]], jobs: int, *, verbose: bool) -> Iterable[dict[str, Any]]:
    if not todo:
        return
    told: queue.Queue[tuple[int, dict[str, Any] | None]] = queue.Queue()
    waiting = list(todo)
    working = {number: Job(number, told) for number in range(min(jobs, len(todo)))}
    fresh = len(working)
    for job in working.values():
        job.do(waiting.pop(0))
    try:
        while working:
            number, answer = told.get()
            job = working[number]
            if answer is None:  # it died: a crash of a client library, say
                del working[number]
                if job.doing is not None:
                    yield {
                        **job.doing,
                        "verdict": "error",
                        "evidence": ["the job ended by itself"],
                        "seconds": 0,
                        "stall_s": 0,
                        "broken": [],
                        "facts": {},
                    }
                if waiting:
                    working[fresh] = Job(fresh, told)
                    working[fresh].do(waiting.pop(0))
                    fresh += 1
            elif "said" in answer:
                if verbose:
                    print(f"    {answer['said']}", file=sys.stderr, flush=True)
            else:
                job.doing = None
                yield answer
                if waiting:
                    job.do(waiting.pop(0))
                else:
                    job.end()
    finally:
        for job in working.values():
            job.end()


def _line(result: dict[str, Any], left: int, seconds: float) -> str:
    spans = f"broken for {result.get('broken_s', 0)} s, stalled {result['stall_s']} s"
    told = f"{result['kind']:<24} {result['seed']:>4}  {result['verdict']:<7} {result['seconds']:>5} s, {spans}"
    if result["verdict"] != "kept":
        told += (
            f"\n    {', '.join(result['broken'])} {' | '.join(result['evidence'])[:600]}\n    schedule "
            f"{result['schedule']}\n    {result.get('folder', '')}"
        )
    return f"{told}   ({left} left, {seconds / 60:.0f} min)" if left % 10 == 0 else told


def table(results: Sequence[dict[str, Any]]) -> str:
    """A line for each kind: how often it was tried, the verdicts, and the longest times without progress."""
    by_kind: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        by_kind[result["kind"]].append(result)
    lines: list[tuple[str, ...]] = [
        (
            "KIND",
            "TRIED",
            "KEPT",
            "BROKEN",
            "STUCK",
            "ERROR",
            "BROKEN FOR s (half)",
            "(longest)",
            "STALL s (half)",
            "(longest)",
            "BOUND BY",
            "INPUTS",
            "TRANSITIONS",
            "COPIES",
        )
    ]
    for name, some in sorted(by_kind.items()):
        words = Counter(result["verdict"] for result in some)
        stalls = sorted(result["stall_s"] for result in some if result["verdict"] == "kept") or [0.0]
        spans = sorted(result.get("broken_s", 0.0) for result in some if result["verdict"] == "kept") or [0.0]
        counts = [
            sum(result["facts"].get(count, 0) for result in some) for count in ("inputs", "transitions", "copies")
        ]
        bound = next((result["limits"] for result in some if result.get("limits")), "")
        shown = [
            len(some),
            *(words[word] for word in ("kept", "BROKEN", "stuck", "error")),
            f"{spans[len(spans) // 2]:.1f}",
            f"{spans[-1]:.1f}",
            f"{stalls[len(stalls) // 2]:.1f}",
            f"{stalls[-1]:.1f}",
        ]
        lines.append((name, *map(str, shown), bound if name != MIXED else "", *(f"{count:,}" for count in counts)))
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


if __name__ == "__main__":
    sys.exit(main())
