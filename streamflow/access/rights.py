"""Rights, roles, and principals: the senders of requests, with their rights."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from streamflow.errors import Rejected


class Right(StrEnum):
    """What a route may need."""

    READ_RUNS = "runs:read"
    START_RUNS = "runs:start"
    OPERATE_RUNS = "runs:operate"
    """Cancel, retry, skip and fail."""

    READ_APPROVALS = "approvals:read"
    DECIDE_APPROVALS = "approvals:decide"
    READ_OPERATIONS = "operations:read"
    REGISTER_OPERATIONS = "operations:register"
    REPLACE_OPERATIONS = "operations:replace"
    """Replace a plugin with the same name, and remove plugins."""

    READ_DEFINITIONS = "definitions:read"
    PUBLISH_DEFINITIONS = "definitions:publish"
    RETIRE_DEFINITIONS = "definitions:retire"
    APPROVE_DEFINITIONS = "definitions:approve"
    """Sign the approval of a content, which publishing asks for where approvals are required."""

    READ_CATALOG = "catalog:read"
    SEND_EVENTS = "events:send"
    READ_HISTORY = "history:read"
    READ_TROUBLE = "trouble:read"
    """What needs a person: parked runs, dead letters, unclaimed and late events."""

    OPERATE_TROUBLE = "trouble:operate"
    READ_DEAD_LETTERS = "dead-letters:read"
    SETTLE_DEAD_LETTERS = "dead-letters:settle"
    """Replay and drop."""

    READ_JOBS = "jobs:read"
    START_JOBS = "jobs:start"
    """Do the same to many runs; each needs the right to do it to one, too."""

    READ_AUTHORING = "authoring:read"
    """Conversations about drafts."""

    EDIT_AUTHORING = "authoring:edit"
    """Start and delete them, talk with the assistant, change drafts, comment and share."""

    READ_LAG = "lag:read"
    READ_ACCESS = "access:read"
    CHANGE_ACCESS = "access:change"
    """Users, keys, grants and sessions of others."""

    READ_AUDIT = "audit:read"
    USE_OWN = "own:use"
    """One's own API keys, sessions and saved views."""

    READ_API = "api:read"
    """The description of the API."""


EVERY_RIGHT = frozenset(Right)
# What belongs to one definition; a grant that is limited to definitions gives the other rights of its role not at all,
# but those to read what belongs to none.
OF_DEFINITIONS = frozenset(
    {
        Right.READ_RUNS,
        Right.START_RUNS,
        Right.OPERATE_RUNS,
        Right.READ_APPROVALS,
        Right.DECIDE_APPROVALS,
        Right.READ_DEFINITIONS,
        Right.PUBLISH_DEFINITIONS,
        Right.RETIRE_DEFINITIONS,
        Right.APPROVE_DEFINITIONS,
        Right.READ_HISTORY,
        Right.READ_TROUBLE,
        Right.OPERATE_TROUBLE,
        Right.READ_DEAD_LETTERS,
        Right.SETTLE_DEAD_LETTERS,
        Right.READ_JOBS,
        Right.START_JOBS,
    }
)
_OF_NONE = frozenset({Right.READ_CATALOG, Right.READ_OPERATIONS, Right.READ_API, Right.USE_OWN})


class Role(StrEnum):
    """A grant."""

    ADMIN = "admin"
    DEVELOPER = "developer"
    OPERATOR = "operator"
    SERVICE_USER = "service_user"
    INTEGRATION = "integration"
    VIEWER = "viewer"


_RUNS = frozenset({Right.READ_RUNS, Right.START_RUNS, Right.OPERATE_RUNS})
_READ = frozenset(right for right in Right if right.value.endswith(":read"))

_OF_ALL = frozenset({Right.USE_OWN, Right.READ_API})  # what every role gives

RIGHTS: dict[Role, frozenset[Right]] = {
    Role.ADMIN: EVERY_RIGHT,
    Role.DEVELOPER: _RUNS
    | _OF_ALL
    | {
        Right.READ_DEFINITIONS,
        Right.PUBLISH_DEFINITIONS,
        Right.RETIRE_DEFINITIONS,
        Right.APPROVE_DEFINITIONS,
        Right.READ_AUTHORING,
        Right.EDIT_AUTHORING,
        Right.READ_CATALOG,
        Right.READ_OPERATIONS,
        Right.REGISTER_OPERATIONS,
        Right.REPLACE_OPERATIONS,
        Right.READ_TROUBLE,
        Right.READ_HISTORY,
    },
    Role.OPERATOR: _OF_ALL
    | {
        Right.READ_RUNS,
        Right.OPERATE_RUNS,
        Right.READ_APPROVALS,
        Right.DECIDE_APPROVALS,
        Right.READ_TROUBLE,
        Right.OPERATE_TROUBLE,
        Right.READ_DEAD_LETTERS,
        Right.SETTLE_DEAD_LETTERS,
        Right.READ_JOBS,
        Right.START_JOBS,
        Right.READ_LAG,
        Right.READ_DEFINITIONS,
        Right.READ_CATALOG,
        Right.READ_OPERATIONS,
        Right.READ_HISTORY,
    },
    Role.SERVICE_USER: _OF_ALL
    | {
        Right.START_RUNS,
        Right.READ_RUNS,
        Right.SEND_EVENTS,
        Right.READ_APPROVALS,
        Right.DECIDE_APPROVALS,
    },
    Role.INTEGRATION: _OF_ALL | {Right.SEND_EVENTS, Right.START_RUNS},
    Role.VIEWER: (_READ | _OF_ALL) - {Right.READ_ACCESS, Right.READ_AUDIT},
}


@dataclass(frozen=True, slots=True)
class Permission:
    """Rights for some definitions: names, in which `*` matches any text; none: for all."""

    rights: frozenset[Right]
    definitions: tuple[str, ...] = ()

    def covers(self, right: Right, definition: str | None) -> bool:
        """Whether it gives `right` for `definition`; None: for any definition at all."""
        if right not in self.rights:
            return False
        if not self.definitions:
            return True
        if right not in OF_DEFINITIONS:
            return right in _OF_NONE
        return definition is None or any(matches(pattern, definition) for pattern in self.definitions)


def matches(pattern: str, definition: str) -> bool:
    """Whether a name of a definition is one that `pattern` means."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), definition) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who sent a request."""

    name: str
    """For logs, audits and approvals; unique among users."""

    id: str = ""
    """Of the user; empty for those that are no user: the sidecar's token, and people of this machine."""

    groups: tuple[str, ...] = ()
    """In which they are, for grants and approvals."""

    permissions: tuple[Permission, ...] = ()
    """What they may do."""

    via: str = ""
    """How they proved who they are, for audits: `session`, `token`, or the visible part of a key."""

    family: str = ""
    """Of the session, if there is one."""

    def may(self, right: Right, definition: str | None = None) -> bool:
        """Whether this principal has `right` for `definition`; None: for any definition at all."""
        return any(permission.covers(right, definition) for permission in self.permissions)

    def may_everywhere(self, right: Right) -> bool:
        """Whether this principal has `right` for every definition."""
        return any(right in permission.rights and not permission.definitions for permission in self.permissions)

    def definitions(self, right: Right) -> tuple[str, ...] | None:
        """The patterns of the definitions for which this principal has `right`; None: all."""
        if self.may_everywhere(right):
            return None
        return tuple(
            pattern
            for permission in self.permissions
            if permission.covers(right, None)
            for pattern in permission.definitions
        )

    def require(self, right: Right, definition: str | None = None) -> None:
        """Raises Rejected (`right_missing`) unless this principal has `right` (see `may`)."""
        if not self.may(right, definition):
            where = f" for the definition {definition}" if definition is not None and self.may(right) else ""
            raise Rejected(
                "right_missing",
                f"This request needs the right {right.value}{where}, which {self.name} does not have. Ask an admin of "
                "this installation for it.",
                right=right.value,
                definition=definition,
            )


def principal_with(name: str, rights: Iterable[Right] = EVERY_RIGHT, *, via: str = "") -> Principal:
    """A principal who is no user, with these rights for every definition."""
    return Principal(name=name, permissions=(Permission(frozenset(rights)),), via=via)
