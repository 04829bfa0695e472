"""Records of lanes: the same task gives the same bytes, and where it was decided tells copies apart."""

from __future__ import annotations

import json

import msgspec
import pytest

from streamflow.engine.tasks import CancelTask, Task
from streamflow.engine.trace import Trace
from streamflow.wire.codec import DecodeError
from streamflow.wire.tasks import Source, decode_task, encode_task, named_attempt, source_header, source_of

TASK = Task(
    id="r/s/1",
    idempotency_key="r/s",
    run="r",
    definition="order",
    version="1",
    key="k",
    step="s",
    attempt=1,
    operation="pay",
    input={"b": 1, "a": [None, 2.5, "x"]},
    timeout_ms=1000,
    queue_ms=2000,
)


@pytest.mark.parametrize("task", [TASK, CancelTask("r/s/1", "k")])
def test_a_task_comes_back_as_it_was(task: Task | CancelTask) -> None:
    assert decode_task(encode_task(task)) == task


def test_the_order_in_which_data_was_built_does_not_show() -> None:
    one = msgspec.structs.replace(TASK, input={"b": [{"y": 1, "x": 2}], "a": 3})
    other = msgspec.structs.replace(TASK, input={"a": 3, "b": [{"x": 2, "y": 1}]})
    assert encode_task(one) == encode_task(other)
    assert b'{"a":3,"b":[{"x":2,"y":1}]}' in encode_task(one)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b'{"kind":"other"}', b'{"kind":"cancel","id":1,"key":"k"}', b"[" * 5000, b'{"kind":"call"}', b"\xff"],
)
def test_what_is_no_task_is_told_without_its_content(data: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_task(data)
    assert caught.value.code == "bad_task"


@pytest.mark.parametrize("changes", [{"operation": None}, {"timeout_ms": "soon"}, {"input": "gone"}, {"definition": 7}])
def test_a_task_that_cannot_be_read_may_still_name_its_attempt(changes: dict[str, object]) -> None:
    whole = json.loads(encode_task(TASK)) | {"item": 3, "scope": "", "trace": {"parent": "t"}} | changes
    if changes == {"input": "gone"}:
        del whole["input"]
    data = json.dumps(whole).encode()
    with pytest.raises(DecodeError):
        decode_task(data)
    named = named_attempt(data)
    assert named is not None
    assert (named.id, named.run, named.key, named.address) == ("r/s/1", "r", "k", "s")
    assert (named.attempt, named.item, named.trace) == (1, 3, Trace("t"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b'{"kind":"call"}',
        b'{"kind":"cancel","id":"r/s/1","run":"r","key":"k","step":"s","attempt":1}',
        b'{"kind":"call","id":"r/s/1","run":"r","key":"k","step":"s","attempt":"first"}',
        b'{"kind":"call","id":"r/s/1","run":"r","key":7,"step":"s","attempt":1}',
        b'{"kind":"call","id":"r/s/1","run":"r","key":"k","step":"s","attempt":1,"input":' + b"[" * 5000,
        encode_task(TASK)[:-9],
    ],
)
def test_what_names_no_attempt_is_answered_by_nobody(data: bytes) -> None:
    assert named_attempt(data) is None


def test_the_source_is_a_header_that_anybody_can_read() -> None:
    source = Source("a/topic+id/", 123, 4)  # ids are base64
    assert source_header(source) == ("source", b"a/topic+id//123/4")
    assert source_of([("traceparent", b"x"), source_header(source)]) == source


@pytest.mark.parametrize("value", [b"", b"x", b"x/1", b"x/1/y", b"1/2", b"\xff/1/z"])
def test_a_header_that_is_no_source_is_none(value: bytes) -> None:
    assert source_of([("source", value)]) is None


def test_a_source_covers_what_was_decided_before_it_on_the_same_topic() -> None:
    source = Source("t", 10, 2)
    assert [source.covers(Source("t", *place)) for place in ((9, 5), (10, 1), (10, 2), (10, 3), (11, 0))] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert not source.covers(Source("another", 1, 0))
