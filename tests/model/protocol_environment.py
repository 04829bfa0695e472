"""What happens around the workers: ingress, tasks, time, definitions, sends of dead workers, compaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.model.protocol_rules import Rules, Setting
from tests.model.protocol_world import Command, Output, State, Step, Task, Waiting, World

DIFFERENT_COPIES = "copies: different copies"
GAP_SEEN = "gap: a reader sees a gap"


def written(world: World, output: Output) -> tuple[World, tuple[str, ...]]:
    """Append one output: the world after it, and what a reader of `runs` would find wrong with it."""
    if isinstance(output, Task):
        return world._replace(tasks=tuple(sorted({*world.tasks, output}))), ()
    have = world.runs[output.run]
    if output.seq <= len(have):
        return world, () if have[output.seq - 1] == output.body else (DIFFERENT_COPIES,)
    if output.seq > len(have) + 1:
        return world, (GAP_SEEN,)
    runs = (*world.runs[: output.run], (*have, output.body), *world.runs[output.run + 1 :])
    return world._replace(runs=runs), ()


def environment(
    rules: Rules, setting: Setting, world: World, state_at: Callable[[tuple[Command, ...]], State]
) -> Iterator[Step]:
    yield from _ingress(setting, world)
    yield from _tasks(setting, world)
    budget = world.budget
    if budget.tick:
        yield Step("time passes", world.spend("tick")._replace(time=world.time + 1), fault=True)
    if budget.publish:
        published = world.published + 1
        yield Step(f"definition {published} is published", world.spend("publish")._replace(published=published))
    if world.ingress < world.published:
        yield Step(f"ingress reads definition {world.ingress + 1}", world._replace(ingress=world.ingress + 1))
    if budget.retire and world.ingress > 1:
        held = any(
            isinstance(run, Waiting) and run.definition == 1 for run in state_at(world.log[: world.committed])[1:]
        )
        unread = any(command.definition == 1 for command in world.log[world.committed :])
        if not held and (rules.content == "unheld" or not unread):
            retired = world.spend("retire")._replace(retired=(1,))
            yield Step("definition 1 is retired, its content deleted", retired, fault=True)
    for number, queue in enumerate(world.flight):
        after, broken = written(world, queue[0])
        rest = (*world.flight[:number], *((queue[1:],) if queue[1:] else ()), *world.flight[number + 1 :])
        yield Step(f"a dead worker's queued {queue[0]} arrives", after._replace(flight=rest), broken)
    if budget.expire:
        yield from _expired_tombstones(world)


def _ingress(setting: Setting, world: World) -> Iterator[Step]:
    definition = world.ingress or (0 if setting.definitions else setting.version)
    if not definition:
        return
    for source, offset in enumerate(world.source):
        event = offset * setting.sources + source
        read = world._replace(source=(*world.source[:source], offset + 1, *world.source[source + 1 :]))
        if event < setting.runs and (event, definition) in setting.ignores:
            yield Step(f"ingress ignores event {event}: definition {definition} does not match it", read)
        elif event < setting.runs:
            started = read.append("Start", event, (source, offset), definition)
            yield Step(f"ingress appends Start {event} naming {definition}", started)
        if world.budget.repeat:
            for earlier in range(offset):
                event = earlier * setting.sources + source
                if (event, definition) not in setting.ignores:
                    repeated = world.spend("repeat").append("Start", event, (source, earlier), definition)
                    yield Step(f"ingress goes back, appends Start {event} naming {definition}", repeated, fault=True)


def _tasks(setting: Setting, world: World) -> Iterator[Step]:
    if setting.silent:
        return
    for task in world.tasks:
        times = world.answered.count(task)
        if times == 0 or (times == 1 and world.budget.redo):
            answer = "ab"[times]
            after = (world.spend("redo") if times else world).append("Result", task.run, (task.stage, answer))
            after = after._replace(answered=tuple(sorted((*world.answered, task))))
            yield Step(f"{task} returns result {answer}", after, fault=times > 0)


def _expired_tombstones(world: World) -> Iterator[Step]:
    for key, record in enumerate(world.changelog):
        if record and record.value is None:
            after = world.spend("expire")._replace(
                changelog=(*world.changelog[:key], None, *world.changelog[key + 1 :]),
                expired=max(world.expired, record.offset),
            )
            yield Step(f"the tombstone of run {key - 1} expires", after, fault=True)
