"""Where the engine's time goes, part by part, in this process and without a broker: CPU of the thread, so that other
processes do not count.

With BENCH_PROFILE in the environment, the functions that take the most time are printed too.
"""

from __future__ import annotations

import cProfile
import gc
import os
import pstats
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from aiokafka.producer.message_accumulator import BatchBuilder

from streamflow.cli.worker import GC_THRESHOLD
from streamflow.core.partition_metrics import PartitionMetrics
from streamflow.definition.compile import plan_of
from streamflow.definition.content import canonical, sha256_of
from streamflow.definition.plan import Plan
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.engine.builder import Limits
from streamflow.engine.commands import DefinitionRef
from streamflow.engine.decide import decide
from streamflow.engine.overlay import Overlay
from streamflow.ids import partition_of
from streamflow.metrics.collector import ProcessMetrics
from streamflow.metrics.metric import Process
from streamflow.runtime.store import RocksStore
from streamflow.settings import Engine
from streamflow.wire.codec import decode_command, encode_command
from streamflow.wire.transitions import encode_transition
from tests.bench.report import Row
from tests.bench.stage import Stage
from tests.bench.workload import TRANSITIONS_PER_RUN, TWO_COMMANDS, catalog, commands
from tests.proof.world import PARTITIONS, Failed

_CHECKPOINT = 4000  # commands
_BATCH_BYTES = 512 * 1024


class _Contents:
    def __init__(self, content: bytes) -> None:
        self._content = content.decode()
        self._plan = plan_of(content)

    def content(self, start: DefinitionRef) -> str | None:
        return self._content

    def plan(self, sha: str, content: Callable[[], str]) -> Plan:
        return self._plan


class _Batches:
    """Records into batches as the producer sends them, without sending."""

    def __init__(self) -> None:
        self._batch = BatchBuilder(_BATCH_BYTES, 0)

    def append(self, key: bytes, value: bytes | None, headers: Any = None) -> None:
        if self._batch.append(timestamp=None, key=key, value=value, headers=list(headers or ())) is None:
            self._batch.close()
            self._batch = BatchBuilder(_BATCH_BYTES, 0)
            self._batch.append(timestamp=None, key=key, value=value, headers=list(headers or ()))


def measure(stage: Stage) -> list[Row]:
    """Raises Failed when the engine decides something else than it should."""
    runs = stage.size(10_000)
    content = canonical(parse_definition(TWO_COMMANDS), parse_catalog(catalog()))
    contents = _Contents(content)
    values = [encode_command(command) for command in commands(runs, sha256_of(content), 0)]
    folder = stage.folder / "micro"
    if "BENCH_PROFILE" in os.environ:
        profile = cProfile.Profile()
        profile.runcall(
            _run,
            values,
            contents,
            RocksStore(folder / "profiled", write_buffer_bytes=16 << 20, block_cache_bytes=32 << 20),
        )
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(40)
    defaults = Engine()
    store = RocksStore(
        folder / "store",
        write_buffer_bytes=defaults.store_write_buffer_bytes,
        block_cache_bytes=defaults.store_block_cache_bytes,
    )
    thresholds = gc.get_threshold()
    gc.set_threshold(*GC_THRESHOLD)  # as in a worker
    spent, made = _run(values, contents, store)
    gc.set_threshold(*thresholds)
    shutil.rmtree(folder)
    if made != runs * TRANSITIONS_PER_RUN:
        raise Failed(f"expected {runs * TRANSITIONS_PER_RUN} transitions but {made} were made")
    rows = [
        Row("micro", part, seconds / len(values) * 1e6, "us/command", better="less") for part, seconds in spent.items()
    ]
    return [*rows, Row("micro", "all parts", sum(spent.values()) / len(values) * 1e6, "us/command", better="less")]


def _run(values: list[bytes], contents: _Contents, store: RocksStore) -> tuple[dict[str, float], int]:
    """CPU seconds by part, and how many transitions were made."""
    now, limits, overlay = time.thread_time, Limits(), Overlay(store)
    runs, changelog = _Batches(), _Batches()
    metrics = ProcessMetrics(Process.ENGINE)
    measured_keys = PartitionMetrics(overlay, 0, metrics, lambda found: None).keys
    spent: dict[str, float] = defaultdict(float)
    made, at_ms = 0, int(time.time() * 1000)
    for offset, value in enumerate(values):
        began = now()
        command = decode_command(value)
        decoded = now()
        business_key: str = command.key  # type: ignore[union-attr]
        partition_of(business_key, PARTITIONS)
        placed = now()
        decision = decide(overlay, contents, overlay.own, command, at_ms, offset, limits)
        decided = now()
        overlay.apply(decision.changes)
        applied, record_key = now(), business_key.encode()
        metrics.decided(decision, applied - began)
        measured_keys.append(record_key)
        measured = now()
        encoded = [encode_transition(transition, None) for transition in decision.transitions]
        written = now()
        for key, body, headers in encoded:
            runs.append(key, body, headers)
        appended = now()
        made += len(encoded)
        spent["decode the command"] += decoded - began
        spent["check its partition"] += placed - decoded
        spent["decide and evolve"] += decided - placed
        spent["apply to memory"] += applied - decided
        spent["count for metrics (off by default)"] += measured - applied
        spent["encode transitions"] += written - measured
        spent["append them to a batch"] += appended - written
        if offset % _CHECKPOINT == _CHECKPOINT - 1:
            began = now()
            cut = overlay.capture()
            captured = now()
            for name, record in cut.items():
                changelog.append(name.encode(), record)
            batched = now()
            store.write(cut)
            overlay.saved()
            spent["checkpoint: encode the cut"] += captured - began
            spent["checkpoint: append it to a batch"] += batched - captured
            spent["checkpoint: write the store"] += now() - batched
    store.close()
    return dict(spent), made
