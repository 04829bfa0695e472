"""Edits of one thing that is named: rename it, give it a title; attempts, runs for a key, who is asked."""

from __future__ import annotations

import re

from streamflow.authoring.drafter.actions import Actions
from streamflow.authoring.drafter.lengths import length_at, number_at
from streamflow.authoring.drafter.notes import Notes
from streamflow.authoring.drafter.process import Ask
from streamflow.authoring.drafter.stems import content, stem, stems_of
from streamflow.authoring.drafter.tokens import Token, words_at, wordset
from streamflow.authoring.editor.part import Changes, Part, bare
from streamflow.authoring.editor.places import place_at
from streamflow.definition.model import Step

_NO_NAME = wordset("and or , in of for with on at by when if because everywhere instead to from")
_WHOLE = wordset("process workflow definition draft flow")
_ONE_RUN = (
    re.compile(
        r"^((allow|have|keep|start) )?(only |at most |no more than )?(one|a single|1) (open |running )?"
        r"(run|process|case)( (per|for each|for every|for an?|of an?) (?P<key>\w+)| at a time| at once)+$"
    ),
    re.compile(
        r"^(do not|never) (start|begin)( it| this)? (again|another run|a second run|twice)( for the same \w+)? "
        r"(while|as long as) (it|one|a run|the run|another|another one) is (still )?(open|running)$"
    ),
)


def renamed(part: Part) -> Changes | None:
    """The operations of `rename A to B`; None if it is something else."""
    if part.first != "rename":
        return None
    to = part.find("to", "as", "into", start=1)
    if to is None or to[1] == len(part.tokens) or to[0] == 1:
        return part.ask(f"What is renamed, and to which name: `{part.said()}`?")
    what, name = part.tokens[1 : to[0]], part.tokens[to[1] :]
    words = [word for token in name if token.kind != "mark" for word in re.findall(r"[a-z0-9]+", token.lower)]
    if not words or any(token.is_in(_NO_NAME) for token in name):
        return part.ask(f"What is the new name: `{part.said(name)}`?", name)
    if _is_whole(what):
        return [{"op": "set_field", "field": "name", "value": "-".join(words)}]
    trigger = [one for one in part.scene.definition.on if [token.lower for token in bare(what)][-1:] == [one.id]]
    if trigger and trigger[0].id not in part.scene.steps:
        return [{"op": "rename", "what": trigger[0].id, "to": "_".join(words)}]
    step = part.naming.one(what, "is renamed")
    new = "_".join(words)
    if step is None:
        return []
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", new):
        return part.ask(f"An id has small letters, digits and `_`, and begins with a letter. What is `{new}` called?")
    return [{"op": "rename", "what": step.id, "to": new}]


def titled(part: Part) -> Changes | None:
    """The operations of `set the title of X to 'Y'`; None if it is something else."""
    found = part.find("title", "description")
    quoted = [token for token in part.tokens if token.kind == "quoted"]
    if part.first not in {"set", "change", "give"} or found is None or len(quoted) != 1:
        return None
    field = part.tokens[found[0]].lower
    what = [
        token
        for token in part.tokens[1:]
        if token.kind != "quoted" and not token.is_in({"title", "description", "to", "of", "the", "a"})
    ]
    if not what or _is_whole(what):
        return [{"op": "set_field", "field": field, "value": quoted[0].text}]
    step = part.naming.one(what, "gets the title") if field == "title" else None
    if step is None:
        return part.ask(f"What is meant by `{part.said(what)}`?", what) if field != "title" else []
    return [{"op": "set_field", "step": step.id, "field": "title", "value": quoted[0].text}]


def attempted(part: Part) -> Changes | None:
    """The operations of `try X three times`; None if it is something else."""
    if part.first not in {"try", "attempt", "retry", "repeat"}:
        return None
    tokens = [token for token in part.tokens[1:] if not token.is_in({"at", "most", "up", "to", "only", "in", "all"})]
    count, words = None, list[Token]()
    at = 0
    while at < len(tokens):
        number = number_at(tokens, at)
        if tokens[at].is_in({"once", "twice"}):
            count, at = {"once": 1, "twice": 2}[tokens[at].lower], at + 1
        elif number is not None and number.isdigit() and words_at(tokens, at + 1, "times", "attempts"):
            count, at = int(number), at + 2
        else:
            words, at = [*words, tokens[at]], at + 1
    if count is None or not 1 <= count <= 1000:
        return part.ask(f"How often is it tried, the first time included: `{part.said()}`?")
    if part.first in {"retry", "repeat"}:
        said = part.said(words)
        span = (part.tokens[0].start, part.tokens[-1].end)
        choices = [part.notes.instead(span, f"try {said} {number} times") for number in (count, count + 1)]
        part.notes.ask("ambiguous", "How often is it tried, the first time included?", part.tokens, choices)
        return []
    words, pause = _apart(words)
    step = part.naming.one(words, "is tried so often", lambda step: step.call is not None)
    if step is None:
        return []
    changes: Changes = [{"op": "set_field", "step": step.id, "field": "call.retry.attempts", "value": count}]
    if pause is not None:
        changes.append({"op": "set_field", "step": step.id, "field": "call.retry.backoff", "value": pause})
    return changes


def _apart(words: list[Token]) -> tuple[list[Token], str | None]:
    """`words` without `a second apart`, and that length."""
    for at in range(len(words)):
        length = length_at(words, at)
        if length is not None and words_at(words, at + length.tokens, "apart") and at + length.tokens + 1 == len(words):
            return [token for token in words[:at] if token.kind != "mark"], length.text
    return words, None


def moved(part: Part) -> Changes | None:
    """The operations of `move X after Y`; None if it is something else."""
    if part.first != "move":
        return None
    found = part.find("to after", "after", "behind")
    if found is None or found[0] < 2 or found[1] == len(part.tokens):
        return part.ask(f"After which step is it moved: `{part.said()}`?")
    step = part.naming.one(part.tokens[1 : found[0]], "is moved")
    place = place_at(part, part.tokens[found[1] :]) if step is not None else None
    if step is None or place is None:
        return []
    if len(place.needs) != 1 or len(step.needs) > 1:
        return part.ask(f"`{step.id}` comes after several steps, or would. Which of its ways is moved?")
    return [{"op": "move_branch", "step": step.id, "to": place.needs[0]}]


def one_run(part: Part) -> Changes | None:
    """The operations of `only one run per order`; None if it is something else."""
    text = " ".join(token.lower for token in part.tokens)
    match = next((found for pattern in _ONE_RUN if (found := pattern.match(text)) is not None), None)
    if match is None:
        return None
    key = match.groupdict().get("key")
    about = {*part.scene.entry.stems, *stems_of("key")}
    if key is not None and stem(key) not in about:
        return part.ask(f"Runs are distinguished by the key of the event. Is `{key}` that key?")
    return [{"op": "set_field", "field": "runs", "value": "one"}]


def asked_people(part: Part) -> Changes | None:
    """The operations of `let the board decide instead of sales`; None if it is something else."""
    sides = part.instead_of()
    if sides is None or not part.begins("ask", "let", "have", "get"):
        return None
    new, old = sides
    fits = [step for step in part.scene.steps.values() if step.approval is not None and _names(step, old)]
    if not fits:
        return None
    if len(fits) > 1:
        part.naming.one(old, "is meant", lambda step: step in fits)
        return []
    notes = Notes(part.notes.sentence)
    actions = Actions(part.scene.vocabulary, notes, lambda text: "new", part.scene.entry.name, part.scene.entry.stems)
    node = actions.node(new)
    if not isinstance(node, Ask) or notes.blocking:
        return part.ask(f"Who is asked: `{part.said(new)}`?", new)
    changes: Changes = [{"op": "set_field", "step": fits[0].id, "field": "approval.who", "value": node.who}]
    if node.within is not None:
        changes.append({"op": "set_field", "step": fits[0].id, "field": "approval.within", "value": node.within})
        if fits[0].approval is not None and fits[0].approval.forever:
            changes.append({"op": "set_field", "step": fits[0].id, "field": "approval.forever", "value": None})
    return changes


def _names(step: Step, tokens: list[Token]) -> bool:
    """Whether `tokens` name who is asked, and nothing else."""
    assert step.approval is not None
    who = {one for name in step.approval.who for one in stems_of(name.replace("-", " "))}
    wanted = [stem(token.lower) for token in content(tokens)]
    return bool(wanted) and all(one in who for one in wanted)


def _is_whole(tokens: list[Token]) -> bool:
    words = bare(tokens)
    return bool(words) and all(token.is_in(_WHOLE | {"name", "of"}) for token in words)
