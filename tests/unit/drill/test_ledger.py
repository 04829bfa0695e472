"""The ledger writes calls down before it answers, also those that it then answers with silence, and none that it
refuses."""

from __future__ import annotations

import http.client
from collections import Counter

from streamflow.drill.ledger import Ledger


def asked(ledger: Ledger, key: str) -> int | None:
    """The status of a call; None when there was no answer."""
    connection = http.client.HTTPConnection(ledger.host, timeout=60)
    try:
        connection.request("POST", "/charge", body=b"{}", headers={"Idempotency-Key": key})
        return connection.getresponse().status
    except (http.client.HTTPException, ConnectionError):
        return None
    finally:
        connection.close()


def test_calls_are_counted_by_key_and_a_few_are_refused_or_not_answered() -> None:
    with Ledger(seed=1) as ledger:
        answers = {key: asked(ledger, key) for key in map(str, range(120))}
        calls = ledger.calls()

    found = Counter(answers.values())
    assert found.keys() == {200, 503, None}
    assert found[200] > 100
    assert calls == Counter(key for key, status in answers.items() if status != 503)


def test_a_call_that_comes_again_is_counted_again() -> None:
    with Ledger(seed=2) as ledger:
        for _ in range(3):
            assert asked(ledger, "same") == 200

        assert ledger.calls() == {"same": 3}
