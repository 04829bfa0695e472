"""Changes of sessions and of saved views; see `changes`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from streamflow.access.changes import Change, add_user, name_of
from streamflow.access.directory import Directory
from streamflow.access.records import Family, Value, View, shown
from streamflow.errors import Rejected

_MOST_SESSIONS = 100  # of one user
_MOST_VIEWS = 200
_MOST_VIEW_CHARS = 4000
_DAY_MS = 86_400_000
_BY_PROVIDER = "provider"  # why a session was ended


def sign_in(
    directory: Directory,
    now_ms: int,
    *,
    id: str,
    issuer: str,
    subject: str,
    name: str,
    create: bool,
) -> Change:
    """Finds the user whom a provider knows as `subject`, or adds one without any right. `name` counts only then: a
    provider's user who takes another name stays who they are here. The result is the User.

    Raises Rejected: `user_unknown` where users are not added so, and as `add_user`."""
    known = directory.subject(issuer, subject)
    if known is not None:
        return Change(records={}, result=known)
    if not create:
        raise Rejected(
            "user_unknown",
            "The provider's user is not a user of this installation. Ask an admin: `streamflow access users add "
            "--subject`.",
        )
    return add_user(directory, now_ms, id=id, name=name, issuer=issuer, subject=subject)


def begin_session(
    directory: Directory,
    now_ms: int,
    *,
    id: str,
    user: str,
    lasts_ms: int,
    key: str | None = None,
    groups: Sequence[str] = (),
    provider_session: str = "",
) -> Change:
    """Begins a session of a user (by id). Sessions that ended a day ago are forgotten; so are those of the user that
    are too many: first those that were ended, then those that were used longest ago. The result is the Family.

    Raises Rejected: `user_unknown`."""
    owner = directory.require_user(user)
    made = Family(
        id=id,
        user=owner.id,
        key=key,
        groups=tuple(sorted({group for group in groups if directory.named(group) is None})),
        provider_session=provider_session,
        rotated_ms=now_ms,
        created_ms=now_ms,
        expires_ms=now_ms + lasts_ms,
    )
    records: dict[str, Value | None] = {
        f"family/{one.id}": None for one in directory.families() if one.expires_ms < now_ms - _DAY_MS
    }
    own = [one for one in directory.families() if one.user == owner.id and f"family/{one.id}" not in records]
    own.sort(key=lambda one: (one.revoked_ms is None, one.rotated_ms, one.id))
    records |= {f"family/{one.id}": None for one in own[: max(0, len(own) + 1 - _MOST_SESSIONS)]}
    records[f"family/{id}"] = made
    return Change(records=records, action="session.begun", target=owner.name, after=shown(made), result=made)


def refresh_session(
    directory: Directory, now_ms: int, *, family: Family, generation: int, grace_ms: int, idle_ms: int
) -> Change:
    """The session with its next refresh token good. The token before is accepted once more for `grace_ms` and answered
    in the same way, because an answer may be lost; any other old one is a copy, and ends the session. The result is the
    Family.

    Raises Rejected (`session_ended`); the refusal of the change is `refresh_reused`."""
    ended = Rejected("session_ended", "The session of this token has ended. Log in again.")
    if generation > family.generation:
        raise ended
    if generation == family.generation:
        if now_ms - family.rotated_ms > idle_ms:
            raise ended
        following = msgspec.structs.replace(family, generation=generation + 1, rotated_ms=now_ms)
        return Change(records={f"family/{family.id}": following}, result=following)
    if generation == family.generation - 1 and now_ms - family.rotated_ms < grace_ms:
        return Change(records={}, result=family)
    change = end_session(directory, now_ms, id=family.id, why="reuse")
    refusal = Rejected(
        "refresh_reused",
        "This refresh token was used before, so it may have been copied: the session is ended. Log in again.",
    )
    return replace(change, refusal=refusal)


def end_session(directory: Directory, now_ms: int, *, id: str, why: str) -> Change:
    """Ends a session. Raises Rejected (`session_unknown`)."""
    found = directory.family(id)
    if found is None:
        raise Rejected(
            "session_unknown", f"There is no session {id[:100]!a}. `streamflow access sessions list` shows all."
        )
    if found.revoked_ms is not None:
        return Change(records={}, result=found)
    ended = msgspec.structs.replace(found, revoked_ms=now_ms, reason=why)
    return Change(
        records={f"family/{id}": ended},
        action="session.ended",
        target=name_of(directory, found.user),
        before=shown(found),
        after=shown(ended),
        result=ended,
    )


def end_provider_sessions(directory: Directory, now_ms: int, *, issuer: str, subject: str, session: str) -> Change:
    """Ends what a provider's log-out ends: the sessions that were begun in its `session`, or where it names none, all
    that log-ins as `subject` began. The result is how many."""
    ended: dict[str, Value | None] = {}
    names = set()
    for family in directory.families():
        owner = directory.user(family.user)
        if owner is None or owner.issuer != issuer or family.revoked_ms is not None or not family.provider_session:
            continue
        if (session and family.provider_session != session) or (subject and owner.subject != subject):
            continue
        ended[f"family/{family.id}"] = msgspec.structs.replace(family, revoked_ms=now_ms, reason=_BY_PROVIDER)
        names.add(owner.name)
    if not ended:
        return Change(records={}, result=0)
    facts = {"sessions": sorted(key.removeprefix("family/") for key in ended), "reason": _BY_PROVIDER}
    return Change(
        records=ended, action="session.ended", target=", ".join(sorted(names)), after=facts, result=len(ended)
    )


def save_view(directory: Directory, now_ms: int, *, user: str, view: View) -> Change:
    """Saves a view of a user (by id). Raises Rejected: `view_invalid`, `too_many_views`."""
    if len(view.name) > 200 or len(view.query) > _MOST_VIEW_CHARS or re.fullmatch(r"[a-z0-9-]{1,40}", view.id) is None:
        raise Rejected("view_invalid", "The view's name, query or id is too long or has other characters. Shorten it.")
    key = f"view/{user}/{view.id}"
    if key not in directory.values and sum(1 for _ in directory.views(user)) >= _MOST_VIEWS:
        raise Rejected("too_many_views", f"There are {_MOST_VIEWS} views, which is the limit. Delete some.")
    return Change(records={key: view}, result=view)


def remove_view(directory: Directory, now_ms: int, *, user: str, id: str) -> Change:
    """Deletes a view of a user (by id). Raises Rejected (`view_unknown`)."""
    key = f"view/{user}/{id}"
    if key not in directory.values:
        raise Rejected("view_unknown", f"You have no saved view {id[:100]!a}. List your views.")
    return Change(records={key: None})
