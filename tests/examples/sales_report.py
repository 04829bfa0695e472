"""sales-report: the sales of a day are read from PostgreSQL, summed up, stored, logged, and told over NATS."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

from tests.examples.stores import database, messages, objects
from tests.examples.world import PROJECT, World
from tests.servers.jetstream import NatsServer

FOLDER = PROJECT / "definitions" / "sales-report"


def run(world: World, stack: contextlib.ExitStack) -> None:
    """The whole of it."""
    folder = Path(world.shown(FOLDER))
    world.title("PostgreSQL with a few sales, an object store, NATS, Kafka and the workers")
    rows, where_rows = database(stack, FOLDER / "tables.sql")
    _, where_objects = objects(stack)
    server, where_messages = messages(stack)
    connections = {
        "database": where_rows.connection,
        "objects": where_objects.connection,
        "messages": where_messages.connection,
    }
    world.begin(connections, where_rows.secrets | where_objects.secrets | where_messages.secrets)
    world.title("The definition is published, and a report is asked for by a file")
    world.streamflow("definitions", "publish", str(folder))
    world.streamflow("runs", "start", str(folder / "samples" / "start.yaml"), "--fetch", world.shown(world.out))
    world.title("What came of it")
    report = next(world.out.rglob("2026-03-02.csv"))
    world.tell(f"The report, downloaded to {world.shown(report)}:\n{report.read_text().rstrip()}")
    found = rows.run("SELECT shop, day, orders, amount_cents, url FROM sales_reports")
    file = world.wrote("sales_reports.txt", found + "\n")
    world.tell(f"\nThe row in sales_reports, copied to {world.shown(file)}:\n{found}")
    message = asyncio.run(_message(server))
    file = world.wrote("message.json", json.dumps(message, indent=2) + "\n")
    world.tell(f"\nThe message under reports.sales, copied to {world.shown(file)}:\n{file.read_text().rstrip()}")


async def _message(server: NatsServer) -> Any:
    """The last message of the report."""
    import nats

    client = await nats.connect(server.url, user=server.user, password=server.password)
    try:
        found = await client.jetstream().get_last_msg("REPORTS", "reports.sales")
        return json.loads(found.data or b"null")
    finally:
        await client.close()
