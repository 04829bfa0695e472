"""The names of topics, as Kafka has them."""

from __future__ import annotations

import jsonschema_rs
import pytest

from streamflow.definition.syntax import parse_catalog
from streamflow.errors import DefinitionError, Rejected
from streamflow.operations.kafka import KafkaEmit
from streamflow.ops import sending

GOOD = ["a", "-", "_", ".a", "a.", "a.b", "...", "..a", "._", "Orders.v1_x-2", "x" * 249]
BAD = ["", ".", "..", "x" * 250, "a b", "a/b", "é", "a\n", "a:b", " "]


@pytest.mark.parametrize("name", GOOD)
def test_a_name_that_kafka_takes_is_taken(name: str) -> None:
    text = f'{{"events": [{{"name": "e", "topics": ["{name}"]}}]}}'
    assert parse_catalog(text).events[0].topics == [name]
    assert sending.legal_topic(name) == name
    assert jsonschema_rs.validator_for(KafkaEmit.spec.input).is_valid({"topic": name, "text": "x"})


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_kafka_refuses_is_refused(name: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_catalog('{"events": [{"name": "e", "topics": [' + repr(name).replace("'", '"') + "]}]}")
    (problem,) = caught.value.problems
    assert (problem.code, problem.pointer) == ("SF104", "/events/0/topics/0")
    assert "but not . or .." in problem.message
    with pytest.raises(Rejected) as refused:
        sending.legal_topic(name)
    assert refused.value.code == "topic_invalid"
    assert not jsonschema_rs.validator_for(KafkaEmit.spec.input).is_valid({"topic": name, "text": "x"})
