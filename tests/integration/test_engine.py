"""The engine worker as a process of its own on a real broker: what it writes, and that nothing that happens to it shows in that."""

from __future__ import annotations

import json

import pytest

from streamflow.engine import commands as c
from streamflow.ids import partition_of
from tests.integration.workers import Bench, bench, complaints

__all__ = ["bench"]
pytestmark = [pytest.mark.broker, pytest.mark.timeout(60)]


def test_a_run_from_start_to_end_is_told_in_runs_as_the_contract_says(bench: Bench) -> None:
    start = bench.publish()
    worker = bench.worker()
    run = bench.start(start, "order-1", total=4)
    event = c.Event("order.paid", "pay-1", 7, {"id": "order-1", "amount": 8})
    bench.send(c.DeliverEvent("deliver-1", "payment", "order-1", event, trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
    bench.wait_history(run, "RunCompleted")
    told = bench.transitions(run)
    assert [t.name for t in told] == ["RunStarted", "ValuesSet", "WaitStarted", "WaitSatisfied", "LinePrinted", "RunCompleted"]
    for seq, transition in enumerate(told, 1):
        fields, headers = transition.fields, dict(transition.headers)
        assert transition.key == b"order-1"
        assert transition.partition == partition_of("order-1", bench.partitions)
        assert transition.value == json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        assert {"run", "definition", "version", "key", "seq", "at_ms", "cause", "data"} <= fields.keys() <= {
            "run", "definition", "version", "key", "seq", "at_ms", "cause", "data", "step", "attempt",
        }  # fmt: skip
        assert (fields["run"], fields["definition"], fields["version"], fields["key"], fields["seq"]) == (run, "payment", "1", "order-1", seq)
        assert fields["cause"] == ("start-order-1" if seq <= 3 else "deliver-1")
        assert headers["ce_id"] == f"{run}/{seq}".encode()
        assert headers["ce_source"] == b"/streamflow/definitions/payment"
        assert headers["ce_specversion"] == b"1.0"
        assert headers["content-type"] == b"application/json"
        assert ("traceparent" in headers) == (seq > 3)
    assert [t.fields.get("step") for t in told] == [None, "double", "paid", "paid", "bye", None]
    bench.wait_saved()
    worker.stop()
    bench.check_exact()
    bench.check_stores(worker)
    assert complaints(worker) == []
