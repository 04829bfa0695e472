"""What definitions may name beside their own catalog file, from a log that is read only if it has to be."""

from __future__ import annotations

from typing import Any

import msgspec

from streamflow.definition.catalog import Catalog, ChildSpec, EventSpec
from streamflow.definition.content import canonical, sha256_of
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.kafka.definitions import Snapshot
from streamflow.ops.catalog import CatalogResolver, child_of, published_definitions, published_operations

CHILD = parse_definition(
    'name: child\nversion: "1"\ninput: {type: object, required: [id], properties: {id: {type: string}}}\nsteps: [{id: '
    "a, print: {text: trigger.id}}]"
)
PLUGIN = {"endpoint": "http://127.0.0.1:1/score", "secret": "score"}


def a_log(*, retired: bool = False) -> Snapshot:
    """A log with a plugin and a published definition."""
    content = canonical(CHILD, Catalog())
    sha = sha256_of(content)
    log = Snapshot()
    records: list[tuple[str, Any]] = [
        ("event/order.placed", {"name": "order.placed"}),
        ("operation/fraud.score", {"spec": {"name": "fraud.score", "lane": "models"}, "plugin": PLUGIN}),
        ("operation/broken", {"spec": {"name": "broken", "lanes": 3}, "plugin": PLUGIN}),
        (f"definition/{sha}", content),
        ("version/child@1", {"sha": sha, "retired": retired, "published_ms": 5}),
    ]
    for offset, (key, value) in enumerate(records):
        log.read(key.encode(), value if isinstance(value, bytes) else msgspec.json.encode(value), offset)
    return log


def unread() -> Snapshot:
    raise AssertionError("the log was read")


def calling(*operations: str, run: str = "") -> Any:
    steps = [f"- {{id: s{place}, call: {{operation: {name}}}}}" for place, name in enumerate(operations)]
    steps += [f"- {{id: r, run: {{definition: {run}, version: '1'}}}}"] if run else []
    return parse_definition(
        'name: a\nversion: "1"\ninput: {}\nsteps:\n' + "\n".join(steps or ["- {id: p, print: {text: run.key}}"])
    )


def test_a_definition_that_calls_nothing_needs_nothing() -> None:
    catalog = Catalog()
    assert CatalogResolver(unread).complete(calling(), catalog) == catalog


def test_what_is_installed_is_known_without_the_log() -> None:
    found = CatalogResolver(unread).complete(calling("print.line"), Catalog())
    spec = found.operation("print.line")
    assert spec is not None
    assert spec.title == "Print a line"


def test_the_catalog_file_comes_first() -> None:
    own = parse_catalog("operations: [{name: print.line, lane: mine}, {name: fraud.score, lane: mine}]")
    found = CatalogResolver(unread).complete(calling("print.line", "fraud.score"), own)
    assert {spec.name: spec.lane for spec in found.operations if spec.name in ("print.line", "fraud.score")} == {
        "print.line": "mine",
        "fraud.score": "mine",
    }


def test_plugins_and_published_definitions_come_from_the_log() -> None:
    asked: list[int] = []

    def read() -> Snapshot:
        asked.append(1)
        return a_log()

    around = CatalogResolver(read)
    found = around.complete(calling("fraud.score", "print.line", run="child"), Catalog())
    spec, child = found.operation("fraud.score"), found.definition("child", "1")
    assert spec is not None
    assert spec.lane == "models"
    assert child == ChildSpec(
        name="child", version="1", sha=sha256_of(canonical(CHILD, Catalog())), input=CHILD.input or {}
    )
    assert [event.name for event in around.events().events] == ["order.placed"]
    assert asked == [1]


def test_a_plugin_whose_record_cannot_be_read_and_a_retired_version_are_left_out() -> None:
    assert [spec.name for spec in published_operations(a_log())] == ["fraud.score"]
    assert published_definitions(a_log(retired=True)) == []


def test_a_definition_of_the_same_command_is_found_before_it_is_published() -> None:
    around = CatalogResolver(unread)
    content = canonical(CHILD, Catalog())
    around.add(child_of(content, sha256_of(content), Catalog()))
    found = around.complete(calling(run="child"), Catalog())
    assert found.definition("child", "1") is not None


def test_published_definitions_say_what_starts_them_and_what_they_emit() -> None:
    log = Snapshot()
    texts = {
        "zero@1": "on: [{id: a, event: a}]\nruns: one\nsteps: [{id: tell, emit: {event: b}}]",
        "above@1": "on: [{id: b, event: b}]\nsteps: [{id: tell, emit: {event: c}}, "
        "{id: kid, run: {definition: zero, version: '1'}}]",
        "above@2": "on: [{id: b, event: b}]\nsteps: [{id: p, print: {text: run.key}}]",
    }
    events = [EventSpec(name=name) for name in "abc"]
    children: list[ChildSpec] = []
    for reference, text in texts.items():
        name, _, version = reference.partition("@")
        definition = parse_definition(f'name: {name}\nversion: "{version}"\n{text}')
        content = canonical(definition, Catalog(events=events, definitions=children))
        sha = sha256_of(content)
        for key, value in (
            (f"definition/{sha}", content),
            (f"version/{reference}", msgspec.json.encode({"sha": sha, "published_ms": 5})),
            (f"name/{name}", msgspec.json.encode({"version": version, "sha": sha})),
        ):
            log.read(key.encode(), value, log.position)
        children = published_definitions(log)

    found = {f"{spec.name}@{spec.version}": (spec.runs, spec.starts_by, spec.emits) for spec in children}
    assert found == {
        "zero@1": ("one", ["a"], ["b"]),
        "above@1": ("many", [], ["b", "c"]),  # events start the newest version only
        "above@2": ("many", ["b"], []),
    }
    assert [spec.name for spec in children] == ["above", "above", "zero"]


def test_the_whole_log_is_read_for_warnings_only_where_that_is_asked_for() -> None:
    emitting = parse_definition('name: a\nversion: "1"\non: [{id: b, event: b}]\nsteps: [{id: t, emit: {event: c}}]')
    assert CatalogResolver(unread).complete(emitting, Catalog()).definitions == []
    known = CatalogResolver(a_log, whole=True).complete(emitting, Catalog())
    assert [spec.name for spec in known.definitions] == ["child"]
    assert CatalogResolver(unread, whole=True).complete(calling(), Catalog()) == Catalog()


def test_published_events_are_found_where_they_are_bound_to() -> None:
    log = a_log()
    assert [spec.topics for spec in CatalogResolver(lambda: log).events().events] == [[]]
    log.read(b"binding/order.placed", b'{"topics": ["prod.orders"]}', 9)
    assert [spec.topics for spec in CatalogResolver(lambda: log).events().events] == [["prod.orders"]]
