"""Child processes: how they end is told, and dev's address is known only while it runs."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from streamflow.approvals.signing import public_text, read_private_key
from streamflow.cli.dev_discovery import SidecarPlace, announced, approval_key, running
from streamflow.cli.processes import _undisturbed, ended, environment
from streamflow.cli.session import Session
from streamflow.settings import Access, Approvals, Settings, Sidecar, Tasks, Topics


def test_the_end_of_a_process_has_words() -> None:
    assert ended(-9) == "ended by SIGKILL"
    assert ended(4) == "ended with exit code 4"


def test_children_have_the_settings_of_their_parent(tmp_path: Path) -> None:
    env = environment(Settings(topics=Topics(prefix="x.", partitions=3), state_dir=tmp_path), "127.0.0.1:9")

    assert env["STREAMFLOW_KAFKA__BOOTSTRAP_SERVERS"] == "127.0.0.1:9"
    assert (env["STREAMFLOW_TOPICS__PREFIX"], env["STREAMFLOW_TOPICS__PARTITIONS"]) == ("x.", "3")
    assert env["STREAMFLOW_STATE_DIR"] == str(tmp_path)


def test_dev_is_found_by_others_in_its_folder_while_it_runs(tmp_path: Path) -> None:
    settings = Settings(broker_dir=tmp_path / "broker")

    assert running(settings) is None
    with announced(settings, "127.0.0.1:9"):
        assert running(settings) == "127.0.0.1:9"
    assert running(settings) is None


def test_what_a_killed_dev_left_behind_is_not_believed(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / "dev.json").write_text(json.dumps({"bootstrap_servers": "127.0.0.1:9", "pid": gone.pid}))

    assert running(Settings(broker_dir=tmp_path)) is None


def test_a_command_beside_dev_needs_no_address(tmp_path: Path) -> None:
    session = Session()
    session.__dict__["given"] = Settings(broker_dir=tmp_path)

    with announced(session.given, "127.0.0.1:9"):
        assert session.settings.kafka.bootstrap_servers == "127.0.0.1:9"
        assert session.given.kafka.bootstrap_servers is None


def test_an_interrupt_waits_until_a_new_child_is_known() -> None:
    known = []

    def start() -> None:
        with _undisturbed():
            signal.raise_signal(signal.SIGINT)
            known.append("child")

    with pytest.raises(KeyboardInterrupt):
        start()

    assert known == ["child"]


def test_the_sidecar_of_a_dev_goes_elsewhere_when_its_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Settings(broker_dir=tmp_path, sidecar=Sidecar(port=port))
        place = SidecarPlace(settings)

    told = place.environment()
    assert told["STREAMFLOW_SIDECAR__PORT"] != str(port)
    assert told["STREAMFLOW_TASKS__CALLBACK_URL"] == place.url == f"http://127.0.0.1:{told['STREAMFLOW_SIDECAR__PORT']}"


def test_callbacks_of_a_dev_are_good_after_its_restart(tmp_path: Path) -> None:
    settings = Settings(broker_dir=tmp_path, sidecar=Sidecar(port=0))
    first, second = (SidecarPlace(settings).environment()["STREAMFLOW_TASKS__CALLBACK_SECRET"] for _ in range(2))

    key = Path(first.removeprefix("file:"))
    assert first == second
    assert len(key.read_text()) == 64
    assert key.stat().st_mode & 0o077 == 0


def test_what_is_configured_for_callbacks_and_sessions_is_left_alone(tmp_path: Path) -> None:
    tasks = Tasks(callback_url="https://flow.example.org", callback_secret="env:KEY")
    settings = Settings(broker_dir=tmp_path, tasks=tasks, access=Access(signing_key="env:SIGNING"))

    assert SidecarPlace(settings).environment().keys() == {"STREAMFLOW_SIDECAR__PORT"}


def test_a_dev_signs_approvals_with_a_key_of_its_folder(tmp_path: Path) -> None:
    settings = Settings(broker_dir=tmp_path)
    first, second = approval_key(settings), approval_key(settings)

    assert first == second
    file = Path(first["STREAMFLOW_APPROVALS__SIGNING_KEY"].removeprefix("file:"))
    assert file.stat().st_mode & 0o777 == 0o600
    own = public_text(read_private_key(f"file:{file}").public_key())
    assert json.loads(first["STREAMFLOW_APPROVALS__TRUSTED_KEYS"]) == [own]
    for given in (Approvals(signing_key="env:KEY"), Approvals(required=True, trusted_keys=[own])):
        assert approval_key(Settings(broker_dir=tmp_path, approvals=given)) == {}
