"""Values between JSON and PostgreSQL: docs/operations.md has the table of types.

What JSON cannot hold exactly is an error that names the column, never another value. Numbers of type numeric and times
are read from PostgreSQL's own text (docs: chapters "Data Types" and "Date/Time Output"), because the client's types for
them are smaller: it knows no infinity, no year before 1 or after 9999 and no 24:00.
"""

from __future__ import annotations

import base64
import datetime as dt
import math
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from streamflow.definition.plan import whole_number
from streamflow.errors import OperationError

if TYPE_CHECKING:
    import psycopg

MOST_DIGITS = 100  # of a number that keeps all of them, as a decimal of expressions does
_AS_TEXT = ("numeric", "timestamp", "timestamptz", "date", "time", "timetz", "interval")
_INTERVAL = re.compile(
    r"(?:(?P<years>[-+]?\d+) years? ?)?(?:(?P<months>[-+]?\d+) mons? ?)?(?:(?P<days>[-+]?\d+) days? ?)?"
    r"(?:(?P<sign>[-+]?)(?P<hours>\d+):(?P<minutes>\d\d):(?P<seconds>\d\d(?:\.\d+)?))?"
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an answer. `type` is PostgreSQL's name of its type, or of an array's items; empty if the client knows
    none."""

    name: str
    type: str


def keep_texts(connection: psycopg.AsyncConnection[Any]) -> None:
    """Has `connection` leave to `plain_rows` what the client would read as types that are too small."""
    from psycopg.types.string import TextLoader

    for name in _AS_TEXT:
        connection.adapters.register_loader(name, TextLoader)


def columns_of(cursor: psycopg.AsyncCursor[Any]) -> list[Column]:
    """The columns of what `cursor` has to give."""
    types = cursor.adapters.types
    known = [(one.name, types.get(one.type_code)) for one in cursor.description or ()]
    return [Column(name, "" if found is None else found.name) for name, found in known]


def parameter(value: Any, number: int) -> Any:
    """A JSON value as parameter `$number`: objects, and lists that hold any, as jsonb; other lists as arrays.

    Raises OperationError (`value_refused`) for texts that PostgreSQL does not have."""
    from psycopg.types.json import Jsonb

    check_texts(value, f"Parameter ${number}")
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict | list) for item in value)):
        return Jsonb(with_whole_numbers(value))
    if isinstance(value, list) and len({_family(item) for item in value if item is not None}) > 1:
        text = f"Parameter ${number} is a list of values of several types, which no array holds. Give values of one."
        raise OperationError("value_refused", text, retryable=False)
    if isinstance(value, list) and {type(item) for item in value} >= {int, float}:
        return [None if item is None else Decimal(str(item)) for item in value]  # one type, with all digits
    return value


def with_whole_numbers(value: Any) -> Any:
    """JSON where 10.0 is 10, as expressions see it: PostgreSQL reads no integer from `10.0`."""
    if isinstance(value, float):
        return whole_number(value)
    if isinstance(value, list):
        return [with_whole_numbers(item) for item in value]
    return {name: with_whole_numbers(item) for name, item in value.items()} if isinstance(value, dict) else value


def check_texts(value: Any, what: str) -> None:
    """Raises OperationError (`value_refused`) if `value`, which `what` names, holds a text with U+0000 or half of a
    surrogate pair: PostgreSQL has neither."""
    match value:
        case str():
            if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
                text = f"{what} holds U+0000 or half of a surrogate pair, which PostgreSQL text cannot hold. Remove it."
                raise OperationError("value_refused", text, retryable=False)
        case list():
            for item in value:
                check_texts(item, what)
        case dict():
            for name, item in value.items():
                check_texts(name, what)
                check_texts(item, what)


def _family(value: Any) -> type:
    return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)


def plain_rows(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    """The rows as JSON objects. Raises OperationError (`statement_invalid` when two columns share a name,
    `value_refused` for a value that JSON does not have)."""
    names = [column.name for column in columns]
    if len(set(names)) < len(names):
        twice = ", ".join(sorted({name for name in names if names.count(name) > 1}))
        text = f"Several columns have the name {twice}. Rename all but one with AS."
        raise OperationError("statement_invalid", text, retryable=False)
    return [{column.name: _plain(value, column) for column, value in zip(columns, row, strict=True)} for row in rows]


def _plain(value: Any, column: Column) -> Any:
    match value:
        case str() if column.type in _READ:
            return _READ[column.type](value, column)
        case int() if not isinstance(value, bool) and abs(value) >= 10**MOST_DIGITS:
            raise _unfit(column, f"a number of more than {MOST_DIGITS} digits", _CAST)
        case None | bool() | int() | str():
            return value
        case float():
            if not math.isfinite(value):
                raise _unfit(column, f"the number {value}", "Turn it into null or text in the query")
            return value
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(value).decode()
        case list() | tuple():
            return [_plain(item, column) for item in value]
        case dict():
            return {str(name): _plain(item, column) for name, item in value.items()}
        case uuid.UUID():
            return str(value)
    return str(value)  # ranges, networks and the like: PostgreSQL's own text


_CAST = "Cast it to text in the query"


def _numeric(text: str, column: Column) -> int | str:
    """A whole number if PostgreSQL writes it without a point (so never for a numeric(10, 2)); else text with all
    digits, as a decimal of expressions is in JSON."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise _unfit(column, "a number that cannot be read", _CAST) from None
    if not value.is_finite():
        raise _unfit(column, f"the number {text}", "Turn it into null or text in the query")
    if len(value.as_tuple().digits) > MOST_DIGITS or len(text) > 3 * MOST_DIGITS:
        raise _unfit(column, f"a number of more than {MOST_DIGITS} digits", "Round it, or cast it to text in the query")
    return text if "." in text else int(value)


def _moment(text: str, column: Column) -> str:
    return _read_time(text, column, dt.datetime.fromisoformat)


def _day(text: str, column: Column) -> str:
    return _read_time(text, column, dt.date.fromisoformat)


def _time(text: str, column: Column) -> str:
    if text.startswith("24:"):
        raise _unfit(column, f"the time {text}", _CAST)  # Python 3.13 would read it as 00:00
    return _read_time(text, column, dt.time.fromisoformat)


def _read_time(text: str, column: Column, read: Callable[[str], dt.datetime | dt.date | dt.time]) -> str:
    try:
        return read(text).isoformat()
    except ValueError:
        raise _unfit(column, f"the time {text}", "Turn it into null or text in the query") from None


def _interval(text: str, column: Column) -> float:
    """Seconds; a day has 24 hours. Months and years have no length."""
    found = _INTERVAL.fullmatch(text.strip())
    if found is None:
        raise _unfit(column, f"the interval {text}", _CAST)
    if int(found["years"] or 0) or int(found["months"] or 0):
        remedy = "Take EXTRACT(EPOCH FROM ...), which has months of 30 days, or cast it to text in the query"
        raise _unfit(column, f"the interval {text}, whose months have no fixed length", remedy)
    seconds = Decimal(found["seconds"] or 0) + 60 * int(found["minutes"] or 0) + 3600 * int(found["hours"] or 0)
    seconds = -seconds if found["sign"] == "-" else seconds
    return float(seconds + 86_400 * int(found["days"] or 0))


_READ: dict[str, Callable[[str, Column], Any]] = {
    "numeric": _numeric,
    "timestamp": _moment,
    "timestamptz": _moment,
    "date": _day,
    "time": _time,
    "timetz": _time,
    "interval": _interval,
}


def _unfit(column: Column, found: str, remedy: str) -> OperationError:
    text = f"Column {column.name} has {found}, which the answer cannot contain. {remedy}."
    return OperationError("value_refused", text, retryable=False)
