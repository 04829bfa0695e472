"""Commands in a root file system of their own.

Each command has its own mount and process namespaces: its mounts and its processes end with it, however it ends, and
nothing outside of the root is writable for it by a path.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.servers.process import ServerMissing

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_RUN_S = 1800

# What a client of a package registry reads: taken from this machine, for the steps that install.
_PREFIXES = ("PIP_", "UV_", "NPM_CONFIG_", "npm_config_")
_NAMES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
_FILES = {
    "PIP_CONFIG_FILE": ("~/.config/pip/pip.conf", "~/.pip/pip.conf", "/etc/pip.conf"),
    "UV_CONFIG_FILE": ("~/.config/uv/uv.toml", "/etc/uv/uv.toml"),
    "NPM_CONFIG_USERCONFIG": ("~/.npmrc",),
}
_MACHINE = "/run/machine"

# The arguments: the root, whether it is read-only, whether this machine's network settings are there; then a list of
# writable folders (an outer and an inner one each), `--`, a list of files for /run/machine, `--`, the command.
_SCRIPT = f"""
root=$1 readonly=$2 network=$3
shift 3
mount --bind "$root" "$root"
if [ "$readonly" = yes ]; then mount -o remount,bind,ro "$root"; fi
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=0755 dev "$root/dev"
for device in null zero full random urandom; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=0755 run "$root/run"
if [ "$network" = yes ]; then
    for path in /etc/hosts /etc/resolv.conf /etc/ssl/certs; do
        mount --bind "$path" "$root$path"
        mount -o remount,bind,ro "$root$path"
    done
fi
while [ "$1" != -- ]; do
    mount --bind "$1" "$root$2"
    shift 2
done
shift
mkdir "$root{_MACHINE}"
while [ "$1" != -- ]; do
    cp "$1" "$root{_MACHINE}/"
    shift
done
shift
exec chroot "$@"
"""


class StepFailed(AssertionError):
    """A command in a root ended with an error; the text has the end of what it said."""


def needs_rights() -> None:
    """Raises ServerMissing where this process may not mount and chroot."""
    if os.geteuid() != 0:
        raise ServerMissing("mounts and chroot need root")
    probe = ["unshare", "--mount", "--pid", "--fork", "sh", "-c", "mount -t tmpfs none /mnt && chroot / true"]
    try:
        done = subprocess.run(probe, capture_output=True, text=True, check=False, timeout=60)
    except FileNotFoundError as missing:
        raise ServerMissing(f"{missing.filename} is not here") from missing
    if done.returncode:
        raise ServerMissing(f"mounts and chroot are not permitted here: {done.stderr.strip()}")


def run(
    root: Path,
    command: list[str],
    *,
    environment: Mapping[str, str] | None = None,
    workdir: str = "/",
    user: str = "0:0",
    readonly: bool = False,
    network: bool = False,
    writable: Mapping[str, Path] | None = None,
) -> str:
    """What a command says, run in `root` as `user` (uid:gid, without other groups).

    With `network` it also has this machine's resolver, certificates and settings of package registries. `writable`
    gives folders of this machine by where they are in the root. Raises StepFailed.
    """
    variables = {"PATH": PATH, "HOME": "/root"} | dict(environment or {})
    files = _registry_files() if network else {}
    if network:
        variables |= _registry_variables() | {name: f"{_MACHINE}/{file.name}" for name, file in files.items()}
    mounts = [str(one) for inner, outer in (writable or {}).items() for one in (outer, inner)]
    arguments = [str(root), "yes" if readonly else "no", "yes" if network else "no", *mounts, "--"]
    arguments += [*(str(file) for file in files.values()), "--"]
    arguments += [f"--userspec={user}", "--groups=", str(root), "env", "--ignore-environment", f"--chdir={workdir}"]
    arguments += [*(f"{name}={value}" for name, value in variables.items()), *command]
    outer = ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "sh", "-euc", _SCRIPT]
    done = subprocess.run(
        [*outer, "chroot", *arguments],
        env={"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=_RUN_S,
    )
    if done.returncode:
        raise StepFailed(f"{command} ended with {done.returncode}: {done.stdout[-4000:]}")
    return done.stdout


def _registry_variables() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(_PREFIXES) or name in _NAMES or name.upper().endswith("_PROXY")
    }


def _registry_files() -> dict[str, Path]:
    """The first file there is of each client, by the variable that names it."""
    found = {}
    for name, places in _FILES.items():
        there = [place for place in (Path(one).expanduser() for one in places) if place.is_file()]
        if there and name not in os.environ:
            found[name] = there[0]
    return found
