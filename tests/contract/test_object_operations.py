"""`object.put` and `object.get`: the same expectations of a real S3 server and of a folder."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from streamflow.settings import Connection
from tests import servers
from tests.conftest import start_server
from tests.contract.stores import Worker, worker
from tests.servers.s3proxy import ObjectStore


@dataclass
class Place:
    """A worker with the connection `store`, and the folder in which its bucket `streamflow` is."""

    worker: Worker
    folder: Path
    connection: Connection

    def put(self, key: str, **input: Any) -> Any:
        return self.worker.do("object.put", connection="store", bucket="streamflow", **({"key": key} | input))

    def get(self, key: str, **input: Any) -> Any:
        return self.worker.do("object.get", connection="store", bucket="streamflow", **({"key": key} | input))

    def refused(self, operation: str, **input: Any) -> tuple[str, bool]:
        error = self.worker.fail(operation, **({"connection": "store", "bucket": "streamflow"} | input))
        assert re.search(r"[^.]\. [A-Z]", error.message), "the remedy is a sentence of its own"
        return error.code, error.retryable


def s3(server: ObjectStore, **changes: Any) -> Connection:
    os.environ["S3_SECRET"] = server.password
    return Connection(**({"kind": "s3", "url": server.url, "user": server.user, "password": "env:S3_SECRET"} | changes))


@pytest.fixture(params=["s3", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "s3":
        server: ObjectStore = request.getfixturevalue("object_store")
        connection, folder = s3(server), server.folder / "streamflow"
    else:
        folder = tmp_path / "store" / "streamflow"
        folder.mkdir(parents=True)
        connection = Connection(kind="folder", url=str(folder.parent))
    with worker(store=connection) as made:
        yield Place(made, folder, connection)


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """A key of the test's own: the server is shared."""
    return f"{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}/report.txt"


@pytest.mark.parametrize(
    ("input", "content", "content_type"),
    [
        ({"text": "Grüße, 世界\n"}, "Grüße, 世界\n".encode(), "text/plain"),
        ({"text": ""}, b"", "text/plain"),
        ({"json": {"b": [1, None], "a": "ü"}}, '{"a":"ü","b":[1,null]}'.encode(), "text/plain"),
        ({"base64": base64.b64encode(b"\x00\xff\x80").decode()}, b"\x00\xff\x80", "text/plain"),
    ],
)
def test_what_is_put_is_there(place: Place, key: str, input: dict[str, Any], content: bytes, content_type: str) -> None:
    output = place.put(key, **input)

    assert (place.folder / key).read_bytes() == content
    assert {name: output[name] for name in ("bucket", "key", "bytes", "sha256")} == {
        "bucket": "streamflow",
        "key": key,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert output["etag"]
    assert output["url"].endswith(f"/streamflow/{key}")
    got = place.get(key, **{"as": "base64"})
    assert base64.b64decode(got.pop("base64")) == content
    assert got.pop("content_type").startswith(content_type)
    assert got == output


def test_an_object_is_read_as_text_or_json(place: Place, key: str) -> None:
    place.put(key, json={"a": [1, 2.5, "ü"]})
    assert place.get(key, **{"as": "json"})["json"] == {"a": [1, 2.5, "ü"]}
    assert place.get(key)["text"] == '{"a":[1,2.5,"ü"]}'


def test_putting_it_twice_is_putting_it_once(place: Place, key: str) -> None:
    first = place.put(key, text="same")
    written = (place.folder / key).stat()
    for if_exists in ("replace", "fail"):
        assert place.put(key, text="same", if_exists=if_exists) == first
    assert (place.folder / key).stat().st_mtime_ns == written.st_mtime_ns
    assert (place.folder / key).stat().st_ino == written.st_ino


def test_other_content_replaces_or_is_refused_as_the_author_says(place: Place, key: str) -> None:
    first = place.put(key, text="one")
    assert place.refused("object.put", key=key, text="two", if_exists="fail") == ("object_exists", False)
    assert place.refused("object.put", key=key, text="longer", if_exists="fail") == ("object_exists", False)
    assert place.get(key)["text"] == "one"
    assert place.put(key, text="two")["etag"] != first["etag"]
    assert place.get(key)["text"] == "two"


def test_what_somebody_else_put_is_compared_by_its_content(place: Place, key: str) -> None:
    place.put("other/" + key, text="make the folder")
    (place.folder / key).parent.mkdir(exist_ok=True)
    (place.folder / key).write_text("same")
    assert place.put(key, text="same", if_exists="fail")["bytes"] == 4
    assert place.refused("object.put", key=key, text="sama", if_exists="fail") == ("object_exists", False)


def test_of_attempts_at_once_one_content_wins_whole(place: Place, key: str) -> None:
    texts = [str(number) * 50_000 for number in range(8)]
    attempts = [
        place.worker.attempt(
            "object.put", f"run/{number}", connection="store", bucket="streamflow", key=key, text=text, if_exists="fail"
        )
        for number, text in enumerate(texts)
    ]
    outcomes = place.worker.together(*attempts)
    winners = [outcome for outcome in outcomes if isinstance(outcome, dict)]
    # This S3 server looks before it writes, so of attempts at the very same time more than one may win; Amazon's and a
    # folder decide in one step.
    assert len(winners) == 1 or place.connection.kind == "s3"
    assert {outcome.code for outcome in outcomes if not isinstance(outcome, dict)} <= {"object_exists"}
    assert hashlib.sha256((place.folder / key).read_bytes()).hexdigest() in {winner["sha256"] for winner in winners}


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "../a",
        "a/../../b",
        "a/./b",
        "a\x00b",
        "a\nb",
        "x" * 1025,
        "ü" * 513,
        "a/\ud800",
    ],
)
@pytest.mark.parametrize("operation", ["object.put", "object.get"])
def test_a_key_that_is_no_name_is_refused(place: Place, operation: str, name: str) -> None:
    more = {"text": "x"} if operation == "object.put" else {}
    before = sorted(place.folder.parent.parent.rglob("*"))
    assert place.refused(operation, key=name, **more) == ("key_refused", False)
    assert sorted(place.folder.parent.parent.rglob("*")) == before


@pytest.mark.parametrize(
    "name", ["sp ace/ü 世界.txt", "a%2Fb", "a+b&c=d?e#f", "~x", "a\\b", "..a", "'quoted' \"twice\""]
)
def test_a_key_with_unusual_letters_is_one_object(place: Place, name: str) -> None:
    place.put(name, text=name)
    assert place.get(name)["text"] == name
    assert (place.folder / name).read_text() == name


def test_a_missing_object_says_so(place: Place, key: str) -> None:
    assert place.refused("object.get", key=key) == ("object_missing", False)


def test_a_missing_bucket_says_so(place: Place) -> None:
    assert place.refused("object.put", bucket="nowhere", key="a", text="x") == ("bucket_missing", False)
    assert place.refused("object.get", bucket="nowhere", key="a") == ("bucket_missing", False)
    assert not place.worker.health("object.put").ok


@pytest.mark.parametrize("input", [{}, {"text": "a", "json": 1}, {"base64": "not base64!"}, {"text": "\ud800"}])
def test_content_that_is_none_is_refused(place: Place, input: dict[str, Any]) -> None:
    assert place.refused("object.put", key="a", **input) == ("content_invalid", False)


def test_an_object_that_is_not_what_was_asked_for_is_refused(place: Place, key: str) -> None:
    place.put(key, base64=base64.b64encode(b"\xff\xfe").decode())
    assert place.refused("object.get", key=key) == ("content_invalid", False)
    assert place.refused("object.get", key=key, **{"as": "json"}) == ("content_invalid", False)


def test_sizes_are_limited_both_ways(place: Place, key: str) -> None:
    place.put(key, text="x" * 180_001)
    assert place.refused("object.get", key=key) == ("object_too_large", False)
    assert place.get(key, max_bytes=180_001)["bytes"] == 180_001
    changed = place.connection.model_copy(update={"options": {"max_bytes": "100"}})
    with worker(store=changed) as small:
        error = small.fail("object.put", connection="store", bucket="streamflow", key=key, text="x" * 101)
        assert (error.code, error.retryable) == ("object_too_large", False)


def test_the_bucket_may_be_the_connections(place: Place, key: str) -> None:
    changed = place.connection.model_copy(update={"options": {"bucket": "streamflow"}})
    with worker(store=changed) as made:
        assert made.do("object.put", connection="store", key=key, text="x")["bucket"] == "streamflow"
    assert (place.folder / key).read_text() == "x"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"password": "env:WRONG"}, "credentials_refused"),
        ({"user": "nobody"}, "credentials_refused"),
        ({"user": None}, "access_denied"),
        ({"password": "env:NOT_SET_AT_ALL"}, "secret_missing"),
        ({"options": {"regoin": "x"}}, "connection_invalid"),
        ({"options": {"virtual_hosted": "perhaps"}}, "connection_invalid"),
        ({"url": "127.0.0.1:9000"}, "connection_invalid"),
        ({"kind": "postgres"}, "connection_invalid"),
    ],
)
def test_a_connection_that_cannot_be_used_says_why(
    object_store: ObjectStore, changes: dict[str, Any], code: str
) -> None:
    os.environ["WRONG"] = "swordfish"
    with worker(store=s3(object_store, **changes)) as made:
        # The server takes unsigned reads for attempts at public objects.
        for operation in ("object.put", "object.get")[: 1 if changes == {"user": None} else 2]:
            more: dict[str, Any] = {"text": "x"} if operation == "object.put" else {}
            error = made.fail(operation, connection="store", bucket="streamflow", key="a", **more)
            assert (error.code, error.retryable) == (code, False)
            assert "swordfish" not in str(error)


def test_a_bucket_is_needed(object_store: ObjectStore) -> None:
    with worker(store=s3(object_store)) as made:
        assert made.fail("object.get", connection="store", key="a").code == "connection_invalid"


@pytest.fixture
def own_store() -> Iterator[ObjectStore]:
    """An S3 server that the test may stop."""
    yield from start_server(servers.object_store())


def test_a_server_that_is_away_is_tried_again(own_store: ObjectStore) -> None:
    server = own_store
    with worker(store=s3(server)) as made:
        input: dict[str, Any] = {"connection": "store", "bucket": "streamflow", "key": "a/b.json", "json": {"a": 1}}
        server.stop()
        error = made.fail("object.put", **input)
        assert (error.code, error.retryable) == ("store_unavailable", True)
        assert not made.health("object.put").ok
        server.start()
        assert made.do("object.put", **input)["bytes"] == 7
        assert made.health("object.put").ok


def test_objects_say_who_wrote_them(object_store: ObjectStore) -> None:
    import obstore
    from obstore.store import S3Store

    with worker(store=s3(object_store)) as made:
        made.do("object.put", "0a-run/step", connection="store", bucket="streamflow", key="who/a.json", json=1)
    foreign = S3Store(
        "streamflow",
        endpoint=object_store.url,
        access_key_id=object_store.user,
        secret_access_key=object_store.password,
        region="us-east-1",
        client_options={"allow_http": True},
    )
    attributes = obstore.get(foreign, "who/a.json").attributes
    assert attributes["Content-Type"] == "application/json"
    assert attributes["streamflow-idempotency-key"] == "0a-run/step"
    assert attributes["streamflow-sha256"] == hashlib.sha256(b"1").hexdigest()


def test_s3_needs_its_extra_and_a_folder_does_not(
    object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with worker(store=s3(object_store), folder=Connection(kind="folder", url=str(tmp_path))) as made:
        error = made.fail("object.get", connection="store", bucket="streamflow", key="a")
        assert (error.code, error.retryable) == ("extra_missing", False)
        assert "the extra objects," in error.message
        assert made.do("object.put", connection="folder", key="a", text="x")["bytes"] == 1
