"""The chart's values.schema.json, which `python -m tests.deploy.values_schema` prints. What is under `settings` comes
from the settings themselves, without what the chart decides."""

from __future__ import annotations

import json
from typing import Any

from streamflow.settings import Settings

SECRETS = "/run/secrets/streamflow/"
"""Where the chart mounts secrets."""

ROLES = ("topics", "engine", "ingress", "tasks", "history", "mirror", "sidecar", "exporter")

# Of the settings: what the chart sets for each process, and what only a process on a desk needs.
_OURS = {
    "": ("state_dir", "broker_dir"),
    "Engine": ("instance_id",),
    "History": ("path",),
    "Ingress": ("instance_id",),
    "Metrics": ("listen",),
    "Mirror": ("instance_id",),
    "Sidecar": ("host", "port"),
    "Tasks": ("instance_id",),
}
_REFERENCE = r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$"
_NAME = {"type": "string", "pattern": "^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$"}
_LANE = "^[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?$"
_QUANTITY = {"type": ["string", "integer"], "pattern": "^[0-9]+(\\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"}
_TEXT = {"type": "string"}
_URL = {"type": "string", "pattern": "^(https?://.+)?$"}
_FLAG = {"type": "boolean"}
_MAP = {"type": "object", "additionalProperties": {"type": "string"}}
_OBJECTS = {"type": "array", "items": {"type": "object"}}
_PORTS = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 65535}}


def _closed(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        **({"required": list(required)} if required else {}),
    }


def _count(least: int = 0) -> dict[str, Any]:
    return {"type": "integer", "minimum": least}


_RESOURCES = _closed(
    ("requests", "limits"),
    requests=_closed(("cpu", "memory"), cpu=_QUANTITY, memory=_QUANTITY),
    limits=_closed(("memory",), cpu=_QUANTITY, memory=_QUANTITY),
)
_DISK = _closed(("size",), size=_QUANTITY, storageClass=_TEXT)


def _scaling(threshold: str) -> dict[str, Any]:
    return _closed(
        ("enabled", "minReplicas", "maxReplicas", threshold),
        enabled=_FLAG,
        minReplicas=_count(1),
        maxReplicas=_count(1),
        **{threshold: {"type": "number", "exclusiveMinimum": 0}},
    )


_BY_LAG = _scaling("lagSeconds")
_REACHED = _closed(("to", "ports"), to=_OBJECTS, ports=_PORTS)
_KEPT = ("terminationGraceSeconds", "resources")


def _role(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return _closed((*_KEPT, *required), terminationGraceSeconds=_count(1), resources=_RESOURCES, **properties)


def schema() -> dict[str, Any]:
    """The whole schema."""
    settings, shared = _settings()
    reference = {**_NAME, "description": "name of a Secret in the namespace of the release"}
    secret = _closed(
        ("secretName", "key", "roles"),
        secretName=reference,
        key={"type": "string", "pattern": "^[A-Za-z0-9._-]+$"},
        roles={"type": "array", "minItems": 1, "uniqueItems": True, "items": {"enum": list(ROLES)}},
    )
    lane = _role(("replicas", "autoscaling"), replicas=_count(), autoscaling=_BY_LAG)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Values of the chart streamflow",
        **_closed(
            (
                *("image", "settings", "engine", "ingress", "lanes", "history", "mirror", "sidecar", "exporter"),
                *("pods", "networkPolicy", "monitoring", "autoscaling"),
            ),
            **{"global": {"type": "object"}},
            image=_closed(
                ("repository", "tag", "digest", "pullPolicy"),
                repository={"type": "string", "pattern": "^[^\\s:@]+(:[0-9]+/[^\\s:@]+)?$"},
                tag={"type": "string", "not": {"const": "latest"}},
                digest={"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
                pullPolicy={"enum": ["Always", "IfNotPresent", "Never"]},
            ),
            imagePullSecrets={"type": "array", "items": _closed(("name",), name=_NAME)},
            settings=settings,
            secrets={"type": "object", "propertyNames": _NAME, "additionalProperties": secret},
            topics=_closed(("apply", "added", "resources"), apply=_FLAG, added=_count(), resources=_RESOURCES),
            engine=_role(("replicas", "disk"), replicas=_count(1), partition=_count(), disk=_DISK),
            ingress=_role(("replicas", "autoscaling"), replicas=_count(), autoscaling=_BY_LAG),
            lanes={
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": _LANE},
                "additionalProperties": lane,
            },
            history=_role(("enabled", "replicas", "disk"), enabled=_FLAG, replicas=_count(1), disk=_DISK),
            mirror=_role(("replicas",), replicas=_count()),
            sidecar=_role(
                ("replicas", "autoscaling", "ingress"),
                replicas=_count(1),
                autoscaling=_scaling("requestsPerSecond"),
                ingress=_closed(
                    ("enabled",), enabled=_FLAG, className=_TEXT, host=_TEXT, tlsSecretName=_TEXT, annotations=_MAP
                ),
            ),
            exporter=_role(("enabled",), enabled=_FLAG),
            pods=_closed(
                annotations=_MAP, nodeSelector=_MAP, tolerations=_OBJECTS, priorityClassName=_TEXT, zones=_FLAG
            ),
            networkPolicy=_closed(
                ("enabled", "kafka", "oauth", "tracing", "postgresql", "registry", "notifications"),
                enabled=_FLAG,
                kafka=_REACHED,
                oauth=_REACHED,
                tracing=_REACHED,
                postgresql=_REACHED,
                registry=_REACHED,
                notifications=_closed(("to", "ports"), to=_OBJECTS, ports={**_PORTS, "minItems": 1}),
                metricsFrom=_OBJECTS,
                sidecarFrom=_OBJECTS,
                egress=_OBJECTS,
                tasksEgress=_OBJECTS,
                sidecarEgress=_OBJECTS,
                historyEgress=_OBJECTS,
            ),
            monitoring=_closed(
                serviceMonitor=_closed(("enabled",), enabled=_FLAG, labels=_MAP, interval=_TEXT),
                rules=_closed(("enabled",), enabled=_FLAG, labels=_MAP, runbookBase=_URL),
                dashboards=_closed(("enabled",), enabled=_FLAG, labels=_MAP),
            ),
            autoscaling=_closed(prometheus=_URL),
        ),
        "$defs": shared,
    }


def _settings() -> tuple[dict[str, Any], dict[str, Any]]:
    document = Settings.model_json_schema()
    shared = document.pop("$defs")
    for section, fields in _OURS.items():
        properties = (shared[section] if section else document)["properties"]
        for field in fields:
            del properties[field]
    shared["Kafka"]["properties"]["bootstrap_servers"] = {
        "type": "string",
        "minLength": 1,
        "description": "host:port[,host:port]",
    }
    shared["Kafka"]["required"] = ["bootstrap_servers"]
    document["required"] = ["kafka"]
    # A process has no variables but those of the chart, so a secret is a file that `secrets` mounts.
    text = json.dumps([_without_notes(document), _without_notes(shared)])
    found: tuple[dict[str, Any], dict[str, Any]] = tuple(
        json.loads(text.replace(json.dumps(_REFERENCE), json.dumps(f"^file:{SECRETS}[a-z0-9.-]+$")))
    )
    return found


def _without_notes(part: Any) -> Any:
    """Without what tells an editor's form about a field, and without defaults, which belong to the processes. `part` is
    a schema or a map of schemas."""
    match part:
        case {"properties": properties, **rest}:
            return {
                **_without_notes(rest),
                "properties": {name: _without_notes(one) for name, one in properties.items()},
            }
        case dict():
            return {name: _without_notes(one) for name, one in part.items() if name not in ("title", "default")}
        case list():
            return [_without_notes(one) for one in part]
    return part


def text() -> str:
    """The file's content."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(text(), end="")
