"""Records that nobody of ours has written: what any reader of a shared topic may meet.

One table for all readers. A value or a key is bytes or None; what is readable for one topic is hostile for another.
"""

from __future__ import annotations

from typing import Any

Headers = tuple[tuple[str, Any], ...]

DEEP = b"[" * 50_000 + b"]" * 50_000  # 100 kB
NESTED = b'{"a":' * 400 + b"1" + b"}" * 400  # decodes, and is too deep for what looks at it afterwards

VALUES: dict[str, bytes | None] = {
    "null": None,
    "empty": b"",
    "no JSON": b"\x00\xff",
    "cut JSON": b'{"kind": "StartRun", "id": "x',
    "a number": b"7",
    "a list": b"[1, 2]",
    "null in JSON": b"null",
    "not a number": b"NaN",
    "deep": DEEP,
    "nested": NESTED,
    "half a surrogate": b'{"sha": "\\ud800", "version": "\\ud800", "topics": ["\\ud800"], "kind": "\\ud800"}',
    "invalid UTF-8 in a text": b'{"kind": "\xff\xfe", "run": "\xff"}',
    "a long number": b'{"sha": ' + b"9" * 5000 + b', "kind": 1e400}',
    "another kind": b'{"kind": "from the future", "id": "x", "run": "00000000-main-x"}',
    "no kind": b'{"id": "x", "run": "00000000-main-x"}',
    "wrong types": b'{"kind": 7, "run": [], "key": {}, "seq": "1", "data": 0, "at_ms": "soon"}',
    "a text of 200 kB": b'"' + b"x" * 200_000 + b'"',
}

KEYS: dict[str, bytes | None] = {
    "no key": None,
    "an empty key": b"",
    "a key that is no text": b"\xff\xfe\x00",
    "a key of 20 kB": b"k" * 20_000,
    "a key with escapes": b"\x1b[2Jkey\n\xe2\x80\xae",
}

HEADERS: dict[str, Headers] = {
    "no headers": (),
    "a header without a value": (("ce_type", None), ("source", None), ("streamflow.dlq.reason", None)),
    "an empty name": (("", b""), ("", b"x")),
    "bytes above 0x7f": (("ce_type", b"\xff\xfe"), ("source", b"\xff/\xff/\xff"), ("traceparent", b"\xff")),
    "the same name twice": (("source", b"a/1/2"), ("source", b"b/x/y"), ("ce_id", b"1"), ("ce_id", b"2")),
    "a header of 200 kB": (("x", b"x" * 200_000),),
    "many empty headers": tuple((f"{number}", b"") for number in range(20_000)),
    "words of Streamflow": (
        ("streamflow.dlq.reason", b"rejected"),
        ("streamflow.dlq.stage", b"engine"),
        ("streamflow.dlq.command", b"c1"),
        ("streamflow.dlq.code", b"run_open"),
        ("streamflow.dlq.state", b"{broken"),
        ("streamflow.dlq.partition", b"0"),
        ("streamflow.dlq.offset", b"0"),
        ("__streams.errors.message", b"a lie"),
        ("original.streamflow.dlq.reason", b"a lie"),
    ),
}
