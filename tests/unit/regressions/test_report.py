"""The harness of the regressions can say no: a case that proves nothing is reported, and the exit code is not 0."""

from __future__ import annotations

from typing import Any

import pytest

from tests.regressions.case import Broken, Case, Exclusion, State, Unclear, all_cases, all_exclusions
from tests.regressions.play import play, verdict_of
from tests.regressions.report import exit_code, facts, table


class FakeSide:
    """A side on which every case ends as the test says."""

    def __init__(self, label: str, end: str | Exception) -> None:
        self.label = label
        self.end = end
        self.played: list[str] = []

    def play(self, case: Case) -> str:
        self.played.append(case.name)
        if isinstance(self.end, Exception):
            raise self.end
        return self.end


def case(name: str = "a_case", **changes: Any) -> Case:
    values: dict[str, Any] = {
        "finding": "a_finding",
        "name": name,
        "says": "It holds.",
        "test": lambda site: "",
        "seconds": 1,
        "partitions": 1,
        "settings": {},
        "not_on_base": "",
    }
    return Case(**(values | changes))


def quiet(text: str) -> None:
    """Progress is not what these tests are about."""


BROKEN = Broken("the payment was used twice")


@pytest.mark.parametrize(
    ("base", "now", "complaint"),
    [
        (BROKEN, "fine", ""),
        ("fine", "fine", "is not broken on the earlier revision: holds"),
        (Unclear("no broker"), "fine", "is not broken on the earlier revision: error"),
        (KeyError("a mistake of the case"), "fine", "is not broken on the earlier revision: error"),
        (BROKEN, BROKEN, "does not hold now: broken"),
        (BROKEN, Unclear("no broker"), "does not hold now: error"),
        ("fine", BROKEN, "is not broken on the earlier revision: holds; does not hold now: broken"),
    ],
)
def test_only_a_case_that_fails_before_and_holds_now_is_ok(
    base: str | Exception, now: str | Exception, complaint: str
) -> None:
    rows = play([case()], FakeSide("base", base), FakeSide("now", now), quiet)

    assert [row.complaint for row in rows] == [complaint]
    assert exit_code(rows) == (1 if complaint else 0)
    assert facts(rows, [])["ok"] is not bool(complaint)
    assert table(rows, []).endswith(f"a_case {complaint}" if complaint else "hold now.")


def test_one_case_that_is_not_ok_spoils_the_exit_code() -> None:
    base, now = FakeSide("base", BROKEN), FakeSide("now", "fine")
    good = play([case("first"), case("second")], base, now, quiet)
    bad = play([case("third")], FakeSide("base", "fine"), now, quiet)

    assert exit_code(good) == 0
    assert exit_code(good + bad) == 1
    assert base.played == ["first", "second"]


def test_a_case_that_cannot_be_shown_before_is_left_out_there_with_its_reason() -> None:
    base, now = FakeSide("base", BROKEN), FakeSide("now", "fine")

    (row,) = play([case(not_on_base="the language had no word for it")], base, now, quiet)

    assert (base.played, now.played) == ([], ["a_case"])
    assert row.base.state is State.LEFT_OUT
    assert exit_code([row]) == 0
    assert "the language had no word for it" in table([row], [])


def test_one_side_alone_can_be_played() -> None:
    base, now = FakeSide("base", BROKEN), FakeSide("now", "fine")

    (row,) = play([case()], base, now, quiet, only="now")

    assert (base.played, now.played) == ([], ["a_case"])
    assert row.base.state is State.LEFT_OUT


def test_a_verdict_keeps_the_evidence() -> None:
    assert verdict_of(case(), FakeSide("base", BROKEN)).evidence == "the payment was used twice"
    assert verdict_of(case(), FakeSide("now", "shipped once")).evidence == "shipped once"
    assert "ZeroDivisionError" in verdict_of(case(), FakeSide("now", ZeroDivisionError())).evidence


def test_the_report_names_what_has_no_case() -> None:
    left_out = Exclusion(finding="a_finding", part="a part", reason="It needs two brokers.")

    assert "a_finding: a part. It needs two brokers." in table([], [left_out])
    assert facts([], [left_out])["without_case"] == [
        {"finding": "a_finding", "part": "a part", "reason": "It needs two brokers."}
    ]


def test_every_registered_case_says_what_it_expects_and_long_ones_run_last() -> None:
    cases = all_cases()

    assert [each.seconds for each in cases] == sorted(each.seconds for each in cases)
    assert [each.name for each in cases if not each.says.endswith(".")] == []
    # the name is the prefix of topics and groups, and both have limits
    assert max(len(each.name) for each in cases) <= 60


def test_every_exclusion_has_a_reason() -> None:
    assert [each for each in all_exclusions() if not (each.part and each.reason.endswith("."))] == []
