"""Why a way was taken, in words: for what people read of it, and for fields such as `reasons`."""

from __future__ import annotations

from collections.abc import Sequence

from streamflow.authoring.drafter.outputs import outcome_of
from streamflow.authoring.drafter.process import Ask, Await, Do, Node

UNLESS = "unless "
_ANSWERED = {
    frozenset({"approved"}): "it was approved",
    frozenset({"rejected"}): "it was rejected",
    frozenset({"timeout"}): "nobody answered in time",
    frozenset({"rejected", "timeout"}): "it was not approved",
    frozenset({"approved", "timeout"}): "it was not rejected",
    frozenset({"approved", "rejected"}): "it was decided",
}


def reason_of(outcomes: frozenset[str], node: Node) -> str:
    """Words for these outcomes of a step, where the text says `otherwise`."""
    if isinstance(node, Ask):
        return _ANSWERED.get(outcomes, "it was asked")
    if isinstance(node, Await):
        came = [event.name for event in node.events if outcome_of(event) in outcomes]
        ways = [f"{' or '.join(came)} came"] if came else []
        return " or ".join([*ways, *(["nothing came in time"] if "timeout" in outcomes else [])])
    name = node.entry.name if isinstance(node, Do) else "it"
    return " or ".join(f"{name} {'failed' if one == 'failure' else 'succeeded'}" for one in sorted(outcomes))


def otherwise(reasons: Sequence[str]) -> str:
    """Words for the case that no condition holds, each of which is in words here."""
    if len(reasons) > 1:
        return f"none of these holds: {'; '.join(reasons)}"
    (reason,) = reasons
    if reason.startswith(UNLESS):
        return reason.removeprefix(UNLESS)
    words = reason.split()
    verbs = [at for at, word in enumerate(words) if word.lower() in {"is", "are"}]
    if len(verbs) == 1 and not {"and", "or", "not", "no", "nor", "never"} & {word.lower() for word in words}:
        return " ".join([*words[: verbs[0] + 1], "not", *words[verbs[0] + 1 :]])
    return f"it is not so that {reason}"
