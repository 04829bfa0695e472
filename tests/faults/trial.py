"""One experiment: build, work, break, mend, drain, judge."""

from __future__ import annotations

import json
import shutil
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from streamflow.kafka.embedded.broker import EmbeddedBroker
from streamflow_check.broker import Broker
from streamflow_check.experiment import Experiment
from streamflow_check.judge import judge
from tests.faults import kinds
from tests.faults.cluster import Cluster
from tests.faults.definitions import DONE, SOURCES
from tests.faults.nemesis import KINDS, Injection, Nemesis, Setting, to_json
from tests.faults.outside import Outside
from tests.faults.shim import Control
from tests.faults.site import LANES, Say, Site
from tests.faults.work import Generator, drawn
from tests.integration.workers import complaints
from tests.proof.world import Failed

__all__ = ["kinds", "run"]

ROOT = Path(__file__).parents[2]
PER_S = 20.0
LATE_MS = 60_000  # beside twice the time for which something was broken: what a busy machine needs to come back


@dataclass
class Result:
    """What became of one experiment. `verdict`: kept, BROKEN (a promise), stuck (nothing moved, or a worker ended by
    itself), error (ours)."""

    kind: str
    seed: int
    schedule: str
    verdict: str = "error"
    broken: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    stall_s: float = 0.0  # the longest time without a transition in any partition
    broken_s: float = 0.0  # from the first injection until everything was mended; a broker is mended when it answers
    limits: str = ""
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    # events that workers logged as warnings or errors: how the fault was felt
    warned: dict[str, int] = field(default_factory=dict)
    folder: str = ""

    @property
    def ok(self) -> bool:
        return self.verdict == "kept"


def setting_of(injections: Sequence[Injection]) -> Setting:
    """What all faults of a schedule together need."""
    settings = [KINDS[injection.kind].setting for injection in injections]
    return Setting(
        max(one.engines for one in settings),
        all(one.static for one in settings),
        max(one.work_s for one in settings),
        max(one.brokers for one in settings),
    )


def run(
    kind: str,
    seed: int,
    injections: Sequence[Injection],
    broker: EmbeddedBroker | Cluster,
    outside: Outside,
    folder: Path,
    say: Say,
    broker_shim: Control | None,
) -> Result:
    """Plays a schedule; never raises for what the system does."""
    result, began = Result(kind, seed, to_json(injections)), time.monotonic()
    try:
        with Site(broker, outside, folder, say, broker_shim) as site:
            nemesis = Nemesis(site, injections, seed)
            try:
                _play(site, nemesis, kind, seed, result)
            except Failed:
                nemesis.mend_all()
                _keep(site)
                raise
            finally:
                nemesis.mend_all()
                result.warned = _warned(site)
                result.complaints = [
                    f"{worker.name}: {line.replace(f'{ROOT}/', '')[:300]}"  # the folder of the checkout says nothing
                    for worker in site.workers.values()
                    for line in complaints(worker)
                ][:5]
    except Failed as error:
        result.verdict, result.evidence = "stuck", [str(error)[:4000]]
    except Exception:  # noqa: BLE001 - told in the table
        result.evidence = [traceback.format_exc()[-3000:]]
    result.seconds = round(time.monotonic() - began, 1)
    if result.ok:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        result.folder = str(folder)
    return result


def _keep(site: Site) -> None:
    """Writes down what the topics hold, to be looked at, and which runs did not end."""
    if not site.cluster.running:
        return
    names = ("definitions", "commands", "runs", "dead-letters", *(f"tasks.{lane}" for lane in LANES), *SOURCES, DONE)
    with (site.folder / "topics.jsonl").open("w") as out:
        for name in names:
            for message in site.stranger.messages(f"{site.prefix}{name}", committed=name == "definitions"):
                place = f"{name}/{message.partition()}@{message.offset()}"
                headers = {header: (value or b"").decode(errors="replace") for header, value in message.headers() or ()}
                key, value = ((part or b"").decode(errors="replace") for part in (message.key(), message.value()))
                out.write(
                    json.dumps(
                        {"place": place, "at": message.timestamp()[1], "key": key, "value": value, "headers": headers}
                    )
                    + "\n"
                )
    if site.watcher is not None:
        (site.folder / "open.txt").write_text("\n".join(sorted(site.watcher.open)))


def _warned(site: Site) -> dict[str, int]:
    found: Counter[str] = Counter()
    for worker in site.workers.values():
        for line in worker.log.read_text(errors="replace").splitlines():
            if line.startswith("{") and '"level": "info"' not in line:
                found[str(json.loads(line).get("event"))[:60]] += 1
    return dict(found.most_common(20))


def _play(site: Site, nemesis: Nemesis, kind: str, seed: int, result: Result) -> None:
    setting = setting_of(nemesis.injections)
    marks = [time.monotonic()]
    site.build()
    nemesis.prepare()
    watcher = site.watch(f"{kind}/{seed}")
    for number in range(setting.engines):
        site.worker("engine", f"engine-{number}", static=setting.static)
    for role in ("ingress", "tasks"):
        site.worker(role, role, static=setting.static)
    site.wait_ready()
    marks.append(time.monotonic())
    work_s = max(setting.work_s, max(injection.at_s for injection in nemesis.injections) + 1)
    site.generate(Generator(site.bootstrap, site.prefix, drawn(f"{kind}/{seed}", work_s, PER_S, more=site.starts)))
    nemesis.play(site.say)
    mended = time.time() * 1000
    site.drain()
    marks.append(time.monotonic())
    result.facts["cpu_s"] = site.cpu_s
    result.stall_s = round(watcher.stall_s(nemesis.injected_ms[0], max(mended, nemesis.healed_ms[-1])), 2)
    result.broken_s = round((nemesis.healed_ms[-1] - nemesis.injected_ms[0]) / 1000, 2)
    result.limits = KINDS[nemesis.injections[0].kind].limits
    watcher.stop()
    site.watcher = None
    without = frozenset[str]().union(*(fault.without for fault in nemesis.faults.values()))
    inputs = (*(known for generator in site.generators for known in generator.judged), *watcher.decided)
    ledger = site.ledger()
    experiment = Experiment(
        inputs=None if site.lossy else inputs,
        ledger=ledger,
        late_ms=LATE_MS + round(result.broken_s * 2000),
        without=without,
    )
    with Broker(site.bootstrap, site.prefix) as topics:
        report = judge(topics, experiment)
    needed = (
        "one-chain",
        "state-is-fold",
        "one-outcome",
        *(() if site.lossy else ("acknowledged-input", "ledger-complete")),
    )
    result.verdict = (
        "BROKEN" if not report.ok else "kept" if all(report.findings[name].looked for name in needed) else "error"
    )
    result.broken = report.broken_promises
    result.evidence = [f"{name}: {text}" for name, finding in report.findings.items() for text in finding.evidence][:20]
    failed = [text for generator in site.generators for text in generator.failed]
    result.facts |= {
        **{
            name: report.counts[name] for name in ("transitions", "copies", "commands", "runs completed", "runs failed")
        },
        "inputs": len(inputs),
        "calls": sum(ledger.values()),
        "effects done more than once": report.facts.get("effects done more than once", 0),
        "begun again": site.begun_again,
        "not sent": failed[:3],
        "parked": sorted(watcher.parked)[:3],
        "looked": {name: finding.looked for name, finding in report.findings.items() if finding.looked},
    }
    marks.append(time.monotonic())
    result.facts["parts_s"] = [round(later - earlier, 1) for earlier, later in pairwise(marks)]
    if result.ok:
        site.remove_topics()
    else:
        _keep(site)
