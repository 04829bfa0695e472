"""The time of an event, as producers write it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.definition.catalog import TimeUnit
from streamflow.wire.codec import DecodeError
from streamflow.wire.event_time import epoch_ms

NEW_YEAR = 1_767_225_600_000  # 2026-01-01T00:00:00Z


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-01-01T00:00:00Z", NEW_YEAR),
        ("2026-01-01t00:00:00z", NEW_YEAR),
        ("2026-01-01 00:00:00Z", NEW_YEAR),
        ("2026-01-01T01:00:00.000+0100", NEW_YEAR),
        ("2026-01-01T00:00:00-00:00", NEW_YEAR),
        ("2026-01-01T00:00:00.1Z", NEW_YEAR + 100),
        ("2026-01-01T00:00:00.123456+00:00", NEW_YEAR + 123),
        ("2026-01-01T00:00:00.123999999999999999Z", NEW_YEAR + 123),
        ("2025-12-31T23:59:60Z", NEW_YEAR),
        ("2025-12-31T18:59:60.5-05:00", NEW_YEAR + 500),
        ("2011-10-01T00:38:44.546+02:00", 1_317_422_324_546),
        ("1969-12-31T23:59:59.999Z", -1),
    ],
)
def test_times_are_rfc_3339(text: str, ms: int) -> None:
    assert epoch_ms(text) == ms
    assert epoch_ms(text, "us") == ms


@pytest.mark.parametrize("as_", [int, str])
@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (NEW_YEAR // 1000, "s"),
        (NEW_YEAR, "ms"),
        (NEW_YEAR * 1000 + 999, "us"),
        (NEW_YEAR * 1_000_000 + 999_999, "ns"),
    ],
)
def test_numbers_are_times_with_and_without_their_unit(value: int, unit: TimeUnit, as_: type) -> None:
    assert epoch_ms(as_(value), unit) == NEW_YEAR
    assert epoch_ms(as_(value)) == NEW_YEAR


@pytest.mark.parametrize(
    ("value", "unit", "ms"),
    [
        (1_767_225_600.123, None, NEW_YEAR + 123),
        ("1767225600.9999", None, NEW_YEAR + 999),
        (1_700_000_000.001, "s", 1_700_000_000_001),
        (1.7672256e12, None, NEW_YEAR),
        (0, "ms", 0),
        (-1, "us", -1),
        (20240101, "s", 20_240_101_000),
        (86_400_000_000, "us", 86_400_000),
    ],
)
def test_the_unit_decides_where_it_is_named(value: Any, unit: TimeUnit | None, ms: int) -> None:
    assert epoch_ms(value, unit) == ms


@pytest.mark.parametrize(
    "value",
    [
        "",
        "yesterday",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-13-01T00:00:00Z",
        "2026-01-01T12:00:60Z",
        "2026-01-01T24:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:60Z",
        "20240101",
        20240101,
        "202401010000",
        0,
        -1,
        4_102_444_800,
        True,
        None,
        [],
        {},
        "nan",
        "inf",
        "1_767_225_600",
        "1e9",
        10**400,
        1e300,
        float("1" * 40),
    ],
)
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(DecodeError) as caught:
        epoch_ms(value)
    assert caught.value.code == "bad_time"
    assert str(value) not in caught.value.message or len(str(value)) < 3


@pytest.mark.parametrize(("value", "unit"), [(10**18, "s"), (-(10**15), "s"), (10**29, "ns")])
def test_a_number_beyond_all_years_is_refused(value: int, unit: TimeUnit) -> None:
    with pytest.raises(DecodeError) as caught:
        epoch_ms(value, unit)
    assert caught.value.code == "bad_time"


@given(st.integers(631_152_000, 4_102_444_799), st.sampled_from([1, 1000, 10**6, 10**9]))
def test_no_time_of_these_years_is_taken_for_another(second: int, factor: int) -> None:
    assert epoch_ms(second * factor) == second * 1000
