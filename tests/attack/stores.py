"""Ways out of a folder that is a store: links, folders that are swapped for links, keys that climb. Decoys stand
outside of the folder and must be neither read nor changed."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from streamflow.errors import OperationError
from streamflow.settings import Connection
from tests.attack import Attack, Seen
from tests.attack.processes import apart
from tests.contract.stores import Worker, worker

DECOY = "a decoy outside of the store"
ROUNDS = 400  # of puts and gets while folders are swapped
KEYS = (
    "../decoy.txt",
    "..",
    ".",
    "a/../../decoy.txt",
    "a/../../../../../../../../tmp/streamflow-attack",
    "./../decoy.txt",
    "a/./b",
    "a//../decoy.txt",
    "/decoy.txt",
    "//decoy.txt",
    "a/",
    "a\0/../decoy.txt",
    ".streamflow-0123456789abcdef",
    "a/.streamflow-x/b",
    "x" * 900 + "/y",
)
# Names like any other, on Linux: what is written must be inside.
INSIDE = ("..%2fdecoy.txt", "%2e%2e/decoy.txt", "..\\decoy.txt", "...", "~/decoy.txt", "a;../b", "C:decoy", "..\u2215d")
BUCKETS = ("..", ".", "../outside", "linked", "relative", "dangling", "a/b", "/outside", "linked/deep", "b\0")


@contextlib.contextmanager
def _store() -> Iterator[tuple[Worker, Path, Path]]:
    """A worker with the connection `store`, its folder, and the folder outside with the decoys."""
    with tempfile.TemporaryDirectory() as name:
        inside, outside = Path(name) / "inside", Path(name) / "outside"
        (outside / "deep").mkdir(parents=True)
        inside.mkdir()
        for place in (outside, outside / "deep", Path(name)):
            (place / "decoy.txt").write_text(DECOY)
        with worker(store=Connection(kind="folder", url=inside.as_uri())) as made:
            yield made, inside, outside


def _untouched(seen: Seen, inside: Path, outside: Path) -> None:
    """Requires that nothing outside is new, gone or changed."""
    around = [path for path in outside.parent.rglob("*") if inside not in (path, *path.parents) and path.is_file()]
    found = {str(path.relative_to(outside.parent)): path.read_text() for path in around}
    wanted = dict.fromkeys(("decoy.txt", "outside/decoy.txt", "outside/deep/decoy.txt"), DECOY)
    seen.require(found == wanted, f"outside of the store: {sorted(found)}, {set(found.values()) - {DECOY}}")


def _tried(made: Worker, operation: str, **input: Any) -> str:
    """The error code of an attempt, or what it gives."""
    try:
        return str(made.do(operation, connection="store", **input))
    except OperationError as error:
        return error.code


def _ways_out(_seed: int) -> Seen:
    seen, codes = Seen(), Counter[str]()
    with _store() as (made, inside, outside):
        (inside / "linked").symlink_to(outside)
        (inside / "relative").symlink_to("../outside")
        (inside / "dangling").symlink_to("nowhere")
        (inside / "file.txt").symlink_to(outside / "decoy.txt")
        (inside / "bucket").mkdir()
        (inside / "bucket" / "linked").symlink_to(outside)
        (inside / "bucket" / "to-root").symlink_to("/")
        os.link(outside / "decoy.txt", inside / "second-name.txt")
        os.mkfifo(inside / "fifo")
        keys = (*KEYS, "linked/decoy.txt", "relative/new.txt", "file.txt", "dangling", "fifo")
        in_bucket = ("linked/decoy.txt", "linked/new.txt", f"to-root{outside}/new.txt")
        tried: list[tuple[str, dict[str, Any]]] = [
            *((f"key {key[:40]!r}", {"key": key}) for key in keys),
            *((f"key {key[:40]!r} in a bucket", {"key": key, "bucket": "bucket"}) for key in in_bucket),
            *((f"bucket {bucket!r}", {"key": "decoy.txt", "bucket": bucket}) for bucket in BUCKETS),
        ]
        for what, place in tried:
            for operation, more in (
                ("object.put", {"text": "theirs", "if_exists": "replace"}),
                ("object.put", {"text": "theirs", "if_exists": "fail"}),
                ("object.get", {}),
            ):
                found = _tried(made, operation, **place, **more)
                codes[found if found.isidentifier() else "not refused"] += 1
                seen.require(found.isidentifier(), f"{operation}, {what}: {found[:200]}")
                seen.require(DECOY not in found, f"{operation}, {what}: read the decoy")
        for key in INSIDE:
            found = _tried(made, "object.put", key=key, text="theirs")
            codes["inside" if "etag" in found else found] += 1
        _tried(made, "object.put", key="second-name.txt", text="theirs", if_exists="replace")
        _untouched(seen, inside, outside)
    seen.count("tried", codes)
    return seen


def _swapped(seed: int) -> Seen:
    """While objects are put and got, another thread swaps their folder, and their bucket, for a link and back."""
    seen, results = Seen(), Counter[str]()
    drawn = random.Random(seed)
    with _store() as (made, inside, outside):
        (inside / "bucket" / "deep").mkdir(parents=True)
        ended, swaps, aside = threading.Event(), 0, inside.parent / "aside"

        def swap() -> None:
            nonlocal swaps
            while not ended.is_set():
                place, target = drawn.choice(
                    [(inside / "bucket" / "deep", outside / "deep"), (inside / "bucket", outside)]
                )
                ended.wait(drawn.random() / 300)
                place.rename(aside)
                with contextlib.suppress(FileExistsError):  # a put has made the folder again
                    place.symlink_to(target)
                ended.wait(drawn.random() / 2000)
                while aside.exists():
                    if place.is_symlink():
                        place.unlink()
                    else:
                        shutil.rmtree(place, ignore_errors=True)
                    with contextlib.suppress(OSError):
                        aside.rename(place)
                swaps += 1

        swapping = threading.Thread(target=swap)
        swapping.start()
        try:
            for number in range(ROUNDS):
                place = {"bucket": "bucket", "key": "deep/decoy.txt"}
                found = _tried(made, "object.put", **place, text=f"theirs {number}", if_exists="replace")
                results[found if found.isidentifier() else "put"] += 1
                found = _tried(made, "object.get", **place)
                results[found if found.isidentifier() else "got"] += 1
                seen.require(DECOY not in found, f"round {number}: read the decoy")
        finally:
            ended.set()
            swapping.join()
        _untouched(seen, inside, outside)
    seen.require(swaps > ROUNDS / 10, f"only {swaps} swaps: nothing was attacked")
    seen.figures["swaps"] = str(swaps)
    seen.count("seen by the worker", results)
    return seen


ATTACKS = (
    Attack(
        name="ways-out-of-a-store",
        done="buckets and keys of a folder store that are links, climb by .., or are no files",
        expected="each is refused with a code, nothing outside is read or changed",
        make=apart(_ways_out, limit_s=120, growth_bytes=32 << 20),
    ),
    Attack(
        name="swapped-folders",
        done=f"{ROUNDS} puts and gets in a folder that is swapped for a link and back all the time",
        expected="nothing outside is read or changed",
        make=apart(_swapped, limit_s=120, growth_bytes=32 << 20),
    ),
)
