"""What open runs pin in a partition: the contents that they follow, and the engine's revisions that they began with."""

from __future__ import annotations

from streamflow.engine.builder import DecisionBuilder
from streamflow.engine.record_keys import content_key
from streamflow.engine.state import PartitionState, PinnedContent


def repin(builder: DecisionBuilder, own: PartitionState) -> tuple[dict[str, int], dict[str, PinnedContent]]:
    """What is pinned after `builder`: open runs by revision, and the contents in the partition by sha256. A content
    that no run has used for a while leaves; a start that still names it brings it back from `definitions`."""
    if not builder.pins:
        return own.revisions, own.contents
    revisions, contents, now_ms = dict(own.revisions), dict(own.contents), builder.now_ms
    for sha, revision, change in builder.pins:
        revisions[revision] = revisions.get(revision, 0) + change
        if not revisions[revision]:
            del revisions[revision]
        known = contents.get(sha)
        contents[sha] = PinnedContent(change if known is None else known.open_runs + change, now_ms)
    if len(contents) > 1:  # one alone has just been used
        limit_ms = now_ms - builder.limits.unused_content_ms
        for sha in [sha for sha, one in contents.items() if not one.open_runs and one.used_ms < limit_ms]:
            del contents[sha]
            builder.put(content_key(sha), None)
    return revisions, contents
