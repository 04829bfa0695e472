"""`python -m tests.checker.entry BUG worker engine ...`: the command line, whose engine workers have a planted bug."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from streamflow.cli.main import main
from tests.checker.planted import BUGS

if __name__ == "__main__":
    bug, *line = sys.argv[1:]
    if line[:2] == ["worker", "engine"]:
        BUGS[bug](Path(os.environ["STREAMFLOW_STATE_DIR"]))
    sys.exit(main(line))
