"""The disk and the folder of an engine's stores."""

from __future__ import annotations

import contextlib
import random
import shutil
from pathlib import Path

from rocksdict import Options, Rdict

from tests.faults.nemesis import Fault, kind, victim
from tests.faults.shim import Disk
from tests.faults.site import Site
from tests.proof.world import Worker


class _Disk(Fault):
    needs, targets, span_s, limits = frozenset({"gcc"}), ("engine",), (0.5, 2.0), "the disk"
    disk = Disk.WELL

    @classmethod
    def places(cls, target: str) -> frozenset[str]:
        return frozenset({"disk of the stores"})

    def inject(self, site: Site, target: str) -> None:
        for worker in site.of("engine"):
            site.shims[worker.name].disk(self.disk, self.chosen.uniform(5, 30))

    def heal(self, site: Site, target: str) -> None:
        for worker in site.of("engine"):
            site.shims[worker.name].disk(Disk.WELL)


@kind
class StoreDiskFull(_Disk):
    """No space left on RocksDB's disk."""

    name, disk = "store-disk-full", Disk.FULL


@kind
class StoreDiskReadOnly(_Disk):
    """RocksDB's disk refuses writes."""

    name, disk = "store-disk-read-only", Disk.READ_ONLY


@kind
class StoreDiskBroken(_Disk):
    """Every read and write of RocksDB fails."""

    name, disk = "store-disk-broken", Disk.BROKEN


@kind
class StoreDiskSlow(_Disk):
    """Every read and write of RocksDB takes 5 to 30 ms."""

    name, disk = "store-disk-slow", Disk.SLOW


class _Folder(Fault):
    """The engine is killed, its store is damaged, and it is restarted."""

    targets, span_s, limits = ("engine",), (0.2, 1.0), "restore"

    def __init__(self, chosen: random.Random) -> None:
        super().__init__(chosen)
        self.hit: list[Worker] = []

    def inject(self, site: Site, target: str) -> None:
        worker = victim(site, target, self.chosen)
        worker.kill()
        self.hit.append(worker)
        if worker.state.exists():  # it may have been killed before it had one
            self.spoil(worker.state)

    def heal(self, site: Site, target: str) -> None:
        worker = self.hit.pop()
        if not worker.wanted:
            worker.restart()

    def spoil(self, folder: Path) -> None:
        raise NotImplementedError


@kind
class StateDeleted(_Folder):
    """The folder of the store is deleted."""

    name = "state-deleted"

    def spoil(self, folder: Path) -> None:
        shutil.rmtree(folder)


class _File(_Folder):
    pattern = "*.sst"

    def spoil(self, folder: Path) -> None:
        if self.pattern == "*.sst":
            for current in folder.glob("*/CURRENT"):  # what is in memory and in the log only is not in such files yet
                # an earlier fault may have broken it: then its files are as they are
                with contextlib.suppress(Exception):
                    database = Rdict(str(current.parent), Options(raw_mode=True))
                    database.flush()
                    database.close()
        files = sorted(file for file in folder.glob(f"*/{self.pattern}") if file.stat().st_size)
        for file in self.chosen.sample(files, min(len(files), self.chosen.randint(1, 4))):
            self.damage(file)

    def damage(self, file: Path) -> None:
        raise NotImplementedError


class _Flipped(_File):
    def damage(self, file: Path) -> None:
        data = bytearray(file.read_bytes())
        for _ in range(self.chosen.randint(1, 20)):
            data[self.chosen.randrange(len(data))] ^= 1 << self.chosen.randrange(8)
        file.write_bytes(data)


class _Truncated(_File):
    def damage(self, file: Path) -> None:
        with file.open("r+b") as opened:
            opened.truncate(self.chosen.randrange(file.stat().st_size))


@kind
class SstFlipped(_Flipped):
    """Bits of data files are flipped."""

    name = "sst-flipped"


@kind
class SstTruncated(_Truncated):
    """Data files are truncated."""

    name = "sst-truncated"


@kind
class WalFlipped(_Flipped):
    """Bits of the store's write-ahead log are flipped."""

    name, pattern = "wal-flipped", "*.log"


@kind
class WalTruncated(_Truncated):
    """The store's write-ahead log is truncated."""

    name, pattern = "wal-truncated", "*.log"


@kind
class ManifestTruncated(_Truncated):
    """The store's manifest is truncated."""

    name, pattern = "manifest-truncated", "MANIFEST-*"


@kind
class StateOld(_Folder):
    """The folder of the store is replaced by an earlier copy."""

    name, span_s, limits = "state-old", (0.8, 2.0), "restore"

    def inject(self, site: Site, target: str) -> None:
        super().inject(site, target)
        self.hit[-1].restart()

    def spoil(self, folder: Path) -> None:
        shutil.copytree(folder, folder.with_name(f"{folder.name}.old"), dirs_exist_ok=True)

    def heal(self, site: Site, target: str) -> None:
        worker = self.hit.pop()
        if worker.wanted:
            worker.kill()
        old = worker.state.with_name(f"{worker.state.name}.old")
        if old.exists():
            shutil.rmtree(worker.state, ignore_errors=True)
            old.rename(worker.state)
        worker.restart()
