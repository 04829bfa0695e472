"""CEL's own conformance tests, by our check and our evaluator."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from pathlib import Path

import pytest

from tests.unit.definition.cel_conformance import ARCHIVE, Case, Outcome, by_file, cases, run

pytestmark = pytest.mark.skipif(
    not ARCHIVE.exists(),
    reason=f"CEL's conformance tests are not there: put cel-conformance.tar.gz into {ARCHIVE.parent}, or name its "
    "folder in STREAMFLOW_TEST_DATA",
)

# What the check refuses although it has a value in CEL: test (or the beginning of its name), code, reason.
REFUSED = [
    (
        "basic/variables/unbound_is_runtime_error",
        "SF261",
        "a name that is not known is a mistake, also where `||` hides",
    ),
    (
        "basic/functions/unbound_is_runtime_error",
        "SF261",
        "a name that is not known is a mistake, also where `||` hides",
    ),
    ("parse/receiver_function_names/", "SF261", "a name that is not known is a mistake, also where `||` hides it"),
    ("comparisons/eq_literal/not_eq_list_length", "SF271", "types that can never be equal"),
    ("comparisons/eq_literal/eq_mixed_types", "SF271", "a whole number and one with a point, both written out"),
    ("comparisons/eq_literal/eq_list_elem_mixed_types", "SF271", "a whole number and one with a point, written out"),
    ("comparisons/ne_literal/ne_mixed_types", "SF271", "a signed and an unsigned number, both written out"),
    ("logic/conditional/mixed_type", "SF271", "two types for one value"),
    ("logic/AND/short_circuit_type_left", "SF271", "what is neither true nor false, on a side that does not count"),
    ("logic/AND/short_circuit_type_right", "SF271", "what is neither true nor false, on a side that does not count"),
    ("logic/OR/short_circuit_type_left", "SF271", "what is neither true nor false, on a side that does not count"),
    ("logic/OR/short_circuit_type_right", "SF271", "what is neither true nor false, on a side that does not count"),
    ("macros/map/map_extract_keys", "SF263", "a list in the order of a map"),
    ("macros/filter/map_filter_keys", "SF263", "a list in the order of a map"),
    (
        "timestamps/timestamp_selectors_tz/getDate",
        "SF265",
        "a time zone by name: its rules differ from machine to machine",
    ),
    ("timestamps/timestamp_selectors_tz/getDayOfMonth_name_pos", "SF265", "a time zone by name"),
    ("timestamps/timestamp_selectors_tz/getDayOfMonth_name_neg", "SF265", "a time zone by name"),
    ("timestamps/timestamp_selectors_tz/getDayOfYear", "SF265", "a time zone by name"),
    ("timestamps/timestamp_selectors_tz/getMinutes", "SF265", "a time zone by name"),
    ("type_deduction/functions/function_result_type", "SF261", "declares functions of its own"),
    (
        "type_deduction/type_parameters/multiple_parameters_generality_2",
        "SF271",
        "declares a function `sort` of its own",
    ),
    ("type_deduction/type_parameters/multiple_parameters_", "SF261", "declares functions of its own"),
    ("network_ext/", "SF261", "functions on network addresses are not offered"),
    ("block_ext/", "SF26", "`cel.block` is what optimizers write, not authors"),
]
DOCS = Path(__file__).parents[3] / "docs" / "expressions.md"


@lru_cache(maxsize=1)
def outcomes() -> list[tuple[Case, Outcome]]:
    return [(case, run(case)) for case in cases() if not case.needs_messages]


def test_every_test_without_messages_passes_or_is_refused_by_the_check_for_a_known_reason() -> None:
    wrong = [(case.name, outcome.detail) for case, outcome in outcomes() if outcome.kind == "failed"]
    assert wrong == []
    unknown = [
        (case.name, outcome.detail)
        for case, outcome in outcomes()
        if outcome.kind == "refused"
        and not any(case.name.startswith(name) and outcome.detail.startswith(code) for name, code, _ in REFUSED)
    ]
    assert unknown == []


def test_every_reason_is_needed() -> None:
    refused = [case.name for case, outcome in outcomes() if outcome.kind == "refused"]
    assert [name for name, _, _ in REFUSED if not any(found.startswith(name) for found in refused)] == []


def test_the_page_has_the_score() -> None:
    kinds = {case.name: outcome.kind for case, outcome in outcomes()}
    rows = []
    for file, tests in by_file([case for case, _ in outcomes()]):
        found = Counter(kinds[case.name] for case in tests)
        rows.append(f"| `{file}` | {len(tests)} | {found['passed']} | {found['refused']} |")
    print("\n".join(rows))
    assert re.findall(r"^\| `\w+` \| \d+ \| \d+ \| \d+ \|$", DOCS.read_text(encoding="utf-8"), re.M) == rows


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=case.name) for case in (cases() if ARCHIVE.exists() else ()) if not case.needs_messages][:1],
)
def test_the_comparison_sees_another_value(case: Case) -> None:
    other = Case(case.file, case.name, {**case.fields, "value": [{"string_value": [b"another"]}]})
    assert run(other).kind == "failed"
