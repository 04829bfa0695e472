"""A source topic that cannot be read holds up only what hangs on it."""

from __future__ import annotations

from typing import Any

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from tests.regressions.case import case, excluded
from tests.regressions.site import Site

_CATALOG = """
events:
  - {name: good, topics: [$good], key: {path: key}, match: {path: type, equals: good}}
  - {name: good.more, topics: [$good], key: {path: key}, match: {path: type, equals: more}}
  - {name: secret.more, topics: [$secret], key: {path: key}, match: {path: type, equals: more}}
  - {name: secret, topics: [$secret], key: {path: key}, match: {path: type, equals: secret}}
"""
_DEFINITION = """
name: NAME
version: "1"
on: [{id: go, event: NAME}]
steps:
  - {id: note, print: {text: "'NAME ' + run.key"}}
  - {id: waits, needs: [note], wait: {events: [{id: more, event: NAME.more}], within: 1s}}
  - {id: late, needs: [waits.timeout], print: {text: "'NAME ' + run.key + ' late'"}}
"""
_SOMEBODY = "User:ANONYMOUS"


@case(seconds=35, settings={"STREAMFLOW_INGRESS__WATERMARK_S": "1"})
def right_to_read_taken_away(site: Site) -> str:
    """When the right to read one topic is taken away, runs that hang on other topics start, and their waits end."""
    site.create("good", "secret")
    site.start("engine", "ingress")
    for name in ("good", "secret"):
        site.publish(_DEFINITION.replace("NAME", name), _CATALOG)
        site.send(name, {"type": name, "key": "k1"}, "k1")
    site.need(lambda: len(site.printed()) == 4, "both topics to be read, and their waits to time out")
    rules = [
        _rule(site, AclOperation.ALL, AclPermissionType.ALLOW),
        _rule(site, AclOperation.READ, AclPermissionType.DENY),
    ]
    for made in site.admin.create_acls(rules).values():
        made.result(20)
    try:
        site.pause(5)
        site.send("secret", {"type": "secret", "key": "k2"}, "k2")
        site.send("good", {"type": "good", "key": "k3"}, "k3")
        site.expect(lambda: "good k3" in site.printed(), "an event of the readable topic to start a run", 10)
        site.expect(lambda: "good k3 late" in site.printed(), "a wait of 1 s on the readable topic to end", 20)
    finally:
        anybody: Any = None
        every = AclBindingFilter(
            ResourceType.TOPIC,
            site.topic("secret"),
            ResourcePatternType.LITERAL,
            anybody,
            anybody,
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        for removed in site.admin.delete_acls([every]).values():
            removed.result(20)
    site.expect(lambda: "secret k2" in site.printed(), "the other topic to be read on when the right is back", 30)
    return f"printed {site.printed()}"


def _rule(site: Site, operation: AclOperation, kind: AclPermissionType) -> AclBinding:
    return AclBinding(
        ResourceType.TOPIC, site.topic("secret"), ResourcePatternType.LITERAL, _SOMEBODY, "*", operation, kind
    )


excluded(
    __name__,
    "a partition without a leader holds every watermark",
    "It needs a second broker that is lost for good; the cases share one broker. The fault campaign has three brokers.",
)
