from __future__ import annotations

import json

import pytest

from streamflow.definition.catalog import Binding
from streamflow.definition.content import canonical, covers, read_content, sha256_of
from streamflow.definition.syntax import parse_definition, to_yaml
from streamflow.history.searches import declared
from tests.hostile_records import VALUES
from tests.unit.definition.examples import CATALOG, GOOD, OUTSIDE


def test_content_holds_only_the_events_that_are_named_sorted_by_name() -> None:
    value = json.loads(canonical(parse_definition(GOOD), CATALOG))
    assert [event["name"] for event in value["catalog"]["events"]] == [
        "order.placed",
        "order.released",
        "payment.captured",
    ]


def test_content_is_compact_with_sorted_keys_and_the_names_that_authors_write() -> None:
    content = canonical(parse_definition(GOOD), CATALOG)
    assert (
        content == json.dumps(json.loads(content), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    )
    assert b'"if":"steps.total.amount > 100"' in content
    assert b'"schema":{' in content
    assert b"null" not in content.replace(b'"null"', b"")


def test_the_same_meaning_has_the_same_hash() -> None:
    definition = parse_definition(GOOD)
    assert sha256_of(canonical(definition, CATALOG)) == sha256_of(
        canonical(parse_definition(to_yaml(definition)), CATALOG)
    )
    other = parse_definition(GOOD.replace("24h", "25h"))
    assert sha256_of(canonical(definition, CATALOG)) != sha256_of(canonical(other, CATALOG))


def test_content_reads_back() -> None:
    definition = parse_definition(GOOD)
    content = canonical(definition, CATALOG)
    again, catalog = read_content(content)
    assert again == definition
    assert canonical(again, catalog) == content


def test_content_pins_the_operations_and_definitions_that_are_named() -> None:
    value = json.loads(canonical(parse_definition(OUTSIDE), CATALOG))
    assert [operation["name"] for operation in value["catalog"]["operations"]] == [
        "card.charge",
        "card.refund",
        "stock.reserve",
    ]
    assert value["catalog"]["operations"][0]["lane"] == "bank"
    assert [
        (child["name"], child["version"], child["sha"], "at" in child) for child in value["catalog"]["definitions"]
    ] == [("parcel", "1", "1a", False)]


def test_content_does_not_depend_on_the_order_of_the_catalog() -> None:
    definition = parse_definition(OUTSIDE)
    turned = CATALOG.model_copy(
        update={part: getattr(CATALOG, part)[::-1] for part in ("events", "operations", "definitions")}
    )
    assert canonical(definition, turned) == canonical(definition, CATALOG)


def test_an_operation_that_changes_makes_other_content() -> None:
    definition = parse_definition(OUTSIDE)
    changed = [
        spec.model_copy(update={"timeout": "21s"}) if spec.name == "card.charge" else spec
        for spec in CATALOG.operations
    ]
    assert canonical(definition, CATALOG.model_copy(update={"operations": changed})) != canonical(definition, CATALOG)


def test_content_of_what_calls_nothing_has_no_list_of_operations() -> None:
    content = canonical(parse_definition(GOOD), CATALOG)
    assert sha256_of(content) == "07dca0f3e874030cb81d0e4599c74b32586e3776e7edda3700a01dedb1f2cf21"
    assert list(json.loads(content)["catalog"]) == ["events"]


def test_a_catalog_covers_a_definition_when_it_has_all_that_is_named() -> None:
    definition = parse_definition(OUTSIDE)
    assert covers(CATALOG, definition)
    assert all(
        not covers(CATALOG.model_copy(update={part: []}), definition)
        for part in ("events", "operations", "definitions")
    )


def test_content_is_the_same_wherever_its_events_are_found() -> None:
    definition = parse_definition(GOOD)
    elsewhere = CATALOG.bound({spec.name: Binding(topics=[f"prod.{spec.name}"]) for spec in CATALOG.events})
    earlier = CATALOG.bound({spec.name: Binding(topics=spec.topics, start="earliest") for spec in CATALOG.events})
    content = canonical(definition, CATALOG)
    assert canonical(definition, elsewhere) == content
    assert canonical(definition, earlier) == content
    assert canonical(definition, CATALOG.bound({})) == content
    assert all(spec.topics == [] for spec in read_content(content)[1].events)


def test_a_binding_adds_nothing_but_where_an_event_is_found() -> None:
    spec = CATALOG.events[0]
    bound = spec.bound(Binding(topics=["a", "b"], start="earliest"))
    assert (bound.topics, bound.start) == (["a", "b"], "earliest")
    assert bound.logical() == spec.logical()
    assert {"topics", "start"}.isdisjoint(spec.logical())


def test_search_attributes_are_part_of_the_content_only_where_there_are_any() -> None:
    searched = GOOD + "\nsearch: [{name: city, path: trigger.address.city}]\n"
    content = json.loads(canonical(parse_definition(searched), CATALOG))["definition"]

    assert content["search"] == [{"name": "city", "path": "trigger.address.city"}]
    assert "search" not in json.loads(canonical(parse_definition(GOOD), CATALOG))["definition"]
    assert declared(canonical(parse_definition(searched), CATALOG)) == {"city": "trigger.address.city"}


@pytest.mark.parametrize("content", [value or b"" for value in VALUES.values()])
def test_content_that_cannot_be_read_declares_nothing(content: bytes) -> None:
    assert declared(content) == {}
    assert declared(b'{"definition": {"search": []}, "zz": ' + (content or b"null") + b"}") == {}
