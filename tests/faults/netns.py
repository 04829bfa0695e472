"""A network of its own for each role: workers live in a namespace whose only way out is a pair of virtual interfaces,
which can be cut, narrowed or made lossy, one way or both. To them everything is still at 127.0.0.1, as brokers say they
are."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.integration import forked
from tests.integration.forked import Forked

_CLONE_NEWNET = 0x40000000
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def _run(*words: str, check: bool = True) -> None:
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env={**os.environ, "PATH": _PATH, "LD_PRELOAD": ""}
    )
    if check and done.returncode:
        raise RuntimeError(f"expected `{' '.join(words)}` to work but {done.stderr.strip()}")


class Network:
    """One namespace and its link. `number` (below 4096) tells it from others on this machine."""

    def __init__(self, number: int) -> None:
        self.name, self._here, self._there = f"sf{number}", f"sfh{number}", f"sfn{number}"
        at = f"10.213.{number >> 6}"
        self._host, self._guest = f"{at}.{(number & 63) * 4 + 1}", f"{at}.{(number & 63) * 4 + 2}"

    def make(self) -> None:
        """Raises RuntimeError."""
        self.remove()
        _run("ip", "netns", "add", self.name)
        _run("ip", "link", "add", self._here, "type", "veth", "peer", "name", self._there)
        _run("ip", "link", "set", self._there, "netns", self.name)
        _run("ip", "addr", "add", f"{self._host}/30", "dev", self._here)
        _run("ip", "link", "set", self._here, "up")
        _run("ip", "-n", self.name, "addr", "add", f"{self._guest}/30", "dev", self._there)
        _run("ip", "-n", self.name, "link", "set", self._there, "up")
        _run("ip", "-n", self.name, "link", "set", "lo", "up")
        for place in ("all", self._there):
            self._inside("sysctl", "-qw", f"net.ipv4.conf.{place}.route_localnet=1")
        self._inside(
            "iptables",
            "-t",
            "nat",
            "-A",
            "OUTPUT",
            "-d",
            "127.0.0.1",
            "-p",
            "tcp",
            "-j",
            "DNAT",
            "--to-destination",
            self._host,
        )
        self._inside("iptables", "-t", "nat", "-A", "POSTROUTING", "-o", self._there, "-j", "MASQUERADE")

    def remove(self) -> None:
        """Harmless when there is none."""
        _run("ip", "netns", "del", self.name, check=False)
        _run("ip", "link", "del", self._here, check=False)

    def _inside(self, *words: str) -> None:
        _run("ip", "netns", "exec", self.name, *words)

    # -- what can be wrong with the link

    def cut(self) -> None:
        """Packets are dropped without an error at either end."""
        for chain in ("INPUT", "OUTPUT"):
            self._drop(chain)

    def down(self) -> None:
        """The interface is down, and senders get an error."""
        _run("ip", "-n", self.name, "link", "set", self._there, "down")

    def deaf(self) -> None:
        """What it sends arrives; what is sent to it does not."""
        self._drop("INPUT")

    def mute(self) -> None:
        """What is sent to it arrives; what it sends does not."""
        self._drop("OUTPUT")

    def lossy(self, share: float) -> None:
        """Packets are lost, both ways."""
        for chain in ("INPUT", "OUTPUT"):
            self._drop(chain, "-m", "statistic", "--mode", "random", "--probability", f"{share:.3f}")

    def narrow(self, kbit: int) -> None:
        """The link is narrow, so that packets wait in line for up to a second, and are dropped then."""
        for words in (("qdisc", "add", "dev", self._here), ("-n", self.name, "qdisc", "add", "dev", self._there)):
            _run("tc", *words, "root", "tbf", "rate", f"{kbit}kbit", "burst", "8kb", "latency", "1s")

    def refuse(self) -> None:
        """Every connection is reset."""
        self._inside("iptables", "-A", "OUTPUT", "-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset")

    def well(self) -> None:
        for chain in ("INPUT", "OUTPUT"):
            self._inside("iptables", "-F", chain)
        _run("tc", "qdisc", "del", "dev", self._here, "root", check=False)
        _run("tc", "-n", self.name, "qdisc", "del", "dev", self._there, "root", check=False)
        _run("ip", "-n", self.name, "link", "set", self._there, "up")

    def _drop(self, chain: str, *which: str) -> None:
        self._inside("iptables", "-A", chain, "-p", "tcp", *which, "-j", "DROP")


def living_in(network: Network) -> Callable[..., Forked]:
    """A kind of worker that lives there."""

    class Settled(Forked):
        def start(self) -> Forked:
            line = ["worker", self.kind, *self.options]
            self._process = forked.fork(_work, self._environment, self.log, network.name, line)  # type: ignore[assignment]
            return self

    return Settled


def _work(name: str, line: list[str]) -> int | None:
    with (Path("/run/netns") / name).open() as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {name}")
    return forked.streamflow(line)
