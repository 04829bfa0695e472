"""Which runs a request means: filters of the history store, within what the principal may look at."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from streamflow.errors import Rejected
from streamflow.history.filters import RunFilter
from streamflow.sidecar.log import Log
from streamflow.sidecar.principal import Principal, Right, principal_of
from streamflow.sidecar.state import state_of

_ATTRIBUTE = re.compile(r"attr\.([a-z][a-z0-9_]{0,39})")
_ATTRIBUTES = 16
_LARGEST = 2**63 - 1  # that a column of the history store holds
Given = Annotated[str | None, Field(max_length=1000)]
Number = Annotated[int, Field(ge=-_LARGEST, le=_LARGEST)]
Ms = Annotated[Number, Field(description="epoch milliseconds")]


class RunQuery(BaseModel):
    """Filters of runs, all of which must match. Times are epoch milliseconds, `..._to` is exclusive."""

    model_config = ConfigDict(extra="allow")

    definition: Given = None
    version: Given = Field(default=None, description="of the definition, which must be named, too")
    status: Given = Field(default=None, description="`open`, `parked`, `completed`, `failed` or `cancelled`")
    key: Given = None
    key_prefix: Given = None
    error: Given = Field(default=None, description="the code of the latest error")
    parked_step: Given = None
    waits_for: Given = Field(
        default=None,
        description="what an open run waits for: the name of an event, `approval:<who>`, `call:<operation>`, "
        "`callback:<operation>`, `retry:<operation>`, `child:<definition>` or `delay:<until>`; or a kind alone, with "
        "its colon, such as `approval:`",
    )
    parent: Given = None
    restart_of: Given = None
    started_from: Ms | None = None
    started_to: Ms | None = None
    ended_from: Ms | None = None
    ended_to: Ms | None = None

    def wanted(self, within: tuple[str, ...] | None, attributes: dict[str, str]) -> RunFilter:
        """The same for the history store, of the definitions `within` (None: all)."""
        return RunFilter(
            definition=self.definition,
            within=within,
            version=self.version,
            status=self.status,
            key=self.key,
            key_prefix=self.key_prefix,
            error_code=self.error,
            parked_step=self.parked_step,
            waits_for=self.waits_for,
            parent=self.parent,
            restart_of=self.restart_of,
            started_from_ms=self.started_from,
            started_to_ms=self.started_to,
            ended_from_ms=self.ended_from,
            ended_to_ms=self.ended_to,
            attributes=attributes,
        )


def attributes_in(given: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """The search attributes among names and values, `attr.<name>` each. Raises Rejected (`filter_invalid`)."""
    found: dict[str, str] = {}
    for name, value in given:
        if not name.startswith("attr."):
            continue
        named = _ATTRIBUTE.fullmatch(name)
        if named is None or named[1] in found or len(found) == _ATTRIBUTES or not isinstance(value, str):
            raise Rejected(
                "filter_invalid",
                f"The filter {name[:100]!a} is not a search attribute, is repeated, is one too many, or has no text "
                f"value. Write attr.<name>=<value> with small letters, digits and _, for at most {_ATTRIBUTES} names.",
            )
        found[named[1]] = value
    return found


class Scope:
    """The definitions of which the principal gets to see what was asked for."""

    def __init__(self, log: Log, principal: Principal) -> None:
        self._log, self._principal = log, principal

    async def names(self, definition: str | None, *rights: Right) -> tuple[str, ...] | None:
        """The names of those for which they have all `rights`; None: all, or `definition` alone if it is given. Raises
        Rejected (`right_missing`) when that one is not among them, or none is."""
        who = self._principal
        for right in rights:
            who.require(right, definition)
        if definition is not None or all(map(who.may_everywhere, rights)):
            return None
        published = {name for name, _ in (await self._log.definitions()).versions}
        return tuple(sorted(name for name in published if all(who.may(right, name) for right in rights)))


async def _scope(request: Request) -> Scope:
    return Scope(state_of(request).log, await principal_of(request))


ScopeOf = Annotated[Scope, Depends(_scope)]
