"""What network policies allow: the addresses that settings give to each role, and which of them the policies of a
rendering let its pods reach."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from streamflow.settings import Settings

Object = dict[str, Any]

_OF_SCHEME = {"http": 80, "https": 443, "postgresql": 5432}
_OF_SECRET = {"access.redis": (6379,), "notifications.targets.url": (443, 465, 587)}
"""Ports of addresses that are in a secret."""


class Address(NamedTuple):
    """An address of the settings: the setting (without names that a person chose), host and port, and the roles whose
    processes connect to it. No host: it is in a secret."""

    setting: str
    host: str
    port: int
    roles: tuple[str, ...]


ALL = ("topics", "engine", "ingress", "tasks", "history", "mirror", "sidecar", "exporter")
REACHED = {
    "kafka.bootstrap_servers": ALL,
    "kafka.oauth_token_url": ALL,
    "tracing.endpoint": ("engine", "ingress", "tasks", "history", "mirror", "sidecar", "exporter"),
    "tasks.connections.url": ("tasks",),
    "history.archive": ("history",),
    "history.postgresql": ("history", "sidecar"),
    "registry.url": ("ingress", "mirror", "sidecar"),
    "models.available.url": ("sidecar",),
    "access.oidc.issuer": ("sidecar",),
    "access.redis": ("sidecar",),
    "approvals.environments.kafka.bootstrap_servers": ("sidecar",),
    "approvals.environments.kafka.oauth_token_url": ("sidecar",),
    "notifications.targets.url": ("history", "tasks"),
}
"""Which roles connect to the address in a setting."""

INCOMING = {"tasks.callback_url", "access.public_url", "metrics.listen"}
"""Addresses under which others reach the installation."""


def addresses(settings: Settings) -> list[Address]:
    """Those that are set."""
    return [
        Address(setting, host, port, REACHED[setting])
        for setting, text in _texts(settings)
        for host, port in _places(setting, text)
    ]


def _texts(settings: Settings) -> Iterator[tuple[str, str | None]]:
    kafka, archive = settings.kafka, settings.history.archive
    yield "kafka.bootstrap_servers", kafka.bootstrap_servers
    yield "kafka.oauth_token_url", kafka.oauth_token_url
    yield "tracing.endpoint", settings.tracing.endpoint
    yield "history.postgresql", settings.history.postgresql
    yield "registry.url", settings.registry.url
    if archive is not None and settings.tasks.connections[archive].kind == "s3":
        yield "history.archive", settings.tasks.connections[archive].url
    for connection in settings.tasks.connections.values():
        if connection.kind != "folder":
            yield "tasks.connections.url", connection.url
    for model in settings.models.available.values():
        yield "models.available.url", model.url or "https://provider"
    if settings.access.oidc is not None:
        yield "access.oidc.issuer", settings.access.oidc.issuer
    yield "access.redis", settings.access.redis
    for environment in settings.approvals.environments.values():
        if environment.kafka is not None:
            yield "approvals.environments.kafka.bootstrap_servers", environment.kafka.bootstrap_servers
            yield "approvals.environments.kafka.oauth_token_url", environment.kafka.oauth_token_url
    for target in settings.notifications.targets.values():
        yield "notifications.targets.url", target.url


def _places(setting: str, text: str | None) -> Iterator[tuple[str, int]]:
    if text is None:
        return
    if setting in _OF_SECRET:
        yield from (("", port) for port in _OF_SECRET[setting])
        return
    scheme, _, rest = text.rpartition("://")
    for one in rest.partition("/")[0].split(","):
        place = urlsplit(f"//{one.strip()}")
        yield place.hostname or "", place.port or _OF_SCHEME.get(scheme, 9092)


def unreachable(objects: list[Object], found: list[Address]) -> list[str]:
    """What a pod of the rendering is to reach and no policy allows, a sentence each."""
    return [
        f"{component} does not reach {address.setting} at port {address.port}"
        for role, component, labels in pods(objects)
        for address in found
        if role in address.roles and not _allowed(objects, labels, address)
    ]


def pods(objects: list[Object]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Role, component and labels; a pod with two processes comes once for each role."""
    for one in objects:
        if one["kind"] in ("Deployment", "StatefulSet", "Job"):
            template = one["spec"]["template"]
            labels = template["metadata"]["labels"]
            component = labels["app.kubernetes.io/component"]
            for container in template["spec"]["containers"]:
                yield container["name"], component, labels


def _allowed(objects: list[Object], labels: dict[str, str], address: Address) -> bool:
    policies = [one["spec"] for one in objects if one["kind"] == "NetworkPolicy"]
    chosen = [one for one in policies if "Egress" in one["policyTypes"] and selects(one["podSelector"], labels)]
    rules = [rule for one in chosen for rule in one["egress"]]
    return not chosen or any(_fits(rule, address) for rule in rules)


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a policy is for pods with these labels."""
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    return wanted and all(labels.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", ()))


def _fits(rule: Object, address: Address) -> bool:
    """Whether a rule is for the address. Of its peers only networks are judged, and only for hosts that are numbers:
    what a selector selects, and what a name resolves to, the cluster knows."""
    ports = rule.get("ports")
    if ports is not None and not any((one["port"], one["protocol"]) == (address.port, "TCP") for one in ports):
        return False
    blocks = [peer["ipBlock"] for peer in rule.get("to", ()) if "ipBlock" in peer]
    try:
        host = ipaddress.ip_address(address.host)
    except ValueError:
        return True
    return len(blocks) < len(rule.get("to", ())) or not blocks or any(_within(host, block) for block in blocks)


def _within(host: ipaddress.IPv4Address | ipaddress.IPv6Address, block: Object) -> bool:
    out = any(host in ipaddress.ip_network(network) for network in block.get("except", ()))
    return host in ipaddress.ip_network(block["cidr"]) and not out
