-- An outcome of an event is known by a digest (`database.digest_of`), with the name of the event in it: an id, a source
-- and a business key have up to 1,000 bytes each, and PostgreSQL takes 2,704 in an entry of an index.
ALTER TABLE event_fate RENAME TO event_fate_before;
DROP INDEX event_fate_at;
CREATE TABLE event_fate (
    digest BLOB NOT NULL PRIMARY KEY,
    event_id TEXT NOT NULL,
    source TEXT NOT NULL,
    definition TEXT NOT NULL,
    key TEXT NOT NULL,
    outcome TEXT NOT NULL,
    run TEXT NOT NULL,
    step TEXT NOT NULL,
    event TEXT NOT NULL,
    reason TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    place TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO event_fate (digest, event_id, source, definition, key, outcome, run, step, event, reason, at_ms, place)
SELECT digest_of(event, event_id, source, definition, key, outcome, run, step),
    event_id, source, definition, key, outcome, run, step, event, reason, at_ms, place
FROM event_fate_before;
DROP TABLE event_fate_before;
CREATE INDEX event_fate_event ON event_fate (event_id, at_ms);
CREATE INDEX event_fate_at ON event_fate (at_ms);
