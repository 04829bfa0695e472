"""What may be changed in the directory, as pure functions: from what it says now to the records that say it afterwards,
and the facts for the audit. Ids and secrets are given, never drawn here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from streamflow.access.directory import Directory
from streamflow.access.records import Grant, User, Value, shown
from streamflow.access.rights import Role
from streamflow.errors import Rejected

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")
PATTERN = re.compile(r"[a-z0-9*][a-z0-9*_-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to be written together."""

    records: dict[str, Value | None]
    """By key; None deletes."""

    action: str = ""
    """For the audit; empty: there is nothing to account for."""

    target: str = ""
    """What is changed."""

    before: Any = None
    """As it was, without secrets."""

    after: Any = None
    """As it is then, without secrets."""

    result: Any = None
    """The result for the caller."""

    refusal: Rejected | None = None
    """What is to be raised once the change is written."""


def add_user(
    directory: Directory,
    now_ms: int,
    *,
    id: str,
    name: str,
    kind: Literal["person", "service"] = "person",
    password: str | None = None,
    issuer: str | None = None,
    subject: str | None = None,
    groups: Sequence[str] = (),
    role: Role | None = None,
    definitions: Sequence[str] = (),
) -> Change:
    """Adds a user; `password` is a hash, `role` a grant that goes with it. The result is the User.

    Raises Rejected: `name_invalid`, `name_taken`, `subject_taken`, `pattern_invalid`."""
    _require_free(directory, name)
    for group in groups:
        _require_group(directory, group)
    if issuer is not None and subject is not None and directory.subject(issuer, subject) is not None:
        raise Rejected(
            "subject_taken",
            f"The provider's user {subject} is already a user of this installation. See the list of users.",
        )
    made = User(
        id=id,
        name=name,
        kind=kind,
        password=password,
        issuer=issuer,
        subject=subject,
        groups=tuple(sorted(set(groups))),
        created_ms=now_ms,
    )
    records: dict[str, Value | None] = {f"user/{id}": made}
    after: dict[str, Any] = {"user": shown(made)}
    if role is not None:
        given = Grant(id=id, role=role, user=id, definitions=patterns(definitions), created_ms=now_ms)
        records[f"grant/{id}"] = given
        after["grant"] = shown(given)
    return Change(records=records, action="user.added", target=name, after=after, result=made)


def _require_free(directory: Directory, name: str) -> None:
    if NAME.fullmatch(name) is None:
        raise Rejected(
            "name_invalid",
            f"The name {name[:100]!a} is not valid: 1 to 100 letters, digits or any of . _ @ + -, beginning with a "
            "letter or digit. Choose another.",
        )
    # An approval names users and groups in one list, so a user must not be called as a group is.
    if directory.named(name) is not None or name.casefold() in {group.casefold() for group in directory.groups()}:
        raise Rejected("name_taken", f"A user or group has the name {name}. Choose another.")


def _require_group(directory: Directory, group: str) -> None:
    if NAME.fullmatch(group) is None:
        raise Rejected("name_invalid", f"The name of the group {group[:100]!a} has other characters. Choose another.")
    if directory.named(group) is not None:
        raise Rejected("name_taken", f"A user has the name {group}. Choose another name for the group.")


def patterns(definitions: Iterable[str]) -> tuple[str, ...]:
    """Patterns of names of definitions, sorted, each once. Raises Rejected (`pattern_invalid`)."""
    wrong = [one for one in definitions if PATTERN.fullmatch(one) is None]
    if wrong:
        raise Rejected(
            "pattern_invalid",
            f"The pattern {wrong[0][:100]!a} is not the name of a definition, with * for any text. Correct it.",
        )
    return tuple(sorted(set(definitions)))


def change_user(
    directory: Directory,
    now_ms: int,
    *,
    name: str,
    disabled: bool | None = None,
    groups: Sequence[str] | None = None,
    password: str | None = None,
) -> Change:
    """Changes what is given of a user; `password` is a hash. A new password, and to be disabled, end all sessions of
    the user. The result is the User.

    Raises Rejected: `user_unknown`, `last_admin`, `name_invalid`, `name_taken`."""
    user = directory.require_user(name)
    fields: dict[str, Any] = {}
    if disabled is not None:
        if disabled and directory.admins() == {user.id}:
            raise _last_admin(user)
        fields["disabled"] = disabled
    if groups is not None:
        for group in groups:
            _require_group(directory, group)
        fields["groups"] = tuple(sorted(set(groups)))
    if password is not None:
        fields["password"] = password
    if password is not None or disabled:
        fields["sessions_after_ms"] = now_ms
    changed = msgspec.structs.replace(user, **fields)
    after = (shown(changed) or {}) | ({"password_changed": True} if password is not None else {})
    return Change(
        records={f"user/{user.id}": changed},
        action="user.changed",
        target=user.name,
        before=shown(user),
        after=after,
        result=changed,
    )


def _last_admin(user: User) -> Rejected:
    return Rejected(
        "last_admin", f"{user.name} is the only admin who is not disabled. Make another admin first.", user=user.id
    )


def add_grant(
    directory: Directory,
    now_ms: int,
    *,
    id: str,
    role: Role,
    user: str | None = None,
    group: str | None = None,
    definitions: Sequence[str] = (),
) -> Change:
    """Gives a role to a user (by name) or to a group, for all definitions or those that the patterns mean. The result
    is the Grant.

    Raises Rejected: `grant_invalid` unless one of `user` and `group` is given, `user_unknown`, `name_invalid`,
    `name_taken`, `pattern_invalid`."""
    if (user is None) == (group is None):
        raise Rejected("grant_invalid", "A grant is for a user or for a group. Name one of them.")
    found = None if user is None else directory.require_user(user)
    if group is not None:
        _require_group(directory, group)
    made = Grant(
        id=id,
        role=role,
        user=None if found is None else found.id,
        group=group,
        definitions=patterns(definitions),
        created_ms=now_ms,
    )
    target = found.name if found is not None else f"group {group}"
    return Change(records={f"grant/{id}": made}, action="grant.added", target=target, after=shown(made), result=made)


def remove_grant(directory: Directory, now_ms: int, *, id: str) -> Change:
    """Takes a grant away. Raises Rejected: `grant_unknown`, `last_admin`."""
    found = directory.values.get(f"grant/{id}")
    if not isinstance(found, Grant):
        raise Rejected("grant_unknown", f"There is no grant {id[:100]!a}. `streamflow access grants list` shows all.")
    left = directory.copy()
    left.take(f"grant/{id}", None)
    user = directory.user(found.user) if found.user is not None else None
    if user is not None and directory.admins() and not left.admins():
        raise _last_admin(user)
    target = user.name if user is not None else f"group {found.group}"
    return Change(records={f"grant/{id}": None}, action="grant.removed", target=target, before=shown(found))


def name_of(directory: Directory, user: str) -> str:
    """The name of the user with this id."""
    found = directory.user(user)
    return user if found is None else found.name
