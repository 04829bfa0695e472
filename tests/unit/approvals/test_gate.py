"""What publishing takes where approvals are required, and what it refuses."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from streamflow.approvals.approval import Approval
from streamflow.approvals.report import Approved, PlayedScenario, Report, hash_of, text_hash
from streamflow.approvals.trust import Trust
from streamflow.errors import Rejected
from streamflow.kafka.publication import Published, publish, retire
from streamflow.kafka.rollback import roll_back
from streamflow.ops.definition_approvals import approval_of, approvals_of, promoted, read_approval
from streamflow.ops.definitions import listed
from streamflow.settings import Approvals, Settings
from tests.approvals import FORGERIES, a_key, an_approval, pem, public
from tests.unit.kafka.logs import MemoryLog, memory_log

__all__ = ["memory_log"]

CONTENT = b'{"name":"loan"}'
SCENARIOS = "scenarios: []"


def settings_with(**more: Any) -> Settings:
    known: dict[str, Any] = {"required": True, "trusted_keys": [public(a_key())], "signing_key": "env:APPROVAL_KEY"}
    return Settings(approvals=Approvals(**(known | more)))


REQUIRED = settings_with()


def published(settings: Settings = REQUIRED, *, content: bytes = CONTENT, by: str = "ann", **more: Any) -> Published:
    return publish(settings, name="loan", version="1", content=content, events={}, by=by, **more)


def sha_of(content: bytes = CONTENT) -> str:
    return published(Settings(), content=content).sha


def a_report(**more: Any) -> Report:
    known: dict[str, Any] = {
        "name": "loan",
        "version": "1",
        "sha256": "ab" * 32,
        "warnings": (),
        "scenarios_sha256": text_hash(SCENARIOS),
        "scenarios": (),
        "untaken": (),
    }
    return Report(**(known | more))


def keep(log: MemoryLog, approved: Approved, sha: str | None = None) -> None:
    key = f"approval/{sha or approved.approval.sha256}".encode()
    log.snapshot.read(key, msgspec.json.encode(approved), log.snapshot.position)


@pytest.fixture
def sha(memory_log: MemoryLog) -> str:
    """The content's, of which nothing is published yet."""
    found = sha_of()
    memory_log.snapshot = type(memory_log.snapshot)()
    memory_log.written.clear()
    return found


def refused(settings: Settings = REQUIRED, **more: Any) -> str:
    with pytest.raises(Rejected) as caught:
        published(settings, **more)
    return caught.value.code


def test_an_approved_content_is_published_with_its_approval(memory_log: MemoryLog, sha: str) -> None:
    approval = an_approval(sha256=sha)

    done = published(approval=approval)

    assert not done.already
    assert memory_log.snapshot.versions["loan", "1"].approval == approval
    assert published().already  # once more, with what the version has


def test_the_approval_that_is_kept_for_a_content_is_taken(memory_log: MemoryLog, sha: str) -> None:
    approval = an_approval(sha256=sha)
    keep(memory_log, Approved(approval=approval, report=a_report()))

    published()

    assert memory_log.snapshot.versions["loan", "1"].approval == approval
    (row,) = approvals_of(memory_log.snapshot, "loan")
    assert (row["state"], row["approval"]["by"]) == ("published", "bob")


@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.parametrize("kept", [False, True])
def test_nothing_else_is_published(memory_log: MemoryLog, sha: str, forgery: str, kept: bool) -> None:
    forged = FORGERIES[forgery](an_approval(sha256="ab" * 32), sha)
    if kept and forged is not None:
        keep(memory_log, Approved(approval=forged, report=a_report()), sha)
        code = refused()
    else:
        code = refused(approval=forged)

    assert code in ("approval_missing", "approval_mismatch", "approval_invalid")
    assert (code == "approval_missing") == (forged is None)
    assert memory_log.written == []


def test_an_approval_of_another_environment_is_refused(memory_log: MemoryLog, sha: str) -> None:
    assert refused(approval=an_approval(sha256=sha, environment="test")) == "approval_mismatch"


def test_content_that_was_changed_after_the_approval_is_refused(memory_log: MemoryLog, sha: str) -> None:
    keep(memory_log, Approved(approval=an_approval(sha256=sha), report=a_report()))

    assert refused(content=CONTENT.replace(b"loan", b"lean")) == "approval_missing"


def test_two_people_are_needed(memory_log: MemoryLog, sha: str) -> None:
    approval = an_approval(sha256=sha)  # written by ann, approved by bob

    assert refused(approval=approval, by="bob") == "approval_own_work"
    assert refused(approval=an_approval(sha256=sha, by="ann")) == "approval_own_work"
    published(settings_with(four_eyes=False), approval=approval, by="bob")


def test_scenarios_that_nobody_approved_are_refused(memory_log: MemoryLog, sha: str) -> None:
    report = a_report(sha256=sha)
    keep(memory_log, Approved(approval=an_approval(sha256=sha, report=hash_of(report)), report=report))

    assert refused(scenarios="scenarios: [other]") == "approval_mismatch"
    published(scenarios=SCENARIOS)


def test_a_version_is_approved_after_it_was_published(memory_log: MemoryLog, sha: str) -> None:
    memory_log.now_ms = 1000
    published(Settings())
    memory_log.now_ms = 1500
    publish(Settings(), name="loan", version="2", content=b"{}", events={})
    memory_log.now_ms = 2000
    assert refused() == "approval_missing"

    approval = an_approval(sha256=sha)
    assert published(approval=approval).already

    record = memory_log.snapshot.versions["loan", "1"]
    assert (record.approval, record.published_ms) == (approval, 1000)
    assert memory_log.snapshot.newest("loan") == "2"  # still


def test_a_key_that_is_trusted_no_more_takes_its_versions_out(memory_log: MemoryLog, sha: str) -> None:
    published(approval=an_approval(sha256=sha))
    rotated = settings_with(trusted_keys=[public(a_key(2))])

    assert refused(rotated) == "approval_invalid"
    published(rotated, approval=an_approval(a_key(2), sha256=sha))
    assert memory_log.snapshot.versions["loan", "1"].approval == an_approval(a_key(2), sha256=sha)


def test_where_none_is_required_an_approval_may_be_given_and_must_hold(memory_log: MemoryLog, sha: str) -> None:
    free = settings_with(required=False)

    assert refused(free, approval=an_approval(a_key(2), sha256=sha)) == "approval_invalid"
    keep(memory_log, Approved(approval=an_approval(a_key(2), sha256=sha), report=a_report()))
    published(free)  # one that is kept and does not hold is as none
    assert memory_log.snapshot.versions["loan", "1"].approval is None
    published(free, approval=an_approval(sha256=sha))
    assert memory_log.snapshot.versions["loan", "1"].approval == an_approval(sha256=sha)


def test_retiring_keeps_the_approval(memory_log: MemoryLog, sha: str) -> None:
    published(approval=an_approval(sha256=sha))
    retire(REQUIRED, name="loan", version="1")

    (row,) = listed(memory_log.snapshot)
    assert (row["state"], row["approved_by"]) == ("retired", "bob")


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPROVAL_KEY", pem(a_key()))


def approve(report: Report, **more: Any) -> Approval:
    known: dict[str, Any] = {"authors": ["ann"], "by": "bob"}
    return approval_of(REQUIRED, "main", report, **(known | more))


@pytest.mark.usefixtures("key")
def test_an_approval_is_bound_to_its_report(memory_log: MemoryLog, sha: str) -> None:
    report = a_report(sha256=sha)
    approval = approve(report, note="fine")

    assert approval.report == hash_of(report)
    assert hash_of(a_report(sha256=sha, warnings=("one",))) != approval.report
    published(approval=approval)


@pytest.mark.usefixtures("key")
def test_what_failed_or_is_ones_own_is_not_approved() -> None:
    failed = PlayedScenario(name="all is well", ok=False, paths=(), differences=("it is not",))
    for report, by, code in [
        (a_report(scenarios=(failed,)), "bob", "report_failed"),
        (a_report(), "ann", "approval_own_work"),
    ]:
        with pytest.raises(Rejected) as caught:
            approve(report, by=by)
        assert caught.value.code == code


@pytest.mark.usefixtures("key")
def test_a_promoted_approval_holds_in_the_other_environment_alone(memory_log: MemoryLog, sha: str) -> None:
    there = an_approval(sha256=sha, environment="test")
    here = promoted(REQUIRED, "main", there, by="ann")

    assert here.promoted is not None
    assert (here.promoted.environment, here.promoted.signature) == ("test", there.signature)
    assert published(approval=here).sha == sha


@pytest.mark.parametrize("data", [None, 1, "yes", {}, {"by": "bob"}, []])
def test_what_is_no_approval_is_refused(data: Any) -> None:
    with pytest.raises(Rejected) as caught:
        read_approval(data)

    assert caught.value.code == "approval_invalid"


def three_versions(log: MemoryLog) -> None:
    for number in ("1", "2", "3"):
        log.now_ms = int(number) * 1000
        publish(Settings(), name="loan", version=number, content=number.encode(), events={})


def current(log: MemoryLog) -> str:
    return log.snapshot.names["loan"].version


def test_starts_go_back_to_the_version_before_and_forward_again(memory_log: MemoryLog) -> None:
    three_versions(memory_log)

    assert roll_back(REQUIRED, name="loan").version == "2"
    assert roll_back(REQUIRED, name="loan").before == "2"
    assert current(memory_log) == "1"
    with pytest.raises(Rejected) as caught:
        roll_back(REQUIRED, name="loan")
    assert caught.value.code == "nothing_before"
    assert roll_back(REQUIRED, name="loan", version="3").already is False
    assert (current(memory_log), roll_back(REQUIRED, name="loan", version="3").already) == ("3", True)


def test_after_a_rollback_retiring_another_version_moves_nothing(memory_log: MemoryLog) -> None:
    three_versions(memory_log)
    roll_back(REQUIRED, name="loan", version="1")

    assert retire(REQUIRED, name="loan", version="3").current == "1"
    assert current(memory_log) == "1"
    assert retire(REQUIRED, name="loan", version="1").current == "2"
    assert current(memory_log) == "2"


def test_starts_do_not_go_back_to_what_does_not_count(memory_log: MemoryLog, sha: str) -> None:
    three_versions(memory_log)
    retire(REQUIRED, name="loan", version="2")
    memory_log.snapshot.trust = Trust("main", [public(a_key())])

    for version, code in [("1", "definition_unapproved"), ("2", "version_retired"), ("9", "version_unknown")]:
        with pytest.raises(Rejected) as caught:
            roll_back(REQUIRED, name="loan", version=version)
        assert caught.value.code == code
    with pytest.raises(Rejected) as caught:
        roll_back(REQUIRED, name="loan")
    assert caught.value.code == "version_unknown"
