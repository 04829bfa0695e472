"""What definitions may name beside their own catalog file: operations that are installed or registered, and definitions
that are published."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property

from streamflow.definition.catalog import Catalog, ChildSpec, OperationSpec
from streamflow.definition.content import child_names, emitted_names, operation_names, read_content
from streamflow.definition.feedback_check import emits_of
from streamflow.definition.model import Definition
from streamflow.errors import OperationError
from streamflow.kafka.definitions import Snapshot


class CatalogResolver:
    """The definitions log, read once and only if something needs it, and the definitions that are checked or published
    together.

    `read` reads the log; what it raises is raised by whatever needs the log. `whole`: the log is read also for what a
    check would only warn of, such as definitions that start each other in a circle."""

    def __init__(self, read: Callable[[], Snapshot], *, whole: bool = False) -> None:
        self._read = read
        self._whole = whole
        self._beside: dict[tuple[str, str], ChildSpec] = {}

    @cached_property
    def log(self) -> Snapshot:
        return self._read()

    def add(self, child: ChildSpec) -> None:
        """Has later definitions find `child`, instead of what the log says of it."""
        self._beside[child.name, child.version] = child

    def events(self) -> Catalog:
        """The published events."""
        return self.log.catalog()

    def complete(self, definition: Definition, catalog: Catalog) -> Catalog:
        """`catalog` with all that `definition` may name. What `catalog` has itself comes first; the log is only read
        for what is not known without."""
        if operation_names(definition):
            catalog = _with(catalog, operations=_installed())
        catalog = _with(catalog, definitions=self._beside.values())
        if self._whole and definition.on and (emitted_names(definition) or child_names(definition)):
            catalog = _with(catalog, definitions=published_definitions(self.log))
        unknown = [name for name in operation_names(definition) if catalog.operation(name) is None]
        if unknown or any(catalog.definition(*child) is None for child in child_names(definition)):
            catalog = _with(
                catalog, operations=published_operations(self.log), definitions=published_definitions(self.log)
            )
        return catalog


def with_all(catalog: Catalog, log: Snapshot) -> Catalog:
    """`catalog` with every operation that is installed or registered, and every published definition."""
    operations = [*_installed(), *published_operations(log)]
    return _with(catalog, operations=operations, definitions=published_definitions(log))


def published_operations(log: Snapshot) -> list[OperationSpec]:
    """The contracts of the registered plugins, by name. One whose record cannot be read is left out."""
    from streamflow.operations.plugin import read_record

    found = []
    for _, record in sorted(log.operations.items()):
        try:
            found.append(read_record(record)[0])
        except OperationError:
            continue  # task workers tell of it, and leave it out as well
    return found


def published_definitions(log: Snapshot) -> list[ChildSpec]:
    """Every published version that is not retired, by name, and as it was published. One that cannot be read is left
    out."""
    found: list[ChildSpec] = []
    for one in sorted(log.served(), key=lambda one: one.record.offset):  # a definition comes after those that it starts
        spec = _child_spec(one.definition, one.record.sha, Catalog(definitions=found))
        newest = one.name in log.names and log.names[one.name].version == one.version
        found.append(spec if newest else spec.model_copy(update={"starts_by": []}))
    return sorted(found, key=lambda spec: spec.name)


def child_of(content: bytes, sha: str, catalog: Catalog) -> ChildSpec:
    """How another definition names the one in `content`; `catalog` has the definitions that it starts."""
    return _child_spec(read_content(content)[0], sha, catalog)


def _child_spec(definition: Definition, sha: str, catalog: Catalog) -> ChildSpec:
    return ChildSpec(
        name=definition.name,
        version=definition.version,
        sha=sha,
        input=definition.input or {},
        runs=definition.runs,
        starts_by=[trigger.event for trigger in definition.on],
        emits=emits_of(definition, catalog),
    )


def _installed() -> list[OperationSpec]:
    # with every client there is: only for those who need it
    from streamflow.operations.registry import known_operations

    return known_operations()


def _with(
    catalog: Catalog, *, operations: Iterable[OperationSpec] = (), definitions: Iterable[ChildSpec] = ()
) -> Catalog:
    """`catalog` with those of `operations` and `definitions` that it does not have."""
    return catalog.model_copy(
        update={
            "operations": [*catalog.operations, *(spec for spec in operations if catalog.operation(spec.name) is None)],
            "definitions": [
                *catalog.definitions,
                *(spec for spec in definitions if catalog.definition(spec.name, spec.version) is None),
            ],
        }
    )
