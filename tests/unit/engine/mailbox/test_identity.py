"""What makes two deliveries the same event."""

from __future__ import annotations

import pytest

from streamflow.engine.mailbox.identity import identity


def test_an_identity_is_32_hexadecimal_digits() -> None:
    found = identity("paid", "https://shop.example", "p1")
    assert len(found) == 32
    assert set(found) <= set("0123456789abcdef")
    assert found == identity("paid", "https://shop.example", "p1")


@pytest.mark.parametrize(
    "other",
    [("Paid", "s", "1"), ("paid", "S", "1"), ("paid", "s", "01"), ("paids", "", "1"), ("paid", "s1", ""), ("", "", "")],
)
def test_another_name_source_or_id_is_another_event(other: tuple[str, str, str]) -> None:
    assert identity(*other) != identity("paid", "s", "1")


def test_text_that_utf_8_does_not_have_is_an_identity_too() -> None:
    assert identity("paid", "s", "\ud800") != identity("paid", "s", "\ud801")
