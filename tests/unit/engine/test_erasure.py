"""Erasing a business key: nothing of it is left in the state, and what came before is a duplicate as before."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.engine import erasure
from streamflow.engine.builder import Limits
from streamflow.engine.commands import CancelRun, EraseKey
from streamflow.engine.effects import AppendCommand, RecordErasure, RecordRejection, Unclaimed
from streamflow.engine.outcome import Decision
from streamflow.engine.overlay import encode_record
from streamflow.wire.codec import decode_command, encode_command
from tests.builders import a_definition
from tests.unit.engine.bench import Bench, outcome
from tests.unit.engine.mailbox.steps import a_wait, box, tally

KEY, SECRET = "anna@example.org", "4929-SECRET"
DEFINITION = a_definition(a_wait())


def a_bench(**limits: Any) -> Bench:
    """A key with a finished run, a kept event, one that nobody took, and another key beside it."""
    bench = Bench(DEFINITION, limits=Limits(**limits))
    for key in (KEY, "other"):
        bench.start({"card": SECRET if key == KEY else "x"}, key=key, id=f"start-{key}")
        bench.offer("paid", {"card": SECRET if key == KEY else "x"}, key=key, id=f"paid-{key}")
        bench.offer("paid", {"card": SECRET if key == KEY else "x"}, key=key, id=f"kept-{key}", keep_ms=10_000)
        bench.offer("paid", {"card": SECRET if key == KEY else "x"}, key=key, id=f"late-{key}")
    assert len(box(bench, KEY).entries) == 1
    return bench


def erase(bench: Bench, definitions: tuple[str, ...] = (DEFINITION.name,), key: str = KEY) -> Decision:
    """Erase, and every further command."""
    command = EraseKey("erase-1", key, definitions, "asked for")
    decision = bench.take(command)
    while further := [e.command for e in decision.effects if isinstance(e, AppendCommand)]:
        decision = bench.take(decode_command(encode_command(further[0])))
    return decision


def state(bench: Bench) -> str:
    """All keys and values of the store after a checkpoint."""
    bench.checkpoint()
    return "\n".join(f"{key} {value.decode()}" for key, value in bench.store.scan(""))


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("most", [1, 2, 500])
def test_nothing_of_the_key_is_left_and_others_stay(monkeypatch: pytest.MonkeyPatch, most: int, saved: bool) -> None:
    monkeypatch.setattr(erasure, "RECORDS_PER_COMMAND", most)
    bench = a_bench()
    before = state(bench) if saved else ""
    assert not saved or (KEY in before and SECRET in before)

    decision = erase(bench)

    left = state(bench)
    assert KEY not in left
    assert SECRET not in left
    assert f"mail/{DEFINITION.name}/5:other/" in left
    (account,) = [effect for effect in decision.effects if isinstance(effect, RecordErasure)]
    assert (account.command_id, account.definitions, account.reason) == ("erase-1", (DEFINITION.name,), "asked for")
    assert (account.records, account.events) == (5, 1)
    assert KEY not in encode_record(account).decode()


@pytest.mark.parametrize("again", ["start", "paid", "kept"])
@pytest.mark.parametrize("reopened", [False, True])
def test_what_was_consumed_or_kept_before_is_a_duplicate_when_it_comes_again(again: str, reopened: bool) -> None:
    bench = a_bench()
    erase(bench)
    if reopened:
        bench.checkpoint()
        bench.reopen()

    if again == "start":
        decision = bench.start({"card": SECRET}, key=KEY, id=f"start-{KEY}")
    else:
        decision = bench.offer("paid", {"card": SECRET}, key=KEY, id=f"{again}-{KEY}", keep_ms=10_000)

    assert outcome(decision) == ("duplicate", "seen")
    assert SECRET not in state(bench)


def test_a_new_event_of_the_key_is_one_as_any_other() -> None:
    bench = a_bench()
    erase(bench)
    assert outcome(bench.start(key=KEY, id="new")) == ("applied", "")
    assert outcome(bench.offer("paid", key=KEY, id="new-paid")) == ("applied", "")


def test_erasing_again_does_nothing_more() -> None:
    bench = a_bench()
    erase(bench)
    before = state(bench)
    (account,) = [effect for effect in erase(bench).effects if isinstance(effect, RecordErasure)]
    assert (account.records, account.events) == (0, 0)
    assert [line for line in state(bench).splitlines() if not line.startswith("own ")] == [
        line for line in before.splitlines() if not line.startswith("own ")
    ]


def test_a_key_with_an_open_run_is_not_erased() -> None:
    bench = a_bench()
    bench.start(key=KEY, id="open")
    bench.checkpoint()

    decision = erase(bench)

    assert outcome(decision) == ("rejected", "runs_open")
    (refused,) = [effect for effect in decision.effects if isinstance(effect, RecordRejection)]
    assert refused.state == {"runs": [bench.run("open", KEY)]}
    assert list(decision.changes) == ["own"]
    bench.take(CancelRun("c", bench.run("open", KEY)))
    assert outcome(erase(bench)) == ("applied", "")


def test_only_the_definitions_that_are_named_are_erased() -> None:
    bench = a_bench()
    erase(bench, ("another",))
    assert SECRET in state(bench)


def test_a_kept_event_that_is_erased_has_one_outcome_which_tells_nothing_of_it() -> None:
    bench = a_bench()
    decision = erase(bench)
    (told,) = [effect for effect in decision.effects if isinstance(effect, Unclaimed)]
    assert (told.outcome, told.key, told.id, told.source, told.run) == ("erased", "", "", "", None)
    counts = tally(bench)
    delivered = counts.pop("paid/delivered")
    kept = len(box(bench, "other").entries)
    assert counts["paid/erased"] == 1
    assert delivered == kept + sum(count for name, count in counts.items() if name.startswith("paid/"))


def test_what_protects_against_repeats_is_forgotten_in_its_time() -> None:
    bench = a_bench(window_ms=1000, trail_ms=1000)
    erase(bench)
    assert "/~" in state(bench)
    for _ in range(20):
        bench.now_ms += 1000
        bench.offer("paid", key="other", id=f"n{bench.now_ms}")
    assert "/~" not in state(bench)


def test_the_same_commands_erase_in_the_same_way() -> None:
    decisions = [erase(a_bench()) for _ in range(2)]
    assert encode_record(decisions[0].changes) == encode_record(decisions[1].changes)
    assert decisions[0].effects == decisions[1].effects
