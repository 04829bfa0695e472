"""The outcomes of a step that a phrase names: `they approve it`, `it is delivered`, `that fails`."""

from __future__ import annotations

from streamflow.authoring.drafter.outcomes import answer_of, done_of, is_negated, parts_of, waited_of
from streamflow.authoring.drafter.outputs import outcome_of, outcomes_of, verbal
from streamflow.authoring.drafter.process import Ask, Await, Do, Node
from streamflow.authoring.drafter.stems import alike, content, stem, stems_of
from streamflow.authoring.drafter.tokens import Tokens
from streamflow.authoring.drafter.vocabulary import Vocabulary


def outcomes_named(node: Node, tokens: Tokens, vocabulary: Vocabulary, known: frozenset[str]) -> frozenset[str] | None:
    """The outcomes of `node` that `tokens` name; None if they name none. `known` are the stems of what the process is
    about, which add nothing."""
    if isinstance(node, Ask):
        who = frozenset(one for name in node.who for one in stems_of(name))
        return answer_of(tokens, known | who)
    if isinstance(node, Await):
        events = _awaited(node, tokens, vocabulary)
        if events is not None:
            return events
        words = frozenset(one for event in node.events for one in (*event.stems, *verbal(event)))
        found = waited_of(tokens, known | words)
        return outcomes_of(node) - {"timeout"} if found is not None and "came" in found else found
    if isinstance(node, Do) and node.entry.kind == "operation":
        return done_of(tokens, known | node.entry.stems)
    return None


def _awaited(node: Await, tokens: Tokens, vocabulary: Vocabulary) -> frozenset[str] | None:
    """The events of a wait that a phrase says have come."""
    if is_negated(tokens):
        return None
    found: set[str] = set()
    for part in parts_of(tokens):
        matches = [match for match in vocabulary.coming(part) if match.entry in node.events]
        wanted = [stem(token.lower) for token in content(part)]
        own = [match for match in matches if set(wanted) & (match.entry.named - match.entry.subject)] or matches
        if not own or not any(alike(one) & own[0].entry.named for one in wanted):
            return None
        found |= {outcome_of(match.entry) for match in own if match.score == own[0].score}
    return frozenset(found) or None
