"""What this machine allows: some faults need root, network namespaces, mounts, or a program that may not be
installed."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable

from tests.servers.postgresql import binaries
from tests.servers.process import ServerMissing


def missing(needs: Iterable[str]) -> list[str]:
    """Those of `needs` that are not here: `root`, `netns`, `postgres`, or the name of a program."""
    return sorted(need for need in needs if not has(need))


@functools.cache
def has(need: str) -> bool:
    """Whether one need is met."""
    if need == "root":
        return sys.platform == "linux" and os.geteuid() == 0
    if need == "netns":
        return (
            has("root")
            and has("ip")
            and subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode == 0
        )
    if need == "postgres":
        return _has_postgres()
    return shutil.which(need, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is not None


def _has_postgres() -> bool:
    try:
        binaries()
    except ServerMissing:
        return False
    return True
