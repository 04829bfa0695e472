"""The table of all codes: what a person sees, where, and the test that brings it about."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from streamflow.definition.codes import ATTEMPTS, CHECKED, SHAPE
from streamflow.definition.expression import ERRORS
from tests.codes.source import PROJECT, codes, templates

PAGE = PROJECT / "docs" / "bad-input.md"
BEGIN, END = "<!-- codes: written by `make codes` -->", "<!-- end of codes -->"
_ROW = re.compile(r"^\| `([\w-]+)` \|", re.M)
_LONGEST = 160

# Where a code is met, by the package that raises it.
DOORS = {
    "access": "the sidecar's answer, or `streamflow access`",
    "approvals": "the command line, or the start of a process",
    "authoring": "the answer to an edit of a draft, `draft apply`",
    "capacity": "`streamflow capacity`",
    "cli": "the command line",
    "conversations": "the sidecar's answer",
    "core": "`dead-letters list`, or the engine's log",
    "definition": "`runs show`, `runs list --status parked`",
    "drill": "`streamflow drill`",
    "engine": "the answer to a command, `runs show`, or `dead-letters list`",
    "evaluation": "`streamflow eval`",
    "history": "`streamflow history`, or the history worker's log",
    "importing": "`definitions import`, `catalog import`",
    "kafka": "the command line, or a worker's log",
    "load": "`streamflow load`",
    "metrics": "the start of a process",
    "mirror": "the mirror worker's log",
    "tracing": "the start of a process",
    "models": "`models check`, `models ask`",
    "operations": "`runs show`: the step's failure",
    "ops": "the command line, or the sidecar's answer",
    "registry": "a worker's log, `definitions publish`, or `dead-letters list`",
    "runtime": "a worker's log, or `runs show`",
    "secrets": "`runs show`, or the start of a process",
    "sidecar": "the sidecar's answer",
    "simulation": "`definitions simulate`",
    "wire": "`dead-letters list`, or the sidecar's answer",
}


# Codes whose words are made elsewhere than where they are raised.
WORDS = {
    **ATTEMPTS,
    **ERRORS,
    "attempt_ended": "an answer of an attempt that has ended before; it changes nothing",
    "attempt_unknown": "an answer of an attempt that does not exist; it changes nothing",
    "batch_too_large": "a batch of records is larger, inflated, than `limits.batch_bytes`",
    "batch_unreadable": "a batch of records cannot be decompressed or decoded",
    "database_failed": "the database refused for a reason that has no code of its own; its message is in the text",
    "definition_unapproved": "a command starts a content without a valid approval, where one is required",
    "decision_failed": "the engine could not decide a command; it was set aside",
    "draft_not_editable": "the text of a draft cannot be changed without touching other steps",
    "edit_ambiguous": "an operation is ambiguous; the message says what it has to name",
    "edit_breaks_shape": "an operation leaves something that the language does not allow",
    "edit_circular": "a step would come after itself",
    "edit_id_taken": "another step, trigger or outcome has the id already",
    "edit_malformed": "operations that are not a list, an unknown operation or field, or a value of the wrong form",
    "edit_orphans": "a removed step leaves others to which nothing leads",
    "edit_stale": "the operations were written for another version of the draft",
    "edit_target_unknown": "an operation names a step, an outcome, a trigger or a field that does not exist",
    "edit_too_large": "the edit makes a draft too large to be published",
    "event_too_large": "the event, or the command that it makes, is over `limits.event_bytes` or `limits.record_bytes`",
    "exclusion_violation": "the row conflicts with an exclusion constraint",
    "items_failed": "items of a list failed",
    "late_result": "the answer of an attempt that no step waits for",
    "forwarded": "a command that was forwarded before; it changes nothing",
    "generation_open": "the partition forwards to this generation already; it changes nothing",
    "matching_failed": "an event could not be matched; this is a defect of Streamflow",
    "missing_key": "the event has no key where the catalog or the trigger says",
    "not_a_key": "the key of an emitted event or a child run is not text",
    "not_a_list": "the value of `each` is not a list",
    "not_approving": "the step does not wait for an approval",
    "nothing_to_do": "a deletion that is already decided, or of a run that has ended",
    "out_of_memory": "a command needed more memory than the worker has, twice; it was set aside",
    "overflow": "a mailbox keeps as many events as it may",
    "requirement_not_met": "the condition of `require` does not hold",
    "revision_unknown": "no engine worker, or not every one, knows the revision that is to be enabled",
    "rights_missing": "the user of the drill lacks rights in Kafka",
    "runs_open": "runs of the key are open",
    "skipped": "an operator has skipped the command; the reason is in the text",
    "stream_refused": "JetStream did not accept the message; its answer is in the text",
    "timer_gone": "a due timer belongs to a step that no longer waits; it changes nothing",
    "too_many_items": "a list has more items than it may",
    "too_many_open": "a key has as many open runs as it may",
    "undeliverable": "an emitted event was not accepted by its topic",
}


class Note(NamedTuple):
    """A code that a test brought about."""

    code: str
    message: str
    test: str


def read_notes(folder: Path) -> list[Note]:
    """What `tests.codes.recorder` wrote into a folder."""
    lines = (line for file in sorted(folder.glob("*.jsonl")) for line in file.read_text(encoding="utf-8").splitlines())
    return [Note(**json.loads(line)) for line in lines]


def table(notes: list[Note]) -> str:
    """The rows of all codes, with an example message of each that some test has."""
    examples = _examples(notes)
    rows = ["| code | what you see | where |", "|---|---|---|"]
    for code, packages in sorted(codes().items()):
        doors = "; ".join(dict.fromkeys(DOORS[package] for package in sorted(packages)))
        words = examples.get(code) or WORDS.get(code) or _general(templates().get(code, ""))
        rows.append(f"| `{code}` | {_cell(words)} | {doors} |")
    for code, words in sorted({**SHAPE, **CHECKED}.items()):
        rows.append(f"| `{code}` | {_cell(examples.get(code, words))} | `definitions check`, `publish` |")
    return "\n".join(rows)


def with_table(page: str, rows: str) -> str:
    """The page with `rows` between its marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{rows}\n\n{END}{rest.partition(END)[2]}"


def written(page: str) -> frozenset[str]:
    """The codes in the table of a page."""
    return frozenset(_ROW.findall(page.partition(BEGIN)[2].partition(END)[0]))


def _examples(notes: list[Note]) -> Mapping[str, str]:
    """For each code the message that is most like a sentence: not made by a test, and short."""
    best: dict[str, tuple[tuple[bool, bool, int, str], str]] = {}
    for note in notes:
        message = _general(note.message)
        rank = (len(message) < 25, not note.test.startswith("tests/unit"), len(message), message)
        if note.code not in best or rank < best[note.code][0]:
            best[note.code] = rank, message
    return {code: message for code, (rank, message) in best.items() if not rank[0]}


def _general(message: str) -> str:
    """A message without what differs from run to run."""
    text = " ".join(message.split())
    text = re.sub(r"/tmp/\S*?([^/\s]*)(?=[\s,:;\"')]|$)", r".../\1", text)
    text = re.sub(r"\b(127\.0\.0\.1|localhost):\d{4,5}\b", r"\1:...", text)
    text = re.sub(r"\bt[0-9a-f]{8}\.", "streamflow.", text)
    text = re.sub(r"\b[0-9a-f]{12,}\b", "...", text)
    return text if len(text) <= _LONGEST else text[:_LONGEST].rsplit(" ", 1)[0] + " ..."


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;") or "(no message of its own)"
