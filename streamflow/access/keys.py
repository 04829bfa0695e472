"""API keys: `sfk_<id>_<secret>`. The part before the secret is visible and finds the record; of the secret, 256 random
bits, only the SHA-256 is kept: nobody can guess it, so a slow hash would protect nothing."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from streamflow.access.directory import Directory
from streamflow.access.records import ApiKey, User
from streamflow.errors import Rejected

PREFIX = "sfk_"
_REPORTED_MS = 7 * 86_400_000
_TOKEN = re.compile(r"sfk_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


def new_secret() -> str:
    """The secret part of a new key: 256 random bits, in 43 characters."""
    return secrets.token_urlsafe(32)


def token(id: str, secret: str) -> str:
    """The key as its owner is shown it, once."""
    return f"{PREFIX}{id}_{secret}"


def digest(secret: str) -> str:
    """What is kept of a secret part."""
    return hashlib.sha256(secret.encode()).hexdigest()


def find(directory: Directory, given: str, now_ms: int) -> tuple[ApiKey, User]:
    """The key that was `given`, and its user. Raises Rejected: `key_wrong` (also when it is not known, so that nothing
    is learnt of ids), `key_revoked`, `key_expired`, `user_disabled`."""
    found = _TOKEN.fullmatch(given)
    record = directory.key(found[1]) if found else None
    kept = record.digest if record is not None else ""
    if found is None or not hmac.compare_digest(kept, digest(found[2])) or record is None:
        raise Rejected("key_wrong", "The API key is not known. Send one that `streamflow access keys list` shows.")
    return record, require_valid(directory, record, now_ms)


def require_valid(directory: Directory, record: ApiKey, now_ms: int) -> User:
    """The user of a key that may be used. Raises Rejected: `key_revoked`, `key_expired`, `user_disabled`."""
    if record.revoked_ms is not None and record.revoked_ms <= now_ms:
        raise Rejected("key_revoked", f"The API key {PREFIX}{record.id} is revoked. Ask an admin for another.")
    if record.expires_ms is not None and record.expires_ms <= now_ms:
        raise Rejected("key_expired", f"The API key {PREFIX}{record.id} has expired. Ask an admin for another.")
    return require_enabled(directory.user(record.user))


def require_enabled(user: User | None) -> User:
    """Raises Rejected (`user_disabled`) for a user that is disabled or removed."""
    if user is None or user.disabled:
        raise Rejected("user_disabled", "This user is disabled or was removed. Ask an admin of this installation.")
    return user


def expiries(directory: Directory, now_ms: int) -> dict[str, int]:
    """When keys expire, in epoch milliseconds by id: of those that are not revoked, of users who may use them. One that
    has expired is reported for a week, so that those who miss it see why."""
    return {
        key.id: key.expires_ms
        for key in directory.api_keys()
        if key.expires_ms is not None
        and key.expires_ms > now_ms - _REPORTED_MS
        and key.revoked_ms is None
        and (user := directory.user(key.user)) is not None
        and not user.disabled
    }
