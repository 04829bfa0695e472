"""What every command is given: the settings, and one way of answering, as text for people or as JSON for programs."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from streamflow.errors import DefinitionError, EngineFault, OperationError, Rejected, StreamflowError

if TYPE_CHECKING:
    from streamflow.settings import Settings

EXIT_AUTHOR = 2
EXIT_CALLER = 3
EXIT_OUTSIDE = 4
EXIT_OURS = 70

_EXIT_CODES: tuple[tuple[type[StreamflowError], int], ...] = (
    (DefinitionError, EXIT_AUTHOR),
    (Rejected, EXIT_CALLER),
    (OperationError, EXIT_OUTSIDE),
    (EngineFault, EXIT_OURS),
)


@dataclass
class Session:
    """One call of the command line: its global options, and the settings that they and the environment make."""

    bootstrap: str | None = None
    prefix: str | None = None
    config: Path | None = None
    json: bool = False

    @cached_property
    def settings(self) -> Settings:
        """As `given`; when no Kafka is named, that of a `streamflow dev` which runs in this folder."""
        from streamflow.cli.dev_address import running

        given = self.given
        found = running(given) if given.kafka.bootstrap_servers is None else None
        return (
            given
            if found is None
            else given.model_copy(update={"kafka": given.kafka.model_copy(update={"bootstrap_servers": found})})
        )

    @cached_property
    def given(self) -> Settings:
        """The settings: global options over the environment over the YAML file.

        Raises Rejected (`settings_invalid`, `config_missing`)."""
        import structlog
        from pydantic import ValidationError

        from streamflow.settings import Settings

        # what is logged on the way is no part of the answer; workers set up a log of their own
        structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
        named = str(self.config) if self.config is not None else os.environ.get("STREAMFLOW_CONFIG")
        if named and not Path(named).is_file():
            raise Rejected(
                "config_missing", f"expected a settings file but there is no {named}; do name one that exists"
            )
        if named:
            os.environ["STREAMFLOW_CONFIG"] = named  # for the workers that this process starts, too
        own: dict[str, Any] = {}
        if self.bootstrap is not None:
            own["kafka"] = {"bootstrap_servers": self.bootstrap}
        if self.prefix is not None:
            own["topics"] = {"prefix": self.prefix}
        try:
            return Settings(**own)
        except ValidationError as error:
            wrong = "; ".join(
                f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False)
            )
            raise Rejected(
                "settings_invalid", f"expected settings that fit but found {wrong}; do see `streamflow settings docs`"
            ) from error

    def show(self, data: Any, text: str) -> None:
        """Answers on stdout: `data` as JSON with --json, else `text`."""
        typer.echo(json.dumps(data, indent=2, sort_keys=True, default=str) if self.json else text)

    def show_error(self, error: StreamflowError) -> int:
        """Tells of the error on stderr, and returns the exit code of its family."""
        if self.json:
            said: dict[str, Any] = {"code": error.code, "message": error.message, "facts": error.facts}
            if isinstance(error, DefinitionError):
                said["problems"] = [
                    {
                        "code": one.code,
                        "pointer": one.pointer,
                        "message": one.message,
                        "fix": one.fix,
                        "severity": one.severity,
                    }
                    for one in error.problems
                ]
            typer.echo(json.dumps({"error": said}, sort_keys=True, default=str), err=True)
        else:
            typer.echo(str(error), err=True)
        return next(code for family, code in _EXIT_CODES if isinstance(error, family))


def session_of(ctx: typer.Context) -> Session:
    """The session of the command that `ctx` belongs to."""
    session = ctx.find_root().obj
    assert isinstance(session, Session)
    return session
