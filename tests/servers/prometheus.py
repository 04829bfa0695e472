"""Prometheus: promtool, which evaluates alert rules on series that a test makes up, and the server, which scrapes
processes and evaluates rules on them."""

from __future__ import annotations

import contextlib
import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.servers.process import Process, ServerMissing, free_port


@contextlib.contextmanager
def promtool() -> Iterator[str]:
    """The path of promtool. Raises ServerMissing."""
    yield program()


def program(name: str = "promtool") -> str:
    """The path of a program of Prometheus. Raises ServerMissing."""
    found = shutil.which(name)
    if found is None:
        raise ServerMissing(f"{name} of Prometheus is not installed. Run: make servers.")
    return found


class Series(NamedTuple):
    """One series of an answer: its labels, and its samples as (epoch seconds, value)."""

    labels: dict[str, str]
    samples: list[tuple[float, float]]


class Prometheus:
    """A server with these rules (groups, as a file of rules has them) and targets (by job, `host:port`), which scrapes
    and evaluates every `interval_s` seconds. A context manager; its data are gone with `folder`. Raises ServerMissing
    when it is made."""

    def __init__(
        self, folder: Path, groups: Sequence[Mapping[str, Any]], targets: Mapping[str, str], interval_s: float
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        rules, config = folder / "rules.json", folder / "prometheus.json"  # JSON is YAML
        rules.write_text(json.dumps({"groups": groups}))
        interval = f"{round(interval_s * 1000)}ms"
        jobs = [{"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()]
        every = {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval}
        config.write_text(json.dumps({"global": every, "rule_files": [str(rules)], "scrape_configs": jobs}))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [
            program("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ]
        self._process = Process(command, folder / "prometheus.log", self._is_ready)

    def __enter__(self) -> Prometheus:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    def query(self, expression: str) -> list[Series]:
        """The series that an expression has now; of a range, all its samples. Raises RuntimeError with what
        Prometheus says against it."""
        answer = self._get("query", query=expression)
        return [
            Series(one["metric"], [(at, float(value)) for at, value in one.get("values", [one.get("value")])])
            for one in answer["result"]
        ]

    def rules(self) -> list[dict[str, Any]]:
        """Each alerting rule with its `health`, `lastError` and `state`, as its API has them."""
        groups = self._get("rules", type="alert")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def _get(self, path: str, **parameters: str) -> Any:
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"Prometheus refused {path} {parameters}: {error.read().decode()}") from None

    def _is_ready(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.url}/-/ready", timeout=2).close()
        except OSError:
            return False
        return True
