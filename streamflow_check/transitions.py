"""The transitions of one partition: chains, copies, causes, times, versions, results."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from streamflow_check.commands import RESULTS, Commands
from streamflow_check.experiment import Experiment
from streamflow_check.promises import Report
from streamflow_check.records import Record
from streamflow_check.run_history import ASKING, Attempt, Run, address_of

MOMENT_MS = 100
CHILD = ""  # instead of an operation


class Watched:
    """What is gathered over all partitions: events of interest, emitted events, calls that were done, and how late
    timers were."""

    def __init__(self, experiment: Experiment) -> None:
        ids = {known.id for known in experiment.inputs or () if known.id}
        self.wanted = frozenset(ids)
        self.commands = frozenset(known.command for known in experiment.inputs or () if known.command)
        self.answered: Counter[str] = Counter()  # wanted commands: records with an outcome that can be seen
        self.started: dict[tuple[str, str], set[str]] = defaultdict(set)  # (definition, event id) -> runs
        self.taken: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.emitted: dict[str, dict[str, str]] = defaultdict(dict)  # event -> its ids -> where it was told
        self.operations = experiment.operations
        self.done: dict[str, str] = {}  # idempotency key -> where it was told, of calls that the ledger sees
        self.asked: set[str] = set()  # idempotency keys
        self.late_ms = array("q")  # of each transition that a timer caused
        self.moments: set[int] = set()  # the tenths of a second in which something was told
        self.due_ms = array("q")  # armed timers of open runs
        self.time_ms = 0  # the latest time of a partition
        self.owed: dict[str, str] = {}  # commands that must be there for child runs, and why
        self.paid: set[str] = set()  # those that are
        self.whole = True  # no command has been deleted


class Chains:
    """The runs of one partition, folded while they are read. `caused` has the times at which each command caused
    transitions."""

    def __init__(self, commands: Commands, first: int, watched: Watched, report: Report) -> None:
        self.runs: dict[str, Run] = {}
        self.caused: dict[str, set[int]] = {}
        self.known: set[int] = set()  # of (definition, key, event id): requests that some run was started by
        self.starts: set[int] = set()  # offsets of start commands
        self.claims: set[int] = set()  # offsets of deliveries that some wait took
        self.originals: dict[int, list[tuple[int, str]]] = {}  # of deliveries that were consumed: when, and by whom
        self.requested: dict[str, str] = {}  # task id -> lane
        self.records = self.copies = 0
        self._commands = commands
        self.first = first  # above 0 the beginnings of old runs are no longer kept
        self._watched = watched
        self._report = report

    def take(self, record: Record) -> None:
        """The next record of `runs`."""
        report, told = self._report, record.json()
        self.records += 1
        self._watched.moments.add(record.at_ms // MOMENT_MS)
        try:
            run_id, seq, key = told["run"], told["seq"], told["key"]
            kind = record.header("ce_type").removeprefix("streamflow.")
            self._take(record, told, run_id, seq, key, kind)
        except (TypeError, KeyError, IndexError) as error:
            report.broken("one-chain", f"{record.place} is no transition: {error!r}")

    def _take(self, record: Record, told: dict[str, Any], run_id: str, seq: int, key: str, kind: str) -> None:
        report = self._report
        run = self.runs.get(run_id)
        if run is not None and 0 < seq <= len(run.prints) and run.prints[seq - 1]:
            self._copy(record, run, seq)
            return
        report.looked("one-chain")
        where = f"{run_id}/{seq} ({kind}) at {record.place}"
        if run is None:
            run = self.runs[run_id] = Run(run_id, told["definition"], told["version"], key)
            if seq != 1 and self.first > 0:
                run.seq, run.prints, run.partial = seq - 1, [0] * (seq - 1), True
                report.note("one-chain", "the beginnings of some runs are no longer kept")
        if (
            record.header("ce_id") != f"{run_id}/{seq}"
            or (record.key or b"").decode(errors="replace") != key
            or not kind
        ):
            report.broken("one-chain", f"{where} is labelled {record.header('ce_id')!r} with key {record.key!r}")
        if (told["definition"], key) != (run.definition, run.key):
            report.broken(
                "one-chain",
                f"{where} is of {told['definition']} and {key!r}, the run before of {run.definition} and {run.key!r}",
            )
        if seq != run.seq + 1:
            report.broken("one-chain", f"{where} follows seq {run.seq}")
        if run.ended:
            report.broken("one-chain", f"{where} follows {run.ended}, the end")
        if (kind == "RunStarted") != (seq == 1):
            report.broken("one-chain", f"{where}: a run begins with RunStarted, and only once")
        self._version(run, told, kind, where)
        self._cause(told, kind, where)
        self._events(run, told, kind, where)
        self._attempts(run, told, kind, where)
        run.prints += [0] * (seq - 1 - len(run.prints))
        run.prints.append(record.print())
        run.take(kind, told)

    def _copy(self, record: Record, run: Run, seq: int) -> None:
        self.copies += 1
        self._report.looked("identical-copies")
        if run.prints[seq - 1] != record.print():
            self._report.broken(
                "identical-copies",
                f"{run.run}/{seq} at {record.place} differs from its first copy: {(record.value or b'')[:300]!r}",
            )

    def _version(self, run: Run, told: dict[str, Any], kind: str, where: str) -> None:
        report = self._report
        report.looked("pinned-version")
        if told["version"] != run.version:
            report.broken(
                "pinned-version", f"{where} is of version {told['version']}, the run began with {run.version}"
            )
        if kind != "RunStarted":
            return
        for start in self._commands.of(told["cause"]):
            if start.kind in ("StartRun", "Deliver") and (start.sha, start.revision) == (
                told["data"]["sha"],
                told["data"]["revision"],
            ):
                return
        if self._commands.first == 0:
            report.broken(
                "pinned-version",
                f"{where} began with {told['data']['sha'][:12]}, which its cause {told['cause']} does not name",
            )

    def _cause(self, told: dict[str, Any], kind: str, where: str) -> None:
        report, cause, at_ms = self._report, told["cause"], told["at_ms"]
        causes = self._commands.of(cause)
        if not causes:
            if self._commands.first == 0:
                report.broken("one-chain", f"{where}: its cause {cause} is not in commands")
            else:
                report.note("one-chain", "the causes of some transitions are no longer kept")
            return
        self.caused.setdefault(cause, set()).add(at_ms)
        if self._commands.first == 0:  # otherwise the time before the first one that is kept is not known
            report.looked("broker-time")
            if all(at_ms != command.now_ms for command in causes):
                report.broken(
                    "broker-time",
                    f"{where} has at_ms {at_ms}, at its cause the partition's time was {causes[0].now_ms}",
                )
        if causes[0].kind == "FireTimer":
            report.looked("timers-on-time")
            late_ms = at_ms - causes[0].due_ms
            self._watched.late_ms.append(late_ms)
            if late_ms < 0 or all(command.now_ms < command.due_ms for command in causes):
                report.broken("timers-on-time", f"{where} is {-late_ms} ms before its time")

    def _events(self, run: Run, told: dict[str, Any], kind: str, where: str) -> None:
        data = told["data"]
        if kind in ("RunStarted", "WaitSatisfied"):
            event, offset = data["event"], data.get("offset", 0)
            self.known.add(hash((run.definition, run.key, event["id"])))
            if event["id"] in self._watched.wanted:
                taken = self._watched.started if kind == "RunStarted" else self._watched.taken
                taken[run.definition, event["id"]].add(run.run)
            (self.starts if kind == "RunStarted" else self.claims).add(offset)
            if not data.get("is_copy"):
                self.originals.setdefault(offset, []).append((told["at_ms"], where))
            if kind == "WaitSatisfied":
                self._report.looked("once-consumed")
                identity = (event["name"], event.get("source", ""), event["id"])
                if identity in run.consumed:
                    self._report.broken("once-consumed", f"{where} takes the event {event['id']} again")
                run.consumed += (identity,)
        elif kind == "EventEmitted":
            self._watched.emitted[data["event"]][data["id"]] = where

    def _attempts(self, run: Run, told: dict[str, Any], kind: str, where: str) -> None:
        report, data = self._report, told["data"]
        if kind not in ASKING and kind not in ("AttemptSucceeded", "AttemptFailed", "AttemptSuspended"):
            return
        step, item = address_of(told), data.get("item")
        attempt = Attempt(step, item, told.get("attempt") or 0)
        key = f"{run.run}/{step}" if item is None else f"{run.run}/{step}/{item}"
        if kind in ASKING:
            report.looked("one-result")
            if attempt in run.asked:
                report.broken("one-result", f"{where} asks for attempt {attempt.number} again")
            run.asked[attempt] = data["operation"] if kind == "CallRequested" else CHILD
            if kind == "CallRequested":
                self.requested[f"{key}/{attempt.number}"] = data["lane"]
                self._watched.asked.add(key)
            else:
                self._watched.owed[f"child/{key}/{attempt.number}"] = f"{where} asks for a child run"
            return
        report.looked("one-result")
        if attempt not in run.asked and self.first == 0:
            report.broken("one-result", f"{where} is of attempt {attempt.number}, which was never asked for")
        if kind == "AttemptSuspended":
            return
        by_result = (
            any(command.kind in RESULTS for command in self._commands.of(told["cause"])) or self._commands.first > 0
        )
        if by_result or kind == "AttemptSucceeded":
            if attempt in run.results:
                report.broken(
                    "one-result",
                    f"{where} is the second accepted result of attempt {attempt.number}, after {run.results[attempt]}",
                )
            run.results[attempt] = f"{kind} (seq {told['seq']})"
        if kind == "AttemptSucceeded":
            if (step, item) in run.succeeded:
                report.broken("one-result", f"{where} succeeds a second time")
            run.succeeded.add((step, item))
            operation = run.asked.get(attempt, CHILD)
            if operation != CHILD and (not self._watched.operations or operation in self._watched.operations):
                self._watched.done[key] = where


def read(records: Iterable[Record], commands: Commands, first: int, watched: Watched, report: Report) -> Chains:
    """The transitions of one partition."""
    chains = Chains(commands, first, watched, report)
    for record in records:
        chains.take(record)
    return chains
