"""What a sidecar serves at the same time, within its file descriptors."""

from __future__ import annotations

import resource

import pytest
import structlog

from streamflow.settings import Sidecar
from streamflow.sidecar.bounds import Bounds, bounds_of, bounds_of_process


@pytest.mark.parametrize("descriptors", [1, 16, 256, 1024, 1 << 20])
@pytest.mark.parametrize("place", [Sidecar(), Sidecar(connections=5, streams=900, requests=900)], ids=["usual", "few"])
def test_there_is_always_a_connection_to_close_for_a_new_one(place: Sidecar, descriptors: int) -> None:
    found = bounds_of(place, descriptors)
    assert min(found.connections, found.streams, found.requests, found.backlog) >= 1
    assert found.connections <= max(1, descriptors // 2)
    if found.connections > 2:
        assert found.streams + found.requests < found.connections


def test_few_descriptors_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [256, 256]
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", lambda _kind, wanted: limits.__setitem__(slice(2), wanted))
    with structlog.testing.capture_logs() as logged:
        found = bounds_of_process(Sidecar())
    assert found == Bounds(connections=128, streams=64, streams_each=40, requests=51, backlog=64)
    assert [(line["event"], line["descriptors"], line["wanted"]) for line in logged] == [("descriptors_few", 256, 1000)]


@pytest.mark.parametrize("hard", [4096, resource.RLIM_INFINITY])
def test_the_soft_limit_is_raised_where_it_may_be(monkeypatch: pytest.MonkeyPatch, hard: int) -> None:
    limits = [256, hard]
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", lambda _kind, wanted: limits.__setitem__(slice(2), wanted))
    with structlog.testing.capture_logs() as logged:
        found = bounds_of_process(Sidecar())
    assert (limits, found.connections, logged) == ([1000, hard], 500, [])
