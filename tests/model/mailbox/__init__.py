"""Event delivery as an executable specification: its laws, a reference, and a search for sequences that break it.

`spec` knows the laws, from commands and facts alone. `reference` is the smallest engine that keeps them, from records
alone. `world` makes sources, ingress, people, crashes and time around any engine; `search` plays random sequences and
shortens those that break a law. `rules` names the wrong variants of the reference, each of which the search must find.

Neither imports anything of the product, except for `product`, which puts the product's engine in the reference's place.

Laws
    identity   (name, source, id); without an id the place of the source record, so only the same record repeats it.
    order      Duplicates are asked first. A start takes the original. Else open runs are asked, oldest first; in a run,
               begun waits in plan order; in a wait, clauses in their order. A wait that begins takes the oldest entry
               that it accepts.
    take       `one` takes the original, which exists once; `every` takes a copy. No run takes an event twice, nor the
               one that started it.
    since      A wait counts events after its point, and those at most `keep` before it. The point is the start of the
               run (`run`) or the beginning of the wait (`here`).
    keep       An event stays while its keep lasts, or while an open run has a wait `since: run` for it that may still
               begin. It leaves when both are over, or when its original is taken and nobody wants a copy.
    where      False or failing: the event stays for others. Later than a wait's limit: that wait does not take it.
    runs       `many` always starts; `one` and `join` start when no run is open. A refused start leaves an ordinary
               event.
    stopping   A run that stops takes and wants nothing. What it took stays taken.
    memory     What was consumed or is kept is known for the window that its delivery says, longer while a run is open
               that was open then (to a limit). What nobody consumed is known as the same record only; another record of
               it is offered again.
    source     Below the offset that ingress has committed, everything is a duplicate.
    work       A command claims a bounded number of events; the rest is due, by a Continue.
    account    Every delivery ends as exactly one of started, claimed, expired, duplicate, unclaimed, refused, overflow,
               or is kept: the sums of a key add up.
"""
