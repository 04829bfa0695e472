from __future__ import annotations

import json

from streamflow.definition.content import canonical, read_content, sha256_of
from streamflow.definition.syntax import parse_definition, to_yaml
from tests.unit.definition.examples import CATALOG, GOOD


def test_content_holds_only_the_events_that_are_named_sorted_by_name() -> None:
    value = json.loads(canonical(parse_definition(GOOD), CATALOG))
    assert [event["name"] for event in value["catalog"]["events"]] == ["order.placed", "order.released", "payment.captured"]


def test_content_is_compact_with_sorted_keys_and_the_names_that_authors_write() -> None:
    content = canonical(parse_definition(GOOD), CATALOG)
    assert content == json.dumps(json.loads(content), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert b'"if":"steps.total.amount > 100"' in content
    assert b'"schema":{' in content
    assert b"null" not in content.replace(b'"null"', b"")


def test_the_same_meaning_has_the_same_hash() -> None:
    definition = parse_definition(GOOD)
    assert sha256_of(canonical(definition, CATALOG)) == sha256_of(canonical(parse_definition(to_yaml(definition)), CATALOG))
    other = parse_definition(GOOD.replace("24h", "25h"))
    assert sha256_of(canonical(definition, CATALOG)) != sha256_of(canonical(other, CATALOG))


def test_content_reads_back() -> None:
    definition = parse_definition(GOOD)
    content = canonical(definition, CATALOG)
    again, catalog = read_content(content)
    assert again == definition
    assert canonical(again, catalog) == content
