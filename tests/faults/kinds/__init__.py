"""Kinds of faults, by what they break. Importing this makes all of them known."""

from __future__ import annotations

from tests.faults.kinds import (
    brokers,
    clocks,
    databases,
    elections,
    groups,
    growth,
    logs,
    networks,
    outsides,
    processes,
    stores,
    upgrades,
)

__all__ = [
    "brokers",
    "clocks",
    "databases",
    "elections",
    "groups",
    "growth",
    "logs",
    "networks",
    "outsides",
    "processes",
    "stores",
    "upgrades",
]
