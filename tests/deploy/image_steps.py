"""The steps of deploy/Dockerfile, run in chroots: what an image would contain, where there is no container engine."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tests.deploy import chroot, dockerfile, image_base

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy/Dockerfile"
_BASE = "base"


@dataclass(kw_only=True)
class Image:
    """A root file system, and how its processes start."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"  # uid:gid
    entrypoint: list[str] = field(default_factory=list)
    base_bytes: int = 0  # of the files of the base

    def run(self, *command: str, readonly: bool = True, writable: Mapping[str, Path] | None = None) -> str:
        """What a command says as the image's user. Raises StepFailed."""
        return chroot.run(
            self.root,
            list(command),
            environment=self.environment,
            workdir=self.workdir,
            user=self.user,
            readonly=readonly,
            writable=writable,
        )

    def files(self) -> Iterator[Path]:
        """Everything in it, links and folders too."""
        for folder, folders, files in os.walk(self.root):
            yield from (Path(folder, name) for name in (*folders, *files))

    def added_bytes(self) -> int:
        """The size of its files beyond those of the base."""
        return _bytes(self.root) - self.base_bytes


@contextmanager
def built() -> Iterator[Image]:
    """The image of deploy/Dockerfile. Raises ServerMissing where it cannot be built, StepFailed if a step fails."""
    chroot.needs_rights()
    with tempfile.TemporaryDirectory(prefix="streamflow-image-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the image's user goes through it
        base = folder / "base"
        base.mkdir()
        image_base.make(base, folder / "packages")
        images = {_BASE: Image(root=base, base_bytes=_bytes(base))}
        image = images[_BASE]
        for number, stage in enumerate(dockerfile.read(DOCKERFILE.read_text(), {"BASE": _BASE})):
            image = _stage(stage, images[stage.base], folder / f"stage-{number}", images)
            images[stage.name] = image
        yield image


def _stage(stage: dockerfile.Stage, below: Image, root: Path, images: Mapping[str, Image]) -> Image:
    _copy_tree(below.root, root)
    image = Image(
        root=root,
        environment=dict(below.environment),
        workdir=below.workdir,
        user=below.user,
        base_bytes=below.base_bytes,
    )
    for step in stage.instructions:
        match step.name:
            case "RUN":
                chroot.run(
                    root,
                    ["/bin/sh", "-c", step.text],
                    environment=image.environment,
                    workdir=image.workdir,
                    user=image.user,
                    network=True,
                )
            case "COPY":
                _copy(step, image, images)
            case "ENV":
                known = {"PATH": chroot.PATH} | image.environment
                image.environment |= dict(word.split("=", 1) for word in step.words(known))
            case "WORKDIR":
                image.workdir = str(PurePosixPath(image.workdir) / step.text)
                _inside(image, image.workdir).mkdir(parents=True, exist_ok=True)
            case "USER":
                image.user = step.text
            case "ENTRYPOINT":
                image.entrypoint = step.array()
    return image


def _copy(step: dockerfile.Instruction, image: Image, images: Mapping[str, Image]) -> None:
    """A folder's content goes into the target, a file to it, or into it if it is a folder. All is root's."""
    *sources, target = step.words(image.environment)
    into_folder = target.endswith("/") or len(sources) > 1
    there = _inside(image, str(PurePosixPath(image.workdir) / target))
    for source in sources:
        here = _inside(images[step.flags["from"]], source) if "from" in step.flags else ROOT / source
        (there if into_folder else there.parent).mkdir(parents=True, exist_ok=True)
        if not here.is_dir():
            shutil.copy(here, there)
        elif "from" in step.flags:
            _copy_tree(here, there)
        else:
            shutil.copytree(here, there, symlinks=True, ignore=_ignored, dirs_exist_ok=True)
    if "from" not in step.flags:
        for file in (there, *there.rglob("*")):
            os.chown(file, 0, 0, follow_symlinks=False)


def _ignored(folder: str, names: list[str]) -> list[str]:
    patterns = (ROOT / ".dockerignore").read_text().split()
    within = Path(folder).relative_to(ROOT)
    return [name for name in names if dockerfile.ignored(str(within / name), patterns)]


def _inside(image: Image, path: str) -> Path:
    return image.root / path.lstrip("/")


def _copy_tree(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    command = ["cp", "--archive", "--no-target-directory", "--reflink=auto", str(source), str(target)]
    subprocess.run(command, check=True)


def _bytes(root: Path) -> int:
    """The size of all files; one with several names counts once."""
    seen = {}
    for folder, _, files in os.walk(root):
        for name in files:
            one = Path(folder, name).lstat()
            if stat.S_ISREG(one.st_mode):
                seen[one.st_ino] = one.st_size
    return sum(seen.values())
