"""Who names a place of the worker as a secret, to hear what is there, to hang it or to fill it; and who sends secrets
back to have them kept."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import structlog
from aiohttp import web

from streamflow.errors import OperationError
from streamflow.operations.http import HttpRequest
from streamflow.operations.plugin import PluginOperation, PluginSpec, plugin_egress
from streamflow.operations.registry import Registry
from streamflow.ops.log import configure_log
from streamflow.runtime.task_executor import TaskExecutor
from streamflow.secrets import read_secret
from streamflow.settings import Connection, Settings, Tasks
from tests.attack import Attack, Seen
from tests.attack.applications import application, client
from tests.attack.processes import apart
from tests.contract.servers import attempt, http_server
from tests.contract.test_plugin import SPEC
from tests.unit.runtime.test_task_executor import Known, a_task

DECOY = "a decoy that nobody may hear of"
_READ_S = 2.0


@contextlib.contextmanager
def _places() -> Iterator[dict[str, str]]:
    """References to places of this machine that are no secrets, by what they are. Only /dev/zero is a real device."""
    with tempfile.TemporaryDirectory() as name, socket.socket(socket.AF_UNIX) as listening:
        folder = Path(name)
        os.mkfifo(folder / "fifo")
        (folder / "folder").mkdir()
        listening.bind(str(folder / "socket"))
        with (folder / "large").open("wb") as file:
            file.truncate(100_000_000)
        (folder / "empty").touch()
        (folder / "bytes").write_bytes(b"\xff" * 100)
        (folder / "to-fifo").symlink_to("fifo")
        (folder / "to-zero").symlink_to("/dev/zero")
        (folder / "to-large").symlink_to("large")
        (folder / "loop").symlink_to("loop")
        found = {path.name: f"file:{path}" for path in sorted(folder.iterdir())}
        found["a device"] = "file:/dev/zero"
        found["of the kernel"] = "file:/proc/self/environ"
        found["missing"] = f"file:{folder}/missing"
        found["a long name"] = f"file:{folder}/{'n' * 5000}"
        found["no variable"] = "env:ATTACK_NOT_SET"
        yield found


def _oracle(_seed: int) -> Seen:
    """Answers to registrations must be the same whatever is at the place that they name."""
    seen, told, asked = Seen(), set[tuple[int | str, str]](), list[Any]()
    os.environ["ATTACK_DECOY"] = DECOY
    app, log = application()
    asking = client(app)

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.append(dict(request.headers))
        return web.json_response({"output": {}})

    async def check(places: dict[str, str]) -> None:
        async with http_server(handle) as host:
            endpoint = f"http://{host}/score"
            for what, place in places.items():
                body = {
                    "spec": {"name": "fraud.score", "output": {"type": "object"}},
                    "plugin": {"endpoint": endpoint, "secret": place},
                }
                answer = asking.post("/operations", json=body)
                told.add((answer.status_code, answer.text))
                seen.require(answer.status_code == 422, f"{what}: registered with {answer.status_code}")
                seen.require(place not in answer.text, f"{what}: the answer repeats the place")
                registry = Registry(Settings())
                registry.follow({"fraud.score": body})  # as if it stood in the topic
                seen.require(registry.find("fraud.score") is None, f"{what}: a record with it is taken")
                await registry.close()
            settings = Settings(tasks=Tasks(plugin_secrets={"fraud": "env:ATTACK_DECOY"}))
            for what, place in places.items():
                # An operator's mistake: what is wrong with the place is for the log, not for authors.
                if what in ("a decoy", "a variable"):
                    continue
                wrong = settings.model_copy(update={"tasks": Tasks(plugin_secrets={"fraud": place})})
                egress = plugin_egress(wrong)
                plugin = PluginOperation(SPEC, PluginSpec(endpoint=endpoint, secret="fraud"), wrong, egress)
                try:
                    await plugin.run({}, attempt())
                    seen.wrong.append(f"{what}: the plugin is called")
                except OperationError as error:
                    told.add((error.code, error.message))
                await egress.close()

    with _places() as places:
        decoy = Path(places["large"].removeprefix("file:")).with_name("decoy")
        decoy.write_text(DECOY)
        given = places | {"a decoy": f"file:{decoy}", "a variable": "env:ATTACK_DECOY"}
        asyncio.run(check(given))
    seen.require(not asked, f"{len(asked)} calls were signed and sent")
    seen.require(not log.published.operations, f"registered: {sorted(log.published.operations)}")
    seen.require(len(told) == 2, f"{len(told)} different answers: {sorted(map(str, told))[:4]}")
    seen.figures["places"] = f"{len(given)}, of which files, variables, nothing at all"
    seen.figures["different answers"] = f"{len(told)}: one to who registers, one to who calls"
    return seen


def _strange(_seed: int) -> Seen:
    """Each is refused in time, and the event loop goes on."""
    seen = Seen()
    longest = 0.0
    pauses = [0.0]

    async def beat() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            pauses.append(time.monotonic() - began)

    async def check(places: dict[str, str]) -> None:
        nonlocal longest
        beating = asyncio.create_task(beat())
        for what, place in places.items():
            began = time.monotonic()
            try:
                async with asyncio.timeout(10):
                    found = await read_secret(place)
                seen.wrong.append(f"{what}: read, {len(found)} characters")
            except OperationError as error:
                seen.require(error.code == "secret_missing", f"{what}: {error.code}")
                took_s = time.monotonic() - began
                longest = max(longest, took_s)
                seen.require(took_s < _READ_S, f"{what}: refused after {took_s:.1f} s only")
            except TimeoutError:
                seen.wrong.append(f"{what}: not refused within 10 s")
        await asyncio.sleep(0.05)  # for the last pause to end
        beating.cancel()

    with _places() as places:
        asyncio.run(check(places))
        seen.figures["refused"] = f"{len(places)} places, each within {longest * 1000:.0f} ms"
    seen.require(max(pauses) < _READ_S, f"the event loop stood still for {max(pauses):.1f} s")
    seen.figures["the event loop"] = f"stood still for {max(pauses) * 1000:.0f} ms at most"
    return seen


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda secret: secret,
    "in JSON": lambda secret: f'{{"authorization": "{secret}"}}',
    "for URLs": lambda secret: quote(secret, safe=""),
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "base64, within": lambda secret: base64.b64encode(f"xy{secret}z".encode()).decode(),
    "hexadecimal": lambda secret: secret.encode().hex(),
    "without Bearer": lambda secret: secret.removeprefix("Bearer "),
}


def _echoed(_seed: int) -> Seen:
    """A server that sends a connection's secret header back, in all places of an answer."""
    seen = Seen()
    secret = "Bearer the-secret-of-this-attack"
    os.environ["ATTACK_PARTNER"] = secret
    inside = secret.removeprefix("Bearer ")
    traces = [inside, quote(inside), inside.encode().hex()]
    for shift in range(3):  # as it stands in base64, whatever precedes it
        coded = base64.b64encode(b"x" * shift + inside.encode()).decode()
        traces.append(coded[4:-4])
    kept: list[tuple[str, str]] = []
    sent = 0

    async def check() -> None:
        nonlocal sent

        async def handle(request: web.Request) -> web.StreamResponse:
            nonlocal sent
            sent += request.headers.get("Authorization") == secret
            text = SPELLINGS[request.query["spelling"]](request.headers.get("Authorization", ""))
            where = request.query["where"]
            if where == "header":
                return web.Response(headers={"X-Echo": text.replace('"', "'")})
            if where == "reason":
                return web.Response(status=400, reason=text)
            if where == "name":
                return web.json_response({text: [text, {text: text}]})
            return web.Response(status=int(where), text=text)

        async with http_server(handle) as host:
            partner = Connection(kind="http", url=f"http://{host}", headers={"Authorization": "env:ATTACK_PARTNER"})
            settings = Settings(tasks=Tasks(connections={"partner": partner}, output_bytes=100_000))
            operation: Any = HttpRequest(settings)
            executor = TaskExecutor(settings, Known(operation), lambda task, for_s: "https://x/")
            for where in ("200", "400", "500", "302", "header", "reason", "name"):
                for spelling in SPELLINGS:
                    input: dict[str, Any] = {
                        "url": "/",
                        "connection": "partner",
                        "query": {"where": where, "spelling": spelling},
                    }
                    input |= {"expect": [int(where)]} if where == "400" else {}
                    task = a_task(input, operation="http.request", timeout_ms=5000)
                    _, value = await executor.perform(task)
                    structlog.get_logger("attack").warning("answered", value=value.decode(), header=secret)
                    kept.append((f"{where}, {spelling}", value.decode()))
            await operation.close()

    logged = io.StringIO()
    with contextlib.redirect_stderr(logged):
        configure_log(Settings(log_format="json"))
        asyncio.run(check())
    written = logged.getvalue()
    seen.require(sent == len(kept), f"the server has got the secret {sent} times of {len(kept)}: nothing to echo")
    for what, value in kept:
        seen.require(not any(trace in value for trace in traces), f"{what}: the answer keeps it: {value[:200]}")
    replaced = sum("[secret]" in value for _, value in kept)
    lines = written.splitlines()
    seen.require(len(lines) >= len(kept), f"{len(lines)} lines in the log: it was not written where it is looked for")
    seen.require(not any(trace in written for trace in traces), "the log keeps it")
    seen.figures["answers"] = f"{len(kept)}, {replaced} of which had it replaced; the others had no room for it"
    seen.figures["log"] = f"{len(lines)} lines, none with it"
    return seen


ATTACKS = (
    Attack(
        name="secret-oracle",
        done="plugins that name files and variables of the worker as the key of their signatures",
        expected="nothing is registered or signed, and the answer says nothing about what is there",
        make=apart(_oracle, limit_s=120, growth_bytes=64 << 20),
    ),
    Attack(
        name="strange-secrets",
        done="secrets that are a fifo, a socket, a device, a file of 100 MB, links to these, nothing at all",
        expected="secret_missing within seconds; nothing is read, the event loop goes on",
        make=apart(_strange, limit_s=120, growth_bytes=32 << 20),
    ),
    Attack(
        name="echoed-secrets",
        done="a server that sends a connection's secret header back, in 7 places of the answer and 7 spellings",
        expected="neither what is kept of the attempt nor the log has it",
        make=apart(_echoed, limit_s=120, growth_bytes=64 << 20),
    ),
)
