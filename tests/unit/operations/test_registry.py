"""Which operations there are: built in, of packages, and plugins."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from streamflow.definition.catalog import OperationSpec
from streamflow.operations import registry
from streamflow.operations.contract import Attempt, Health
from streamflow.operations.registry import BUILT_IN, Registry, known_operations
from streamflow.settings import Settings

PLUGIN: dict[str, Any] = {
    "spec": {"name": "fraud.score"},
    "plugin": {"endpoint": "http://fraud.example/", "secret": "fraud"},
}


class Own:
    """An operation of somebody's package."""

    def __init__(self, name: str = "own.work", fails: str = "") -> None:
        self.spec = OperationSpec(name=name)
        self.fails = fails
        self.done: list[str] = []

    async def start(self) -> None:
        self._do("start")

    async def run(self, input: Any, attempt: Attempt) -> Any:
        return input

    async def health(self) -> Health:
        return Health(ok=True)

    async def close(self) -> None:
        self._do("close")

    def _do(self, what: str) -> None:
        if self.fails == what:
            raise RuntimeError(f"cannot {what}")
        self.done.append(what)


class Point:
    """As an entry point of an installed package."""

    dist = None

    def __init__(self, name: str, load: Callable[[], Any]) -> None:
        self.name = self.value = name
        self.load = load


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Registry]:
    """A registry in an environment whose packages offer these."""

    def make(**offered: Any) -> Registry:
        points = [
            Point(name, one if isinstance(one, Raising) else partial(_same, one)) for name, one in offered.items()
        ]
        monkeypatch.setattr(registry, "entry_points", lambda group: points if group == "streamflow.operations" else [])
        return Registry(Settings())

    return make


def _same(one: Any) -> Any:
    return one


class Raising:
    """An entry point whose loading fails."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self) -> Any:
        raise self.error


def test_everything_built_in_is_known_and_can_be_described() -> None:
    specs = known_operations()

    assert [spec.name for spec in specs] == sorted(spec.name for spec in specs)
    assert {"print.line", "debug.echo", "http.request", "http.callback"} <= {spec.name for spec in specs}
    assert all(spec.title and spec.description for spec in specs)
    assert Registry(Settings()).broken == []


def test_knowing_operations_loads_no_client() -> None:
    clients = [
        "asyncpg",
        "psycopg",
        "nats",
        "aioboto3",
        "aiobotocore",
        "boto3",
        "botocore",
        "miniopy_async",
        "aiokafka",
        "confluent_kafka",
    ]
    code = (
        "import sys; from streamflow.operations.registry import known_operations; known_operations(); "
        f"print(sorted(set(sys.modules) & set({clients})))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_every_built_in_module_can_be_loaded() -> None:
    assert len(BUILT_IN) == len(set(BUILT_IN))
    assert {found.source for found in Registry(Settings()).registered()} >= {"built in"}


@pytest.mark.parametrize(
    "offered",
    [
        Own(),
        Own,
        [Own()],
        (Own(),),
        lambda: Own(),
        lambda: [Own()],
        lambda settings: Own(fails="" if settings.tasks else "start"),
    ],
)
def test_a_package_offers_an_operation_several_or_what_makes_them(offer: Callable[..., Registry], offered: Any) -> None:
    made = offer(own=offered)

    assert made.find("own.work") is not None
    assert "own.work" in made.names()
    assert made.broken == []
    assert [found.source for found in made.registered() if found.spec.name == "own.work"] == ["package"]


@pytest.mark.parametrize(
    ("offered", "why"),
    [
        (Raising(ImportError("no module named acme")), "no module named acme"),
        (Raising(SystemExit(3)), "SystemExit"),
        (Raising(SyntaxError("bad")), "bad"),
        (lambda: 1 / 0, "ZeroDivisionError"),
        (None, "expected an object with spec"),
        (3, "expected an object with spec"),
        (object(), "expected an object with spec"),
        ([Own(), "nonsense"], "expected an object with spec"),
        (lambda a, b: None, "TypeError"),
    ],
)
def test_a_broken_package_is_reported_and_the_rest_is_there(
    offer: Callable[..., Registry], offered: Any, why: str
) -> None:
    made = offer(broken=offered, fine=Own("fine.work"))

    assert made.find("fine.work") is not None
    assert made.find("print.line") is not None
    (broken,) = made.broken
    assert broken.name == "broken"
    assert why in broken.why


def test_a_name_is_given_once_and_what_is_built_in_comes_first(offer: Callable[..., Registry]) -> None:
    made = offer(a=Own("print.line"), b=Own("own.work"), c=Own("own.work"))

    assert not isinstance(made.find("print.line"), Own)
    assert [(broken.name, "taken" in broken.why) for broken in made.broken] == [
        ("print.line", True),
        ("own.work", True),
    ]


def test_operations_are_started_and_closed_and_one_that_cannot_start_is_left_out(
    offer: Callable[..., Registry],
) -> None:
    good, bad, sticky = Own("good.work"), Own("bad.work", fails="start"), Own("sticky.work", fails="close")
    made = offer(a=bad, b=sticky, c=good)

    async def check() -> None:
        await made.start()
        assert made.find("bad.work") is None
        assert [(broken.name, broken.why) for broken in made.broken] == [("bad.work", "RuntimeError: cannot start")]
        await made.close()

    asyncio.run(check())
    assert good.done == ["start", "close"]
    assert sticky.done == ["start"]


def test_plugins_come_change_and_go_with_their_records(offer: Callable[..., Registry]) -> None:
    made = offer()

    made.follow({"fraud.score": PLUGIN})
    first = made.find("fraud.score")
    assert first is not None
    assert [found.source for found in made.registered() if found.spec.name == "fraud.score"] == ["plugin"]

    made.follow({"fraud.score": dict(PLUGIN)})
    assert made.find("fraud.score") is first

    made.follow({"fraud.score": PLUGIN | {"spec": {"name": "fraud.score", "timeout": "5s"}}})
    second = made.find("fraud.score")
    assert second is not None
    assert second.spec.timeout == "5s"

    made.follow({})
    assert made.find("fraud.score") is None
    asyncio.run(made.close())


@pytest.mark.parametrize(
    ("name", "record", "why"),
    [
        ("fraud.score", {}, "spec"),
        ("fraud.score", {"spec": {"name": "fraud.score"}}, "plugin"),
        ("fraud.score", PLUGIN | {"plugin": {"endpoint": "http://169.254.169.254/", "secret": "a"}}, "own service"),
        ("other.name", PLUGIN, "fraud.score"),
        ("print.line", PLUGIN | {"spec": {"name": "print.line"}}, "built in"),
    ],
)
def test_a_broken_registration_is_reported_until_it_is_mended(
    offer: Callable[..., Registry], name: str, record: Any, why: str
) -> None:
    made = offer()

    made.follow({name: record, "fine.work": PLUGIN | {"spec": {"name": "fine.work"}}})

    assert made.find("fine.work") is not None
    (broken,) = made.broken
    assert (broken.name, broken.source) == (name, "plugin")
    assert why in broken.why
    made.follow({})
    assert made.broken == []


def test_a_built_in_operation_is_not_replaced_by_a_plugin(offer: Callable[..., Registry]) -> None:
    made = offer()
    before = made.find("print.line")

    made.follow({"print.line": PLUGIN | {"spec": {"name": "print.line"}}})

    assert made.find("print.line") is before


def test_an_entry_point_is_what_packaging_calls_one() -> None:
    point = EntryPoint("echo", "streamflow.operations.echo:operations", "streamflow.operations")

    assert [operation.spec.name for operation in point.load()()] == ["debug.echo"]
