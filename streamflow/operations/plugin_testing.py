"""The contract test of a plugin, by its address: that of any operation, and what only plugins must do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from streamflow.definition.model import Part
from streamflow.errors import OperationError
from streamflow.operations.contract import Pending
from streamflow.operations.examiner import WRONG_INPUTS, Examiner
from streamflow.operations.plugin import CODES, PluginOperation, Registration, plugin_egress
from streamflow.operations.samples import Report, Sample, make_attempt
from streamflow.operations.schema import misfit
from streamflow.settings import Settings

_TRANSPORT = frozenset(
    {
        "http_unreachable",
        "http_timeout",
        "http_broken_off",
        "http_certificate",
        "plugin_unavailable",
        "plugin_answer_invalid",
    }
)


class SampleSpec(Part):
    """A sample in a registration file: `output` is compared when it is there, `error` is the code that it ends with."""

    name: str = ""
    input: Any
    output: Any = None
    error: str | None = None

    def sample(self) -> Sample:
        """As `check_operation` takes it."""
        made = Sample(self.input, error=self.error, name=self.name)
        return replace(made, output=self.output) if "output" in self.model_fields_set else made


class RegistrationFile(Registration):
    """What authors keep beside their plugin: its registration, and samples for the test."""

    samples: list[SampleSpec] = Field(default_factory=list)

    def registration(self) -> Registration:
        """What is registered."""
        return Registration(spec=self.spec, plugin=self.plugin)


async def check_plugin(registration: Registration, samples: Sequence[Sample], settings: Settings) -> Report:
    """Calls the plugin where it is registered, as a task worker would, and otherwise than one would. Raises nothing."""
    egress = plugin_egress(settings)
    operation = PluginOperation(registration.spec, registration.plugin, settings, egress)
    examiner = Examiner(operation, settings, CODES)
    try:
        async with examiner.started() as started:
            if started and examiner.schemas():
                await examiner.samples(samples)
                await _signature(examiner, operation, samples)
                await _wrong_input(examiner, operation)
    finally:
        await egress.close()
    return examiner.report()


async def _signature(examiner: Examiner, operation: PluginOperation, samples: Sequence[Sample]) -> None:
    """A plugin that does what anybody asks is open to anybody."""
    good = next((sample for sample in samples if sample.error is None), None)
    if good is None:
        return
    forged = replace(
        make_attempt(operation.spec.name, key=examiner.new_key(), settings=examiner.settings),
        secret=_another_secret,
    )
    what = "a wrong signature is refused"
    try:
        await operation.run(good.input, forged)
    except OperationError as error:
        problem = f"expected a status of 400 to 499 but {error.message}" if error.code in _TRANSPORT else None
        if problem is None and error.retryable:
            problem = f"expected an error that is not retryable but {error.code} is. Say retryable: false."
        examiner.note(what, problem)
    else:
        examiner.note(what, "expected an error but it was done. Check Streamflow-Signature (see docs/plugins.md).")


async def _another_secret(_reference: str) -> str:
    return "not the secret"


async def _wrong_input(examiner: Examiner, operation: PluginOperation) -> None:
    """Workers check inputs first; a plugin that is changed on its own may be newer or older than its registration."""
    wrong = [one for one in WRONG_INPUTS if misfit(one, operation.spec.input) is not None]
    what = "wrong input is refused by the plugin"
    for input in wrong:
        try:
            ended = await operation.run(
                input, make_attempt(operation.spec.name, key=examiner.new_key(), settings=examiner.settings)
            )
        except OperationError as error:
            if error.code in _TRANSPORT:
                examiner.note(what, f"expected an error for {input!r} but {error.message}. Answer 400 with an error.")
                return
        else:
            gave = "pending" if isinstance(ended, Pending) else "an output"
            examiner.note(what, f"expected an error for {input!r} but {gave}. Check the input.")
            return
    examiner.note(what)
