"""The session of a command: the settings, and output as text for people or as JSON for programs."""

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
from streamflow.terminal import visible_lines

if TYPE_CHECKING:
    from streamflow.settings import Settings

EXIT_AUTHOR = 2
EXIT_CALLER = 3
EXIT_OUTSIDE = 4
EXIT_OURS = 70
EXIT_INTERRUPTED = 130

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
    environment: str | None = None
    config: Path | None = None
    json: bool = False

    @cached_property
    def settings(self) -> Settings:
        """As `known`, for a command that speaks to Kafka: says which environment that is, once (see `_announce`).

        Raises OperationError when a secured broker does not let this client in (see `greeting`)."""
        self._announce(self.known)
        if self.known.kafka.security_protocol != "PLAINTEXT" and self.known.kafka.bootstrap_servers is not None:
            from streamflow.kafka.greeting import require_welcome  # with Kafka's clients

            require_welcome(self.known)
        return self.known

    @cached_property
    def known(self) -> Settings:
        """As `given`, and what nobody set as the `streamflow dev` of this folder has it."""
        from streamflow.cli.dev_discovery import remembered

        kept = remembered(self.given)
        return self.given if kept is None else kept.over(self.given)

    @cached_property
    def installation(self) -> Settings:
        """As `settings`, for a command about what the installation holds (runs, dead letters).

        Raises OperationError (`environment_differs`) when an environment is named that is not the one of its topics."""
        settings = self.settings
        if "environment" in settings.model_fields_set:
            from streamflow.kafka import publication

            publication.read_log(settings)
        return settings

    @property
    def place(self) -> dict[str, str | None] | None:
        """Which environment this command speaks to, as JSON answers have it; None when it does not speak to Kafka. The
        name is None where neither the settings nor the folder say it."""
        settings = self.__dict__.get("settings")
        if settings is None or settings.kafka.bootstrap_servers is None:
            return None
        return {
            "name": settings.environment if "environment" in settings.model_fields_set else None,
            "prefix": settings.topics.prefix,
            "bootstrap_servers": settings.kafka.bootstrap_servers,
        }

    def _announce(self, settings: Settings) -> None:
        """A line on stderr for people: at a terminal always, elsewhere when the environment or the prefix is not the
        usual one."""
        from streamflow.settings import DEFAULT_ENVIRONMENT, DEFAULT_PREFIX

        servers = settings.kafka.bootstrap_servers
        usual = (settings.environment, settings.topics.prefix) == (DEFAULT_ENVIRONMENT, DEFAULT_PREFIX)
        if self.json or servers is None or (usual and not sys.stderr.isatty()):
            return
        name = f"environment {settings.environment}, " if "environment" in settings.model_fields_set else ""
        typer.echo(typer.style(f"{name}topics {settings.topics.prefix}* at {servers}", dim=True), err=True)

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
            raise Rejected("config_missing", f"expected a settings file but there is no {named}. Name one that exists.")
        if named:
            os.environ["STREAMFLOW_CONFIG"] = named  # for the workers that this process starts, too
        own: dict[str, Any] = {}
        if self.bootstrap is not None:
            own["kafka"] = {"bootstrap_servers": self.bootstrap}
        if self.prefix is not None:
            own["topics"] = {"prefix": self.prefix}
        if self.environment is not None:
            own["environment"] = self.environment
        try:
            return Settings(**own)
        except ValidationError as error:
            wrong = "; ".join(
                f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False)
            )
            raise Rejected(
                "settings_invalid", f"expected valid settings but found {wrong}. See `streamflow settings docs`."
            ) from error

    def show(self, data: Any, text: str) -> None:
        """Answers on stdout: `data` as JSON with --json, else `text`. An object has a field `environment` (see
        `place`); with a list that is a line of JSON on stderr."""
        if self.json and self.place is not None:
            if isinstance(data, dict):
                data = {"environment": self.place} | data
            else:
                typer.echo(json.dumps({"environment": self.place}), err=True)
        typer.echo(json.dumps(data, indent=2, sort_keys=True, default=str) if self.json else visible_lines(text))

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
                        "line": one.line,
                        "column": one.column,
                    }
                    for one in error.problems
                ]
            where = {} if self.place is None else {"environment": self.place}
            typer.echo(json.dumps({"error": said} | where, sort_keys=True, default=str), err=True)
        else:
            typer.echo(visible_lines(str(error)), err=True)
        return next(code for family, code in _EXIT_CODES if isinstance(error, family))


def session_of(ctx: typer.Context) -> Session:
    """The session of the command that `ctx` belongs to."""
    session = ctx.find_root().obj
    assert isinstance(session, Session)
    return session
