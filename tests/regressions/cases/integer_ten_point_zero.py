"""What the check accepts does not park every run: integers written as 10.0, fields that may be missing or null."""

from __future__ import annotations

from tests.regressions.case import Broken, case
from tests.regressions.site import Site

_CATALOG = """
events:
  - name: sold
    topics: [$sales]
    key: {path: key}
    match: {path: type, equals: sold}
    schema:
      type: object
      required: [key, count, flag, more]
      properties:
        key: {type: string}
        type: {type: string}
        count: {type: integer}
        note: {type: string}
        flag: {type: [boolean, "null"]}
        more: {type: [integer, "null"]}
"""


def _definition(step: str) -> str:
    return f"""
name: sale
version: "1"
on: [{{id: sold, event: sold}}]
steps:
  - {{id: step, {step}}}
"""


@case(seconds=12)
def integer_written_with_a_point(site: Site) -> str:
    """10.0 where the schema says integer counts as 10: the run completes."""
    site.create("sales")
    site.start("engine", "ingress")
    site.publish(_definition("set: [{name: next, expr: trigger.count + 1}]"), _CATALOG)
    site.send("sales", b'{"type": "sold", "key": "k", "count": 10.0, "flag": true, "more": 1}')
    site.expect(lambda: site.seen("RunCompleted"), "the run to complete")
    (values,) = site.seen("ValuesSet")
    if values.data["values"] != {"next": 11}:
        raise Broken(f"10.0 + 1 gave {values.data['values']}")
    return "10.0 + 1 gave 11"


@case(seconds=6)
def field_that_may_be_missing(site: Site) -> str:
    """The check warns about a field that the schema does not require and nothing asks for with has()."""
    return _seen(site, "print: {text: \"'note: ' + trigger.note\"}")


@case(seconds=6)
def operand_that_may_be_null(site: Site) -> str:
    """The check warns about an operand and about a condition that the schema allows to be null."""
    return f"{_seen(site, 'set: [{name: sum, expr: trigger.more + 1}]', 'more')}; " + _seen(
        site, "if: trigger.flag, print: {text: \"'yes'\"}", "flag"
    )


def _seen(site: Site, step: str, word: str = "note") -> str:
    """What the check says of a step. Raises Broken when it says nothing."""
    answer = site.check(_definition(step), _CATALOG)
    problems = [problem for file in answer.json() for problem in file["problems"]]
    about = [problem for problem in problems if word in str(problem)]
    if not about:
        raise Broken(f"the check says nothing about {word} in `{step}`")
    return f"the check says: {about[0].get('message', about[0])}"
