"""What runs are listed by, as conditions in SQL. Columns and operators are those named here; nothing of a caller's text
gets into a statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Struct

from streamflow.errors import Rejected
from streamflow.history.writer import WAITS_FOR

STATUSES = ("open", "parked", "completed", "failed", "cancelled")
_HIGHEST = "\U0010ffff"


class RunFilter(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What runs to list; None: any."""

    definition: str | None = None
    """The name of the definition."""

    within: tuple[str, ...] | None = None
    """Names of definitions, one of which it must be: those that the asker may look at."""

    version: str | None = None
    """Its version; needs `definition`."""

    status: str | None = None
    """One of STATUSES; `open` has the parked ones in it."""

    key: str | None = None
    """The business key."""

    key_prefix: str | None = None
    """What the business key begins with."""

    error_code: str | None = None
    """The code of the latest error."""

    parked_step: str | None = None
    """The address of the parked step."""

    waits_for: str | None = None
    """What the run waits for, as in `waits`: an event, `approval:finance`, or `approval:` for all of the kind."""

    parent: str | None = None
    """The run whose step waits for it."""

    restart_of: str | None = None
    """The run in whose place it was started."""

    started_from_ms: int | None = None
    """The earliest beginning."""

    started_to_ms: int | None = None
    """What the beginning is before."""

    ended_from_ms: int | None = None
    """The earliest end."""

    ended_to_ms: int | None = None
    """What the end is before."""

    attributes: dict[str, str] = msgspec.field(default_factory=dict)
    """Values of declared search attributes, by name."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that a run must be: SQL over a row with the alias r, its values, and the columns of `run` that it reads
    beside `started_ms` and `no`. If an index leads to such runs: the table and the same condition there; `ordered`: in
    the order of their beginning."""

    check: str
    values: tuple[Any, ...]
    columns: tuple[str, ...] = ()
    table: str = ""
    lead: str = ""
    lead_values: tuple[Any, ...] = ()
    ordered: bool = True


@dataclass(slots=True)
class Plan:
    """A filter as conditions, and bounds of the beginning, which every index knows."""

    conditions: list[Condition] = field(default_factory=list)
    bounds: list[tuple[str, int]] = field(default_factory=list)


def plan(wanted: RunFilter) -> Plan:
    """The conditions of a filter. Raises Rejected (`filter_invalid`)."""
    found = Plan()
    add = found.conditions.append
    if wanted.version is not None and wanted.definition is None:
        raise Rejected(
            "filter_invalid", "expected a definition with the version but found none. Name the definition too."
        )
    if wanted.status is not None and wanted.status not in STATUSES:
        raise Rejected(
            "filter_invalid",
            f"expected a status that is one of {', '.join(STATUSES)} but found {wanted.status!r}. Choose one of them.",
        )
    status = wanted.status if wanted.status != "parked" else None
    together = {"definition": wanted.definition, "version": wanted.version, "status": status}
    given = {name: value for name, value in together.items() if value is not None}
    if "version" in given and "status" in given:
        add(equal({"status": given.pop("status")}))
    if given:
        add(equal(given))
    if wanted.within is not None:
        add(_one_of(wanted.within))
    for name in ("key", "error_code", "parked_step", "parent", "restart_of"):
        value = getattr(wanted, name)
        if value is not None:
            add(equal({name: value}))
    if wanted.status == "parked":
        parked = "r.parked_step IS NOT NULL"
        add(Condition(parked, (), ("parked_step",), "run", parked))
    attributes = dict(wanted.attributes)
    if wanted.waits_for is not None:
        attributes[WAITS_FOR] = wanted.waits_for
    for name, value in attributes.items():
        add(
            Condition(
                # no EXISTS: PostgreSQL would make a join of it, and read the attribute's whole index
                "(SELECT a.no FROM attr a WHERE a.name = ? AND a.value = ? AND a.started_ms = r.started_ms "
                "AND a.no = r.no) IS NOT NULL",
                (name, value),
                (),
                "attr",
                "r.name = ? AND r.value = ?",
                (name, value),
            )
        )
    if wanted.key_prefix:
        add(_range("key", wanted.key_prefix, wanted.key_prefix + _HIGHEST))
    if wanted.ended_from_ms is not None or wanted.ended_to_ms is not None:
        add(_range("ended_ms", wanted.ended_from_ms, wanted.ended_to_ms))
    if wanted.started_from_ms is not None:
        found.bounds.append(("r.started_ms >= ?", wanted.started_from_ms))
    if wanted.started_to_ms is not None:
        found.bounds.append(("r.started_ms < ?", wanted.started_to_ms))
    return found


def equal(given: Mapping[str, Any]) -> Condition:
    """Columns that have these values."""
    check = " AND ".join(f"r.{name} = ?" for name in given)
    return Condition(check, tuple(given.values()), tuple(given), "run", check, tuple(given.values()))


def one_of(column: str, names: Sequence[str]) -> str:
    """SQL that says that `column` has one of the values that stand for `names`."""
    return f"{column} IN ({', '.join('?' * len(names))})" if names else "1 = 0"


def _one_of(names: tuple[str, ...]) -> Condition:
    if len(names) == 1:
        return equal({"definition": names[0]})
    return Condition(one_of("r.definition", names), names, ("definition",))


def _range(column: str, low: Any, high: Any) -> Condition:
    bounds = [(f"r.{column} >= ?", low), (f"r.{column} < ?", high)]
    check = " AND ".join(sql for sql, value in bounds if value is not None)
    values = tuple(value for _, value in bounds if value is not None)
    return Condition(check, values, (column,), "run", check, values, ordered=False)
