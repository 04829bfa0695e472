"""What tests.deploy.dockerfile reads out of a Dockerfile, and what it refuses."""

from __future__ import annotations

import pytest

from tests.deploy import dockerfile

TEXT = """
# a comment
ARG BASE=python:3.11-slim
FROM ${BASE} AS first
RUN one \\
    # not said to the shell
    && two
COPY --from=other /here /there
FROM first
ENV PATH=/venv/bin:$PATH NAME="two words"
ENTRYPOINT ["streamflow", "--help"]
"""


def test_stages() -> None:
    first, last = dockerfile.read(TEXT)
    assert (first.name, first.base, last.name, last.base) == ("first", "python:3.11-slim", "", "first")
    assert [one.name for one in first.instructions] == ["RUN", "COPY"]
    assert first.last("RUN").text == "one && two"
    assert first.last("COPY").flags == {"from": "other"}
    assert last.last("ENV").words({"PATH": "/bin"}) == ["PATH=/venv/bin:/bin", "NAME=two words"]
    assert last.last("ENTRYPOINT").array() == ["streamflow", "--help"]
    with pytest.raises(KeyError):
        last.last("USER")


def test_build_arguments() -> None:
    assert dockerfile.read(TEXT, {"BASE": "python@sha256:0123"})[0].base == "python@sha256:0123"


@pytest.mark.parametrize(
    "line",
    [
        "ADD one /two",
        "COPY --chown=1:1 one /two",
        "COPY --link one /two",
        "RUN --mount=type=cache,target=/root one",
        "RUN <<EOF",
        "FROM one AS two three",
        "ONBUILD RUN one",
    ],
)
def test_what_it_does_not_understand(line: str) -> None:
    with pytest.raises(ValueError, match=line.split()[0]):
        dockerfile.read(f"FROM base\n{line}\n")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("tests", True),
        ("tests/deploy/chart.py", True),
        ("web/tests", False),
        ("web/node_modules/react", True),
        ("node_modules", False),
        ("one/two/__pycache__/three.pyc", True),
        ("__pycache__", True),
        ("one.log", True),
        ("deploy/one.log", False),
    ],
)
def test_a_dockerignore(path: str, expected: bool) -> None:
    assert dockerfile.ignored(path, ["tests", "web/node_modules", "**/__pycache__", "*.log"]) is expected


def test_a_dockerignore_with_an_exception() -> None:
    with pytest.raises(ValueError, match="exceptions"):
        dockerfile.ignored("README.md", ["*.md", "!README.md"])
