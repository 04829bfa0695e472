"""The shim (shim.c): a library loaded into workers and brokers before everything else, by which their disks and clocks
are broken from outside."""

from __future__ import annotations

import os
import struct
import subprocess
import tempfile
from enum import IntEnum
from pathlib import Path

_SOURCE = Path(__file__).with_name("shim.c")
_LAYOUT = "=iiq"


class Disk(IntEnum):
    """How the disk below a folder is."""

    WELL = 0
    FULL = 1
    READ_ONLY = 2
    BROKEN = 3
    SLOW = 4


class Control:
    """What the shim of one process is told; `environment` is what that process is started with."""

    def __init__(self, file: Path, folder: Path) -> None:
        self._file, self._folder = file, folder
        self._disk, self._slow_us, self._clock_ns = Disk.WELL, 0, 0
        file.write_bytes(struct.pack(_LAYOUT, 0, 0, 0))

    @property
    def environment(self) -> dict[str, str]:
        return {"SHIM_CONTROL": str(self._file), "SHIM_DIR": f"{self._folder}/"}

    def disk(self, state: Disk, slow_ms: float = 0) -> None:
        self._disk, self._slow_us = state, round(slow_ms * 1000)
        self._write()

    def clock(self, seconds: float) -> None:
        """How far its clock is ahead."""
        self._clock_ns = round(seconds * 1e9)
        self._write()

    def _write(self) -> None:
        with self._file.open("r+b") as file:  # in place: it is mapped
            file.write(struct.pack(_LAYOUT, self._disk, self._slow_us, self._clock_ns))


def load() -> Path:
    """Compiles the shim and has every process that is started from now on load it. Raises CalledProcessError."""
    library = compiled()
    os.environ["LD_PRELOAD"] = str(library)
    return library


def compiled() -> Path:
    """The library that a process is to load (`LD_PRELOAD`). Raises CalledProcessError."""
    library = Path(tempfile.mkdtemp(prefix="streamflow-shim-")) / "shim.so"
    subprocess.run(
        ["gcc", "-O2", "-shared", "-fPIC", "-Wall", "-o", str(library), str(_SOURCE), "-ldl", "-lpthread"], check=True
    )
    return library
