"""What open runs pin in a partition: the contents that they follow, and the engine's revisions that they began with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from streamflow.engine.draft import Draft
from streamflow.engine.state import Own, PinnedContent, content_key


class Pins(NamedTuple):
    """Open runs by revision, and the contents in the partition by sha256."""

    revisions: dict[str, int]
    contents: dict[str, PinnedContent]


def repin(draft: Draft, own: Own) -> Pins:
    """The pins after `draft`. A content that no run has used for a while leaves; a start that still names it brings
    it back from `definitions`."""
    if not draft.pins:
        return Pins(own.revisions, own.contents)
    revisions, contents = Counter(own.revisions), dict(own.contents)
    for sha, revision, change in draft.pins:
        revisions[revision] += change
        known = contents.get(sha, PinnedContent(0, 0))
        contents[sha] = PinnedContent(known.open_runs + change, draft.now_ms)
    for sha in _unused(draft, contents):
        del contents[sha]
        draft.put(content_key(sha), None)
    return Pins({revision: count for revision, count in revisions.items() if count}, contents)


def _unused(draft: Draft, contents: Mapping[str, PinnedContent]) -> list[str]:
    limit_ms = draft.now_ms - draft.limits.unused_content_ms
    return [sha for sha, content in contents.items() if not content.open_runs and content.used_ms < limit_ms]
