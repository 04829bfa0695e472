"""The official JSON Schema test suite, drafts 7 and 2020-12, by our validation and by our reading of schemas."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from streamflow.definition.json_pointer import pointer
from streamflow.definition.schema_faults import MASK, FoundFaults
from streamflow.definition.schema_shape import Shape, shape_of, types_of
from streamflow.definition.schema_types import typed_environment, with_fields
from streamflow.definition.validation import SchemaFault, compiled
from tests.shared_data import archive, json_files, missing

SUITE = "json-schema-suite"
pytestmark = pytest.mark.skipif(not archive(SUITE).exists(), reason=missing(SUITE))

# Tests of each draft, and how many of them validation answers as the suite does.
SCORES = {"draft7": (1721, 1696), "draft2020-12": (2225, 2152)}

ELSEWHERE = "it refers to a schema of another place, which is never fetched"
DIALECT = "its own dialect (`$schema`) is that of another place, which is never fetched"
FORMAT = "`format` is checked in every draft; 2020-12 leaves that to the reader"

# What is answered otherwise: file and the beginning of the group's name, reason.
DEVIATIONS = [
    ("draft7/refRemote", "", ELSEWHERE),
    ("draft7/optional/cross-draft", "refs to future drafts", ELSEWHERE),
    ("draft2020-12/refRemote", "", ELSEWHERE),
    ("draft2020-12/dynamicRef", "strict-tree schema", ELSEWHERE),
    ("draft2020-12/dynamicRef", "tests for implementation dynamic anchor", ELSEWHERE),
    ("draft2020-12/dynamicRef", "$ref and $dynamicAnchor are independent of order", ELSEWHERE),
    ("draft2020-12/dynamicRef", "$ref to $dynamicRef finds detached $dynamicAnchor", ELSEWHERE),
    ("draft2020-12/optional/cross-draft", "", ELSEWHERE),
    ("draft2020-12/optional/format-assertion", "", DIALECT),
    ("draft2020-12/vocabulary", "", DIALECT),
    ("draft2020-12/format", "", FORMAT),
]


@dataclass(frozen=True, slots=True)
class Group:
    """One schema of the suite with its tests: (description, data, valid)."""

    draft: str
    file: str  # such as draft7/ref
    name: str
    schema: Any
    tests: tuple[tuple[str, Any, bool], ...]

    @property
    def reason(self) -> str | None:
        """Why it may be answered otherwise."""
        found = (why for file, name, why in DEVIATIONS if self.file == file and self.name.startswith(name))
        return next(found, None)


@lru_cache(maxsize=1)
def groups() -> tuple[Group, ...]:
    found = []
    for path, content in json_files(SUITE).items():
        file = path.removeprefix("tests/").removesuffix(".json")
        draft = file.partition("/")[0]
        for one in content:
            schema = one["schema"]
            if draft == "draft7" and isinstance(schema, dict):  # the folder says it, the schemas do not
                schema = {"$schema": "http://json-schema.org/draft-07/schema#", **schema}
            tests = tuple((test["description"], test["data"], test["valid"]) for test in one["tests"])
            found.append(Group(draft, file, one["description"], schema, tests))
    return tuple(found)


def answers(group: Group) -> list[bool | None]:
    """What validation says of each test; None where the schema cannot be used."""
    schema = group.schema if isinstance(group.schema, dict) else {"allOf": [group.schema]}
    try:
        validator = compiled(schema)
    except SchemaFault:
        return [None] * len(group.tests)
    return [validator.is_valid(data) for _, data, _ in group.tests]


def test_validation_answers_as_the_suite_does_but_for_the_named_deviations() -> None:
    total, right = Counter[str](), Counter[str]()
    unnamed, needless = [], {(file, name) for file, name, _ in DEVIATIONS}
    for group in groups():
        for (test, _, valid), answer in zip(group.tests, answers(group), strict=True):
            total[group.draft] += 1
            right[group.draft] += answer is valid
            if answer is not valid:
                needless -= {
                    (file, name) for file, name in needless if group.file == file and group.name.startswith(name)
                }
                if group.reason is None:
                    unnamed.append(f"{group.file}: {group.name}: {test}: {answer}")
    assert not unnamed, "\n".join(unnamed)
    assert not needless
    assert {draft: (total[draft], right[draft]) for draft in total} == SCORES


def test_what_is_told_of_a_value_are_the_places_and_words_of_the_engine() -> None:
    """But for what is not evaluated because something else is wrong, and references that depend on the way to them."""
    other, told, bare = [], 0, 0
    for group in groups():
        if not isinstance(group.schema, dict) or None in answers(group):
            continue
        validator = compiled(group.schema, masked=True)
        engine = jsonschema_rs.validator_for(validator.schema, validate_formats=True, mask=MASK)
        for test, data, _ in group.tests:
            if validator.is_valid(data):
                continue
            errors = {(pointer(error.instance_path), str(error.message)) for error in engine.iter_errors(data)}
            faults = FoundFaults(validator.table, data).faults
            told += 1
            bare += validator.table is None
            missing = errors - {(place, words.split(" but ")[0]) for place, words in faults}
            if validator.table is not None and any("Unevaluated" not in words for _, words in missing):
                other.append(f"{group.file}: {group.name}: {test}: {missing}")
            assert {place for place, _ in faults} <= {place for place, _ in errors} | {""}, (group.name, test)
    assert not other, "\n".join(other)
    assert told > 1500
    assert bare < 20


def test_the_docs_give_the_score() -> None:
    page = " ".join((Path(__file__).parents[3] / "docs" / "definitions.md").read_text().split())
    (of_7, right_7), (of_2020, right_2020) = SCORES["draft7"], SCORES["draft2020-12"]
    assert f"validation answers {right_7} of {of_7} tests of draft 7 and {right_2020} of {of_2020} of draft" in page


def test_no_schema_is_refused_but_those_that_refer_to_other_places() -> None:
    refused = [group for group in groups() if None in answers(group)]
    assert {group.reason for group in refused} == {ELSEWHERE, DIALECT}


def test_whatever_a_schema_declares_can_be_read() -> None:
    unreadable, read = [], 0
    for group in groups():
        if not isinstance(group.schema, dict):
            continue
        environment, _ = typed_environment({"event": group.schema})
        for path in sorted(declared(group.schema, group.schema, "event", 4)):
            read += 1
            try:
                environment.compile(with_fields(path))
            except RuntimeError as error:
                unreadable.append(f"{group.file}: {group.name}: {path}: {error}")
    assert not unreadable, "\n".join(unreadable[:20])
    assert read > 200


def test_what_is_told_of_a_schema_holds_for_every_value_that_it_allows() -> None:
    wrong, looked = [], 0
    for group in groups():
        shape = shape_of(group.schema)
        for test, data, valid in group.tests:
            if valid and group.reason is None:
                looked += 1
                if not holds(shape, data):
                    wrong.append(f"{group.file}: {group.name}: {test}: {shape}: {data!r}"[:500])
    assert not wrong, "\n".join(wrong[:20])
    assert looked > 1500


_WITHIN = ("allOf", "anyOf", "oneOf")
_BESIDE = ("if", "then", "else")


def declared(schema: Any, root: Any, at: str, depth: int) -> Iterator[str]:
    """Paths of the properties that `schema` declares, by the plainest reading of it."""
    if not isinstance(schema, Mapping) or depth == 0:
        return
    for name, part in (schema.get("properties") or {}).items():
        path = f"{at}[{quoted(name)}]"
        yield path
        yield from declared(part, root, path, depth - 1)
    if isinstance(schema.get("items"), Mapping):
        yield from declared(schema["items"], root, f"{at}[0]", depth - 1)
    inside = [part for keyword in _WITHIN for part in schema.get(keyword) or ()]
    inside += [schema[keyword] for keyword in _BESIDE if keyword in schema]
    inside += list((schema.get("dependentSchemas") or {}).values())
    reference = schema.get("$ref")
    if isinstance(reference, str) and re.fullmatch(r"#(/[A-Za-z$0-9]+)*", reference):
        target = root
        for part in reference.split("/")[1:]:
            target = target.get(part) if isinstance(target, Mapping) else None
        inside.append(target)
    for part in inside:
        yield from declared(part, root, at, depth - 1)


def quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return '"' + "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in escaped) + '"'


def holds(shape: Shape, value: Any) -> bool:
    """Whether what `shape` tells is true of `value`."""
    types = types_of(shape)
    if "properties" in shape and "type" not in shape and not isinstance(value, dict):
        return True  # that properties are those of an object is taken for granted
    if types and not any(is_of(value, name) for name in types):
        return False
    if isinstance(value, dict):
        if any(name not in value for name in shape.get("required", ())):
            return False
        return all(holds(shape.get("properties", {}).get(name, Shape()), part) for name, part in value.items())
    return not isinstance(value, list) or all(holds(shape.get("items", Shape()), part) for part in value)


def is_of(value: Any, name: str) -> bool:
    if isinstance(value, bool) or value is None:
        return name == ("null" if value is None else "boolean")
    if isinstance(value, int | float):
        return name == "number" or (name == "integer" and value == int(value))
    return name == ("string" if isinstance(value, str) else "array" if isinstance(value, list) else "object")
