"""The hash of the code under test, so that results of different code are never counted together."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("streamflow", "agents")
DIGITS = 12


class ChangedError(Exception):
    """The work tree differs from the commit, so a result could not be bound to a hash."""


def product_hash(root: Path = ROOT) -> str:
    """The hash of `streamflow/` and `agents/` as committed: the first digits of a sha256 over their git tree hashes.

    Raises ChangedError if files in these folders are changed, or not committed."""
    changes = _git(root, "status", "--porcelain", "--", *FOLDERS)
    if changes:
        raise ChangedError(
            f"The work tree has changes in {' or '.join(FOLDERS)}: {' '.join(changes.split()[1::2][:5])}. Commit them "
            "before you collect evidence."
        )
    trees = [_git(root, "ls-tree", "HEAD", "--", folder) for folder in FOLDERS]
    return hashlib.sha256("\n".join(trees).encode()).hexdigest()[:DIGITS]


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
