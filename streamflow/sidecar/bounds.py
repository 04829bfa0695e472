"""How much one sidecar serves at the same time: what the settings allow, within the process's file descriptors."""

from __future__ import annotations

import contextlib
import resource
from dataclasses import dataclass

import structlog

from streamflow.settings import Sidecar

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Numbers of what is open or served at the same time."""

    connections: int
    """Connections of any kind. Half of the descriptors stay for Kafka and files."""

    streams: int
    """Streams and WebSockets: at most half of the connections."""

    streams_each: int
    """Those of one principal."""

    requests: int
    """Requests that are being served: at most two fifths of the connections. So one tenth of the connections can
    always be closed for a new one."""

    backlog: int
    """Connections that wait to be accepted; so many may be accepted before the first is looked at."""


def bounds_of(place: Sidecar, descriptors: int) -> Bounds:
    """What a process with so many file descriptors can serve."""
    connections = min(place.connections, max(1, descriptors // 2))
    return Bounds(
        connections=connections,
        streams=min(place.streams, max(1, connections // 2)),
        streams_each=place.streams_each,
        requests=min(place.requests, max(1, connections * 2 // 5)),
        backlog=max(1, min(512, descriptors // 4)),
    )


def bounds_of_process(place: Sidecar) -> Bounds:
    """The bounds of this process. Raises its soft limit of file descriptors where the hard one allows it, and logs
    `descriptors_few` where they do not suffice for the settings."""
    wanted = 2 * place.connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _is_less(soft, wanted):
        with contextlib.suppress(ValueError, OSError):  # some systems allow less than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard) if _is_less(hard, wanted) else wanted, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = bounds_of(place, wanted if not _is_less(soft, wanted) else soft)
    if found.connections < place.connections:
        _log.warning(
            "descriptors_few",
            descriptors=soft,
            wanted=wanted,
            connections=found.connections,
            streams=found.streams,
            requests=found.requests,
            fix="Raise the limit of open files (ulimit -n, LimitNOFILE=), or lower sidecar.connections.",
        )
    return found


def _is_less(limit: int, wanted: int) -> bool:
    return limit != resource.RLIM_INFINITY and limit < wanted
