"""The sidecar as an ASGI application, and as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import structlog
import uvicorn
from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer

from streamflow.errors import OperationError, Rejected
from streamflow.operations.callbacks import API_PATH, callback_key
from streamflow.secrets import resolve_secret
from streamflow.settings import Settings, Sidecar
from streamflow.sidecar import approvals, callbacks, description, health, operations, problems, runs
from streamflow.sidecar.connections import HEAD_BYTES, ConnectionLimits, protocol
from streamflow.sidecar.guard import Guard, GuardLimits, is_loopback
from streamflow.sidecar.log import KafkaLog, Log
from streamflow.sidecar.state import State

_log = structlog.get_logger(__name__)

_ENVELOPE_BYTES = 16_000  # what stands around the data of the largest request
_GRACE_S = 5
_THREADS = 32

OPEN_ROUTERS = (callbacks.router, health.router)  # that ask for no token of the sidecar
ROUTERS = (runs.router, approvals.router, operations.router, description.router, *OPEN_ROUTERS)
_DESCRIPTION = (
    "Start runs, look at them, decide approvals, answer callbacks. Errors are problem+json (RFC 9457) with "
    "a stable `code`."
)


def create_app(settings: Settings, log: Log) -> FastAPI:
    """The application on `log`. Raises OperationError: `secret_missing` when a secret that the settings name is not
    there, `callback_key_weak`."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await log.close()

    # The pages of /docs would load programs from elsewhere.
    app = FastAPI(
        title="Streamflow sidecar",
        version="1",
        description=_DESCRIPTION,
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.streamflow = State(settings, log, callback_key(settings))
    app.state.answered, app.state.contracts = callbacks.Answered(), callbacks.Contracts()
    # The guard has asked for the token before; this tells readers of /openapi.json so.
    told = [Depends(HTTPBearer(auto_error=False, description="the sidecar's token, if one is set"))]
    for router in ROUTERS:
        app.include_router(router, prefix=API_PATH, dependencies=told if router not in OPEN_ROUTERS else [])
    problems.add_to(app)
    token = resolve_secret(settings.sidecar.token) if settings.sidecar.token is not None else None
    body_bytes = max(settings.tasks.output_bytes, settings.limits.event_bytes) + _ENVELOPE_BYTES
    place = settings.sidecar
    limits = GuardLimits(body_bytes=body_bytes, body_s=place.body_s, requests=place.requests)
    app.add_middleware(Guard, token=token, hosts=_hosts(settings), limits=limits)
    return app


def _hosts(settings: Settings) -> frozenset[str]:
    """The names under which this sidecar may be asked."""
    own = {settings.sidecar.host, urlsplit(settings.tasks.callback_url or "").hostname}
    return frozenset({*settings.sidecar.hosts, *(name for name in own if name)})


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Answers requests until `stop`. Raises Rejected (`token_needed`) rather than be open to others without a token,
    and OperationError (`port_taken`)."""
    place = settings.sidecar
    if place.token is None and not is_loopback(place.host):
        expected = f"expected a token for a sidecar that listens on {place.host} but none is set"
        raise Rejected("token_needed", f"{expected}. Set STREAMFLOW_SIDECAR__TOKEN, or listen on 127.0.0.1.")
    listening = _listen(place.host, place.port)
    # Readings of topics take a thread each; Python's default is a few more than there are processors.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="sidecar"))
    host, port = listening.getsockname()[:2]
    app = create_app(settings, KafkaLog(settings))
    limits = ConnectionLimits(connections=_connections(place), head_s=place.head_s, body_s=place.body_s)
    config = uvicorn.Config(
        app,
        http=protocol(limits),
        ws="none",
        h11_max_incomplete_event_size=HEAD_BYTES,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_GRACE_S,
        server_header=False,
    )
    server = _Server(config)
    serving = asyncio.ensure_future(server.serve([listening]))
    stopped = asyncio.ensure_future(stop.wait())
    _log.info(
        "sidecar_listening", url=f"http://{f'[{host}]' if ':' in host else host}:{port}", token=place.token is not None
    )
    try:
        await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        server.should_exit = True
        await serving


def _connections(place: Sidecar) -> int:
    """How many connections this process can have open, with descriptors left for Kafka and files."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(place.connections, max(1, descriptors // 2))


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        found = error.strerror or str(error)
        raise OperationError(
            "port_taken",
            f"expected to listen on {host}:{port} but {found}. Set STREAMFLOW_SIDECAR__PORT to a free one.",
        ) from error
