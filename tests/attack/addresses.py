"""Ways to hosts that a worker must not reach. Nothing leaves this machine: every name is resolved by this attack, and a
connection to another address than loopback is noted and refused before it is opened."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import sys
from collections import Counter
from collections.abc import Awaitable
from typing import Any

from aiohttp import web

from streamflow.errors import OperationError
from streamflow.operations.http import HttpRequest
from streamflow.operations.plugin import PluginOperation, PluginSpec, plugin_egress
from streamflow.settings import Connection, Settings, Tasks
from tests.attack import Attack, Seen
from tests.attack.processes import apart
from tests.contract.servers import attempt, http_server
from tests.contract.test_plugin import SPEC
from tests.unit.operations.test_dialling import DIALLING
from tests.unit.operations.test_egress_policy import NEVER, NEVER_BY_NAME, PRIVATE, SPELLINGS, STEPS_OUT

NAME = "rebound.example"
# what a resolver may answer, although nothing may go there even if the name is allowed
NEVER_ANSWERS = [answers for address in NEVER_BY_NAME for answers in ([address], ["127.0.0.1", address])]


class Dialled:
    """What this process connects to from now on, by an audit hook, which cannot be taken away again."""

    def __init__(self) -> None:
        self.foreign: list[str] = []
        self.answers: list[str] = []  # of the resolver
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect" and isinstance(arguments[1], tuple):
            host = str(arguments[1][0])
            if not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
                self.foreign.append(host)
                raise ConnectionRefusedError(f"{host} is not dialled by an attack")
        elif event == "socket.getaddrinfo" and arguments[0] not in (None, "localhost", "127.0.0.1", "::1"):
            host = str(arguments[0])
            try:
                ipaddress.ip_address(host)  # is only read
            except ValueError:
                self.foreign.append(host)
                raise socket.gaierror(f"{host} is not asked for by an attack") from None

    def resolve(self, host: str, port: int) -> list[Any]:
        """The addresses of names, as the event loop's `getaddrinfo` gives them."""
        found = self.answers if host.endswith(".example") else [host]
        kinds = [socket.AF_INET6 if ":" in one else socket.AF_INET for one in found]
        return [(kind, socket.SOCK_STREAM, 6, "", (one, port)) for kind, one in zip(kinds, found, strict=True)]


def _watched(seen: Seen) -> Dialled:
    dialled = Dialled()

    async def found(_loop: Any, host: str, port: int, **_more: Any) -> list[Any]:
        return dialled.resolve(host, port)

    asyncio.BaseEventLoop.getaddrinfo = found  # type: ignore[method-assign,assignment]
    with socket.socket() as control:  # the hook must hear, or nothing below is seen
        try:
            control.connect(("192.0.2.1", 80))
        except ConnectionRefusedError:
            pass
    seen.require(dialled.foreign == ["192.0.2.1"], "connections are not noticed")
    dialled.foreign.clear()
    return dialled


async def _code_of(done: Awaitable[Any]) -> str:
    """The code with which an attempt is refused."""
    try:
        await done
    except OperationError as error:
        return error.code
    return "not refused"


def _hosts(_seed: int) -> Seen:
    seen, codes = Seen(), Counter[str]()
    dialled = _watched(seen)
    os.environ["FRAUD_KEY"] = "a key of this attack"

    async def tried(what: str, done: Awaitable[Any], code: str) -> None:
        found = await _code_of(done)
        codes[found] += 1
        seen.require(found == code, f"{what}: {found}")

    async def check() -> None:
        usual = Settings(tasks=Tasks(plugin_secrets={"fraud": "env:FRAUD_KEY"}))
        named = Settings(tasks=Tasks(allow_hosts=[NAME]))
        asking, allowed, plugins = HttpRequest(usual), HttpRequest(named), plugin_egress(usual)

        async def redirect(request: web.Request) -> web.StreamResponse:
            return web.Response(status=307, headers={"Location": request.query["to"]})

        def plugin(url: str) -> PluginOperation:
            place = PluginSpec.model_construct(endpoint=url, secret="fraud", health=None, pending=None)
            return PluginOperation(SPEC, place, usual, plugins)

        async with http_server(redirect) as host:
            own = HttpRequest(Settings(tasks=Tasks(allow_hosts=[host])))
            for address in (*NEVER, *PRIVATE):
                shown = f"[{address}]".replace("%", "%25") if ":" in address else address
                literal, name = f"http://{shown}/", f"http://{NAME}/"
                await tried(f"http.request of {address}", asking.run({"url": literal}, attempt()), "url_refused")
                to = {"url": f"http://{host}/", "query": {"to": literal}}
                await tried(f"a redirect to {address}", own.run(to, attempt()), "url_refused")
                for answers in ([address], ["127.0.0.1", address], [address, "93.184.216.34"]):
                    dialled.answers[:] = answers
                    await tried(f"a name that is {answers}", asking.run({"url": name}, attempt()), "url_refused")
                    if address in NEVER:
                        await tried(f"a plugin at {answers}", plugin(name).run({}, attempt()), "url_refused")
                if address in NEVER:
                    await tried(f"a plugin at {address}", plugin(literal).run({}, attempt()), "url_refused")
            for url in SPELLINGS:
                await tried(f"http.request of {url}", asking.run({"url": url}, attempt()), "url_refused")
                to = {"url": f"http://{host}/", "query": {"to": url}}
                if "127.0.0.1" not in url:
                    await tried(f"a redirect to {url}", own.run(to, attempt()), "url_refused")
            for answers in NEVER_ANSWERS:
                dialled.answers[:] = answers
                request = allowed.run({"url": f"http://{NAME}/"}, attempt())
                await tried(f"an allowed name at {answers}", request, "url_refused")
            await own.close()
        for operation in (asking, allowed, plugins):
            await operation.close()
        for kind, dial in DIALLING.items():
            for answers in NEVER_ANSWERS:
                dialled.answers[:] = answers
                await tried(f"{kind} at {answers}", dial(), "connection_invalid")

    asyncio.run(check())
    seen.require(not dialled.foreign, f"dialled: {sorted(set(dialled.foreign))}")
    seen.count("tried", codes)
    seen.figures["connections elsewhere"] = str(len(dialled.foreign))
    return seen


def _paths(_seed: int) -> Seen:
    """The server behind a connection stands on loopback, and notes what arrives."""
    seen, codes, arrived = Seen(), Counter[str](), list[str]()
    dialled = _watched(seen)
    os.environ["ATTACK_PARTNER"] = "a secret of this attack"

    async def handle(request: web.Request) -> web.StreamResponse:
        arrived.append(request.raw_path)
        seen.require("Authorization" in request.headers, f"{request.raw_path} came without the header")
        return web.json_response({})

    async def check() -> None:
        async with http_server(handle) as host:
            partner = Connection(
                kind="http", url=f"http://{host}/api/", headers={"Authorization": "env:ATTACK_PARTNER"}
            )
            operation = HttpRequest(Settings(tasks=Tasks()))
            given = attempt(connection=lambda name: partner)
            await operation.run({"url": "orders", "connection": "partner"}, given)
            for path in STEPS_OUT:
                for url in (path, f"a/{path}", f"/a/b/{path}", f"http://elsewhere.example/{path}"):
                    codes[await _code_of(operation.run({"url": url, "connection": "partner"}, given))] += 1
            await operation.close()

    asyncio.run(check())
    outside = [path for path in arrived if not path.startswith("/api/")]
    steering = [path for path in arrived if ".." in path or "%2" in path.lower() or ";" in path or "\\" in path]
    seen.require(arrived[:1] == ["/api/orders"], f"the first came as {arrived[:1]}")
    seen.require(not outside, f"outside of the connection: {outside[:5]}")
    seen.require(not steering, f"may be outside: {steering[:5]}")
    seen.require(not dialled.foreign, f"dialled: {dialled.foreign[:5]}")
    seen.require(codes["url_refused"] > 3 * len(STEPS_OUT), f"too few are refused: {dict(codes)}")
    seen.count("tried", codes)
    seen.figures["arrived"] = f"{len(arrived)}, all of them under /api/: {sorted(set(arrived))}"
    return seen


ATTACKS = (
    Attack(
        name="hosts-within",
        done="private, special and metadata addresses: as such, spelt strangely, by name, by redirect, of stores",
        expected="url_refused or connection_invalid, and no connection is opened",
        make=apart(_hosts, limit_s=240, growth_bytes=64 << 20),
    ),
    Attack(
        name="steps-out-of-a-path",
        done=f"{len(STEPS_OUT)} spellings of .. and ; under a connection with a secret header",
        expected="url_refused; the server behind gets none of them",
        make=apart(_paths, limit_s=120, growth_bytes=64 << 20),
    ),
)
