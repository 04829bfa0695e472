"""Any interleaving of two people and the assistant: no edit is lost, undo and redo only move, and turns end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamflow.authoring.draft import Draft
from streamflow.conversations import decisions, drafting
from streamflow.conversations.conversation import Conversation
from streamflow.conversations.decisions import HELD_MS
from streamflow.conversations.events import Event, TurnEnded, TurnStarted
from streamflow.conversations.library import Library, added, begun
from streamflow.errors import Rejected
from tests.conversations import again
from tests.unit.authoring.examples import CATALOG

ID = "conversation1"
PEOPLE = st.sampled_from(["ada", "bob"])
PLACES = st.integers(0, 30)


def step_ids(text: str) -> frozenset[str]:
    return frozenset(step["id"] for step in Draft.parse(text).content["steps"])


class Talk(RuleBasedStateMachine):
    """Beside the conversation, a plain account of what each revision must hold and which one is the current one."""

    def __init__(self) -> None:
        super().__init__()
        self.library, self.records, self.now_ms = Library(), dict[str, bytes | None](), 1_000
        self.write(lambda library: begun(library, ID, decisions.start("A talk", None, None), by="ada", now_ms=1_000))
        self.steps = {1: frozenset[str]()}
        self.parents: dict[int, int | None] = {1: None}
        self.current, self.redo = 1, dict[int, int]()
        self.seen = {"ada": 1, "bob": 1}
        self.made = 0
        self.said: list[str] = []
        self.offered: dict[int, str] = {}

    @property
    def state(self) -> Conversation:
        return self.library.known(ID)

    def write(self, make: Callable[[Library], dict[str, bytes | None]]) -> None:
        records = make(self.library)
        for key, value in records.items():
            assert self.library.take(key, value) == ID
        self.records |= records

    def do(self, decide: Callable[[Conversation], Sequence[Event]], by: str) -> str:
        """The code of the refusal, or nothing. A refusal changes nothing."""
        try:
            self.write(lambda library: added(library, ID, decide(library.known(ID)), by=by, now_ms=self.now_ms))
        except Rejected as error:
            return error.code
        return ""

    def changed(self, who: str, code: str, *others: str) -> bool:
        """Whether the command was done; it is if and only if its author saw the current revision."""
        if self.seen[who] != self.current:
            assert code == "revision_conflict"
            return False
        assert code in ("", *others)
        return code == ""

    def moved(self, who: str, to: int) -> None:
        self.current = to
        self.seen[who] = to

    def revised(self, who: str, ids: set[str]) -> None:
        number = self.state.seq
        self.steps[number] = self.steps[self.current] | ids
        self.parents[number] = self.current
        self.redo[self.current] = number
        self.moved(who, number)

    def step(self) -> dict[str, Any]:
        self.made += 1
        return {"op": "add_step", "step": {"id": f"s{self.made}", "print": {"text": "'x'"}}}

    @rule(who=PEOPLE)
    def look(self, who: str) -> None:
        self.seen[who] = self.current

    @rule(who=PEOPLE)
    def edit(self, who: str) -> None:
        one = self.step()
        code = self.do(lambda state: drafting.edit(state, [one], CATALOG, seen=self.seen[who], by=who), who)
        if self.changed(who, code):
            self.revised(who, {one["step"]["id"]})
            assert who in self.state.revision.authors

    @rule(who=PEOPLE)
    def edit_wrongly(self, who: str) -> None:
        wrong = [self.step(), {"op": "remove_step", "step": "nowhere"}]
        code = self.do(lambda state: drafting.edit(state, wrong, CATALOG, seen=self.seen[who], by=who), who)
        assert not self.changed(who, code, "edit_target_unknown")

    @rule(who=PEOPLE)
    def undo(self, who: str) -> None:
        code = self.do(lambda state: drafting.undo(state, seen=self.seen[who]), who)
        if self.changed(who, code, "nothing_to_undo"):
            parent = self.parents[self.current]
            assert parent is not None
            self.redo[parent] = self.current
            self.moved(who, parent)
        elif code:
            assert code == "revision_conflict" or self.parents[self.current] is None

    @rule(who=PEOPLE)
    def redo_(self, who: str) -> None:
        code = self.do(lambda state: drafting.redo(state, seen=self.seen[who]), who)
        if self.changed(who, code, "nothing_to_redo"):
            self.moved(who, self.redo[self.current])
        elif code:
            assert code == "revision_conflict" or self.current not in self.redo

    @rule(who=PEOPLE, place=PLACES)
    def branch(self, who: str, place: int) -> None:
        number = list(self.steps)[place % len(self.steps)]
        code = self.do(lambda state: drafting.branch(state, number, seen=self.seen[who]), who)
        if self.changed(who, code):
            self.moved(who, number)

    @rule(who=PEOPLE)
    def say(self, who: str) -> None:
        text, turn = f"message {len(self.said)}", f"turn{self.state.seq}"
        open_, late = self.state.turn, self.state.turn is not None and self.state.turn.until_ms <= self.now_ms
        code = self.do(
            lambda state: decisions.message(
                state, text, turn=turn, mode="edit", model="rules", holder="p", now_ms=self.now_ms
            ),
            who,
        )
        assert code == ("turn_open" if open_ is not None and not late else "")
        if not code:
            self.said.append(text)
            assert self.state.open_turn == turn

    @precondition(lambda self: self.state.turns)
    @rule(place=PLACES, propose=st.booleans())
    def assistant(self, place: int, propose: bool) -> None:
        """A process goes on with any turn, one that is over too."""
        turn = list(self.state.turns)[place % len(self.state.turns)]
        is_open = turn == self.state.open_turn
        if not propose:
            assert self.do(lambda state: decisions.hold(state, turn, self.now_ms), "ada") == (
                "" if is_open else "turn_over"
            )
            return
        operations = [self.step(), self.step()]
        made = drafting.applied(self.state.revision, operations, CATALOG)
        offer = drafting.proposed(made, proposal=f"p{self.made}", turn=turn, base=self.current)
        end = TurnEnded(turn=turn, cause="waiting")
        code = self.do(lambda state: decisions.of_turn(state, turn, [offer, end]), "ada")
        assert code == ("" if is_open else "turn_over")
        if is_open:
            self.offered = {place: one["step"]["id"] for place, one in enumerate(operations)}

    @precondition(lambda self: self.state.open_turn is None)
    @rule(who=PEOPLE)
    def ask_and_hear(self, who: str) -> None:
        self.say(who)
        self.assistant(len(self.state.turns) - 1, True)
        self.look(who)

    @rule(who=PEOPLE, places=st.none() | st.sets(st.integers(0, 1), min_size=1))
    def accept(self, who: str, places: set[int] | None) -> None:
        wanted = None if places is None else sorted(places)
        code = self.do(
            lambda state: drafting.accept(state, CATALOG, seen=self.seen[who], by=who, operations=wanted), who
        )
        if not self.changed(who, code, "nothing_proposed", "operation_closed"):
            return
        taken = {self.offered.pop(place) for place in (list(self.offered) if places is None else places)}
        self.revised(who, taken)
        assert {who, "assistant"} <= set(self.state.revision.authors)

    @rule(who=PEOPLE, places=st.none() | st.sets(st.integers(0, 1), min_size=1))
    def reject(self, who: str, places: set[int] | None) -> None:
        wanted = None if places is None else sorted(places)
        if not self.do(lambda state: drafting.reject(state, operations=wanted), who):
            for place in list(self.offered) if places is None else places:
                del self.offered[place]

    @rule(who=PEOPLE)
    def cancel(self, who: str) -> None:
        assert self.do(lambda state: decisions.cancel(state, None), who) == ""
        assert self.state.open_turn is None

    @rule(ms=st.sampled_from([1, HELD_MS // 2, HELD_MS]))
    def wait(self, ms: int) -> None:
        self.now_ms += ms

    @rule()
    def sweep(self) -> None:
        late = self.state.turn is not None and self.state.turn.until_ms <= self.now_ms
        assert self.do(lambda state: decisions.interrupted(state, self.now_ms), "ada") == ""
        assert not late or self.state.open_turn is None

    @rule()
    def restart(self) -> None:
        self.library = again(self.records)

    @invariant()
    def holds(self) -> None:
        state = self.state
        assert not state.damaged
        assert state.current == self.current
        assert list(state.revisions) == list(self.steps)
        newest = max(state.revisions)
        assert step_ids(state.revisions[newest].text) == self.steps[newest]
        assert {number: one.parent for number, one in state.revisions.items()} == self.parents
        assert [one.event.text for one in state.messages] == self.said  # type: ignore[union-attr]
        assert (state.proposal.open if state.proposal else []) == sorted(self.offered)
        events = [entry.event for entry in self.library.entries(ID, 0, 10_000)]
        begun_ = [one.turn for one in events if isinstance(one, TurnStarted)]
        ended = [one.turn for one in events if isinstance(one, TurnEnded)]
        assert len(set(begun_)) == len(begun_)
        assert len(set(ended)) == len(ended)
        assert set(begun_) - set(ended) == ({state.open_turn} if state.open_turn else set())
        assert again(self.records).known(ID) == state


Talk.TestCase.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestTalk = Talk.TestCase


def changed(library: Library, *steps: Callable[[Conversation], Sequence[Event]]) -> Conversation:
    """The conversation after these commands, one after the other."""
    for step in steps:
        records = added(library, ID, step(library.known(ID)), by="ada", now_ms=2_000)
        for key, value in records.items():
            assert library.take(key, value) == ID
    return library.known(ID)


def a_talk() -> Library:
    return again(begun(Library(), ID, decisions.start("A talk", None, None), by="ada", now_ms=1_000))


def adding(id_: str) -> Callable[[Conversation], Sequence[Event]]:
    operation = {"op": "add_step", "step": {"id": id_, "print": {"text": "'x'"}}}
    return lambda state: drafting.edit(state, [operation], CATALOG, seen=state.current, by="ada")


def undo(state: Conversation) -> Sequence[Event]:
    return drafting.undo(state, seen=state.current)


def redo(state: Conversation) -> Sequence[Event]:
    return drafting.redo(state, seen=state.current)


def test_a_redo_goes_to_the_branch_that_was_left() -> None:
    library = a_talk()
    first = changed(library, adding("a")).current
    changed(library, undo, adding("b"))
    changed(library, lambda state: drafting.branch(state, first, seen=state.current), undo)
    assert changed(library, redo).current == first


def test_what_is_left_of_a_proposal_still_waits() -> None:
    library = a_talk()
    operations = [{"op": "add_step", "step": {"id": id_, "print": {"text": "'x'"}}} for id_ in "abc"]

    def offer(state: Conversation) -> Sequence[Event]:
        made = drafting.applied(state.revision, operations, CATALOG)
        return [drafting.proposed(made, proposal="p", turn="", base=state.current)]

    state = changed(library, offer, lambda state: drafting.reject(state, operations=[1]))
    assert state.proposal is not None
    assert state.proposal.open == [0, 2]
    state = changed(
        library, lambda state: drafting.accept(state, CATALOG, seen=state.current, by="bob", operations=[2])
    )
    assert step_ids(state.revision.text) == {"c"}
    assert state.proposal is not None
    assert state.proposal.open == [0]
    assert state.revision.authors == ("ada", "bob")  # no turn of the assistant made the proposal
    state = changed(library, undo, lambda state: drafting.accept(state, CATALOG, seen=state.current, by="ada"))
    assert step_ids(state.revision.text) == {"a"}
    assert state.proposal is None
