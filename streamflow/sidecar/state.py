"""What every route may ask for: the log, the history store and the settings, as the app was made with them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from streamflow.access.accounting import Make
from streamflow.access.audit import Actor
from streamflow.access.changes import Change
from streamflow.history.reader import HistoryReader
from streamflow.settings import Settings
from streamflow.sidecar.event_streams import Streams
from streamflow.sidecar.identity import Identity
from streamflow.sidecar.job_runner import JobRunner
from streamflow.sidecar.log import Log
from streamflow.sidecar.principal import Principal, actor


@dataclass(frozen=True, slots=True)
class State:
    """What an app was made with. `callback_secret` is None when no callbacks are taken."""

    settings: Settings
    log: Log
    callback_secret: str | None
    identity: Identity
    history: HistoryReader
    runner: JobRunner
    streams: Streams


def state_of(request: Request) -> State:
    """What the app of a request was made with."""
    found = request.app.state.streamflow
    assert isinstance(found, State)
    return found


# FastAPI runs a dependency that is no coroutine in a thread, which costs more than all of these do.


async def _state(request: Request) -> State:
    return state_of(request)


async def _log(request: Request) -> Log:
    return state_of(request).log


async def _identity(request: Request) -> Identity:
    return state_of(request).identity


async def _history(request: Request) -> HistoryReader:
    return state_of(request).history


async def changed(identity: Identity, who: Actor, make: Make) -> Change:
    """What `make` makes, once it is written. Raises what it is refused with, and OperationError."""
    made = await asyncio.wrap_future(identity.access.submit(who, make))
    if made.refusal is not None:
        raise made.refusal
    return made


async def changed_by(identity: Identity, principal: Principal, make: Make) -> Change:
    """The same for who asks, counted against the rate of their changes. Raises Rejected (`rate_exceeded`), too."""
    if principal.id:
        await identity.rates.change(principal.id)
    return await changed(identity, actor(principal), make)


async def audited(
    identity: Identity, who: Actor, action: str, target: str, *, before: Any = None, after: Any = None
) -> None:
    """Accounts in the audit for what is about to be done, elsewhere than in the directory."""
    change = Change(records={}, action=action, target=target, before=before, after=after)
    await changed(identity, who, lambda _directory, _now_ms: change)


async def _runner(request: Request) -> JobRunner:
    return state_of(request).runner


async def _streams(request: Request) -> Streams:
    return state_of(request).streams


StateOf = Annotated[State, Depends(_state)]
IdentityOf = Annotated[Identity, Depends(_identity)]
LogOf = Annotated[Log, Depends(_log)]
HistoryOf = Annotated[HistoryReader, Depends(_history)]
StreamsOf = Annotated[Streams, Depends(_streams)]
RunnerOf = Annotated[JobRunner, Depends(_runner)]
