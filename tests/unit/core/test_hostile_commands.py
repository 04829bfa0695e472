"""No record of `commands` stops its partition for good: it is decided, it is a dead letter, or a person passes it over;
and the next one is decided as ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from streamflow.core import partition as module
from streamflow.core.partition import PartitionCore
from streamflow.core.place import Place
from streamflow.engine import commands as c
from streamflow.engine.commands import DefinitionRef
from streamflow.engine.decide import decide
from streamflow.engine.outcome import UnusableContent
from streamflow.engine.state import Counts
from streamflow.engine.trace import Trace
from streamflow.errors import EngineFault, OperationError
from streamflow.runtime.outputs import BATCH_BYTES
from streamflow.simulation.store import MemoryStore
from streamflow.wire.codec import DecodeError, encode_command
from streamflow.wire.decoding import Record
from tests.builders import NOW_MS
from tests.hostile_records import HEADERS, KEYS, VALUES

PLACE = Place(number=0, partitions=1, topic_id="the-id")
RUN = "00000000-main-00000000000000000000"
FAR = 1 << 62
START = DefinitionRef("0" * 64, 5)
SENT_BYTES = PLACE.limits.record_bytes + 50_000  # what the engine's producer takes in one record
EVENT = c.Event("placed", "e1", NOW_MS, {"a": 1})
ORIGIN = c.Origin("topic", 0, 7, 0)


class Definitions:
    """Read up to offset 100, with nothing in them."""

    def readable(self, start: DefinitionRef) -> bool:
        return start.log_offset < 100

    def content(self, start: DefinitionRef) -> str | None:
        return "broken" if start.sha256 == "broken" else None

    def plan(self, sha: str, content: Callable[[], str]) -> Any:
        raise UnusableContent(sha, RecursionError())


def a_core(store: Any = None, **options: Any) -> PartitionCore:
    known: dict[str, Any] = {"now_ms": NOW_MS, "topic_of": lambda event: f"{event}s"}
    return PartitionCore(PLACE, store or MemoryStore(), Definitions(), **known | options)


def a_record(offset: int, value: bytes | None, key: bytes | None = b"k", headers: Any = ()) -> Record:
    return Record("commands", 0, offset, NOW_MS + offset, key, value, headers)


def good(offset: int) -> Record:
    return a_record(offset, encode_command(c.CancelRun(f"c{offset}", RUN)))


def save(core: PartitionCore) -> None:
    """Send everything and carry a checkpoint out, as the host does; nothing of it may be more than the broker takes."""
    while core.outputs:
        interval, output = core.outputs.popleft()
        size = len(output.key or b"") + len(output.value or b"")
        size += sum(len(name.encode()) + len(value or b"") + 4 for name, value in output.headers)
        assert size <= max(BATCH_BYTES, SENT_BYTES), output.topic
        core.acknowledged(interval, 1)
    if (cut := core.capture()) is not None:
        for batch in cut.transaction():
            for key, value in batch:
                assert len(key) + len(value or b"") <= SENT_BYTES, key[:100]
        cut.committed()
        core.overlay.store.write(cut.records())
        core.saved()


def reasons(core: PartitionCore) -> list[str]:
    return [
        dict(output.headers)["streamflow.dlq.reason"].decode()
        for _, output in core.outputs
        if output.topic == "dead-letters"
    ]


def goes_on(core: PartitionCore, offset: int) -> None:
    """The next command is decided, also by the next owner of the state, and timers fire."""
    save(core)
    for one in (core, a_core(core.overlay.store)):
        one.begin(0)
        one.take(good(offset), NOW_MS)
        assert reasons(one) == ["rejected"]
        assert one.fire(NOW_MS + 1000) == 0
        assert one.overlay.own.counts.read == offset + 1
        assert sum(msgspec.structs.astuple(one.overlay.own.counts)[1:]) == offset + 1


# -- records as they come


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_record_that_is_no_command_is_counted_and_a_dead_letter(value: bytes | None) -> None:
    core, number = a_core(), 0
    for key, headers in [*((key, ()) for key in KEYS.values()), *((b"k", headers) for headers in HEADERS.values())]:
        assert core.take(a_record(number, value, key, headers), NOW_MS) is None
        assert reasons(core) in (["bad_command"], ["too_deep"])
        number += 1
        assert core.overlay.own.counts == Counts(read=number, dead=number)
        save(core)
    goes_on(core, number)


def test_a_record_full_of_empty_headers_is_cut() -> None:
    """Each costs the broker's records some bytes, also when it has neither a name nor a value."""
    core = a_core()
    core.take(a_record(0, b"no command", b"k", (("", b""),) * 300_000), NOW_MS)
    assert dict(core.outputs[0][1].headers)["streamflow.dlq.truncated"] == b"true"
    goes_on(core, 1)


# -- commands with values that no process of ours writes

LONG = "x" * 850_000
STRANGE: dict[str, c.Command] = {
    "a definition's name of 850 kB": c.Deliver("d", LONG, "k", EVENT, ORIGIN),
    "a definition's name of 850 kB to start": c.StartRun("s", LONG, "k", START, EVENT),
    "an event's name of 850 kB": c.Deliver("d", "order", "k", c.Event(LONG, "e", NOW_MS, {}), ORIGIN),
    "an event's id of 850 kB": c.Deliver("d", "order", "k", c.Event("placed", LONG, NOW_MS, {}), ORIGIN),
    "a trigger of 850 kB": c.Deliver("d", "order", "k", EVENT, ORIGIN, START, LONG),
    "a topic's id of 850 kB": c.Deliver("d", "order", "k", EVENT, c.Origin(LONG, 0, 7, 3)),
    "a key of 850 kB": c.Deliver("d", "order", LONG, EVENT, ORIGIN),
    "an id of 850 kB": c.CancelRun(LONG, RUN),
    "a run's id of 850 kB": c.CancelRun("c", "00000000" + LONG),
    "a reason of 850 kB": c.CancelRun("c", RUN, LONG),
    "a step of 850 kB": c.RetryStep("r", RUN, LONG),
    "a trace of 850 kB": c.CancelRun("c", RUN, "", Trace(LONG)),
    "a sha of 850 kB": c.StartRun("s", "order", "k", DefinitionRef(LONG, 5), EVENT),
    "a parent of 850 kB": c.StartRun("s", "order", "k", START, EVENT, None, c.Parent("00000000", LONG, "a", 1)),
    "a watermark of 850 kB": c.AdvanceWatermark("w", LONG, 1, {"0": NOW_MS}),
    "a parent's run of 850 kB": c.StartRun("s", "order", "k", START, EVENT, None, c.Parent(LONG, "k", "a", 1)),
    "a trace of a start of 850 kB": c.StartRun("s", "order", "k", START, EVENT, Trace(LONG)),
    "a trace's state of 850 kB": c.CancelRun("c", RUN, "", Trace("00", LONG)),
    "a trace that is none": c.StartRun("s", "order", "k", START, EVENT, Trace("\u2028", "\x00", True)),
    "a correlation id of 850 kB": c.StartRun("s", "order", "k", START, EVENT, correlation_id=LONG),
    "an event's source of 850 kB": c.Deliver("d", "order", "k", c.Event("e", "e", 0, {}, 0, LONG), ORIGIN),
    "a watermark's topic of 850 kB": c.AdvanceWatermark("w", "t", 1, {}, {"placed": (LONG,)}, 1),
    "a decider of 850 kB": c.Decide("d", RUN, "a", "approved", LONG),
    "a code of 850 kB": c.FailAttempt("f", RUN, "a", 1, LONG, ""),
    "times far ahead": c.Deliver("d", "order", "k", c.Event("placed", "e", FAR, {}, FAR), ORIGIN, None, "", FAR, FAR),
    "times far back": c.Deliver("d", "o", "k", c.Event("placed", "e", -FAR, {}, -FAR), ORIGIN, None, "", -FAR, -FAR),
    "a start far ahead": c.StartRun("s", "order", "k", START, c.Event("placed", "e", FAR, {})),
    "a start far back": c.StartRun("s", "order", "k", START, c.Event("placed", "e", -FAR, {})),
    "offsets below 0": c.Deliver("d", "order", "k", EVENT, c.Origin("t", -7, -FAR, -FAR)),
    "offsets far ahead": c.Deliver("d", "order", "k", EVENT, c.Origin("t", FAR, FAR, FAR)),
    "a start's offset below 0": c.StartRun("s", "order", "k", DefinitionRef("0" * 64, -FAR), EVENT),
    "a timer far ahead": c.FireTimer("t", RUN, "a", FAR),
    "a timer far back": c.FireTimer("t", RUN, "a", -FAR, -FAR),
    "a watermark far ahead": c.AdvanceWatermark("w", "t", FAR, {"0": FAR, str(FAR): FAR}, {"placed": ("t",)}, FAR, FAR),
    "a watermark far back": c.AdvanceWatermark("w", "t", -FAR, {"-1": -FAR}, {"placed": ("t",)}, -FAR, -FAR),
    "a watermark of partitions that are no numbers": c.AdvanceWatermark("w", "t", 1, {"x": 1, "": 2}, {"": ()}),
    "an attempt far ahead": c.CompleteAttempt("a", RUN, "a", FAR, None, FAR),
    "a suspension far ahead": c.SuspendAttempt("a", RUN, "a", FAR, FAR, FAR),
    "empty texts": c.Deliver("", "", "", c.Event("", "", 0, None), c.Origin("", 0, 0, 0), DefinitionRef("", 0)),
    "slashes": c.Deliver("/", "a/b/../c", "/\0/", c.Event("a/b", "/", 0, None, 0, "/"), c.Origin("a/b/c", 0, 1, 1)),
    "control characters": c.Deliver("\x1b", "\0", "\0\n", c.Event("\0", "\n", 0, "\0"), c.Origin("\0", 0, 1, 1)),
    "a continuation of nothing": c.ContinueDelivery("x", "order", "k"),
    "a step of nothing": c.Continue("x", RUN, FAR),
    "a content that cannot be used": c.StartRun("s", "order", "k", DefinitionRef("broken", 5), EVENT),
}


@pytest.mark.parametrize("command", STRANGE.values(), ids=STRANGE)
def test_a_strange_command_has_one_outcome_and_the_next_one_is_decided(command: c.Command) -> None:
    core = a_core()
    assert core.take(a_record(0, msgspec.json.encode(command)), NOW_MS) is None
    assert core.overlay.own.counts.read == 1
    assert sum(msgspec.structs.astuple(core.overlay.own.counts)[1:]) == 1
    goes_on(core, 1)


def test_a_start_of_what_cannot_be_used_names_the_content() -> None:
    core = a_core()
    core.take(a_record(0, msgspec.json.encode(STRANGE["a content that cannot be used"])), NOW_MS)
    assert reasons(core) == ["version_unreadable"]


@pytest.mark.parametrize("at", [100, 1000, FAR])
def test_a_start_by_definitions_that_do_not_exist_is_refused(at: int) -> None:
    core = a_core()
    parent = c.Parent(RUN, "k", "child", 1)
    start = c.StartRun("s", "order", "k", DefinitionRef("0" * 64, at), EVENT, parent=parent)
    record = a_record(0, encode_command(start))
    assert core.take(record, NOW_MS) == start.start  # the host asks how far `definitions` reach
    assert core.take(record, NOW_MS, unpublished=True) is None
    assert reasons(core) == ["unknown_definition"]
    assert [output.topic for _, output in core.outputs] == ["dead-letters", "commands"]  # and its parent is answered
    assert core.must_save
    goes_on(core, 1)


# -- what a person passes over


def _raises(error: BaseException) -> Callable[[pytest.MonkeyPatch], None]:
    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        def decided(*arguments: Any) -> Any:
            if arguments[5] == 0:
                raise error
            return decide(*arguments)

        monkeypatch.setattr(module, "decide", decided)

    return plant


def _nothing(_: pytest.MonkeyPatch) -> None:
    pass


A_COMMAND = encode_command(c.CancelRun("c0", RUN))
STOPPING: dict[str, tuple[bytes, Callable[[pytest.MonkeyPatch], None], type[BaseException] | None]] = {
    "an unknown revision": (
        encode_command(c.StartRun("s", "order", "k", DefinitionRef("0" * 64, 5, "from the future"), EVENT)),
        _nothing,
        EngineFault,
    ),
    "an unknown revision of a delivery": (
        encode_command(c.Deliver("d", "order", "k", EVENT, ORIGIN, DefinitionRef("0" * 64, 5, "9" * 1000))),
        _nothing,
        EngineFault,
    ),
    "definitions that are not read": (
        encode_command(c.StartRun("s", "order", "k", DefinitionRef("0" * 64, FAR), EVENT)),
        _nothing,
        None,
    ),
    "no memory": (A_COMMAND, _raises(MemoryError()), MemoryError),
    "no memory of a library": (A_COMMAND, _raises(RuntimeError("std::bad_alloc")), MemoryError),
    "a disk": (A_COMMAND, _raises(OperationError("store_failed", "no")), OperationError),
    "a broken invariant": (A_COMMAND, _raises(EngineFault("broken", "no")), EngineFault),
    "the end of the process": (A_COMMAND, _raises(SystemExit(9)), SystemExit),
}


@pytest.mark.parametrize(("value", "plant", "error"), STOPPING.values(), ids=STOPPING)
def test_a_person_passes_over_any_command_that_stops_a_partition(
    monkeypatch: pytest.MonkeyPatch, value: bytes, plant: Any, error: type[BaseException] | None
) -> None:
    plant(monkeypatch)
    stopped = a_core()
    stopped.begin(0)
    if error is None:
        assert stopped.take(a_record(0, value), NOW_MS) is not None
    else:
        with pytest.raises(error):
            stopped.take(a_record(0, value), NOW_MS)
    assert stopped.applied == -1

    core = a_core()
    core.begin(0, {0: "a stranger sent it"})
    assert core.take(a_record(0, value), NOW_MS) is None
    assert reasons(core) == ["skipped"]
    letter = dict(core.outputs[0][1].headers)
    assert b"a stranger sent it" in letter["streamflow.dlq.message"]
    assert core.outputs[0][1].value == value
    assert core.must_save  # another process might decide it
    goes_on(core, 1)


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_person_passes_over_what_is_no_command(value: bytes | None) -> None:
    core = a_core()
    core.begin(0, {0: "broken"})
    core.take(a_record(0, value), NOW_MS)
    assert reasons(core) == ["skipped"]
    goes_on(core, 1)


def test_only_the_command_that_is_named_is_passed_over() -> None:
    core = a_core()
    core.begin(0, {1: "the second"})
    for offset in range(3):
        core.take(good(offset), NOW_MS)
        save(core) if core.must_save else None
    assert core.overlay.own.reasons == {"run_unknown": 2, "skipped": 1}


def test_the_parent_of_a_start_that_is_passed_over_is_answered() -> None:
    core = a_core()
    core.begin(0, {0: "no"})
    start = DefinitionRef("0" * 64, 5, "from the future")
    core.take(a_record(0, encode_command(c.StartRun("s", "o", "k", start, EVENT, None, c.Parent(RUN, "k", "a", 1)))), 0)
    assert [output.topic for _, output in core.outputs] == ["dead-letters", "commands"]


def test_the_fault_of_a_stopped_partition_says_how_to_pass_over_its_command() -> None:
    with pytest.raises(EngineFault, match="streamflow commands skip 0 0 --reason") as caught:
        a_core().take(a_record(0, STOPPING["an unknown revision"][0]), NOW_MS)
    assert caught.value.facts["offset"] == 0


def test_an_output_that_cannot_be_encoded_puts_its_command_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    _raises(DecodeError("too_deep", "no"))(monkeypatch)
    core = a_core()
    core.take(a_record(0, A_COMMAND), NOW_MS)
    assert reasons(core) == ["decision_failed"]
    goes_on(core, 1)
