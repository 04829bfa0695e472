"""Two environments that run the same content on the same events: nothing that leaves one of them bears a name of the
other (law effects-outside)."""

from __future__ import annotations

import pytest

from streamflow.definition.catalog import Catalog
from streamflow.definition.content import canonical, sha256_of
from streamflow.definition.model import Definition
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.engine.builder import Limits
from streamflow.ids import environment_of, run_id
from streamflow.kafka.connection import aiokafka_config, client_name, confluent_config
from streamflow.kafka.revisions import client_id
from streamflow.kafka.worker_registry import client_role
from streamflow.operations.contract import Attempt
from streamflow.operations.kafka import record
from streamflow.settings import Kafka, Settings
from streamflow.simulation.driver import Simulation
from streamflow.simulation.log import RUNS, Stored

DEFINITION = """
name: invoice
version: "1"
on: [{id: received, event: invoice.received}]
steps:
  - {id: pay, call: {operation: bank.pay, with: [{name: cents, expr: trigger.cents}]}}
  - {id: tell, needs: [pay], emit: {event: invoice.paid, data: [{name: cents, expr: trigger.cents}]}}
"""
CATALOG = """
events:
  - {name: invoice.received, topics: [invoices], schema: {type: object, properties: {cents: {type: integer}}, required: [cents]}}
  - {name: invoice.paid, topics: [invoices]}
operations: [{name: bank.pay}]
"""  # noqa: E501


async def _no_secret(_reference: str) -> str:
    return ""


def read() -> tuple[Definition, Catalog]:
    return parse_definition(DEFINITION), parse_catalog(CATALOG)


def names_of(environment: str) -> dict[str, set[str]]:
    """What an environment shows to the outside when it runs the same definition on the same event."""
    keys: set[str] = set()

    def pay(_input: object, task: object) -> object:
        keys.add(task.idempotency_key)  # type: ignore[attr-defined]
        return {}

    simulation = Simulation(operations={"bank.pay": pay}, limits=Limits(environment=environment))
    simulation.publish(*read())
    simulation.send("invoice.received", {"cents": 5}, key="I-1", id="e1")
    simulation.run_until_quiet()

    def headers(records: list[Stored], name: str) -> set[str]:
        return {dict(one.headers)[name].decode() for one in records if name in dict(one.headers)}

    emitted = [one for one in simulation.published_events("invoices") if dict(one.headers).get("ce_streamflowrun")]
    runs = simulation.log.topics[RUNS].records()
    assert emitted
    assert runs
    return {
        "runs": set(simulation.runs()),
        "idempotency keys": keys,
        "ids of transitions": headers(runs, "ce_id"),
        "sources of transitions": headers(runs, "ce_source"),
        "ids of events": headers(emitted, "ce_id"),
        "sources of events": headers(emitted, "ce_source"),
    }


def test_the_same_content_on_the_same_event_leaves_no_name_in_common() -> None:
    test, prod = names_of("test"), names_of("prod")
    assert {kind: test[kind] & prod[kind] for kind in test} == {kind: set() for kind in test}
    assert test["sources of events"] == {"/streamflow/test/definitions/invoice"}
    assert all(test[kind] for kind in test)


def test_the_content_and_its_hash_are_the_same_everywhere() -> None:
    definition, catalog = read()
    moved = catalog.model_copy(
        update={"events": [one.model_copy(update={"topics": ["prod.invoices"]}) for one in catalog.events]}
    )
    assert sha256_of(canonical(definition, moved)) == sha256_of(canonical(definition, catalog))


def test_client_ids_name_the_environment() -> None:
    test, prod = (Settings(environment=name, kafka=Kafka(bootstrap_servers="k:1")) for name in ("test", "prod"))
    for settings, name in ((test, "test"), (prod, "prod")):
        assert client_name(settings, client_role("default", "w1")) == f"streamflow-{name}-tasks-default-w1"
        assert confluent_config(settings, "x")["client.id"] == f"streamflow-{name}-x"
        assert aiokafka_config(settings, "x")["client_id"] == f"streamflow-{name}-x"
        assert client_id(settings, ["4", "3"]).startswith(f"streamflow-{name}-engine;3;4;")


def test_a_record_of_the_operation_kafka_emit_names_the_environment() -> None:
    run = run_id("prod", "invoice", "I-1", "place")
    attempt = Attempt(
        id=f"{run}/s/1",
        idempotency_key=f"{run}/s",
        run=run,
        definition="invoice",
        version="1",
        key="I-1",
        step="s",
        attempt=1,
        item=None,
        timeout_s=10.0,
        trace=None,
        callback_url=lambda _for_s: "",
        secret=_no_secret,
        connection=lambda _name: None,
    )
    assert dict(record({"json": {}}, attempt)[1])["ce_source"] == b"/streamflow/prod/definitions/invoice"


@pytest.mark.parametrize("name", ["main", "t", "prod2"])
def test_a_run_says_its_environment(name: str) -> None:
    assert environment_of(run_id(name, "d", "key-with-dashes", "place")) == name


@pytest.mark.parametrize("run", ["", "run", "0000002a"])
def test_what_is_no_run_id_has_no_environment(run: str) -> None:
    assert environment_of(run) == ""
