"""The keys of the records in the state of a partition.

    own                          the partition itself: applied offset, partition time, counts, watermarks
    content/<sha>                a definition that a start named (law pinned-content)
    mark/<topic id>/<partition>  the offset that ingress has committed of one source partition
    run/<run>                    the head of an open run
    out/<run>/<address>             the output of a step, written once; step `` is the event that started the run
    out/<run>/<address>/<item>      the output of one item of a list
    list/<run>/<address>/<n>        a hundred items of a list
    item/<run>/<address>/<item>     an item that has begun and not succeeded
    timer/<due ms>/<run>/<address>  an armed timer (with /<item>: of an item), in the order they fall due

The keys of mailboxes are in `mailbox.records`.
"""

from __future__ import annotations

from functools import lru_cache

LIST_CHUNK = 100  # items of a list in one record: reading one item decodes a chunk


def content_key(sha: str) -> str:
    return f"content/{sha}"


@lru_cache(maxsize=1 << 12)  # each delivery of a source partition asks for the same one
def mark_key(topic_id: str, partition: int) -> str:
    return f"mark/{topic_id}/{partition}"


def run_key(run: str) -> str:
    return f"run/{run}"


def out_key(run: str, address: str) -> str:
    return f"out/{run}/{address}"


def timer_key(due_ms: int, run: str, address: str, item: int | None = None) -> str:
    return f"timer/{due_ms:015d}/{run}/{address}" if item is None else f"timer/{due_ms:015d}/{run}/{address}/{item}"


def item_key(run: str, address: str, item: int) -> str:
    return f"item/{run}/{address}/{item}"


def item_out_key(run: str, address: str, item: int) -> str:
    return f"out/{run}/{address}/{item}"


def list_key(run: str, address: str, chunk: int) -> str:
    return f"list/{run}/{address}/{chunk}"
