"""The store that the settings name, opened for reading or for writing."""

from __future__ import annotations

from streamflow.history.database import Database, migrate, require_migrated
from streamflow.history.sqlite import Sqlite
from streamflow.settings import Settings


def open_store(settings: Settings, *, write: bool = False, make: bool = True) -> Database:
    """A connection to the history store. With `write` the store is made, or brought up to date; unless `make` is false:
    then a store that the history worker has not made yet is refused.

    Raises OperationError (`history_unavailable`, `history_missing`, `history_older`, `history_newer`,
    `history_url_invalid`)."""
    history = settings.history
    database: Database
    if history.postgresql is None:
        database = Sqlite(history.path, write=write)
    else:
        from streamflow.history.postgresql import PostgreSQL, require_url

        require_url(history)
        database = PostgreSQL(history, write=write)
    try:
        if write and make:
            migrate(database)
        else:
            require_migrated(database)
    except BaseException:
        database.close()
        raise
    return database
