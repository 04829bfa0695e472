"""What an earlier revision did wrong, shown from outside on that revision and on the current tree.

`python -m tests.regressions` checks an earlier revision out beside this one, and runs every case against both, each on
a broker of its own. A case uses only what a user has: definitions and catalogs, the `streamflow` command line, Kafka
topics, settings in the environment. It holds, or it is broken with evidence. The report is good when every case is
broken on the earlier revision and holds now.
"""
