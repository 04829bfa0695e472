"""What the demo claims at its end, checked from the topics alone, as anybody could."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from streamflow.kafka.topics import RUNS, topic_name
from streamflow.ops.history import Runs, transitions
from streamflow.ops.topic_reader import Reading
from streamflow.settings import Settings


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence, and whether it holds."""

    text: str
    holds: bool


def claims(settings: Settings, ends: Mapping[str, str], shipped_topic: str) -> list[Claim]:
    """Reads `runs` from its beginning, and the topic that the definition emits to. `ends` is how the run of each order
    must end."""
    runs, records = Runs(), dict[tuple[str, int], bytes | None]()
    copies = different = 0
    with Reading(settings, topic_name(settings, RUNS)) as reading:
        for record in reading.to_end():
            transition = next(transitions([record], runs.unreadable), None)
            if transition is None:
                continue
            place = (transition.run, transition.seq)
            if place in records:
                copies += 1
                different += records[place] != record.value
            else:
                records[place] = record.value
                runs.take(transition)
    found = Counter(run.key for run in runs.by_id.values())
    counts = runs.counts()
    last = {run.key: run.ended.split(", ")[-1] for run in runs.by_id.values()}
    whole = Counter(run for run, _ in records)
    gaps = sum(whole[run.run] != run.seq for run in runs.by_id.values())
    emitted: Counter[str] = Counter()
    seen: set[bytes] = set()
    with Reading(settings, shipped_topic) as reading:
        for record in reading.to_end():
            headers = dict(record.headers)
            if headers["ce_type"] == b"order.shipped" and headers["ce_id"] not in seen:
                seen.add(headers["ce_id"])
                emitted[(record.key or b"").decode()] += 1
    shipped = {order for order, step in ends.items() if step == "ship"}
    return [
        Claim(f"{len(ends)} orders started {len(runs.by_id)} runs, one each", found == Counter(ends.keys())),
        Claim(
            f"{len(runs.by_id)} started = {counts['completed']} completed + {counts['open']} open",
            counts["completed"] + counts["open"] == len(runs.by_id),
        ),
        Claim(
            f"every run ended as it had to: {len(shipped)} shipped, {len(ends) - len(shipped)} given up",
            last == dict(ends),
        ),
        Claim(f"{len(records)} transitions, numbered in every run from 1 without a gap", gaps == 0),
        Claim(
            f"{copies} copies of transitions after the crash, each identical to the first"
            if copies
            else "no transition was written twice",
            different == 0,
        ),
        Claim(f"{sum(emitted.values())} shipments emitted, one for each paid order", emitted == Counter(shipped)),
    ]
