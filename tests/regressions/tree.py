"""A checkout of the project with a virtual environment of its own: the earlier revision, or this one."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]

# What the current language has and an earlier one may lack: a definition is valid only where the word is known.
_WORDS = {
    "since": "wait: {events: [{id: got, event: later}], within: 1h, since: run}",
    "take": "wait: {events: [{id: got, event: later}], within: 1h, take: every}",
}
_CATALOG = """
events:
  - {name: first, topics: [a-topic]}
  - {name: later, topics: [another-topic]}
"""
_SETUP_S = 900.0
_PROBE_S = 120.0


class TreeError(Exception):
    """The earlier revision could not be checked out or installed."""


@dataclass(frozen=True)
class Tree:
    """Where a checkout is, and what its command line is."""

    root: Path
    label: str  # "base" or "now"
    _known: dict[str, bool] = field(default_factory=dict)

    @property
    def streamflow(self) -> Path:
        return self.root / ".venv" / "bin" / "streamflow"

    def knows(self, word: str) -> bool:
        """Whether the tree's language has a word of `_WORDS`, asked of its `definitions check` once."""
        if word not in self._known:
            self._known[word] = self._accepts(_WORDS[word])
        return self._known[word]

    def environment(self) -> dict[str, str]:
        """The environment of this process without what belongs to another checkout."""
        return {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("STREAMFLOW_", "PYTHONPATH", "VIRTUAL_ENV"))
        }

    def _accepts(self, step: str) -> bool:
        with tempfile.TemporaryDirectory(prefix="streamflow-language-") as name:
            folder = Path(name)
            (folder / "catalog.yaml").write_text(_CATALOG)
            (folder / "definition.yaml").write_text(
                f'name: probe\nversion: "1"\non: [{{id: go, event: first}}]\nsteps:\n  - {{id: waits, {step}}}\n'
            )
            done = subprocess.run(
                [self.streamflow, "--bootstrap", "127.0.0.1:1", "definitions", "check", str(folder)],
                env=self.environment(),
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=_PROBE_S,
                check=False,
            )
        return done.returncode == 0


def current() -> Tree:
    """The tree that this program is part of. Raises TreeError when it is not installed."""
    tree = Tree(ROOT, "now")
    if not tree.streamflow.exists():
        raise TreeError(f"{tree.streamflow} does not exist. Run `make setup`.")
    return tree


@contextlib.contextmanager
def checkout(revision: str, folder: Path, *, keep: bool = False) -> Iterator[Tree]:
    """The tree of `revision`, checked out at `folder` and installed there as its own Makefile does it; removed at the
    end unless `keep`. With `keep` a folder that is there already is used as it is.

    Raises TreeError."""
    git = ("git", "-C", str(ROOT), "worktree")
    try:
        if not (keep and (folder / ".git").exists()):
            _run(*git, "add", "--quiet", "--detach", str(folder), revision)
        # the recipe of `make setup` without the servers, which no case needs
        _run("make", "--no-print-directory", "-C", str(folder), ".venv/.ready")
        yield Tree(folder, "base")
    finally:
        if not keep and folder.exists():
            shutil.rmtree(folder)
            _run(*git, "prune")


def _run(*command: str) -> None:
    # none of the variables by which a `make` that runs this program speaks to its own children
    quiet = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    done = subprocess.run(command, env=quiet, capture_output=True, text=True, timeout=_SETUP_S, check=False)
    if done.returncode:
        raise TreeError(f"`{' '.join(command)}` ended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")
