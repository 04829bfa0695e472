"""Sentences that the grammar of edits was not made for: nearly all of them change the draft as they say, the others
lead to a question, and no other step is touched."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest

from tests.unit.authoring.edit_sentences import JudgedEdit, edit_cases, judged_edit

CASES = edit_cases("held_back_edits.yaml")


@cache
def verdict(number: int) -> JudgedEdit:
    return judged_edit(CASES[number])


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: CASES[number].sentence[:60])
def test_an_edit_is_made_right_or_asked_about(number: int) -> None:
    found = verdict(number)

    assert found.verdict in ("right", "asked"), found.reasons
    assert not (CASES[number].question and found.verdict == "right")


def test_most_of_them_change_what_they_say() -> None:
    to_do = [number for number, case in enumerate(CASES) if not case.question]
    verdicts = Counter(verdict(number).verdict for number in to_do)

    assert len(CASES) == 38
    assert (len(to_do), verdicts["wrong"]) == (31, 0)
    assert verdicts["right"] >= 25
