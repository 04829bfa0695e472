"""The faults of a drill and their schedule: drawn from a seed, one after the other, each at least once."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from streamflow.drill.workers import Worker, Workers
from streamflow.errors import OperationError, Rejected
from streamflow.kafka.embedded.broker import EmbeddedBroker

FIRST_S = 2.0  # of work before anything is broken
RECOVERY_S = 1.5  # of work after each fault
_JOIN_S = 60  # at most, until new workers have joined
_START_S = 1.5  # a process, until it has joined its group

Waits = Iterator[float]  # of a fault under way: seconds until it is asked again


class Site(Protocol):
    """What faults are done to."""

    workers: Workers
    broker: EmbeddedBroker | None
    session_s: float

    def engine(self, *, static: bool = True) -> Worker:
        """Starts one more engine worker, on an empty folder."""


@dataclass(frozen=True)
class Injection:
    """One entry of a schedule: what is broken, whom it hits, when (seconds after the work began), and for how long."""

    fault: str
    target: str
    at_s: float
    for_s: float

    def __str__(self) -> str:
        return f"{self.at_s:5.1f} s  {self.fault} {self.target} for {self.for_s:.1f} s"


@dataclass(frozen=True)
class Fault:
    """A kind of fault. `span_s`: for how long, besides the session timeout if `past_session`; `extra_s`: the time for
    injecting and removing it; `bound`: what, besides the restore, is the least that a standstill can be."""

    what: str
    targets: tuple[str, ...]
    span_s: tuple[float, float]
    play: Callable[[Site, Injection, random.Random], Waits]
    past_session: bool = False
    extra_s: float = 0.0
    bound: str = "the start of a process"
    of_broker: bool = False

    def longest_s(self, session_s: float) -> float:
        """How long one of these takes at most, with the work after it."""
        return self.span_s[1] + (session_s if self.past_session else 0.0) + self.extra_s + RECOVERY_S


def _kill(site: Site, injection: Injection, chosen: random.Random) -> Waits:
    worker = chosen.choice(site.workers.of(injection.target))
    worker.kill()
    yield injection.for_s
    worker.start()


def _stop(site: Site, injection: Injection, chosen: random.Random) -> Waits:
    worker = chosen.choice(site.workers.of(injection.target))
    worker.pause()
    yield injection.for_s
    worker.resume()


def _state(site: Site, injection: Injection, chosen: random.Random) -> Waits:
    worker = chosen.choice(site.workers.of(injection.target))
    worker.kill()
    worker.lose_state()
    yield injection.for_s
    worker.start()


def _takeover(site: Site, injection: Injection, chosen: random.Random) -> Waits:
    chosen.choice(site.workers.of(injection.target)).kill()
    site.engine()
    yield injection.for_s


def _rebalance(site: Site, injection: Injection, chosen: random.Random) -> Waits:
    one, other = site.engine(static=False), site.engine(static=False)
    for _ in range(_JOIN_S * 10):
        if site.workers.complete:
            break
        yield 0.1
    yield injection.for_s
    other.kill()
    for _ in site.workers.leave([one]):
        yield 0.1


def _broker_kill(site: Site, injection: Injection, chosen: random.Random) -> Waits:
    broker = site.broker
    assert broker is not None
    at = broker.bootstrap_servers
    broker.kill()
    yield injection.for_s
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(broker.start)
        while not starting.done():
            yield 0.1
        starting.result()
    if broker.bootstrap_servers != at:
        raise OperationError(
            "broker_moved",
            f"expected the broker back at {at} but another process has taken its port. Run the drill again.",
        )


def _broker_pause(site: Site, injection: Injection, chosen: random.Random) -> Waits:
    assert site.broker is not None
    site.broker.pause()
    yield injection.for_s
    site.broker.resume()


_SESSION = "the session timeout"
_ROLES = ("engine", "ingress", "tasks")
FAULTS: dict[str, Fault] = {
    "kill": Fault("kill -9 of a worker, started again on its disk", _ROLES, (0.2, 1.0), _kill, extra_s=_START_S),
    "stop": Fault(
        "SIGSTOP of a worker past its session, so that it goes on as a zombie",
        _ROLES,
        (0.7, 1.5),
        _stop,
        past_session=True,
        bound=_SESSION,
    ),
    "state": Fault(
        "kill -9 of an engine, and its state folder is deleted", ("engine",), (0.2, 1.0), _state, extra_s=_START_S
    ),
    "takeover": Fault(
        "an engine is lost for good, another comes with an empty folder",
        ("engine",),
        (0.5, 1.0),
        _takeover,
        past_session=True,
        bound=_SESSION,
    ),
    "rebalance": Fault(
        "two more engines join, one leaves in order, one is killed",
        ("engine",),
        (0.5, 2.0),
        _rebalance,
        extra_s=3.0,
        bound=_SESSION,
    ),
    "broker-kill": Fault(
        "kill -9 of the broker, started again on its data",
        ("broker",),
        (0.1, 0.5),
        _broker_kill,
        extra_s=3.0,
        bound="the broker's start",
        of_broker=True,
    ),
    "broker-pause": Fault(
        "SIGSTOP of the broker past all sessions",
        ("broker",),
        (0.5, 1.0),
        _broker_pause,
        past_session=True,
        bound="the broker's pause",
        of_broker=True,
    ),
}


def chosen_faults(words: str, *, embedded: bool) -> tuple[str, ...]:
    """The faults that `words` (names with commas between; empty: all that may be) allows, in the order of the catalog.

    Raises Rejected for an unknown one, and for faults of a broker that is not the drill's own."""
    asked = [word.strip() for word in words.split(",") if word.strip()]
    possible = [name for name, fault in FAULTS.items() if embedded or not fault.of_broker]
    if unknown := [name for name in asked if name not in FAULTS]:
        raise Rejected(
            "fault_unknown", f"expected faults but found {', '.join(unknown)}. Choose from {', '.join(possible)}."
        )
    if foreign := [name for name in asked if name not in possible]:
        text = (
            f"expected faults of the drill's own processes but {', '.join(foreign)} would break a broker that is "
            "not its own"
        )
        raise Rejected("fault_not_ours", f"{text}. Leave --bootstrap away: the drill then starts a broker to break.")
    return tuple(name for name in possible if not asked or name in asked)


def needed_s(faults: Iterable[str], session_s: float) -> float:
    """The seconds of work that it takes to break each of these once."""
    return FIRST_S + sum(FAULTS[name].longest_s(session_s) for name in faults)


def schedule(seed: int, faults: Sequence[str], seconds: float, session_s: float) -> list[Injection]:
    """What is broken when: each fault once, in an order from the seed, then whatever still fits.

    Raises Rejected if `seconds` are too few."""
    least = needed_s(faults, session_s)
    if seconds < least:
        text = (
            f"expected at least {least:.0f} seconds to break {', '.join(faults)} once each but there are {seconds:.0f}"
        )
        raise Rejected("seconds_too_few", f"{text}. Give more --seconds, or break less.", least=round(least, 1))
    chosen = random.Random(f"schedule/{seed}")
    order = list(faults)
    chosen.shuffle(order)
    at_s, injections = FIRST_S, []
    while order:
        fault = FAULTS[name := order.pop(0)]
        for_s = chosen.uniform(*fault.span_s) + (session_s if fault.past_session else 0.0)
        injections.append(Injection(name, chosen.choice(fault.targets), round(at_s, 2), round(for_s, 2)))
        at_s += for_s + fault.extra_s + RECOVERY_S
        if not order:
            order = [
                name
                for name in chosen.sample(list(faults), len(faults))
                if at_s + FAULTS[name].longest_s(session_s) <= seconds
            ][:1]
    return injections
