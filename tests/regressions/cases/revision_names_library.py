"""The revision that a run keeps is a number of the engine's own, not the build of a library."""

from __future__ import annotations

from tests.regressions.case import Broken, case, excluded
from tests.regressions.site import Site


@case(seconds=10)
def revision_that_names_a_library(site: Site) -> str:
    """The revision with which runs start names no library, so that a library's next build is no other revision."""
    answer = site.must(site.cli("revisions", "list"), "the revisions")
    seen = answer.out.splitlines()[0]
    if "cel" in answer.out.lower():
        raise Broken(f"{seen}: a worker with another build of that library knows another revision")
    return seen


excluded(
    __name__,
    "a drained partition is still refused after an upgrade of the library",
    "It needs a second release of each tree, built with another version of the library. How revisions are "
    "counted and forgotten belongs to a unit test.",
)
