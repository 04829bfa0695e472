"""What every route may ask for: the log and the settings, as the app was made with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from streamflow.settings import Settings
from streamflow.sidecar.log import Log


@dataclass(frozen=True, slots=True)
class State:
    """What an app was made with. `callback_secret` is None when no callbacks are taken."""

    settings: Settings
    log: Log
    callback_secret: str | None


def _state(request: Request) -> State:
    found = request.app.state.streamflow
    assert isinstance(found, State)
    return found


def _log(request: Request) -> Log:
    return _state(request).log


StateOf = Annotated[State, Depends(_state)]
LogOf = Annotated[Log, Depends(_log)]
