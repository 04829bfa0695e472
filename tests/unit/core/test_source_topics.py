"""What published versions want to be read: topics of events, limits, and where reading begins."""

from __future__ import annotations

from typing import Any

from streamflow.core.source_topics import FirstPosition, source_binding
from streamflow.definition.catalog import Binding, Catalog, TopicEnds
from streamflow.definition.compile import compile_plan
from streamflow.definition.model import Definition
from streamflow.engine.match import Published


def version(
    bindings: dict[str, Binding], *, on: str = "placed", waits: str = "", within: str | None = None, **more: Any
) -> Published:
    events = [{"name": name} for name in ("placed", "paid", "signed")]
    catalog = Catalog.model_validate({"events": events})
    limit: dict[str, Any] = {"within": within} if within else {"forever": True}
    wait = {"id": "w", "wait": {"events": [{"id": "e", "event": waits}], **limit}}
    whole = {
        "name": "loan",
        "version": "1",
        "on": [{"id": "t", "event": on}],
        "steps": [wait] if waits else [{"id": "p", "print": {"text": "'x'"}}],
    }
    plan = compile_plan(Definition.model_validate(whole), catalog, "sha")
    return Published(
        plan=plan,
        specs={spec.name: spec.bound(bindings.get(spec.name)) for spec in catalog.events},
        at=1,
        newest=more.get("newest", True),
        published_ms=more.get("published_ms", 0),
        bound_ms={name: binding.bound_ms for name, binding in bindings.items()},
    )


def bound(*topics: str, at_ms: int = 0, **more: Any) -> Binding:
    return Binding(topics=list(topics), bound_ms=at_ms, **more)


def test_an_event_has_the_topics_of_its_binding_and_is_limited_where_some_wait_is() -> None:
    bindings = {"placed": bound("orders"), "paid": bound("b", "a"), "signed": bound("a")}
    found = source_binding([version(bindings, waits="paid", within="1h"), version(bindings, waits="signed")], bindings)
    assert found.topics == {"paid": ("a", "b"), "placed": ("orders",), "signed": ("a",)}
    assert found.limited == {"paid"}
    assert found.limited_topics() == {"a", "b"}
    assert found.feeds("a") == {"paid": ("a", "b")}
    assert found.feeds("orders") == {}


def test_an_older_version_reads_what_its_runs_may_wait_for_and_no_triggers() -> None:
    bindings = {"placed": bound("orders"), "paid": bound("a")}
    found = source_binding([version(bindings, waits="paid", newest=False)], bindings)
    assert found.topics == {"paid": ("a",)}


def test_reading_begins_with_the_first_publication_that_names_the_topic() -> None:
    early, late = TopicEnds(id="A", offsets={"0": 5}), TopicEnds(id="A", offsets={"0": 9})
    bindings = {
        "placed": bound("a", at_ms=20, ends={"a": late}),
        "paid": bound("a", "b", at_ms=10, ends={"a": early}),
    }
    found = source_binding([version(bindings, waits="paid", published_ms=15)], bindings)
    assert found.first == {
        "a": FirstPosition(earliest=False, published_ms=15, ends=early),
        "b": FirstPosition(earliest=False, published_ms=15, ends=None),
    }


def test_one_event_that_wants_a_topic_from_its_beginning_is_enough() -> None:
    bindings = {"placed": bound("a"), "paid": bound("a", start="earliest")}
    assert source_binding([version(bindings, waits="paid")], bindings).first["a"].earliest
