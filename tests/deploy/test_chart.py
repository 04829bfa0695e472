"""The chart, as it renders for each file of values: what it makes keeps to the policy, its settings are those that
processes read, and the committed renderings are what helm makes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from streamflow.settings import Settings
from tests.conftest import TEST_ALL
from tests.deploy import chart, policy, tools
from tests.deploy.values_schema import text as schema_text
from tests.servers.process import ServerMissing

OBJECTS = {values.stem: chart.objects(chart.rendered_file(values)) for values in chart.VALUES}
EACH = pytest.mark.parametrize("objects", [pytest.param(objects, id=name) for name, objects in OBJECTS.items()])
MAKE = "Run: make manifests."

Objects = list[dict[str, Any]]


def of_kind(objects: Objects, kind: str) -> dict[str, dict[str, Any]]:
    """By name."""
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}


def settings_of(objects: Objects) -> Settings:
    """As a process reads them."""
    file = of_kind(objects, "ConfigMap")["flow-streamflow"]["data"]["streamflow.yaml"]
    return Settings.model_validate(YAML(typ="safe").load(file))


def needs(tool: Callable[..., Path]) -> str:
    """The path of a program that `make test-full` builds; elsewhere the test is skipped where it is not built yet."""
    try:
        return str(tool(build=TEST_ALL))
    except ServerMissing as missing:
        if TEST_ALL:
            raise
        pytest.skip(str(missing))


# -- what is committed is what the chart makes


def test_the_schema_of_values_has_the_settings_of_the_processes() -> None:
    assert chart.SCHEMA.read_text() == schema_text(), "Run: make docs."


def test_the_renderings_are_of_this_chart() -> None:
    assert chart.SUM.read_text().strip() == chart.digest(), MAKE


@pytest.mark.parametrize("values", chart.VALUES, ids=lambda values: values.stem)
def test_helm_renders_the_same(values: Path) -> None:
    needs(tools.helm)
    done = chart.template("--values", str(values))
    assert done.returncode == 0, done.stderr
    assert done.stdout == chart.rendered_file(values).read_text(), MAKE


@pytest.mark.parametrize("values", chart.VALUES, ids=lambda values: values.stem)
def test_helm_finds_nothing_to_say(values: Path) -> None:
    needs(tools.helm)
    done = chart.helm("lint", "--strict", "--kube-version", tools.KUBERNETES, "--values", str(values), str(chart.CHART))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout + done.stderr


# -- policy


@EACH
def test_it_keeps_to_the_policy(objects: Objects) -> None:
    assert policy.faults(objects) == []


def pod(objects: Objects) -> dict[str, Any]:
    found: dict[str, Any] = of_kind(objects, "Deployment")["flow-streamflow-ingress"]["spec"]["template"]["spec"]
    return found


def container(objects: Objects) -> dict[str, Any]:
    found: dict[str, Any] = pod(objects)["containers"][0]
    return found


PLANTED: dict[str, Callable[[Objects], Any]] = {
    "may run as root": lambda all_: pod(all_)["securityContext"].pop("runAsNonRoot"),
    "root file system": lambda all_: container(all_)["securityContext"].update(readOnlyRootFilesystem=False),
    "keeps capabilities": lambda all_: container(all_)["securityContext"].pop("capabilities"),
    "has no version": lambda all_: container(all_).update(image="streamflow:latest"),
    "limits.memory is not set": lambda all_: container(all_)["resources"].pop("limits"),
    "holds a secret": lambda all_: container(all_)["env"].append({"name": "A_PASSWORD", "value": "x"}),
    "there twice": lambda all_: container(all_)["env"].append({"name": "HOME", "value": "/"}),
    "no livenessProbe": lambda all_: container(all_).pop("livenessProbe"),
    "the host's": lambda all_: pod(all_)["volumes"].append({"name": "h", "hostPath": {"path": "/"}}),
    "not there, or there": lambda all_: pod(all_)["volumes"].pop(),
    "no secrets": lambda all_: all_.append({"kind": "Secret", "metadata": {"name": "s", "labels": {}}}),
    "selects no pods": lambda all_: all_.append(
        {"kind": "Service", "metadata": {"name": "s"}, "spec": {"selector": {"a": "b"}}}
    ),
}


@pytest.mark.parametrize("said", PLANTED)
def test_the_policy_sees(said: str) -> None:
    objects = copy.deepcopy(OBJECTS["minimal"])
    PLANTED[said](objects)
    assert said in " ".join(policy.faults(objects))


# -- settings and secrets


@EACH
def test_processes_read_its_settings(objects: Objects) -> None:
    settings = settings_of(objects)
    assert settings.metrics.listen == "0.0.0.0:9464"
    assert "flow-streamflow-sidecar" in settings.sidecar.hosts


@EACH
def test_a_lane_has_workers(objects: Objects) -> None:
    workers = {name for name in of_kind(objects, "Deployment") if "-tasks-" in name}
    assert workers == {f"flow-streamflow-tasks-{lane}" for lane in settings_of(objects).tasks.lanes}


def test_a_process_has_the_secrets_of_its_role_alone() -> None:
    workloads = of_kind(OBJECTS["production"], "Deployment") | of_kind(OBJECTS["production"], "StatefulSet")

    def files(name: str) -> set[str]:
        sources = [
            source
            for volume in workloads[name]["spec"]["template"]["spec"]["volumes"]
            for source in volume.get("projected", {}).get("sources", ())
        ]
        return {item["path"] for source in sources for item in source["secret"]["items"]}

    kafka = {"kafka-password", "kafka-ca"}
    assert files("flow-streamflow-engine") == kafka
    assert files("flow-streamflow-tasks-llm") == {*kafka, "callback-key"}
    assert files("flow-streamflow-history") == {*kafka, "history-password"}
    assert "signing-key" in files("flow-streamflow-sidecar")


# -- the engine


@EACH
def test_an_engine_worker_keeps_its_name_and_disk(objects: Objects) -> None:
    engine = of_kind(objects, "StatefulSet")["flow-streamflow-engine"]["spec"]
    variables = {one["name"]: one for one in engine["template"]["spec"]["containers"][0]["env"]}
    assert variables["STREAMFLOW_ENGINE__INSTANCE_ID"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    assert engine["volumeClaimTemplates"][0]["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert settings_of(objects).state_dir.is_relative_to("/var/lib/streamflow")


@EACH
def test_a_restarted_engine_pod_keeps_its_partitions(objects: Objects) -> None:
    """A member of the group is gone after the session timeout; a pod needs more than Kafka's usual 10 s to be back."""
    timeout_s = settings_of(objects).engine.session_timeout_s
    pod = of_kind(objects, "StatefulSet")["flow-streamflow-engine"]["spec"]["template"]["spec"]
    assert timeout_s == 45
    assert pod["terminationGracePeriodSeconds"] >= timeout_s  # its last checkpoints may take half of it


# -- probes


@EACH
def test_a_slow_disk_restarts_no_worker(objects: Objects) -> None:
    """/live is answered without the metrics, which wait for the store. The sidecar has no store."""
    for one in (*of_kind(objects, "Deployment").values(), *of_kind(objects, "StatefulSet").values()):
        for container in one["spec"]["template"]["spec"]["containers"]:
            if container["name"] != "sidecar":
                for probe in ("startupProbe", "livenessProbe"):
                    assert container[probe]["httpGet"] == {"path": "/live", "port": "metrics"}
                probe = container["livenessProbe"]
                assert (probe["timeoutSeconds"], probe["failureThreshold"]) == (10, 6)


# -- history


def test_history_in_a_file_shares_a_pod_with_the_sidecar() -> None:
    history = of_kind(OBJECTS["minimal"], "StatefulSet")["flow-streamflow-history"]["spec"]
    assert history["replicas"] == 1
    assert [one["name"] for one in history["template"]["spec"]["containers"]] == ["history", "sidecar"]
    assert "flow-streamflow-sidecar" not in of_kind(OBJECTS["minimal"], "Deployment")


def test_history_in_postgresql_is_a_deployment() -> None:
    deployments = of_kind(OBJECTS["production"], "Deployment")
    assert deployments["flow-streamflow-history"]["spec"]["replicas"] == 2
    assert "flow-streamflow-sidecar" in deployments


# -- the mirror


def test_a_mirror_is_there_when_topics_are_mirrored() -> None:
    assert "flow-streamflow-mirror" in of_kind(OBJECTS["production"], "Deployment")
    assert "flow-streamflow-mirror" in of_kind(OBJECTS["production"], "PodDisruptionBudget")
    assert "flow-streamflow-mirror" not in of_kind(OBJECTS["minimal"], "Deployment")


# -- what is refused


REFUSED = {
    "bootstrap_servers": ("settings.kafka.bootstrap_servers=null",),
    "/image/tag": ("image.tag=latest",),
    "would have none": ("engine.replicas=61", "topics.added=48"),
    "there are 12 partitions": ("engine.replicas=13",),
    "must be 1": ("sidecar.replicas=2",),
    "no worker serves it": ("settings.tasks.lanes.llm.in_flight=3", "settings.tasks.lanes.default.in_flight=3"),
    "is no lane": ("settings.tasks.lanes.llm.in_flight=3",),
    "Raise it": ("lanes.default.terminationGraceSeconds=20",),
    "is not in secrets": ("settings.sidecar.token=file:/run/secrets/streamflow/token",),
    "pattern": ("settings.sidecar.token=env:TOKEN",),
    "autoscaling.prometheus": ("ingress.autoscaling.enabled=true",),
    "so there is one sidecar": (
        "sidecar.autoscaling.enabled=true",
        "autoscaling.prometheus=http://prometheus:9090",
    ),
    "asks Prometheus for the rate": (
        "sidecar.autoscaling.enabled=true",
        "settings.history.postgresql=postgresql://history/streamflow",
    ),
    "needs settings.registry.url": ("settings.mirror.topics={runs}",),
    "sidecar.ingress.host": ("sidecar.ingress.enabled=true",),
    "engin": ("engin.replicas=2",),
    "state_dir": ("settings.state_dir=/elsewhere",),
    "partition_count": ("settings.topics.partition_count=3",),
    "digest": ("image.digest=sha256:0123",),
}


@pytest.mark.parametrize("said", REFUSED)
def test_wrong_values_are_refused(said: str) -> None:
    needs(tools.helm)
    changes = [word for change in REFUSED[said] for word in ("--set", change)]
    done = chart.template("--values", str(chart.VALUES[0].with_name("minimal.yaml")), *changes)
    assert done.returncode != 0
    assert said in done.stderr


def test_partitions_that_were_added_have_workers_too() -> None:
    """`streamflow topics grow` adds some beside those of the settings, which stay as they are."""
    needs(tools.helm)
    changes = ("--set", "engine.replicas=60", "--set", "topics.added=48")
    done = chart.template("--values", str(chart.VALUES[0].with_name("minimal.yaml")), *changes)
    assert done.returncode == 0, done.stderr


# -- strict validation


def test_every_object_is_of_its_own_type() -> None:
    checker = needs(tools.check)
    done = tools.run(checker, "manifests", *(str(chart.rendered_file(values)) for values in chart.VALUES))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("objects") == len(chart.VALUES)


@pytest.mark.parametrize(
    ("kind", "planted"),
    [
        ("Deployment", {"replica": 2}),
        ("StatefulSet", {"serviceName": 3}),
        ("ServiceMonitor", {"endpoint": []}),
        ("PrometheusRule", {"groups": {}}),
        ("ScaledObject", {"maxReplicas": 3}),
        ("NetworkPolicy", {"policyTypes": "Ingress"}),
        ("PodDisruptionBudget", {"maxUnavailabl": 1}),
    ],
)
def test_a_planted_field_is_seen(kind: str, planted: dict[str, Any], tmp_path: Path) -> None:
    checker = needs(tools.check)
    one = next(one for one in OBJECTS["production"] if one["kind"] == kind)
    one = copy.deepcopy(one)
    one["spec"] |= planted
    file = tmp_path / "planted.yaml"
    with file.open("w") as output:
        YAML(typ="safe").dump(one, output)
    done = tools.run(checker, "manifests", str(file))
    assert done.returncode == 1
    assert next(iter(planted)) in done.stderr


@EACH
def test_every_object_fits_the_schemas_of_kubernetes(objects: Objects) -> None:
    """They know what is required and which values there are, which types of Go do not say."""
    folder = Path(needs(tools.kubernetes_schemas))
    found = {f"{one['kind']}/{one['metadata']['name']}": tools.schema_fault(folder, one) for one in objects}
    assert {name: fault for name, fault in found.items() if fault} == {}
    without = {name.partition("/")[0] for name, fault in found.items() if fault is None}
    assert without <= {"ServiceMonitor", "PrometheusRule", "ScaledObject"}


def test_the_schemas_see_what_is_missing() -> None:
    folder = Path(needs(tools.kubernetes_schemas))
    engine = copy.deepcopy(of_kind(OBJECTS["minimal"], "StatefulSet")["flow-streamflow-engine"])
    del engine["spec"]["selector"]
    assert "selector" in (tools.schema_fault(folder, engine) or "")
