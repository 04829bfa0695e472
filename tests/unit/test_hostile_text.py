"""What reads text from outside takes time in proportion to it: every door with texts at which a careless reader takes
the square of their length, or more."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from streamflow.cli.redaction import without_passwords
from streamflow.definition.duration import parse_ms
from streamflow.definition.evaluator.times import parse_timestamp
from streamflow.definition.schema_types import with_fields
from streamflow.definition.syntax import nearest, parse_catalog, parse_definition
from streamflow.errors import DefinitionError, StreamflowError
from streamflow.importing.conditions import condition
from streamflow.importing.names import definition_name, operation_name, step_id, words
from streamflow.importing.policies import length
from streamflow.importing.report import Refused
from streamflow.importing.templates import LONGEST, Names, has_template
from streamflow.importing.workflow import import_workflow
from streamflow.operations.egress_policy import parse_url
from streamflow.sidecar.guard import _host_name
from streamflow.terminal import visible
from streamflow.wire.cloudevents import media_type
from streamflow.wire.event_time import epoch_ms
from streamflow.wire.json_text import read_json
from tests.conftest import TEST_ALL

SIZE = 200_000 if TEST_ALL else 50_000  # characters of a hostile text
FACTOR = 4  # the shorter text has so many times fewer
SQUARE = 10.0  # times as long for FACTOR times as much: 4 would be in proportion, 16 is the square
SHORT_S = 0.1  # of CPU: below it nothing is measured
BAD = (ValueError, StreamflowError, Refused, RecursionError)


def names() -> Names:
    return Names({"a": "a", "A" * 5000: "b"})


def process(**changes: Any) -> str:
    return json.dumps({"name": "p", "steps": [{"id": "a", "type": "x", **changes}]})


DOORS: dict[str, Callable[[str], Any]] = {
    "words": words,
    "step_id": lambda text: step_id(text, ()),
    "definition_name": definition_name,
    "operation_name": operation_name,
    "length": length,
    "template": lambda text: names().text(text),
    "template in a path": lambda text: names().text("{{" + text + "}}"),
    "has_template": has_template,
    "condition": lambda text: condition(text, names()),
    "nearest": lambda text: nearest(text, [text[:-1] + "x", "abc"]),
    "import": import_workflow,
    "import, an id": lambda text: import_workflow(process(id=text)),
    "import, a value": lambda text: import_workflow(process(config={"a": text})),
    "import, a name": lambda text: import_workflow(process(config={text: 1})),
    "import, a condition": lambda text: import_workflow(process(**{"if": text})),
    "import, a dependency": lambda text: import_workflow(process(dependsOn=[text])),
    "duration": parse_ms,
    "timestamp": parse_timestamp,
    "time of an event": epoch_ms,
    "expression": lambda text: with_fields(text[:LONGEST]),  # the model takes no longer one
    "url": parse_url,
    "host": _host_name,
    "media type": media_type,
    "json": lambda text: read_json(text.encode()),
    "terminal": visible,
    "settings": without_passwords,
}
TEXTS: dict[str, str] = {
    "letters": "a",
    "capitals": "A",
    "capital pairs": "Ab",
    "digits": "1",
    "spaces": " ",
    "lines": "\n",
    "opening templates": "{{",
    "opening triple templates": "{{{",
    "templates": "{{a}}",
    "empty templates": "{{}}",
    "templates in templates": "{{{{a}}",
    "closing braces": "}}",
    "dots": ".",
    "dotted": "a.",
    "indexes": "a[0]",
    "opening indexes": "['",
    "quotes": "'",
    "double quotes": '"',
    "escaped quotes": "\\'",
    "triple quotes": '"""\\',
    "raw triple quotes": "r'''\\",
    "backslashes": "\\",
    "minutes": "1m",
    "milliseconds": "1ms1m",
    "calls": "a (",
    "exclamations": "!",
    "comparisons": "a==",
    "slashes": "/",
    "colons": ":",
    "ats": "@",
    "semicolons": ";",
    "brackets": "[",
    "braces": "{",
    "escapes": "\x1b[",
    "zero widths": "\u200b",
    "addresses": "://a:b@",
    "secret names": "password",
}


def seconds(call: Callable[[str], Any], text: str) -> float:
    """CPU of this thread."""
    began = time.thread_time()
    with contextlib.suppress(*BAD):
        call(text)
    return time.thread_time() - began


def is_superlinear(call: Callable[[str], Any], text: Callable[[int], str], size: int) -> bool:
    """Whether `call` takes far more than in proportion; asked three times before it is said."""
    for _ in range(3):
        whole = seconds(call, text(size))
        if whole < SHORT_S or whole < SQUARE * max(seconds(call, text(size // FACTOR)), SHORT_S / SQUARE):
            return False
    return True


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.timeout(60)
def test_no_door_takes_the_square_of_a_text(door: str) -> None:
    slow = [
        name
        for name, unit in TEXTS.items()
        for end in ("", "!")
        if is_superlinear(DOORS[door], lambda size, unit=unit, end=end: unit * (size // len(unit)) + end, SIZE)  # type: ignore[misc]
    ]
    assert slow == []


YAML: dict[str, Callable[[int], str]] = {
    "flow sequences": lambda size: "[" + "[]," * (size // 3) + "]",
    "flow mappings": lambda size: "{" + "a," * (size // 2) + "}",
    "depth": lambda size: "[" * size,
    "depth of blocks": lambda size: "".join(" " * level + "a:\n" for level in range(int(size**0.5))),
    "dashes": lambda size: "- " * (size // 2),
    "anchors": lambda size: "[" + ",".join(f"&a{number} x" for number in range(size // 12)) + "]",
    "fields": lambda size: "".join(f"k{number}: 1\n" for number in range(size // 9)),
    "merge keys": lambda size: (
        "a0: &a0 {x: 1}\n"
        + "".join(f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, min(size // 60, 30)))
    ),
    "aliases": lambda size: (
        "a0: &a0 [x]\n"
        + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, min(size // 60, 30)))
    ),
    "tags": lambda size: "!" * size,
    "quoted": lambda size: '"' + "\\x41" * (size // 4) + '"',
    "unfinished": lambda size: '"' + "a" * size,
    "blocks": lambda size: "a: |\n" + "  x\n" * (size // 4),
    "hexadecimal": lambda size: "0x" + "f" * size,
    "digits": lambda size: "1" * size,
    "comments": lambda size: "#\n" * (size // 2),
}


@pytest.mark.parametrize("parse", [parse_definition, parse_catalog])
@pytest.mark.parametrize("kind", YAML)
def test_yaml_takes_time_in_proportion(kind: str, parse: Callable[[str], Any]) -> None:
    assert not is_superlinear(parse, YAML[kind], 20_000)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a {x: 1}\nb: {<<: *a}",
        "a: &a {x: 1}\nb:\n  <<: [*a, *a]",
        "<<: {name: a}",
        '{"<<": {"name": "a"}}\n',
        "a: {b: [{? <<: {c: 1}}]}",
    ],
)
def test_merge_keys_are_refused_with_their_place(text: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_definition(text)
    problem = caught.value.problems[0]
    quoted = '"<<"' in text
    assert ("merge keys (<<) are not read" in problem.message) is not quoted  # in quotes it is a name like any other
    assert "line" in problem.message or quoted


def test_a_process_of_too_many_steps_is_refused() -> None:
    with pytest.raises(DefinitionError) as caught:
        import_workflow(json.dumps({"name": "p", "steps": [{"id": "a"}] * 1001}))
    assert caught.value.problems[0].code == "SF231"
