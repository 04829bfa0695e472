"""The tasks of one partition of every lane, against the attempts that were asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable

from streamflow_check.promises import Report
from streamflow_check.records import Record, Topics


class Tasks:
    """Tasks by id, with their lane. The first copy counts."""

    def __init__(self) -> None:
        self.lanes: dict[str, str] = {}
        self.offsets: dict[str, list[int]] = {}  # of the records of each lane
        self._prints: dict[str, int] = {}

    def take(self, lane: str, records: Iterable[Record], report: Report) -> None:
        offsets = self.offsets.setdefault(lane, [])
        for record in records:
            offsets.append(record.offset)
            task = record.json()
            if not isinstance(task, dict) or "id" not in task:
                report.broken("calls-sent", f"{record.place} is no task")
                continue
            kind, id_ = task.get("kind"), f"{task.get('kind')} {task['id']}"
            print_ = record.print()
            if id_ in self._prints:
                report.looked("identical-copies")
                if self._prints[id_] != print_:
                    report.broken("identical-copies", f"task {id_} at {record.place} differs from its first copy")
                continue
            self._prints[id_] = print_
            if kind == "call":
                self.lanes[task["id"]] = lane


def compare(tasks: Tasks, requested: dict[str, str], report: Report, *, whole: bool) -> None:
    """Whether the tasks are the attempts that were requested. `whole`: nothing of the lanes or of `runs` has been
    deleted."""
    for id_, lane in requested.items():
        report.looked("calls-sent")
        if id_ not in tasks.lanes:
            if whole:
                report.broken("calls-sent", f"attempt {id_} was requested, but lane {lane} has no task of it")
        elif tasks.lanes[id_] != lane:
            report.broken(
                "calls-sent", f"attempt {id_} was requested of lane {lane}, but is in lane {tasks.lanes[id_]}"
            )
    for id_ in tasks.lanes.keys() - requested.keys():
        if whole:
            report.broken("calls-sent", f"task {id_} is in a lane, but no transition asked for it")


def judge_positions(topics: Topics, tasks: Tasks, partition: int, report: Report, *, at_rest: bool) -> None:
    """How far the workers of each lane have come in one partition, and what they counted: read = the sum of the result
    of the tasks."""
    for lane, offsets in tasks.offsets.items():
        topic = f"{topics.prefix}tasks.{lane}"
        offset, metadata = topics.committed(topic, topic).get(partition, (-1, ""))
        if at_rest and offsets:
            report.hold(
                "at-rest",
                offset > offsets[-1],
                f"{topic}/{partition} is done up to {offset}, but its last record is {offsets[-1]}",
            )
        try:
            position = json.loads(metadata)
            read, above = sum(position.get("counts", {}).values()), position.get("done", "")
        except (ValueError, TypeError, AttributeError):
            continue
        if partition in topics.bare(topic, topic):
            report.note(
                "counts-add-up",
                f"{topic}/{partition}: a tool has set the offset, so its counts began again and were not compared",
            )
            continue
        held = sum(1 for known in offsets if known < offset)
        if not above and not (offsets and offsets[0] > 0):
            report.hold(
                "counts-add-up",
                read == held,
                f"{topic}/{partition}: what became of tasks adds up to {read}, but it holds {held} up to {offset}",
            )
