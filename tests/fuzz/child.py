"""The fuzzer of one target: `python -m tests.fuzz.child TARGET libFuzzer-options...`."""

from __future__ import annotations

import logging
import sys
import time

import atheris
import structlog

with atheris.instrument_imports(include=["streamflow"]):
    from tests.fuzz.targets import TARGETS, Target

HANG_S = 1.0  # of the processor's time: the machine may be busy


def timed(target: Target, data: bytes) -> None:
    """Plays one input. Raises TimeoutError if it took too long."""
    began = time.process_time()
    target.survives(data)
    if (took := time.process_time() - began) > HANG_S:
        raise TimeoutError(f"{took:.1f} s of processor time for {len(data)} bytes")


if __name__ == "__main__":
    logging.disable()
    structlog.configure(processors=[], logger_factory=structlog.ReturnLoggerFactory())
    [target] = [each for each in TARGETS if each.name == sys.argv[1]]
    for _ in range(2):  # what is made once is no part of the time of an input
        target.survives(b"x")
    atheris.Setup([sys.argv[0], *sys.argv[2:]], lambda data: timed(target, data))
    atheris.Fuzz()
