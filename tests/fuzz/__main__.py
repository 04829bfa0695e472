"""`make fuzz`: every target its share of the inputs, a line of report for each, findings kept in the corpus."""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import FOUND, TARGETS, Target

_MEMORY_MB = 200  # above what the process has when it begins
_HANG_S = 60  # by the clock; the child counts processor time


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one target went through."""

    name: str
    inputs: int
    seconds: float
    peak_mb: int  # of the process
    grown_mb: int  # above its start
    finding: str  # empty if all inputs were survived; else the end of the fuzzer's output


def fuzz(target: Target, inputs: int, seed: int, folder: Path) -> Outcome:
    """Plays `inputs` inputs. A finding ends the target."""
    grown, given = folder / target.name, folder / f"{target.name}.seeds"
    grown.mkdir()
    given.mkdir()
    for number, data in enumerate(seeds(target.name)):
        (given / str(number)).write_bytes(data)
    found = FOUND / target.name
    options = [
        f"-runs={inputs}",
        f"-seed={seed}",
        f"-max_len={target.longest}",
        f"-timeout={_HANG_S}",
        "-rss_limit_mb=0",
        f"-artifact_prefix={folder}/{target.name}-",
        "-print_final_stats=1",
        str(grown),
        str(given),
        *([str(found)] if found.is_dir() else []),
    ]
    began = time.monotonic()
    command = [sys.executable, "-m", "tests.fuzz.child", target.name, *options]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    said = "\n".join(line for line in (done.stdout + done.stderr).splitlines() if "INFO: Instrumenting" not in line)
    stats = dict(re.findall(r"stat::(\w+): +(\d+)", said))
    started = re.search(r"INITED .* rss: (\d+)Mb", said)
    peak = int(stats.get("peak_rss_mb", 0))
    grew = peak - int(started[1]) if started else 0
    finding = "" if done.returncode == 0 else said[-4000:]
    if not finding and grew > _MEMORY_MB:
        finding = f"the process grew by {grew} MB"
    return Outcome(
        name=target.name,
        inputs=int(stats.get("number_of_executed_units", 0)),
        seconds=time.monotonic() - began,
        peak_mb=peak,
        grown_mb=grew,
        finding=finding,
    )


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--inputs", type=int, default=1_000_000, help="inputs of all targets together")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", nargs="*", default=[], help="names of targets")
    options.add_argument("--jobs", type=int, default=2)
    asked = options.parse_args()
    chosen = [target for target in TARGETS if not asked.only or target.name in asked.only]
    if not chosen:
        options.error(f"expected targets but found {asked.only}. The targets are {', '.join(t.name for t in TARGETS)}.")
    whole = sum(target.share for target in chosen)
    with tempfile.TemporaryDirectory(prefix="streamflow-fuzz-") as name, ThreadPoolExecutor(asked.jobs) as pool:
        folder = Path(name)
        running = [
            pool.submit(fuzz, target, -(-asked.inputs * target.share // whole), asked.seed, folder)
            for target in sorted(chosen, key=lambda target: -target.share)
        ]
        print(f"seed {asked.seed}\n{'TARGET':<16}{'INPUTS':>10}{'SECONDS':>10}{'PEAK MB':>9}{'GROWN':>7}  FINDING")
        outcomes = []
        for each in running:
            outcome = each.result()
            outcomes.append(outcome)
            print(
                f"{outcome.name:<16}{outcome.inputs:>10,}{outcome.seconds:>10.0f}{outcome.peak_mb:>9}"
                f"{outcome.grown_mb:>7}  {'yes' if outcome.finding else '-'}",
                flush=True,
            )
        for outcome in outcomes:
            if outcome.finding:
                print(f"\n{outcome.name}:\n{outcome.finding}")
        for found in sorted(folder.glob("*-crash-*")) + sorted(folder.glob("*-timeout-*")):
            target_name = re.split(r"-(?:crash|timeout)-", found.name)[0]
            kept = FOUND / target_name / f"found-{found.name[-12:]}"
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(found.read_bytes())
            print(f"kept {kept.relative_to(FOUND.parent)}: {found.read_bytes()[:200]!r}")
    total = sum(outcome.inputs for outcome in outcomes)
    print(f"{total:,} inputs, {sum(bool(outcome.finding) for outcome in outcomes)} targets with a finding")
    return int(any(outcome.finding for outcome in outcomes))


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.exit(main())
