"""Each example is run by its one command on real servers, and leaves what its README says that it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.conftest import only_full

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

PROJECT = Path(__file__).parents[2]


def played(name: str, out: Path, bootstrap: str) -> str:
    """What the command writes. Fails, or skips the test where its servers may be missing, if it does not end well."""
    command = [
        sys.executable,
        "-m",
        "tests.examples",
        name,
        "--out",
        str(out),
        "--bootstrap",
        bootstrap,
        "--prefix",
        f"x{uuid.uuid4().hex[:8]}.",
    ]
    own = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("STREAMFLOW_") or key == "STREAMFLOW_CACHE"
    }
    done = subprocess.run(command, cwd=PROJECT, env=own, capture_output=True, text=True, timeout=200, check=False)
    if "make servers" in done.stderr and not os.environ.get("CI"):
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return done.stdout


@only_full  # tests/web has a person decide
def test_fraud_detection_decides_four_payments_two_of_them_by_people(bootstrap: str, tmp_path: Path) -> None:
    said = played("fraud-detection", tmp_path, bootstrap)

    decided = [json.loads(line) for line in (tmp_path / "decisions.jsonl").read_text().splitlines()]
    assert [(one["payment"], one["decision"], one["by"]) for one in decided] == [
        ("P-1", "approved", "rules"),
        ("P-2", "blocked", "rules"),
        ("P-3", "approved", "anna"),
        ("P-4", "blocked", "ben"),
    ]
    assert decided[3]["reasons"] == ["nothing is known of the card"]
    assert (
        "$ streamflow operations register definitions/fraud-detection/enrich.plugin.yaml --endpoint http://127.0.0.1:"
        in said
    )
    assert "a secret that both sides know" not in said + (tmp_path / "streamflow.yaml").read_text()


@only_full  # the next one does the same and more
def test_minio_store_leaves_an_object_and_a_row(bootstrap: str, tmp_path: Path) -> None:
    played("minio-store", tmp_path, bootstrap)

    stored = json.loads((tmp_path / "sensors" / "boiler-7" / "2026-03-02.json").read_text())
    assert stored == {
        "sensor": "boiler-7",
        "day": "2026-03-02",
        "count": 5,
        "lowest": 61.5,
        "highest": 83.5,
        "too_hot": [83.5],
    }
    sensor, day, url, size, too_hot = (tmp_path / "stored_summaries.txt").read_text().strip().split("|")
    assert (sensor, day, too_hot) == ("boiler-7", "2026-03-02", "1")
    assert url.endswith("/sensors/boiler-7/2026-03-02.json")
    assert int(size) == (tmp_path / "sensors" / "boiler-7" / "2026-03-02.json").stat().st_size


def test_sales_report_leaves_a_report_a_row_and_a_message(bootstrap: str, tmp_path: Path) -> None:
    played("sales-report", tmp_path, bootstrap)

    report = (tmp_path / "reports" / "shop-1" / "2026-03-02.csv").read_text()
    assert report == "region,orders,amount\nnorth,2,178.50\nsouth,1,450.00\nwest,1,19.90\nall,4,648.40\n"
    assert (tmp_path / "sales_reports.txt").read_text().startswith("shop-1|2026-03-02|4|64840|http")
    message = json.loads((tmp_path / "message.json").read_text())
    assert (message["shop"], message["amount_cents"], message["best_region"]) == ("shop-1", 64840, "south")
    assert message["url"].endswith("/reports/shop-1/2026-03-02.csv")


def test_an_example_that_is_none_is_told() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.examples", "nothing"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 2
    assert "fraud-detection" in done.stderr
