"""Two CloudEvents with one id and two sources are two events."""

from __future__ import annotations

from tests.regressions.case import Broken, case
from tests.regressions.site import Site

_CATALOG = """
events:
  - {name: sale, topics: [$sales]}
"""
_DEFINITION = """
name: sale-book
version: "1"
on: [{id: sold, event: sale}]
steps:
  - {id: note, set: [{name: cents, expr: trigger.cents}]}
"""


@case(seconds=12)
def one_id_from_two_sources(site: Site) -> str:
    """Sales with id 7 of two tills start two runs, and the sale that one till sends again starts none."""
    site.create("sales")
    site.start("engine", "ingress")
    site.publish(_DEFINITION, _CATALOG)
    for source, cents in (("/till/1", 100), ("/till/2", 200), ("/till/1", 100), ("/till/3", 300)):
        headers = {"ce_specversion": "1.0", "ce_id": "7", "ce_source": source, "ce_type": "sale"}
        site.send("sales", {"cents": cents}, "shop", headers=headers | {"content-type": "application/json"})
    site.need(lambda: site.seen("RunStarted"), "the first sale to start a run")
    site.need(lambda: site.lag("ingress") == 0 == site.lag("engine"), "everything to be decided")
    found = [fact.data["values"]["cents"] for fact in site.seen("ValuesSet")]
    if found != [100, 200, 300]:
        raise Broken(f"runs of three tills and one sale sent again: expected 100, 200, 300 but there are {found}")
    return f"runs: {found}"
