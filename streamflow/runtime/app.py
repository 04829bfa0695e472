"""The Faust app of the engine: life-cycle, group membership and assignment. What it hosts is in `engine`; what we
change in it in `transport`."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import faust
import structlog
from aiokafka.errors import KafkaConnectionError
from yarl import URL

from streamflow.errors import EngineFault
from streamflow.kafka.connection import aiokafka_config, bootstrap_servers
from streamflow.kafka.groups import engine_group
from streamflow.kafka.refusals import away_at_start
from streamflow.kafka.revisions import client_id
from streamflow.runtime.engine import EngineHost
from streamflow.runtime.transport import BatchTransport, NoTables
from streamflow.settings import Settings

log = structlog.get_logger()
STOP_S = 20.0  # for Faust to stop, after its partitions are closed


def create_app(settings: Settings, host: EngineHost) -> faust.App:
    """An app whose group gives `host` its partitions. Nothing is read before `host` has opened them."""
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    broker = [URL(f"kafka://{server}") for server in bootstrap_servers(settings).split(",")]
    app = faust.App(
        engine_group(settings),
        broker=broker,
        datadir=str(settings.state_dir / "faust"),
        store="memory://",
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=1,  # 0 would swap in an assignor that does not keep partitions together
        cython_optimizations=True,
        TableManager=NoTables,
        broker_credentials=_credentials(settings),
        broker_client_id=client_id(settings),
        broker_max_poll_records=settings.engine.batch_records,
        consumer_max_fetch_size=1 << 20,
        consumer_metadata_max_age_ms=5000,  # how soon it is seen that `commands` has more partitions
        consumer_auto_offset_reset="earliest",  # never used: every partition is released at its own offset
        broker_session_timeout=settings.engine.session_timeout_s,
        broker_heartbeat_interval=min(3.0, settings.engine.session_timeout_s / 4),  # how soon a rebalance is seen
        stream_wait_empty=False,
        consumer_group_instance_id=settings.engine.instance_id,
    )
    app.transport = BatchTransport(broker, app)

    @app.on_partitions_revoked.connect  # type: ignore[arg-type]
    async def revoked(app: faust.App, revoked: Any, **kwargs: Any) -> None:
        await host.revoke(tp.partition for tp in revoked if tp.topic == host.commands)

    @app.on_rebalance_complete.connect  # type: ignore[arg-type]
    async def assigned(app: faust.App, **kwargs: Any) -> None:
        host.attach(app.consumer)
        await host.assign(tp.partition for tp in app.consumer.assignment() if tp.topic == host.commands)

    return app


def _credentials(settings: Settings) -> Any:
    kafka = settings.kafka
    if kafka.security_protocol == "PLAINTEXT":
        return None
    config = aiokafka_config(settings, "engine")
    context = config.get("ssl_context")
    if kafka.sasl_mechanism == "OAUTHBEARER":
        return faust.OAuthCredentials(oauth_cb=config["sasl_oauth_token_provider"], ssl_context=context)
    if kafka.sasl_mechanism:
        return faust.SASLCredentials(
            username=config["sasl_plain_username"],
            password=config["sasl_plain_password"],
            mechanism=kafka.sasl_mechanism,
            ssl_context=context,
        )
    return faust.SSLCredentials(context)


async def serve(app: faust.App, host: EngineHost, stop: asyncio.Event) -> None:
    """Run until `stop` is set. Raises OperationError when the broker goes away while the worker starts,
    EngineFault when Faust gave up: the process ends and is started again."""
    try:
        await host.start()
        await app.start()
    except KafkaConnectionError as error:
        raise away_at_start(error) from error
    try:
        while not stop.is_set():
            try:
                async with asyncio.timeout(0.5):
                    await stop.wait()
            except TimeoutError:
                if app.crashed or app.crash_reason is not None:
                    reason = app.crash_reason
                    raise EngineFault(
                        "faust_crashed",
                        f"expected Faust to keep running but it stopped with {reason!r}. Start the worker again.",
                    ) from reason
    finally:
        await host.stop()
        await _stop(app)


async def _stop(app: faust.App) -> None:
    """Stop Faust, which after a pause or an outage may never return. Everything is saved by then, so the process may
    simply end."""
    stopping = asyncio.ensure_future(app.stop())
    await asyncio.wait({stopping}, timeout=STOP_S)
    if stopping.done():
        stopping.result()
        return
    log.warning(
        "faust_stuck", seconds=STOP_S, consequence="the process ends at once; its partitions are closed and saved"
    )
    os._exit(0)  # an orderly end of the event loop, and of the interpreter, would wait for the same tasks and threads
