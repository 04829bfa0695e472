"""The reference of the language is held to the code: its examples are checked, its tables compared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamflow.definition.catalog import Catalog, ChildSpec, OperationError, OperationSpec
from streamflow.definition.check import CODES, check
from streamflow.definition.codes import ATTEMPTS
from streamflow.definition.content import canonical, sha256_of
from streamflow.definition.expression import ERRORS
from streamflow.definition.graph import kind_of
from streamflow.definition.model import (
    KINDS,
    Approval,
    Call,
    ChildRun,
    Definition,
    Each,
    Fail,
    Retry,
    RetryCode,
    Step,
    Trigger,
)
from streamflow.definition.syntax import parse_catalog, parse_definition

TEXT = (Path(__file__).parents[3] / "docs" / "definitions.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.S | re.M)
CATALOG = parse_catalog(next(block for block in BLOCKS if block.startswith("events:")))
DEFINITIONS = [block for block in BLOCKS if not block.startswith("events:")]


def published_before(block: str) -> Catalog:
    """The catalog with the examples before `block`, as if they were published in the order of the page."""
    catalog = CATALOG
    for earlier in DEFINITIONS[: DEFINITIONS.index(block)]:
        definition = parse_definition(earlier)
        child = ChildSpec(
            name=definition.name,
            version=definition.version,
            sha=sha256_of(canonical(definition, catalog)),
            input=definition.input or {},
        )
        catalog = catalog.model_copy(update={"definitions": [*catalog.definitions, child]})
    return catalog


def table(prefix: str) -> dict[str, str]:
    return {
        code: title
        for code, title in re.findall(r"^\| `([^`]+)` \| (.*) \|$", TEXT, re.M)
        if re.fullmatch(prefix, code)
    }


@pytest.mark.parametrize("block", DEFINITIONS, ids=lambda block: str(re.findall(r"name: (\S+)", block)[0]))
def test_every_example_can_be_published(block: str) -> None:
    found = [str(problem) for problem in check(parse_definition(block), published_before(block))]
    assert found == []


def test_the_examples_show_every_kind_of_step() -> None:
    assert {kind_of(step) for block in DEFINITIONS for step in parse_definition(block).steps} == set(KINDS)


def test_the_table_of_problems_is_that_of_the_code() -> None:
    assert table(r"SF\d{3}") == CODES


def test_the_table_of_errors_is_that_of_the_code() -> None:
    assert table("|".join(ERRORS)) == ERRORS


def test_the_table_of_what_attempts_end_with_is_that_of_the_code() -> None:
    assert table("|".join(ATTEMPTS)) == ATTEMPTS


def test_every_field_is_described() -> None:
    kinds = (
        Definition,
        Trigger,
        Step,
        Call,
        Retry,
        RetryCode,
        ChildRun,
        Each,
        Approval,
        Fail,
        OperationSpec,
        OperationError,
    )
    fields = {field.alias or name for kind in kinds for name, field in kind.model_fields.items()}
    assert [field for field in sorted(fields) if f"`{field}`" not in TEXT] == []
