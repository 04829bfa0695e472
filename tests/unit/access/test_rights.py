"""Roles, permissions that are limited to definitions, and principals."""

from __future__ import annotations

import pytest

from streamflow.access.rights import (
    EVERY_RIGHT,
    OF_DEFINITIONS,
    RIGHTS,
    Permission,
    Principal,
    Right,
    Role,
    matches,
    principal_with,
)
from streamflow.errors import Rejected


def test_every_role_has_rights_and_only_admins_change_access() -> None:
    assert set(RIGHTS) == set(Role)
    assert RIGHTS[Role.ADMIN] == EVERY_RIGHT
    for role, rights in RIGHTS.items():
        assert {Right.USE_OWN, Right.READ_API} <= rights
        assert (Right.CHANGE_ACCESS in rights) == (role is Role.ADMIN)
        assert (Right.READ_AUDIT in rights) == (role is Role.ADMIN)


def test_a_viewer_reads_and_nothing_else() -> None:
    assert {right for right in RIGHTS[Role.VIEWER] if not right.value.endswith(":read")} == {Right.USE_OWN}
    missing = {right for right in Right if right.value.endswith(":read")} - RIGHTS[Role.VIEWER]
    assert missing == {Right.READ_ACCESS, Right.READ_AUDIT}


def test_an_integration_sends_and_starts() -> None:
    assert RIGHTS[Role.INTEGRATION] - {Right.USE_OWN, Right.READ_API} == {Right.SEND_EVENTS, Right.START_RUNS}


@pytest.mark.parametrize(
    ("pattern", "definition", "fits"),
    [
        ("order", "order", True),
        ("order", "orders", False),
        ("order-*", "order-eu", True),
        ("order-*", "order", False),
        ("*", "anything", True),
        ("a*c*e", "abcde", True),
        ("a.c", "abc", False),
        ("[a-z]", "a", False),
    ],
)
def test_a_pattern_is_a_name_with_stars(pattern: str, definition: str, fits: bool) -> None:
    assert matches(pattern, definition) is fits


def test_a_limited_grant_gives_rights_for_its_definitions_only() -> None:
    limited = Principal(name="kim", permissions=(Permission(RIGHTS[Role.OPERATOR], ("order-*",)),))
    assert limited.may(Right.OPERATE_RUNS)
    assert limited.may(Right.OPERATE_RUNS, "order-eu")
    assert not limited.may(Right.OPERATE_RUNS, "salary")
    assert not limited.may_everywhere(Right.OPERATE_RUNS)
    assert limited.definitions(Right.OPERATE_RUNS) == ("order-*",)


def test_a_limited_grant_gives_no_right_over_what_belongs_to_no_definition() -> None:
    limited = Principal(name="kim", permissions=(Permission(EVERY_RIGHT, ("order-*",)),))
    given = {right for right in Right if limited.may(right)}
    assert given == OF_DEFINITIONS | {Right.READ_CATALOG, Right.READ_OPERATIONS, Right.READ_API, Right.USE_OWN}


def test_two_grants_add_up() -> None:
    both = Principal(
        name="kim",
        permissions=(Permission(RIGHTS[Role.VIEWER]), Permission(RIGHTS[Role.OPERATOR], ("order-*",))),
    )
    assert both.may(Right.READ_RUNS, "salary")
    assert both.definitions(Right.READ_RUNS) is None
    assert not both.may(Right.OPERATE_RUNS, "salary")


def test_a_missing_right_is_named() -> None:
    with pytest.raises(Rejected, match="runs:start") as caught:
        principal_with("reader", {Right.READ_RUNS}).require(Right.START_RUNS)
    assert (caught.value.code, caught.value.facts["right"]) == ("right_missing", "runs:start")
