"""Workers and the sidecar do without the clients of language models, and without that of notifications: their time to
start and their memory."""

from __future__ import annotations

import subprocess
import sys

CLIENTS = {"anthropic", "apprise", "httpcore2", "httpx2", "jiter", "openai"}
WORKERS = ("runtime.engine", "runtime.tasks", "runtime.ingress", "history.worker", "cli.processes", "operations.notify")


def loaded_by(*names: str) -> set[str]:
    program = f"import sys, {', '.join(f'streamflow.{name}' for name in names)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_no_process_imports_these_clients_when_it_starts() -> None:
    loaded = loaded_by(*WORKERS, "sidecar.app")

    assert {"streamflow.runtime.engine", "streamflow.sidecar.app"} <= loaded
    assert loaded & CLIENTS == set()


def test_workers_import_nothing_about_models() -> None:
    assert [name for name in loaded_by(*WORKERS) if f"{name}.".startswith("streamflow.models.")] == []
