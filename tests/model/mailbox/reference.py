"""The smallest engine that keeps the laws: (state, command) -> (state, facts, commands to append). It reads and writes
records, nothing else. `rules` may break one of them.

    own                                   (applied offset, time, buckets of `seen`, buckets of `trail`)
    tally/<definition>  run/<run>         counts, and a run
    mark/<source partition>               the offset that ingress has committed
    box/<definition>/<key>                open runs, index of entries, whether a Continue is due
    mail/<definition>/<key>/<offset>      (event, identity, source record, window), written once
    due/<time>/<definition>/<key>/<offset>
    seen/<bucket>/<definition>/<key>/<identity>, trail/... the same
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from tests.model.mailbox.records import EMPTY, MEMORIES, RECORD, WRITES, Begun, Box, Bucket, Entry, Key, Run
from tests.model.mailbox.rules import Rules
from tests.model.mailbox.words import (
    ENTRIES,
    LONGEST,
    OPEN_RUNS,
    SWEPT,
    TRAIL,
    WINDOW,
    Act,
    Broken,
    Command,
    Definition,
    Deliver,
    Event,
    Fact,
    Mailbox,
    Wait,
)


class Reference:
    """One partition."""

    def __init__(
        self,
        definitions: Mapping[str, Definition],
        rules: Rules,
        claims: int,
        records: Mapping[Key, Any] | None = None,
    ) -> None:
        self.definitions, self.rules, self.claims = definitions, rules, claims
        self.records: dict[Key, Any] = dict(records or {})
        self.changed: dict[Key, Any] = {}
        self.changelog: dict[Key, Any] = dict(records or {})
        self.wall = self.writes = 0
        self.dues = sorted(key for key in self.records if key[0] == "due")  # stands for a range read

    # -- what the world asks

    def apply(self, offset: int, at: int, command: Command) -> tuple[list[Fact], list[Act]] | None:
        applied, now, *buckets = self.records.get(("own",)) or (-1, 0, (), ())
        if offset <= applied:
            return None
        self.offset, self.now, self.writes = offset, max(now, at), 0
        self.facts: list[Fact] = []
        self.follow_ups: list[Act] = []
        self.arriving: dict[int, Event] = {}
        if self.rules["clock"] == "wall":
            self.wall += 1
            self.now += self.wall % 3
        self._put(("own",), (offset, self.now, *buckets))
        self._sweep()
        if isinstance(command, Deliver):
            self._deliver(command)
        elif command.kind == "continue":
            self._go_on(command)
        elif command.kind != "tick":
            self._act(command)
        if self.writes > WRITES:
            raise Broken("a command writes too much")
        return self.facts, self.follow_ups

    def continue_due(self, box: Mailbox) -> bool:
        return self._box(box).more

    def checkpoint(self) -> None:
        for key, value in self.changed.items():
            if value is None:
                self.changelog.pop(key, None)
            else:
                self.changelog[key] = value
        if self.changelog != self.records:
            raise Broken("the records are not the state")
        self.changed = {}

    def reopened(self) -> Reference:
        return Reference(self.definitions, self.rules, self.claims, self.changelog)

    def state(self) -> dict[Key, Any]:
        return self.records

    def is_at_rest(self) -> bool:
        return all(key[0] in ("own", "mark", "tally") for key in self.records)

    def counted(self) -> int:
        return sum(n for key, value in self.records.items() if key[0] == "tally" for _, n in value)

    # -- records

    def _get(self, key: Key) -> Any:
        return self.records.get(key)

    def _put(self, key: Key, value: Any) -> None:
        if self.records.get(key) == value:
            return
        self.changed[key] = value
        self.writes += key[0] not in ("own", "tally")  # those two are written once in a checkpoint
        if key[0] == "due":
            if value is None:
                self.dues.remove(key)
            else:
                insort(self.dues, key)
        if value is None:
            del self.records[key]
            return
        self.records[key] = value
        if len(repr(value)) > RECORD:
            raise Broken(f"a record grows: {key}")

    def _box(self, box: Mailbox) -> Box:
        return self._get(("box", *box)) or EMPTY

    def _save(self, name: Mailbox, box: Box) -> None:
        self._put(("box", *name), box if box != EMPTY else None)

    # -- memory

    def _buckets(self, memory: str) -> tuple[Bucket, ...]:
        found: tuple[Bucket, ...] = self.records[("own",)][2 + MEMORIES.index(memory)]
        return found

    def _set_buckets(self, memory: str, buckets: tuple[Bucket, ...]) -> None:
        own = list(self.records[("own",)])
        own[2 + MEMORIES.index(memory)] = buckets
        self._put(("own",), tuple(own))

    def _find(self, box: Mailbox, identity: str, *, live_only: bool = False) -> tuple[Key, Any] | None:
        for memory in MEMORIES:
            for bucket in reversed(self._buckets(memory)):
                if live_only and bucket[0] <= self.now:
                    continue
                key = (memory, bucket, *box, identity)
                if value := self._get(key):
                    return key, value
        return None

    def _remember(self, memory: str, box: Mailbox, identity: str, value: Any, window: int) -> None:
        if self.rules["window"] == "one":
            window = WINDOW
        life = window if memory == "seen" else TRAIL
        known, bucket = self._find(box, identity), ((self.now // (life // 2) + 1) * (life // 2) + life, life)
        if known and known[0][:2] != (memory, bucket):
            self._put(known[0], None)
        if bucket not in self._buckets(memory):
            self._set_buckets(memory, tuple(sorted((*self._buckets(memory), bucket))))
        self._put((memory, bucket, *box, identity), value)

    def _sweep(self) -> None:
        for _ in range(SWEPT):  # entries whose keep is over
            if not self.dues or self.dues[0][1] >= self.now:
                break
            due = self.dues[0]
            _, _, definition, key, offset = due
            self._put(due, None)
            box = (definition, key)
            self._save(box, self._settle(box, self._box(box), offset))
        for memory in MEMORIES:
            buckets = self._buckets(memory)
            if not buckets or buckets[0][0] > self.now:
                continue
            keys = sorted(key for key in self.records if key[:2] == (memory, buckets[0]))  # stands for a range read
            for each in keys[:SWEPT]:
                value = self.records[each]
                if memory == "seen" and self._is_needed((each[2], each[3]), value):
                    self._remember(memory, (each[2], each[3]), each[4], value, buckets[0][1])
                else:
                    self._put(each, None)
            if len(keys) <= SWEPT:
                self._set_buckets(memory, tuple(each for each in self._buckets(memory) if each != buckets[0]))

    def _is_needed(self, name: Mailbox, value: Any) -> bool:
        outcome, offset, last, at, _ = value
        box = self._box(name)
        if outcome == "kept":
            return self.rules["kept_seen"] == "refiled" and any(entry.offset == offset for entry in box.entries)
        return self.rules["pin"] == "open" and self.now - at < LONGEST and any(start <= last for _, start in box.runs)

    # -- deliveries

    def _identity(self, command: Deliver) -> str:
        event = command.event
        what: Any
        if event.id is not None:
            what = (event.source, event.id)
        else:
            what = command.origin[:2] if self.rules["no_id"] == "position" else ""
        full = (event.name, what) if self.rules["identity"] == "full" else what
        return blake2b(repr(full).encode(), digest_size=12).hexdigest()

    def _final(self, definition: str, offset: int, outcome: str, reason: str = "") -> None:
        counts = Counter(dict(self.records.get(("tally", definition)) or ())) + Counter([outcome])
        self._put(("tally", definition), tuple(sorted(counts.items())))
        self.facts.append(("final", offset, outcome, reason))

    def _deliver(self, command: Deliver) -> None:
        name, rules = command.box, self.rules
        if self._is_below_mark(command):
            return self._final(command.definition, self.offset, "duplicate", "source")
        identity = self._identity(command)
        known = self._find(name, identity, live_only=rules["swept"] == "live")
        twice = ""
        if known:
            same = known[1][4] == command.origin[:2]
            twice = "seen" if known[0][0] == "seen" else "record" if same else ""
        if twice and rules["dedupe"] == "first":
            return self._final(command.definition, self.offset, "duplicate", twice)
        box = self._box(name)
        entry = self._entry(command, box)
        box, taken, refused = self._start(command, box)
        entry = entry._replace(taken=taken)
        if len(box.entries) >= ENTRIES:
            box = self._settle(name, box)  # what is over makes room first
        kept = box.entries
        box = box._replace(entries=(*kept, entry))
        self.arriving = {self.offset: command.event}
        if not box.more or rules["more"] == "pass":
            box = self._hand_out(name, box, self.offset, self.offset)
        entry = next(each for each in box.entries if each.offset == self.offset)
        if twice and not entry.claims:
            self._save(name, box._replace(entries=kept))
            return self._final(command.definition, self.offset, "duplicate", twice)
        useful = box.more or self._is_useful(entry, box)
        stays = useful and len(kept) < ENTRIES
        if len(kept) == ENTRIES and rules["full"] == "drop":
            self._leave(name, kept[0])
            stays, box = True, box._replace(entries=box.entries[1:])
        value = (self.offset, self.offset, self.now, command.origin[:2])
        if stays:
            self._put(("mail", *name, self.offset), (command.event, identity, command.origin[:2], command.window))
            if (end := max(entry.until, entry.copies_until)) >= 0:
                self._put(("due", end, *name, self.offset), 1)
            self._remember("seen", name, identity, ("kept", *value), command.window)
            return self._save(name, box)
        outcome = self._outcome_at_once(entry, refused, is_full=useful)
        box = box._replace(entries=tuple(each for each in box.entries if each.offset != self.offset))
        self._save(name, self._settle(name, box))
        forgotten = outcome == "started" and rules["start"] == "forgotten"
        memory = "seen" if outcome in ("claimed", "started") and not forgotten else "trail"
        self._remember(memory, name, identity, (outcome, *value), command.window)
        return self._final(command.definition, self.offset, outcome, refused)

    def _is_below_mark(self, command: Deliver) -> bool:
        partition, offset, committed = command.origin
        mark: int = self._get(("mark", partition)) or 0
        if self.rules["mark"] == "own":
            committed = offset + 1
        if committed > mark:
            self._put(("mark", partition), committed)
        return offset < mark

    def _entry(self, command: Deliver, box: Box) -> Entry:
        name = command.event.name
        waits = [wait for run, _ in box.runs for wait in self._plan(self._get(("run", run))) if wait.is_for(name)]
        ends: list[int] = []
        for take, stamp in (("one", command.keep), ("every", command.copies)):
            keep = max([stamp, *(wait.keep for wait in waits if wait.take == take)])
            if self.rules["keep"] == "idle" and box.runs:
                keep = 0
            ends.append(self.now + keep if keep else -1)
        until, copies_until = ends
        return Entry(self.offset, name, self.now, until, copies_until)

    def _start(self, command: Deliver, box: Box) -> tuple[Box, str, str]:
        """The box, who took the original, and why a start was refused."""
        if command.start is None:
            return box, "", ""
        definition = self.definitions[command.definition]
        if box.runs and definition.policy != "many":
            return box, "", "run_open" if definition.policy == "one" else ""
        if len(box.runs) >= OPEN_RUNS:
            return box, "", "too_many_open"
        run = f"{command.definition}{command.key}@{self.offset}"
        box = box._replace(runs=(*box.runs, (run, self.offset)))
        head = Run(
            definition=command.definition,
            key=command.key,
            version=command.start,
            start=self.offset,
            at=self.now,
            tag=command.event.data % 2,
            stopping=False,
            waits=(),
            begun=(0,) * len(definition.plans[command.start]),
            took=(),
        )
        self._put(("run", run), head)
        self.facts.append(("start", run))
        if self.rules["early"] == "all":
            box = self._settle(command.box, box, everything=True)
        return box, "start", ""

    def _outcome_at_once(self, entry: Entry, refused: str, *, is_full: bool) -> str:
        if entry.taken == "start":
            return "started"
        if entry.claims:
            return "claimed"
        if is_full:
            return "overflow"
        return "refused" if refused else "unclaimed"

    # -- claims

    def _plan(self, run: Run) -> tuple[Wait, ...]:
        return self.definitions[run.definition].plans[run.version]

    def _event(self, box: Mailbox, offset: int) -> Event:
        if offset in self.arriving:
            return self.arriving[offset]
        return self._get(("mail", *box, offset))[0]  # type: ignore[no-any-return]

    def _clause(self, entry: Entry, event: Event, run: Run, begun: Begun) -> int | None:
        """The clause of a begun wait that takes an entry."""
        wait = self._plan(run)[begun.wait]
        offset, at = (run.start, run.at) if wait.since == "run" else (begun.offset, begun.at)
        if entry.taken and wait.take == "one":
            return None
        if (self.rules["took"] == "run" and entry.offset in run.took) or entry.offset == run.start:
            return None
        reach = at if self.rules["until"] == "start" else self.now
        before = entry.offset <= offset and not (wait.keep and entry.at + wait.keep >= reach)
        if before and self.rules["since"] == "point":
            return None
        if begun.limit is not None and event.at > begun.limit:
            return None
        for number, (name, where) in enumerate(wait.clauses):
            if name == entry.name and (where is None or event.data == run.tag):
                return number
        return None

    def _pull(
        self, name: Mailbox, box: Box, run_name: str, low: int, high: int, left: int, only: int | None = None
    ) -> tuple[Box, int]:
        """A run takes what it accepts of the entries low..high in their order, at most `left`: the box and what is
        left, -1 when there was more."""
        entries = box.entries if self.rules["fifo"] == "oldest" else box.entries[::-1]
        for entry in [each for each in entries if low <= each.offset <= high]:
            run: Run = self._get(("run", run_name))
            if run.stopping and self.rules["stopping"] == "nothing":
                break
            for begun in run.waits if self.rules["waits"] == "plan" else run.waits[::-1]:
                if only not in (None, begun.wait):
                    continue
                wait = self._plan(run)[begun.wait]
                clause = self._clause(entry, self._event(name, entry.offset), run, begun)
                if clause is None:
                    if self.rules["where"] == "drops" and entry.offset != self.offset and wait.is_for(entry.name):
                        self._leave(name, entry)
                        box = box._replace(entries=tuple(each for each in box.entries if each.offset != entry.offset))
                        break
                    continue
                if not left:
                    return box, -1
                left -= 1
                box = self._claim(box, entry, run_name, run, begun, clause)
                break
        return box, left

    def _claim(self, box: Box, entry: Entry, name: str, run: Run, begun: Begun, clause: int) -> Box:
        take = self._plan(run)[begun.wait].take
        taken = entry.taken or ("one" if take == "one" else "")
        after = entry._replace(taken=taken, claims=entry.claims + 1)
        if self.rules["every"] == "leaves":
            after = after._replace(taken="one", copies_until=-1)
        there = [each.offset for each in box.entries]
        took = (*(offset for offset in run.took if offset in there), entry.offset)
        waits = tuple(each for each in run.waits if each is not begun)
        self._put(("run", name), run._replace(waits=waits, took=took))
        self.facts.append(("claim", entry.offset, name, begun.wait, clause, take))
        return box._replace(entries=tuple(after if each.offset == entry.offset else each for each in box.entries))

    def _hand_out(self, name: Mailbox, box: Box, low: int, high: int) -> Box:
        """Open runs take what they accept, oldest first; after so many claims the rest is due, and a Continue begins
        again at the oldest run."""
        left = self.claims
        for run, _ in box.runs if self.rules["order"] == "oldest" else box.runs[::-1]:
            box, left = self._pull(name, box, run, low, high, left)
            if left < 0:
                self.follow_ups.append(Act("continue", *name))
                break
        return box._replace(more=left < 0)

    def _go_on(self, command: Act) -> None:
        box = self._box(command.box)
        if box.more:  # else it is a copy of one
            box = self._hand_out(command.box, box, 0, self.offset)
            self._save(command.box, self._settle(command.box, box))

    # -- what leaves

    def _is_wanted(self, entry: Entry, run: Run) -> bool:
        """Whether a wait of this run that may still begin could take the entry."""
        if run.stopping or entry.offset in run.took or entry.offset == run.start:
            return False
        for index, wait in enumerate(self._plan(run)):
            if wait.since != "run" or (run.begun[index] and not wait.loop) or not wait.is_for(entry.name):
                continue
            if entry.taken and wait.take == "one":
                continue
            if entry.offset > run.start or (wait.keep and entry.at + wait.keep >= run.at):
                return True
        return False

    def _is_useful(self, entry: Entry, box: Box) -> bool:
        if self.now <= entry.copies_until or (not entry.taken and self.now <= entry.until):
            return True
        if self.rules["every"] == "leaves" and entry.taken:
            return False
        return any(self._is_wanted(entry, self._get(("run", run))) for run, _ in box.runs)

    def _settle(self, name: Mailbox, box: Box, only: int | None = None, *, everything: bool = False) -> Box:
        """Entries that nobody can take any more leave."""
        if box.more:
            return box
        gone = [
            entry
            for entry in box.entries
            if everything or (only in (None, entry.offset) and not self._is_useful(entry, box))
        ]
        for entry in gone:
            self._leave(name, entry)
        return box._replace(entries=tuple(entry for entry in box.entries if entry not in gone)) if gone else box

    def _leave(self, box: Mailbox, entry: Entry) -> None:
        _, identity, position, window = self._get(("mail", *box, entry.offset))
        self._put(("mail", *box, entry.offset), None)
        due = ("due", max(entry.until, entry.copies_until), *box, entry.offset)
        if due in self.records:
            self._put(due, None)
        outcome = "started" if entry.taken == "start" else "claimed" if entry.claims else "expired"
        memory = "trail" if outcome == "expired" else "seen"
        self._remember(memory, box, identity, (outcome, entry.offset, self.offset, self.now, position), window)
        self._final(box[0], entry.offset, outcome)

    # -- runs

    def _act(self, command: Act) -> None:
        """A command about a run: the head changes and a fact says so; then kept events are offered to waits that are
        new, and what nobody wants leaves."""
        name = command.run
        assert name is not None
        run: Run | None = self._get(("run", name))
        box = self._box(command.box)
        if run is None or (run.stopping and command.kind != "end"):
            return
        arg = command.arg
        begun = next((each for each in run.waits if each.wait == arg), None)
        fact: tuple[Any, ...] = ()
        offered: int | None = -1  # the wait to offer to; None: all of them, -1: none
        after: Run | None = None
        if command.kind == "begin":
            assert arg is not None
            if arg >= len(run.begun) or begun or (run.begun[arg] and not self._plan(run)[arg].loop):
                return
            within, offered = self._plan(run)[arg].within, arg
            fact = begun = Begun(arg, self.offset, self.now, self.now + within if within else None)
            counts = tuple(n + (index == arg) for index, n in enumerate(run.begun))
            after = run._replace(waits=tuple(sorted((*run.waits, begun))), begun=counts)
        elif command.kind == "move":  # a wait that both versions have goes on, with its point and its limit
            assert arg is not None
            count = len(self.definitions[command.definition].plans[arg])
            fact, offered = (arg,), None
            waits = tuple(each for each in run.waits if each.wait < count)
            after = run._replace(version=arg, waits=waits, begun=(*run.begun, *(0,) * count)[:count])
        elif command.kind == "fire":
            if not begun or begun.limit is None or begun.limit >= self.now:
                return
            fact = (arg,)
            after = run._replace(waits=tuple(each for each in run.waits if each is not begun))
        elif command.kind == "cancel":
            after = run._replace(stopping=True, waits=run.waits if self.rules["stopping"] == "claims" else ())
        else:
            box = box._replace(runs=tuple(each for each in box.runs if each[0] != name))
        self._put(("run", name), after)
        self.facts.append((command.kind, name, *fact))
        if offered != -1 and not box.more:
            assert after is not None
            box, _ = self._pull(command.box, box, name, 0, self.offset, len(after.waits), offered)
        settles = command.kind != "end" or self.rules["settle"] != "never"
        self._save(command.box, self._settle(command.box, box) if settles else box)
