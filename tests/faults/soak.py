"""`make soak`: load for hours, with compaction, kills and restores. Memory, files, threads and disk of every process
are sampled, and the slopes at the end are judged; so is everything that happened, by `streamflow_check`.

What is never killed must stay as it is: its slope is taken over its last four fifths. What is killed now and then shows
that a start leaves nothing behind: its disk and its samples are told too, without a verdict.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from streamflow.kafka.embedded.broker import EmbeddedBroker
from streamflow_check.broker import Broker
from streamflow_check.experiment import Experiment
from streamflow_check.judge import judge
from tests.evidence.product import product_hash
from tests.evidence.results import append, file_of
from tests.faults.outside import Outside
from tests.faults.site import Site
from tests.faults.work import Generator, drawn
from tests.proof.world import Worker

SAMPLE_S = 5.0
SLICE_S = 20.0  # of load, each drawn by itself
SKIPPED = 0.2  # of the samples of a process, while it warms up
ALLOWED_AN_HOUR = {"rss_mb": 24.0, "files": 4.0, "threads": 2.0}
SMALL = {
    "STREAMFLOW_ENGINE__STORE_WRITE_BUFFER_BYTES": str(1 << 20),
    "STREAMFLOW_ENGINE__STORE_BLOCK_CACHE_BYTES": str(2 << 20),
}
COMPACTING = {"segment.ms": "20000", "min.cleanable.dirty.ratio": "0.01", "segment.bytes": str(1 << 20)}


@dataclass(frozen=True)
class Sample:
    """What one process had at one time, in seconds since the beginning."""

    at_s: float
    rss_mb: float
    files: int
    threads: int


def sample(pid: int, at_s: float) -> Sample | None:
    """None when the process is gone."""
    place = Path(f"/proc/{pid}")
    try:
        told = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines() if ":" in line)
        return Sample(
            at_s, int(told["VmRSS"].split()[0]) / 1024, len(list((place / "fd").iterdir())), int(told["Threads"])
        )
    except (OSError, KeyError):
        return None


def slope_an_hour(samples: Sequence[Sample], what: str) -> float:
    """By least squares, over all but the first of them."""
    chosen = samples[int(len(samples) * SKIPPED) :]
    if len(chosen) < 3:
        return 0.0
    times, values = [one.at_s / 3600 for one in chosen], [float(getattr(one, what)) for one in chosen]
    middle, level = sum(times) / len(times), sum(values) / len(values)
    spread = sum((at - middle) ** 2 for at in times)
    return (
        sum((at - middle) * (value - level) for at, value in zip(times, values, strict=True)) / spread
        if spread
        else 0.0
    )


def main() -> int:
    """0 when everything is flat, and every promise was kept."""
    options = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    options.add_argument("--hours", type=float, default=1.0)
    options.add_argument(
        "--per-s", type=float, default=5.0, help="orders a second, of which each is three to five runs (%(default)s)"
    )
    options.add_argument("--kill-s", type=float, default=60.0, help="seconds between kills (%(default)s)")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--out", type=Path, help="all samples as JSON lines")
    options.add_argument("--evidence", action="store_true", help="keep the verdict as evidence for the committed code")
    asked = options.parse_args()
    product = product_hash() if asked.evidence else ""
    result = _soaked(asked)
    if product:
        verdict = {"seed": asked.seed, "hours": asked.hours, "ok": result == 0}
        append(file_of(product), product, "soak", verdict)
    return result


def _soaked(asked: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="streamflow-soak-") as name:
        folder = Path(name)
        config = {"log.cleaner.backoff.ms": "1000", "log.retention.check.interval.ms": "5000"}
        with (
            EmbeddedBroker(folder / "broker", config=config) as broker,
            Outside(folder / "outside") as outside,
            Site(broker, outside, folder / "site") as site,
        ):
            return _soak(site, asked)


def _soak(site: Site, asked: argparse.Namespace) -> int:
    site.extra["engine"] = SMALL
    site.build()
    _compact(site)
    watcher = site.watch(asked.seed)
    steady = [
        site.worker("engine", "engine-steady"),
        site.worker("ingress", "ingress-steady"),
        site.worker("tasks", "tasks-steady"),
    ]
    killed = [site.worker("engine", "engine-killed"), site.worker("tasks", "tasks-killed")]
    site.wait_ready()
    chosen, began = random.Random(f"soak/{asked.seed}"), time.monotonic()
    samples: dict[str, list[Sample]] = defaultdict(list)
    disk: dict[str, list[float]] = defaultdict(list)
    sampled = sliced = killed_at = 0.0
    number = kills = restores = 0
    while (now := time.monotonic() - began) < asked.hours * 3600:
        site.check()
        if now >= sliced:
            site.generate(
                Generator(site.bootstrap, site.prefix, drawn(asked.seed, SLICE_S, asked.per_s, f"s{number}k"))
            )
            number, sliced = number + 1, sliced + SLICE_S
        if now >= killed_at + asked.kill_s:
            killed_at, victim = now, chosen.choice(killed)
            victim.kill()
            kills += 1
            if victim.kind == "engine" and chosen.random() < 0.5:
                victim.delete_state()
                restores += 1
            victim.restart()
        if now >= sampled:
            sampled += SAMPLE_S
            _sample(site, steady, samples, disk, now, asked.out)
        time.sleep(0.1)
    site.drain()
    watcher.stop()
    site.watcher = None
    inputs = (*(known for generator in site.generators for known in generator.judged), *watcher.decided)
    with Broker(site.bootstrap, site.prefix) as topics:
        report = judge(topics, Experiment(inputs=inputs, ledger=site.outside.calls(site.experiment), late_ms=60_000))
    print(report.table())
    print(f"{asked.hours} hours, {len(inputs)} inputs, {kills} kills, {restores} restores on an empty disk")
    flat = _tell(samples, disk)
    return 0 if report.ok and flat else 1


def _compact(site: Site) -> None:
    """Has the changelog compacted within seconds."""
    resource = ConfigResource(
        ResourceType.TOPIC,
        f"{site.prefix}state",
        incremental_configs=[
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in COMPACTING.items()
        ],
    )
    admin = AdminClient({"bootstrap.servers": site.bootstrap})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result()


def _sample(
    site: Site,
    steady: Sequence[Worker],
    samples: dict[str, list[Sample]],
    disk: dict[str, list[float]],
    at_s: float,
    out: Path | None,
) -> None:
    processes = {worker.name: worker._process.pid for worker in steady if worker._process is not None} | {
        "broker": site.broker.pid
    }
    for name, pid in processes.items():
        if (found := sample(pid, at_s)) is not None:
            samples[name].append(found)
    places = {worker.name: worker.state for worker in site.of("engine")}
    places["changelog in the broker"] = site.broker.data_dir / "data"
    for name, place in places.items():
        pattern = f"{site.prefix}state-*/*" if name == "changelog in the broker" else "**/*"
        disk[name].append(_megabytes(place, pattern))
    if out is not None:
        with out.open("a") as lines:
            told = {name: vars(some[-1]) for name, some in samples.items()} | {
                "disk_mb": {name: some[-1] for name, some in disk.items()}
            }
            lines.write(json.dumps(told) + "\n")


def _megabytes(folder: Path, pattern: str) -> float:
    total = 0
    for file in folder.glob(pattern):
        try:
            total += file.stat().st_blocks * 512
        except OSError:  # gone meanwhile
            continue
    return total / (1 << 20)


def _tell(samples: dict[str, list[Sample]], disk: dict[str, list[float]]) -> bool:
    flat = True
    print(f"{'PROCESS':<18} {'WHAT':<8} {'FIRST':>8} {'LAST':>8} {'MOST':>8} {'AN HOUR':>9}  VERDICT")
    for name, some in samples.items():
        for what, allowed in ALLOWED_AN_HOUR.items():
            values, slope = [float(getattr(one, what)) for one in some], slope_an_hour(some, what)
            good = name == "broker" or slope <= allowed  # the broker is not ours
            flat &= good
            word = "not ours" if name == "broker" else "flat" if good else f"GROWS, allowed are {allowed:g}"
            print(
                f"{name:<18} {what:<8} {values[0]:>8.1f} {values[-1]:>8.1f} {max(values):>8.1f} {slope:>+9.1f}  {word}"
            )
    for place, sizes in disk.items():
        print(f"{place:<28} disk: {sizes[0]:.1f} MB at first, {max(sizes):.1f} at most, {sizes[-1]:.1f} at last")
    return flat


if __name__ == "__main__":
    sys.exit(main())
