"""A folder as an object store: what only a folder can get wrong. Decoys are in temporary folders."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamflow.settings import Connection
from tests.contract.stores import worker
from tests.contract.test_object_operations import Place


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Place]:
    inside = tmp_path / "inside"
    inside.mkdir()
    connection = Connection(kind="folder", url=inside.as_uri())
    with worker(store=connection) as made:
        yield Place(made, inside, connection)


def put(folder: Place, key: str, **more: Any) -> Any:
    return folder.worker.do("object.put", connection="store", key=key, **({"text": "x"} | more))


def refused(folder: Place, key: str, **more: Any) -> str:
    return folder.worker.fail("object.put", connection="store", key=key, text="x", **more).code


def test_a_link_leads_nowhere(folder: Place, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")
    (folder.folder / "link").symlink_to(outside)
    (folder.folder / "file.txt").symlink_to(outside / "secret.txt")
    assert refused(folder, "link/new.txt") == "key_refused"
    assert refused(folder, "link/deep/new.txt") == "key_refused"
    for key in ("link/secret.txt", "file.txt"):
        assert refused(folder, key) == "key_refused"
        assert folder.worker.fail("object.get", connection="store", key=key).code == "key_refused"
    assert sorted(path.name for path in outside.rglob("*")) == ["secret.txt"]
    assert (outside / "secret.txt").read_text() == "secret"


def test_a_bucket_that_is_a_link_is_no_bucket(folder: Place, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "decoy.txt").write_text("decoy")
    (folder.folder / "linked").symlink_to(outside)
    (folder.folder / "relative").symlink_to("../outside")
    (folder.folder / "dangling").symlink_to("nowhere")
    (folder.folder / "file").write_text("x")
    for bucket in ("linked", "relative", "dangling", "file"):
        assert refused(folder, "new.txt", bucket=bucket) == "bucket_missing"
        found = folder.worker.fail("object.get", connection="store", bucket=bucket, key="decoy.txt")
        assert found.code == "bucket_missing"
    assert [path.name for path in outside.iterdir()] == ["decoy.txt"]


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("moment", ["open", "mkdir", "stat", "link", "replace"])
@pytest.mark.parametrize("swapped", ["parent", "bucket", "file"])
def test_what_is_swapped_for_a_link_meanwhile_leads_nowhere(
    folder: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    before: bool,
    swapped: str,
) -> None:
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    for name in ("a.txt", "deep/a.txt"):
        (outside / name).write_text("decoy")
    (folder.folder / "b").mkdir()
    put(folder, "deep/a.txt", bucket="b")
    place = folder.folder / {"parent": "b/deep", "bucket": "b", "file": "b/deep/a.txt"}[swapped]
    target = {"parent": outside / "deep", "bucket": outside, "file": outside / "deep" / "a.txt"}[swapped]
    real, done = getattr(os, moment), []

    def swap() -> None:
        done.append(True)
        place.rename(tmp_path / "moved")
        place.symlink_to(target)

    def watched(*given: Any, **more: Any) -> Any:
        if done or not {"dir_fd", "dst_dir_fd"} & more.keys():
            return real(*given, **more)
        if before:
            swap()
        try:
            return real(*given, **more)
        finally:
            if not before:
                swap()

    place_of: dict[str, Any] = {"connection": "store", "bucket": "b", "key": "deep/a.txt"}
    with monkeypatch.context() as patched:
        patched.setattr(os, moment, watched)
        folder.worker.together(folder.worker.attempt("object.put", **place_of, text="theirs", if_exists="replace"))
        assert done
        found = folder.worker.together(folder.worker.attempt("object.get", **place_of))
    assert "decoy" not in str(found)
    for name in ("a.txt", "deep/a.txt"):
        assert (outside / name).read_text() == "decoy"
    assert sorted(path.name for path in outside.rglob("*")) == ["a.txt", "a.txt", "deep"]


def test_a_folder_that_is_removed_while_an_object_is_written_is_worth_another_attempt(
    folder: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "mkdir", lambda *_given, **_more: None)  # made, and removed at once
        error = folder.worker.fail("object.put", connection="store", key="deep/a.txt", text="x")
    assert (error.code, error.retryable) == ("store_unavailable", True)
    put(folder, "deep/a.txt")


def test_another_name_of_a_file_is_never_written_through(folder: Place, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("decoy")
    (folder.folder / "a").hardlink_to(outside)
    assert refused(folder, "a", if_exists="fail") == "object_exists"
    put(folder, "a", if_exists="replace")
    assert outside.read_text() == "decoy"
    assert (folder.folder / "a").read_text() == "x"


def test_what_is_no_file_is_refused_and_does_not_hang(folder: Place) -> None:
    os.mkfifo(folder.folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder.folder / "socket"))
        for key in ("pipe", "socket"):
            assert refused(folder, key) == "key_refused"
            assert folder.worker.fail("object.get", connection="store", key=key).code == "key_refused"
            assert refused(folder, f"{key}/below") == "key_refused"


@pytest.mark.parametrize(
    "key",
    [
        "..",
        "../a",
        "a/../../b",
        ".",
        "a/./b",
        "",
        "/a",
        "a//b",
        "a/",
        "a\u0000b",
        "a\nb",
        "x" * 256,
        "d/" + "x" * 256,
        "x/" * 600 + "a",
        ".streamflow-1",
        ".streamflow-/a",
        "a/.streamflow-x",
        "\ud800",
    ],
)
def test_a_key_that_is_no_name_in_the_folder_has_a_clear_code(folder: Place, key: str) -> None:
    assert refused(folder, key) == "key_refused"
    assert folder.worker.fail("object.get", connection="store", key=key).code == "key_refused"
    assert list(folder.folder.rglob("*")) in ([], [folder.folder / "d"])


def test_names_that_differ_in_case_or_mean_something_elsewhere_are_objects_of_their_own(folder: Place) -> None:
    keys = (
        "A",
        "a",
        "CON",
        "nul.txt",
        "a ",
        "a.",
        "~",
        "$HOME",
        "*",
        "-rf",
        "caf\u00e9",
        "cafe\u0301",
        "a:b",
        "%2e%2e",
    )
    for key in keys:
        put(folder, key, text=key)
    for key in keys:
        assert folder.worker.do("object.get", connection="store", key=key)["text"] == key
    assert sorted(path.name for path in folder.folder.iterdir()) == sorted(keys)


@pytest.mark.parametrize("bucket", ["..", ".", "a/b", "/etc", ".hidden"])
def test_a_bucket_is_a_folder_in_it(folder: Place, bucket: str) -> None:
    assert refused(folder, "a", bucket=bucket) == "bucket_missing"


def test_objects_and_folders_of_objects_do_not_share_a_name(folder: Place) -> None:
    put(folder, "a/b")
    assert refused(folder, "a") == "key_refused"
    assert refused(folder, "a/b/c") == "key_refused"
    assert folder.worker.fail("object.get", connection="store", key="a").code == "key_refused"
    assert refused(folder, "x" * 300) == "key_refused"


def test_a_folder_that_is_not_there_is_made_only_if_asked_for(tmp_path: Path) -> None:
    missing = tmp_path / "mount" / "store"
    for options, there in (({}, False), ({"create": "true"}, True)):
        with worker(store=Connection(kind="folder", url=str(missing), options=options)) as made:
            input: dict[str, Any] = {"connection": "store", "bucket": "new", "key": "a", "text": "x"}
            if there:
                assert made.do("object.put", **input)["bucket"] == "new"
            else:
                assert made.fail("object.put", **input).code == "bucket_missing"
        assert missing.exists() is there


def test_a_folder_without_the_right_says_so(folder: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refuse(path: Any, flags: int, *given: Any, **more: Any) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied")  # as root, who may write everywhere, nobody is refused
        return real(path, flags, *given, **more)

    monkeypatch.setattr(os, "open", refuse)
    assert refused(folder, "a") == "access_denied"


def test_nothing_unfinished_is_seen_or_left(folder: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", fail)
        error = folder.worker.fail("object.put", connection="store", key="a/b", text="x")
        assert (error.code, error.retryable) == ("store_unavailable", True)
    assert [path for path in folder.folder.rglob("*") if path.is_file()] == []
    put(folder, "a/b")
    assert [path.name for path in folder.folder.rglob("*") if path.is_file()] == ["b"]


def test_a_reader_sees_the_old_or_the_new_content_and_nothing_between(folder: Place) -> None:
    texts = [str(number) * 300_000 for number in range(10)]
    put(folder, "a", text=texts[0])
    seen = []

    async def put_all() -> None:
        for text in texts:
            await folder.worker.attempt("object.put", connection="store", key="a", text=text)

    async def watch(putting: asyncio.Future[None]) -> None:
        while not putting.done():
            seen.append(await asyncio.to_thread((folder.folder / "a").read_text))

    async def both() -> None:
        putting = asyncio.ensure_future(put_all())
        await watch(putting)
        await putting

    assert folder.worker.together(both()) == [None]
    assert set(seen) <= set(texts)
    assert len(seen) > len(texts)


@pytest.mark.parametrize("url", ["https://host/path", "file://host/path"])
def test_a_url_that_is_no_folder_is_refused(url: str) -> None:
    with worker(store=Connection(kind="folder", url=url)) as made:
        assert made.fail("object.get", connection="store", key="a").code == "connection_invalid"
