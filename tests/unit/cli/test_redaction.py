"""Passwords in settings, wherever somebody wrote them, are not shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamflow.cli.main import main
from streamflow.cli.redaction import without_passwords

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://app:hunter2@db/x", "postgresql://app:***@db/x"),
        ("postgresql://app:hunter2@db:5432,app:hunter2@db2/x", "postgresql://app:***@db:5432,app:***@db2/x"),
        ("nats://hunter2@n:4222", "nats://***@n:4222"),
        ("nats://a:hunter2@n:4222,nats://a:hunter2@m:4222", "nats://a:***@n:4222,nats://a:***@m:4222"),
        ("https://u:p@hunter2@host/x", "https://u:***@host/x"),
        ("https://u:hunter2%40@host", "https://u:***@host"),
        ("https://h/x?token=hunter2&a=b", "https://h/x?token=***&a=b"),
        ("https://h/x?X-Amz-Signature=hunter2", "https://h/x?X-Amz-Signature=***"),
        ("host=db user=app password=hunter2 dbname=x", "host=db user=app password=*** dbname=x"),
        ("HTTPS://U:hunter2@H", "HTTPS://U:***@H"),
        ("https://flow.example.org/a@b", "https://flow.example.org/a@b"),
        ("postgresql://db/x", "postgresql://db/x"),
        ("env:DB_PASSWORD", "env:DB_PASSWORD"),
        ("file:/run/secrets/password=x", "file:/run/secrets/password=x"),
        ("plain", "plain"),
    ],
)
def test_a_password_in_a_text_is_hidden(text: str, shown: str) -> None:
    assert without_passwords(text) == shown
    assert without_passwords({"a": [{"b": text}]}) == {"a": [{"b": shown}]}


def test_options_that_are_called_secrets_are_hidden_and_references_are_not() -> None:
    options = {"password": SECRET, "api_key": SECRET, "sslPassphrase": SECRET, "region": "eu", "token": "env:TOKEN"}
    assert without_passwords(options) == {
        "password": "***",
        "api_key": "***",
        "sslPassphrase": "***",
        "region": "eu",
        "token": "env:TOKEN",
    }


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_settings_show_holds_no_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, form: Any
) -> None:
    config = {
        "kafka": {"bootstrap_servers": "k:1"},
        "tasks": {
            "callback_url": f"https://u:{SECRET}@flow.example.org",
            "connections": {
                "db": {"kind": "postgres", "url": f"postgresql://app:{SECRET}@db/x", "password": "env:DB"},
                "q": {"kind": "nats", "url": f"nats://{SECRET}@n", "options": {"password": SECRET}},
                "h": {"kind": "http", "url": f"https://h/?api_key={SECRET}", "headers": {"Authorization": "env:AUTH"}},
            },
        },
    }
    (tmp_path / "streamflow.yaml").write_text(json.dumps(config))
    monkeypatch.setenv("STREAMFLOW_CONFIG", str(tmp_path / "streamflow.yaml"))
    assert main([*form, "settings", "show"]) == 0
    shown = capsys.readouterr().out
    assert SECRET not in shown
    assert shown.count("***") == 5
    assert "env:DB" in shown
    assert "env:AUTH" in shown
