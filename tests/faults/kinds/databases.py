"""A database that operations write to: away, or with a lock that nobody gives back. What is in its table is a part of
the ledger."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess

from streamflow.operations.postgres import PostgresUpsert
from tests.faults.definitions import RETRY, publish_more
from tests.faults.nemesis import Fault, kind
from tests.faults.site import Site
from tests.servers.postgresql import PASSWORD, PostgresServer, binaries, postgres

BOOKING = f"""
name: booking
version: "1"
on: [{{id: placed, event: f.placed}}]
steps:
  - id: book
    call:
      operation: postgres.upsert
      with:
        - {{name: connection, expr: "'books'"}}
        - {{name: table, expr: "'bookings'"}}
        - {{name: row, expr: "{{'item': trigger.key}}"}}
        - {{name: idempotency_column, expr: "'key'"}}
      {RETRY.replace(", timeout", chr(10) + "      timeout")}
"""


class _Database(Fault):
    needs, mixes, span_s, limits = frozenset({"postgres"}), False, (0.8, 2.5), "the database"

    def __init__(self, chosen: random.Random) -> None:
        super().__init__(chosen)
        self._stack = contextlib.ExitStack()
        self.server: PostgresServer

    def prepare(self, site: Site) -> None:
        self.server = server = self._stack.enter_context(postgres())
        server.run("CREATE TABLE bookings (key text PRIMARY KEY, item text NOT NULL)")
        connection = {"kind": "postgres", "url": server.url, "user": server.user, "password": "env:BOOKS_PASSWORD"}
        site.extra["tasks"] = {
            "STREAMFLOW_TASKS__CONNECTIONS": json.dumps({"books": connection}),
            "BOOKS_PASSWORD": PASSWORD,
        }
        publish_more(site.settings, BOOKING, [PostgresUpsert.spec])
        site.starts += ("booking",)
        site.ledgers.append(lambda: server.run("SELECT key FROM bookings").split())

    def clean(self, site: Site) -> None:
        self._stack.close()


@kind
class DatabaseDown(_Database):
    """PostgreSQL is stopped at once, open transactions are aborted, and it recovers when it is started."""

    name = "database-down"

    def inject(self, site: Site, target: str) -> None:
        self.server.kill()

    def heal(self, site: Site, target: str) -> None:
        self.server.start()


@kind
class DatabaseLocked(_Database):
    """Another session locks the table for longer than the timeout of an attempt."""

    name = "database-locked"

    def inject(self, site: Site, target: str) -> None:
        command = [str(binaries() / "psql"), "-X", "-q", "-d", self.server.dsn]
        self._locker = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
        )
        assert self._locker.stdin is not None
        self._locker.stdin.write("BEGIN; LOCK TABLE bookings IN ACCESS EXCLUSIVE MODE;\n")
        self._locker.stdin.flush()

    def heal(self, site: Site, target: str) -> None:
        self._locker.communicate("ROLLBACK;\n", timeout=20)
