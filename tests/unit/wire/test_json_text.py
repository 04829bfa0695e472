"""The one reader of JSON from outside."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.wire.cloudevents import NO_ATTRIBUTES, batch, structured
from streamflow.wire.codec import DecodeError
from streamflow.wire.event_time import epoch_ms
from streamflow.wire.json_text import MAX_DEPTH, read_json


def refused(data: bytes) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        read_json(data)
    return caught.value


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'"\\ud83d\\udc4b"', "\U0001f44b"),
        (b'{"\\uD83D\\uDE00": "\\\\ud83d"}', {"\U0001f600": "\\ud83d"}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b"-9223372036854775809", -9223372036854775809),
        (b"[10.0, 1e3]", [10.0, 1000.0]),
        (b'"a\\u0000b"', "a\0b"),
        (b" null ", None),
    ],
)
def test_json_is_read_as_it_is_written(data: bytes, value: Any) -> None:
    found = read_json(data)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", "not_json", "ends too early"),
        (b"{} x", "not_json", "trailing characters"),
        (b"NaN", "not_json", "invalid character"),
        (b'{"a": [Infinity]}', "not_json", "invalid character"),
        (b"[-Infinity]", "not_json", "invalid character"),
        (b"'a'", "not_json", "invalid character"),
        (b'"\xff"', "not_json", "not UTF-8"),
        (b'{"k\xc3": 1}', "not_json", "not UTF-8"),
        (b'["\xed\xa0\x80"]', "not_json", "not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not_json", "UTF-16"),
        (b"\xfe\xff\x00{", "not_json", "UTF-16"),
        (b"\x1f\x8b\x08\x00rest", "not_json", "gzip"),
        (b"\xef\xbb\xbf\xef\xbb\xbf{", "not_json", "ends too early"),
        (b"\0\0\0\x01\x02{}", "schema_registry_format", "schema id 258"),
        (b"\0", "not_json", "invalid character"),
        (b'"\\ud83d"', "lone_surrogate", "half of a character"),
        (b'{"a": "\\udc4b"}', "lone_surrogate", "half of a character"),
        (b'"\\ud83d\\ud83d\\udc4b"', "lone_surrogate", "half of a character"),
        (b'"\\ud83d \\udc4b"', "lone_surrogate", "half of a character"),
        (b'"\\ud83d\\n"', "lone_surrogate", "half of a character"),
        (b'{"\\uDBFF": 1}', "lone_surrogate", "half of a character"),
        (b"1e400", "out_of_range", "1.8e308"),
        (b'{"a": [-1e999]}', "out_of_range", "1.8e308"),
        (b"1" * 5000, "out_of_range", "too large"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "too_deep", "deep"),
        (b'{"a":' * 50_000, "too_deep", "deep"),
    ],
)
def test_what_is_no_json_says_why(data: bytes, code: str, words: str) -> None:
    error = refused(data)
    assert (error.code, error.retryable) == (code, False)
    assert words in error.message


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=20))
def test_what_another_writer_writes_is_read(value: Any) -> None:
    assert read_json(json.dumps(value).encode()) == value


@given(st.binary(max_size=60) | st.text('{}[]",:\\ud83dc4bnul0e19.-\0', max_size=40).map(str.encode))
def test_any_bytes_give_a_value_or_a_code(data: bytes) -> None:
    try:
        found = read_json(data)
    except DecodeError as error:
        assert error.code in {"not_json", "lone_surrogate", "out_of_range", "schema_registry_format", "too_deep"}
    else:
        json.dumps(found, allow_nan=False).encode()


OBJECT: tuple[Any, str] = ({}, "an object")
ARRAY: tuple[Any, str] = ([], "an array")
TEXT, TRUTH, NUMBER, NULL = ("", "a text"), (True, "true or false"), (1.5, "a number"), (None, "null")


@pytest.mark.parametrize(
    ("read", "value", "said"),
    [
        *((batch, value, f"is {kind}.") for value, kind in (OBJECT, TEXT, TRUTH, NUMBER, NULL)),
        *(
            (lambda one: structured(one, NO_ATTRIBUTES), value, f"is {kind}.")
            for value, kind in (ARRAY, TEXT, TRUTH, NULL)
        ),
        *((epoch_ms, value, f"is {kind}.") for value, kind in (OBJECT, ARRAY, TRUTH)),
    ],
)
def test_messages_name_the_kind_of_a_value_in_the_words_of_json(
    read: Callable[[Any], Any], value: Any, said: str
) -> None:
    with pytest.raises(DecodeError) as refused:
        read(value)
    assert said in refused.value.message
