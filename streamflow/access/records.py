"""Records of the compacted topic `access`: their keys, and their values as JSON. They hold hashes of secrets, never a
secret.

    user/<id>            User       a person or a service account
    grant/<id>           Grant      a role for a user or a group
    key/<id>             ApiKey     an API key
    use/<id>             KeyUse     when a key was last used
    family/<id>          Family     a session: a chain of refresh tokens
    view/<user>/<id>     View       a saved view
    subscription/<user>  Subscription  what a user is notified of
    audit                AuditHead  the last entry of the chain in the topic `audit`
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from streamflow.access.rights import Role
from streamflow.settings import NotificationKind


class User(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person or a service account."""

    id: str
    name: str  # unique, whatever the case of its letters
    kind: Literal["person", "service"] = "person"
    password: str | None = None  # argon2id, in PHC form
    issuer: str | None = None  # of the OpenID Connect provider that knows this person
    subject: str | None = None  # the person's `sub` at the provider
    groups: tuple[str, ...] = ()  # that an admin put the user in
    disabled: bool = False
    created_ms: int  # epoch milliseconds
    sessions_after_ms: int = 0  # sessions that began before are void


class Grant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A role for a user or a group; one of `user` and `group` is set."""

    id: str
    role: Role
    user: str | None = None  # id
    group: str | None = None  # name
    definitions: tuple[str, ...] = ()  # patterns of names; none: all definitions
    created_ms: int


class ApiKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An API key of a user. Its visible part is `sfk_<id>`."""

    id: str
    user: str  # id
    name: str  # what it is for
    digest: str  # SHA-256 of the secret part, in hex
    created_ms: int
    expires_ms: int | None = None
    revoked_ms: int | None = None
    replaces: str | None = None  # id of the key in whose place it was made


class KeyUse(msgspec.Struct, frozen=True):
    """When a key was last used, in epoch milliseconds, to a minute."""

    at_ms: int


class Family(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A session: the chain of refresh tokens that began with one login."""

    id: str
    user: str  # id
    key: str | None = None  # id of the API key it was begun with
    groups: tuple[str, ...] = ()  # as the OpenID Connect provider said at login
    provider_session: str = ""  # the provider's, which it may end; where it names none, the subject
    generation: int = 1  # of the refresh token that is good
    rotated_ms: int  # when that one was issued
    created_ms: int
    expires_ms: int  # when the session ends in any case
    revoked_ms: int | None = None
    reason: str = ""  # why it was revoked: `logout`, `reuse`, `admin`, `provider`


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A saved view of a user."""

    id: str
    name: str
    page: str  # which list it is of, such as `runs`
    query: str  # as in the URL of the page


class Subscription(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The notifications of a user, and their target."""

    user: str  # id
    target: str  # name in `notifications.targets`
    kinds: tuple[NotificationKind, ...]
    definitions: tuple[str, ...] = ()  # patterns of names; none: all definitions
    created_ms: int  # what happened before is not sent


class AuditHead(msgspec.Struct, frozen=True):
    """The last entry of the chain in `audit`: its number and its digest."""

    number: int
    digest: str


Value = User | Grant | ApiKey | KeyUse | Family | View | Subscription | AuditHead
HEAD = "audit"
KINDS: dict[str, type[Any]] = {
    "user": User,
    "grant": Grant,
    "key": ApiKey,
    "use": KeyUse,
    "family": Family,
    "view": View,
    "subscription": Subscription,
    HEAD: AuditHead,
}
_decoders = {kind: msgspec.json.Decoder(type) for kind, type in KINDS.items()}
_encoder = msgspec.json.Encoder(order="sorted")


def encode(value: Value) -> bytes:
    """The value of a record."""
    return _encoder.encode(value)


def decode(key: str, value: bytes) -> Value:
    """What a record says. Raises what `wire.unreadable.UNREADABLE` lists, also for a number that cannot be written
    again: it would stop everyone who changes the record, or what follows from it."""
    found: Value = _decoders[key.partition("/")[0]].decode(value)
    own = getattr(found, "id", None)
    if own is not None and own != key.rpartition("/")[2]:
        raise msgspec.ValidationError(f"the record {key} has the id {own}")
    _encoder.encode(found)
    return found


def shown(value: Value | None) -> dict[str, Any] | None:
    """A record for people and audits: without hashes."""
    if value is None:
        return None
    facts: dict[str, Any] = msgspec.to_builtins(value)
    facts.pop("digest", None)
    if isinstance(value, User):
        facts["password"] = value.password is not None
    return facts
