"""Faults: a seeded generator of work, a seeded nemesis that breaks things on a printed schedule, and the checker's
verdicts in a table.

    make faults                                       every kind once, and some mixed schedules
    make faults KINDS="engine-killed state-old" SEEDS=20 MIXED=0 JOBS=2 OUT=results.jsonl
    python -m tests.faults --list                     what there is
    python -m tests.faults --schedule FILE --seed N   play a printed schedule again
    make soak HOURS=1                                 load for hours, with slopes at the end

An experiment (`trial`) is a prefix of its own on a broker (`site`): orders flow in from a foreign client (`work`),
somebody follows `runs` and answers approvals (`watcher`), operations call an HTTP server that keeps a ledger
(`outside`), and the `nemesis` injects faults, each of a kind in `kinds`. Then everything is mended, drained, stopped in
order and judged by `streamflow_check`, which somebody else wrote. Disks and clocks are broken by a library that
workers and brokers load (`shim`), networks by namespaces (`netns`). What was found is in FINDINGS.md.
"""
