"""What `topics apply` found and did, in words."""

from __future__ import annotations

import pytest

from streamflow.kafka.topic_findings import Finding

MISSING = Finding("sf.audit", "missing", "topic", "1 partition(s), delete", "", fixable=True)
BREAKS = Finding("sf.runs", "breaks", "retention.ms", "3600000", "60000", fixable=True)
FIXED = Finding("sf.runs", "breaks", "partitions", "12", "3", fixable=False)
ADVICE = Finding("sf.runs", "advice", "segment.ms", "3600000", "60000", fixable=True)
LOWER = Finding("sf.runs", "lower", "retention.ms", "60000", "3600000", fixable=True)


@pytest.mark.parametrize(
    ("finding", "lower", "said"),
    [
        (MISSING, False, "sf.audit: created, with 1 partition(s), delete"),
        (BREAKS, False, "sf.runs: retention.ms was 60000 (1m) and is 3600000 (1h) now"),
        (ADVICE, False, "sf.runs: segment.ms was 60000 (1m) and is 3600000 (1h) now"),
        (LOWER, True, "sf.runs: retention.ms was 3600000 (1h) and is 60000 (1m) now"),
        (LOWER, False, str(LOWER)),
        (FIXED, True, str(FIXED)),
    ],
)
def test_apply_says_what_it_did(finding: Finding, lower: bool, said: str) -> None:
    assert finding.applied(lower=lower) == said
