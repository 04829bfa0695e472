"""`python -m tests.real_model`: installs and starts the model, and runs the tests of this folder against it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from tests.real_model import VARIABLE
from tests.real_model.install import installed
from tests.servers.process import Process, free_port


def _serves(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/models", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def main() -> int:
    """The exit code of the tests."""
    python, weights = installed()
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"
    with tempfile.TemporaryDirectory() as folder:
        command = [str(python), "-m", "llama_cpp.server", "--model", str(weights), "--host", "127.0.0.1"]
        # Two threads wait for each other in a loop: ten times slower where something else runs.
        command += ["--port", str(port), "--n_ctx", "16384", "--n_threads", "1", "--n_threads_batch", "1"]
        command += ["--verbose", "false"]
        server = Process(command, Path(folder) / "model.log", lambda: _serves(url))
        server.start()
        try:
            # A process of its own: pytest rewrites what it has not yet imported.
            tests = [sys.executable, "-m", "pytest", "-q", "-s", str(Path(__file__).parent)]
            return subprocess.run(tests, env=os.environ | {VARIABLE: url}, check=False).returncode
        finally:
            server.stop()


if __name__ == "__main__":
    sys.exit(main())
