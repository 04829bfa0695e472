"""Which operations a worker has: those built in, those of installed packages, and the plugins that are registered in
`definitions`.

A package offers its own by an entry point of the group `streamflow.operations`. The entry point is an operation, a
sequence of them, or a callable (a class, too) that gives one of these; a callable with a parameter is given the
settings. Building an operation must be cheap and must not need its client: a heavy one is imported when it is first
used. What is broken is reported and left out; it takes no worker down.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import structlog

from streamflow.definition.catalog import OperationSpec
from streamflow.errors import OperationError
from streamflow.operations.contract import Operation
from streamflow.operations.plugin import PluginOperation, plugin_egress, read_record
from streamflow.settings import Settings

_log = structlog.get_logger(__name__)

GROUP = "streamflow.operations"

# Each has a function `operations` as an entry point would name it. None imports a client when it is imported.
BUILT_IN = (
    "streamflow.operations.print",
    "streamflow.operations.echo",
    "streamflow.operations.http",
    "streamflow.operations.callback",
    "streamflow.operations.postgres",
    "streamflow.operations.objects",
    "streamflow.operations.nats",
    "streamflow.operations.kafka",
    "streamflow.operations.notify",
)


@dataclass(frozen=True, slots=True)
class Registered:
    """An operation, and where it is from: `built in`, `package <name> <version>` or `plugin`."""

    operation: Operation
    source: str

    @property
    def spec(self) -> OperationSpec:
        """Its contract."""
        return self.operation.spec


@dataclass(frozen=True, slots=True)
class Broken:
    """What could not be used: the entry point or plugin `name`, where it is from, and why not."""

    name: str
    source: str
    why: str


def known_operations(settings: Settings | None = None) -> list[OperationSpec]:
    """The contracts of all operations that are built in or come with installed packages, by name. Broken ones are left
    out."""
    # Only their contracts are wanted, and those do not depend on settings: nothing is read from the environment.
    found, _ = _installed(settings or Settings.model_construct())
    return [found[name].spec for name in sorted(found)]


class Registry:
    """The operations of one worker: what is installed, from the beginning, and plugins as their records come."""

    def __init__(self, settings: Settings) -> None:
        self._installed, broken = _installed(settings)
        self._broken_installed = {one.name: one for one in broken}
        self._broken_plugins: dict[str, Broken] = {}
        self._plugins: dict[str, Registered] = {}
        self._records: dict[str, Mapping[str, Any]] = {}
        self._settings = settings
        self._egress = plugin_egress(settings)

    @property
    def broken(self) -> list[Broken]:
        """What is left out, and why."""
        return [*self._broken_installed.values(), *self._broken_plugins.values()]

    def find(self, name: str) -> Operation | None:
        """The operation called `name`, or None."""
        found = self._installed.get(name) or self._plugins.get(name)
        return None if found is None else found.operation

    def names(self) -> tuple[str, ...]:
        """The names of all operations, sorted."""
        return tuple(sorted({*self._installed, *self._plugins}))

    def registered(self) -> list[Registered]:
        """All operations with where they are from, by name."""
        return [self._installed.get(name) or self._plugins[name] for name in self.names()]

    def follow(self, records: Mapping[str, Mapping[str, Any]]) -> None:
        """Makes the plugins those of `records`, the values of `operation/<name>` by name, as
        `DefinitionsLog.operations` has them. Attempts at a plugin that is removed or replaced continue as they began.
        Cheap when little has changed: to be called after every batch."""
        for name in self._records.keys() - records.keys():
            self._plugins.pop(name, None)
            self._broken_plugins.pop(name, None)
        for name, value in records.items():
            if self._records.get(name) != value:
                self._take(name, value)
        self._records = dict(records)

    def _take(self, name: str, value: Mapping[str, Any]) -> None:
        self._plugins.pop(name, None)
        self._broken_plugins.pop(name, None)
        try:
            spec, plugin = read_record(value)
            if spec.name != name:
                raise OperationError(
                    "plugin_invalid",
                    f"expected the plugin {name} but its record says {spec.name}. Register it again.",
                )
            if name in self._installed:
                taken = f"{self._installed[name].source} has an operation of that name"
                raise OperationError(
                    "operation_taken", f"expected the name {name} to be free but {taken}. Choose another."
                )
        except OperationError as error:
            self._broken_plugins[name] = Broken(name, "plugin", error.message)
            _log.warning("operation_broken", name=name, source="plugin", why=error.message)
        else:
            self._plugins[name] = Registered(PluginOperation(spec, plugin, self._settings, self._egress), "plugin")

    async def start(self) -> None:
        """Starts what is installed; what fails to start is left out and reported."""

        async def start(name: str, found: Registered) -> None:
            try:
                await found.operation.start()
            except Exception as error:  # noqa: BLE001 - a failing operation of another party does not stop the others
                del self._installed[name]
                self._broken_installed[name] = _report(name, found.source, error)

        await asyncio.gather(*(start(name, found) for name, found in list(self._installed.items())))

    async def close(self) -> None:
        """Closes all of them. One that fails to close is logged."""
        for name, found in (*self._installed.items(), *self._plugins.items()):
            try:
                await found.operation.close()
            except Exception:  # noqa: BLE001 - whatever an operation of another party does, the others are closed too
                _log.exception("operation_not_closed", name=name, source=found.source)
        await self._egress.close()


def _installed(settings: Settings) -> tuple[dict[str, Registered], list[Broken]]:
    found: dict[str, Registered] = {}
    broken: list[Broken] = []
    for label, source, offered in _offers():
        try:
            given = list(_operations(offered(), settings))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - importing or building what another party wrote may do anything
            broken.append(_report(label, source, error))
            continue
        for operation in given:
            name = operation.spec.name
            if name in found:
                taken = OperationError(
                    "operation_taken",
                    f"expected the name {name} to be free but it is taken by {found[name].source}. Choose another.",
                )
                broken.append(_report(name, source, taken))
            else:
                found[name] = Registered(operation, source)
    return found, broken


def _offers() -> Iterator[tuple[str, str, Any]]:
    """What is there to be loaded: label, source, and a function that loads it."""
    for module in BUILT_IN:
        yield module, "built in", lambda module=module: importlib.import_module(module).operations
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        yield point.name, _source(point), point.load


def _source(point: EntryPoint) -> str:
    return f"package {point.dist.name} {point.dist.version}" if point.dist is not None else "package"


def _operations(offered: Any, settings: Settings) -> Iterator[Operation]:
    """The operations in what an entry point names. Raises TypeError when there are none."""
    if callable(offered) and (inspect.isclass(offered) or not hasattr(offered, "spec")):
        offered = offered(settings) if _takes_settings(offered) else offered()
    several = [offered] if hasattr(offered, "spec") or not isinstance(offered, Iterable) else list(offered)
    for one in several:
        if not isinstance(getattr(one, "spec", None), OperationSpec) or not all(
            callable(getattr(one, part, None)) for part in _PARTS
        ):
            raise TypeError(
                f"expected an object with spec (an OperationSpec), {', '.join(_PARTS)} but found "
                f"{type(one).__name__}. See docs/plugins.md."
            )
        yield one


_PARTS = ("start", "run", "health", "close")


def _takes_settings(offered: Any) -> bool:
    """Whether a call of `offered` needs one argument."""
    parameters = inspect.signature(offered).parameters.values()
    return any(
        one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in parameters
    )


def _report(name: str, source: str, error: BaseException) -> Broken:
    why = error.message if isinstance(error, OperationError) else f"{type(error).__name__}: {error}"
    _log.warning("operation_broken", name=name, source=source, why=why, exc_info=not isinstance(error, OperationError))
    return Broken(name, source, why)
