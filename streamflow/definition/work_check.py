"""What can be wrong with the work of a single step: its kind, its limits, and names that are written twice."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from streamflow.definition.duration import parse_ms
from streamflow.definition.graph import OUTSIDE, kind_of
from streamflow.definition.model import KINDS, Approval, Branch, Call, Delay, Retry, Step, Wait
from streamflow.definition.plan import OUTCOME_WORDS
from streamflow.definition.schema_types import schema_fault
from streamflow.errors import Problem

# ten years: what is longer is a mistake, and timers stay far from the largest integer
LONGEST_MS = 10 * 365 * 86_400_000


def work_problems(step: Step, at: str) -> Iterator[Problem]:
    """Every problem of the work of `step`, which is written at the pointer `at`, but for what its expressions and the
    catalog say."""
    kinds = [kind for kind in KINDS if getattr(step, kind) is not None]
    if len(kinds) != 1:
        found = " and ".join(kinds) or "none"
        fix = "Make a step of each." if kinds else f"Add one of {', '.join(KINDS)}."
        yield Problem("SF214", at, f"expected exactly one kind of work in step `{step.id}` but found {found}.", fix)
    if step.wait is not None:
        yield from _wait(step.wait, at + "/wait")
    if step.choose is not None:
        yield from _choose(step.choose, at + "/choose")
    if step.set is not None:
        yield from _twice([value.name for value in step.set], at + "/set", "name", "value")
    if step.emit is not None:
        yield from _twice([value.name for value in step.emit.data], at + "/emit/data", "name", "field")
    if step.delay is not None:
        yield from _delay(step.delay, at + "/delay")
    if step.call is not None:
        yield from _call(step.call, at + "/call")
    if step.run is not None:
        yield from _twice([value.name for value in step.run.with_], at + "/run/with", "name", "value")
        yield from _length(step.run.within, at + "/run/within")
    if step.approval is not None:
        yield from _approval(step.approval, at + "/approval")
    if step.each is not None and kind_of(step) not in OUTSIDE:
        fix = f"Only the kinds {' and '.join(OUTSIDE)} are; map and filter make a list in one go."
        yield Problem(
            "SF227",
            at + "/each",
            f"a step of kind {kind_of(step) or 'none'} cannot be done for each item of a list.",
            fix,
        )
    if step.undo is not None:
        if kind_of(step) not in OUTSIDE:
            fix = f"Remove `undo`; only steps of the kinds {' and '.join(OUTSIDE)} are undone."
            yield Problem(
                "SF228",
                at + "/undo",
                f"a step of kind {kind_of(step) or 'none'} has nothing done outside, so there is nothing to undo.",
                fix,
            )
        yield from _call(step.undo, at + "/undo")


def _wait(wait: Wait, at: str) -> Iterator[Problem]:
    yield from _twice([clause.id for clause in wait.events], at + "/events", "id", "event of this wait")
    yield from _reserved([clause.id for clause in wait.events], at + "/events")
    yield from _limit(wait, at)
    for index, clause in enumerate(wait.events):
        if clause.key is not None:
            where = f"{at}/events/{index}/key"
            fix = "Remove `key`; an event is matched to its run by the key that the catalog declares for it."
            yield Problem("SF224", where, "a run can only wait for events under its own key.", fix)
    for field in ("within", "keep"):
        yield from _length(getattr(wait, field), f"{at}/{field}", allow_zero=field == "keep")


def _limit(limited: Wait | Approval, at: str) -> Iterator[Problem]:
    if (limited.within is None) == (not limited.forever):
        found = "both" if limited.forever else "neither"
        fix = "Say how long to wait, such as within: 24h; keep one of the two."
        yield Problem("SF215", at, f"expected either `within` or `forever: true` but found {found}.", fix)


def _choose(branches: list[Branch], at: str) -> Iterator[Problem]:
    yield from _twice([branch.id for branch in branches], at, "id", "branch")
    yield from _reserved([branch.id for branch in branches], at)
    for index, branch in enumerate(branches[:-1]):
        if branch.if_ is None:
            yield Problem(
                "SF220",
                f"{at}/{index}",
                f"the branch `{branch.id}` has no `if`, so the branches after it are never taken.",
                "Move it to the end or give it an `if`.",
            )
    if all(branch.if_ is not None for branch in branches):
        fix = "Add a last branch without `if`, such as {id: otherwise}."
        yield Problem(
            "SF221",
            at,
            "when no `if` holds, no branch is taken, and the steps that need one are skipped.",
            fix,
            "warning",
        )


def _delay(delay: Delay, at: str) -> Iterator[Problem]:
    if (delay.duration is None) == (delay.until is None):
        found = "neither" if delay.until is None else "both"
        yield Problem(
            "SF216",
            at,
            f"expected either `for` or `until` but found {found}.",
            "Write for: 2h, or until: with a point in time.",
        )
    yield from _length(delay.duration, at + "/for")


def _call(call: Call, at: str) -> Iterator[Problem]:
    yield from _twice([value.name for value in call.with_], at + "/with", "name", "value")
    for field in ("timeout", "queue", "within"):
        yield from _length(getattr(call, field), f"{at}/{field}")
    for field in ("timeout", "queue"):
        yield from _beyond(getattr(call, field), call.within, f"{at}/{field}", "within")
    if call.retry is not None:
        yield from _retry(call.retry, call.within, at + "/retry")


def _retry(retry: Retry, within: str | None, at: str) -> Iterator[Problem]:
    yield from _twice([code.id for code in retry.codes], at + "/codes", "id", "error code")
    yield from _length(retry.longest, at + "/longest")
    pauses = [
        (retry.backoff, at + "/backoff"),
        *((code.backoff, f"{at}/codes/{index}/backoff") for index, code in enumerate(retry.codes)),
    ]
    for pause, place in pauses:
        yield from _length(pause, place, allow_zero=True)
        yield from _beyond(pause, retry.longest, place, "longest")
        yield from _beyond(pause, within, place, "within")


def _approval(approval: Approval, at: str) -> Iterator[Problem]:
    yield from _limit(approval, at)
    yield from _length(approval.within, at + "/within")
    for index, who in enumerate(approval.who):
        if who in approval.who[:index]:
            yield Problem("SF223", f"{at}/who/{index}", f"`{who}` is written twice.", "Remove one of them.")
        elif _looks(who) in map(_looks, approval.who[:index]):
            text = f"`{who}` looks like another name here, and only exactly that name may decide."
            yield Problem("SF238", f"{at}/who/{index}", text, "Remove one of them, or correct its letters.")
        elif who != who.strip() or not who.isprintable() or not unicodedata.is_normalized("NFC", who):
            text = f"`{who}` has spaces around it or letters that are not seen, and only exactly that name may decide."
            yield Problem("SF238", f"{at}/who/{index}", text, f"Write `{_plain(who)}`.")
    reason = schema_fault(approval.form) if approval.form is not None else None
    if reason is not None:
        yield Problem(
            "SF235",
            at + "/form",
            f"the form is no JSON Schema: {reason}.",
            "Write one such as {type: object, properties: {note: {type: string}}}.",
        )


def _looks(name: str) -> str:
    """What is seen of a name, without case."""
    return unicodedata.normalize("NFKC", _plain(name)).casefold()


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", "".join(letter for letter in name if letter.isprintable()).strip())


def _beyond(text: str | None, limit: str | None, at: str, field: str) -> Iterator[Problem]:
    if text is not None and limit is not None and parse_ms(text) > parse_ms(limit):
        yield Problem(
            "SF233",
            at,
            f"{text} is longer than `{field}`, which is {limit}, so it never takes effect.",
            f"Write less, or a longer `{field}`.",
        )


def _length(text: str | None, at: str, allow_zero: bool = False) -> Iterator[Problem]:
    if text is None:
        return
    ms = parse_ms(text)
    if ms > LONGEST_MS or (ms == 0 and not allow_zero):
        yield Problem(
            "SF232",
            at,
            f"expected a length of time up to ten years, and not zero, but found {text}.",
            "Write one such as 30s, 24h or 7d.",
        )


def _twice(names: list[str], at: str, field: str, what: str) -> Iterator[Problem]:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Problem(
                "SF223",
                f"{at}/{index}/{field}",
                f"another {what} is already called `{name}`.",
                "Give each its own name.",
            )


def _reserved(names: list[str], at: str) -> Iterator[Problem]:
    for index, name in enumerate(names):
        if name in OUTCOME_WORDS:
            yield Problem(
                "SF219", f"{at}/{index}/id", f"`{name}` has a meaning of its own as an outcome.", "Choose another id."
            )
