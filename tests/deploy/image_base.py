"""A root file system in the place of `python:3.11-slim`: the essential packages of this machine's Debian, fetched by
apt, and under /usr/local the Python that runs the tests, with pip."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.deploy import chroot
from tests.servers.process import ServerMissing

# Besides the essential ones; the first one saves Perl, which would merge /bin into /usr here.
_PACKAGES = ("usr-is-merged", "ca-certificates", "netbase", "tzdata")
_MERGED = ("bin", "lib", "lib64", "sbin")
# As in the base image: no tests, no bytecode, nothing to link against.
_LEFT_OUT = shutil.ignore_patterns(
    "__pycache__", "*.a", "config-3*", "idle_test", "site-packages", "dist-packages", "test", "tests", "_tkinter*"
)
_FETCH_S = 900


def make(root: Path, packages: Path) -> None:
    """Fills `root`, which must be empty; `packages` is a folder for what is fetched. Raises ServerMissing where apt is
    missing or cannot fetch."""
    _fetch(packages)
    for name in _MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for package in sorted(packages.glob("*.deb")):
        _unpack(package, root)
    for name in ("passwd", "group"):
        shutil.copy(root / f"usr/share/base-passwd/{name}.master", root / f"etc/{name}")
    for name in ("hosts", "resolv.conf"):
        (root / "etc" / name).touch()
    _python(root)
    chroot.run(root, ["ldconfig"])
    chroot.run(root, ["python", "-m", "ensurepip", "--default-pip"])
    for folder in list((root / "usr/local").rglob("__pycache__")):
        shutil.rmtree(folder)


def _fetch(packages: Path) -> None:
    """The packages and what they depend on, as if nothing were installed."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise ServerMissing("the base of an image is made by apt-get and dpkg-deb, which are not here")
    (packages / "partial").mkdir(parents=True)
    options = {
        "Dir::State::status": "/dev/null",
        "Dir::Cache::archives": str(packages),
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "true",
    }
    command = ["apt-get", "install", "--yes", "--download-only", "--no-install-recommends"]
    command += [f"--option={name}={value}" for name, value in options.items()]
    done = subprocess.run(
        [*command, "?essential", *_PACKAGES], capture_output=True, text=True, check=False, timeout=_FETCH_S
    )
    if done.returncode:
        raise ServerMissing(f"apt-get cannot fetch the base of an image (`apt-get update`?): {done.stderr[-1000:]}")


def _unpack(package: Path, root: Path) -> None:
    """As dpkg does, without the package's scripts. Folders that are links stay links."""
    archive = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE)
    with archive:
        command = ["tar", "--extract", "--keep-directory-symlink", "--exclude=./usr/share/doc/*", "--file=-"]
        subprocess.run(command, cwd=root, stdin=archive.stdout, check=True)
    if archive.returncode:
        raise OSError(f"dpkg-deb ended with {archive.returncode} for {package.name}")


def _python(root: Path) -> None:
    """Under /usr/local, where the base image has it, with the libraries that it needs and no package brought."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    there = root / "usr/local"
    stdlib = there / "lib" / version
    shutil.copytree(sysconfig.get_path("stdlib"), stdlib, symlinks=True, ignore=_LEFT_OUT)
    (stdlib / "EXTERNALLY-MANAGED").unlink(missing_ok=True)  # of a Python from a Debian package
    (stdlib / "site-packages").mkdir()
    (there / "bin").mkdir()  # by a script of base-files, elsewhere
    program = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    shutil.copy(program, there / "bin" / version)
    (there / "bin/python3").symlink_to(version)
    (there / "bin/python").symlink_to("python3")
    needing = [program, *(stdlib / "lib-dynload").glob("*.so")]
    listed = subprocess.run(["ldd", *map(str, needing)], capture_output=True, text=True, check=True).stdout
    for library in {Path(one) for one in re.findall(r"=> (/\S+)", listed)}:
        if not any((root / folder / library.name).exists() for folder in ("usr/lib", library.parent.relative_to("/"))):
            shutil.copy(library, there / "lib" / library.name)
