"""The real log, or one of its kind where that is not: from the first event sent to the last transition, through ingress
and engine."""

from __future__ import annotations

from collections import Counter

from tests.bench.meter import Meter
from tests.bench.report import Row
from tests.bench.stage import Span, Stage, answer, drained, pid_of, program, span, stored, wait_ready
from tests.proof import loans
from tests.proof.world import Failed, wait

AIM_S = 60.0
_LONGEST_S = 300.0
_SEED = 2012


def measure(stage: Stage) -> list[Row]:
    """Raises Failed when the runs do not end as the log says."""
    real = loans.REAL_LOG.exists() and not stage.quick
    if not real:
        stage.say("a generated log: quick, or the real one is not there")
    log = loans.real_log() if real else loans.generated_log(_SEED, stage.size(40_000))
    with stage.world("loan", loans.TOPIC) as world:
        world.publish_loans()
        engine, ingress = world.worker("engine"), world.worker("ingress")
        wait_ready(world, engine, ingress)
        pids = {"engine": pid_of(engine), "ingress": pid_of(ingress), "broker": world.broker.pid}
        with Meter(pids) as meter:
            sender = world.send(log)
            wait(lambda: not sender.alive, "everything to be sent", _LONGEST_S, every_s=0.5)
            sender.check()
            drained(world)
        for worker in (engine, ingress):
            worker.stop()
        arrived, produced = span(stored(world, loans.TOPIC)), stored(world, "runs")
        whole = Span(arrived.first_ms, span(produced).last_ms)
        _check(Counter(record.type for record in produced), loans.expected(log))
        beside = answer(program("bare", "consume", world.broker.bootstrap_servers, "bare", world.source, len(log)), 120)
    name = "real log" if real else "generated log"
    rows = [
        Row(
            "loan",
            f"{name}, {len(log):,} events",
            whole.seconds,
            "s",
            beside=beside["seconds"],
            aim=AIM_S if real else None,
            better="less",
        ),
        Row(
            "loan",
            "events/s (beside: aiokafka reads the topic and does nothing)",
            len(log) / whole.seconds,
            "1/s",
            len(log) / beside["seconds"],
        ),
        Row("loan", "of it, sending", arrived.seconds, "s", better="less"),
    ]
    rows += [
        Row(
            "loan",
            f"CPU of {process} per 1,000 events",
            meter.used_s(process, *whole) / len(log) * 1000,
            "s",
            better="less",
        )
        for process in pids
    ]
    return rows


def _check(kinds: Counter[str], expected: dict[str, str]) -> None:
    ended = sum(not outcome.startswith("waiting.") for outcome in expected.values())
    if kinds["RunStarted"] != len(expected) or kinds["RunCompleted"] != ended:
        raise Failed(f"expected {len(expected)} runs of which {ended} end but found {dict(kinds)}")
