"""The users' topics: what ingress counted of them, and the result of each acknowledged input."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from streamflow_check.commands import Origins
from streamflow_check.dead_letters import Letters
from streamflow_check.experiment import Experiment, Input
from streamflow_check.promises import Report
from streamflow_check.records import Record, Topics
from streamflow_check.transitions import Watched

Positions = dict[str, dict[int, tuple[int, str]]]


class Published(NamedTuple):
    """What was published: the topics that events come from, with the time from which on all their records must be read
    (0: all there are), the topics that emitted events may be in by the event's name, whether some definition has more
    than one version, and how many partitions the first generation has (0: there is only one)."""

    topics: dict[str, int]
    targets: dict[str, set[str]]
    versions: bool
    entries: int = 0


def published(definitions: Iterable[Record]) -> Published:
    """What the topic of definitions tells."""
    topics: dict[str, int] = {}
    targets: dict[str, set[str]] = {}
    versions: dict[str, set[str]] = {}
    entries = 0
    for record in definitions:
        kind, _, name = (record.key or b"").decode(errors="replace").partition("/")
        told = record.json()
        if kind == "binding" and isinstance(told, dict):
            since = 0 if told.get("start") == "earliest" else record.at_ms
            for topic in told.get("topics", ()):
                topics.setdefault(topic, since)  # reading began when the first event of a topic was bound to it
            targets.setdefault(name, set()).update(told.get("topics", ())[:1])
        elif (kind, name) == ("engine", "generations") and isinstance(told, dict):
            entries = int(told["partitions"][0])
        elif kind == "version":
            versions.setdefault(name.rpartition("@")[0], set()).add(name)
    return Published(topics, targets, any(len(found) > 1 for found in versions.values()), entries)


def positions(topics: Topics, sources: Iterable[str]) -> Positions:
    """How far ingress has committed, with its counts."""
    return {
        source: topics.committed(f"{topics.prefix}ingress", source)
        for source in sorted(sources)
        if topics.partitions(source)
    }


def judge(
    topics: Topics,
    committed: Positions,
    known: Published,
    origins: Origins,
    letters: Letters,
    report: Report,
    *,
    whole: bool,
    at_rest: bool,
) -> None:
    """The counts in the metadata of ingress's commits against what the topics hold. `whole`: no command has been
    deleted."""
    for source, partitions in committed.items():
        bare = topics.bare(f"{topics.prefix}ingress", source)
        for partition, (offset, metadata) in sorted(partitions.items()):
            counts = _counts(metadata)
            if counts is None:
                continue
            low, high = topics.bounds(source, partition)
            where = f"{source}/{partition}"
            if at_rest:
                report.hold("at-rest", offset >= high, f"{where} is read up to {offset}, but ends at {high}")
            total = counts["matched"] + counts["ignored"] + counts["dead"]
            report.hold(
                "counts-add-up",
                counts["read"] == total,
                f"{where}: read {counts['read']}, but its outcomes add up to {total}",
            )
            if partition in bare:
                report.note(
                    "counts-add-up",
                    f"{where}: somebody has set the offset, so its counts began anew and were not compared",
                )
                continue
            _compare(topics, source, partition, offset, low, counts, known.topics.get(source, 0), report)
            if whole:
                _matched(source, partition, offset, counts, origins, letters, report, versions=known.versions)


def _counts(metadata: str) -> dict[str, Any] | None:
    try:
        counts = json.loads(metadata)
        return {"topic_id": str(counts["topic_id"])} | {
            name: int(counts[name]) for name in ("read", "matched", "ignored", "dead")
        }
    except (ValueError, KeyError, TypeError):
        return None


def _compare(
    topics: Topics,
    source: str,
    partition: int,
    offset: int,
    low: int,
    counts: Mapping[str, Any],
    since_ms: int,
    report: Report,
) -> None:
    """All records are read from the first one on that was appended when the topic was published, or from an earlier
    one."""
    if counts["read"] == offset - low:
        report.looked("counts-add-up")
        return
    held = must = 0
    for record in topics.records(source, partition):  # marks of transactions are offsets, but no records
        if record.offset < offset:
            held += 1
            must += must > 0 or record.at_ms >= since_ms
    if low > 0:
        report.note("counts-add-up", f"{source}/{partition}: some records are no longer kept")
        must, held = 0, max(held, counts["read"])
    wanted = f"{must}" if must == held else f"{must} to {held}"
    report.hold(
        "counts-add-up",
        must <= counts["read"] <= held,
        f"{source}/{partition}: read {counts['read']}, but there were {wanted} up to {offset}",
    )


def _matched(
    source: str,
    partition: int,
    offset: int,
    counts: Mapping[str, Any],
    origins: Origins,
    letters: Letters,
    report: Report,
    *,
    versions: bool,
) -> None:
    made = {known for known in origins.offsets.get((counts["topic_id"], partition), ()) if known < offset}
    where = f"{source}/{partition}"
    # a newer version may not match what was matched before
    fits = counts["matched"] <= len(made) if versions else counts["matched"] == len(made)
    report.hold(
        "counts-add-up", fits, f"{where}: counts {counts['matched']} matched, commands were made of {len(made)}"
    )
    dead = {
        at
        for topic, topic_id, number, at in letters.ingress
        if (topic, topic_id, number) == (source, counts["topic_id"], partition) and at < offset
    }
    told = len(dead - made)
    fits = counts["dead"] <= told if versions else counts["dead"] == told
    report.hold("counts-add-up", fits, f"{where}: counts {counts['dead']} dead, dead-letters holds {told}")


def inputs(
    topics: Topics,
    experiment: Experiment,
    committed: Positions,
    watched: Watched,
    origins: Origins,
    letters: Letters,
    report: Report,
) -> None:
    """The result of each acknowledged input."""
    bounds: dict[tuple[str, int], tuple[int, int]] = {}
    judged: set[tuple[str, str]] = set()
    for known in experiment.inputs or ():
        report.looked("acknowledged-input")
        if known.command:
            if not watched.answered[known.command]:
                report.broken(
                    "acknowledged-input",
                    f"command {known.command} was acknowledged, but is not there or has no outcome",
                )
            continue
        where = f"{known.topic}/{known.partition}@{known.offset} ({known.id})"
        place = known.topic, known.partition
        if place not in bounds:
            bounds[place] = topics.bounds(*place)
        if known.offset >= bounds[place][1]:
            report.broken("acknowledged-input", f"{where} was acknowledged, but the topic ends at {bounds[place][1]}")
            continue
        position = committed.get(known.topic, {}).get(known.partition, (-1, ""))
        if known.offset >= position[0]:
            report.broken(
                "acknowledged-input", f"{where} was acknowledged, but ingress has read up to {position[0]} only"
            )
            continue
        _outcome(
            known, where, (_counts(position[1]) or {}).get("topic_id", ""), watched, origins, letters, report, judged
        )


def _outcome(
    known: Input,
    where: str,
    topic_id: str,
    watched: Watched,
    origins: Origins,
    letters: Letters,
    report: Report,
    judged: set[tuple[str, str]],
) -> None:
    for definition in known.starts:
        runs = watched.started.get((definition, known.id), set())
        if len(runs) != 1 and (definition, known.id) not in judged:
            judged.add((definition, known.id))
            report.broken(
                "acknowledged-input",
                f"{where} starts a run of {definition}, but there are {len(runs)}: {sorted(runs)[:3]}",
            )
    for definition in known.takes:
        runs = watched.taken.get((definition, known.id), set())
        if len(runs) != 1 and (definition, known.id) not in judged:
            judged.add((definition, known.id))
            report.broken(
                "acknowledged-input",
                f"{where} is for one run of {definition}, but {len(runs)} took it: {sorted(runs)[:3]}",
            )
    made = known.offset in origins.offsets.get((topic_id, known.partition), ())
    letter = (known.topic, topic_id, known.partition, known.offset) in letters.ingress
    if known.dead and not letter:
        report.broken("acknowledged-input", f"{where} cannot be read, but there is no dead letter of it")
    if known.ignored and (made or letter):
        report.broken("acknowledged-input", f"{where} concerns nobody, but something was made of it")
