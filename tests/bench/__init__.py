"""The benchmark: what this machine gives, with its own broker, as ratios of one run. `python -m tests.bench` prints the
table."""
