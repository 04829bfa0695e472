"""`python -m tests.bench.paced BOOTSTRAP TOPIC RATE SECONDS NAME`: events at a steady rate, each with a key of its own
(NAME-0, NAME-1, ...).

Prints when it began and ended. It never catches up in a burst by more than what a stall of its own left undone."""

from __future__ import annotations

import json
import sys
import time

from confluent_kafka import Producer


def main(bootstrap: str, topic: str, rate: str, seconds: str, name: str) -> int:
    """0 when every event was acknowledged."""
    per_s, count = float(rate), int(float(rate) * float(seconds))
    failed: list[object] = []
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2_random",
            "linger.ms": 0,
            "enable.idempotence": True,
            "log_level": 0,
        }
    )
    began = time.time()
    for number in range(count):
        wait_s = began + number / per_s - time.time()
        if wait_s > 0:
            producer.poll(0)
            time.sleep(wait_s)
        key = f"{name}-{number}"
        value = json.dumps({"kind": "placed", "id": key, "amount": number}).encode()
        producer.produce(
            topic, value, key.encode(), on_delivery=lambda error, _: failed.append(error) if error else None
        )
    left = producer.flush(30)
    print(json.dumps({"sent": count - left - len(failed), "began_ms": began * 1000, "ended_ms": time.time() * 1000}))
    return 1 if left or failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
