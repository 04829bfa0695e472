"""Kinds of trouble in an installation, and the alerts that tell of each."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from typing import NamedTuple
from uuid import uuid4

from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewTopic

from tests.alerts.installation import PARTITIONS, UNSERVED, Installation
from tests.faults.shim import Disk
from tests.proof.world import wait

ENGINES = ("engine-1", "engine-2")
PAUSE_S = 12.0
SLOW_MS = 5500.0  # of a write to a slow disk
DEEP = 10_001  # tasks: more than the limit of the alert
BEHIND = frozenset({"StreamflowLagHigh", "StreamflowFallingBehind", "StreamflowNoProgress"})

Step = Callable[[Installation], None]


def nothing(site: Installation) -> None:
    return


class Trouble(NamedTuple):
    """One kind of trouble."""

    begin: Step
    told: frozenset[str]  # the alerts that fire
    may: frozenset[str] = frozenset()  # alerts that may fire besides, depending on how long it takes
    loaded: bool = False  # under a load of orders
    shorter: float = 60.0  # by how much the windows of the rules are divided
    again: Step = nothing  # done again and again until they have fired
    mend: Step = nothing


def alerts(*names: str) -> frozenset[str]:
    return frozenset(f"Streamflow{name}" for name in names)


# -- what people send


def order(site: Installation) -> None:
    site.send("order.placed", "orders", json.dumps({"id": "A-1", "event": uuid4().hex, "quantity": 1}).encode())


def dead_letter(site: Installation) -> None:
    site.send("order.placed", "orders", b"not json")


def failing_runs(site: Installation) -> None:
    with site.load("5/s", 40.0, "nothing") as load:
        assert set(load.ended(120).report["ended"]) == {"failed"}


def parked_run(site: Installation) -> None:
    site.send("stock.counted", "stock", json.dumps({"id": "S", "count": uuid4().hex, "pieces": 0}).encode())


def cancel_parked(site: Installation) -> None:
    rows = json.loads(site.command("--json", "runs", "list", "--status", "parked"))["runs"]
    for row in rows:
        site.command("runs", "cancel", row["run"], "--why", "nothing was counted")


def confirm_nothing(site: Installation) -> None:
    """An event for a key without a run."""
    before = site.unclaimed()
    site.send("stock.confirmed", "confirmations", json.dumps({"id": "nobody", "count": uuid4().hex}).encode())
    wait(lambda: site.unclaimed() > before, "the event to be unclaimed", 60, every_s=0.5)


# -- processes


def no_exporter(site: Installation) -> None:
    site.stop("exporter")


def start_exporter(site: Installation) -> None:
    site.start("exporter")


def lane_stalls(site: Installation) -> None:
    """After its partition has been worked on."""
    made = site.exported("tasks", "streamflow_attempts_total")
    order(site)
    wait(lambda: site.exported("tasks", "streamflow_attempts_total") > made, "an attempt", 60, every_s=0.5)
    site.hold("tasks")
    order(site)


def lane_goes_on(site: Installation) -> None:
    site.go_on("tasks")


def queue_without_workers(site: Installation) -> None:
    """Nothing was ever committed there."""
    site.append(site.own_topic(f"tasks.{UNSERVED}"), *[b"{}"] * DEEP)


def delete_queue(site: Installation) -> None:
    places = [TopicPartition(site.own_topic(f"tasks.{UNSERVED}"), number, -1) for number in range(PARTITIONS)]
    for future in site.admin.delete_records(places).values():
        future.result(20)


def engines_pause(site: Installation) -> None:
    """For longer than a timer may be late, and go on until they have fired again."""
    before, until_s = site.timers(), time.monotonic() + PAUSE_S
    for role in ENGINES:
        site.hold(role)
    wait(lambda: time.monotonic() > until_s, "the pause to end", 2 * PAUSE_S)
    engines_go_on(site)
    wait(lambda: site.timers() > before, "timers to fire", 60, every_s=0.5)


def engines_go_on(site: Installation) -> None:
    for role in ENGINES:
        site.go_on(role)


def slow_disk(site: Installation) -> None:
    for role in ENGINES:
        site.shims[role].disk(Disk.SLOW, SLOW_MS)


def disk_well(site: Installation) -> None:
    for role in ENGINES:
        site.shims[role].disk(Disk.WELL)


# -- topics


def begin_transaction(site: Installation) -> None:
    """Somebody's, which stays open in a partition of the state; workers have to read all of that."""
    site.strangers.append(stranger := site.transactional("stranger"))
    stranger.begin_transaction()
    stranger.produce(site.own_topic("state"), None, b"stranger", 0)
    assert stranger.flush(20) == 0
    for role in ENGINES:
        site.stop(role)
        shutil.rmtree(site.state(role))
        site.start(role)


def abort_transaction(site: Installation) -> None:
    site.strangers.pop().abort_transaction(120)
    site.wait_ready()


def state_unreadable(site: Installation) -> None:
    """For workers that have to read all of it."""
    site.append(site.own_topic("state"), b"no record of Streamflow's", key=b"stranger", partition=0)
    for role in ENGINES:
        site.stop(role)
        shutil.rmtree(site.state(role))
        site.start(role)


def state_readable(site: Installation) -> None:
    site.append(site.own_topic("state"), None, key=b"stranger", partition=0)
    for role in ENGINES:
        site.stop(role)
        site.start(role)
    site.wait_ready()


def delete_topic(name: str) -> Step:
    def delete(site: Installation) -> None:
        site.admin.delete_topics([name])[name].result(20)

    return delete


def create_topic(name: str) -> Step:
    def create(site: Installation) -> None:
        site.admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(20)

    return create


def emitted_events_stay(site: Installation) -> None:
    delete_topic("shipments")(site)
    with site.load("2/s", 5.0) as load:
        load.ended(120)


# -- what expires


def expiring_key(site: Installation) -> None:
    file = site.folder / "password"
    file.write_text("correct horse battery")
    site.command("access", "users", "add", "alice", "--role", "admin", "--password-file", str(file))
    site.command("access", "keys", "add", "alice", "--for", "docs", "--days", "3")


def revoke_keys(site: Installation) -> None:
    for row in json.loads(site.command("--json", "access", "keys", "list"))["keys"]:
        site.command("access", "keys", "revoke", f"sfk_{row['id']}")


TROUBLES: dict[str, Trouble] = {
    "a record that nobody can read": Trouble(dead_letter, alerts("DeadLetters")),
    "runs that fail": Trouble(failing_runs, alerts("SuccessRateLow", "ErrorBudgetBurnFast", "ErrorBudgetBurnSlow")),
    "a parked run": Trouble(parked_run, alerts("RunsParked"), mend=cancel_parked),
    "events that no run takes": Trouble(nothing, alerts("UnclaimedEvents"), again=confirm_nothing),
    "no exporter": Trouble(no_exporter, alerts("ExporterSilent"), mend=start_exporter),
    "a lane that stalls": Trouble(lane_stalls, alerts("NoProgress"), may=BEHIND, mend=lane_goes_on),
    "a queue without workers": Trouble(
        queue_without_workers,
        alerts("QueueDeep", "LagHigh", "FallingBehind", "NoProgress"),
        mend=delete_queue,
    ),
    "engines that pause": Trouble(
        nothing,
        alerts("TimersLate"),
        may=BEHIND | alerts("PartitionsOpening", "CheckpointSlow"),
        shorter=10.0,
        loaded=True,
        again=engines_pause,
        mend=engines_go_on,
    ),
    "a slow disk": Trouble(
        slow_disk,
        alerts("CheckpointSlow"),
        may=BEHIND | alerts("TimersLate"),
        shorter=15.0,  # while a worker writes, its metrics page does not answer
        loaded=True,
        mend=disk_well,
    ),
    "a state that nobody can read": Trouble(
        state_unreadable, alerts("PartitionStopped"), may=BEHIND, mend=state_readable
    ),
    "a transaction that stays open": Trouble(
        begin_transaction, alerts("PartitionsOpening"), may=BEHIND, mend=abort_transaction
    ),
    "a topic that takes no events": Trouble(
        emitted_events_stay, alerts("OutboxStalled"), mend=create_topic("shipments")
    ),
    "a source that is gone": Trouble(delete_topic("payments"), alerts("TopicTrouble"), mend=create_topic("payments")),
    "a key that expires": Trouble(expiring_key, alerts("ApiKeyExpires"), mend=revoke_keys),
}

ELSEWHERE = alerts(
    "CertificateExpires",  # tests/integration/test_secured.py: there is TLS
    "RestoreSlow",  # promtool alone: a restore of more than two minutes
    "CommandsSetAside",  # promtool alone: it takes a bug in the engine
    "LabelsOverBound",  # promtool alone: it takes hundreds of names
)
