"""The rules of the reference, and the wrong variants that the search must find: each changes one rule."""

from __future__ import annotations

Rules = dict[str, str]

RIGHT: Rules = {
    "dedupe": "first",  # duplicates are asked before anything is offered
    "identity": "full",  # name, source and id
    "no_id": "position",  # without an id, the place of the record
    "early": "accepted",  # a run that starts takes what its waits accept
    "keep": "always",  # open runs do not prevent keeping
    "pin": "open",  # memory lasts while a run is open that was open at the claim
    "kept_seen": "refiled",  # what is still kept is not forgotten
    "until": "start",  # `keep` reaches back from the start of the run
    "where": "stays",  # a false condition leaves the event to others
    "every": "stays",  # a copy leaves the original
    "took": "run",  # a run takes an event once
    "order": "oldest",  # the oldest run is asked first
    "fifo": "oldest",  # the oldest event is taken first
    "waits": "plan",  # waits are asked in plan order
    "since": "point",  # events from before the point do not count
    "stopping": "nothing",  # a run that stops takes nothing
    "full": "refuse",  # a full mailbox refuses the new event
    "settle": "ends",  # what nobody wants leaves when a run ends
    "mark": "committed",  # the mark of a source is what ingress has committed
    "clock": "partition",  # time is the partition's
    "more": "queue",  # while a Continue is due, events are only kept
    "start": "remembered",  # a start is remembered as a claim
    "window": "own",  # each delivery says how long its event is remembered
    "swept": "all",  # a bucket that is over is looked into until it is swept
}

# The first four are what the engine did before there were mailboxes.
VARIANTS: dict[str, Rules] = {
    "offer-before-duplicates": {"dedupe": "after"},
    "first-run-takes-all-kept": {"early": "all"},
    "keep-ignored-while-open": {"keep": "idle"},
    "identity-without-name": {"identity": "id"},
    "no-id-is-one-identity": {"no_id": "empty"},
    "claim-expires-under-open-run": {"pin": "never"},
    "kept-forgotten-after-window": {"kept_seen": "dropped"},
    "keep-ends-before-the-wait": {"until": "wait"},
    "where-false-drops-kept": {"where": "drops"},
    "every-gone-after-first": {"every": "leaves"},
    "same-event-in-next-iteration": {"took": "wait"},
    "newest-run-first": {"order": "newest"},
    "newest-event-first": {"fifo": "newest"},
    "last-wait-first": {"waits": "reverse"},
    "here-takes-the-past": {"since": "ignored"},
    "stopping-run-claims": {"stopping": "claims"},
    "full-drops-oldest": {"full": "drop"},
    "nothing-leaves-at-run-end": {"settle": "never"},
    "mark-is-own-offset": {"mark": "own"},  # loses what a restarted ingress matches by newer definitions
    "wall-clock": {"clock": "wall"},
    "arrivals-pass-a-continue": {"more": "pass"},
    "start-not-remembered": {"start": "forgotten"},
    "one-window-for-all": {"window": "one"},
    "lookup-of-live-buckets-only": {"swept": "live"},
}
