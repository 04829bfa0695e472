"""Exit code 0 once the group has given this engine worker its partitions and none is being opened. A rolling update
goes on then. It says nothing about Kafka: a worker that is ready stays so while the broker is away."""

import sys
import urllib.request

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:9464/metrics"
with urllib.request.urlopen(URL, timeout=4) as page:  # noqa: S310 - the command of a pod names it
    samples = dict(line.rsplit(" ", 1) for line in page.read().decode().splitlines() if line[:1] not in ("", "#"))
assigned = float(samples.get("streamflow_rebalances_total", 0)) > 0
opening = float(samples.get('streamflow_partitions{state="opening"}', 0)) > 0
sys.exit(0 if assigned and not opening else 1)
