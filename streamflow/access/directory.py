"""The topic `access`, folded: users, groups and their rights. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from streamflow.access.records import (
    HEAD,
    ApiKey,
    AuditHead,
    Family,
    Grant,
    KeyUse,
    Subscription,
    User,
    Value,
    View,
    decode,
)
from streamflow.access.rights import RIGHTS, Permission, Principal, Role
from streamflow.errors import Rejected
from streamflow.wire.unreadable import UNREADABLE


@dataclass(slots=True)
class Directory:
    """What the topic says up to a position. A record that is unreadable counts as deleted, so it gives nobody a right;
    its key is in `unreadable`."""

    values: dict[str, Value] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)
    _names: dict[str, str] = field(default_factory=dict)  # user ids by name without case
    _subjects: dict[tuple[str, str], str] = field(default_factory=dict)  # user ids by issuer and subject

    def copy(self) -> Directory:
        """An independent copy."""
        return Directory(dict(self.values), set(self.unreadable), dict(self._names), dict(self._subjects))

    def take(self, key: str, value: bytes | None) -> bool:
        """Takes a record in; None deletes. False if it is unreadable."""
        self._drop(key)
        self.unreadable.discard(key)
        if value is None:
            return True
        try:
            found = decode(key, value)
        except UNREADABLE:
            self.unreadable.add(key)
            return False
        self.values[key] = found
        if isinstance(found, User):
            self._names[found.name.casefold()] = found.id
            if found.issuer is not None and found.subject is not None:
                self._subjects[found.issuer, found.subject] = found.id
        return True

    def _drop(self, key: str) -> None:
        before = self.values.pop(key, None)
        if isinstance(before, User):
            self._names.pop(before.name.casefold(), None)
            if before.issuer is not None and before.subject is not None:
                self._subjects.pop((before.issuer, before.subject), None)

    @property
    def is_open(self) -> bool:
        """Whether there is no user at all: an installation where nobody has been made yet."""
        return not self._names and not any(key.startswith("user/") for key in self.unreadable)

    @property
    def head(self) -> AuditHead:
        """The last entry of the audit chain; number 0 before the first."""
        found = self.values.get(HEAD)
        return found if isinstance(found, AuditHead) else AuditHead(0, "")

    def users(self) -> Iterator[User]:
        """All of them."""
        return (one for one in self.values.values() if isinstance(one, User))

    def api_keys(self) -> Iterator[ApiKey]:
        """All of them, revoked and expired ones too."""
        return (one for one in self.values.values() if isinstance(one, ApiKey))

    def grants(self) -> Iterator[Grant]:
        """All of them."""
        return (one for one in self.values.values() if isinstance(one, Grant))

    def families(self) -> Iterator[Family]:
        """All sessions, ended ones too."""
        return (one for one in self.values.values() if isinstance(one, Family))

    def views(self, user: str) -> Iterator[View]:
        """The saved views of a user."""
        start = f"view/{user}/"
        return (one for key, one in self.values.items() if key.startswith(start) and isinstance(one, View))

    def subscriptions(self) -> Iterator[Subscription]:
        """All of them."""
        return (one for one in self.values.values() if isinstance(one, Subscription))

    def subscription(self, user: str) -> Subscription | None:
        """What the user with this id is notified of."""
        found = self.values.get(f"subscription/{user}")
        return found if isinstance(found, Subscription) else None

    def user(self, id: str) -> User | None:
        """The user with this id."""
        found = self.values.get(f"user/{id}")
        return found if isinstance(found, User) else None

    def key(self, id: str) -> ApiKey | None:
        """The API key with this id."""
        found = self.values.get(f"key/{id}")
        return found if isinstance(found, ApiKey) else None

    def family(self, id: str) -> Family | None:
        """The session with this id."""
        found = self.values.get(f"family/{id}")
        return found if isinstance(found, Family) else None

    def used_ms(self, key: str) -> int | None:
        """When a key was last used."""
        found = self.values.get(f"use/{key}")
        return found.at_ms if isinstance(found, KeyUse) else None

    def named(self, name: str) -> User | None:
        """The user of this name, whatever the case of its letters."""
        id = self._names.get(name.casefold())
        return None if id is None else self.user(id)

    def require_user(self, name: str) -> User:
        """The user of this name or id. Raises Rejected (`user_unknown`)."""
        found = self.named(name) or self.user(name)
        if found is None:
            raise Rejected("user_unknown", f"There is no user {name}. `streamflow access users list` shows all.")
        return found

    def subject(self, issuer: str, subject: str) -> User | None:
        """The user whom a provider knows as `subject`."""
        id = self._subjects.get((issuer, subject))
        return None if id is None else self.user(id)

    def groups(self) -> set[str]:
        """Every group that a grant or a user names, or that a provider named when a session began."""
        named = {grant.group for grant in self.grants() if grant.group is not None}
        return named.union(*(one.groups for one in self.users()), *(one.groups for one in self.families()))

    def permissions(self, user: str, groups: Iterable[str]) -> tuple[Permission, ...]:
        """What a user in these groups may do."""
        mine = set(groups)
        return tuple(
            Permission(RIGHTS[grant.role], grant.definitions)
            for grant in self.grants()
            if grant.user == user or grant.group in mine
        )

    def principal(self, user: User, *, groups: Iterable[str] = (), via: str, family: str = "") -> Principal:
        """The principal that `user` is; `groups` are those that a provider named. One that is called as a user is
        now is none of theirs: an approval names users and groups in one list."""
        all_groups = tuple(sorted({*user.groups, *(group for group in groups if self.named(group) is None)}))
        return Principal(
            name=user.name,
            id=user.id,
            groups=all_groups,
            permissions=self.permissions(user.id, all_groups),
            via=via,
            family=family,
        )

    def admins(self) -> set[str]:
        """The ids of the users that are admins of everything by a grant of their own, and not disabled."""
        granted = {grant.user for grant in self.grants() if grant.role is Role.ADMIN and not grant.definitions}
        return {user.id for user in self.users() if user.id in granted and not user.disabled}
