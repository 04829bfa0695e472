"""Shadow replay of the last runs of a definition: which of them would end differently by another content, and where
they first differ. Nothing is called, emitted or written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streamflow.approvals.report import ShadowSummary
from streamflow.definition.catalog import Catalog
from streamflow.definition.model import Definition
from streamflow.engine.transitions import ENDINGS, RunStarted, Transition
from streamflow.errors import Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.ops.definitions import current_version
from streamflow.ops.history import open_runs, transitions
from streamflow.ops.scenarios import published_children
from streamflow.settings import Settings

if TYPE_CHECKING:
    from streamflow.simulation.shadow import Recorded, Replayed

Pair = tuple[Definition, Catalog]
MOST_RUNS = 200


@dataclass(frozen=True, slots=True)
class Row:
    """The result of one run. `result` is `same`, `different`, or `incomparable`, and `why` says why it is that."""

    run: str  # empty: a replay of a range started it, and there was none
    key: str
    started_ms: int
    result: str
    why: str = ""
    what: tuple[str, ...] = ()  # in which of `status`, `path`, `output`, `calls`, `events` the two replays differ
    first: str | None = None  # the first step that differs
    before: dict[str, Any] | None = None  # status, end and path by the published version
    after: dict[str, Any] | None = None  # and by the other content

    def facts(self) -> dict[str, Any]:
        """As JSON would have it."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Shadow:
    """The runs of a definition as two contents would have them; `against` is the published version."""

    definition: str
    against: str
    rows: tuple[Row, ...]

    def count(self, result: str) -> int:
        """How many runs have this result."""
        return sum(row.result == result for row in self.rows)

    def summary(self) -> ShadowSummary:
        """For the report that an approval is bound to."""
        return ShadowSummary(
            runs=len(self.rows),
            against=self.against,
            same=self.count("same"),
            different=self.count("different"),
            incomparable=self.count("incomparable"),
        )

    def facts(self) -> dict[str, Any]:
        """As JSON would have it."""
        counts = {name: self.count(name) for name in ("same", "different", "incomparable")}
        known = {"definition": self.definition, "against": self.against, "runs": len(self.rows)}
        return known | counts | {"rows": [row.facts() for row in self.rows], "next": None}


def read_recorded(settings: Settings, name: str, newest: int) -> list[Recorded]:
    """The `newest` runs of the definition `name` that have ended, oldest first, with all that happened for their keys.

    Reads the topic `runs` twice. Raises OperationError."""
    ended: deque[tuple[int, str, str]] = deque(maxlen=newest)
    with open_runs(settings) as reading:
        found = {
            (one.at_ms, one.run, one.key)
            for one in transitions(reading.to_end(None))
            if one.definition == name and isinstance(one.data, ENDINGS)
        }
    ended.extend(sorted(found))
    keys = {key for _, _, key in ended}
    runs = {run for _, run, _ in ended}
    kept: list[Transition] = []
    with open_runs(settings) as reading:
        kept.extend(_of(transitions(reading.to_end(None)), runs, keys))
    return recorded_of(kept, [run for _, run, _ in ended])


def recorded_of(kept: Iterable[Transition], runs: Sequence[str]) -> list[Recorded]:
    """Those of `runs` that are among the transitions `kept`, in that order, each with what else happened for its
    key."""
    from streamflow.simulation.shadow import Recorded  # with all of the engine: only for those who need it

    by_run: dict[str, dict[int, Transition]] = {}
    for one in kept:
        by_run.setdefault(one.run, {}).setdefault(one.seq, one)
    histories = {run: [found[seq] for seq in sorted(found)] for run, found in by_run.items()}
    answer = []
    for run in runs:
        if run not in histories:
            continue
        key = histories[run][0].key
        related = [
            one
            for other, history in histories.items()
            if other != run and (history[0].key == key or _parent(history[0]) == run)
            for one in history
        ]
        answer.append(Recorded(histories[run], related))
    return answer


def shadow(log: Snapshot, recorded: Sequence[Recorded], pair: Pair) -> Shadow:
    """Replays `recorded` through the version of the definition that starts use, and through `pair`.

    Raises Rejected (`version_unknown`) if no version is published, OperationError (`version_unreadable`)."""
    name = pair[0].name
    against, published = published_pair(log, name)
    sha = log.versions[name, against].sha
    play = _player(log)
    return Shadow(name, against, tuple(_row(one, sha, published, pair, play) for one in recorded))


def published_pair(log: Snapshot, name: str) -> tuple[str, Pair]:
    """The version of a definition that starts use, and its content. Raises as `shadow`."""
    against = current_version(log, name) or log.newest(name)
    if against is None:
        raise Rejected(
            "version_unknown", f"No version of {name} is published, so it has no runs. Publish one first.", name=name
        )
    return against, log.read_version(name, against)


Play = Callable[["Recorded", Pair], "Replayed"]


def _player(log: Snapshot) -> Play:
    from streamflow.simulation.shadow import replay

    children: dict[int, list[Pair]] = {}

    def play(recorded: Recorded, pair: Pair) -> Replayed:
        if id(pair) not in children:
            children[id(pair)] = published_children(log, pair[0])
        return replay(recorded, pair, children[id(pair)])

    return play


def _row(recorded: Recorded, sha: str, published: Pair, pair: Pair, play: Play) -> Row:
    from streamflow.simulation.comparison import path
    from streamflow.simulation.shadow import compare, is_replayable

    first = recorded.history[0]
    row: dict[str, Any] = {"run": first.run, "key": first.key, "started_ms": first.at_ms}
    if why := is_replayable(recorded.history):
        return Row(**row, result="incomparable", why=why)
    before = play(recorded, published)
    assert isinstance(first.data, RunStarted)
    if before.unanswered or (first.data.sha == sha and before.path != tuple(path(recorded.history))):
        return Row(**row, result="incomparable", why="the published version does not replay as the run went")
    after = play(recorded, pair)
    if after.unanswered:
        named = ", ".join(after.unanswered)
        return Row(**row, result="incomparable", why=f"no answer of {named} was recorded", before=before.facts())
    found = compare(before, after)
    return Row(
        **row,
        result="different" if found.what else "same",
        what=found.what,
        first=found.first,
        before=before.facts(),
        after=after.facts(),
    )


def _of(found: Iterable[Transition], runs: set[str], keys: set[str]) -> Iterable[Transition]:
    """The transitions of `runs`, of runs with these `keys`, and of child runs of `runs`."""
    children: set[str] = set()
    for one in found:
        if _parent(one) in runs:
            children.add(one.run)
        if one.run in runs or one.key in keys or one.run in children:
            yield one


def _parent(one: Transition) -> str | None:
    started = one.data
    return started.parent.run if isinstance(started, RunStarted) and started.parent is not None else None
