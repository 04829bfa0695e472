"""A Streamflow for one example: Kafka, all workers, and command lines as a person would write them, shown and run."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from streamflow.cli.dev_discovery import SidecarPlace
from streamflow.cli.main import main
from streamflow.cli.processes import Workers, environment
from streamflow.errors import OperationError
from streamflow.kafka.admin import apply
from streamflow.kafka.embedded.broker import EmbeddedBroker
from streamflow.settings import Settings

PROJECT = Path(__file__).parents[2]
PARTITIONS = 2
ROLES = ("ingress", "engine", "tasks", "sidecar")
_READY_S = 90.0
_WAIT_S = 60.0


class World:
    """What an example is given. `out` is where it leaves what it made, `folder` a temporary one; `settings` is set once
    `begin` has started everything."""

    def __init__(
        self, out: Path, stack: contextlib.ExitStack, *, bootstrap: str | None = None, prefix: str = "streamflow."
    ) -> None:
        self.out = out
        self.folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="streamflow-example-", ignore_cleanup_errors=True))
        )
        self.settings: Settings
        self._stack = stack
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._logs: deque[str] = deque(maxlen=2000)
        self._workers: Workers | None = None
        out.mkdir(parents=True, exist_ok=True)

    # -- what is told

    def title(self, text: str) -> None:
        """A headline."""
        print(f"\n== {text}", flush=True)

    def tell(self, text: str) -> None:
        """Lines, as they are."""
        print(text, flush=True)

    def wrote(self, name: str, content: str) -> Path:
        """Writes a file of what the example made."""
        file = self.out / name
        file.write_text(content, encoding="utf-8")
        return file

    def last_lines(self) -> str:
        """The end of what the workers said."""
        return "\n".join(list(self._logs)[-60:])

    # -- what is started

    def begin(
        self,
        connections: Mapping[str, Mapping[str, Any]] | None = None,
        secrets: Mapping[str, str] | None = None,
        plugin_secrets: Mapping[str, str] | None = None,
    ) -> None:
        """Kafka, topics and all workers. `connections` are what operations may name, `plugin_secrets` what plugins
        may; `secrets` are the values of `env:NAME` references."""
        bootstrap = (
            self._bootstrap
            or self._stack.enter_context(EmbeddedBroker(self.folder / "broker", progress=self.tell)).bootstrap_servers
        )
        chosen = {
            "kafka": {"bootstrap_servers": bootstrap},
            "topics": {"prefix": self._prefix, "partitions": PARTITIONS},
            "state_dir": str(self.folder / "state"),
            "broker_dir": str(self.folder / "broker"),
            "tasks": {
                "connections": {name: dict(connection) for name, connection in (connections or {}).items()},
                "plugin_secrets": dict(plugin_secrets or {}),
            },
        }
        file = self.out / "streamflow.yaml"
        with file.open("w", encoding="utf-8") as written:
            YAML().dump(chosen, written)
        self._stack.enter_context(_environment({**(secrets or {}), "STREAMFLOW_CONFIG": str(file.absolute())}))
        self.settings = Settings()
        apply(self.settings)
        place = SidecarPlace(self.settings)
        self._workers = Workers(
            environment(self.settings, bootstrap) | place.environment(),
            lambda name, line: self._logs.append(f"{name}: {line}"),
        )
        self._stack.callback(self._workers.stop)
        for role in ROLES:
            self._workers.start(role, role)
        self.until(self._ready, "the workers to be ready", _READY_S)
        self.tell(f"Kafka is at {bootstrap}, the sidecar at {place.url}; workers: {', '.join(ROLES)}; settings: {file}")

    def _ready(self) -> bool:
        opened = {
            line.split("partition=")[1].split()[0]
            for line in list(self._logs)
            if "partition_open " in line and "partition=" in line
        }
        return len(opened) >= PARTITIONS

    # -- what is done

    def streamflow(self, *words: str) -> None:
        """Shows a command line of streamflow and what it writes. Raises OperationError if it fails."""
        print(f"\n$ streamflow {shlex.join(words)}", flush=True)
        code = main(words)
        if code:
            raise OperationError(
                "example_failed",
                f"expected `streamflow {words[0]} ...` to do it but it ended with {code}. Read the lines above.",
            )

    def asked(self, *words: str) -> Any:
        """The answer of a command line as data, shown to nobody."""
        return json.loads(self._said(*words))

    def lines(self, *words: str) -> list[Any]:
        """The same of one that answers line by line."""
        return [json.loads(line) for line in self._said(*words).splitlines()]

    def _said(self, *words: str) -> str:
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
            main([*words, "--json"])
        return said.getvalue()

    def until(self, condition: Callable[[], Any], what: str, timeout_s: float = _WAIT_S) -> Any:
        """What `condition` gives once that is something. Raises OperationError when it takes too long."""
        deadline = time.monotonic() + timeout_s
        while not (found := condition()):
            if self._workers is not None:
                self._workers.tend()
            if time.monotonic() > deadline:
                raise OperationError(
                    "example_stuck",
                    f"expected {what} within {timeout_s:g} s but it is not so. Read the workers' lines below.",
                )
            time.sleep(0.1)
        return found

    def rest(self) -> None:
        """Keeps everything running until Ctrl-C."""
        self.tell(
            "Everything is still running; Ctrl-C ends it. In another terminal: "
            f"STREAMFLOW_CONFIG={self.shown(self.out)}/streamflow.yaml streamflow runs list"
        )
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                if self._workers is not None:
                    self._workers.tend()
                time.sleep(0.2)

    def shown(self, path: Path) -> str:
        """`path` as a person in this folder would write it."""
        return (
            str(path.relative_to(Path.cwd())) if path.is_absolute() and path.is_relative_to(Path.cwd()) else str(path)
        )


@contextlib.contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
