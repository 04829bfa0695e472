"""deploy/Dockerfile: one base, named from outside, and an image that is not root's.

Its steps run in chroots, as far as that can be without a container engine: only in `make test-full`, for minutes, and
only as root."""

from __future__ import annotations

import json
import re
import stat
import tomllib
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import only_full, start_server
from tests.deploy import chroot, dockerfile, image_steps
from tests.deploy.chroot import StepFailed
from tests.deploy.image_steps import ROOT, Image
from tests.servers.process import ServerMissing

TEXT = image_steps.DOCKERFILE.read_text()
STAGES = dockerfile.read(TEXT)
LAST = STAGES[-1]
ADDED_BYTES = 400_000_000  # docs/deploy.md names it too
UID = 10001
STATE = "/var/lib/streamflow"
# Folders of the base that are everybody's; on a read-only root nobody can write there.
OPEN = {"/tmp", "/var/lock", "/var/tmp"}
# Every module, and the clients that are imported when they are first used: a library may be missing in the base.
IMPORTS = """
import importlib, pkgutil, streamflow
import anthropic, apprise, fastavro, grpc_tools.protoc, nats, obstore, openai, psycopg, redis
names = {one.name for one in pkgutil.walk_packages(streamflow.__path__, "streamflow.")}
for name in sorted(names - {"streamflow.evaluation.inspect_task"}):  # of an extra that the image has not
    if not name.endswith("__main__"):
        importlib.import_module(name)
"""
in_a_chroot = pytest.mark.timeout(1800)


def copies() -> list[tuple[str | None, list[str]]]:
    """The stage and the arguments of each COPY."""
    found = [one for stage in STAGES for one in stage.instructions if one.name == "COPY"]
    return [(one.flags.get("from"), one.words({})) for one in found]


def installed(image: Image) -> dict[str, str]:
    """The versions of the distributions in its venv, by name."""
    (folder,) = image.root.glob("venv/lib/python3.*/site-packages")
    return {canonicalize_name(one.name): one.version for one in distributions(path=[str(folder)])}


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """What deploy/Dockerfile makes. Do not write to it."""
    yield from start_server(image_steps.built())


@pytest.fixture
def volumes(tmp_path: Path) -> dict[str, Path]:
    """What a container is given to write to."""
    folders = {STATE: tmp_path / "state", "/tmp": tmp_path / "tmp"}
    for folder in folders.values():
        folder.mkdir()
        folder.chmod(0o777)
    return folders


def test_every_stage_has_the_base_that_is_named_from_outside() -> None:
    bases = {one.base for one in dockerfile.read(TEXT, {"BASE": "outside"})} - {one.name for one in STAGES}
    assert bases == {"outside"}
    assert LAST.base == STAGES[0].base
    assert re.fullmatch(r"python:3\.\d+-slim", LAST.base)  # a digest written by hand would grow old


def test_it_is_not_root() -> None:
    assert LAST.last("USER").text == "10001:10001"


def test_the_pages_are_built_in() -> None:
    assert ("web", ["/src/streamflow/web", "streamflow/web"]) in copies()


def test_it_has_every_extra_that_processes_use() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.search(r"\.\[([a-z,]+)\]", TEXT)
    assert named is not None
    assert set(named[1].split(",")) == set(extras) - {"dev", "containers", "inspect"}


def test_what_it_copies_is_there() -> None:
    patterns = (ROOT / ".dockerignore").read_text().split()
    for source in (one for stage, words in copies() if stage is None for one in words[:-1]):
        assert (ROOT / source).exists(), source
        assert not dockerfile.ignored(source, patterns), source


def test_without_rights_it_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: UID)
    with pytest.raises(ServerMissing, match="need root"):
        chroot.needs_rights()


@only_full
@in_a_chroot
def test_it_runs_on_a_read_only_root(image: Image, volumes: dict[str, Path]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert version in image.run(*image.entrypoint, "--version", writable=volumes)
    shown = image.run(*image.entrypoint, "settings", "show", writable=volumes)
    assert f"state_dir: {STATE}/state\n" in shown
    image.run("python", "-c", "import streamflow.sidecar.app", writable=volumes)
    image.run("python", "-c", IMPORTS, writable=volumes)
    who = "import os; print(os.getuid(), os.getgid(), os.getgroups(), os.getcwd())"
    assert image.run("python", "-c", who, writable=volumes).split() == [str(UID), str(UID), "[]", STATE]


@only_full
@in_a_chroot
def test_only_its_volumes_can_be_written_to(image: Image, volumes: dict[str, Path]) -> None:
    image.run("touch", f"{STATE}/one", "/tmp/two", writable=volumes)
    assert (volumes[STATE] / "one").stat().st_uid == UID
    with pytest.raises(StepFailed, match="Read-only file system"):
        image.run("touch", "/var/tmp/one", writable=volumes)
    # and what would be its user's if the root were not read-only
    find = "find / -xdev -writable ! -type l 2>/dev/null || true"  # it may not look into every folder
    assert set(image.run("sh", "-c", find, readonly=False).splitlines()) - OPEN == {STATE}
    assert str(image.root) not in Path("/proc/self/mountinfo").read_text()  # the mounts ended with the commands


@only_full
@in_a_chroot
def test_what_is_not_in_it(image: Image) -> None:
    programs = {one.name for one in image.files() if one.is_file() and one.parent.name in ("bin", "sbin")}
    assert {"streamflow", "python"} <= programs
    unwanted = r"(.*-)?(cc|gcc|g\+\+|c\+\+|clang|ld|as|make|cargo|rustc|go)(-\d.*)?|uv|pip\d?.*|npm|node|cyclonedx-py"
    assert [name for name in programs if re.fullmatch(unwanted, name)] == []
    assert not list((image.root / "root").iterdir())  # such as a cache
    assert not list((image.root / "tmp").iterdir())
    # nothing of the machine that ran the steps
    assert not list((image.root / "run").glob("machine"))
    assert (image.root / "etc/resolv.conf").read_text() == ""
    assert not (image.root / "src").exists()
    names = installed(image)
    assert not {"pip", "uv", "pytest", "hypothesis", "hatchling", "cyclonedx-bom"} & set(names)
    (package,) = image.root.glob("venv/lib/python3.*/site-packages/streamflow")
    assert not list(package.parent.glob("tests"))
    assert not [one for one in package.rglob("*") if re.fullmatch(r"tests|(test_.*|conftest)\.pyc?", one.name)]
    owners = {(one.lstat().st_uid, one.lstat().st_gid) for one in (image.root / "venv").rglob("*")}
    assert owners == {(0, 0)}
    special = [one for one in (image.root / "venv").rglob("*") if one.lstat().st_mode & (stat.S_ISUID | stat.S_ISGID)]
    assert special == []


@only_full
@in_a_chroot
def test_its_size(image: Image) -> None:
    added = image.added_bytes()
    assert added < ADDED_BYTES, f"{added / 1e6:.0f} MB beyond the base, in packages of {sorted(installed(image))}"


@only_full
@in_a_chroot
def test_its_venv_has_what_the_lock_says(image: Image) -> None:
    locked: dict[str, str] = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if found := re.match(r"([A-Za-z0-9._-]+)(\[.*\])?==[^\\]+", line):
            requirement = Requirement(found[0].strip())
            if requirement.marker is None or requirement.marker.evaluate():
                locked[canonicalize_name(requirement.name)] = str(requirement.specifier).removeprefix("==")
    there = installed(image)
    there.pop("streamflow-kafka")
    assert len(there) > 50
    assert there == {name: locked.get(name) for name in there}


@only_full
@in_a_chroot
def test_its_bill_of_materials(image: Image) -> None:
    bill = json.loads((image.root / "usr/share/streamflow/sbom/venv.cdx.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    itself = bill["metadata"]["component"]
    components = {canonicalize_name(one["name"]): one["version"] for one in (itself, *bill["components"])}
    assert components == installed(image)
    assert all(one["purl"].startswith("pkg:pypi/") for one in bill["components"])


@only_full
@in_a_chroot
def test_the_bill_of_materials_of_the_pages(image: Image) -> None:
    bill = json.loads((image.root / "usr/share/streamflow/sbom/pages.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    locked = json.loads((ROOT / "web/package-lock.json").read_text())["packages"]
    components = {one["name"]: one["version"] for one in bill["components"]}
    assert {"react", "react-dom", "uplot"} <= set(components)
    assert components == {name: locked[f"node_modules/{name}"]["version"] for name in components}
