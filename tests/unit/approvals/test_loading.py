"""Where approvals are required, workers load approved versions only; elsewhere nothing is looked at."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from streamflow.approvals.approval import Approval
from streamflow.approvals.trust import Trust
from streamflow.core.aside import aside_verdict
from streamflow.definition.content import canonical, sha256_of
from streamflow.engine.commands import DefinitionRef
from streamflow.engine.outcome import UnapprovedContent
from streamflow.errors import OperationError
from streamflow.kafka.definitions import DefinitionsLog
from streamflow.runtime.plans import Plans
from streamflow.runtime.versions import PublishedVersions
from streamflow.settings import Approvals, Settings
from tests.approvals import FORGERIES, a_key, an_approval, public
from tests.builders import a_catalog, a_definition

REQUIRED = Settings(approvals=Approvals(required=True, trusted_keys=[public(a_key())]))


def content_of(version: str = "1") -> bytes:
    return canonical(
        a_definition({"id": "log", "print": {"text": "'hello'"}}, name="loan", version=version), a_catalog("placed")
    )


def put(log: DefinitionsLog, approval: Approval | None, version: str = "1", content: bytes | None = None) -> str:
    """Writes a version as anybody could who may write to the topic; its sha256."""
    content = content or content_of(version)
    sha = sha256_of(content)
    written = [(f"definition/{sha}", content)] if sha not in log.contents else []
    for key, value in [
        *written,
        (f"version/loan@{version}", msgspec.json.encode({"sha": sha, "published_ms": 1, "approval": approval})),
        ("name/loan", msgspec.json.encode({"version": version, "sha": sha})),
    ]:
        log._snapshot.read(key.encode(), value, log.position)
    return sha


def loaded(log: DefinitionsLog, settings: Settings = REQUIRED) -> list[str]:
    return [one.plan.version for one in PublishedVersions(settings, log).published()]


def test_an_approved_version_is_loaded() -> None:
    log = DefinitionsLog(REQUIRED)
    sha = put(log, an_approval(sha256=sha256_of(content_of())))

    assert loaded(log) == ["1"]
    assert Plans(log).content(DefinitionRef(sha, 0, "1")) == content_of().decode()


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_version_is_not_loaded_and_is_told(forgery: str) -> None:
    log = DefinitionsLog(REQUIRED)
    approval = an_approval(sha256=sha256_of(content_of()))
    put(log, approval)
    forged = FORGERIES[forgery](approval, sha256_of(content_of("2")))
    put(log, forged, "2")
    with capture_logs() as lines:
        versions = PublishedVersions(REQUIRED, log)
        assert [one.plan.version for one in versions.published()] == ["1"]
        assert [one.plan.version for one in versions.published()] == ["1"]

    told = [line for line in lines if line["event"] == "version_unapproved"]
    assert [(line["definition"], line["version"]) for line in told] == [("loan", "2")]  # once
    assert told[0]["code"] == log.refusal("loan", "2")
    assert [line["count"] for line in lines if line["event"] == "unapproved_versions_changed"] == [1]


@pytest.mark.parametrize("forgery", FORGERIES)
def test_the_engine_starts_nothing_forged(forgery: str) -> None:
    log = DefinitionsLog(REQUIRED)
    approval = an_approval(sha256=sha256_of(content_of()))
    put(log, approval)
    sha = put(log, FORGERIES[forgery](approval, sha256_of(content_of("2"))), "2")
    plans, start = Plans(log), DefinitionRef(sha, 3, "1")

    assert not plans.readable(start)  # an approval may come behind what is read
    assert asyncio.run(waited(plans, log, start))
    assert plans.readable(start)
    with pytest.raises(UnapprovedContent) as caught:
        plans.content(start)
    reason, message = aside_verdict(caught.value, None, 1, None)
    assert reason == "definition_unapproved"
    assert "approval" in message


def test_the_engine_refuses_nothing_while_it_cannot_know_the_end_of_the_log() -> None:
    log = DefinitionsLog(REQUIRED)
    plans, start = Plans(log), DefinitionRef(put(log, None), 0, "1")

    with pytest.raises(OperationError) as caught:
        asyncio.run(plans.wait(start, 1.0))  # the log has no connection

    assert (caught.value.code, plans.readable(start)) == ("definitions_behind", False)


async def waited(plans: Plans, log: DefinitionsLog, start: DefinitionRef) -> bool:
    async def end() -> int:
        return log.position

    log.committed_end = end  # type: ignore[method-assign]
    return await plans.wait(start, 1.0)


def test_the_engine_reads_on_to_an_approval_that_is_behind_the_content() -> None:
    log = DefinitionsLog(REQUIRED)
    sha = put(log, None)
    plans, start = Plans(log), DefinitionRef(sha, 0, "1")
    assert not plans.readable(start)

    put(log, an_approval(sha256=sha))

    assert plans.readable(start)
    assert plans.content(start) is not None


def test_an_approved_version_that_is_written_over_is_loaded_no_more() -> None:
    log = DefinitionsLog(REQUIRED)
    approval = an_approval(sha256=sha256_of(content_of()))
    put(log, approval)
    put(log, approval, "1", content_of("2"))

    assert loaded(log) == []
    assert log.refusal("loan", "1") == "approval_mismatch"


def test_without_the_setting_everything_is_loaded_and_nothing_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusal(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing is to be verified")

    monkeypatch.setattr(Trust, "refusal", refusal)
    log = DefinitionsLog(Settings())
    sha = put(log, None)

    assert loaded(log, Settings()) == ["1"]
    assert Plans(log).readable(DefinitionRef(sha, 0, "1"))


def test_a_planted_bug_in_the_loading_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that takes every approval as good as any loads the forged version."""
    monkeypatch.setattr(Trust, "refusal", lambda *_, **__: None)
    log = DefinitionsLog(REQUIRED)
    put(log, None)

    assert loaded(log) == ["1"]


def test_a_record_with_an_unreadable_approval_is_left_out() -> None:
    log = DefinitionsLog(REQUIRED)
    sha = put(log, an_approval(sha256=sha256_of(content_of())))
    for approval in ({"by": "eve"}, "yes", 1, [sha]):
        value = msgspec.json.encode({"sha": sha, "approval": approval})
        log._snapshot.read(b"version/loan@1", value, log.position)

    assert log.unreadable.count == 4
    assert loaded(log) == ["1"]  # what was there stays
