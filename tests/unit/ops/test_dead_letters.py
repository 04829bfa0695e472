"""Dead letters as people see them: their state, where their data came from, and which of them a filter means."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.errors import Rejected
from streamflow.ops.dead_letters import Letter, letters_of, select
from streamflow.wire.dead_letter import PREFIX, DeadLetter, Outgoing, dead_letter, original_of
from streamflow.wire.decoding import Record
from streamflow.wire.settlement import Settlement, encode_settlement, is_settlement


def kept(letter: DeadLetter, offset: int, at_ms: int = 0) -> Record:
    return Record("streamflow.dead-letters", 0, offset, at_ms, letter.key, letter.value, letter.headers)


def a_record(offset: int = 7, topic: str = "orders", **changes: Any) -> Record:
    return Record(topic, 2, offset, 0, b"k", b"{", ())._replace(**changes)


def a_letter(offset: int, reason: str = "not_json", topic: str = "orders", **facts: Any) -> Record:
    return kept(
        dead_letter(a_record(offset, topic), reason, "m", "ingress", topic_id="T", **facts), offset, offset * 1000
    )


def test_a_letter_is_open_until_a_settlement_names_it_and_the_last_one_counts() -> None:
    first, second = a_letter(1), a_letter(2)
    names = [letter.id for letter in letters_of(iter([first, second]))]
    ends = [
        Settlement(letter=names[0], state="dropped", why="noise"),
        Settlement(letter=names[0], state="replayed", topic="orders", partition=2, offset=9),
        Settlement(letter="unknown", state="dropped"),
    ]
    records = [first, second, *(kept(encode_settlement(end), 3 + n) for n, end in enumerate(ends))]

    letters = letters_of(iter(records))

    assert [(letter.number, letter.state) for letter in letters] == [(1, "replayed"), (2, "open")]
    assert [letter.state for letter in letters_of(iter(records[:3]))] == ["dropped", "open"]


def test_a_copy_of_a_letter_is_no_other_letter() -> None:
    (letter,) = letters_of(iter([a_letter(1), a_letter(1)._replace(offset=5)]))
    assert letter.number == 1


def test_no_producer_of_a_source_settles_a_letter() -> None:
    real = kept(encode_settlement(Settlement(letter="L", state="dropped")), 1)
    forged = kept(dead_letter(a_record(headers=real.headers, value=real.value), "not_json", "m", "ingress"), 2)
    assert is_settlement(real)
    assert not is_settlement(forged)


def test_a_settlement_that_cannot_be_read_changes_nothing() -> None:
    letter = a_letter(1)
    (known,) = letters_of(iter([letter]))
    broken = kept(encode_settlement(Settlement(letter=known.id, state="dropped")), 2)._replace(value=b"{")
    assert [one.state for one in letters_of(iter([letter, broken]))] == ["open"]


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("ce_id", b"1"), ("ce_type", b"x")),
        (("odd", b"\xfe"), ("odd", b"2")),
        ((f"{PREFIX}reason", b"forged"), ("__streams.errors.topic", b"other")),
        (("original.header", b"stays"),),
    ],
)
def test_the_original_comes_back_as_it_was(headers: tuple[tuple[str, bytes], ...]) -> None:
    record = a_record(headers=headers, value=b"\xff\x00")
    assert original_of(kept(dead_letter(record, "not_json", "m", "ingress"), 1)) == Outgoing(b"k", b"\xff\x00", headers)


def test_a_record_that_was_cut_does_not_come_back() -> None:
    letter = dead_letter(a_record(value=b"x" * 1000), "event_too_large", "m", "ingress", limit_bytes=10)
    assert original_of(kept(letter, 1)) is None


@pytest.mark.parametrize(
    ("facts", "place"),
    [
        ({"topic": "orders", "partition": "2", "offset": "7"}, "orders/2/7"),
        ({"topic": "weights", "partition": "-1", "offset": "-1"}, "weights"),
        (
            {
                "topic": "streamflow.commands",
                "partition": "8",
                "offset": "591",
                "source_topic": "orders",
                "source_partition": "0",
                "source_offset": "3",
            },
            "orders/0/3",
        ),
    ],
)
def test_the_place_is_that_of_the_data(facts: dict[str, str], place: str) -> None:
    assert Letter(number=1, id="L", at_ms=0, key=None, facts=facts).place == place


SETTLED = encode_settlement(Settlement(letter=letters_of(iter([a_letter(4)]))[0].id, state="dropped"))
LETTERS = letters_of(
    iter(
        [
            a_letter(1),
            a_letter(2, "schema_mismatch", definition="loan"),
            a_letter(3, "schema_mismatch", "payments"),
            a_letter(4),
            kept(SETTLED, 5),
            a_letter(6),
        ]
    )
)


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ({"reason": "schema_mismatch"}, [2, 3]),
        ({"topic": "orders"}, [1, 2, 6]),
        ({"definition": "loan"}, [2]),
        ({"since_ms": 3000}, [3, 6]),
        ({"topic": "orders", "limit": 2}, [1, 2]),
        ({"topic": "orders", "reason": "not_json"}, [1, 6]),
        ({"numbers": [4, 1, 4]}, [4, 1]),
    ],
)
def test_filters_choose_the_oldest_open_letters_and_numbers_what_they_name(
    filters: dict[str, Any], numbers: list[int]
) -> None:
    assert [letter.number for letter in select(LETTERS, **filters)] == numbers


def test_nothing_is_chosen_without_a_filter_and_an_unknown_number_is_refused() -> None:
    for numbers, code in (([], "selection_missing"), ([1, 99], "letter_unknown")):
        with pytest.raises(Rejected) as caught:
            select(LETTERS, numbers)
        assert caught.value.code == code
