"""Files with approvals and keys."""

from __future__ import annotations

import json
import os
from pathlib import Path

from streamflow.approvals.approval import Approval
from streamflow.cli import places
from streamflow.errors import Rejected


def approval_in(file: Path) -> Approval:
    """The approval in `file`, as `definitions approve --out` or `--json` wrote it.

    Raises Rejected (`file_unreadable`, `approval_invalid`)."""
    from streamflow.ops.definition_approvals import read_approval

    try:
        data = json.loads(places.text_of(file))
    except ValueError as error:
        raise Rejected(
            "approval_invalid", f"The file {file} is not JSON ({error}). Give what `definitions approve --out` wrote."
        ) from error
    return read_approval(data.get("approval", data) if isinstance(data, dict) else data)


def write_new(file: Path, text: str) -> None:
    """Writes a file that only its owner may read. Raises Rejected (`file_exists`, `file_unwritable`)."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as opened:
            opened.write(text)
    except FileExistsError as error:
        raise Rejected("file_exists", f"There is a file {file} already. Name another one.") from error
    except OSError as error:
        raise Rejected(
            "file_unwritable", f"The file {file} cannot be written: {error.strerror}. Name another one."
        ) from error
