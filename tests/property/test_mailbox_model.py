"""Event delivery: the specification holds for its reference, and finds every wrong variant of it.

`make mailbox` plays millions of operations."""

from __future__ import annotations

import pytest

from tests.model.mailbox.rules import RIGHT, VARIANTS
from tests.model.mailbox.search import find, hold, reference


@pytest.mark.parametrize("name", VARIANTS)
def test_a_wrong_variant_is_found(name: str) -> None:
    assert find({**RIGHT, **VARIANTS[name]}, 100_000, 60, first_only=True) is not None


def test_the_reference_keeps_the_laws() -> None:
    played, _, outcomes = hold(reference(RIGHT), 3_000, 1_000_000)
    assert played >= 3_000
    assert set(outcomes) == {"started", "claimed", "expired", "duplicate", "unclaimed", "refused", "overflow"}
