"""A process that does experiments one after another, with a broker and an outside of its own: a line of JSON in, lines
of JSON out."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from streamflow.kafka.embedded.broker import EmbeddedBroker
from streamflow.kafka.embedded.node import free_ports, keep_ports
from tests.faults.ability import has
from tests.faults.cluster import Cluster
from tests.faults.nemesis import from_json
from tests.faults.outside import Outside
from tests.faults.shim import Control, Disk, load
from tests.faults.trial import Result, run, setting_of

BROKER_LIVES = 25  # experiments; each leaves consumer offsets and coordinators behind
BROKER_CONFIG = {"log.cleaner.backoff.ms": "1000"}


def main() -> int:
    """Ends with its input."""
    folder = Path(tempfile.mkdtemp(prefix="streamflow-faults-"))
    if has("gcc"):
        load()
    forkserver.ensure_running()  # now, before the environment names the broker's shim: workers are told of their own
    answers = sys.stdout
    cluster: Cluster | None = None
    sys.stdout = sys.stderr  # whatever else is printed is not an answer
    with Outside(folder / "outside") as outside:
        for number, broker, shim, line in _served(folder):
            asked = json.loads(line)
            injections = from_json(asked["schedule"])
            if setting_of(injections).brokers > 1:
                try:
                    cluster = Cluster(folder / "cluster").start()
                except Exception:  # noqa: BLE001 - told in the table
                    _tell(
                        answers,
                        asdict(
                            Result(
                                asked["kind"],
                                asked["seed"],
                                asked["schedule"],
                                evidence=[traceback.format_exc()[-3000:]],
                            )
                        ),
                    )
                    continue

            def say(text: str, asked: dict[str, Any] = asked) -> None:
                _tell(answers, {"said": f"[{asked['kind']} {asked['seed']}] {text}"})

            place = folder / f"{number}-{asked['kind']}-{asked['seed']}"
            where = cluster if cluster is not None and setting_of(injections).brokers > 1 else broker
            result = run(asked["kind"], asked["seed"], injections, where, outside, place, say, shim)
            _tell(answers, asdict(result))
            if not result.ok:
                broker.kill()  # nobody knows how it was left; the next one begins with a start
            if cluster is not None and where is cluster:  # three brokers are many, and such experiments few
                cluster.kill()
                shutil.rmtree(folder / "cluster", ignore_errors=True)
                cluster = None
    with contextlib.suppress(OSError):
        shutil.rmtree(folder / "outside")
        folder.rmdir()  # what is left was kept because something is to be looked at
    return 0


def _served(folder: Path) -> Iterator[tuple[int, EmbeddedBroker, Control, str]]:
    """Each line of the input with a broker that runs."""
    broker: EmbeddedBroker | None = None
    shim = Control(folder / "broker.shim", folder / "unused")
    try:
        for number, line in enumerate(sys.stdin):
            if broker is None or number % BROKER_LIVES == 0:
                _end(broker)
                place = folder / f"broker-{number}"
                shim = Control(folder / f"broker-{number}.shim", place / "data")
                os.environ.update(shim.environment)  # of the broker; workers have their own
                broker = open_broker(place)
            if not broker.running:
                broker.start()
            shim.disk(Disk.WELL)
            yield number, broker, shim, line
    finally:
        _end(broker)


def open_broker(folder: Path) -> EmbeddedBroker:
    """A broker that can be reached from other network namespaces too: it listens everywhere, and says that it is on
    loopback."""
    folder.mkdir(parents=True)
    ports = free_ports()
    keep_ports(folder / "ports.json", ports)
    listeners = f"PLAINTEXT://0.0.0.0:{ports.client},CONTROLLER://127.0.0.1:{ports.controller}"
    return EmbeddedBroker(folder, config={**BROKER_CONFIG, "listeners": listeners}, progress=lambda text: None).start()


def _end(broker: EmbeddedBroker | None) -> None:
    if broker is not None:
        broker.kill()
        shutil.rmtree(broker.data_dir, ignore_errors=True)


def _tell(answers: Any, told: dict[str, Any]) -> None:
    answers.write(json.dumps(told) + "\n")
    answers.flush()


if __name__ == "__main__":
    sys.exit(main())
