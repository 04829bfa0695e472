"""The examples in `definitions/`, each on real servers by one command: `python -m tests.examples NAME` (`make example
NAME=...`).

Everything is started for it and ends with it; what it made stays in `var/examples/NAME`."""
