"""The network policies: each pod reaches the addresses that its settings name, and no pod reaches more than its role
needs."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from streamflow.settings import Settings
from tests.deploy import chart, reach, tools
from tests.deploy.test_chart import OBJECTS, Objects, needs, of_kind, settings_of
from tests.deploy.test_values import EXAMPLES

WITH_POLICIES = [name for name, objects in OBJECTS.items() if of_kind(objects, "NetworkPolicy")]
POLICIES = pytest.mark.parametrize("name", WITH_POLICIES)
ADDRESS = re.compile(r"(^|_)(url|servers|endpoint|issuer|postgresql|redis|listen|archive|address)$")


@POLICIES
def test_pods_reach_what_their_settings_name(name: str) -> None:
    objects = OBJECTS[name]
    assert reach.unreachable(objects, reach.addresses(settings_of(objects))) == []


def test_the_values_with_all_addresses_have_them_all() -> None:
    found = {address.setting for address in reach.addresses(settings_of(OBJECTS["connected"]))}
    assert found == reach.REACHED.keys() - {"approvals.environments.kafka.oauth_token_url"}  # as that of its own Kafka
    assert {role for role, _, _ in reach.pods(OBJECTS["connected"])} == set(reach.ALL)


def test_no_address_of_the_settings_is_forgotten() -> None:
    schema = Settings.model_json_schema()
    assert set(fields(schema, schema["$defs"], "")) == reach.REACHED.keys() | reach.INCOMING


def fields(part: dict[str, Any], shared: dict[str, Any], path: str) -> Iterator[str]:
    """Paths of settings whose names are those of addresses, without names that a person chose."""
    reference = part.get("$ref")
    if reference is not None:
        yield from fields(shared[reference.rpartition("/")[2]], shared, path)
    chosen = (part.get("additionalProperties"), *part.get("patternProperties", {}).values())
    for one in (*part.get("anyOf", ()), *chosen):
        if isinstance(one, dict):
            yield from fields(one, shared, path)
    for name, field in part.get("properties", {}).items():
        inner = f"{path}.{name}" if path else name
        if ADDRESS.search(name):
            yield inner
        yield from fields(field, shared, inner)


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name.startswith("page-")])
def test_an_example_of_the_page_reaches_its_kafka(name: str, tmp_path: Path) -> None:
    needs(tools.helm)
    values = tmp_path / "values.yaml"
    with values.open("w") as output:
        YAML(typ="safe").dump(EXAMPLES[name], output)
    objects = rendered(tmp_path, "--values", str(values))
    assert reach.unreachable(objects, reach.addresses(settings_of(objects))) == []


@pytest.mark.parametrize("environment", ["prod", "test"])
def test_an_environment_reaches_what_its_settings_name(environment: str, tmp_path: Path) -> None:
    needs(tools.helm)
    objects = rendered(tmp_path, "--values", str(chart.ROOT / f"deploy/gitops/{environment}/values.yaml"))
    assert reach.unreachable(objects, reach.addresses(settings_of(objects))) == []


GIVEN = {
    "kafka.ports={9095}": ("engine", [9095]),
    "tracing.ports={4317}": ("engine", [4317]),
    "oauth.ports={8443}": ("engine", [8443]),
    "postgresql.ports={6432}": ("history", [6432]),
    "registry.ports={8081}": ("ingress", [8081]),
    "notifications.ports={25}": ("tasks-default", [25]),
    "egress[0].ports[0].port=7001": ("exporter", [7001]),
    "historyEgress[0].ports[0].port=7002": ("history", [7002]),
    "sidecarEgress[0].ports[0].port=7003": ("sidecar", [7003]),
    "tasksEgress[0].ports[0].port=7004": ("tasks-default", [7004]),
}


@pytest.mark.parametrize("change", GIVEN)
def test_what_is_given_goes_before_the_settings(change: str, tmp_path: Path) -> None:
    needs(tools.helm)
    component, ports = GIVEN[change]
    connected = str(chart.VALUES[0].with_name("connected.yaml"))
    objects = rendered(tmp_path, "--values", connected, "--set", f"networkPolicy.{change}")
    rules = [rule for one in of_component(objects, component) for rule in one["spec"]["egress"]]
    assert ports in [[one["port"] for one in rule["ports"]] for rule in rules if "ports" in rule]


def test_history_in_a_file_is_sent_from_the_pod_of_the_sidecar(tmp_path: Path) -> None:
    needs(tools.helm)
    connected = str(chart.VALUES[0].with_name("connected.yaml"))
    changes = ("settings.history.postgresql=null", "sidecar.replicas=1")
    objects = rendered(tmp_path, "--values", connected, *(word for one in changes for word in ("--set", one)))
    assert reach.unreachable(objects, reach.addresses(settings_of(objects))) == []


def test_a_port_that_no_policy_allows_is_seen() -> None:
    objects = copy.deepcopy(OBJECTS["connected"])
    base = of_kind(objects, "NetworkPolicy")["flow-streamflow"]["spec"]
    base["egress"] = [rule for rule in base["egress"] if rule["ports"][0]["port"] != 14318]
    found = reach.unreachable(objects, reach.addresses(settings_of(objects)))
    assert "engine does not reach tracing.endpoint at port 14318" in found
    assert all("tracing.endpoint" in one for one in found)


@POLICIES
def test_the_pod_of_helm_test_reaches_the_sidecar(name: str) -> None:
    """Also where `sidecarFrom` names others: Flux goes back to the release before if the test fails."""
    objects = OBJECTS[name]
    (labels,) = [one["metadata"]["labels"] for one in objects if one["kind"] == "Pod"]
    (rule,) = of_kind(objects, "NetworkPolicy")["flow-streamflow-sidecar"]["spec"]["ingress"]
    peers = rule.get("from", [{"podSelector": {}}])
    assert any("podSelector" in peer and reach.selects(peer["podSelector"], labels) for peer in peers)
    rules = [
        rule
        for one in of_kind(objects, "NetworkPolicy").values()
        if reach.selects(one["spec"]["podSelector"], labels)
        for rule in one["spec"]["egress"]
    ]
    assert rule["ports"] in [one["ports"] for one in rules]


def test_only_what_asks_the_registry_may_reach_it() -> None:
    policies = of_kind(OBJECTS["production"], "NetworkPolicy")
    spec = policies["flow-streamflow-registry"]["spec"]
    (rule,) = spec["egress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 8443}]
    (chosen,) = spec["podSelector"]["matchExpressions"]
    components = set(chosen["values"])
    workloads = of_kind(OBJECTS["production"], "Deployment") | of_kind(OBJECTS["production"], "StatefulSet")
    having = {
        one["metadata"]["labels"]["app.kubernetes.io/component"]
        for one in workloads.values()
        if "registry-password" in str(one["spec"]["template"]["spec"]["volumes"])
    }
    assert components == having
    assert "flow-streamflow-registry" not in of_kind(OBJECTS["minimal"], "NetworkPolicy")


def test_without_further_settings_a_pod_reaches_kafka_alone() -> None:
    for component in ("engine", "ingress", "sidecar", "exporter"):
        rules = [rule for one in of_component(OBJECTS["minimal"], component) for rule in one["spec"]["egress"]]
        assert {one["port"] for rule in rules for one in rule["ports"]} == {53, 9092}


def rendered(folder: Path, *arguments: str) -> Objects:
    """The objects of the chart with these arguments."""
    done = chart.template(*arguments)
    assert done.returncode == 0, done.stderr
    file = folder / "rendered.yaml"
    file.write_text(done.stdout)
    return chart.objects(file)


def of_component(objects: Objects, component: str) -> Objects:
    """The policies of the pods of a component."""
    labels = next(labels for _, found, labels in reach.pods(objects) if found == component)
    return [
        one for one in of_kind(objects, "NetworkPolicy").values() if reach.selects(one["spec"]["podSelector"], labels)
    ]
