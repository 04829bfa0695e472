"""Workers that require approvals, on a real broker: whoever may write to Kafka cannot have them run anything."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import NewTopic

from streamflow.definition.content import canonical, sha256_of
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.engine import commands as c
from streamflow.errors import Rejected
from streamflow.kafka import admin
from streamflow.kafka.publication import publish, read_log
from streamflow.ops.promotion import promote, settings_of
from streamflow.settings import Approvals, Environment, Settings
from tests.approvals import FORGERIES, a_key, an_approval, pem, public
from tests.integration.forked import Forked
from tests.integration.workers import CATALOG, Bench, bench

__all__ = ["bench"]

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]

REQUIRED = Approvals(required=True, trusted_keys=[public(a_key())])


def content_of(name: str, version: str = "1") -> bytes:
    text = f"""
name: {name}
version: "{version}"
on: [{{id: placed, event: order.placed}}]
steps: [{{id: hello, print: {{text: "'hello'"}}}}]
"""
    return canonical(parse_definition(text), parse_catalog(CATALOG.replace("TOPIC", "shipments")))


def approved(settings: Settings, name: str) -> None:
    """Publishes a definition with an approval of it."""
    content = content_of(name)
    approval = an_approval(name=name, sha256=sha256_of(content))
    catalog = parse_catalog(CATALOG.replace("TOPIC", f"{settings.topics.prefix}shipments"))
    spec = catalog.event("order.placed")
    assert spec is not None
    entry = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    entry |= {"topics": [f"{settings.topics.prefix.removesuffix('.')}-orders"], "start": "earliest"}
    publish(
        settings.model_copy(update={"approvals": REQUIRED}),
        name=name,
        version="1",
        content=content,
        events={"order.placed": entry},
        approval=approval,
        by="ann",
    )


def forge(bench: Bench) -> dict[str, tuple[str, int]]:
    """Writes forged definitions straight to the topic, with a client that knows nothing of ours; by name the sha256 and
    offset of each."""
    producer = Producer(bench.servers)
    offsets: dict[str, int] = {}
    shas: dict[str, str] = {}
    topic = bench.topic("definitions")

    def delivered(error: KafkaError | None, message: Message) -> None:
        assert error is None, error
        key = message.key()
        assert isinstance(key, bytes)
        offsets[key.decode()] = message.offset() or 0

    for number, forged in enumerate(FORGERIES.values()):
        name = f"forged{number}"
        content = content_of(name)
        sha = shas[name] = sha256_of(content)
        approval = forged(an_approval(name=name, sha256="ab" * 32), sha)
        version = {"sha": sha, "published_ms": 1, "retired": False, "approval": approval}
        for key, value in [
            (f"definition/{sha}", content),
            (f"version/{name}@1", msgspec.json.encode(version)),
            (f"name/{name}", json.dumps({"version": "1", "sha": sha}).encode()),
        ]:
            producer.produce(topic, value, key, on_delivery=delivered)
    assert producer.flush(30) == 0
    return {name: (sha, offsets[f"definition/{sha}"]) for name, sha in shas.items()}


def work(bench: Bench, *, required: bool) -> None:
    """Starts ingress and engine."""
    own = {
        "STREAMFLOW_APPROVALS__REQUIRED": json.dumps(required),
        "STREAMFLOW_APPROVALS__TRUSTED_KEYS": json.dumps(REQUIRED.trusted_keys),
        "STREAMFLOW_ENGINE__CHECKPOINT_S": "0.1",
    }
    for kind in ("ingress", "engine"):
        bench.launch(Forked(kind, kind, bench.folder, bench.environment() | own))


def definitions_that_ran(bench: Bench) -> set[str]:
    return {told.fields["definition"] for told in bench.transitions() if told.name == "RunCompleted"}


def place_order(bench: Bench, id: str) -> None:
    topic = f"{bench.prefix.removesuffix('.')}-orders"
    headers = {"ce_specversion": "1.0", "ce_id": id, "ce_source": "/shop", "ce_type": "order.placed"}
    value = json.dumps({"id": id, "total": 1}).encode()
    bench.producer.produce(topic, value, id, headers={name: text.encode() for name, text in headers.items()})
    bench.flush()


@pytest.mark.parametrize("required", [True, False])
def test_a_forged_definition_is_loaded_only_where_no_approval_is_required(bench: Bench, required: bool) -> None:
    """Where none is required, the forged definitions run: so it is the signature that keeps them out."""
    topic = f"{bench.prefix.removesuffix('.')}-orders"
    for future in bench.admin.create_topics([NewTopic(topic, 1, 1)]).values():
        future.result()
    approved(bench.settings, "honest")
    forged = forge(bench)
    work(bench, required=required)
    place_order(bench, "o-1")
    if not required:
        bench.wait(lambda: definitions_that_ran(bench) == {"honest", *forged}, "every definition to run")
        return

    bench.wait(lambda: definitions_that_ran(bench) == {"honest"}, "the approved definition to run")
    sha, offset = forged["forged0"]
    event = c.Event(name="", id="s-1", time_ms=1, data={})
    bench.send(c.StartRun("s-1", "forged0", "o-2", c.DefinitionRef(sha, offset), event))
    bench.wait_letter("definition_unapproved")

    approved(bench.settings, "later")  # while they run
    place_order(bench, "o-3")
    bench.wait(lambda: "later" in definitions_that_ran(bench), "what is approved later to run")

    assert definitions_that_ran(bench) == {"honest", "later"}
    ingress = (bench.folder / "ingress.log").read_text()
    told = [json.loads(line) for line in ingress.splitlines() if '"version_unapproved"' in line]
    assert {one["definition"] for one in told} == forged.keys()
    assert {one["code"] for one in told} <= {"approval_missing", "approval_mismatch", "approval_invalid"}


def test_exactly_the_approved_content_is_promoted(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two environments on one Kafka, each with a key of its own."""
    monkeypatch.setenv("PROD_KEY", pem(a_key(2)))
    prod_file = tmp_path / "prod.yaml"
    prod_file.write_text(
        json.dumps(
            {
                "environment": "prod",
                "kafka": {"bootstrap_servers": bench.settings.kafka.bootstrap_servers},
                "topics": {"prefix": f"p{bench.prefix}", "partitions": 1},
                "approvals": {
                    "required": True,
                    "trusted_keys": [public(a_key(2))],
                    "signing_key": "env:PROD_KEY",
                },
            }
        )
    )
    approvals = REQUIRED.model_copy(update={"environments": {"prod": Environment(settings=prod_file)}})
    settings = bench.settings.model_copy(update={"approvals": approvals})
    prod = settings_of(settings, "prod")
    admin.apply(prod)
    approved(settings, "honest")

    for by, code in [("bob", "approval_own_work"), ("ann", "")]:
        if code:
            with pytest.raises(Rejected) as caught:
                promote(settings, prod, "honest@1", by=by)
            assert caught.value.code == code
        else:
            done = promote(settings, prod, "honest@1", by=by)

    here, there = read_log(settings), read_log(prod)
    record = there.versions["honest", "1"]
    assert done["sha"] == record.sha == here.versions["honest", "1"].sha
    assert there.contents[record.sha][0] == here.contents[record.sha][0]
    assert there.refusal("honest", "1") is None
    assert record.approval is not None
    assert record.approval.promoted is not None
    assert (record.approval.environment, record.approval.promoted.environment) == ("prod", "main")
    assert (record.approval.by, record.approval.promoted.by) == ("bob", "ann")
    assert there.bindings["order.placed"].topics == here.bindings["order.placed"].topics

    forge(bench)
    with pytest.raises(Rejected) as caught:
        promote(settings, prod, "forged0@1", by="ann")
    assert caught.value.code == "approval_missing"
    assert ("forged0", "1") not in read_log(prod).versions
