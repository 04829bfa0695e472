"""A process that does experiments one after another, with a broker and an outside of its own: a line of JSON in, lines of JSON out."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from streamflow.kafka.broker import EmbeddedBroker
from tests.faults.nemesis import from_json
from tests.faults.outside import Outside
from tests.faults.trial import run

BROKER_LIVES = 25  # experiments; each leaves consumer offsets and coordinators behind
BROKER_CONFIG = {"log.cleaner.backoff.ms": "1000"}


def main() -> int:
    """Ends with its input."""
    folder = Path(tempfile.mkdtemp(prefix="streamflow-faults-"))
    answers = sys.stdout
    sys.stdout = sys.stderr  # whatever else is printed is not an answer
    with Outside(folder / "outside") as outside:
        for number, broker, line in _served(folder):
            asked = json.loads(line)

            def say(text: str, asked: dict[str, Any] = asked) -> None:
                _tell(answers, {"said": f"[{asked['kind']} {asked['seed']}] {text}"})

            place = folder / f"{number}-{asked['kind']}-{asked['seed']}"
            _tell(answers, asdict(run(asked["kind"], asked["seed"], from_json(asked["schedule"]), broker, outside, place, say)))
    with contextlib.suppress(OSError):
        shutil.rmtree(folder / "outside")
        folder.rmdir()  # what is left was kept because something is to be looked at
    return 0


def _served(folder: Path) -> Iterator[tuple[int, EmbeddedBroker, str]]:
    """Each line of the input with a broker that runs."""
    broker: EmbeddedBroker | None = None
    try:
        for number, line in enumerate(sys.stdin):
            if broker is None or number % BROKER_LIVES == 0:
                _end(broker)
                broker = EmbeddedBroker(folder / f"broker-{number}", config=BROKER_CONFIG, progress=lambda text: None).start()
            if not broker.running:
                broker.start()
            yield number, broker, line
    finally:
        _end(broker)


def _end(broker: EmbeddedBroker | None) -> None:
    if broker is not None:
        broker.kill()
        shutil.rmtree(broker.data_dir, ignore_errors=True)


def _tell(answers: Any, told: dict[str, Any]) -> None:
    answers.write(json.dumps(told) + "\n")
    answers.flush()


if __name__ == "__main__":
    sys.exit(main())
