"""What is cited of docs/design.md is there, and every law in it is held by a test."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DESIGN = ROOT / "docs" / "design.md"
PLACES = ("streamflow", "streamflow_check", "agents", "tests", "docs", "definitions")
NAMED = re.compile(r"\blaw\s+(?:# )?`?([a-z]+(?:-[a-z]+)+)", re.IGNORECASE)
SECTION = re.compile(r"\bdesign\.md#([a-z-]+)")
NUMBERED = re.compile(r"\blaws?\s+(?:# )?\d|\bdesign\s+(?:# )?section", re.IGNORECASE)
PATHS = re.compile(r"`((?:streamflow|streamflow_check|agents|tests)/[\w/.-]+)`")
LINKS = re.compile(r"\]\(([^)#:]+)(?:#([^)]+))?\)")
PAGES = [DESIGN, *(ROOT / "docs" / f"{name}.md" for name in ("glossary", "development")), ROOT / "README.md"]


def headings(text: str) -> dict[str, int]:
    """The level of each heading, by its anchor."""
    return {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-"): len(marks)
        for marks, title in re.findall(r"^(#+) (.*)$", text, re.MULTILINE)
    }


def laws(text: str) -> set[str]:
    chapter = re.search(r"^## Laws\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    assert chapter
    return {anchor for anchor, level in headings(chapter[1]).items() if level == 3}


@cache
def pages() -> dict[Path, str]:
    found = [path for place in PLACES for end in ("py", "md") for path in (ROOT / place).rglob(f"*.{end}")]
    found += [ROOT / "README.md", ROOT / "pyproject.toml"]
    return {path: path.read_text() for path in found if path != Path(__file__)}


@cache
def citations(pattern: re.Pattern[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for path, text in pages().items():
        for match in pattern.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found[match[match.lastindex or 0].lower()].append(f"{path.relative_to(ROOT)}:{line}")
    return found


def test_every_cited_law_is_in_the_design() -> None:
    known = laws(DESIGN.read_text())

    assert {name: where for name, where in citations(NAMED).items() if name not in known} == {}


def test_every_cited_section_is_in_the_design() -> None:
    known = headings(DESIGN.read_text())

    assert {name: where for name, where in citations(SECTION).items() if name not in known} == {}


def test_the_links_inside_the_design_lead_somewhere() -> None:
    text = DESIGN.read_text()

    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings(text).keys()


def test_nothing_is_cited_by_number() -> None:
    assert citations(NUMBERED) == {}


@pytest.mark.parametrize("law", sorted(laws(DESIGN.read_text())))
def test_every_law_is_held_by_a_test(law: str) -> None:
    assert [place for place in citations(NAMED)[law] if place.startswith("tests/")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("the order of law one-cut.", ["one-cut"]),
        ("# as law\n# identical-replay says", ["identical-replay"]),
        ("Law pinned-content: a start", ["pinned-content"]),
        ("`law one-cut`", ["one-cut"]),
        ("a law without a name", []),
    ],
)
def test_a_citation_is_recognised(text: str, found: list[str]) -> None:
    assert [match[1] for match in NAMED.finditer(text)] == found


@pytest.mark.parametrize("text", ["law 3", "Laws 1 to 5", "design\n# section 6", "law\n    2"])
def test_a_citation_by_number_is_recognised(text: str) -> None:
    assert NUMBERED.search(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_files_that_a_page_names_exist(page: Path) -> None:
    assert [name for name in PATHS.findall(page.read_text()) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for name, anchor in LINKS.findall(page.read_text()):
        target = page.parent / name
        assert target.exists(), name
        assert not anchor or anchor in headings(target.read_text()), f"{name}#{anchor}"
