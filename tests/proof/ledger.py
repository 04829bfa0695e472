"""A server of the tests' own that writes down every call, before it answers: calls and keys are counted from its log on
disk, by nobody's word but its own.

`POST /any/path` is one call under its header `Idempotency-Key`; the answer is `{"key": ..., "call": <how manieth under
that key>}`. It may be slow (`delay_ms`) and may refuse: the first `refuse` calls of every key are answered by 503.
`GET /connections` is the number of connections that are open beside the one that asks.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from aiohttp import web

ROOT = Path(__file__).parents[2]
_START_S = 20.0


@dataclass(frozen=True)
class Entry:
    """One line of the log: a call, or the end of its answer."""

    at: float
    kind: str  # `call`, `answer`, or `left`: the caller hung up
    key: str
    path: str


@dataclass
class Account:
    """What a ledger's log tells. `open` are calls by key that were never answered to the end."""

    calls: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    first: dict[str, float] = field(default_factory=dict)

    @property
    def keys(self) -> set[str]:
        return set(self.calls)

    @property
    def excess(self) -> int:
        """Calls above one for each key."""
        return sum(self.calls.values()) - len(self.calls)


class Ledger:
    """A context manager around the server's process. `url` is where it listens; its log survives it, and a restart goes
    on with it."""

    def __init__(self, folder: Path, *, delay_ms: int = 0, refuse: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "ledger.jsonl"
        self.url = ""
        self._delay_ms = delay_ms
        self._refuse = refuse
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Ledger:
        command = [
            sys.executable,
            "-m",
            "tests.proof.ledger",
            str(self.log),
            "--delay-ms",
            str(self._delay_ms),
            "--refuse",
            str(self._refuse),
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError("expected the ledger to listen but it ended")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.communicate()  # it ends with its input
        self._process = None

    @property
    def host(self) -> str:
        """host:port."""
        return self.url.removeprefix("http://")

    def entries(self) -> list[Entry]:
        """Everything written down so far."""
        if not self.log.exists():
            return []
        return [
            Entry(**json.loads(line)) for line in self.log.read_text().splitlines(keepends=True) if line.endswith("\n")
        ]

    def wait_hung_up(self, timeout_s: float = 30.0) -> None:
        """Waits until no caller has a connection any more: the log then has every call of callers that were killed,
        also of those whose requests were still on their way."""
        deadline = time.monotonic() + timeout_s
        while (open_ := self._connections()) > 0:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{open_} connections to the ledger were still open after {timeout_s} s.")
            time.sleep(0.01)

    def _connections(self) -> int:
        with urllib.request.urlopen(f"{self.url}/connections", timeout=10) as answer:
            return int(answer.read())

    def account(self) -> Account:
        """Calls and answers by key."""
        account = Account()
        for entry in self.entries():
            if entry.kind == "call":
                account.calls[entry.key] += 1
                account.first.setdefault(entry.key, entry.at)
            elif entry.kind == "answer":
                account.answers[entry.key] += 1
        return account


class _Server:
    def __init__(self, log: Path, delay_ms: int, refuse: int) -> None:
        self._delay_s = delay_ms / 1000
        self._refuse = refuse
        self._calls: Counter[str] = Counter()
        if log.exists():
            self._calls.update(json.loads(line)["key"] for line in log.read_text().splitlines() if '"call"' in line)
        self._log = log.open("a", buffering=1)
        self._runner: web.AppRunner

    async def serve(self) -> None:
        app = web.Application()
        app.router.add_get("/connections", self._counted)
        app.router.add_post("/{path:.*}", self._called)
        self._runner = runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        print(f"http://{host}:{port}", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await runner.cleanup()

    async def _counted(self, request: web.Request) -> web.Response:
        assert self._runner.server is not None
        others = [one for one in self._runner.server.connections if one is not request.protocol]
        return web.Response(text=str(len(others)), headers={"Connection": "close"})

    async def _called(self, request: web.Request) -> web.Response:
        key = request.headers.get("Idempotency-Key", "")
        await request.read()
        self._write("call", key, request.path)
        self._calls[key] += 1
        nth = self._calls[key]
        try:
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
        except asyncio.CancelledError:
            self._write("left", key, request.path)
            raise
        self._write("answer", key, request.path)
        return web.json_response({"key": key, "call": nth}, status=503 if nth <= self._refuse else 200)

    def _write(self, kind: str, key: str, path: str) -> None:
        self._log.write(json.dumps({"at": time.time(), "kind": kind, "key": key, "path": path}) + "\n")


def main() -> None:
    """Listens on a free port, says which, and ends with its input."""
    options = argparse.ArgumentParser(prog="python -m tests.proof.ledger")
    options.add_argument("log", type=Path)
    options.add_argument("--delay-ms", type=int, default=0)
    options.add_argument("--refuse", type=int, default=0)
    asked = options.parse_args()
    asyncio.run(_Server(asked.log, asked.delay_ms, asked.refuse).serve())


if __name__ == "__main__":
    main()
