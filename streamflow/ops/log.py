"""Log lines as the settings want them: to stderr, for people or as JSON. Lines of the libraries take the same way."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

from streamflow.secrets import KNOWN
from streamflow.settings import Settings
from streamflow.terminal import visible_fields

# Libraries that say in many lines what one of ours says better, or say it at every start.
_QUIET = {"aiokafka": logging.ERROR, "faust": logging.ERROR, "mode": logging.ERROR, "asyncio": logging.WARNING}


Processor = Callable[[Any, str, MutableMapping[str, Any]], MutableMapping[str, Any]]

_EVERY_S = 10.0
_KNOWN = 200  # texts; more than that are no repetition


class RepeatFilter(logging.Filter):
    """Lets a line of these loggers pass once in ten seconds, and then with how often it came meanwhile: while a broker
    is away, aiokafka says the same some hundred times a second; so does OpenTelemetry's exporter of a receiver."""

    def __init__(self, loggers: tuple[str, ...], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._loggers = loggers
        self._clock = clock
        self._told: dict[str, tuple[float, int]] = {}  # by text: when it passed, and how often it did not since

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line passes; its text is changed if it stands for others."""
        if not record.name.startswith(self._loggers):
            return True
        text, now = record.getMessage(), self._clock()
        at, more = self._told.get(text, (now - _EVERY_S, 0))
        if now - at < _EVERY_S:
            self._told[text] = at, more + 1
            return False
        if len(self._told) >= _KNOWN:
            self._told.clear()
        self._told[text] = now, 0
        if more:
            record.msg, record.args = f"{text} (and {more} times since the last one)", None
        return True


def _without_secrets(_logger: Any, _method: str, line: Any) -> Any:
    """The rendered line without the secrets that this process has resolved."""
    return KNOWN.text(line) if KNOWN and isinstance(line, str) else line


def configure_log(settings: Settings, *, copy: Processor | None = None, **always: Any) -> None:
    """Has every log line of this process written to stderr, from `settings.log_level` on; `always` is added to each,
    and `copy` is shown each."""
    level = getattr(logging, settings.log_level.upper())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True)
        if settings.log_format == "json"
        else structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        *([copy] if copy is not None else []),
    ]
    last: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(sort_keys=True)]
        if settings.log_format == "json"
        else [
            structlog.processors.format_exc_info,
            visible_fields,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), pad_event_to=24, exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    )
    last.append(_without_secrets)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**always)
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(RepeatFilter(("aiokafka", "opentelemetry")))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(level, least))
