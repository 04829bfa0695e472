"""Every command in README and docs does what the page says: the console blocks are run, in order, against a `streamflow
dev` of their own.

In a block, `$ ` begins a command and the lines below are what it writes (stdout and stderr). `...` stands for any text.
A here-document goes on to its end. Commands that only look are repeated until they show what the page says, for a few
seconds.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from streamflow.cli.main import main
from tests.conftest import eventually, needs_broker

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

PROJECT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "docs/authoring.md",
    "docs/guarantees.md",
    "docs/operations.md",
    "docs/history.md",
    "docs/quickstart.md",
    "docs/sidecar.md",
    "definitions/order-fulfilment/README.md",
    "definitions/loan-application/README.md",
    "definitions/fraud-detection/README.md",
    "definitions/minio-store/README.md",
    "definitions/sales-report/README.md",
    "docs/scenarios.md",
    "docs/load.md",
    "docs/capacity.md",
    "docs/operating.md",
    "docs/importing.md",
    "docs/bad-input.md",
    "docs/drafting.md",
    "docs/evaluation.md",
    "docs/authoring-api.md",
    "docs/api.md",
    "docs/approvals.md",
    "docs/access.md",  # one of the last: from its first user on the sidecar asks everybody who they are
    "docs/notifications.md",
)
PLAYED_ELSEWHERE = (
    "docs/models.md",  # without a broker, in models/test_commands.py
    "docs/schemas.md",  # beside a schema registry, in unit/cli/test_catalog_subjects.py
    "docs/secured-cluster.md",  # on a broker with log-ins and ACLs, in test_secured.py
)
LOOKS = re.compile(
    r"^(streamflow (runs (list|show|watch|approvals)|dead-letters|lag|events (tail|trace|unclaimed)|"
    r"history (find|status|trouble|archived)|definitions (list|show|diagram))|"
    r"curl -s (-H \"[^\"]+\" )?http://\S+$)\b"
)
SIDECAR = "127.0.0.1:8484"  # on the pages; another `dev` on this machine may have that port
ELSEWHERE = {
    f"make example NAME={name}": "test_examples.py" for name in ("fraud-detection", "minio-store", "sales-report")
} | {
    "make demo": "test_demo.py",
    "streamflow demo authoring": "test_demo.py",
    "make test": "this very run",
    "streamflow dev": "the fixture `dev`",
    # Long-running, each in its own test or by hand.
    "streamflow drill": "test_drill.py",
    "streamflow drill --bootstrap kafka-1:9092 --seconds 60": "test_drill.py",
    "streamflow drill --break kill,state --seconds 12 --seed 7 --json": "test_drill.py",
    "python -m streamflow_check --bootstrap kafka-1:9092 --prefix streamflow.": "test_checker_planted.py",
    "make proof": "its scenarios in test_recovery.py",
    "make checker": "all but its longest stories in test_checker_planted.py",
    "make faults": "a short mix in tests/faults/test_short_mix.py",
    "make soak": "by hand",
}


@dataclass(frozen=True)
class Step:
    """One command of a page and what it is to write."""

    line: int
    command: str
    expected: str


def steps_of(page: Path) -> list[Step]:
    steps: list[Step] = []
    lines = iter(enumerate(page.read_text().splitlines(), 1))
    inside = False
    for number, line in lines:
        if line.startswith("```"):
            inside = line == "```console"
            continue
        if not inside:
            continue
        if line.startswith("$ "):
            command = line[2:]
            if here := re.search(r"<<'(\w+)'", command):
                for _, more in lines:
                    command += "\n" + more
                    if more == here[1]:
                        break
            steps.append(Step(number, command, ""))
        elif steps:
            last = steps[-1]
            steps[-1] = Step(last.line, last.command, last.expected + line + "\n")
    return steps


def matches(expected: str, actual: str) -> bool:
    """Whether `actual` is what the page says.

    Rows that begin with `...` may come in another order: they may be of records of several partitions.
    """
    return matches_in_order(expected, actual) or (
        any(line.startswith("... ") for line in expected.splitlines()) and matches_row_by_row(expected, actual)
    )


def matches_row_by_row(expected: str, actual: str) -> bool:
    """Whether each line of the page is a line of its own in what was written."""
    said, wrote = ([line for line in text.splitlines() if line.strip()] for text in (expected, actual))
    for row in said:
        found = next((line for line in wrote if matches_in_order(row, line)), None)
        if found is None:
            return False
        wrote.remove(found)
    return True


def matches_in_order(expected: str, actual: str) -> bool:
    """How columns are padded depends on what stands in them: blanks count as one, and at the end of a line as none."""
    said, wrote = (re.sub(r" ?\n", "\n", re.sub(r"[ \t]+", " ", text)).strip() for text in (expected, actual))
    first, *others = re.split(r"\s*\.\.\.\s*", said)
    if not others:
        return wrote == first
    *middle, last = others
    # Each part is looked for behind the one before it: a pattern of many wildcards would go back for ever.
    place = len(first)
    for part in middle:
        found = wrote.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return wrote.startswith(first) and wrote.endswith(last) and len(wrote) - len(last) >= place


def install_command(folder: Path) -> Path:
    """Makes the folder, with a `streamflow` in it that runs this checkout."""
    folder.mkdir()
    shim = folder / "streamflow"
    shim.write_text(f'#!/bin/sh\nPYTHONPATH="{PROJECT}" exec "{sys.executable}" -m streamflow.cli.main "$@"\n')
    shim.chmod(0o755)
    return shim


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which `streamflow dev` runs, with the project's examples in it."""
    needs_broker()
    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(PROJECT / "definitions", folder / "definitions")
    shim = install_command(folder / "bin")
    log = folder / "dev.log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            [shim, "dev"], cwd=folder, env=environment(folder), stdout=written, stderr=subprocess.STDOUT
        )
        try:
            eventually(lambda: process.poll() is not None or at_work(log.read_text()), timeout=90)
            assert process.poll() is None, log.read_text()
            yield folder
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0, log.read_text()[-4000:]


def at_work(log: str) -> bool:
    """Whether the workers of a `streamflow dev` have everything open, by its log."""
    return log.count("partition_open") >= 12 and "versions_taken" in log


def environment(folder: Path) -> dict[str, str]:
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("STREAMFLOW_") or name == "STREAMFLOW_CACHE"
    }
    return own | {"PATH": f"{folder / 'bin'}{os.pathsep}{own['PATH']}", "COLUMNS": "200", "TZ": "UTC"}


def run(command: str, folder: Path) -> str:
    """What `command` writes. Plain command lines of streamflow run in this process, where they need no second for their
    imports; also those within `$(...)`, which are asked until they find something: a run may not have begun yet."""
    if "<<" not in command:
        command = re.sub(
            r"\$\((streamflow [^)]*)\)",
            lambda inner: eventually(lambda: run(inner[1], folder).strip(), every=0.3),
            command,
        )
    if command.startswith("streamflow ") and not re.search(r"[|<>;&`]|\$\(", re.sub(r"'[^']*'", "", command)):
        written = io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stdout(written), contextlib.redirect_stderr(written):
            main(shlex.split(command)[1:])
        return written.getvalue()
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=90,
    )
    return done.stdout


def played(step: Step, folder: Path) -> str:
    """What the command wrote; one that looks is asked again until it shows what is expected."""
    written: list[str] = []
    sidecar = re.findall(r"the sidecar at http://(\S+);", (folder / "dev.log").read_text())[-1]

    def shown() -> bool:
        written.append(run(step.command.replace(SIDECAR, sidecar), folder))
        return matches(step.expected, written[-1]) or not LOOKS.match(step.command)

    try:
        eventually(shown, timeout=40, every=0.3)
    except pytest.fail.Exception:
        if not written:
            raise
        # otherwise the comparison that follows says it better
    return written[-1]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_what_its_commands_do(page: str, dev: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ.keys() - environment(dev).keys():
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    steps = steps_of(PROJECT / page)
    assert steps, "a page without a console block needs no place in PAGES"
    for step in steps:
        if step.command in ELSEWHERE:
            continue
        actual = played(step, dev)
        assert matches(step.expected, actual), (
            f"{page}:{step.line}\n$ {step.command}\n--- the page says\n{step.expected}--- it wrote\n{actual}"
        )


def test_every_page_with_commands_is_played() -> None:
    written = [
        page
        for page in (*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), *PROJECT.glob("definitions/*/README.md"))
        if steps_of(page)
    ]

    assert sorted(str(page.relative_to(PROJECT)) for page in written) == sorted((*PAGES, *PLAYED_ELSEWHERE))


def test_the_commands_of_make_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))

    assert {command.split()[1] for command in ELSEWHERE if command.startswith("make ")} <= targets


@pytest.mark.parametrize(
    ("wrote", "fits"),
    [
        ("A B\n1 one x\n2 two y\n\n2 rows: q\n", True),
        ("A B\n2 two y\n1 one x\n\n2 rows: q\n", True),
        ("A B\n2 two y\n\n2 rows: q\n", False),
        ("A B\n1 one x\n1 one x\n\n2 rows: q\n", False),
        ("A C\n2 two y\n1 one x\n\n2 rows: q\n", False),
    ],
)
def test_rows_of_several_partitions_may_come_in_any_order(wrote: str, fits: bool) -> None:
    assert matches("A B\n... one ...\n... two ...\n\n... rows: ...\n", wrote) is fits
