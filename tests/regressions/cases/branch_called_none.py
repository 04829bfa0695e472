"""No id of a branch has a meaning of its own."""

from __future__ import annotations

from tests.regressions.case import Broken, Unclear, case
from tests.regressions.site import Site

_CATALOG = """
events:
  - name: counted
    topics: [$counts]
    key: {path: key}
    match: {path: type, equals: counted}
    schema: {type: object, required: [count], properties: {key: {type: string}, count: {type: integer}}}
"""
_DEFINITION = """
name: refund
version: "1"
on: [{id: counted, event: counted}]
steps:
  - {id: size, choose: [{id: none, if: trigger.count == 0}, {id: some, if: trigger.count > 0}]}
  - {id: refund, needs: [size.none], print: {text: "'REFUND EVERYTHING'"}}
"""


@case(seconds=12)
def branch_none_when_no_branch_holds(site: Site) -> str:
    """When no branch holds, the branch called `none` is not taken; or its name is refused."""
    site.create("counts")
    answer = site.try_publish(_DEFINITION, _CATALOG)
    if answer.code:
        if "`none`" not in answer.text:
            raise Unclear(f"publishing was refused for another reason: {answer.text[:400]}")
        return f"publishing is refused: {answer.text[:300]}"
    site.start("engine", "ingress")
    site.send("counts", {"type": "counted", "key": "k", "count": -5})
    site.need(lambda: site.seen("RunCompleted"), "the run to end")
    if site.printed():
        raise Broken(f"with -5, for which no branch holds, the run printed {site.printed()}")
    return f"the run printed nothing: {site.story()}"
