from __future__ import annotations

import json

from streamflow.definition.content import canonical, covers, read_content, sha256_of
from streamflow.definition.syntax import parse_definition, to_yaml
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
        (child["name"], child["version"], child["sha"], child["at"]) for child in value["catalog"]["definitions"]
    ] == [("parcel", "1", "1a", 4)]


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


def test_content_of_what_calls_nothing_stays_what_it_was_before_there_were_calls() -> None:
    content = canonical(parse_definition(GOOD), CATALOG)
    assert sha256_of(content) == "1cad49ee14cbb69821fedece634db3415013a4f2cc458540be31b5c9afee5ed3"
    assert list(json.loads(content)["catalog"]) == ["events"]


def test_a_catalog_covers_a_definition_when_it_has_all_that_is_named() -> None:
    definition = parse_definition(OUTSIDE)
    assert covers(CATALOG, definition)
    assert all(
        not covers(CATALOG.model_copy(update={part: []}), definition)
        for part in ("events", "operations", "definitions")
    )
