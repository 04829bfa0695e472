"""Installs the servers that are missing: packages of the system by apt-get when we are root, the others into the cache
folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

from streamflow.kafka.embedded.jars import say
from tests.servers import apicurio, browser, jetstream, keycloak, openid, postgresql, prometheus, redis, s3proxy
from tests.servers.process import ServerMissing

_SYSTEM: dict[str, Callable[[], object]] = {
    "postgresql": postgresql.binaries,
    "nats-server": jetstream.program,
    "prometheus": prometheus.program,
    "chromium": browser.program,
    "redis-server": redis.program,
}
_APT_S = 600


def install(progress: Callable[[str], None] = say) -> list[str]:
    """Installs what it can, and gives a sentence for each server that is still missing."""
    left = []
    packages = [package for package, find in _SYSTEM.items() if _missing(find)]
    if packages and os.geteuid() == 0 and shutil.which("apt-get"):
        progress(f"installing {' and '.join(packages)} with apt-get (once)")
        _apt("install", *packages) or (_apt("update") and _apt("install", *packages))
    for package, find in _SYSTEM.items():
        if _missing(find):
            left.append(
                f"{package} is missing. Install it, with Debian's or Ubuntu's packages: apt-get install {package}."
            )
    keycloak_fetch = (keycloak.fetch,) if keycloak.is_wanted() else ()
    for fetch in (s3proxy.fetch, openid.fetch, apicurio.fetch, *keycloak_fetch):
        try:
            fetch(progress)
        except ServerMissing as error:
            left.append(str(error))
    return left


def _missing(find: Callable[[], object]) -> bool:
    try:
        find()
    except ServerMissing:
        return True
    return False


def _apt(*arguments: str) -> bool:
    """Whether apt-get did it. It asks nothing and starts no server."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    command = ["apt-get", "-q", "-y", "--no-install-recommends", *arguments]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, check=False, timeout=_APT_S
    )
    if done.returncode:
        say(f"{' '.join(command)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-1000:]}")
    return done.returncode == 0
