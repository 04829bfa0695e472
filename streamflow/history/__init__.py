"""The history store: what `runs`, `unclaimed` and `dead-letters` told, as rows that people search. A projection: it
decides nothing, and can be made again from the topics as long as these keep their records."""
