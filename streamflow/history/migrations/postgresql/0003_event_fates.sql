-- An outcome of an event is known by a digest (`database.digest_of`), with the name of the event in it: an id, a source
-- and a business key have up to 1,000 bytes each, and PostgreSQL takes 2,704 in an entry of an index.
ALTER TABLE event_fate RENAME TO event_fate_before;
ALTER TABLE event_fate_before DROP CONSTRAINT event_fate_pkey;
DROP INDEX event_fate_at;
CREATE TABLE event_fate (
    digest BYTEA NOT NULL PRIMARY KEY,
    event_id TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    definition TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL,
    run TEXT COLLATE "C" NOT NULL,
    step TEXT COLLATE "C" NOT NULL,
    event TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    at_ms BIGINT NOT NULL,
    place TEXT COLLATE "C" NOT NULL
);
INSERT INTO event_fate (digest, event_id, source, definition, key, outcome, run, step, event, reason, at_ms, place)
SELECT
    sha256(convert_to(
        length(event) || ':' || event ||
        length(event_id) || ':' || event_id ||
        length(source) || ':' || source ||
        length(definition) || ':' || definition ||
        length(key) || ':' || key ||
        length(outcome) || ':' || outcome ||
        length(run) || ':' || run ||
        length(step) || ':' || step,
        'UTF8'
    )),
    event_id, source, definition, key, outcome, run, step, event, reason, at_ms, place
FROM event_fate_before;
DROP TABLE event_fate_before;
CREATE INDEX event_fate_event ON event_fate (event_id, at_ms);
CREATE INDEX event_fate_at ON event_fate (at_ms);
