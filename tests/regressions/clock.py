"""A process whose clock is wrong from its beginning, by the shim of the fault campaign."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from tests.faults import shim
from tests.regressions.case import Unclear


@cache
def _library() -> Path:
    if shutil.which("gcc") is None:
        raise Unclear("expected gcc, which builds the clock shim, but it is not installed")
    source = Path(shim.__file__).with_name("shim.c")
    built = Path(mkdtemp(prefix="streamflow-shim-")) / "shim.so"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", built, source, "-ldl", "-lpthread"], check=True)
    return built


def wrong_clock(folder: Path, seconds: float) -> dict[str, str]:
    """The environment of a process whose clock is that far ahead; behind when negative."""
    control = shim.Control(folder / f"clock-{seconds:.0f}", folder / "no-such-folder")
    control.clock(seconds)
    return {"LD_PRELOAD": str(_library()), **control.environment}


def forget() -> None:
    """Removes the library that was built."""
    if _library.cache_info().currsize:
        shutil.rmtree(_library().parent, ignore_errors=True)
        _library.cache_clear()
