"""What a route asks for: the principal that the guard found, and the right that it must have."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.params import Depends as Dependency

from streamflow.access.audit import Actor
from streamflow.access.rights import EVERY_RIGHT as EVERY_RIGHT
from streamflow.access.rights import Permission as Permission
from streamflow.access.rights import Principal as Principal
from streamflow.access.rights import Right as Right
from streamflow.access.rights import principal_with
from streamflow.engine.transitions import Transition
from streamflow.errors import Rejected

TOKEN = principal_with("token", via="token")
"""The holder of the sidecar's token."""

LOCAL = principal_with("local", via="local")
"""The local admin: a user of this machine, with a sidecar without a token and an installation without users."""


async def principal_of(request: Request) -> Principal:
    """Who sent `request`, as the guard found out."""
    found = request.scope["principal"]
    assert isinstance(found, Principal)
    return found


# FastAPI solves each dependency of a dependency again in every request, which takes longer than these do: they ask the
# request themselves.
PrincipalOf = Annotated[Principal, Depends(principal_of)]


class _Needs:
    """A dependency that refuses requests without a right."""

    def __init__(self, right: Right) -> None:
        self.right = right

    async def __call__(self, request: Request) -> None:
        (await principal_of(request)).require(self.right)


class _NeedsForName:
    """The same, for the definition that the path names."""

    def __init__(self, right: Right) -> None:
        self.right = right

    async def __call__(self, request: Request) -> None:
        (await principal_of(request)).require(self.right, request.path_params["name"])


def needs(right: Right) -> Dependency:
    """For the dependencies of a route: the principal must have `right`, for some definition at least. A route about one
    definition asks for that one itself."""
    dependency: Dependency = Depends(_Needs(right))
    return dependency


def needs_for_name(right: Right) -> Dependency:
    """For the dependencies of a route below `/definitions/{name}`: the principal must have `right` for that one."""
    dependency: Dependency = Depends(_NeedsForName(right))
    return dependency


def needed_by(dependencies: list[Dependency]) -> Right | None:
    """The right that a route with these dependencies needs; None: none but to be logged in, or it is open to all."""
    kinds = (_Needs, _NeedsForName)
    return next((found.dependency.right for found in dependencies if isinstance(found.dependency, kinds)), None)


def actor(principal: Principal) -> Actor:
    """The principal, for the audit."""
    return Actor(who=principal.name, user=principal.id, via=principal.via)


def user_of(principal: Principal) -> str:
    """The id of the user that the principal is. Raises Rejected (`no_user`) if it is none."""
    if not principal.id:
        raise Rejected(
            "no_user",
            f"{principal.name} is not a user; only users have keys, sessions and views. Log in, or name a user.",
        )
    return principal.id


def require_run(principal: Principal, right: Right, run: str, history: list[Transition]) -> list[Transition]:
    """The history of a run that the principal has `right` for. Raises Rejected (`run_unknown`), the same whether there
    is no such run or it is of a definition that they may not look at; `right_missing` when they may look at it."""
    if not history or not principal.may(Right.READ_RUNS, history[0].definition):
        if history and principal.may(right, history[0].definition):
            return history
        raise run_unknown(run)
    principal.require(right, history[0].definition)
    return history


def run_unknown(run: str) -> Rejected:
    """What is raised about a run that is not there, or not for who asks."""
    return Rejected(
        "run_unknown",
        f"expected transitions of {run} in runs but there are none. Wait for the command that starts it.",
        run=run,
    )
