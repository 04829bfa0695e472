"""The history store: the content of `runs`, `unclaimed` and `dead-letters` as rows that people search. A projection: it
decides nothing, and can be recreated from the topics as long as these keep their records."""
