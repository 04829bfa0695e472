"""The sidecar as an ASGI application, and as a process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import structlog
import uvicorn
from fastapi import FastAPI
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.types import ASGIApp

from streamflow.access.accounting import Access
from streamflow.access.directory import Directory
from streamflow.access.rates import Rates
from streamflow.access.topic import AccessTopic
from streamflow.core.metrics import Metrics
from streamflow.core.tracing import Tracer
from streamflow.errors import OperationError, Rejected
from streamflow.history.reader import HistoryReader
from streamflow.operations.callbacks import API_PATH, callback_key
from streamflow.settings import Settings, Sidecar
from streamflow.sidecar import (
    approvals,
    audit,
    callbacks,
    catalog,
    conversations,
    dead_letters,
    definition_approvals,
    definition_releases,
    definitions,
    description,
    draft_approvals,
    draft_edits,
    draft_scenarios,
    draft_views,
    events,
    health,
    jobs,
    lag,
    live,
    openid,
    operations,
    origins,
    own,
    problems,
    run_views,
    runs,
    scenarios,
    search,
    session,
    shadow,
    streams,
    subscriptions,
    users,
)
from streamflow.sidecar.bounds import Bounds, bounds_of, bounds_of_process
from streamflow.sidecar.connections import ConnectionLimits, protocols
from streamflow.sidecar.conversation_state import service_of
from streamflow.sidecar.event_streams import Streams
from streamflow.sidecar.guard import Guard, GuardLimits, is_loopback
from streamflow.sidecar.identity import Identity
from streamflow.sidecar.job_rights import owner_rights
from streamflow.sidecar.job_runner import JobRunner
from streamflow.sidecar.kafka_log import KafkaLog
from streamflow.sidecar.key_expiry import KeyExpiry
from streamflow.sidecar.live_hub import Hub
from streamflow.sidecar.log import Log
from streamflow.sidecar.measured import Measured
from streamflow.sidecar.pages import Pages
from streamflow.sidecar.sections import Sections
from streamflow.sidecar.state import State
from streamflow.sidecar.traced import Traced
from streamflow.tracing.sampling import sampling_of

_log = structlog.get_logger(__name__)

_ENVELOPE_BYTES = 16_000  # what stands around the data of the largest request
_MESSAGE_BYTES = 4096  # of a client by WebSocket
_SEND_BUFFER_BYTES = 128 << 10  # the kernel's, of each connection: else it grows to 4 MiB for who reads nothing
_GRACE_S = 5
_THREADS = 32

OPEN_ROUTERS = (
    callbacks.router,
    health.router,
    session.router,
    openid.router,
    conversations.shared,
)  # that ask for no token of the sidecar
ROUTERS = (
    runs.router,
    search.router,
    run_views.router,
    streams.router,
    approvals.router,
    operations.router,
    origins.router,
    definition_approvals.router,
    definition_releases.router,
    shadow.router,
    definitions.router,
    scenarios.router,
    catalog.router,
    events.router,
    dead_letters.router,
    jobs.router,
    conversations.router,
    draft_approvals.router,
    draft_edits.router,
    draft_scenarios.router,
    draft_views.router,
    lag.router,
    live.router,
    own.router,
    subscriptions.router,
    users.router,
    audit.router,
    description.router,
    *OPEN_ROUTERS,
)
# As they are: a router that is included in another one is another comparison for every request.
ROUTES = tuple(
    route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute | APIWebSocketRoute)
)
_DESCRIPTION = (
    "Start and show runs, decide approvals, receive callbacks. Errors are problem+json (RFC 9457) with a stable `code`."
)
_BEARER, _BEARER_HELP = "HTTPBearer", "the sidecar's token, an API key, or the access token of a session"


def create_app(
    settings: Settings,
    log: Log,
    access: Access,
    history: HistoryReader,
    tracer: Tracer | None = None,
    metrics: Metrics | None = None,
    bounds: Bounds | None = None,
) -> FastAPI:
    """The application on `log`, `access` and the store that `history` reads. Without `bounds` it has those of the
    settings. Raises OperationError: `secret_missing`
    when a secret that the settings name is not there, `callback_key_weak`, `signing_key_weak`, `redis_missing`,
    `oidc_unusable`."""
    identity = Identity(settings, access, local=not _is_exposed(settings.sidecar))
    runner = JobRunner(log, owner_rights(access))

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        working = {asyncio.create_task(runner.run()), asyncio.create_task(app.state.conversations.run())}
        yield
        app.state.live.close()
        await app.state.conversations.close()
        for task in working:
            task.cancel()
        await asyncio.wait(working)
        await log.close()
        await identity.close()
        await history.close()

    # The pages of /docs would load programs from elsewhere.
    app = _Application(
        title="Streamflow sidecar",
        version="1",
        description=_DESCRIPTION,
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    place = settings.sidecar
    if bounds is None:
        bounds = bounds_of(place, 2 * place.connections)
    streams = Streams(total=bounds.streams, each=bounds.streams_each, metrics=metrics)
    app.state.streamflow = State(settings, log, callback_key(settings), identity, history, runner, streams)
    app.state.live = Hub(log, lambda: app.state.streamflow.history)
    app.state.conversations = service_of(settings, log, metrics)
    app.state.answered, app.state.contracts = callbacks.Answered(), callbacks.Contracts()
    app.router.routes.extend(ROUTES)
    app.router.middleware_stack = Sections(app.router.middleware_stack, routes=ROUTES, prefix=API_PATH)
    problems.add_to(app)
    body_bytes = max(settings.tasks.output_bytes, settings.limits.event_bytes) + _ENVELOPE_BYTES
    limits = GuardLimits(body_bytes=body_bytes, body_s=place.body_s, requests=bounds.requests)
    app.add_middleware(Traced, sampling=sampling_of(settings.tracing), tracer=tracer)
    app.add_middleware(Pages)
    app.add_middleware(Guard, identity=identity, hosts=_hosts(settings), limits=limits, metrics=metrics)
    return app


class _Application(FastAPI):
    """FastAPI, whose description says which requests have to authenticate. The guard asks for it; as dependencies of
    routes, with which FastAPI knows of it, it would cost every request."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            described = super().openapi()
            schemes = {_BEARER: {"type": "http", "scheme": "bearer", "description": _BEARER_HELP}}
            described["components"]["securitySchemes"] = schemes
            unguarded = _unguarded()
            for path, operations in described["paths"].items():
                for method, operation in operations.items():
                    if (method.upper(), path) not in unguarded:
                        operation["security"] = [{_BEARER: []}]
        assert self.openapi_schema is not None
        return self.openapi_schema


def _unguarded() -> set[tuple[str, str]]:
    """Methods and paths that ask for no token."""
    routes = [route for router in OPEN_ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    return {(method, route.path) for route in routes for method in route.methods or ()}


def _hosts(settings: Settings) -> frozenset[str]:
    """The names under which this sidecar may be asked."""
    own = {settings.sidecar.host, urlsplit(settings.tasks.callback_url or "").hostname}
    return frozenset({*settings.sidecar.hosts, *(name for name in own if name)})


class _Server(uvicorn.Server):
    """Leaves signals to its caller."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    settings: Settings, stop: asyncio.Event, metrics: Metrics | None = None, tracer: Tracer | None = None
) -> None:
    """Answers requests until `stop`. Raises Rejected (`token_needed`) rather than be open to others without a token or
    users, and OperationError (`port_taken`)."""
    place = settings.sidecar
    access = AccessTopic(settings)
    try:
        await _require_people(place, access)
        bounds = bounds_of_process(place)
        listening = _listen(place.host, place.port)
    except BaseException:
        await asyncio.to_thread(access.close)
        raise
    # Readings of topics take a thread each; Python's default is a few more than there are processors.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="sidecar"))
    host, port = listening.getsockname()[:2]
    history = HistoryReader(settings)
    app = create_app(settings, KafkaLog(settings, history), access, history, tracer, metrics, bounds)
    if metrics is not None:
        app.add_middleware(Measured, metrics=metrics)
        metrics.sample(KeyExpiry(lambda: access.directory, metrics).take)
        _measure_rates(app.state.streamflow.identity.rates, metrics)
    limits = ConnectionLimits(connections=bounds.connections, head_s=place.head_s, body_s=place.body_s)
    server = _Server(server_config(app, limits, metrics, backlog=bounds.backlog))
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


def _measure_rates(rates: Rates, metrics: Metrics) -> None:
    """Exports whether all sidecars count requests together, where they should."""
    if not rates.shared:
        return
    rates.on_shared = lambda shared: metrics.gauge("rates_shared", float(shared))
    rates.on_shared(True)


def server_config(
    app: ASGIApp, limits: ConnectionLimits, metrics: Metrics | None = None, *, backlog: int = 512
) -> uvicorn.Config:
    """How `app` is served. asyncio accepts up to `backlog` connections before it looks at the first of them."""
    http, ws = protocols(limits, metrics)
    return uvicorn.Config(
        app,
        http=http,
        ws=ws,
        backlog=backlog,
        ws_max_size=_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_GRACE_S,
        server_header=False,
        proxy_headers=False,  # uvicorn would believe the leftmost address, see `client_address`
    )


async def _require_people(place: Sidecar, access: AccessTopic) -> None:
    """Waits until it is known who may what, for some seconds. Raises Rejected (`token_needed`) for a sidecar that
    others reach and that asks nobody who they are."""
    exposed = place.token is None and _is_exposed(place)
    directory = Directory()
    try:
        directory = await asyncio.to_thread(access.wait_loaded)
    except OperationError as error:
        if exposed and error.retryable and error.code != "access_unreadable":
            raise
    if exposed and directory.is_open:
        proxy = ", behind a proxy" if is_loopback(place.host) else ""
        expected = f"expected a token for a sidecar that listens on {place.host}{proxy} but none is set"
        raise Rejected(
            "token_needed",
            f"{expected}, and no users are known. Set STREAMFLOW_SIDECAR__TOKEN, make the first user with `streamflow "
            "access users add NAME --role admin`, or listen on 127.0.0.1 without a proxy.",
        )


def _is_exposed(place: Sidecar) -> bool:
    """Whether requests come from elsewhere than this machine."""
    return not is_loopback(place.host) or bool(place.trusted_proxies)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        found = error.strerror or str(error)
        raise OperationError(
            "port_taken",
            f"expected to listen on {host}:{port} but {found}. Set STREAMFLOW_SIDECAR__PORT to a free one.",
        ) from error
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    # asyncio does it only for sockets that name their protocol, which those of create_server do not: without, every
    # answer of two parts waits 40 ms for the client's delayed acknowledgement.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
