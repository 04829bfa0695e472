"""The revision that a run keeps is a number of the engine's own, not the build of a library."""

from __future__ import annotations

from tests.regressions.case import Broken, case, excluded
from tests.regressions.site import Site


@case(seconds=10)
def revision_that_names_a_library(site: Site) -> str:
    """The revision with which runs start names no library, so that a library's next build is no other revision."""
    (engine,) = site.start("engine")
    answer = site.must(site.cli("--json", "revisions", "list"), "the revisions")
    enabled = str(answer.json()["enabled"])
    if "cel" in enabled.lower():
        raise Broken(f"runs start with {enabled!r}; {engine.name} opens no partition that names another build")
    return f"runs start with {enabled!r}"


excluded(
    __name__,
    "a drained partition is still refused after an upgrade of the library",
    "It needs a second release of each tree, built with another version of the library. A unit test of the counts of "
    "revisions shows it.",
)
