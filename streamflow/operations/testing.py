"""The contract test for authors of operations: does an operation keep what task workers rely on?

    from streamflow.operations.testing import Sample, check_operation

    def test_my_operation_keeps_the_contract():
        samples = [Sample({"amount": 12}), Sample({"amount": -1}, error="amount_refused")]
        report = asyncio.run(check_operation(MyOperation(), samples))
        assert report.ok, report

It needs no broker and no pytest. The samples are really done, several times over: give it a place where that does no
harm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamflow.operations.contract import Operation
from streamflow.operations.examiner import Examiner
from streamflow.operations.samples import Check, Report, Sample, make_attempt
from streamflow.settings import Settings

__all__ = ["Check", "Report", "Sample", "check_operation", "make_attempt"]


async def check_operation(
    operation: Operation, samples: Sequence[Sample | Mapping[str, Any]], *, settings: Settings | None = None
) -> Report:
    """Starts `operation`, does the samples, and closes it. `samples` are Samples, or bare inputs that are to succeed;
    `settings` give it connections and the limit of outputs. Raises nothing: what goes wrong is in the report."""
    given = [one if isinstance(one, Sample) else Sample(one) for one in samples]
    examiner = Examiner(operation, settings)
    async with examiner.started() as started:
        if started and examiner.schemas():
            await examiner.samples(given)
    return examiner.report()
