"""deploy/gitops: what Argo CD and Flux are given is read strictly, names files that are there, and its values fit the
chart. The order in which roles are updated is the chart's.

The models below have the fields of the API that the files use, and no others: a mistyped field is an error."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML

from streamflow.settings import Settings
from tests.deploy import chart, policy
from tests.deploy.test_chart import OBJECTS, needs, of_kind, settings_of
from tests.deploy.test_values import fault, merged
from tests.deploy.tools import helm

FOLDER = chart.ROOT / "deploy/gitops"
ENVIRONMENTS = ("prod", "test")
EACH = pytest.mark.parametrize("environment", ENVIRONMENTS)
SECRET_FILE = re.compile(r"file:/run/secrets/streamflow/([\w.-]+)")
WAVE = "argocd.argoproj.io/sync-wave"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Metadata(Strict):
    name: str
    namespace: str | None = None


class Place(Strict):
    server: Literal["https://kubernetes.default.svc"]
    namespace: str


class Helm(Strict):
    release_name: str = Field(alias="releaseName")
    value_files: list[str] = Field(alias="valueFiles", min_length=1)


class Source(Strict):
    repo: str = Field(alias="repoURL", pattern=r"^https://\S+\.git$")
    revision: str = Field(alias="targetRevision", min_length=1)
    path: str | None = None
    ref: str | None = None
    helm: Helm | None = None


class Automated(Strict):
    prune: bool
    self_heal: bool = Field(alias="selfHeal")


class Labels(Strict):
    labels: dict[str, str]


class Backoff(Strict):
    duration: str = Field(pattern=r"^\d+[smh]$")
    factor: int
    max_duration: str = Field(alias="maxDuration", pattern=r"^\d+[smh]$")


class Retry(Strict):
    limit: int
    backoff: Backoff


class SyncPolicy(Strict):
    automated: Automated
    namespace: Labels = Field(alias="managedNamespaceMetadata")
    options: list[Literal["CreateNamespace=true", "ServerSideApply=true"]] = Field(alias="syncOptions")
    retry: Retry


class ApplicationSpec(Strict):
    project: str
    destination: Place
    sources: list[Source]
    sync: SyncPolicy = Field(alias="syncPolicy")
    history: int = Field(alias="revisionHistoryLimit")


class Application(Strict):
    version: Literal["argoproj.io/v1alpha1"] = Field(alias="apiVersion")
    kind: Literal["Application"]
    metadata: Metadata
    spec: ApplicationSpec


class GroupKind(Strict):
    group: str
    kind: str


class ProjectSpec(Strict):
    description: str
    repos: list[str] = Field(alias="sourceRepos")
    destinations: list[Place]
    cluster: list[GroupKind] = Field(alias="clusterResourceWhitelist")
    refused: list[GroupKind] = Field(alias="namespaceResourceBlacklist")


class Project(Strict):
    version: Literal["argoproj.io/v1alpha1"] = Field(alias="apiVersion")
    kind: Literal["AppProject"]
    metadata: Metadata
    spec: ProjectSpec


class Layer(Strict):
    media_type: Literal["application/vnd.cncf.helm.chart.content.v1.tar+gzip"] = Field(alias="mediaType")
    operation: Literal["copy"]


class Reference(Strict):
    tag: str | None = None
    semver: str | None = None


class RepositorySpec(Strict):
    interval: str = Field(pattern=r"^\d+[smh]$")
    url: str = Field(pattern=r"^oci://\S+$")
    ref: Reference
    layer: Layer = Field(alias="layerSelector")


class Repository(Strict):
    version: Literal["source.toolkit.fluxcd.io/v1"] = Field(alias="apiVersion")
    kind: Literal["OCIRepository"]
    metadata: Metadata
    spec: RepositorySpec


class ChartReference(Strict):
    kind: Literal["OCIRepository"]
    name: str


class ValuesFrom(Strict):
    kind: Literal["ConfigMap"]
    name: str
    key: str = Field(alias="valuesKey")


class Remediation(Strict):
    retries: int
    last: bool = Field(default=False, alias="remediateLastFailure")
    strategy: Literal["rollback", "uninstall"] = "rollback"


class Remedied(Strict):
    remediation: Remediation


class Enabled(Strict):
    enable: bool


class Mode(Strict):
    mode: Literal["enabled", "warn", "disabled"]


class ReleaseSpec(Strict):
    interval: str = Field(pattern=r"^\d+[smh]$")
    timeout: str = Field(pattern=r"^\d+[smh]$")
    release_name: str = Field(alias="releaseName")
    chart: ChartReference = Field(alias="chartRef")
    values: list[ValuesFrom] = Field(alias="valuesFrom")
    install: Remedied
    upgrade: Remedied
    test: Enabled
    drift: Mode = Field(alias="driftDetection")


class Release(Strict):
    version: Literal["helm.toolkit.fluxcd.io/v2"] = Field(alias="apiVersion")
    kind: Literal["HelmRelease"]
    metadata: Metadata
    spec: ReleaseSpec


def application(environment: str) -> Application:
    return Application.model_validate(YAML(typ="safe").load(FOLDER / environment / "argocd.yaml"))


def flux(environment: str) -> tuple[Repository, Release]:
    repository, release = chart.objects(FOLDER / environment / "flux.yaml")
    return Repository.model_validate(repository), Release.model_validate(release)


def values(environment: str) -> dict[str, Any]:
    return dict(YAML(typ="safe").load(FOLDER / environment / "values.yaml"))


PROJECT = Project.model_validate(YAML(typ="safe").load(FOLDER / "project.yaml"))


# -- Argo CD


@EACH
def test_an_application_installs_the_chart_with_the_values_of_its_environment(environment: str) -> None:
    found = application(environment)
    charts, values_ = found.spec.sources
    assert (charts.path, values_.ref, values_.path) == ("deploy/helm/streamflow", "values", None)
    assert (chart.ROOT / str(charts.path) / "Chart.yaml").is_file()
    assert charts.helm is not None
    assert charts.helm.value_files == [f"$values/deploy/gitops/{environment}/values.yaml"]
    assert (chart.ROOT / charts.helm.value_files[0].removeprefix("$values/")).is_file()
    assert found.spec.destination.namespace == f"streamflow-{environment}"


@EACH
def test_the_project_lets_an_application_do_what_it_does(environment: str) -> None:
    found = application(environment)
    assert found.spec.project == PROJECT.metadata.name
    assert {source.repo for source in found.spec.sources} <= set(PROJECT.spec.repos)
    assert found.spec.destination in PROJECT.spec.destinations
    refused = {one.kind for one in PROJECT.spec.refused}
    assert {one["kind"] for objects in OBJECTS.values() for one in objects}.isdisjoint(refused)


def test_production_has_the_chart_of_a_release() -> None:
    version = YAML(typ="safe").load(chart.CHART / "Chart.yaml")["version"]
    assert application("prod").spec.sources[0].revision == f"v{version}"
    assert flux("prod")[0].spec.ref == Reference(tag=version)


@pytest.mark.parametrize("planted", ["syncpolicy", "sourcess"])
def test_a_mistyped_field_is_seen(planted: str) -> None:
    document = YAML(typ="safe").load(FOLDER / "test/argocd.yaml")
    document["spec"][planted] = {}
    with pytest.raises(ValidationError, match=planted):
        Application.model_validate(document)


# -- Flux


@EACH
def test_a_release_of_flux_has_the_values_that_kustomize_makes_a_config_map_of(environment: str) -> None:
    repository, release = flux(environment)
    assert release.spec.chart.name == repository.metadata.name
    (made,) = YAML(typ="safe").load(FOLDER / environment / "kustomization.yaml")["configMapGenerator"]
    assert made == {"name": release.spec.values[0].name, "files": [release.spec.values[0].key]}


@EACH
def test_kustomize_makes_it(environment: str) -> None:
    if (kubectl := shutil.which("kubectl")) is None:
        pytest.skip("kubectl, which has kustomize, is not installed")
    folder = FOLDER / environment
    done = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    made = {one["kind"]: one for one in YAML(typ="safe").load_all(done.stdout)}
    assert made.keys() == {"ConfigMap", "OCIRepository", "HelmRelease"}
    assert {one["metadata"]["namespace"] for one in made.values()} == {f"streamflow-{environment}"}
    assert made["ConfigMap"]["data"] == {"values.yaml": (folder / "values.yaml").read_text()}


# -- values


@EACH
def test_values_fit_the_chart(environment: str) -> None:
    assert fault(merged(values(environment))) == ""


@EACH
def test_processes_read_the_settings(environment: str) -> None:
    assert Settings.model_validate(values(environment)["settings"]).environment == environment


@EACH
def test_secrets_are_references_to_what_exists_before(environment: str) -> None:
    found = values(environment)
    text = json.dumps(found["settings"])
    assert set(SECRET_FILE.findall(text)) | {"kafka-ca"} == set(found["secrets"])
    for name, value in re.findall(r'"(\w*(?:password|token|secret|signing_key))": "([^"]*)"', text):
        assert value.startswith("file:/run/secrets/streamflow/"), name
    page = (chart.ROOT / "docs/deploy.md").read_text()
    for one in found["secrets"].values():
        assert f"`{one['secretName']}`" in page


def test_environments_share_nothing() -> None:
    test, prod = (values(one)["settings"] for one in ("test", "prod"))
    for place in (("environment",), ("topics", "prefix"), ("kafka", "sasl_username"), ("kafka", "bootstrap_servers")):
        left: Any = test
        right: Any = prod
        for name in place:
            left, right = left[name], right[name]
        assert left != right, place


@EACH
def test_the_chart_renders_with_them(environment: str, tmp_path: Path) -> None:
    needs(helm)
    done = chart.template("--values", str(FOLDER / environment / "values.yaml"))
    assert done.returncode == 0, done.stderr
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(done.stdout)
    objects = chart.objects(rendered)
    assert policy.faults(objects) == []
    assert settings_of(objects).environment == environment


# -- the order


@pytest.mark.parametrize("name", OBJECTS)
def test_argo_cd_updates_roles_in_their_order(name: str) -> None:
    """The topics in a hook before, then what pods need, the engine, its inputs and outputs, then who looks on; KEDA
    when what it scales is there: Argo CD waits for each, and a ScaledObject without its Deployment is never healthy."""
    objects = OBJECTS[name]
    waves: dict[str, set[int]] = {}
    for one in objects:
        annotations = one["metadata"].get("annotations", {})
        labels = one["metadata"].get("labels", {})
        workload = one["kind"] in ("Deployment", "StatefulSet")
        role = labels["app.kubernetes.io/component"].partition("-")[0] if workload else one["kind"]
        if "helm.sh/hook" not in annotations:
            waves.setdefault(role, set()).add(int(annotations.get(WAVE, "0")))
    workloads = {"engine": 1, "ingress": 2, "tasks": 2, "history": 2, "mirror": 2, "sidecar": 3, "exporter": 3}
    workloads["ScaledObject"] = 4
    assert waves == {role: {workloads.get(role, 0)} for role in waves}
    assert waves.keys() >= {"engine", "ingress", "tasks", "sidecar"}
    jobs = of_kind(objects, "Job").values()
    assert all("pre-upgrade" in one["metadata"]["annotations"]["helm.sh/hook"] for one in jobs)
