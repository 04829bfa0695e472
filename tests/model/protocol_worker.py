"""What one worker may do next: gain and lose the partition, open it, decide batches, send outputs, checkpoint, die."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.protocol_environment import written
from tests.model.protocol_rules import Rules, Setting
from tests.model.protocol_world import (
    REFUSED,
    Changed,
    Checkpoint,
    Cut,
    Finished,
    State,
    Step,
    Store,
    Task,
    Waiting,
    Worker,
    World,
    add,
    changed_keys,
    decide,
    merged,
)


class WorkerSteps:
    """The steps of worker `number` in `world`."""

    def __init__(self, rules: Rules, setting: Setting, world: World, number: int, empty: State) -> None:
        self._rules = rules
        self._setting = setting
        self._world = world
        self._number = number
        self._me = world.workers[number]
        self._name = "ABC"[number]
        self._empty = empty
        self._ready = len(rules.opening) + 1

    def all(self) -> Iterator[Step]:
        yield from self._faults()
        yield from self._reading()
        yield from self._ownership()
        if 0 < self._me.step < self._ready:
            yield from self._opening()
        if self._me.step == self._ready:
            yield from self._input()
            yield from self._sending()
            yield from self._checkpoint()
            yield from self._timers()
            yield from self._background()

    # Building steps

    def _with(self, worker: Worker, world: World | None = None) -> World:
        world = world or self._world
        return world._replace(workers=(*world.workers[: self._number], worker, *world.workers[self._number + 1 :]))

    def _fencing(self, worker: Worker, world: World | None = None) -> World:
        world = world or self._world
        others = tuple(other._replace(fence=False) for other in world.workers)
        return self._with(worker._replace(fence=True), world._replace(workers=others, unmarked=None))

    def _closed(self) -> Worker:
        return self._me._replace(
            step=0,
            fence=False,
            position=0,
            applied=-1,
            state=self._empty,
            outputs=(),
            dirty=0,
            checkpoint=None,
            fired=(),
        )

    def _step(self, label: str, world: World, broken: tuple[str, ...] = (), fault: bool = False) -> Step:
        return Step(f"{self._name} {label}", world, broken, fault)

    # Faults

    def _faults(self) -> Iterator[Step]:
        world, me, budget = self._world, self._me, self._world.budget
        if not me.mine and budget.assign:
            after = world.spend("assign")
            workers = tuple(
                worker._replace(mine=other == self._number, reassigned=other == self._number)
                for other, worker in enumerate(after.workers)
            )
            yield self._step("is given the partition by the group", after._replace(workers=workers), fault=True)
        if me.step:
            for what, store in (("crash", me.store), ("machine", me.disk)):
                if getattr(budget, what):
                    after = world.spend(what)
                    view = () if self._setting.definitions else me.view
                    dead = self._closed()._replace(store=store, held=None, reassigned=me.mine, view=view)
                    lost = ", the unsynced tail of its store is lost" if what == "machine" else ""
                    yield self._step(f"dies{lost}", self._with(dead, after), fault=True)
                    if me.outputs:
                        flying = after._replace(flight=(*after.flight, me.outputs))
                        yield self._step("dies, its queued sends stay in flight", self._with(dead, flying), fault=True)
        elif budget.wipe and me.store.applied >= 0:
            gone = Store(-1, self._empty)
            worker = me._replace(store=gone, disk=gone)
            yield self._step("has its store deleted", self._with(worker, world.spend("wipe")), fault=True)
        if self._setting.sync and budget.machine and me.disk != me.store:
            yield self._step("has its store on disk", self._with(me._replace(disk=me.store)))

    # Ownership

    def _reading(self) -> Iterator[Step]:
        me = self._me
        for definition in range(1, self._world.published + 1):
            if definition not in me.view + self._world.retired:
                view = tuple(sorted({*me.view, definition}))
                yield self._step(f"reads definition {definition}", self._with(me._replace(view=view)))

    def _ownership(self) -> Iterator[Step]:
        rules, me = self._rules, self._me
        if me.mine and me.step == 0:
            yield self._step("learns it is the owner", self._with(me._replace(step=1, reassigned=False)))
        if me.step and not me.mine:
            yield self._step("learns it is not the owner, closes", self._with(self._closed()))
        if me.step and me.reassigned:
            if rules.regained == "reopen" or me.step < self._ready:
                yield self._step("learns it is owner again, closes", self._with(self._closed()))
            elif rules.regained == "refence":
                after = self._fencing(me._replace(reassigned=False))
                yield self._step("is owner again, only takes a new producer", after)
            else:
                after = self._with(me._replace(reassigned=False, position=self._world.committed))
                yield self._step("is owner again, goes on from the committed offset", after)

    def _opening(self) -> Iterator[Step]:
        rules, world, me = self._rules, self._world, self._me
        what, further = rules.opening[me.step - 1], me._replace(step=me.step + 1)
        if what == "fence":
            yield self._step("fences earlier owners", self._fencing(further))
        elif what == "age":
            yield self._step("checks the age of its store", self._with(further._replace(store=self._aged())))
        elif what == "committed":
            yield self._step("reads the committed offset", self._with(further._replace(position=world.committed)))
        elif self._torn():
            yield self._step("finds a torn cut, refuses to open", self._with(self._closed()._replace(step=REFUSED)))
        else:
            begun, store = self._begun(), self._restored()
            if rules.restore == "offset-first":
                half = begun._replace(applied=store.applied)
            else:
                half = begun._replace(state=(begun.state[0], *store.state[1:]))
            if half not in (store, me.store):
                yield self._step("restores, half way", self._with(me._replace(store=half)))
            position = me.position if "committed" in rules.opening else store.applied + 1
            opened = further._replace(store=store, applied=store.applied, state=store.state, position=position)
            yield self._step(f"restores, applied {store.applied}", self._with(opened))

    def _torn(self) -> bool:
        marks = self._world.cut_marks if self._rules.cut_number == "every" else self._world.cut_marks[:1]
        return self._rules.cut_number != "ignored" and any(mark != self._world.cut_end for mark in marks)

    def _aged(self) -> Store:
        old = self._rules.age and self._me.store.applied < self._world.expired
        return Store(-1, self._empty) if old else self._me.store

    def _begun(self) -> Store:
        """What a restore goes on from."""
        store = self._me.store if "age" in self._rules.opening else self._aged()
        lost = self._setting.unmark and store.applied >= 0 and store.applied not in self._world.cuts
        return Store(-1, self._empty) if lost and self._rules.lost_cut == "restored" else store

    def _restored(self) -> Store:
        store, log = self._begun(), self._world.changelog
        labels = log[:1] if self._rules.label == "own" else log[1:]
        applied = max((record.offset for record in labels if record), default=-1)
        state = tuple(
            record.value if record and record.offset > store.applied else old
            for record, old in zip(log, store.state, strict=True)
        )
        return Store(max(store.applied, applied), state)

    # Input and outputs

    def _input(self) -> Iterator[Step]:
        me = self._me
        free = self._setting.ahead or not me.outputs
        if me.held and free:
            yield from self._deliver(*me.held, me._replace(held=None))
        if not free or me.held:
            return
        for length in range(1, self._setting.largest_batch + 1):
            if me.position + length > len(self._world.log):
                break
            taken = me._replace(position=me.position + length)
            yield from self._deliver(me.position, length, taken)
            if self._world.budget.stale:
                fetched = taken._replace(held=(me.position, length))
                label = f"has fetched {me.position}..{me.position + length - 1}, in its queue"
                yield self._step(label, self._with(fetched, self._world.spend("stale")), fault=True)

    def _deliver(self, first: int, length: int, taken: Worker) -> Iterator[Step]:
        """Decide a batch, all of it: change memory and queue the outputs. `taken` is the worker without the batch."""
        rules, world, me = self._rules, self._world, self._me
        label = f"is given {first}..{first + length - 1}: "
        if rules.contiguous:
            if first > me.applied + 1:
                back = taken._replace(position=me.applied + 1)
                yield self._step(f"{label}a hole, seeks to {me.applied + 1}", self._with(back))
                return
            first, length = me.applied + 1, first + length - 1 - me.applied
            if length <= 0:
                yield self._step(f"{label}known, drops it", self._with(taken))
                return
        state, outputs, fired, counted = me.state, me.outputs, me.fired, world.counted
        for command in world.log[first : first + length]:
            if rules.definition == "view":
                if not me.view:
                    return
            elif command.definition and command.definition not in me.view + state[0].contents:
                return  # it waits until it has read that content
            newest = max(me.view) if rules.definition == "view" else 0
            state, more, outcome = decide(rules, self._setting, state, command, world.time, newest)
            outputs += more
            if rules.counts == "memory":
                counted = add(counted, outcome)
            if command.kind == "Timer" and outcome == "rejected":
                timer = (command.run, command.detail)
                fired = tuple(sent if sent[:2] != timer or sent[2] < 0 else (*sent[:2], ~sent[2]) for sent in fired)
        applied = first + length - 1
        after = taken._replace(
            applied=applied,
            state=state,
            outputs=outputs,
            fired=fired,
            dirty=me.dirty | changed_keys(me.state, state),
        )
        yield self._step(f"{label}applied {applied}", self._with(after, world._replace(counted=counted)))

    def _sending(self) -> Iterator[Step]:
        me = self._me
        for number in range(len(me.outputs) if self._rules.sending == "unordered" else min(1, len(me.outputs))):
            after, broken = written(self._world, me.outputs[number])
            checkpoint = me.checkpoint
            if checkpoint:
                checkpoint = checkpoint._replace(waiting=max(0, checkpoint.waiting - 1))
            rest = me.outputs[:number] + me.outputs[number + 1 :]
            left = me._replace(outputs=rest, checkpoint=checkpoint)
            what = me.outputs[number]
            kind = "task" if isinstance(what, Task) else "transition"
            yield self._step(f"sends a {kind} of run {what.run}", self._with(left, after), broken)

    # Checkpoints

    def _checkpoint(self) -> Iterator[Step]:
        rules, me = self._rules, self._me
        first = "send" if self._setting.parts > 1 else "commit"
        checkpoint = me.checkpoint
        if checkpoint is None:
            if me.dirty:
                stage = "write" if rules.store == "before" else first
                begun = Checkpoint(me.applied, me.dirty, me.state, len(me.outputs), stage)
                label = f"begins a checkpoint at {me.applied}, keys {me.dirty:b}"
                yield self._step(label, self._with(me._replace(dirty=0, checkpoint=begun)))
            return
        if checkpoint.stage == "write":
            written_state = checkpoint.state if rules.cut == "same" else me.state
            store = Store(checkpoint.offset, merged(me.store.state, written_state, checkpoint.keys))
            left = checkpoint._replace(stage=first) if rules.store == "before" else None
            kept = me.state if rules.overlay == "newer" else store.state
            after = me._replace(store=store, checkpoint=left, state=kept)
            yield self._step(f"writes its store, applied {checkpoint.offset}", self._with(after))
        elif not (me.fence or rules.fenced == "reinit"):
            yield self._step("finds its checkpoint fenced, closes", self._with(self._closed()))
        elif checkpoint.waiting == 0 or not rules.outputs_first:
            if checkpoint.stage == "send":
                yield from self._batches(checkpoint)
            else:
                yield from self._commit(checkpoint)

    def _failed(self, checkpoint: Checkpoint) -> Worker:
        """After a checkpoint that failed as far as the worker knows."""
        if self._rules.failure == "close":
            return self._closed()
        again = checkpoint.keys if self._rules.failure == "merge" else 0
        return self._me._replace(checkpoint=None, dirty=self._me.dirty | again)

    def _batches(self, checkpoint: Checkpoint) -> Iterator[Step]:
        """Send the cut's next batch, which the broker takes or refuses, or end the transaction."""
        rules, me, parts = self._rules, self._me, self._setting.parts
        ended = checkpoint.acknowledged | checkpoint.refused
        number = ended.bit_length()
        if number < parts:
            # A refused batch leaves a gap unless none before it was taken.
            gap = rules.sequenced and checkpoint.refused > checkpoint.acknowledged > 0
            if not gap:
                taken = checkpoint._replace(acknowledged=checkpoint.acknowledged | 1 << number)
                yield self._step(f"has batch {number} acknowledged", self._with(me._replace(checkpoint=taken)))
            if gap or self._world.budget.refuse:
                world = self._world if gap else self._world.spend("refuse")
                refused = checkpoint._replace(refused=checkpoint.refused | 1 << number)
                after = self._with(me._replace(checkpoint=refused), world)
                yield self._step(f"has batch {number} refused", after, fault=not gap)
            if rules.batches == "early" and ended:
                yield from self._commit(checkpoint)
        elif checkpoint.refused and rules.batches == "awaited":
            yield self._step("leaves its transaction to the next fence", self._with(self._failed(checkpoint)))
        else:
            yield from self._commit(checkpoint)

    def _arrived(self, checkpoint: Checkpoint) -> tuple[int, list[bool]]:
        """Which keys are in the transaction, and which batches.

        Each batch begins with the cut's number. The runs come first; the last batch is the partition's own record and
        the number again."""
        parts = self._setting.parts
        if parts == 1:
            return checkpoint.keys, [True]
        here = [bool(checkpoint.acknowledged >> number & 1) for number in range(parts)]
        runs = sum(1 << key for key in range(1, self._setting.runs + 1) if here[min(key - 1, parts - 2)])
        return checkpoint.keys & (runs | here[-1]), here

    def _commit(self, checkpoint: Checkpoint) -> Iterator[Step]:
        rules, world, me = self._rules, self._world, self._me
        keys, here = self._arrived(checkpoint)
        values = me.state if rules.values == "live" else checkpoint.state
        cut = Cut(checkpoint.offset, keys, values)
        cuts = [cut] if world.unmarked is None else [world.unmarked, cut]
        changelog = world.changelog
        for one in cuts:
            changelog = tuple(
                Changed(one.offset, one.state[key]) if one.keys >> key & 1 else record
                for key, record in enumerate(changelog)
            )
        after = world._replace(
            changelog=changelog,
            unmarked=None,
            cuts=tuple(sorted({*world.cuts, *(one.offset for one in cuts)})) if self._setting.unmark else (),
            committed=checkpoint.offset + 1,
            cut_marks=tuple(
                checkpoint.offset if arrived else mark for arrived, mark in zip(here, world.cut_marks, strict=True)
            ),
            cut_end=checkpoint.offset if here[-1] else world.cut_end,
        )
        left = checkpoint._replace(stage="write") if rules.store == "after" else None
        put = self._with if me.fence else self._fencing
        if checkpoint.refused:
            # The futures of its batches tell the worker afterwards.
            yield self._step("commits what arrived of its cut", put(self._failed(checkpoint), after))
            return
        yield self._step(f"commits its checkpoint, {checkpoint.offset + 1}", put(me._replace(checkpoint=left), after))
        if world.budget.unmark and world.unmarked is None:
            lost = world.spend("unmark")._replace(unmarked=cut)
            label = f"has its checkpoint committed without a marker, {checkpoint.offset + 1}"
            yield self._step(label, put(me._replace(checkpoint=left), lost), fault=True)
        if world.budget.abort:
            again = self._failed(checkpoint)
            yield self._step("has its checkpoint aborted", self._with(again, world.spend("abort")), fault=True)
            label = "has its checkpoint committed and learns that it failed"
            yield self._step(label, self._with(again, after.spend("abort")), fault=True)

    # What an owner does beside

    def _timers(self) -> Iterator[Step]:
        if not self._setting.timers:
            return
        world, me = self._world, self._me
        for number, run in enumerate(me.state[1:]):
            if not isinstance(run, Waiting):
                continue
            mine = [sent for sent in me.fired if sent[:2] == (number, run.stage)]
            if not mine and run.due <= world.time + self._setting.skew:
                fired = tuple(sorted((*me.fired, (number, run.stage, world.time))))
                after = self._with(me._replace(fired=fired), world.append("Timer", number, run.stage))
                yield self._step(f"appends FireTimer {number}/{run.stage}", after)
            if mine and self._rules.early_timer == "again" and mine[0][2] < 0 and ~mine[0][2] < world.time:
                left = tuple(sent for sent in me.fired if sent not in mine)
                yield self._step(f"may send FireTimer {number}/{run.stage} again", self._with(me._replace(fired=left)))

    def _background(self) -> Iterator[Step]:
        if self._rules.forgetting != "background":
            return
        me, over = self._me, self._world.time - self._setting.window
        runs = (None if isinstance(run, Finished) and run.at <= over else run for run in me.state[1:])
        state = (me.state[0], *runs)
        if state != me.state:
            dirty = me.dirty | changed_keys(me.state, state)
            yield self._step("sweeps", self._with(me._replace(state=state, dirty=dirty)))
