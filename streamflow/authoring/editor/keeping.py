"""Edits that are denied: `do not remove X` changes nothing, and is no removal of what it names."""

from __future__ import annotations

from streamflow.authoring.drafter.process import Do
from streamflow.authoring.drafter.stems import stem, stems_of
from streamflow.authoring.drafter.tokens import words_at, wordset
from streamflow.authoring.editor.part import Changes, Part
from streamflow.authoring.editor.removal import without_any_more

_DENYING = ("not", "never", "no longer", "stop", "without", "avoid", "under no circumstances", "nobody should")
_BESIDE = wordset("want wish like need intend plan have going ever yet please to be simply just i you we")
_EDITS = wordset(
    "remove delete drop skip rename replace move change modify edit alter adjust raise lower increase reduce extend "
    "shorten set swap exchange retitle"
)
_MODAL = wordset("must should shall may")
_STEMS = frozenset(stem(one) for one in _EDITS)


def kept(part: Part) -> Changes | None:
    """A question about an edit that a negation stands before; None if there is none."""
    for at in range(len(part.tokens)):
        if not (taken := words_at(part.tokens, at, *_DENYING)):
            continue
        verb = at + taken
        while verb < len(part.tokens) and part.tokens[verb].is_in(_BESIDE):
            verb += 1
        if verb < len(part.tokens) and _is_edit(part, verb) and not _is_step(part, verb):
            said = part.said(part.tokens[at:])
            return part.ask(f"`{said}` says what stays as it is, so nothing is changed. What should change?")
    return None


def _is_edit(part: Part, at: int) -> bool:
    """Whether the word at `at` says that something is changed: `remove`, `removing`, or `removed` after `be`."""
    token = part.tokens[at]
    passive = part.tokens[at - 1].is_in({"be"}) and any(one.is_in(_MODAL) for one in part.tokens[:at])
    participle = token.lower.endswith("ing") or passive
    if part.tokens[at - 1].is_in({"be"}) and not passive:
        return False
    return token.is_in(_EDITS) or (token.kind == "word" and participle and stem(token.lower) in _STEMS)


def _is_step(part: Part, at: int) -> bool:
    """Whether the word is what a step of the draft does, which is named so: `do not delete the asset any more`."""
    found = part.naming.meant(without_any_more(part.tokens[at:]))
    if len(found) != 1:
        return False
    node = part.scene.nodes.get(found[0].id)
    own = node.entry.stems if isinstance(node, Do) else frozenset[str]()
    return stem(part.tokens[at].lower) in own | stems_of(found[0].id.replace("_", " "))
