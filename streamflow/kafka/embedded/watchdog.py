"""The process between streamflow and the broker it started: it ends the broker when streamflow ends, however that
happens.

Started as `python -I -S watchdog.py GRACE_SECONDS COMMAND...`. It writes the command's process id to its output, then
waits: for the end of its input, which the operating system closes even when streamflow dies by kill -9, or for the end
of the command. It runs no thread when it starts the command and asks the kernel to kill the command should the watchdog
itself be killed, so no broker outlives both. Only the standard library, without site-packages: it must start in
milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading

_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _stop_when_input_ends(process: subprocess.Popen[bytes], grace_s: float) -> None:
    while os.read(0, 1):
        pass
    process.send_signal(signal.SIGCONT)
    process.terminate()
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        process.kill()


def main(arguments: list[str]) -> int:
    """Runs the command and returns its exit code; what it was killed by counts as 128 + signal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # PDEATHSIG is bound to the thread that forks: this is the main thread, and no other exists yet.
    process = subprocess.Popen(
        arguments[1:],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        preexec_fn=_die_with_parent,
    )
    os.write(1, f"{process.pid}\n".encode())
    threading.Thread(target=_stop_when_input_ends, args=(process, float(arguments[0])), daemon=True).start()
    code = process.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
