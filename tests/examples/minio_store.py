"""minio-store: a day of a sensor is summed up, stored in an object store, and logged to PostgreSQL."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tests.examples.stores import database, objects
from tests.examples.world import PROJECT, World

FOLDER = PROJECT / "definitions" / "minio-store"


def run(world: World, stack: contextlib.ExitStack) -> None:
    """The whole of it."""
    folder = Path(world.shown(FOLDER))
    world.title("PostgreSQL, an object store, Kafka and the workers")
    rows, where_rows = database(stack, FOLDER / "tables.sql")
    _, where_objects = objects(stack)
    world.begin(
        {"database": where_rows.connection, "objects": where_objects.connection},
        where_rows.secrets | where_objects.secrets,
    )
    world.title("The definition is published, and a run of it is started from a file")
    world.streamflow("definitions", "publish", str(folder))
    world.streamflow("runs", "start", str(folder / "samples" / "start.yaml"), "--fetch", world.shown(world.out))
    world.title("What came of it")
    stored = next(world.out.rglob("2026-03-02.json"))
    world.tell(f"The object, downloaded to {world.shown(stored)}:\n{stored.read_text()}")
    found = rows.run("SELECT sensor, day, url, bytes, too_hot FROM stored_summaries")
    file = world.wrote("stored_summaries.txt", found + "\n")
    world.tell(f"\nThe row in stored_summaries, copied to {world.shown(file)}:\n{found}")
