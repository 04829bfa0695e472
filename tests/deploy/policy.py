"""What every object that the chart makes keeps to, as functions that give sentences about what does not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]

_WORKLOADS = ("Deployment", "StatefulSet", "Job")
_SECRET_NAME = re.compile(r"(?i)(password|secret|token|_key|apikey|credential)")
_REFERENCE = re.compile(r"^(file:/|env:)")


def faults(objects: list[Object]) -> list[str]:
    """Of all objects of one rendering."""
    found = []
    for one in objects:
        name = f"{one['kind']}/{one['metadata']['name']}"
        found += [f"{name}: {fault}" for fault in (*_of_object(one), *_of_pod(one))]
    return found + list(_together(objects))


def pod_of(one: Object) -> Object | None:
    """The specification of its pods; None: it has none."""
    if one["kind"] == "Pod":
        return dict(one["spec"])
    return dict(one["spec"]["template"]["spec"]) if one["kind"] in _WORKLOADS else None


def _of_object(one: Object) -> Iterator[str]:
    labels = one["metadata"].get("labels", {})
    for label in ("name", "instance", "version", "managed-by"):
        if f"app.kubernetes.io/{label}" not in labels:
            yield f"the label app.kubernetes.io/{label} is missing"
    if one["kind"] == "Secret":
        yield "the chart makes no secrets"
    if one["kind"] in ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"):
        yield "no process needs rights in the cluster"
    if len(one["metadata"]["name"]) > 63:
        yield "its name has more than 63 characters"


def _of_pod(one: Object) -> Iterator[str]:
    pod = pod_of(one)
    if pod is None:
        return
    context = pod.get("securityContext", {})
    if context.get("runAsNonRoot") is not True or context.get("runAsUser", 0) == 0:
        yield "it may run as root"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "it has no seccomp profile"
    if pod.get("automountServiceAccountToken") is not False:
        yield "it has a token for the cluster"
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield f"it has {field}"
    for volume in pod.get("volumes", ()):
        if "hostPath" in volume:
            yield f"the volume {volume['name']} is the host's"
        if "emptyDir" in volume and "sizeLimit" not in (volume["emptyDir"] or {}):
            yield f"the volume {volume['name']} has no limit"
    if one["kind"] in ("Deployment", "StatefulSet") and not pod.get("topologySpreadConstraints"):
        yield "its pods are not spread"
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        yield from (f"{container['name']}: {fault}" for fault in _of_container(container, one["kind"]))


def _of_container(container: Object, kind: str) -> Iterator[str]:
    context = container.get("securityContext", {})
    if context.get("readOnlyRootFilesystem") is not True:
        yield "its root file system may be written"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "it may gain privileges"
    if context.get("capabilities", {}).get("drop") != ["ALL"]:
        yield "it keeps capabilities"
    if context.get("privileged"):
        yield "it is privileged"
    image = container["image"]
    if not re.search(r"@sha256:[0-9a-f]{64}$|:[\w][\w.-]*$", image) or image.endswith(":latest"):
        yield f"the image {image} has no version"
    resources = container.get("resources", {})
    for field in ("requests.cpu", "requests.memory", "limits.memory"):
        part, _, what = field.partition(".")
        if not resources.get(part, {}).get(what) and not (kind == "Pod" and what == "cpu"):
            yield f"{field} is not set"
    names = [variable["name"] for variable in container.get("env", ())]
    for name in {name for name in names if names.count(name) > 1}:
        yield f"the variable {name} is there twice"
    for variable in container.get("env", ()):
        value = variable.get("value")
        if value and _SECRET_NAME.search(variable["name"]) and not _REFERENCE.match(value):
            yield f"the variable {variable['name']} holds a secret"
        if "secretKeyRef" in variable.get("valueFrom", {}):
            yield f"the variable {variable['name']} is a secret, which a process's listing shows; mount it"
    if kind in ("Deployment", "StatefulSet"):
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if probe not in container:
                yield f"it has no {probe}"


def _together(objects: list[Object]) -> Iterator[str]:
    keys = [(one["kind"], one["metadata"]["name"]) for one in objects]
    for key in {key for key in keys if keys.count(key) > 1}:
        yield f"{key[0]}/{key[1]} is there twice"
    pods = [
        (one["metadata"]["name"], one["spec"]["template"]["metadata"]["labels"])
        for one in objects
        if one["kind"] in ("Deployment", "StatefulSet")
    ]
    for one in objects:
        selector = _selector(one)
        if selector is not None and not any(selector.items() <= labels.items() for _, labels in pods):
            hook = one["metadata"].get("annotations", {}).get("helm.sh/hook") or one["metadata"]["name"].endswith(
                "-test"
            )
            if not hook:
                yield f"{one['kind']}/{one['metadata']['name']} selects no pods"
    names = {one["metadata"]["name"] for one in objects if one["kind"] in ("Deployment", "StatefulSet")}
    for one in objects:
        if one["kind"] == "ScaledObject" and one["spec"]["scaleTargetRef"]["name"] not in names:
            yield f"ScaledObject/{one['metadata']['name']} scales nothing"
    yield from _volumes(objects)


def _volumes(objects: list[Object]) -> Iterator[str]:
    maps = {one["metadata"]["name"] for one in objects if one["kind"] == "ConfigMap"}
    for one in objects:
        pod = pod_of(one)
        if pod is None:
            continue
        name = f"{one['kind']}/{one['metadata']['name']}"
        given = {volume["name"] for volume in pod.get("volumes", ())}
        given |= {claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", ())}
        wanted = {mount["name"] for container in pod["containers"] for mount in container.get("volumeMounts", ())}
        for volume in wanted ^ given:
            yield f"{name}: the volume {volume} is mounted and not there, or there and not mounted"
        for volume in pod.get("volumes", ()):
            if volume.get("configMap", {}).get("name", next(iter(maps), "")) not in maps:
                yield f"{name}: there is no ConfigMap {volume['configMap']['name']}"


def _selector(one: Object) -> dict[str, str] | None:
    match one["kind"]:
        case "Service":
            return dict(one["spec"]["selector"])
        case "PodDisruptionBudget":
            return dict(one["spec"]["selector"]["matchLabels"])
        case "NetworkPolicy":
            return dict(one["spec"]["podSelector"]["matchLabels"])
    return None
