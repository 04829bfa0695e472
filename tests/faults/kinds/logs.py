"""Topics that lose records: made again, or with records deleted before they were read."""

from __future__ import annotations

import time

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from streamflow.kafka.engine_records import skip_commands
from tests.faults.definitions import PLACED, SOURCES
from tests.faults.nemesis import Fault, kind
from tests.faults.site import Site
from tests.proof.world import Failed


@kind
class SourceRecreated(Fault):
    """A users' topic is deleted after it was read completely, and recreated; then it receives more events."""

    name, targets, mixes, limits = "source-recreated", SOURCES, False, "looking at topics"

    def inject(self, site: Site, target: str) -> None:
        for generator in site.generators:
            generator.pause()
        topic = f"{site.prefix}{target}"
        site.wait(
            lambda: site.is_at_end("ingress", target),
            "the topic to be read",
            lambda: site.stranger.committed(f"{site.prefix}ingress", topic),
        )
        admin = AdminClient({"bootstrap.servers": site.bootstrap, "log_level": 0})
        admin.delete_topics([topic])[topic].result()
        deadline = time.monotonic() + 20
        while True:
            try:
                site.create_sources([target])
                break
            except KafkaException:  # being deleted still
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        site.forget_place(topic)

    def heal(self, site: Site, target: str) -> None:
        for generator in site.generators:
            generator.go_on()


@kind
class SourceRetention(Fault):
    """Ingress is down until the broker has deleted unread events; the loss is reported, and everything else goes
    on.

    It was stopped in order. After a kill, what it had made commands of and not yet committed would be missing in its
    counts."""

    name, mixes, span_s, limits = "source-retention", False, (0.8, 1.5), "none"

    def inject(self, site: Site, target: str) -> None:
        for worker in site.of("ingress"):
            site.stop(worker)

    def heal(self, site: Site, target: str) -> None:
        topic = f"{site.prefix}{PLACED}"
        committed, ends = site.stranger.committed(f"{site.prefix}ingress", topic), site.stranger.ends(topic)
        unread = {number: (max(committed[number], low), high) for number, (low, high) in ends.items()}
        lost = {number: self.chosen.randint(low, high) for number, (low, high) in unread.items()}
        _delete(site, topic, lost)
        for number, until in lost.items():
            site.lose(topic, number, unread[number][0], until)
        for worker in site.of("ingress"):
            worker.restart()


@kind
class CommandsRetention(Fault):
    """The engine is down until unread commands are deleted: the partition stops there, until a person
    accepts the loss.

    It was stopped in order. After a kill, what it had told and not yet saved would be told of runs that nobody knows
    any more."""

    name, mixes, span_s, limits = "commands-retention", False, (0.8, 1.5), "a person"

    def inject(self, site: Site, target: str) -> None:
        for worker in site.of("engine"):
            site.stop(worker)

    def heal(self, site: Site, target: str) -> None:
        topic = f"{site.prefix}commands"
        committed, ends = site.stranger.committed(f"{site.prefix}engine", topic), site.stranger.ends(topic)
        lost = {
            number: self.chosen.randint(max(committed[number], low) + 1, high)
            for number, (low, high) in ends.items()
            if high > committed[number] >= 0
        }
        lost = dict(self.chosen.sample(sorted(lost.items()), min(2, len(lost))))
        _delete(site, topic, lost)
        (engine,) = site.of("engine")
        engine.restart()

        def stopped() -> bool:
            return {
                line["partition"] for line in site.told(engine, "partition_stopped") if "input_gap" in line["error"]
            } >= lost.keys()

        site.wait(stopped, "the partitions to stop", lambda: engine.log.stat().st_size)
        if not lost:
            return
        site.lossy = True
        for number, until in lost.items():
            skip_commands(site.settings, partition=number, offset=until - 1, reason="an experiment")
        site.stop(engine)
        engine.restart()


def _delete(site: Site, topic: str, until: dict[int, int]) -> None:
    admin = AdminClient({"bootstrap.servers": site.bootstrap, "log_level": 0})
    places = [TopicPartition(topic, number, offset) for number, offset in until.items()]
    for place, future in admin.delete_records(places).items() if places else ():
        if future.result().low_watermark != place.offset:
            raise Failed(f"expected {place} to be the first record but {future.result().low_watermark} is")
