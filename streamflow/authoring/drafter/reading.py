"""Clauses as a process: what is done in which order, and after which outcome."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from streamflow.authoring.drafter.actions import ENDLESS, Actions, without_phrase
from streamflow.authoring.drafter.attempts import Delay, ask_when, delay_of
from streamflow.authoring.drafter.blocks import Block, Blocks, Opened
from streamflow.authoring.drafter.clauses import Clause, is_postfix
from streamflow.authoring.drafter.comparisons import Condition, negated, unread
from streamflow.authoring.drafter.conditions import read_condition
from streamflow.authoring.drafter.fields import Field, fields_of
from streamflow.authoring.drafter.lengths import length_at, without_limit
from streamflow.authoring.drafter.named_outcomes import outcomes_named
from streamflow.authoring.drafter.notes import Notes, no_field
from streamflow.authoring.drafter.outcomes import is_complement, is_negated, parts_of
from streamflow.authoring.drafter.outputs import about_of, fields_of_steps, outcomes_of
from streamflow.authoring.drafter.process import Always, Ask, Await, Decide, Do, Handler, Node, Pause, Way
from streamflow.authoring.drafter.reasons import UNLESS
from streamflow.authoring.drafter.start import Absence, without_negation
from streamflow.authoring.drafter.stems import content, stem
from streamflow.authoring.drafter.tokens import Token, Tokens, span_of, tokens_of, words_at
from streamflow.authoring.drafter.vocabulary import Entry, Vocabulary
from streamflow.definition.catalog import EventSpec


class Reader:
    """Reads the clauses after the start of a process that `entry` starts."""

    def __init__(self, notes: Notes, vocabulary: Vocabulary, entry: Entry, around: frozenset[str]) -> None:
        assert isinstance(entry.spec, EventSpec)
        self.notes, self.vocabulary = notes, vocabulary
        self.root: Block = []
        self._blocks = Blocks({entry.name.split(".")[-1].lower(), "trigger"})
        self._blocks.begin(self.root, frozenset())
        self._base: Block = self.root  # where a new sentence continues
        self._cursors: list[Block] = [self.root]  # where the next action goes
        self._nodes: list[Node] = []  # those with outcomes, in the order of the text
        self._before: list[Node] = []  # those of a draft that is edited
        self._opened: Opened | None = None
        self._it: Field | None = None
        self._trigger = fields_of("trigger", entry.spec.schema_, entry.stems)
        self.known = entry.stems | around
        self.actions = Actions(vocabulary, notes, self._blocks.new_id, entry.name, entry.stems)
        self.actions.about = frozenset(stem(token.lower) for token in content(tokens_of(notes.sentence)))

    def resume(self, nodes: Sequence[Node], done: frozenset[str], taken: Iterable[str]) -> None:
        """What is read continues in a draft with the steps `nodes`, at a place where those in `done` are done. `taken`
        are the ids that there are."""
        self._before = list(nodes)
        self.actions.about |= about_of(nodes)
        self._blocks.begin(self.root, done)
        self._blocks.take(taken)

    def absent(self, absence: Absence) -> None:
        """The process begins with a wait for what does not come; what follows is done after its limit."""
        events = self.actions.events(absence.tokens)
        if events is None:
            return
        node = self._wait(events, absence.within, absence.said)
        self._append(node, self.root)
        self._base = self._handled(node, frozenset({"timeout"}), self.notes.said(absence.said))
        self._cursors = [self._base]
        self._opened = Opened(node, frozenset({"timeout"}), enclosing=self.root)

    def conditional(self, pieces: list[list[Token]]) -> None:
        """What follows is done where the conditions of the start hold; `otherwise` says what is done elsewhere."""
        found = [read_condition(piece, self._trigger) for piece in pieces]
        expr = " && ".join(f"({one.expr})" if " || " in one.expr else one.expr for one in found if one.expr)
        atoms = [atom for one in found for atom in one.atoms]
        said = " and ".join(self.notes.said(piece) for piece in pieces)
        node = Decide(id=self._blocks.new_id(f"check_{atoms[0].field.path[-1]}"), said=(0, 0), ways=[])
        self._append(node, self.root)
        way = Way(expr=expr, reason=said)
        node.ways.append(way)
        self._blocks.begin(way.block, frozenset())
        self._opened = Opened(node, enclosing=self.root)
        self._cursors = [way.block]

    def read(self, clauses: list[Clause]) -> None:
        """All clauses, in their order."""
        place = 0
        while place < len(clauses):
            clause = clauses[place]
            after = clauses[place + 1] if place + 1 < len(clauses) else None
            if clause.kind == "act":
                if after is not None and after.kind in ("if", "unless", "when") and is_postfix(clauses, place + 1):
                    blocks = self._open(after)
                    if blocks is not None:
                        self._act(clause.tokens, blocks)
                    place += 1
                else:
                    self._act(clause.tokens, self._cursors)
            elif clause.kind == "end":
                self._cursors = [self._base]
            elif clause.kind == "always":
                self._base.append(Always(id="", said=(0, 0)))
                self._cursors = [self._base]
            elif clause.kind == "else":
                chained = after is not None and after.kind in ("if", "unless")
                following = after.tokens if after is not None else []
                opened = self._chained(after) if chained and after is not None else self._otherwise(following)
                self._cursors = opened if opened is not None else [[]]  # what cannot be placed is not done
                place += int(chained)
            else:
                opened = self._open(clause)
                self._cursors = opened if opened is not None else [[]]
            place += 1

    # -- actions

    def _act(self, tokens: Tokens, blocks: list[Block]) -> None:
        if words_at(tokens, 0, "wait another", "wait again", "wait once more"):
            self._wait_again(tokens)
            return
        bare, limit = without_limit(tokens)
        last = self._nodes[-1] if self._nodes else None
        if limit is not None and not content(bare) and isinstance(last, Ask | Await) and last.within is None:
            last.within = limit
            return
        timeless, endless = without_phrase(list(tokens), ENDLESS)
        if endless and not content(timeless) and isinstance(last, Ask | Await) and last.within is None:
            last.forever = True
            return
        if (delay := delay_of(list(tokens))) is not None:
            if not self._delay(delay, blocks) or not content(delay.rest):
                return
            tokens = delay.rest
        asked = self.notes.blocking
        node = self.actions.node(tokens)
        if node is None:
            if self.notes.blocking == asked:
                self.notes.ask("not_understood", f"What is meant by `{self.notes.said(tokens)}`?", tokens)
            return
        for number, block in enumerate(blocks):
            if number:
                node = self.actions.node(tokens)  # a step for each way
                assert node is not None
            self._append(node, block)

    def _delay(self, delay: Delay, blocks: list[Block]) -> bool:
        """Time passes first; not, after a question, where it may be the limit of what it follows."""
        if any(isinstance(block[-1], Ask | Await) and block[-1].within is None for block in blocks if block):
            ask_when(self.notes, delay)
            return False
        for block in blocks:
            self._append(Pause(id=self._blocks.new_id("pause"), said=span_of(delay.said), length=delay.length), block)
        return True

    def _append(self, node: Node, block: Block) -> None:
        self._blocks.append(node, block)
        if isinstance(node, Ask | Await | Do):
            self._nodes.append(node)

    def _wait(self, events: list[Entry], within: str | None, said: Tokens) -> Await:
        names = "_".join(event.name.split(".")[-1] for event in events[:2])
        return Await(id=self._blocks.new_id(f"wait_{names}"), said=span_of(said), events=events, within=within)

    def _wait_again(self, tokens: Tokens) -> None:
        """Another wait for the same, after the limit of the last one."""
        last = next((node for node in reversed(self._nodes) if isinstance(node, Await)), None)
        rest = [token for token in tokens if not token.is_in({"another", "again", "once", "more", "wait"})]
        _, limit = without_limit(rest)
        if limit is None and rest:
            found = length_at(rest, 0)
            limit = found.text if found is not None else None
        if last is None or limit is None:
            self.notes.ask("not_understood", f"For what should it wait again: `{self.notes.said(tokens)}`?", tokens)
            return
        block = self._handled(last, frozenset({"timeout"}), "")
        last.handler(frozenset({"timeout"}), "").rejoins = True
        self._append(self._wait(last.events, limit, tokens), block)

    # -- conditions

    def _open(self, clause: Clause) -> list[Block] | None:
        """The blocks of what is done under a condition; None after a question about it."""
        said = self._reason(clause)
        asked = self.notes.blocking
        bare, limit = without_limit(clause.tokens)
        if (named := self._named(bare)) is not None:
            node, outcomes = named
            rest = clause.kind == "unless" or (len(outcomes) > 1 and is_complement(bare))
            if clause.kind == "unless":
                outcomes = outcomes_of(node) - outcomes
            return self._after(node, outcomes, said, limit, clause.tokens, rest=rest)
        found = self._data(clause.tokens)
        if found is not None:
            expr = negated(found.expr) if clause.kind == "unless" else found.expr
            return [self._branch(expr, found, said)]
        if clause.kind != "unless" and (blocks := self._event(bare, limit, clause)) is not None:
            return blocks
        if self.notes.blocking == asked:
            self._refuse(clause.tokens)
        return None

    def _named(self, tokens: Tokens) -> tuple[Node, frozenset[str]] | None:
        """The last step of which `tokens` name outcomes, and these."""
        found = ((node, outcomes_named(node, tokens, self.vocabulary, self.known)) for node in reversed(self._nodes))
        return next(((node, outcomes) for node, outcomes in found if outcomes), None)

    def _after(
        self, node: Node, outcomes: frozenset[str], said: str, limit: str | None, tokens: Tokens, *, rest: bool = False
    ) -> list[Block] | None:
        outcomes = node.unnamed(outcomes) if rest else outcomes
        if not outcomes:
            self.notes.ask("not_understood", f"No outcome is left for `{said}`. When should it be done?", tokens)
            return None
        if limit is not None and not self._limited(node, limit, said, tokens):
            return None
        if not rest and not node.take_out(outcomes):
            self.notes.ask(
                "not_understood", f"`{said}` leaves nothing of a condition before it. What is meant?", tokens
            )
            return None
        self._opened = Opened(node, outcomes, enclosing=self._blocks.home(node))
        return [self._handled(node, outcomes, said, rest=rest)]

    def _limited(self, node: Node, limit: str, said: str, tokens: Tokens) -> bool:
        """The limit that a condition names is that of the step; not, after a question, where that has another."""
        if not isinstance(node, Ask | Await | Do):
            return True
        endless = not isinstance(node, Do) and node.forever
        if endless or node.within not in (None, limit):
            text = f"`{said}` gives another limit than {node.within or 'none'} before. Which one holds?"
            self.notes.ask("ambiguous", text, tokens)
            return False
        node.within = limit
        return True

    def _handled(self, node: Node, outcomes: frozenset[str], reason: str, *, rest: bool = False) -> Block:
        handler: Handler = node.handler(outcomes, reason)
        handler.rest = rest and (handler.rest or not handler.block)
        happy = outcomes.isdisjoint({"timeout", "failure"})
        own = frozenset({node.id}) if happy else frozenset[str]()
        self._blocks.begin(handler.block, self._blocks.done_at(self._blocks.home(node), node) | own)
        return handler.block

    def _data(self, tokens: Tokens) -> Condition | None:
        """The condition on data that a phrase is, if all of it is understood."""
        found = read_condition(tokens, self._fields(), self._it)
        if found.unclear:
            for one in found.unclear:
                choices = [self.notes.instead(one.tokens, text) for text in one.instead]
                said = self.notes.said(one.tokens)
                self.notes.ask("ambiguous", f"What is meant by `{said}`: {one.why}?", one.tokens, choices)
            return None
        return found if found.atoms and not unread(found, self.known) else None

    def _branch(self, expr: str, found: Condition, said: str) -> Block:
        """A branch of the last choice, if that is about the same, else of a new one."""
        fields = frozenset(atom.field.expr for atom in found.atoms)
        self._it = found.atoms[-1].field
        block = self._base if len(self._cursors) != 1 else self._cursors[0]
        last = self._opened
        if (
            last is not None
            and isinstance(last.node, Decide)
            and last.fields == fields
            and last.enclosing[-1:] == [last.node]
        ):
            node, block = last.node, last.enclosing
        else:
            node = Decide(id=self._blocks.new_id(f"check_{found.atoms[0].field.path[-1]}"), said=(0, 0), ways=[])
            self._append(node, block)
        way = Way(expr=expr, reason=said)
        node.ways.append(way)
        self._blocks.begin(way.block, self._blocks.done_at(block, node))
        self._opened = Opened(node, fields=fields, enclosing=block)
        return way.block

    def _event(self, tokens: Tokens, limit: str | None, clause: Clause) -> list[Block] | None:
        """A condition about an event that nothing waits for yet: the process waits for it."""
        denied = is_negated(tokens)
        if not denied and clause.kind != "when":
            return None
        bare = without_negation(tokens)
        if not all(self.vocabulary.coming(part) for part in parts_of(bare) if content(part)) or not content(bare):
            return None
        events = self.actions.events(bare)
        if events is None:
            return [[]]  # asked already
        if denied and limit is None:
            said = self.notes.said(clause.tokens)
            end = span_of(clause.tokens)
            choices = [self.notes.instead(end, f"{said} within {each}", each) for each in ("1 hour", "1 day")]
            self.notes.ask("value", f"Within which time: `{said}`?", clause.tokens, choices)
            return [[]]
        node = self._wait(events, limit, clause.tokens)
        self._append(node, self._cursors[0])
        outcomes = frozenset({"timeout"}) if denied else outcomes_of(node) - {"timeout"}
        return self._after(node, outcomes, self.notes.said(clause.tokens), None, clause.tokens)

    def _otherwise(self, following: Tokens) -> list[Block] | None:
        last = self._opened
        if last is None:
            self.notes.ask("not_understood", "Otherwise than what? No condition comes before it.", following)
            return None
        if isinstance(last.node, Decide):
            way = Way(expr="")
            last.node.ways.append(way)
            self._blocks.begin(way.block, self._blocks.done_at(last.enclosing, last.node))
            return [way.block]
        handled = frozenset[str]().union(*(handler.outcomes for handler in last.node.handlers))
        left = outcomes_of(last.node) - handled
        if not left:
            self.notes.ask("not_understood", "Otherwise than what? Every outcome is already used.", last.node.said)
            return None
        return [self._handled(last.node, left, "", rest=True)]

    def _chained(self, clause: Clause) -> list[Block] | None:
        """Another condition of the last choice: `otherwise, if ...`."""
        last = self._opened
        found = self._data(clause.tokens)
        if last is None or not isinstance(last.node, Decide) or found is None:
            if last is not None and found is not None and self._named(clause.tokens) is None:
                blocks = self._otherwise(clause.tokens)  # after an outcome: in the other cases, if it holds
                if blocks is None:
                    return None
                self._cursors = blocks
            return self._open(clause)
        expr = negated(found.expr) if clause.kind == "unless" else found.expr
        way = Way(expr=expr, reason=self._reason(clause))
        last.node.ways.append(way)
        self._blocks.begin(way.block, self._blocks.done_at(last.enclosing, last.node))
        return [way.block]

    def _reason(self, clause: Clause) -> str:
        """The condition as it was said."""
        return (UNLESS if clause.kind == "unless" else "") + self.notes.said(clause.tokens)

    def _refuse(self, tokens: Tokens) -> None:
        found = read_condition(tokens, self._fields(), self._it)
        left = unread(found, self.known) or list(tokens)
        said = self.notes.said(tokens)
        self.notes.ask("unknown", no_field(said), left if len(left) > 1 else tokens)

    # -- what is known where

    def _fields(self) -> list[Field]:
        """The fields that may be read where the next action stands, the newest first."""
        known = self._blocks.done_at(self._cursors[0])
        nodes = [*self._before, *self._nodes]
        return [*fields_of_steps([node for node in reversed(nodes) if node.id in known]), *self._trigger]
