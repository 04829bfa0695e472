"""Reading and appending results, and what is still missing of the evidence for one hash. Pure but for the file."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent / "results"
SEEDS, MIXED, SOAK_HOURS = 5, 30, 1.0  # what a complete set of evidence has at least


class MixedError(Exception):
    """Results of different code were given together."""


@dataclass(frozen=True)
class Required:
    """What a complete set has: names of fault kinds that this machine can try, and of the scenarios of the proof."""

    kinds: frozenset[str]
    scenarios: frozenset[str]
    seeds: int = SEEDS
    mixed: int = MIXED
    soak_hours: float = SOAK_HOURS


def file_of(product: str, folder: Path = FOLDER) -> Path:
    """Where the results of this hash are."""
    return folder / f"{product}.jsonl"


def append(path: Path, product: str, suite: str, result: Mapping[str, Any]) -> None:
    """Add one result of `suite` (faults, proof, soak, ...)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps({"product": product, "suite": suite, **result}).replace(f"{ROOT}/", "")  # of this machine only
    with path.open("a") as out:
        out.write(line + "\n")


def read(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """All results of the files; of the same experiment the last one. A line that was cut off is left out.

    Raises MixedError if they are not all of one hash."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for path in paths:
        for line in path.read_text().splitlines():
            if line.endswith("}"):
                result = json.loads(line)
                name = result.get("kind") or result.get("scenario") or ""
                found[result["product"], result["suite"], name, result.get("seed")] = result
    products = sorted({result["product"] for result in found.values()})
    if len(products) > 1:
        raise MixedError(
            f"The results are of different code: {', '.join(products)}. Give the files of one hash; run the others "
            "again."
        )
    return list(found.values())


def missing(results: Sequence[Mapping[str, Any]], required: Required) -> list[str]:
    """What is not there or did not hold, a line each; empty when the evidence is complete."""
    faults: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    hours = 0.0
    scenarios: Counter[str] = Counter()
    lines = []
    for result in results:
        if not _held(result):
            name = result.get("kind") or result.get("scenario") or "run"
            lines.append(f"{result['suite']}: {name} seed {result.get('seed')} did not hold")
        elif result["suite"] == "faults":
            faults[result["kind"]].append(result)
        elif result["suite"] == "soak":
            hours = max(hours, result["hours"])
        elif result["suite"] == "proof":
            scenarios[result["scenario"]] += 1
    lines += [
        f"faults: {kind} held with {len(faults[kind])} of {required.seeds} seeds"
        for kind in sorted(required.kinds)
        if len(faults[kind]) < required.seeds
    ]
    if len(faults["mixed"]) < required.mixed:
        lines.append(f"faults: {len(faults['mixed'])} of {required.mixed} mixed schedules held")
    lines += [f"proof: scenario {name} is missing" for name in sorted(required.scenarios - scenarios.keys())]
    if hours < required.soak_hours:
        lines.append(f"soak: {hours:g} of {required.soak_hours:g} hours")
    return lines


def _held(result: Mapping[str, Any]) -> bool:
    return bool(result["verdict"] == "kept" if result["suite"] == "faults" else result["ok"])
