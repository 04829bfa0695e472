"""Passwords, hashed with argon2id (RFC 9106) in the PHC form."""

from __future__ import annotations

import secrets
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from streamflow.errors import Rejected

LEAST_CHARS = 12  # NIST SP 800-63B-4 asks for at least 15 where a password is all there is, 8 beside a second factor
MOST_CHARS = 200
_HASHER = PasswordHasher()  # the library's defaults are RFC 9106's second recommendation: 64 MiB, 3 passes


def hashed(password: str) -> str:
    """The hash of a new password. Raises Rejected (`password_weak`)."""
    if not LEAST_CHARS <= len(password) <= MOST_CHARS or len(set(password)) < LEAST_CHARS // 3:
        raise Rejected(
            "password_weak",
            f"A password has {LEAST_CHARS} to {MOST_CHARS} characters, and at least a few different ones. Choose "
            "another.",
        )
    return _HASHER.hash(password)


def fits(kept: str | None, given: str) -> bool:
    """Whether `given` is the password with the hash `kept`. Takes as long when there is none, so that nobody learns
    which users there are. About 50 ms and 64 MiB."""
    try:
        return _HASHER.verify(kept or _nobodys(), given[: MOST_CHARS + 1]) and kept is not None
    except (VerificationError, InvalidHashError):
        return False


@lru_cache(maxsize=1)
def _nobodys() -> str:
    return _HASHER.hash(secrets.token_urlsafe(32))
