"""Who asks, and what they may do: a principal has rights, and every route names the right that it needs.

Today there are two principals: whoever has the sidecar's token, and, where none is set, whoever is on this machine.
Both have every right. Further identities are further principals; no route changes for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, Request
from fastapi.params import Depends as Dependency

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
    """Register a plugin in the place of another one of its name, and remove one."""

    READ_API = "api:read"
    """The description of the API."""


EVERY_RIGHT = frozenset(Right)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who sent a request."""

    name: str
    """For logs and audits."""

    rights: frozenset[Right]
    """What they may do."""

    def require(self, right: Right) -> None:
        """Raises Rejected (`right_missing`) unless this principal has `right`."""
        if right not in self.rights:
            raise Rejected(
                "right_missing",
                f"This request needs the right {right.value}, which {self.name} does not have. Ask an operator of "
                "this installation for it.",
                right=right.value,
            )


TOKEN = Principal(name="token", rights=EVERY_RIGHT)
"""Whoever has the sidecar's token."""

LOCAL = Principal(name="local", rights=EVERY_RIGHT)
"""Whoever is on this machine, of a sidecar without a token."""


def principal_of(request: Request) -> Principal:
    """Who sent `request`, as the guard found out."""
    found = request.scope["principal"]
    assert isinstance(found, Principal)
    return found


PrincipalOf = Annotated[Principal, Depends(principal_of)]


class _Needs:
    """A dependency that refuses requests without a right."""

    def __init__(self, right: Right) -> None:
        self.right = right

    def __call__(self, principal: PrincipalOf) -> None:
        principal.require(self.right)


def needs(right: Right) -> Dependency:
    """For the dependencies of a route: the principal must have `right`."""
    dependency: Dependency = Depends(_Needs(right))
    return dependency


def needed_by(dependencies: list[Dependency]) -> Right | None:
    """The right that a route with these dependencies needs; None: it is open to everybody."""
    return next((found.dependency.right for found in dependencies if isinstance(found.dependency, _Needs)), None)
