"""One place for one case: a prefix on a broker, workers of a tree, its command line, and topics read and written as any
client of Kafka does."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from streamflow.ids import partition_of
from tests.regressions.case import Broken, Unclear
from tests.regressions.process import Kind, Process
from tests.regressions.records import Fact, Reader, Record
from tests.regressions.tree import Tree

T = TypeVar("T")

PARTITION_UA = -1  # Kafka's word for: as the key says

_CLI_S = 90.0
_CREATE_S = 20.0
_SETTINGS = {
    "STREAMFLOW_LOG_FORMAT": "json",
    "STREAMFLOW_ENGINE__SESSION_TIMEOUT_S": "6",
    "STREAMFLOW_ENGINE__CHECKPOINT_S": "0.2",
    "STREAMFLOW_ENGINE__CHECKPOINT_IDLE_S": "0.5",
    "STREAMFLOW_INGRESS__SESSION_TIMEOUT_S": "6",
    "STREAMFLOW_INGRESS__COMMIT_S": "0.2",
    "STREAMFLOW_INGRESS__WATERMARK_S": "0.3",
}


@dataclass(frozen=True)
class Answer:
    """What the command line gave."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return f"{self.out}\n{self.err}".strip()

    def json(self) -> Any:
        return json.loads(self.out)


class Site:
    """A context manager; leaving it ends every worker. Its fixed topics exist from the beginning."""

    def __init__(
        self, tree: Tree, bootstrap: str, folder: Path, name: str, partitions: int, settings: Mapping[str, str]
    ) -> None:
        self.tree = tree
        self.bootstrap = bootstrap
        self.folder = folder
        self.name = name
        self.partitions = partitions
        self._settings = dict(settings)
        self.prefix = f"sf-{name}."
        self.servers: dict[str, Any] = {"bootstrap.servers": bootstrap, "log_level": 0}
        self.admin = AdminClient(self.servers)
        self.workers: list[Process] = []
        self._producer = self._new_producer()
        self._reader = Reader(self.servers, self.prefix)
        self._published = 0

    def __enter__(self) -> Site:
        self.folder.mkdir(parents=True)
        self.must(self.cli("topics", "apply"), "the fixed topics to be created")
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.end()
        self._reader.close()

    # -- language and command line

    def word(self, word: str, text: str) -> str:
        """`text`, or nothing where the tree's language does not know `word`."""
        return text if self.tree.knows(word) else ""

    def environment(self) -> dict[str, str]:
        """What every process of this case has in its environment."""
        return self.tree.environment() | {
            **_SETTINGS,
            "STREAMFLOW_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap,
            "STREAMFLOW_TOPICS__PREFIX": self.prefix,
            "STREAMFLOW_TOPICS__PARTITIONS": str(self.partitions),
            "STREAMFLOW_STATE_DIR": str(self.folder / "state"),
            **self._settings,
        }

    def cli(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Answer:
        """Calls `streamflow` of the tree."""
        done = subprocess.run(
            [self.tree.streamflow, *arguments],
            env=self.environment() | dict(environment or {}),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_CLI_S,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def must(self, answer: Answer, what: str) -> Answer:
        """The answer. Raises Unclear when the command failed: the case cannot be played."""
        if answer.code:
            raise Unclear(f"expected {what} but the command ended with {answer.code}: {answer.text[-800:]}")
        return answer

    # -- definitions

    def write(self, definition: str, catalog: str, **others: str) -> Path:
        """A folder with the two texts; `$name` in them becomes the case's topic of that name. `others` are further
        files, by the stem of their name."""
        self._published += 1
        folder = self.folder / f"definition-{self._published}"
        folder.mkdir()
        for stem, text in {"definition": definition, "catalog": catalog, **others}.items():
            (folder / f"{stem}.yaml").write_text(self._named(text))
        return folder

    def check(self, definition: str, catalog: str) -> Answer:
        """What `definitions check` says."""
        return self.cli("--json", "definitions", "check", str(self.write(definition, catalog)))

    def publish(self, definition: str, catalog: str, environment: Mapping[str, str] | None = None) -> None:
        """Publishes a definition. Raises Unclear when it is refused."""
        answer = self.try_publish(definition, catalog, environment)
        self.must(answer, "the definition to be published")

    def try_publish(self, definition: str, catalog: str, environment: Mapping[str, str] | None = None) -> Answer:
        """Publishes a definition; the answer."""
        folder = self.write(definition, catalog)
        return self.cli("definitions", "publish", str(folder), environment=environment)

    def _named(self, text: str) -> str:
        return re.sub(r"\$([a-z][a-z0-9]*)", lambda found: self.topic(found[1]), text)

    # -- topics

    def topic(self, name: str) -> str:
        """The full name of one of the case's own topics."""
        return f"{self.name}.{name}"

    def own_topic(self, role: str) -> str:
        """The full name of one of Streamflow's own topics."""
        return self.prefix + role

    def create(self, *names: str, partitions: int = 1, config: Mapping[str, str] | None = None) -> None:
        """Creates topics of the case."""
        new = [NewTopic(self.topic(name), partitions, 1, config=dict(config or {})) for name in names]
        for created in self.admin.create_topics(new).values():
            created.result(_CREATE_S)

    def send(
        self,
        topic: str,
        value: Any,
        key: str = "k",
        *,
        headers: Mapping[str, str] | None = None,
        at_ms: int = 0,
        partition: int = PARTITION_UA,
        flush: bool = True,
    ) -> None:
        """Appends a record to a topic of the case: JSON, or bytes as they are. `at_ms` is its CreateTime."""
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        named: list[tuple[str, str | bytes | None]] = [(name, text.encode()) for name, text in (headers or {}).items()]
        while True:
            try:
                self._producer.produce(
                    self.topic(topic), content, key.encode(), partition=partition, headers=named, timestamp=at_ms
                )
                break
            except BufferError:
                self._producer.poll(0.1)
        if flush:
            self.flush()

    def forget_metadata(self) -> None:
        """Has the next `send` learn again how many partitions its topic has."""
        self._producer = self._new_producer()

    def _new_producer(self) -> Producer:
        return Producer(self.servers | {"linger.ms": 1, "partitioner": "murmur2_random"})

    def flush(self) -> None:
        if self._producer.flush(30):
            raise Unclear("expected the broker to take the records of the case within 30 s but it did not")

    def key_in(self, partition: int, nth: int = 0) -> str:
        """A business key of this partition of `commands`."""
        found = [f"k{number}" for number in range(1000) if partition_of(f"k{number}", self.partitions) == partition]
        return found[nth]

    def partitions_of(self, name: str) -> int:
        """How many partitions one of the case's topics has."""
        return len(self.admin.list_topics(self.topic(name), timeout=10).topics[self.topic(name)].partitions)

    def records(self, topic: str) -> list[Record]:
        """All records of a topic by its full name, without those of transactions that were not committed; none when it
        does not exist."""
        return self._reader.read(topic)

    def end(self, topic: str) -> int:
        """How many records were ever appended to a topic by its full name."""
        return self._reader.end(topic)

    # -- what happened

    def facts(self, definition: str = "", key: str = "") -> list[Fact]:
        """What `runs` has, without copies, in order; of one definition or one business key."""
        return [fact for fact in self._reader.facts() if definition in ("", fact.definition) and key in ("", fact.key)]

    def seen(self, kind: str, **fields: Any) -> list[Fact]:
        """The facts of a kind, such as `RunCompleted`, with these fields."""
        return [
            fact
            for fact in self._reader.facts()
            if fact.kind == kind and all(getattr(fact, name) == wanted for name, wanted in fields.items())
        ]

    def printed(self) -> list[str]:
        """The lines that runs printed, in the order of `runs`."""
        return [fact.data["text"] for fact in self.seen("LinePrinted")]

    def lines(self, count: int, what: str, timeout_s: float = 30.0) -> list[str]:
        """What runs printed, when it is so many lines. Raises Broken when it does not come to that."""
        self.expect(lambda: len(self.printed()) >= count, what, timeout_s)
        return self.printed()

    def story(self, key: str = "") -> str:
        """What happened, for the evidence of a verdict."""
        seen = [f"{fact.kind}({fact.step})" if fact.step else fact.kind for fact in self.facts(key=key)]
        return " ".join(seen[-24:]) or "nothing in runs"

    def dead_letters(self) -> list[Record]:
        """The records of `dead-letters`."""
        return self.records(self.own_topic("dead-letters"))

    def unclaimed(self) -> list[Record]:
        """The records of `unclaimed`; none where there is no such topic."""
        return self.records(self.own_topic("unclaimed"))

    # -- workers

    def start(self, *kinds: Kind, settings: Mapping[str, str] | None = None, memory_mb: int = 0) -> list[Process]:
        """Starts workers, each with a folder of its own."""
        return [self.worker(kind, kind, settings=settings, memory_mb=memory_mb) for kind in kinds]

    def worker(
        self,
        kind: Kind,
        name: str,
        *options: str,
        settings: Mapping[str, str] | None = None,
        memory_mb: int = 0,
    ) -> Process:
        """Starts a worker; `settings` are environment variables, `options` those of `streamflow worker`. A worker of a
        name that was there before goes on with its folder."""
        own = {"STREAMFLOW_STATE_DIR": str(self.folder / name)} | dict(settings or {})
        process = Process(
            [str(self.tree.streamflow), "worker", kind, *options],
            name,
            self.folder,
            self.environment() | own,
            memory_mb,
        )
        self.workers = [worker for worker in self.workers if worker.name != name]
        self.workers.append(process)
        process.start()
        return process

    def remove(self, worker: Process) -> None:
        """Kills a worker and forgets it, so that its end is no failure."""
        worker.kill()
        self.workers.remove(worker)

    def lag(self, role: str) -> int:
        """Records that the workers of a role (`engine`, `ingress`) are behind, as `streamflow lag` shows."""
        answer = self.must(self.cli("--json", "lag"), "the lag")
        return sum(each["records"] for each in answer.json() if each["role"] == role)

    # -- waiting

    def need(self, condition: Callable[[], T], what: str, timeout_s: float = 60.0) -> T:
        """The first true value of a precondition. Raises Unclear at the deadline."""
        found, last = self._wait(condition, timeout_s)
        if not found:
            raise Unclear(f"expected {what} within {timeout_s:.0f} s; last seen {last!r}; {self.story()}{self._ends()}")
        return last

    def expect(self, condition: Callable[[], T], what: str, timeout_s: float = 20.0) -> T:
        """The first true value of what the case is about. Raises Broken at the deadline."""
        found, last = self._wait(condition, timeout_s)
        if not found:
            raise Broken(f"not within {timeout_s:.0f} s: {what}; {self.story()}{self._ends()}")
        return last

    def pause(self, seconds: float) -> None:
        """Lets time pass in which something must not happen."""
        time.sleep(seconds)

    def _wait(self, condition: Callable[[], T], timeout_s: float) -> tuple[bool, T]:
        deadline = time.monotonic() + timeout_s
        while True:
            if last := condition():
                return True, last
            if time.monotonic() > deadline or any(worker.ended for worker in self.workers):
                return False, last
            time.sleep(0.1)

    def _ends(self) -> str:
        return "".join(f"; {worker.name} ended with {worker.ended}" for worker in self.workers if worker.ended)
