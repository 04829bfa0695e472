"""Every page, with the selector of something that is there when it is ready. `{parked}` and others are ids of runs."""

from __future__ import annotations

from tests.conftest import TEST_ALL
from tests.web.stage import Stage

_DIAGRAM = "[data-step]"
_PAGES: dict[str, tuple[str, str]] = {
    "runs": ("/runs", "tbody tr"),
    "run-parked": ("/runs/{parked}", _DIAGRAM),
    "run-asking": ("/runs/{asking}", _DIAGRAM),
    "run-done": ("/runs/{done}", _DIAGRAM),
    "run-transitions": ("/runs/{parked}?tab=transitions", "text=step parked"),
    "run-values": ("/runs/{done}?tab=values", "text=steps.pay"),
    "run-log": ("/runs/{parked}?tab=log", "#main ol li"),
    "run-origin": ("/runs/{done}?tab=origin", "text=The chain ends here."),
    "compare": ("/runs/{parked}/compare/{cancelled}", "tbody tr"),
    "definitions": ("/definitions", "tbody tr"),
    "definition": ("/definitions/order-fulfilment", _DIAGRAM),
    "definition-scenarios": ("/definitions/order-fulfilment?show=scenarios", "text=branches."),
    "definition-yaml": ("/definitions/order-fulfilment?tab=yaml", ".cm-line"),
    "definition-versions": ("/definitions/refund?tab=versions&version=2", "text=steps/ask/approval/text"),
    "editor": ("/definitions/new?from=refund@2", "text=can be published"),
    "editor-sample": ("/definitions/new?sample=fraud-detection", "text=can be published"),
    "conversations": ("/authoring", "tbody tr"),
    "conversation": ("/authoring/{conversation}", "text=Proposed changes"),
    "inbox": ("/inbox", "text=Send 5 back?"),
    "trouble": ("/trouble", "tbody tr"),
    "dashboard": ("/dashboard", ".uplot canvas"),
    "workers": ("/workers", "text=default"),
    "catalog": ("/catalog", "text=order.placed"),
    "catalog-operations": ("/catalog?tab=operations", "text=http.request"),
    "plugins": ("/plugins", "text=No plugin is registered."),
    "keys": ("/keys", "text=There is no key yet."),
    "users": ("/users", "text=There are no users yet."),
    "jobs": ("/jobs", "text=There was no job yet."),
    "audit": ("/audit", "tbody tr"),
    "login": ("/login", "text=Use an API key"),
}
# Made of the same parts as another one: `make test-full` looks at them.
LONG_ONLY = (
    "runs",
    "run-asking",
    "run-transitions",
    "run-done",
    "run-values",
    "run-log",
    "run-origin",
    "compare",
    "definitions",
    "definition-scenarios",
    "definition-yaml",
    "definition-versions",
    "editor-sample",
    "conversations",
    "workers",
    "catalog",
    "catalog-operations",
    "plugins",
    "keys",
    "users",
    "jobs",
    "audit",
)
ALL = tuple(_PAGES)
NAMES = tuple(name for name in ALL if TEST_ALL or name not in LONG_ONLY)


def page_of(stage: Stage, name: str) -> tuple[str, str]:
    """The path of a page, and the selector."""
    path, ready = _PAGES[name]
    return path.format(**stage.runs), ready
