"""A judge of what Streamflow promises, who reads topics as any stranger may. It imports nothing of streamflow: only
Kafka's client and JSON.

`python -m streamflow_check --bootstrap HOST:PORT --prefix PREFIX` reads everything under a prefix, after the work has
come to rest, and gives a verdict on each promise. This page is the specification; `promises.PROMISES` names the same.

What went in
- **acknowledged-input**: a record that the experiment says was acknowledged is still there, ingress has read past it,
  and it had the one outcome that the experiment expects: a run of each definition that it starts, one run of each
  definition that takes it, one dead letter, or nothing at all. Records with the same event id count as one event. A
  command that was acknowledged is there and has an outcome.
- **one-outcome**: no command vanishes. A start has a run, an answer to the caller, or an earlier copy; a request is
  answered; the result of an attempt that is open is taken; deliveries are accounted for below.
- **counts-add-up**: of each partition read = applied + rejected + duplicate + dead = what `commands` holds up to the
  applied offset; applied = what can be seen in `runs`; dead = what `dead-letters` holds; the reasons add up to the
  refused. Of each source partition read = matched + ignored + dead = what the topic holds up to the committed offset;
  matched = the records whose commands are there. Of each partition of a lane the results of its tasks add up to what
  it holds up to the committed offset.
- **at-rest**: everything in the sources is read, everything in `commands` is decided and every task is done; the
  group's committed offset is that of the state.

What happened
- **one-chain**: `seq` of a run counts from 1 without gap or fork, in one partition, from `RunStarted` to nothing after
  the ending; key, definition and labels fit; each transition's cause is a command of the partition.
- **identical-copies**: a `seq` that comes again is the same bytes, headers too; so are the copies of a task, of an
  emitted event and of a command that the engine sends to itself.
- **broker-time**: `at_ms` is the partition's time at the cause: the latest time that the broker had given to any
  command up to it.
- **pinned-version**: each transition of a run, and its state, has the version and sha256 that it started with; the
  content has that sha256.
- **once-consumed**: an event is consumed by one run of a definition at most, within the time for which events are
  remembered; a run takes an event once at most, copies included. An event is the same by its name, source and id.
- **events-accounted**: every delivery of an event ends once: it starts a run, waits claim it, it is kept in its
  mailbox, it is in `unclaimed` or in the dead letters, or it repeats an earlier one. The partition's counts of
  deliveries say the same: delivered = the sum of the outcomes + what is kept.
- **timers-on-time**: what a timer causes is never before its time, and at most so much later; at rest nothing is
  overdue.

What was done outside
- **one-result**: an attempt has at most one accepted result, was asked for before, and a step (or item) succeeds at
  most once.
- **calls-sent**: each requested attempt is a task in its lane, and each task was requested.
- **children-answered**: each child run that is requested is asked for, and its end, or that it was refused, is sent to
  its parent.
- **ledger-complete**: each call that succeeded, and each that the outside is said to have done, is in the outside's own
  ledger under its key.
- **events-emitted**: each emitted event is in a topic that its name is bound to, or a dead letter says why not.
- **dead-letters-whole**: a dead letter holds the bytes of the command that it names.

What is reported
- **state-is-fold**: the changelog holds of every run what its transitions add up to: head, steps, armed timers, the
  runs of a key; and nothing else.
- **cli-agrees**, **api-agrees**: the command line and the API describe the runs as `runs` does.
- **history-agrees**: the history store has each run of `runs` once, as its transitions leave it, and no other; it holds
  the same histories; and its counters say how many runs began and ended.

A promise that could not be looked at (nothing to look at, records no longer kept) says so, and is no success.
"""
