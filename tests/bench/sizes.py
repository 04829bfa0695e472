"""What a finished run costs on disk: bytes in each topic, measured in a simulation, whose records are those of
production.

    python -m tests.bench.sizes [--runs N]

The run is one of `definitions/order-fulfilment`: two events of 120 bytes, six steps, no call outside. The bytes are
those of keys, values and headers, and Kafka's own of a record (format v2: about 12, and 2 for each header),
uncompressed and of one replica. Of the changelog, which is compacted, what is left for each finished run is measured;
it is there as long as repeated events are known.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.simulation.driver import Simulation
from streamflow.simulation.volume import size_of

FOLDER = Path(__file__).parents[2] / "definitions" / "order-fulfilment"


def measure(runs: int) -> dict[str, float]:
    """Bytes for each finished run, by topic; `state` is what the changelog keeps of it."""
    simulation = Simulation()
    simulation.publish(
        parse_definition((FOLDER / "definition.yaml").read_text()), parse_catalog((FOLDER / "catalog.yaml").read_text())
    )
    before: Counter[str] = Counter()
    for number in range(runs + 1):
        if number == 1:  # what the first run brings is there once
            simulation.advance("1h")
            before = _sizes(simulation)
        order = f"ORD-{number:06}"
        placed = {"id": f"placed-{number:06}", "type": "placed", "order": order}
        simulation.send("order.placed", placed | {"quantity": 3, "price_cents": 19900, "fragile": True}, key=order)
        simulation.run_until_quiet()
        paid = {"id": f"paid-{number:06}", "type": "received", "order": order, "amount_cents": 59700}
        simulation.send("payment.received", paid, key=order)
        simulation.run_until_quiet()
    ended = sum(simulation.history(run)[-1].type == "RunCompleted" for run in simulation.runs())
    if ended != runs + 1:
        raise SystemExit(f"{runs + 1} runs were to end and {ended} have: the figures would mean nothing.")
    return {topic: (size - before[topic]) / runs for topic, size in _sizes(simulation).items() if size - before[topic]}


def _sizes(simulation: Simulation) -> Counter[str]:
    sizes: Counter[str] = Counter()
    for name, topic in simulation.log.topics.items():
        sizes[name] = sum(size_of(record.key, record.value, record.headers) for record in topic.records())
    for changelog in simulation.log.changelogs:
        sizes["state"] += sum(size_of(key.encode(), value) for key, value in changelog.state().items())
    return sizes


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(prog="python -m tests.bench.sizes", description=__doc__)
    options.add_argument("--runs", type=int, default=500, help="how many runs are made")
    runs = options.parse_args().runs
    for topic, size in sorted(measure(runs).items()):
        print(f"{topic:<24} {size:8.0f} bytes a run {size / 1000:8.2f} GB a million runs")


if __name__ == "__main__":
    main()
