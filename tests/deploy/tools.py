"""What checks deployments, made once in the cache folder: helm, `check`, which decodes manifests and the compose file
strictly, and the schemas of Kubernetes. Building takes minutes: `make test-full` does it, and `make manifests`
for helm."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema_rs import Draft202012Validator, Registry, ValidationError

from streamflow.kafka.embedded.jars import cache_folder, locked, say
from tests.servers.process import ServerMissing

HELM = "v3.22.0"
KUBERNETES = "1.35.0"
_CHECK = Path(__file__).parent / "check"
_REQUIREMENTS = Path(__file__).parent / "requirements.txt"
_BUILD_S = 1800


def helm(*, build: bool) -> Path:
    """helm of the version above. Raises ServerMissing."""
    command = ["go", "install", f"helm.sh/helm/v3/cmd/helm@{HELM}"]
    return _program("helm", HELM, lambda folder: _go(command, Path("/"), folder), build=build)


def check(*, build: bool) -> Path:
    """The program under `check`. Raises ServerMissing."""
    content = b"".join((_CHECK / name).read_bytes() for name in ("main.go", "go.mod", "go.sum"))
    version = hashlib.sha256(content).hexdigest()[:12]
    return _program("check", version, lambda folder: _go(["go", "install", "."], _CHECK, folder), build=build)


def kubernetes_schemas(*, build: bool) -> Path:
    """The folder of JSON schemas of Kubernetes's API. Raises ServerMissing."""
    folder = _tools() / f"kubernetes-{KUBERNETES}"
    if folder.is_dir():
        return folder
    if not build:
        raise ServerMissing("the schemas of Kubernetes are not fetched yet; `make test-full` fetches them")
    with tempfile.TemporaryDirectory(dir=_tools()) as name:
        install = [
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--require-hashes",
            "--target",
            name,
            "-r",
            str(_REQUIREMENTS),
        ]
        run(str(Path(sys.executable).with_name("uv")), *install).check_returncode()
        strict = Path(name) / f"kubernetes_validate/kubernetes-json-schema/v{KUBERNETES}-local-strict"
        if not folder.is_dir():
            strict.rename(folder)
    return folder


def schema_fault(folder: Path, one: dict[str, Any]) -> str | None:
    """What Kubernetes's schema of its kind says against an object, empty if nothing; None: there is no such schema."""
    version = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", one["apiVersion"])
    file = folder / f"{one['kind'].lower()}-{version}.json"
    if not file.is_file():
        return None
    try:
        _validator(file).validate(one)
    except ValidationError as error:
        return f"{'.'.join(map(str, error.instance_path))}: {error.message}"
    return ""


@cache
def _validator(file: Path) -> Draft202012Validator:
    definitions = json.loads((file.parent / "_definitions.json").read_text())
    registry = Registry([("schemas:/api/_definitions.json", definitions)])
    schema = json.loads(file.read_text()) | {"$id": f"schemas:/api/{file.name}"}
    return Draft202012Validator(schema, registry=registry)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """What a program says."""
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def _program(name: str, version: str, make: Callable[[Path], None], *, build: bool) -> Path:
    folder = _tools() / f"{name}-{version}"
    program = folder / name
    if program.is_file():
        return program
    if not build:
        raise ServerMissing(f"{name} is not built yet; `make test-full` builds it")
    if shutil.which("go") is None:
        raise ServerMissing(f"{name} is built with Go, and `go` is not on the PATH. Install Go 1.26 or newer.")
    with locked(folder.with_name(folder.name + ".lock"), say, f"another process builds {name}"):
        if not program.is_file():
            say(f"building {name} (once, minutes)")
            make(folder)
    return program


def _go(command: list[str], where: Path, into: Path) -> None:
    environment = os.environ | {"GOBIN": str(into), "GOFLAGS": "-buildvcs=false -trimpath"}
    done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, timeout=_BUILD_S)
    if done.returncode:
        raise ServerMissing(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")


def _tools() -> Path:
    folder = cache_folder().parent / "deploy-tools"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
