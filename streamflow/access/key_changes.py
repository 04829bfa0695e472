"""Changes of API keys; see `changes`."""

from __future__ import annotations

import msgspec

from streamflow.access.changes import Change, name_of
from streamflow.access.directory import Directory
from streamflow.access.keys import PREFIX
from streamflow.access.records import ApiKey, KeyUse, shown
from streamflow.errors import Rejected

_MOST_KEYS = 100
_MOST_ENDED_KEYS = 100  # of one user, that are kept for people to look at


def add_key(
    directory: Directory,
    now_ms: int,
    *,
    id: str,
    digest: str,
    user: str,
    name: str,
    expires_ms: int | None = None,
) -> Change:
    """Adds an API key to a user (by name or id); of its secret there is only the digest. Of the user's keys that were
    revoked or have expired the newest are kept, so that the topic stays small; the audit has all. The result is the
    ApiKey.

    Raises Rejected: `user_unknown`, `user_disabled`, `expiry_past`, `too_many_keys`."""
    owner = directory.require_user(user)
    if owner.disabled:
        raise Rejected("user_disabled", f"The user {owner.name} is disabled. Enable the user first.")
    if expires_ms is not None and expires_ms <= now_ms:
        raise Rejected("expiry_past", "The key would have expired already. Give a later time.")
    own = [key for key in directory.api_keys() if key.user == owner.id]
    ended = sorted((end, key.id) for key in own if (end := _end_ms(key)) is not None and end <= now_ms)
    open_keys = len(own) - len(ended)  # with those that were rotated and stay valid for some time
    if open_keys >= _MOST_KEYS:
        raise Rejected("too_many_keys", f"{owner.name} has {open_keys} keys, which is the limit. Revoke some.")
    made = ApiKey(id=id, user=owner.id, name=name[:200], digest=digest, created_ms=now_ms, expires_ms=expires_ms)
    too_many = [old for _, old in ended[: max(0, len(ended) - _MOST_ENDED_KEYS)]]
    forgotten = [record for old in too_many for record in (f"key/{old}", f"use/{old}")]
    return Change(
        records={**dict.fromkeys(forgotten), f"key/{id}": made},
        action="key.added",
        target=f"{PREFIX}{id} of {owner.name}",
        after=shown(made),
        result=made,
    )


def _end_ms(key: ApiKey) -> int | None:
    return min((end for end in (key.revoked_ms, key.expires_ms) if end is not None), default=None)


def require_key(directory: Directory, id: str) -> ApiKey:
    """The API key with this id, or with this visible part. Raises Rejected (`key_unknown`)."""
    found = directory.key(id.removeprefix(PREFIX))
    if found is None:
        raise Rejected("key_unknown", f"There is no API key {id[:100]!a}. `streamflow access keys list` shows all.")
    return found


def revoke_key(directory: Directory, now_ms: int, *, id: str) -> Change:
    """Revokes an API key at once, and the sessions that it began. Raises Rejected (`key_unknown`)."""
    key = require_key(directory, id)
    if key.revoked_ms is not None and key.revoked_ms <= now_ms:
        return Change(records={}, result=key)
    revoked = msgspec.structs.replace(key, revoked_ms=now_ms)
    return Change(
        records={f"key/{key.id}": revoked},
        action="key.revoked",
        target=f"{PREFIX}{key.id} of {name_of(directory, key.user)}",
        before=shown(key),
        after=shown(revoked),
        result=revoked,
    )


def rotate_key(
    directory: Directory, now_ms: int, *, id: str, new_id: str, digest: str, overlap_ms: int, expires_ms: int | None
) -> Change:
    """A new API key instead of another, which ends in `overlap_ms`. The result is the new ApiKey.

    Raises Rejected: `key_unknown`, `key_revoked`, and as `add_key`."""
    old = require_key(directory, id)
    if old.revoked_ms is not None:
        raise Rejected("key_revoked", f"The API key {PREFIX}{old.id} is revoked or was rotated before. Add a new one.")
    added = add_key(directory, now_ms, id=new_id, digest=digest, user=old.user, name=old.name, expires_ms=expires_ms)
    new = msgspec.structs.replace(added.result, replaces=old.id)
    ended = msgspec.structs.replace(old, revoked_ms=now_ms + overlap_ms)
    return Change(
        records={**added.records, f"key/{new_id}": new, f"key/{old.id}": ended},
        action="key.rotated",
        target=f"{PREFIX}{old.id} of {name_of(directory, old.user)}",
        before=shown(old),
        after={"old": shown(ended), "new": shown(new)},
        result=new,
    )


def note_uses(directory: Directory, now_ms: int, *, uses: dict[str, int]) -> Change:
    """Notes when keys were last used, by id, to a minute."""
    newer = {
        f"use/{id}": KeyUse(at_ms - at_ms % 60_000)
        for id, at_ms in uses.items()
        if directory.key(id) is not None and at_ms - at_ms % 60_000 > (directory.used_ms(id) or 0)
    }
    return Change(records=dict(newer))
