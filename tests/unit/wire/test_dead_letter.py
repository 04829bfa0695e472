"""Dead letters: original bytes, ours beside them, never a payload in a message."""

from __future__ import annotations

import hashlib

from streamflow.wire.dead_letter import KEPT_BYTES, KEPT_KEY_BYTES, DeadLetter, dead_letter
from streamflow.wire.decoding import Record

RECORD = Record(
    "orders", 2, 7, 1_700_000_000_000, b"k", b"\xff value", (("ce_type", b"x"), ("odd", b"\xfe"), ("odd", b"2"))
)


def headers(letter: DeadLetter) -> dict[str, str]:
    return {
        name: value.decode()
        for name, value in letter.headers
        if name.startswith(("streamflow.dlq.", "__streams.errors."))
    }


def test_the_original_is_untouched_and_ours_follows() -> None:
    letter = dead_letter(
        RECORD, "not_json", "expected JSON", "ingress", topic_id="T", definition="loan", version=None, trigger=""
    )
    assert (letter.key, letter.value, letter.headers[:3]) == (RECORD.key, RECORD.value, RECORD.headers)
    own = headers(letter)
    assert own["streamflow.dlq.reason"] == "not_json"
    assert own["streamflow.dlq.stage"] == "ingress"
    assert own["streamflow.dlq.definition"] == "loan"
    assert (own["streamflow.dlq.topic"], own["streamflow.dlq.partition"], own["streamflow.dlq.offset"]) == (
        "orders",
        "2",
        "7",
    )
    assert "streamflow.dlq.version" not in own
    assert "streamflow.dlq.trigger" not in own
    assert {name for name in own if name.startswith("__")} == {
        f"__streams.errors.{name}" for name in ("exception", "message", "stacktrace", "topic", "partition", "offset")
    }


def test_the_same_refusal_of_the_same_record_has_the_same_id_and_another_has_another() -> None:
    def identity(reason: str = "r", definition: str | None = None) -> str:
        return headers(dead_letter(RECORD, reason, "m", "ingress", topic_id="T", definition=definition))[
            "streamflow.dlq.id"
        ]

    assert identity() == identity()
    assert identity().startswith("T/2/7/")
    assert len({identity(), identity(reason="other"), identity(definition="a"), identity(definition="b")}) == 4


def test_a_record_that_is_too_large_is_cut_and_says_what_it_was() -> None:
    value = b"x" * 1_000_000
    letter = dead_letter(
        RECORD._replace(key=b"k" * 5000, value=value), "event_too_large", "m", "ingress", limit_bytes=900_000
    )
    assert letter.value == value[:KEPT_BYTES]
    assert letter.key == b"k" * KEPT_KEY_BYTES
    own = headers(letter)
    assert (own["streamflow.dlq.truncated"], own["streamflow.dlq.size"]) == ("true", "1000000")
    assert own["streamflow.dlq.sha256"] == hashlib.sha256(value).hexdigest()


def test_a_record_with_large_headers_is_cut_too() -> None:
    letter = dead_letter(RECORD._replace(headers=(("h", b"x" * 950_000),)), "not_json", "m", "ingress")
    assert sum(len(value) for _, value in letter.headers) < 2000


def test_a_record_is_cut_when_what_we_say_of_it_makes_it_too_large() -> None:
    whole = dead_letter(RECORD._replace(value=b"x" * 890_000), "rejected", "m", "engine", state="s" * 30_000)
    assert len(whole.value or b"") == 890_000
    cut = dead_letter(RECORD._replace(value=b"x" * 890_000), "rejected", "m", "engine", state="s" * 200_000)
    assert len(cut.value or b"") == KEPT_BYTES
    assert headers(cut)["streamflow.dlq.state"] == "s" * 200_000


def test_a_record_without_key_and_value_has_a_dead_letter_that_kafka_takes() -> None:
    letter = dead_letter(RECORD._replace(key=None, value=None), "r", "m", "ingress")
    assert letter.value is not None or letter.key is not None
